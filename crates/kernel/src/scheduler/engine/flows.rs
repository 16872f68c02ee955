//! The flows of an aggregator: their demand after a report, and the reservation of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aggregator::{Reservation, SchedulerFlow};
use super::{Dispatcher, RecoveredReservation, WantedReservation, named, network_view};
use crate::allocation::Allocation;
use crate::id::{Name, NodeIx};
use crate::scheduler::{FlowKey, FlowRate, QosLevel};
use crate::state::{Network, State};

impl Dispatcher {
    /// Replaces the demand of an aggregator's flows by that of its last report.
    pub(super) fn update_demand(&mut self, id: &Name, state: &State) {
        let Some(known) = self.aggregators.get(id) else { return };
        let Some(network) = state.network(known.topology.as_str()) else { return };
        let wants = known.metadata.wants(known.boosts, known.standing, &self.settings);
        let mut packets = known.metadata.packets();
        let node_of = |name: &Name| network.topology().node_named(name.as_str());
        let wants: BTreeMap<(QosLevel, NodeIx), WantedReservation> = wants
            .into_iter()
            .filter_map(|((level, name), want)| {
                let packets = packets.remove(&(level, name));
                Some(((level, node_of(name)?), WantedReservation { egress: name.clone(), want, packets }))
            })
            .collect();
        // A reservation keeps its packets: a flow with other packets gets another reservation.
        let stays = |place, flow: &SchedulerFlow| wants.get(place).is_some_and(|wanted| wanted.packets == flow.packets);
        let gone: Vec<_> =
            known.flows.iter().filter(|(place, flow)| !stays(place, flow)).map(|(place, _)| *place).collect();
        gone.into_iter().for_each(|place| self.drop_flow(id, place));
        for (place, wanted) in wants {
            let packets = wanted.packets.clone();
            let Some(orphan) = self.set_demand(id, place, wanted, network) else { continue };
            let Some(allocation) = self.orphans.remove(&orphan) else { continue };
            let held = state.allocation(allocation);
            let Some(known) = self.aggregators.get(id) else { continue };
            let tenant = known.tenant.as_ref().map(|one| &one.tenant);
            let is_other = |held: &Arc<Allocation>| {
                let attributes = &held.demand.attributes;
                attributes.flow.as_deref() != packets.as_ref() || attributes.tenant.as_ref() != tenant
            };
            if held.is_some_and(is_other) {
                self.discarded.insert(allocation);
            } else {
                let key = FlowKey { aggregator: known.ix, level: place.0, egress: place.1 };
                self.set_reservation(key, held);
            }
        }
    }

    /// For a new flow, answers the reservation that may have been made for it before a restart.
    fn set_demand(
        &mut self,
        id: &Name,
        place: (QosLevel, NodeIx),
        WantedReservation { egress, want, packets }: WantedReservation,
        network: &Network,
    ) -> Option<RecoveredReservation> {
        let known = self.aggregators.get_mut(id)?;
        let key = FlowKey { aggregator: known.ix, level: place.0, egress: place.1 };
        let net = self.nets.get_mut(&known.topology)?;
        net.planner.set_tenant(known.ix, known.tenant.as_ref());
        if let Some(flow) = known.flows.get_mut(&place) {
            flow.want = want;
            if let Some(path) = &flow.path {
                net.planner.put(key, path, flow.asks());
            }
            return None;
        }
        let ends = (known.node, place.1);
        let path = network_view::path_of(network, place.0, ends, want.demand, &mut self.workspace);
        if let Some(path) = &path {
            net.planner.put(key, path, want);
        }
        let flow =
            SchedulerFlow { egress, want, packets, path, planned: FlowRate::default(), holding: None, refused: None };
        known.flows.insert(place, flow);
        self.pending.insert(key);
        let (aggregator, topology) = (id.clone(), known.topology.clone());
        Some(RecoveredReservation { aggregator, topology, class_type: place.0.class_type(), ends })
    }

    pub(super) fn drop_flows(&mut self, id: &Name) {
        let places = self.aggregators.get(id).map(|known| known.flows.keys().copied().collect::<Vec<_>>());
        places.into_iter().flatten().for_each(|place| self.drop_flow(id, place));
    }

    pub(super) fn drop_flow(&mut self, id: &Name, place: (QosLevel, NodeIx)) {
        let Some(known) = self.aggregators.get_mut(id) else { return };
        let Some(flow) = known.flows.remove(&place) else { return };
        let key = FlowKey { aggregator: known.ix, level: place.0, egress: place.1 };
        if let Some(net) = self.nets.get_mut(&known.topology) {
            net.planner.remove(key);
            flow.holding.iter().for_each(|holding| net.drop(place.0, holding));
        }
        if let Some(holding) = flow.holding {
            self.holders.remove(&holding.id);
            self.discarded.insert(holding.id);
        }
        if let Some(refused) = flow.refused {
            self.retries.remove(&(refused.until, key));
        }
        self.pending.remove(&key);
        self.lowerable.remove(&key);
        self.news.insert(known.ix);
    }

    /// Sets the reservation of a flow.
    pub(super) fn set_reservation(&mut self, key: FlowKey, allocation: Option<&Arc<Allocation>>) {
        let Some((_, known)) = named(&self.names, &mut self.aggregators, key.aggregator) else { return };
        let Some(net) = self.nets.get_mut(&known.topology) else { return };
        let Some(flow) = known.flows.get_mut(&(key.level, key.egress)) else { return };
        if let Some(old) = flow.holding.take() {
            net.drop(key.level, &old);
            self.holders.remove(&old.id);
        }
        if let Some(allocation) = allocation {
            let path = Arc::clone(&allocation.path);
            let holding =
                Reservation { id: allocation.id, bandwidth: allocation.demand.bandwidth, path: Arc::clone(&path) };
            net.hold(key.level, &holding);
            self.holders.insert(holding.id, key);
            flow.holding = Some(holding);
            flow.path = Some(path);
            if let Some(path) = &flow.path {
                net.planner.put(key, path, flow.asks());
            }
        }
        self.news.insert(key.aggregator);
    }
}
