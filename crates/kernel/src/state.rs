//! What is true: the networks with their books, and the allocations that live. A state follows from the events that were
//! applied to it and from nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::allocation::Allocation;
use super::apply::ApplyError;
use super::bam::Slot;
use super::class::{CLASS_TYPES, ClassType};
use super::controller::Controller;
use super::id::{AllocationId, Name, Sequence};
use super::ledger::{Ledger, LedgerEntry};
use super::path::Graph;
use super::policy::BandwidthModel;
use super::topology::Topology;
use super::units::Millis;

/// The most allocations that may live at once.
pub const ALLOCATIONS_MAX: usize = 8_000_000;
/// The most topologies.
pub const TOPOLOGIES_MAX: usize = 256;

/// What is true at one sequence number.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct State {
    pub(super) sequence: Sequence,
    pub(super) networks: BTreeMap<Name, Network>,
    pub(super) controllers: BTreeMap<Name, Arc<Controller>>,
    pub(super) allocations: BTreeMap<AllocationId, Arc<Allocation>>,
    pub(super) deadlines: BTreeSet<(Millis, AllocationId)>,
}

/// A topology with its model and its books.
#[derive(Clone)]
pub struct Network {
    pub(super) revision: Sequence,
    pub(super) model_revision: Sequence,
    pub(super) topology: Arc<Topology>,
    pub(super) graph: Arc<Graph>,
    pub(super) model: Arc<BandwidthModel>,
    pub(super) ledger: Ledger,
    pub(super) living: [usize; CLASS_TYPES],
}

impl State {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last event applied.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// A network by its topology's name.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.get(name)
    }

    /// All networks, by name.
    pub fn networks(&self) -> impl ExactSizeIterator<Item = (&Name, &Network)> {
        self.networks.iter()
    }

    /// A controller by its name.
    pub fn controller(&self, name: &str) -> Option<&Arc<Controller>> {
        self.controllers.get(name)
    }

    /// All controllers, by name.
    pub fn controllers(&self) -> impl ExactSizeIterator<Item = &Arc<Controller>> {
        self.controllers.values()
    }

    /// The controller that has a topology's switches.
    pub fn controller_of(&self, topology: &str) -> Option<&Arc<Controller>> {
        self.controllers.values().find(|controller| controller.topology.as_str() == topology)
    }

    /// A living allocation.
    pub fn allocation(&self, id: AllocationId) -> Option<&Arc<Allocation>> {
        self.allocations.get(&id)
    }

    /// The living allocations after `after`, oldest first.
    pub fn allocations_after(&self, after: Option<AllocationId>) -> impl Iterator<Item = &Arc<Allocation>> {
        let from = after.map_or(AllocationId(0), |id| AllocationId(id.0.saturating_add(1)));
        self.allocations.range(from..).map(|(_, allocation)| allocation)
    }

    /// How many allocations live.
    pub fn allocation_count(&self) -> usize {
        self.allocations.len()
    }

    /// When something will have to be done even if nobody asks.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(at, _)| *at)
    }
}

/// A state laid out flat: what it takes to build it again. Cheap to take, since nothing large is copied.
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
    /// Lays the state out flat.
    pub fn freeze(&self) -> Snapshot {
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

    /// A state with networks and no allocations yet, to be given them with [`State::thaw_allocations`].
    pub fn thaw_networks(
        sequence: Sequence,
        networks: Vec<NetworkSnapshot>,
        controllers: Vec<Arc<Controller>>,
    ) -> Self {
        let controllers = controllers.into_iter().map(|controller| (controller.name.clone(), controller));
        let mut state = Self { sequence, controllers: controllers.collect(), ..Self::default() };
        for frozen in networks {
            let graph = Arc::new(Graph::new(&frozen.topology));
            let mut network = Network::new(frozen.topology, graph, frozen.model);
            (network.revision, network.model_revision) = (frozen.revision, frozen.model_revision);
            state.networks.insert(frozen.name, network);
        }
        state
    }

    /// Gives a thawed state some of its allocations back, the more at once the better.
    ///
    /// # Errors
    /// One does not fit: its network, class or path is not there, or its number is taken or in the future. The state is
    /// of no use then.
    pub fn thaw_allocations(&mut self, allocations: Vec<Allocation>) -> Result<(), ApplyError> {
        super::apply::thaw(self, allocations)
    }
}

impl Network {
    pub(super) fn new(topology: Arc<Topology>, graph: Arc<Graph>, model: Arc<BandwidthModel>) -> Self {
        let ledger = Ledger::new(&topology, &model);
        let (revision, model_revision) = (Sequence(0), Sequence(0));
        Self { revision, model_revision, topology, graph, model, ledger, living: [0; CLASS_TYPES] }
    }

    /// The event that last changed the topology.
    pub fn revision(&self) -> Sequence {
        self.revision
    }

    /// The event that last changed the bandwidth model.
    pub fn model_revision(&self) -> Sequence {
        self.model_revision
    }

    /// The topology.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The topology as path searches see it.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The bandwidth model.
    pub fn model(&self) -> &Arc<BandwidthModel> {
        &self.model
    }

    /// The books.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many allocations live in it.
    pub fn live(&self) -> usize {
        self.living.iter().sum()
    }

    /// How many allocations of each class type live in it, for the classes of its model.
    pub fn living_by_class(&self) -> impl Iterator<Item = (ClassType, usize)> + '_ {
        self.model.model.classes().iter().map(|class| (class.class_type, self.living[class.class_type.at()]))
    }

    /// The column in which an allocation is booked: its class at its hold priority.
    pub fn slot_of(&self, allocation: &Allocation) -> Option<Slot> {
        self.model.model.slot(allocation.class_type, allocation.hold_priority)
    }

    /// An allocation as the books know it.
    pub fn entry_of(&self, allocation: &Allocation) -> Option<LedgerEntry> {
        Some(LedgerEntry {
            id: allocation.id,
            slot: self.slot_of(allocation)?,
            bandwidth: allocation.bandwidth,
            path: Arc::clone(&allocation.path),
        })
    }
}

impl PartialEq for Network {
    /// The graph is left out: it follows from the topology.
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision
            && self.model_revision == other.model_revision
            && self.topology == other.topology
            && self.model == other.model
            && self.ledger == other.ledger
            && self.living == other.living
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut network = f.debug_struct("Network");
        network.field("revision", &self.revision).field("model_revision", &self.model_revision);
        network.field("ledger", &self.ledger).field("living", &self.living).finish_non_exhaustive()
    }
}
