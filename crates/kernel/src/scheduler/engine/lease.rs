//! Leases: the state of an aggregator's lease by time, and its flows anew when its network is another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::network_view::Net;
use super::{Dispatcher, SHOWN_LEASES, entries_of};
use crate::id::{AllocationId, Name};
use crate::intent::Dpid;
use crate::scheduler::hysteresis::{LeaseState, lease_state, next_lapse};
use crate::scheduler::{FlowKey, LEVELS, QosLevel};
use crate::state::State;
use crate::units::Millis;

/// A reservation whose flow moves to another revision of its network: level, egress and allocation.
type HeldReservation = (QosLevel, Name, AllocationId);

impl Dispatcher {
    /// Sets the lease state of an aggregator by the time.
    pub(super) fn update_lease(&mut self, id: &Name, state: &State, now: Millis) {
        let Some(known) = self.aggregators.get_mut(id) else { return };
        let shown_ms = self.settings.lease_ms.saturating_mul(SHOWN_LEASES);
        if now.0.saturating_sub(known.heard_at.0) >= shown_ms {
            return self.forget(id);
        }
        known.standing = lease_state(known.heard_at, now, &self.settings);
        if known.standing != LeaseState::Fresh {
            known.boosts = [false; LEVELS];
        }
        self.news.insert(known.ix);
        self.update_demand(id, state);
    }

    pub(super) fn forget(&mut self, id: &Name) {
        self.drop_flows(id);
        let Some(known) = self.aggregators.remove(id) else { return };
        self.entries = self.entries.saturating_sub(entries_of(&known.metadata));
        self.news.remove(&known.ix);
        if let Some(place) = self.names.get_mut(known.ix.0 as usize) {
            *place = None;
        }
        self.vacant.push(known.ix);
        self.forgotten.push(id.clone());
    }

    /// Sets the timer for the next change of an aggregator's lease state, or for its removal.
    pub(super) fn reschedule(&mut self, id: &Name, now: Millis) {
        let Some(known) = self.aggregators.get_mut(id) else { return };
        let shown_ms = self.settings.lease_ms.saturating_mul(SHOWN_LEASES);
        let end = Millis(known.heard_at.0.saturating_add(shown_ms));
        let at = next_lapse(known.heard_at, now, &self.settings).unwrap_or(end);
        if let Some(old) = known.falls_at.replace(at) {
            self.falls.remove(&(old, id.clone()));
        }
        self.falls.insert((at, id.clone()));
    }

    /// Takes in that the clock was set by `step_ms`: what lasts until a time by it lasts as long as before.
    pub fn shift_clock(&mut self, step_ms: i64) {
        let shifted = |at: Millis| Millis(at.0.saturating_add_signed(step_ms));
        self.falls = std::mem::take(&mut self.falls).into_iter().map(|(at, id)| (shifted(at), id)).collect();
        self.retries = std::mem::take(&mut self.retries).into_iter().map(|(at, key)| (shifted(at), key)).collect();
        self.orphans_until = self.orphans_until.map(shifted);
        self.balanced_at = shifted(self.balanced_at);
        self.adjustment.shift(shifted);
        for known in self.aggregators.values_mut() {
            known.heard_at = shifted(known.heard_at);
            // An aggregator's clock that is set back with this one does not make its reports old.
            if step_ms < 0 {
                let at = shifted(known.metadata.at);
                Arc::make_mut(&mut known.metadata).at = at;
            }
            known.falls_at = known.falls_at.map(shifted);
            let paths = known.flows.values_mut().flat_map(|flow| &mut flow.paths);
            for backoff in paths.filter_map(|path| path.refused.as_mut()) {
                backoff.until = shifted(backoff.until);
            }
        }
    }

    /// Rebuilds the view of each network that is another now. The state may be ahead of what was heard of commits: by the nodes
    /// and links of another revision nothing is found.
    pub(super) fn rebuild_stale(&mut self, state: &State) {
        let stale = self.nets.iter().filter(|(name, net)| !net.is_current(state, name));
        for name in stale.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.rebuild(&name, state);
        }
    }

    /// Rebuilds the view of a network whose topology is another; reservations stay with their flows.
    fn rebuild(&mut self, name: &Name, state: &State) {
        let inside = self.aggregators.iter().filter(|(_, known)| known.topology == *name);
        let inside: Vec<Name> = inside.map(|(id, _)| id.clone()).collect();
        // All of them leave the old network before the first is in the new one, whose sums do not have their reservations.
        let held: Vec<_> = inside.into_iter().map(|id| (self.leave_revision(&id), id)).collect();
        self.adjustment.open();
        // Its links were those of the old revision.
        self.denied_on.remove(name);
        self.nets.remove(name);
        if let Some(net) = self.net_of(state, name) {
            self.nets.insert(name.clone(), net);
        }
        for (held, id) in held {
            self.move_to_revision(&id, held, name, state);
        }
    }

    /// The view of a network, if it is there.
    pub(super) fn net_of(&self, state: &State, name: &Name) -> Option<Net> {
        Net::of(state, name, &self.settings, self.splitless.get(name).cloned().unwrap_or_default())
    }

    /// Sets the switches that split no flow, by topology: flows that enter there get one path, and their ingress lets through
    /// what is reserved on that one.
    pub fn set_splitless(&mut self, state: &State, splitless: BTreeMap<Name, BTreeSet<Dpid>>) {
        if self.splitless == splitless {
            return;
        }
        self.rebuild_stale(state);
        self.splitless = splitless;
        for name in self.nets.keys().cloned().collect::<Vec<_>>() {
            let here = self.splitless.get(&name).cloned().unwrap_or_default();
            let nodes = self.nets.get_mut(&name).map(|net| net.set_splitless(here)).unwrap_or_default();
            let there =
                self.aggregators.iter().filter(|(_, known)| known.topology == name && nodes.contains(&known.node));
            for id in there.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                self.adjustment.open();
                let held = self.leave_revision(&id);
                self.move_to_revision(&id, held, &name, state);
            }
        }
    }

    /// Drops the flows of an aggregator; the reservations that they had.
    fn leave_revision(&mut self, id: &Name) -> Vec<HeldReservation> {
        let flows = self.aggregators.get(id).into_iter().flat_map(|known| &known.flows);
        let held = flows.flat_map(|((level, _), flow)| {
            let ids = flow.paths.iter().filter_map(|path| Some(path.holding.as_ref()?.id));
            ids.map(|id| (*level, flow.egress.clone(), id))
        });
        let held = held.collect();
        self.drop_flows(id);
        held
    }

    fn move_to_revision(&mut self, id: &Name, held: Vec<HeldReservation>, topology: &Name, state: &State) {
        let Some(known) = self.aggregators.get_mut(id) else { return };
        let network = state.network(topology.as_str());
        let node = network.and_then(|network| network.topology().node_named(known.metadata.node.as_str()));
        let (Some(network), Some(node)) = (network, node) else { return self.forget(id) };
        known.node = node;
        self.update_demand(id, state);
        for (level, egress, allocation) in held {
            let Some(known) = self.aggregators.get(id) else { return };
            let Some(egress) = network.topology().node_named(egress.as_str()) else { continue };
            let key = FlowKey { aggregator: known.ix, level, egress };
            if known.flows.contains_key(&(level, egress))
                && let Some(held) = state.allocation(allocation)
            {
                self.adopt_reservation(key, held, network);
            }
        }
    }
}
