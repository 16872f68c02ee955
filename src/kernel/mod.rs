//! The kernel: what is true, what is allowed, what follows. Pure and deterministic: no clock, no randomness, no I/O; time
//! is an argument, and equal commands in equal order give equal events.
//!
//! The door: [`State`] is what is true; [`decide`](decide::decide) turns a [`Command`] into an [`Event`] or a
//! [`Refusal`]; [`apply`](apply::apply) makes an event true.

pub mod units;
pub mod id;
pub mod class;
pub mod topology;
pub mod bam;
pub mod model;
pub mod path;
pub mod lsp;
mod roster;
pub mod ledger;
mod translate;
pub mod state;
pub mod command;
pub mod event;
pub mod refusal;
pub mod decide;
pub mod apply;

pub use apply::{ApplyError, Undo, apply, take_back};
pub use command::Command;
pub use decide::decide;
pub use event::{Event, Recorded};
pub use refusal::Refusal;
pub use state::{Network, State};
