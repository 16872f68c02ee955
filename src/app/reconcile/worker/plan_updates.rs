//! From commits to the plan: which rules the switches should hold.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::super::controller_status::Condition;
use super::Worker;
use super::pending_commits::{Changes, What};
use super::switch_io::{NumberedAllocation, find, page_after};
use kernel::allocation::Allocation;
use kernel::id::AllocationId;
use kernel::topology::Topology;

impl Worker {
    /// Brings the plan up to date.
    pub(super) async fn update_plan(&mut self, changes: &mut Changes) {
        let until = changes.until;
        if self.controller.is_closing {
            changes.what = What::These(BTreeSet::new());
            self.forget_everything();
            self.arrange();
            self.status.set_all_in(Some(Condition::degraded("its controller is being deleted")));
            return self.status.set_known_until(until);
        }
        match std::mem::replace(&mut changes.what, What::These(BTreeSet::new())) {
            What::Everything => self.reload_plan().await,
            What::These(ids) if ids.is_empty() => {}
            What::These(ids) => {
                // A number that was given back may be another's now.
                let ids: Vec<AllocationId> = ids.into_iter().chain(self.plan.unnumbered()).collect();
                let found = find(self.app.clone(), self.controller.topology.clone(), ids).await;
                let Some((topology, found)) = found else { return self.forget_everything() };
                for (id, allocation) in found {
                    self.update_one(id, allocation.as_ref(), &topology);
                }
            }
        }
        self.arrange();
        self.status.set_known_until(until);
    }

    /// Page by page, so that the writer does not wait long; an allocation that changes meanwhile comes with a commit.
    async fn reload_plan(&mut self) {
        self.status.forget_links();
        let name = self.controller.topology.clone();
        let mut after = None;
        let mut met = BTreeSet::new();
        loop {
            let Some((topology, page)) = page_after(self.app.clone(), name.clone(), after).await else {
                return self.forget_everything();
            };
            let Some(last) = page.last().map(|(allocation, _)| allocation.id) else { break };
            after = Some(last);
            let is_ours = |lsp: &Allocation| lsp.demand.topology == name && lsp.wants_rules();
            for numbered in page.iter().filter(|(allocation, _)| is_ours(allocation)) {
                met.insert(numbered.0.id);
                self.update_one(numbered.0.id, Some(numbered), &topology);
            }
        }
        let gone: Vec<AllocationId> = self.plan.allocations().filter(|id| !met.contains(id)).collect();
        gone.into_iter().for_each(|id| self.drop_one(id));
    }

    fn forget_everything(&mut self) {
        let all: Vec<AllocationId> = self.plan.allocations().collect();
        all.into_iter().for_each(|id| self.drop_one(id));
    }

    fn update_one(&mut self, id: AllocationId, numbered: Option<&NumberedAllocation>, topology: &Topology) {
        let Some((allocation, number)) = numbered.filter(|(allocation, _)| allocation.wants_rules()) else {
            return self.drop_one(id);
        };
        self.plan.set(allocation, *number, topology);
        self.faults.remove(&id);
        self.counters.forget(id);
        self.changed.insert(id);
    }

    /// Writes the plan's tables, and looks where the allocations are that have other rules now.
    pub(super) fn arrange(&mut self) {
        self.changed.extend(self.plan.arrange());
        for id in std::mem::take(&mut self.changed) {
            let condition = self.held_condition(id).unwrap_or_else(|| {
                let state = self.status.condition_of(id).state.on_change();
                Condition { state, ..Condition::ACTIVE }
            });
            self.set_condition(id, &condition);
            if condition != Condition::ACTIVE {
                self.unsettled.entry(id).or_insert_with(Instant::now);
            }
        }
    }

    fn drop_one(&mut self, id: AllocationId) {
        self.plan.remove(id);
        self.changed.remove(&id);
        self.unsettled.remove(&id);
        self.suspects.forget(id);
        self.counters.forget(id);
        self.faults.remove(&id);
        self.status.forget(id);
    }
}
