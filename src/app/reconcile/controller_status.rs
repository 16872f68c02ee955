//! What is known of a controller and of the allocations whose rules it is to hold. Soft: it is lost with the process and
//! found out again. It has an entry only for allocations that are not in force, so that a million that are cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::measurement::{LinkReport, Load, TrafficReport};
use super::throttled_driver::ThrottledDriver;
use crate::southbound::DriverError;
use kernel::State;
use kernel::allocation::Allocation;
use kernel::id::{AllocationId, LinkIx, Name, Sequence};
use kernel::intent::Dpid;
use kernel::preemption_notice::{PreemptionNotice, PreemptionNotices};
use kernel::units::Millis;

/// How many events a slow subscriber may fall behind before it misses some.
const EVENTS_KEPT: usize = 4_096;

/// How far the switches hold what a living allocation needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LspState {
    /// Admitted; its rules are on their way to the switches for the first time.
    Installing,
    /// Its rules were read back from every switch of its path, or it needs none.
    Active,
    /// In force on its old path while the rules of the new one are installed.
    Rerouting,
    /// Reserved, but the switches or their controller do not hold its rules.
    Degraded,
}

impl LspState {
    /// The state once an allocation needs other rules: only one that was never in force is still being installed.
    pub(super) fn on_change(self) -> Self {
        match self {
            Self::Installing => Self::Installing,
            Self::Active | Self::Rerouting | Self::Degraded => Self::Rerouting,
        }
    }
}

/// Where an allocation is, and why it is not in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Installing, active, rerouting or degraded.
    pub state: LspState,
    /// Why, if it is not in force, or not as protected as it should be.
    pub reason: Option<Arc<str>>,
    /// What will end it, as far as it is foreseen.
    pub preemption: Option<PreemptionNotice>,
    /// What is measured for its auto-bandwidth, if it asks for it.
    pub traffic: Option<TrafficReport>,
}

impl Condition {
    /// In force.
    pub const ACTIVE: Self = Self { state: LspState::Active, reason: None, preemption: None, traffic: None };
    /// On its way.
    pub const INSTALLING: Self = Self { state: LspState::Installing, ..Self::ACTIVE };

    /// In force, while packets have no way yet when a port of the working path is dead.
    pub(super) fn without_standby() -> Self {
        let reason = "the switches do not hold all rules of its backup path";
        Self { reason: Some(reason.into()), ..Self::ACTIVE }
    }

    /// Its rules are in force, and a part of its packets is another's.
    pub(super) fn below(older: AllocationId) -> Self {
        let reason =
            format!("packets that are of its flow and of that of allocation {older} belong to {older}, which is older");
        Self { reason: Some(reason.into()), ..Self::ACTIVE }
    }

    pub(super) fn degraded(reason: impl ToString) -> Self {
        Self { state: LspState::Degraded, reason: Some(reason.to_string().into()), ..Self::ACTIVE }
    }
}

/// A change on switches or controllers, which is not in the journal.
#[derive(Clone, Debug)]
pub enum FieldEvent {
    /// An allocation is in another condition.
    Turned {
        id: AllocationId,
        /// In which topology.
        topology: Name,
        /// Since when.
        at: Millis,
        /// In which.
        condition: Condition,
    },
    /// What was decided about an allocation was verified on the switches.
    Installed {
        /// Through which controller.
        controller: Name,
        /// How long after it was decided.
        took_ms: u64,
    },
    /// An audit found switches that held other rules than intended.
    Repaired {
        /// Through which controller.
        controller: Name,
        /// The steps that put them right.
        steps: u64,
    },
    /// A bandwidth that auto-bandwidth wants was refused outright, which is no event of the journal.
    AdjustmentRefused {
        /// The allocation.
        id: AllocationId,
    },
}

/// What is known of a controller.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ControllerStatus {
    /// Whether it answers; `None`: it was not asked yet.
    pub reachable: Option<bool>,
    /// Since when.
    pub since: Option<Millis>,
    /// The switches of the topology, and what is wrong with each, if anything.
    pub switches: BTreeMap<Dpid, Option<Arc<str>>>,
    /// Whether switches can be given groups through it; `None`: it was not asked yet.
    pub has_groups: Option<bool>,
    /// Rules, meters and groups that switches should hold.
    pub intended: u64,
    /// Of these, those that they are known to hold.
    pub installed: u64,
    /// Steps that are to be taken: what is missing, wrong or too much.
    pub drifting: u64,
    /// Allocations that are not in force.
    pub unsettled: u64,
    /// When everything was last seen to be as it should be.
    pub settled_at: Option<Millis>,
    /// What last went wrong, and when.
    pub last_error: Option<(Arc<str>, Millis)>,
}

/// What is known through one controller.
#[derive(Debug)]
pub struct StatusCell {
    /// Whose switches it has.
    pub topology: Name,
    inner: RwLock<StatusInner>,
}

#[derive(Debug)]
struct StatusInner {
    status: ControllerStatus,
    /// Those with later numbers were not looked at yet.
    known_until: Sequence,
    /// The condition of all allocations while nothing is known of the switches.
    all_in: Option<Condition>,
    exceptions: BTreeMap<AllocationId, Condition>,
    loads: BTreeMap<LinkIx, Load>,
    /// Of the allocations with auto-bandwidth.
    traffic: BTreeMap<AllocationId, TrafficReport>,
    /// Why links cannot carry packets, as the controller sees it.
    link_problems: BTreeMap<LinkIx, Arc<str>>,
    /// The switches that the controller has lost, and since when.
    lost: BTreeMap<Dpid, Instant>,
    /// The switches that split no flow.
    splitless: BTreeSet<Dpid>,
}

impl StatusCell {
    pub(super) fn new(topology: Name) -> Self {
        let inner = StatusInner {
            status: ControllerStatus::default(),
            known_until: Sequence(0),
            all_in: Some(Condition::INSTALLING),
            exceptions: BTreeMap::new(),
            loads: BTreeMap::new(),
            traffic: BTreeMap::new(),
            link_problems: BTreeMap::new(),
            lost: BTreeMap::new(),
            splitless: BTreeSet::new(),
        };
        Self { topology, inner: RwLock::new(inner) }
    }

    /// What is known of the controller.
    pub fn status(&self) -> ControllerStatus {
        self.read(|inner| inner.status.clone())
    }

    /// Where an allocation of this topology is.
    pub fn condition(&self, allocation: &Allocation) -> Condition {
        // Without a flow there is nothing to install.
        if allocation.demand.attributes.flow.is_none() { Condition::ACTIVE } else { self.condition_of(allocation.id) }
    }

    pub(super) fn condition_of(&self, id: AllocationId) -> Condition {
        self.read(|inner| match (inner.exceptions.get(&id), &inner.all_in) {
            (Some(condition), _) | (None, Some(condition)) => condition.clone(),
            (None, None) if id.0 > inner.known_until.0 => Condition::INSTALLING,
            (None, None) => Condition::ACTIVE,
        })
    }

    /// What is known of a link.
    pub fn link(&self, link: LinkIx) -> LinkReport {
        self.read(|inner| LinkReport {
            load: inner.loads.get(&link).copied(),
            problem: inner.link_problems.get(&link).cloned(),
        })
    }

    pub(super) fn set_status(&self, change: impl FnOnce(&mut ControllerStatus)) {
        self.change(|inner| change(&mut inner.status));
    }

    pub(super) fn set_all_in(&self, condition: Option<Condition>) {
        self.change(|inner| inner.all_in = condition);
    }

    pub(super) fn set_known_until(&self, sequence: Sequence) {
        self.change(|inner| inner.known_until = sequence);
    }

    /// An allocation is in this condition now; answers whether it was in another before.
    pub(super) fn set_condition(&self, id: AllocationId, condition: &Condition) -> bool {
        let before = self.condition_of(id);
        self.change(|inner| {
            if *condition == Condition::ACTIVE {
                inner.exceptions.remove(&id);
            } else {
                inner.exceptions.insert(id, condition.clone());
            }
        });
        before != *condition
    }

    pub(super) fn forget(&self, id: AllocationId) {
        self.change(|inner| inner.exceptions.remove(&id));
    }

    fn traffic(&self, id: AllocationId) -> TrafficReport {
        let report = self.read(|inner| inner.traffic.get(&id).cloned());
        report.unwrap_or_else(|| TrafficReport::nothing("nothing is measured yet"))
    }

    pub(super) fn set_traffic(&self, id: AllocationId, report: TrafficReport) {
        self.change(|inner| inner.traffic.insert(id, report));
    }

    pub(super) fn forget_traffic(&self, id: AllocationId) {
        self.change(|inner| inner.traffic.remove(&id));
    }

    pub(super) fn set_load(&self, link: LinkIx, load: Load) {
        self.change(|inner| inner.loads.insert(link, load));
    }

    /// Links may have other numbers now.
    pub(super) fn forget_links(&self) {
        self.change(|inner| {
            inner.loads.clear();
            inner.link_problems.clear();
        });
    }

    pub(super) fn set_link_problems(&self, problems: BTreeMap<LinkIx, Arc<str>>) {
        self.change(|inner| inner.link_problems = problems);
    }

    /// A switch is lost to the controller, or is not.
    pub(super) fn set_lost(&self, switch: Dpid, is_lost: bool) {
        self.change(|inner| {
            if is_lost {
                inner.lost.entry(switch).or_insert_with(Instant::now);
            } else {
                inner.lost.remove(&switch);
            }
        });
    }

    /// The switches that are lost to the controller, and since when.
    pub(super) fn lost_since(&self) -> BTreeMap<Dpid, Instant> {
        self.read(|inner| inner.lost.clone())
    }

    /// A switch splits no flow.
    pub(super) fn set_splitless(&self, switch: Dpid) {
        self.change(|inner| inner.splitless.insert(switch));
    }

    /// The controller cannot be used at all.
    pub(super) fn set_unusable(&self, error: &DriverError, at: Millis) {
        self.change(|inner| {
            inner.all_in = Some(Condition::degraded(error));
            inner.status.reachable = Some(false);
            inner.status.since = Some(at);
            inner.status.last_error = Some((error.to_string().into(), at));
        });
    }

    fn read<T>(&self, look: impl FnOnce(&StatusInner) -> T) -> T {
        // Nothing panics while holding it.
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut StatusInner) -> T) -> T {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A controller's status, and its driver, if it has a usable one.
#[derive(Clone, Debug)]
struct ControllerSlot {
    status: Arc<StatusCell>,
    driver: Option<Arc<ThrottledDriver>>,
}

/// All controllers of the state, and what changes on their switches.
#[derive(Debug)]
pub(in crate::app) struct Controllers {
    by_controller: RwLock<BTreeMap<Name, ControllerSlot>>,
    events: broadcast::Sender<FieldEvent>,
}

impl Controllers {
    pub(in crate::app) fn new() -> Self {
        Self { by_controller: RwLock::default(), events: broadcast::channel(EVENTS_KEPT).0 }
    }

    pub(super) fn insert(&self, controller: &Name, status: Arc<StatusCell>, driver: Option<Arc<ThrottledDriver>>) {
        let slot = ControllerSlot { status, driver };
        self.by_controller.write().unwrap_or_else(PoisonError::into_inner).insert(controller.clone(), slot);
    }

    /// Adds the controllers of the state that are missing. A controller has a status before it has a worker: without one,
    /// allocations that are still to be installed would seem to be in force.
    pub(in crate::app) fn add_new(&self, state: &State) {
        let mut slots = self.by_controller.write().unwrap_or_else(PoisonError::into_inner);
        for controller in state.controllers() {
            let is_known = slots.get(&controller.name).is_some_and(|slot| slot.status.topology == controller.topology);
            if !is_known {
                let status = Arc::new(StatusCell::new(controller.topology.clone()));
                slots.insert(controller.name.clone(), ControllerSlot { status, driver: None });
            }
        }
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.by_controller.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    pub(super) fn remove(&self, controller: &Name) {
        self.by_controller.write().unwrap_or_else(PoisonError::into_inner).remove(controller);
    }

    pub(super) fn publish(&self, event: FieldEvent) {
        // There may be no subscriber.
        let _ = self.events.send(event);
    }

    pub(in crate::app) fn subscribe(&self) -> broadcast::Receiver<FieldEvent> {
        self.events.subscribe()
    }

    pub(in crate::app) fn status(&self, controller: &Name) -> Option<Arc<StatusCell>> {
        self.slot(controller).map(|slot| slot.status)
    }

    pub(super) fn driver(&self, controller: &Name) -> Option<Arc<ThrottledDriver>> {
        self.slot(controller)?.driver
    }

    fn slot(&self, controller: &Name) -> Option<ControllerSlot> {
        self.by_controller.read().unwrap_or_else(PoisonError::into_inner).get(controller).cloned()
    }

    pub(in crate::app) fn conditions(&self) -> Conditions {
        let slots = self.by_controller.read().unwrap_or_else(PoisonError::into_inner);
        let cells = slots.values().map(|slot| (slot.status.topology.clone(), Arc::clone(&slot.status)));
        Conditions { by_topology: cells.collect(), ..Conditions::default() }
    }
}

/// Where allocations are, whatever their topology.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    by_topology: BTreeMap<Name, Arc<StatusCell>>,
    notices: PreemptionNotices,
}

impl Conditions {
    /// The same, with who has notice of preemption.
    #[must_use]
    pub fn with_notices(self, notices: PreemptionNotices) -> Self {
        Self { notices, ..self }
    }

    /// The allocations that have notice of preemption.
    pub fn notices(&self) -> &PreemptionNotices {
        &self.notices
    }

    /// Where a living allocation is. With no controller for its topology it is in force at once.
    pub fn of(&self, allocation: &Allocation) -> Condition {
        let status = self.by_topology.get(&allocation.demand.topology);
        let condition = status.map_or(Condition::ACTIVE, |status| status.condition(allocation));
        let traffic = allocation.demand.attributes.auto_bandwidth.as_ref().map(|_| match status {
            Some(status) => status.traffic(allocation.id),
            None => TrafficReport::nothing("nothing is measured: the topology has no controller"),
        });
        Condition { preemption: self.notices.of(allocation.id), traffic, ..condition }
    }

    /// By topology, the switches that split no flow, as far as it was tried.
    pub fn splitless(&self) -> BTreeMap<Name, BTreeSet<Dpid>> {
        let of = |(topology, status): (&Name, &Arc<StatusCell>)| {
            let splitless = status.read(|inner| inner.splitless.clone());
            (!splitless.is_empty()).then(|| (topology.clone(), splitless))
        };
        self.by_topology.iter().filter_map(of).collect()
    }

    /// Whether a topology has a controller.
    pub fn is_controlled(&self, topology: &Name) -> bool {
        self.by_topology.contains_key(topology)
    }

    /// What is known of a link through its controller.
    pub fn link(&self, topology: &Name, link: LinkIx) -> LinkReport {
        self.by_topology.get(topology).map(|status| status.link(link)).unwrap_or_default()
    }
}
