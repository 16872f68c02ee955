//! The conditions of allocations, and how far the switches are from the intent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::controller_status::{Condition, FieldEvent, LspState};
use super::Worker;
use kernel::id::AllocationId;
use kernel::intent::{Dpid, Table};

impl Worker {
    /// Updates the conditions of allocations that were not in force.
    pub(super) fn update_conditions(&mut self) {
        for id in self.unsettled.keys().copied().collect::<Vec<_>>() {
            let condition = self.condition(id);
            if condition.state == LspState::Active
                && self.plan.is_standby_held(id, &self.seen)
                && let Some(since) = self.unsettled.remove(&id)
            {
                self.faults.remove(&id);
                let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let controller = self.controller.name.clone();
                self.app.inner.controllers.publish(FieldEvent::Installed { controller, took_ms });
            }
            self.set_condition(id, &condition);
        }
        for id in self.plan.without_rules().collect::<Vec<_>>() {
            self.set_condition(id, &self.condition(id));
        }
    }

    fn condition(&self, id: AllocationId) -> Condition {
        if let Some(why) = self.plan.why_not(id) {
            return Condition::degraded(why);
        }
        if let Some(why) = &self.away {
            return Condition::degraded(why);
        }
        if let Some(why) = self.suspects.reason(id) {
            return Condition::degraded(why);
        }
        if let Some(condition) = self.held_condition(id) {
            return self.lost_packets(id).map_or(condition, Condition::degraded);
        }
        if let Some(why) = self.plan.switches_of(id).find_map(|dpid| self.troubles.get(&dpid)) {
            return Condition::degraded(why);
        }
        match self.faults.get(&id) {
            Some(fault) => Condition::degraded(fault),
            None => self.status.condition_of(id),
        }
    }

    /// The condition of an allocation whose working path the switches hold.
    pub(super) fn held_condition(&self, id: AllocationId) -> Option<Condition> {
        let is_whole = || self.plan.is_standby_held(id, &self.seen);
        let condition = || match self.plan.older_overlap(id) {
            _ if !is_whole() => Condition::without_standby(),
            Some(older) => Condition::below(older),
            None => Condition::ACTIVE,
        };
        self.plan.is_held(id, &self.seen).then(condition)
    }

    /// Publishes the condition if it changed.
    pub(super) fn set_condition(&self, id: AllocationId, condition: &Condition) {
        if self.status.set_condition(id, condition) {
            let topology = self.controller.topology.clone();
            let event = FieldEvent::Turned { id, topology, at: self.app.now(), condition: condition.clone() };
            self.app.inner.controllers.publish(event);
        }
    }

    pub(super) fn report(&self) {
        let intended: usize = self.plan.tables().values().map(Table::size).sum();
        let missing = self.agenda();
        let unknown: usize = self
            .plan
            .tables()
            .iter()
            .filter(|(dpid, _)| !self.seen.contains_key(dpid))
            .map(|(_, table)| table.size())
            .sum();
        let lacking = missing.puts() + unknown;
        let drifting = u64::try_from(missing.len() + unknown).unwrap_or(u64::MAX);
        let switches: BTreeMap<Dpid, Option<Arc<str>>> = self
            .seen
            .keys()
            .chain(self.troubles.keys())
            .map(|dpid| (*dpid, self.troubles.get(dpid).cloned()))
            .collect();
        let at = self.app.now();
        let is_settled = drifting == 0 && self.closed_until.is_none() && self.troubles.is_empty();
        self.status.set_status(|status| {
            status.intended = u64::try_from(intended).unwrap_or(u64::MAX);
            status.installed = u64::try_from(intended.saturating_sub(lacking)).unwrap_or(u64::MAX);
            status.drifting = drifting;
            status.unsettled = u64::try_from(self.unsettled.len()).unwrap_or(u64::MAX);
            status.switches = switches;
            if is_settled {
                status.settled_at = Some(at);
            }
        });
    }
}
