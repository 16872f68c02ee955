//! The kernel: what is true, what is allowed, what follows. Pure and deterministic: no clock, no randomness, no I/O; time
//! is an argument, and equal commands in equal order give equal events.
//!
//! [`State`] is what is true; [`decide()`] turns a [`Command`] into an [`Event`] or a [`Refusal`]; [`apply()`] makes the
//! event true. Nothing else changes a state:
//!
//! ```
//! use std::sync::Arc;
//!
//! use watermaster_kernel as kernel;
//!
//! use kernel::class::ClassType;
//! use kernel::command::{Expected, NamedConstraints, OnMisfit, Request};
//! use kernel::id::{Name, NodeIx};
//! use kernel::path::Workspace;
//! use kernel::topology::{CapacitySource, Link, LinkState, Node, Topology};
//! use kernel::units::{Bandwidth, Micros, Millis};
//! use kernel::{Command, Event, Recorded, State, apply, decide};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gigabit = Bandwidth::saturating_from_bps(1_000_000_000);
//! let node = |name| Name::new(name).map(|name| Node { name, label: None, position: None, switch: None });
//! let link = Link {
//!     name: Name::new("a-b")?,
//!     from: NodeIx(0),
//!     to: NodeIx(1),
//!     capacity: gigabit,
//!     max_reservable: gigabit,
//!     te_metric: 1,
//!     delay: Micros(500),
//!     srlg: vec![],
//!     admin_group: 0,
//!     state: LinkState::Up,
//!     from_port: None,
//!     to_port: None,
//!     twin: None,
//!     capacity_from: CapacitySource::Given,
//!     is_avoided: false,
//! };
//! let topology = Arc::new(Topology::new(vec![node("a")?, node("b")?], vec![link])?);
//! let put = Command::PutTopology {
//!     name: Name::new("net")?,
//!     topology,
//!     expected: Expected::Unsaid,
//!     misfits: OnMisfit::Refuse,
//! };
//! let request = Command::Allocate(Box::new(Request {
//!     topology: None,
//!     ingress: Name::new("a")?,
//!     egress: Name::new("b")?,
//!     class_type: ClassType::LOWEST,
//!     bandwidth: Bandwidth::saturating_from_bps(100_000_000),
//!     setup_priority: None,
//!     hold_priority: None,
//!     moves_max: None,
//!     hold_for: None,
//!     duration: None,
//!     constraints: NamedConstraints::default(),
//!     attributes: Default::default(),
//! }));
//!
//! let (mut state, mut workspace, now) = (State::new(), Workspace::default(), Millis(0));
//! for command in [put, request] {
//!     let event = decide(&state, &command, now, &mut workspace)?;

#![warn(missing_docs)]
//!     let sequence = state.sequence().next();
//!     apply(&mut state, &Recorded { sequence, at: now, event })?;
//! }
//! let (_, network) = state.networks().next().ok_or("no network")?;
//! assert_eq!(network.live(), 1);
//! assert_eq!(network.ledger().booked(kernel::id::LinkIx(0))[0], 100_000_000);
//! # Ok(())
//! # }
//! ```

pub mod command;
pub mod decide;
pub mod refusal;
pub mod event;
pub mod fact;
pub mod tenant;
pub mod apply;
pub mod snapshot;
pub mod audit;
pub mod state;
pub mod ledger_draft;
pub mod ledger;
mod calendar;
mod mark_tree;
mod mark_summary;
mod packed_marks;
mod mark;
pub mod ledger_entry;
pub mod shared_pool;
pub mod maintenance;
pub mod preemption_notice;
mod foresight;
mod congestion_weight;
mod link_members;
pub mod link_sample;
mod persistent_map;
pub mod bam;
pub mod policy;
pub mod allocation;
pub mod annotation;
pub mod auto_bandwidth;
pub mod topology;
mod remap;
pub mod path;
pub mod controller;
pub mod intent;
pub mod discovery;
pub mod scheduler;
pub mod class;
pub mod id;
pub mod units;

pub use apply::{ApplyError, Before, apply};
pub use command::Command;
pub use decide::decide;
pub use event::{Event, Recorded};
pub use fact::{Fact, Names};
pub use foresight::foresee;
pub use refusal::Refusal;
pub use snapshot::NetworkSnapshot;
pub use state::{Network, State};

/// How a property is tested: with `full` cases where `PROPTEST_CASES` is proptest's own 256, as `tests/run` sets it; with
/// fewer in the same proportion by default, so that the tests of one edit take a second.
#[cfg(test)]
fn property_cases(full: u32) -> proptest::prelude::ProptestConfig {
    const BY_DEFAULT: u32 = 32;
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(BY_DEFAULT);
    proptest::prelude::ProptestConfig::with_cases((full * asked / 256).max(1))
}
