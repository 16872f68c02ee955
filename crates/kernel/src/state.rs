//! What is true: the networks with their books, and the allocations that live. A state follows from the events that were
//! applied to it and from nothing else. It is a value: versions share what did not change, so that a clone costs a few
//! references, and a change to one version is seen by no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::allocation::{Allocation, Demand, LspAttributes};
use super::bam::Slot;
use super::class::{CLASS_TYPES, ClassType};
use super::controller::{Controller, SchedulerTerm};
use super::id::{AllocationId, LinkIx, Name, Sequence};
use super::intent::{FlowNumber, FlowNumbers};
use super::ledger::Ledger;
use super::ledger_entry::{Claim, LedgerEntry, Span, Start};
use super::maintenance::{Closures, Maintenance, Maintenances};
use super::path::Graph;
use super::persistent_map::PersistentMap;
use super::policy::BandwidthModel;
use super::preemption_notice::PreemptionNotices;
use super::shared_pool::{SharedBackup, risks_of};
use super::tenant::{Tenant, Usage};
use super::topology::Topology;
use super::units::Millis;

/// The most allocations that may live at once.
pub const ALLOCATIONS_MAX: usize = 8_000_000;
/// The most allocations of one topology that may be booked for later.
pub const BOOKINGS_MAX: usize = 1_000_000;
/// The most topologies.
pub const TOPOLOGIES_MAX: usize = 256;

/// What is true at one sequence number.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct State {
    pub(super) sequence: Sequence,
    pub(super) networks: PersistentMap<Name, Arc<Network>>,
    pub(super) controllers: PersistentMap<Name, Arc<Controller>>,
    pub(super) allocations: PersistentMap<AllocationId, Arc<Allocation>>,
    pub(super) deadlines: PersistentMap<(Millis, AllocationId), ()>,
    /// Of the scheduled ones.
    pub(super) starts: PersistentMap<(Millis, AllocationId), ()>,
    pub(super) tenants: PersistentMap<Name, Arc<Tenant>>,
    /// By aggregator, the tenant that it is of.
    pub(super) aggregator_tenants: PersistentMap<Name, Name>,
    /// By tenant, and for each by topology and class, of those that have any.
    pub(super) usage: PersistentMap<Name, BTreeMap<(Name, ClassType), Usage>>,
    pub(super) flow_numbers: FlowNumbers,
    /// Those for whose protection something is to be done.
    pub(super) recovering: PersistentMap<AllocationId, ()>,
    /// Those whose bandwidth follows their traffic.
    pub(super) auto_bandwidth: PersistentMap<AllocationId, ()>,
    pub(super) scheduler: SchedulerTerm,
    pub(super) notices: PreemptionNotices,
}

/// A topology with its model and its books.
#[derive(Clone)]
pub struct Network {
    pub(super) created: Sequence,
    pub(super) revision: Sequence,
    pub(super) model_revision: Sequence,
    pub(super) topology: Arc<Topology>,
    pub(super) graph: Arc<Graph>,
    pub(super) model: Arc<BandwidthModel>,
    pub(super) ledger: Ledger,
    pub(super) living: [usize; CLASS_TYPES],
    /// The links that are not up because a controller saw it.
    pub(super) reported: Arc<BTreeSet<Name>>,
    maintenances: Arc<Maintenances>,
}

impl State {
    /// The state before any event.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last event applied.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// A network by its topology's name.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.get(name).map(|network| &**network)
    }

    /// All networks, by name.
    pub fn networks(&self) -> impl ExactSizeIterator<Item = (&Name, &Network)> {
        self.networks.iter().map(|(name, network)| (name, &**network))
    }

    /// A network, to be changed in this version.
    pub(super) fn network_mut(&mut self, name: &Name) -> Option<&mut Network> {
        self.networks.get_mut(name).map(Arc::make_mut)
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

    /// Which instance of the service schedules.
    pub fn scheduler(&self) -> &SchedulerTerm {
        &self.scheduler
    }

    /// A tenant by its name.
    pub fn tenant(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(name)
    }

    /// All tenants, by name.
    pub fn tenants(&self) -> impl ExactSizeIterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// The tenant of an aggregator.
    pub fn tenant_of(&self, aggregator: &Name) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.aggregator_tenants.get(aggregator)?)
    }

    /// The first aggregator among `aggregators` that is of another tenant than `tenant`.
    pub(super) fn aggregator_of_another(&self, tenant: &Name, aggregators: &BTreeSet<Name>) -> Option<(Name, Name)> {
        aggregators.iter().find_map(|aggregator| {
            let other = self.aggregator_tenants.get(aggregator).filter(|other| *other != tenant)?;
            Some((aggregator.clone(), other.clone()))
        })
    }

    /// Makes a tenant, or changes it.
    pub(super) fn insert_tenant(&mut self, tenant: Arc<Tenant>) {
        drop(self.remove_tenant(&tenant.name));
        for aggregator in &tenant.terms.aggregators {
            self.aggregator_tenants.insert(aggregator.clone(), tenant.name.clone());
        }
        self.tenants.insert(tenant.name.clone(), tenant);
    }

    /// Forgets a tenant, and that its aggregators are its own.
    pub(super) fn remove_tenant(&mut self, name: &Name) -> Option<Arc<Tenant>> {
        let old = self.tenants.remove(name)?;
        for aggregator in &old.terms.aggregators {
            self.aggregator_tenants.remove(aggregator);
        }
        Some(old)
    }

    /// What the living allocations of a tenant take, in a topology and of a class or in all.
    pub fn usage_of(&self, tenant: &Name, topology: Option<&Name>, class_type: Option<ClassType>) -> Usage {
        let is_wanted = |of: &Name, class: ClassType| {
            topology.is_none_or(|topology| topology == of) && class_type.is_none_or(|class_type| class_type == class)
        };
        let of_tenant = self.usage.get(tenant).into_iter().flatten();
        let wanted = of_tenant.filter(|((of, class), _)| is_wanted(of, *class));
        wanted.fold(Usage::default(), |sum, (_, usage)| sum.plus(*usage))
    }

    /// Counts an allocation for its tenant, or counts it no more.
    pub(super) fn count_usage(&mut self, allocation: &Allocation, change: fn(Usage, Usage) -> Usage) {
        let Demand { topology, class_type, attributes, .. } = &allocation.demand;
        let Some(tenant) = &attributes.tenant else { return };
        if !self.usage.contains_key(tenant) {
            self.usage.insert(tenant.clone(), BTreeMap::new());
        }
        let Some(of_tenant) = self.usage.get_mut(tenant) else { return };
        let key = (topology.clone(), *class_type);
        let after = change(of_tenant.get(&key).copied().unwrap_or_default(), Usage::of(allocation));
        if after == Usage::default() {
            of_tenant.remove(&key);
        } else {
            of_tenant.insert(key, after);
        }
        if of_tenant.is_empty() {
            self.usage.remove(tenant);
        }
    }

    /// The allocations that have notice of their preemption.
    pub fn notices(&self) -> &PreemptionNotices {
        &self.notices
    }

    /// A living allocation.
    pub fn allocation(&self, id: AllocationId) -> Option<&Arc<Allocation>> {
        self.allocations.get(&id)
    }

    /// The living allocations after `after`, oldest first.
    pub fn allocations_after(&self, after: Option<AllocationId>) -> impl Iterator<Item = &Arc<Allocation>> {
        let from = after.map_or(AllocationId(0), |id| AllocationId(id.0.saturating_add(1)));
        self.allocations.iter_from(&from).map(|(_, allocation)| allocation)
    }

    /// The number of a living allocation's flow; `None` if it has no flow, or no number is left.
    pub fn flow_number(&self, id: AllocationId) -> Option<FlowNumber> {
        self.flow_numbers.of(id)
    }

    /// Whether the flow of a living allocation waits for a number.
    pub fn waits_for_flow_number(&self, allocation: &Allocation) -> bool {
        self.flow_numbers.is_waiting(allocation.id, &allocation.demand.topology)
    }

    /// How many allocations live.
    pub fn allocation_count(&self) -> usize {
        self.allocations.len()
    }

    /// The next instant at which an allocation expires.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first_key_value().map(|((at, _), ())| *at)
    }

    /// The next instant at which a scheduled allocation starts.
    pub fn next_start(&self) -> Option<Millis> {
        self.starts.first_key_value().map(|((at, _), ())| *at)
    }

    /// The allocations after `after` for whose protection something is to be done, oldest first.
    pub fn recovering_after(&self, after: Option<AllocationId>) -> impl Iterator<Item = AllocationId> + '_ {
        let from = after.map_or(AllocationId(0), |id| AllocationId(id.0.saturating_add(1)));
        self.recovering.iter_from(&from).map(|(id, ())| *id)
    }

    /// The allocations whose bandwidth follows their traffic, oldest first.
    pub fn auto_bandwidth(&self) -> impl ExactSizeIterator<Item = AllocationId> + '_ {
        self.auto_bandwidth.iter().map(|(id, ())| *id)
    }

    /// How many scheduled allocations should have started by `now`; no more than `most` are counted.
    pub fn due_starts(&self, now: Millis, most: usize) -> usize {
        self.starts.iter().take_while(|((at, _), ())| *at <= now).take(most).count()
    }
}

impl Network {
    pub(super) fn new(topology: Arc<Topology>, graph: Arc<Graph>, model: Arc<BandwidthModel>) -> Self {
        let ledger = Ledger::new(&topology, &model);
        let (created, revision, model_revision) = (Sequence(0), Sequence(0), Sequence(0));
        Self {
            created,
            revision,
            model_revision,
            topology,
            graph,
            model,
            ledger,
            living: [0; CLASS_TYPES],
            reported: Arc::default(),
            maintenances: Arc::default(),
        }
    }

    /// All planned maintenance, by the event that planned it.
    pub fn maintenances(&self) -> impl ExactSizeIterator<Item = &Arc<Maintenance>> {
        self.maintenances.values()
    }

    /// Planned maintenance, by the event that planned it.
    pub fn maintenance(&self, id: Sequence) -> Option<&Arc<Maintenance>> {
        self.maintenances.get(&id)
    }

    /// What is planned is this and nothing else. A link that the topology does not have is not closed.
    pub(super) fn set_maintenances(&mut self, planned: Maintenances) {
        self.ledger.closures = Arc::new(Closures::of(&planned, &self.topology));
        self.maintenances = Arc::new(planned);
    }

    /// Adds what is planned, or changes it.
    pub(super) fn plan_maintenance(&mut self, maintenance: &Arc<Maintenance>) {
        let mut planned = Maintenances::clone(&self.maintenances);
        planned.insert(maintenance.id, Arc::clone(maintenance));
        self.set_maintenances(planned);
    }

    /// Forgets what was planned, if it was.
    pub(super) fn end_maintenance(&mut self, id: Sequence) -> Option<Arc<Maintenance>> {
        let mut planned = Maintenances::clone(&self.maintenances);
        let ended = planned.remove(&id);
        self.set_maintenances(planned);
        ended
    }

    /// The maintenance of another version of the network holds in this one.
    pub(super) fn keep_maintenances(&mut self, old: &Self) {
        self.set_maintenances(Maintenances::clone(&old.maintenances));
    }

    /// Whether a link is not up because a controller saw it: then a controller may take it up again.
    pub fn is_reported(&self, link: &Name) -> bool {
        self.reported.contains(link)
    }

    /// The links that are not up because a controller saw it, by name.
    pub fn reported(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.reported.iter()
    }

    /// The event that first put the topology: another one of the same name, put after this one was deleted, has another.
    pub fn created(&self) -> Sequence {
        self.created
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
        self.model.model.slot(allocation.demand.class_type, allocation.demand.hold_priority)
    }

    /// An allocation as the books know it.
    pub fn entry_of(&self, allocation: &Allocation) -> Option<LedgerEntry> {
        let slot = self.slot_of(allocation)?;
        self.entry_on(allocation.id, &allocation.demand, slot, &allocation.path, allocation.backup())
    }

    /// A demand on a route as the books know it.
    pub(super) fn entry_on(
        &self,
        id: AllocationId,
        demand: &Demand,
        slot: Slot,
        path: &Arc<[LinkIx]>,
        backup: Option<&Arc<[LinkIx]>>,
    ) -> Option<LedgerEntry> {
        let is_bidirectional = demand.attributes.is_bidirectional;
        let booked = |links: Arc<[LinkIx]>| if is_bidirectional { self.both_ways(&links) } else { links };
        let (links, shared) = match backup {
            None => (booked(Arc::clone(path)), None),
            Some(backup) if demand.attributes.booked_protection().is_some_and(|asked| asked.is_shared) => {
                let (links, risks) = (booked(Arc::clone(backup)), risks_of(path, &self.topology));
                (booked(Arc::clone(path)), Some(SharedBackup { links, risks }))
            }
            Some(backup) => (booked(path.iter().chain(backup.iter()).copied().collect()), None),
        };
        let span = self.span_of(demand)?;
        Some(LedgerEntry { id, slot, bandwidth: demand.bandwidth, links, shared, span, is_bidirectional })
    }

    /// Links with their other directions, of those that have any.
    fn both_ways(&self, links: &[LinkIx]) -> Arc<[LinkIx]> {
        let back = links.iter().filter_map(|link| self.ledger.twin(*link));
        links.iter().copied().chain(back).collect()
    }

    /// When a demand is in the books. A hold that lapses may be confirmed before: it counts to its end.
    pub fn span_of(&self, demand: &Demand) -> Option<Span> {
        let LspAttributes { starts_at, expires_at, .. } = demand.attributes;
        let setup_slot = || self.model.model.slot(demand.class_type, demand.setup_priority);
        let start = match starts_at {
            Some(at) => Some(Start { at, setup_slot: setup_slot()? }),
            None => None,
        };
        Some(Span { start, ends_at: expires_at })
    }

    /// An allocation that looks for another path, on which it takes bandwidth from no other.
    pub fn claim_of(&self, allocation: &Allocation) -> Option<Claim> {
        let entry = self.entry_of(allocation)?;
        Some(entry.claim(entry.slot))
    }
}

impl PartialEq for Network {
    /// The graph is left out: it follows from the topology.
    fn eq(&self, other: &Self) -> bool {
        self.created == other.created
            && self.revision == other.revision
            && self.model_revision == other.model_revision
            && self.topology == other.topology
            && self.model == other.model
            && self.ledger == other.ledger
            && self.living == other.living
            && self.maintenances == other.maintenances
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut network = f.debug_struct("Network");
        network.field("revision", &self.revision).field("model_revision", &self.model_revision);
        network.field("ledger", &self.ledger).field("living", &self.living).finish_non_exhaustive()
    }
}
