//! What is known of a controller and of the allocations whose rules it is to hold. Soft: it is lost with the process and
//! found out again. It has an entry only for allocations that are not in force, so that a million that are cost nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::broadcast;

use super::throttled_driver::ThrottledDriver;
use crate::journal::record::AllocationRecord;
use crate::southbound::DriverError;
use kernel::State;
use kernel::allocation::{Allocation, LspState};
use kernel::id::{AllocationId, LinkIx, Name, Sequence};
use kernel::intent::Dpid;
use kernel::units::Millis;

/// How many pieces of news a slow listener may fall behind before it misses some.
const NEWS_KEPT: usize = 4_096;

/// Where an allocation is, and why it is not in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Installing, active, rerouting or degraded.
    pub state: LspState,
    /// Why, if it is not in force.
    pub reason: Option<Arc<str>>,
}

impl Condition {
    /// In force.
    pub const ACTIVE: Self = Self { state: LspState::Active, reason: None };
    /// On its way.
    pub const INSTALLING: Self = Self { state: LspState::Installing, reason: None };

    pub(super) fn degraded(reason: impl ToString) -> Self {
        Self { state: LspState::Degraded, reason: Some(reason.to_string().into()) }
    }
}

/// Something that changed in the field and is not in the journal.
#[derive(Clone, Debug)]
pub enum FieldEvent {
    /// An allocation is in another condition.
    Turned {
        /// Which.
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
    /// Switches were found to hold something else than they should, and were put right.
    Repaired {
        /// Through which controller.
        controller: Name,
        /// How many steps it took.
        steps: u64,
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
    /// Rules and meters that switches should hold.
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
    /// What holds for everybody as long as nothing is known.
    everybody: Option<Condition>,
    exceptions: BTreeMap<AllocationId, Condition>,
    loads: BTreeMap<LinkIx, Load>,
}

/// What a link was measured to carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// In bit/s, over all traffic.
    pub carried_bps: u64,
    /// When.
    pub at: Millis,
}

impl StatusCell {
    pub(super) fn new(topology: Name) -> Self {
        let inner = StatusInner {
            status: ControllerStatus::default(),
            known_until: Sequence(0),
            everybody: Some(Condition::INSTALLING),
            exceptions: BTreeMap::new(),
            loads: BTreeMap::new(),
        };
        Self { topology, inner: RwLock::new(inner) }
    }

    /// What is known of the controller.
    pub fn status(&self) -> ControllerStatus {
        self.look(|inner| inner.status.clone())
    }

    /// Where an allocation of this topology is.
    pub fn condition(&self, allocation: &Allocation) -> Condition {
        // Without a flow there is nothing to install.
        if allocation.demand.attributes.flow.is_none() { Condition::ACTIVE } else { self.condition_of(allocation.id) }
    }

    pub(super) fn condition_of(&self, id: AllocationId) -> Condition {
        self.look(|inner| match (inner.exceptions.get(&id), &inner.everybody) {
            (Some(condition), _) | (None, Some(condition)) => condition.clone(),
            (None, None) if id.0 > inner.known_until.0 => Condition::INSTALLING,
            (None, None) => Condition::ACTIVE,
        })
    }

    /// What a link was last measured to carry.
    pub fn load(&self, link: LinkIx) -> Option<Load> {
        self.look(|inner| inner.loads.get(&link).copied())
    }

    pub(super) fn set_status(&self, change: impl FnOnce(&mut ControllerStatus)) {
        self.change(|inner| change(&mut inner.status));
    }

    pub(super) fn set_everybody(&self, condition: Option<Condition>) {
        self.change(|inner| inner.everybody = condition);
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

    pub(super) fn set_load(&self, link: LinkIx, load: Load) {
        self.change(|inner| inner.loads.insert(link, load));
    }

    pub(super) fn forget_loads(&self) {
        self.change(|inner| inner.loads.clear());
    }

    /// The controller cannot be used at all.
    pub(super) fn give_up(&self, error: &DriverError, at: Millis) {
        self.change(|inner| {
            inner.everybody = Some(Condition::degraded(error));
            inner.status.reachable = Some(false);
            inner.status.since = Some(at);
            inner.status.last_error = Some((error.to_string().into(), at));
        });
    }

    fn look<T>(&self, look: impl FnOnce(&StatusInner) -> T) -> T {
        // Nothing panics while holding it.
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut StatusInner) -> T) -> T {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A controller's board, and the hand that reaches it, if there is one.
#[derive(Clone, Debug)]
struct ControllerSlot {
    board: Arc<StatusCell>,
    hand: Option<Arc<ThrottledDriver>>,
}

/// The boards of all controllers, and their news.
#[derive(Debug)]
pub(in crate::app) struct Boards {
    by_controller: RwLock<BTreeMap<Name, ControllerSlot>>,
    news: broadcast::Sender<FieldEvent>,
}

impl Boards {
    pub(in crate::app) fn new() -> Self {
        Self { by_controller: RwLock::default(), news: broadcast::channel(NEWS_KEPT).0 }
    }

    pub(super) fn hang(&self, controller: &Name, board: Arc<StatusCell>, hand: Option<Arc<ThrottledDriver>>) {
        let post = ControllerSlot { board, hand };
        self.by_controller.write().unwrap_or_else(PoisonError::into_inner).insert(controller.clone(), post);
    }

    /// Every controller has a board from the moment that it is in the books, before there is a worker: without one, what
    /// is still to be installed would seem to be in force.
    pub(in crate::app) fn keep_up_with(&self, state: &State) {
        let mut posts = self.by_controller.write().unwrap_or_else(PoisonError::into_inner);
        for controller in state.controllers() {
            let hangs = posts.get(&controller.name).is_some_and(|post| post.board.topology == controller.topology);
            if !hangs {
                let post = ControllerSlot { board: Arc::new(StatusCell::new(controller.topology.clone())), hand: None };
                posts.insert(controller.name.clone(), post);
            }
        }
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.by_controller.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    pub(super) fn take_down(&self, controller: &Name) {
        self.by_controller.write().unwrap_or_else(PoisonError::into_inner).remove(controller);
    }

    pub(super) fn tell(&self, news: FieldEvent) {
        // Nobody listening is no fault.
        let _ = self.news.send(news);
    }

    pub(in crate::app) fn listen(&self) -> broadcast::Receiver<FieldEvent> {
        self.news.subscribe()
    }

    pub(in crate::app) fn board(&self, controller: &Name) -> Option<Arc<StatusCell>> {
        self.post(controller).map(|post| post.board)
    }

    pub(super) fn hand(&self, controller: &Name) -> Option<Arc<ThrottledDriver>> {
        self.post(controller)?.hand
    }

    fn post(&self, controller: &Name) -> Option<ControllerSlot> {
        self.by_controller.read().unwrap_or_else(PoisonError::into_inner).get(controller).cloned()
    }

    pub(in crate::app) fn all(&self) -> Conditions {
        let posts = self.by_controller.read().unwrap_or_else(PoisonError::into_inner);
        let boards = posts.values().map(|post| (post.board.topology.clone(), Arc::clone(&post.board)));
        Conditions { by_topology: boards.collect() }
    }
}

/// Where allocations are, whatever their topology.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    by_topology: BTreeMap<Name, Arc<StatusCell>>,
}

impl Conditions {
    /// Where a living allocation is. With no controller for its topology it is in force at once.
    pub fn of(&self, allocation: &Allocation) -> Condition {
        match self.by_topology.get(&allocation.demand.topology) {
            Some(board) => board.condition(allocation),
            None => Condition::ACTIVE,
        }
    }

    /// Where a living allocation is, by its record.
    pub fn of_record(&self, record: &AllocationRecord) -> Condition {
        match (self.by_topology.get(&record.topology.0), &record.flow) {
            (Some(board), Some(_)) => board.condition_of(record.id.0),
            _ => Condition::ACTIVE,
        }
    }

    /// Whether a topology has a controller.
    pub fn is_controlled(&self, topology: &Name) -> bool {
        self.by_topology.contains_key(topology)
    }

    /// What a link was last measured to carry.
    pub fn load(&self, topology: &Name, link: LinkIx) -> Option<Load> {
        self.by_topology.get(topology)?.load(link)
    }
}
