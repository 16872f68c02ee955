//! The kernel: what is true, what is allowed, what follows. Pure and deterministic: no clock, no randomness, no I/O; time
//! is an argument, and equal commands in equal order give equal events.
//!
//! The door: [`State`] is what is true; [`decide`](decide::decide) turns a [`Command`] into an [`Event`] or a
//! [`Refusal`]; [`apply`](apply::apply) makes an event true.

pub mod apply;
pub mod audit;
pub mod bam;
pub mod class;
pub mod command;
pub mod controller;
pub mod decide;
pub mod event;
pub mod id;
pub mod intent;
pub mod ledger;
pub mod allocation;
pub mod policy;
pub mod path;
pub mod scheduler;
pub mod refusal;
mod link_members;
pub mod state;
pub mod discovery;
pub mod topology;
mod remap;
pub mod units;

pub use apply::{ApplyError, Undo, apply, take_back};
pub use command::Command;
pub use decide::decide;
pub use event::{Event, Recorded};
pub use refusal::Refusal;
pub use state::{Network, NetworkSnapshot, Snapshot, State};
