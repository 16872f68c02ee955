//! What an event changed, as it was before; and why an event cannot be applied.

use std::sync::Arc;

use crate::allocation::Allocation;
use crate::id::{AllocationId, Name, Sequence};
use crate::topology::{Topology, TopologyError};

/// Why an event cannot follow from this state.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyError {
    /// A gap or a repetition.
    #[error("event {found} does not follow event {after}", found = .found.0, after = .after.0)]
    OutOfSequence {
        /// The last event applied.
        after: Sequence,
        /// The one that came.
        found: Sequence,
    },
    /// It names an unknown topology.
    #[error("event {at} names topology '{name}', which does not exist", at = .at.0)]
    NoTopology {
        /// The event.
        at: Sequence,
        /// The topology.
        name: Name,
    },
    /// It names an allocation that does not live.
    #[error("event {at} names allocation {id}, which does not live", at = .at.0)]
    NoAllocation {
        /// The event.
        at: Sequence,
        /// The allocation.
        id: AllocationId,
    },
    /// An allocation's id, path or class does not fit the state.
    #[error("event {at} has an invalid allocation {id}: its id, path or class does not fit the state", at = .at.0)]
    BadAllocation {
        /// The event.
        at: Sequence,
        /// The allocation.
        id: AllocationId,
    },
    /// It names an unknown controller, or one that was put at another time.
    #[error("event {at} names controller '{name}', which does not fit the state", at = .at.0)]
    BadController {
        /// The event.
        at: Sequence,
        /// The controller.
        name: Name,
    },
    /// It names an unknown tenant, or one that was put at another time.
    #[error("event {at} names tenant '{name}', which does not fit the state", at = .at.0)]
    BadTenant {
        /// The event.
        at: Sequence,
        /// The tenant.
        name: Name,
    },
    /// A term of the scheduler that is over.
    #[error("event {at} begins term {term} of the scheduler, which is over", at = .at.0)]
    OldTerm {
        /// The event.
        at: Sequence,
        /// The term.
        term: u64,
    },
    /// It names maintenance that is not planned.
    #[error("event {at} names maintenance {id}, which is not planned", at = .at.0, id = .id.0)]
    NoMaintenance {
        /// The event.
        at: Sequence,
        /// The event that would have planned it.
        id: Sequence,
    },
    /// A link that breaks a rule of topologies.
    #[error("event {at} has an invalid link: {error}", at = .at.0)]
    BadLink {
        /// The event.
        at: Sequence,
        /// The rule.
        error: TopologyError,
    },
}

/// What an event changed, as it was before.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// The allocations that it changed or ended.
    pub allocations: Vec<Arc<Allocation>>,
    /// The topology that it replaced, whose indices are those of their paths.
    pub topology: Option<Arc<Topology>>,
}
