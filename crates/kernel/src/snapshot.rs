//! A state laid out flat, for the journal, and the way back. Books and indices follow from the allocations and are not in
//! it.

use std::sync::Arc;

use super::allocation::Allocation;
use super::apply::{self, ApplyError};
use super::controller::Controller;
use super::id::{Name, Sequence};
use super::path::Graph;
use super::policy::BandwidthModel;
use super::state::{Network, State};
use super::topology::Topology;

/// What a state is built again from. Cheap to take, since nothing large is copied.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The last event applied.
    pub sequence: Sequence,
    /// Every network without its books, which follow from the allocations.
    pub networks: Vec<NetworkSnapshot>,
    /// Every controller.
    pub controllers: Vec<Arc<Controller>>,
    /// Every living allocation, oldest first.
    pub allocations: Vec<Arc<Allocation>>,
}

/// A network without its books.
#[derive(Clone, Debug)]
pub struct NetworkSnapshot {
    /// The topology's name.
    pub name: Name,
    /// The event that last changed the topology.
    pub revision: Sequence,
    /// The event that last changed the bandwidth model.
    pub model_revision: Sequence,
    /// The topology.
    pub topology: Arc<Topology>,
    /// The bandwidth model.
    pub model: Arc<BandwidthModel>,
}

impl State {
    /// The state at this sequence number.
    pub fn snapshot(&self) -> Snapshot {
        let networks = self.networks.iter().map(|(name, network)| NetworkSnapshot {
            name: name.clone(),
            revision: network.revision,
            model_revision: network.model_revision,
            topology: Arc::clone(&network.topology),
            model: Arc::clone(&network.model),
        });
        Snapshot {
            sequence: self.sequence,
            networks: networks.collect(),
            controllers: self.controllers.values().cloned().collect(),
            allocations: self.allocations.values().cloned().collect(),
        }
    }

    /// A state with networks and no allocations yet; [`State::restore_allocations`] adds them.
    pub fn from_networks(
        sequence: Sequence,
        networks: Vec<NetworkSnapshot>,
        controllers: Vec<Arc<Controller>>,
    ) -> Self {
        let controllers = controllers.into_iter().map(|controller| (controller.name.clone(), controller));
        let mut state = Self { sequence, controllers: controllers.collect(), ..Self::default() };
        for snapshot in networks {
            let graph = Arc::new(Graph::new(&snapshot.topology));
            let mut network = Network::new(snapshot.topology, graph, snapshot.model);
            (network.revision, network.model_revision) = (snapshot.revision, snapshot.model_revision);
            state.networks.insert(snapshot.name, network);
        }
        state
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
