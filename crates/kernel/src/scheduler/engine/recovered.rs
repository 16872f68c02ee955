//! The scheduler's reservations from before a restart, until their aggregator reports again.

use std::collections::{BTreeMap, BTreeSet};

use crate::allocation::{Allocation, Owner};
use crate::class::ClassType;
use crate::id::{AllocationId, Name};
use crate::state::State;

/// Whether the scheduler made an allocation.
pub(super) fn is_ours(allocation: &Allocation) -> bool {
    allocation.demand.attributes.owner == Owner::Scheduler
}

/// By what the reservations of a flow are known after a restart: nothing that another revision of the topology numbers anew.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecoveredFlow {
    pub(super) aggregator: Name,
    pub(super) topology: Name,
    pub(super) class_type: ClassType,
    pub(super) ends: (Name, Name),
}

/// Reservations that no flow has yet.
#[derive(Default)]
pub(super) struct RecoveredReservations {
    by_flow: BTreeMap<RecoveredFlow, BTreeSet<AllocationId>>,
    ids: BTreeSet<AllocationId>,
}

impl RecoveredReservations {
    pub(super) fn of(state: &State) -> Self {
        let mut recovered = Self::default();
        for allocation in state.allocations_after(None).filter(|allocation| is_ours(allocation)) {
            let demand = &allocation.demand;
            let network = state.network(demand.topology.as_str());
            let name_of = |node| Some(network?.topology().node(node)?.name.clone());
            let aggregator = demand.attributes.aggregator.clone();
            let (Some(aggregator), Some(ingress), Some(egress)) =
                (aggregator, name_of(demand.ingress), name_of(demand.egress))
            else {
                continue;
            };
            let (topology, ends) = (demand.topology.clone(), (ingress, egress));
            let flow = RecoveredFlow { aggregator, topology, class_type: demand.class_type, ends };
            recovered.by_flow.entry(flow).or_default().insert(allocation.id);
            recovered.ids.insert(allocation.id);
        }
        recovered
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn has(&self, id: AllocationId) -> bool {
        self.ids.contains(&id)
    }

    /// Hands over those of a flow.
    pub(super) fn take(&mut self, flow: &RecoveredFlow) -> BTreeSet<AllocationId> {
        let taken = self.by_flow.remove(flow).unwrap_or_default();
        for id in &taken {
            self.ids.remove(id);
        }
        taken
    }

    /// Hands over all.
    pub(super) fn take_all(&mut self) -> BTreeSet<AllocationId> {
        std::mem::take(self).ids
    }
}
