//! A session without I/O: it is given packets and the time, and returns what to send and what to store.
//!
//! Its two directions share nothing: [`Inbound`] belongs to the connection alone, [`Outbox`] is shared with the
//! publishers of messages for the client. [`handshake`] is how both begin.

pub(crate) mod encode_cache;
pub(crate) mod handshake;
mod inbound;
mod outbox;
mod inflight;

pub(crate) use inbound::{Inbound, InboundPublish};
pub(crate) use outbox::{ConnectionTerms, Enqueue, Outbox, OutboxSizes};
