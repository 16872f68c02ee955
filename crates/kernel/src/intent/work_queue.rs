//! The steps that are left, stage by stage, when some of them fail: an allocation with a failed step is held back, so that
//! no traffic enters a path that is not whole and no rule is deleted that is still needed. The rest goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::datapath::Dpid;
use super::diff::{DiffStage, Task, diff};
use super::flow_table::{Table, Tables};
use crate::id::AllocationId;

/// The steps that are still to be taken.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    tasks: VecDeque<Task>,
    /// Allocations whose path is not whole, or not known to be.
    held: BTreeSet<AllocationId>,
    /// Switches with a failed step.
    troubled: BTreeSet<Dpid>,
}

impl Agenda {
    /// The steps from the reported to the intended content. An allocation whose working path has a switch of which nothing is
    /// known is held back from the start.
    pub fn new(intended: &Tables, reported: &Tables) -> Self {
        let unknown = intended.iter().filter(|(dpid, _)| !reported.contains_key(dpid));
        let rules = unknown.flat_map(|(_, table): (_, &Table)| table.rules());
        let needed = rules.filter(|(place, seat)| !seat.is_standby(place));
        let held = needed.map(|(_, seat)| seat.cookie.allocation());
        Self { held: held.collect(), tasks: diff(intended, reported).into(), troubled: BTreeSet::new() }
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
        self.held.extend(task.serves);
        self.troubled.insert(task.switch);
    }

    fn may(&self, task: &Task) -> bool {
        let is_held = task.serves.is_some_and(|id| self.held.contains(&id));
        match task.stage {
            DiffStage::Retreat | DiffStage::Prepare | DiffStage::Leave => true,
            DiffStage::Move | DiffStage::Enter | DiffStage::Withdraw | DiffStage::Clear => !is_held,
            DiffStage::Discard => !is_held && !self.troubled.contains(&task.switch),
        }
    }
}
