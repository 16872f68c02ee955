//! What replicas tell each other through the store.

use std::sync::Arc;

use bytestring::ByteString;

use super::{DeliveryOptions, SessionHolder, SessionState};
use crate::message::{ClientId, Message};
use crate::router::GrantedSubscription;

/// A notice for a replica.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// Something to route changed elsewhere.
    Changed(RouteChange),
    /// A message for connections here: those that take it at QoS 0 or do not last, or the one named.
    Forwarded { message: Arc<Message>, to: Option<(ClientId, DeliveryOptions)> },
    /// A session held here was given messages, which its queue has.
    Numbered(NumberedMessages),
    /// The queue of a session held here has more.
    Wake(ClientId),
    /// The session was taken by another; `epoch` is the one that is over.
    Kick { client: ClientId, epoch: u64 },
}

/// Messages that a session was given one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NumberedMessages {
    /// The holder at that time.
    pub(crate) holder: SessionHolder,
    /// The number of the first.
    pub(crate) first: u64,
    pub(crate) messages: Vec<(Arc<Message>, DeliveryOptions)>,
}

/// A change of the routes.
#[derive(Clone, Debug)]
pub(crate) struct RouteChange {
    pub(crate) version: u64,
    pub(crate) what: RouteEvent,
}

/// The content of a change.
#[derive(Clone, Debug)]
pub(crate) enum RouteEvent {
    Subscribed {
        client: ClientId,
        state: SessionState,
        filter: ByteString,
        granted: GrantedSubscription,
    },
    Unsubscribed {
        client: ClientId,
        filter: ByteString,
    },
    /// Another holder, or none.
    Moved {
        client: ClientId,
        state: SessionState,
    },
    /// The session is no more.
    Gone {
        client: ClientId,
    },
    /// The retained message of its topic; empty: none.
    Retained(Arc<Message>),
}
