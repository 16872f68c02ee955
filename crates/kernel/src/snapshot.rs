//! A state built again from what a journal's snapshot holds. Books and indices follow from the allocations and are not in
//! it.

use std::sync::Arc;

use super::allocation::Allocation;
use super::apply::{self, ApplyError};
use super::controller::{Controller, SchedulerTerm};
use super::id::{AllocationId, Name, Sequence};
use super::intent::FlowNumber;
use super::maintenance::Maintenance;
use super::path::Graph;
use super::policy::BandwidthModel;
use super::preemption_notice::PreemptionNotice;
use super::state::{Network, State};
use super::tenant::Tenant;
use super::topology::Topology;

/// A network without its books.
#[derive(Clone, Debug)]
pub struct NetworkSnapshot {
    /// The topology's name.
    pub name: Name,
    /// The event that first put the topology.
    pub created: Sequence,
    /// The event that last changed the topology.
    pub revision: Sequence,
    /// The event that last changed the bandwidth model.
    pub model_revision: Sequence,
    /// The topology.
    pub topology: Arc<Topology>,
    /// The bandwidth model.
    pub model: Arc<BandwidthModel>,
    /// The links that are not up because a controller saw it.
    pub reported: Vec<Name>,
    /// What maintenance is planned.
    pub maintenances: Vec<Maintenance>,
}

impl State {
    /// A state with networks and no allocations yet; [`State::restore_allocations`] adds them.
    pub fn from_networks(
        sequence: Sequence,
        networks: Vec<NetworkSnapshot>,
        controllers: Vec<Arc<Controller>>,
        tenants: Vec<Arc<Tenant>>,
        scheduler: SchedulerTerm,
    ) -> Self {
        let controllers = controllers.into_iter().map(|controller| (controller.name.clone(), controller));
        let mut state = Self { sequence, controllers: controllers.collect(), scheduler, ..Self::default() };
        tenants.into_iter().for_each(|tenant| state.insert_tenant(tenant));
        for snapshot in networks {
            let graph = Arc::new(Graph::new(&snapshot.topology));
            let mut network = Network::new(snapshot.topology, graph, snapshot.model);
            (network.revision, network.model_revision) = (snapshot.revision, snapshot.model_revision);
            network.created = snapshot.created;
            network.reported = Arc::new(snapshot.reported.into_iter().collect());
            network.set_maintenances(snapshot.maintenances.into_iter().map(|one| (one.id, Arc::new(one))).collect());
            state.networks.insert(snapshot.name, Arc::new(network));
        }
        state
    }

    /// The number of a flow in a snapshot, before its allocation is booked. Snapshots of older versions had none: each flow gets one
    /// then.
    pub fn restore_flow_number(&mut self, id: AllocationId, topology: &Name, number: FlowNumber) {
        self.flow_numbers.set(id, topology, number);
    }

    /// The flow of an allocation in a snapshot waits for a number.
    pub fn restore_waiting_flow(&mut self, id: AllocationId, topology: &Name) {
        self.flow_numbers.wait(id, topology);
    }

    /// The notices of preemption in a snapshot.
    pub fn restore_notices(&mut self, notices: impl IntoIterator<Item = (AllocationId, PreemptionNotice)>) {
        notices.into_iter().for_each(|(id, notice)| self.notices.set(id, Some(notice)));
    }

    /// Books some allocations of a snapshot, the more at once the better.
    ///
    /// # Errors
    /// An allocation does not fit: its network, class or path is missing, or its id is in use or in the future. The state
    /// is of no use then.
    pub fn restore_allocations(&mut self, allocations: Vec<Allocation>) -> Result<(), ApplyError> {
        apply::book_all(self, allocations)
    }
}
