//! The steps that are left, stage by stage, when some of them fail: an allocation with a failed step is held back, so that
//! no traffic enters a path that is not whole and no rule is deleted that is still needed. The rest goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::datapath::Dpid;
use super::diff::{DiffStage, Task, diff};
use super::flow_table::{Role, Table, Tables};
use super::rule::Match;
use super::switch_ids::MplsLabel;
use crate::id::AllocationId;

/// The steps that are still to be taken.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    tasks: VecDeque<Task>,
    /// Allocations whose path is not whole, or not known to be; of those with one flow the first.
    held: BTreeSet<AllocationId>,
    flows: SharedFlows,
    /// Switches with a failed step.
    troubled: BTreeSet<Dpid>,
}

impl Agenda {
    /// The steps from the reported to the intended content. An allocation whose working path has a switch of which nothing is
    /// known is held back from the start. `lost` is what switches held that are out of contact: they may well forward by it.
    pub fn new(intended: &Tables, reported: &Tables, lost: &Tables) -> Self {
        let unknown = intended.iter().filter(|(dpid, _)| !reported.contains_key(dpid));
        let rules = unknown.flat_map(|(_, table): (_, &Table)| table.rules());
        let needed = rules.filter(|(place, seat)| !seat.is_standby(place));
        let flows = SharedFlows::of(intended, [reported, lost]);
        let held = needed.map(|(_, seat)| flows.first(seat.cookie.allocation())).collect();
        Self { held, flows, tasks: diff(intended, reported).into(), troubled: BTreeSet::new() }
    }

    /// How many steps are left.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// How many of them write a rule, a meter or a group.
    pub fn puts(&self) -> usize {
        self.tasks.iter().filter(|task| task.step.is_put()).count()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The switches where a rule, a meter or a group is to be written.
    pub fn switches_put(&self) -> BTreeSet<Dpid> {
        self.tasks.iter().filter(|task| task.step.is_put()).map(|task| task.switch).collect()
    }

    /// The switches with a step left, and the allocations that each serves.
    pub fn concerned(&self) -> impl Iterator<Item = (Dpid, AllocationId)> + '_ {
        self.tasks.iter().filter_map(|task| Some((task.switch, task.serves?)))
    }

    /// The allocations with a step left.
    pub fn serves(&self) -> impl Iterator<Item = AllocationId> + '_ {
        self.tasks.iter().filter_map(|task| task.serves)
    }

    /// The steps of the next stage, by switch and in order; `None` when all is done that can be.
    pub fn next_stage(&mut self) -> Option<BTreeMap<Dpid, Vec<Task>>> {
        while let Some(stage) = self.tasks.front().map(|task| task.stage) {
            let mut steps: BTreeMap<Dpid, Vec<Task>> = BTreeMap::new();
            while let Some(task) = self.tasks.pop_front_if(|task| task.stage == stage) {
                if self.may(&task) {
                    steps.entry(task.switch).or_default().push(task);
                }
            }
            if !steps.is_empty() {
                return Some(steps);
            }
        }
        None
    }

    /// A step failed, or its state is unknown.
    pub fn failed(&mut self, task: &Task) {
        self.held.extend(task.serves.map(|id| self.flows.first(id)));
        self.troubled.insert(task.switch);
    }

    fn may(&self, task: &Task) -> bool {
        let is_held = task.serves.is_some_and(|id| self.held.contains(&self.flows.first(id)));
        match task.stage {
            DiffStage::Retreat | DiffStage::Prepare | DiffStage::Leave => true,
            DiffStage::Move | DiffStage::Enter | DiffStage::Withdraw | DiffStage::Raise | DiffStage::Clear => !is_held,
            DiffStage::Discard => !is_held && !self.troubled.contains(&task.switch),
        }
    }
}

/// The allocations with one flow, split among them or handed on from one to the next: as the packets of one may take the path
/// of another, what fails for one of them holds all of them back. Each leads to another one of its flow, and at last to the
/// first.
#[derive(Clone, Debug, Default)]
struct SharedFlows(BTreeMap<AllocationId, AllocationId>);

impl SharedFlows {
    fn of(intended: &Tables, before: [&Tables; 2]) -> Self {
        let mut flows = Self::default();
        for (dpid, table) in intended {
            let before = |place| before.iter().find_map(|tables| tables.get(dpid)?.seat(place));
            for (place, seat) in table.rules().filter(|(place, seat)| seat.role(place) == Role::Head) {
                if let Some(before) = before(place) {
                    flows.join(before.cookie.allocation(), seat.cookie.allocation());
                }
            }
        }
        let [reported, lost] = before;
        let tables = [intended, reported, lost];
        let mut entered: BTreeMap<MplsLabel, AllocationId> = BTreeMap::new();
        for table in tables.iter().flat_map(|tables| tables.values()) {
            if table.groups().all(|group| group.buckets().is_empty()) {
                continue;
            }
            for (_, seat) in table.rules() {
                let group = seat.group().and_then(|id| table.group(id));
                for label in group.iter().flat_map(|group| group.labels()) {
                    let id = seat.cookie.allocation();
                    flows.join(id, entered.insert(label, id).unwrap_or(id));
                }
            }
        }
        if !entered.is_empty() {
            for (place, seat) in tables.iter().flat_map(|tables| tables.values()).flat_map(Table::rules) {
                if let Match::Mpls { label, .. } = place.matches
                    && let Some(id) = entered.get(&label)
                {
                    flows.join(*id, seat.cookie.allocation());
                }
            }
        }
        flows
    }

    fn first(&self, mut id: AllocationId) -> AllocationId {
        while let Some(other) = self.0.get(&id) {
            id = *other;
        }
        id
    }

    fn join(&mut self, one: AllocationId, other: AllocationId) {
        let (one, other) = (self.first(one), self.first(other));
        if one != other {
            self.0.insert(one.max(other), one.min(other));
        }
    }
}
