//! What time and other networks do to aggregators: their standing falls, they are forgotten, or find their places anew.

use super::network_view::Net;
use super::{Dispatcher, SHOWN_LEASES, entries_of};
use crate::id::Name;
use crate::scheduler::hysteresis::{LeaseState, falls_at, standing};
use crate::scheduler::{FlowKey, LEVELS};
use crate::state::State;
use crate::units::Millis;

impl Dispatcher {
    /// What an aggregator counts for now.
    pub(super) fn restand(&mut self, id: &Name, state: &State, now: Millis) {
        let Some(known) = self.aggregators.get_mut(id) else { return };
        let shown_ms = self.settings.lease_ms.saturating_mul(SHOWN_LEASES);
        if now.0.saturating_sub(known.heard_at.0) >= shown_ms {
            return self.forget(id);
        }
        known.standing = standing(known.heard_at, now, &self.settings);
        if known.standing != LeaseState::Fresh {
            known.boosts = [false; LEVELS];
        }
        self.news.insert(known.ix);
        self.want(id, state);
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

    /// Notes when the standing of an aggregator falls next, or when it is forgotten.
    pub(super) fn reschedule(&mut self, id: &Name, now: Millis) {
        let Some(known) = self.aggregators.get_mut(id) else { return };
        let shown_ms = self.settings.lease_ms.saturating_mul(SHOWN_LEASES);
        let end = Millis(known.heard_at.0.saturating_add(shown_ms));
        let at = falls_at(known.heard_at, now, &self.settings).unwrap_or(end);
        if let Some(old) = known.falls_at.replace(at) {
            self.falls.remove(&(old, id.clone()));
        }
        self.falls.insert((at, id.clone()));
    }

    /// The network is another: everything about it is found again, and who holds what stays.
    pub(super) fn rebuild(&mut self, name: &Name, state: &State) {
        self.nets.remove(name);
        if let Some(network) = state.network(name.as_str()) {
            self.nets.insert(name.clone(), Net::new(network, &self.settings));
        }
        let inside = self.aggregators.iter().filter(|(_, known)| known.topology == *name);
        let inside: Vec<Name> = inside.map(|(id, _)| id.clone()).collect();
        for id in inside {
            self.resettle(&id, name, state);
        }
    }

    fn resettle(&mut self, id: &Name, topology: &Name, state: &State) {
        let Some(known) = self.aggregators.get(id) else { return };
        let held = known.flows.iter().filter_map(|((level, _), flow)| {
            let holding = flow.holding.as_ref()?;
            Some((*level, flow.egress.clone(), holding.id))
        });
        let held: Vec<_> = held.collect();
        let place = state.network(topology.as_str()).map(|network| network.topology());
        let node = place.and_then(|topology| topology.node_named(known.metadata.node.as_str()));
        let (Some(topology), Some(node)) = (place, node) else { return self.forget(id) };
        self.drop_flows(id);
        if let Some(known) = self.aggregators.get_mut(id) {
            known.node = node;
        }
        self.want(id, state);
        for (level, egress, allocation) in held {
            let Some(known) = self.aggregators.get(id) else { return };
            let Some(egress) = topology.node_named(egress.as_str()) else { continue };
            if known.flows.contains_key(&(level, egress)) {
                let key = FlowKey { aggregator: known.ix, level, egress };
                self.discarded.remove(&allocation);
                self.hold(key, state.allocation(allocation));
            }
        }
    }
}
