//! The flows of an aggregator: their demand after a report, and the reservations of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aggregator::{FlowPath, Reservation, SchedulerFlow};
use super::recovered::RecoveredFlow;
use super::{Dispatcher, WantedReservation, named};
use crate::allocation::Allocation;
use crate::id::{Name, NodeIx};
use crate::scheduler::{FlowKey, PathKey, QosLevel};
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
            for allocation in self.orphans.take(&orphan) {
                let held = state.allocation(allocation);
                let Some(known) = self.aggregators.get(id) else { continue };
                let tenant = known.tenant.as_ref().map(|one| &one.tenant);
                let is_same = |held: &Arc<Allocation>| {
                    let attributes = &held.demand.attributes;
                    attributes.flow.as_deref() == packets.as_ref() && attributes.tenant.as_ref() == tenant
                };
                let key = FlowKey { aggregator: known.ix, level: place.0, egress: place.1 };
                match held {
                    Some(held) if is_same(held) => self.adopt_reservation(key, held, network),
                    Some(_) => drop(self.discarded.insert(allocation)),
                    None => {}
                }
            }
        }
    }

    /// Gives a flow a reservation that was made for it before: to the first path where it was requested for no path alone, else to
    /// the one that it is on, or to one without. Where no place is left, the reservation goes.
    pub(super) fn adopt_reservation(&mut self, flow: FlowKey, held: &Arc<Allocation>, network: &Network) {
        let Some((_, known)) = named(&self.names, &mut self.aggregators, flow.aggregator) else { return };
        let Some(paths) = known.flows.get(&(flow.level, flow.egress)).map(|flow| &flow.paths) else { return };
        let is_on_its_links = |(_, path): &(usize, &FlowPath)| path.links == held.path;
        let mut vacant = paths.iter().enumerate().filter(|(_, path)| path.holding.is_none());
        let own = match has_route(held) {
            true => vacant.clone().find(is_on_its_links).or_else(|| vacant.find(|(at, _)| *at > 0)),
            // It was that of the first path, whatever would come first now.
            false => vacant.clone().find(|(at, _)| *at == 0).or_else(|| vacant.find(is_on_its_links)),
        };
        // A flow without a path has that of its reservation.
        let at = own.map(|(at, _)| at).or_else(|| paths.is_empty().then_some(0));
        let path = at.and_then(|at| u8::try_from(at).ok());
        match path {
            Some(path) => {
                let key = PathKey { flow, path };
                self.discarded.remove(&held.id);
                self.set_reservation(key, Some(held));
                // The plan may have no part for the path.
                self.pending.insert(key);
                // What the links had for aggregators was without it.
                if let Some(net) = self.nets.get_mut(&held.demand.topology) {
                    net.refresh_links(&held.path, network, &self.settings);
                }
            }
            None => drop(self.discarded.insert(held.id)),
        }
    }

    /// For a new flow, answers by what the reservations that may have been made for it before a restart are known.
    fn set_demand(
        &mut self,
        id: &Name,
        place: (QosLevel, NodeIx),
        WantedReservation { egress, want, packets }: WantedReservation,
        network: &Network,
    ) -> Option<RecoveredFlow> {
        let known = self.aggregators.get_mut(id)?;
        let key = FlowKey { aggregator: known.ix, level: place.0, egress: place.1 };
        let net = self.nets.get_mut(&known.topology)?;
        net.planner.set_tenant(known.ix, known.tenant.as_ref());
        if let Some(flow) = known.flows.get_mut(&place) {
            flow.want = want;
            net.put(key, flow);
            return None;
        }
        let paths = net.paths_of(network, key, known.node, want.demand, &mut self.workspace);
        let ends = (known.metadata.node.clone(), egress.clone());
        let flow = SchedulerFlow { egress, want, packets, paths: paths.into_iter().map(FlowPath::new).collect() };
        net.put(key, &flow);
        known.flows.insert(place, flow);
        let (aggregator, topology) = (id.clone(), known.topology.clone());
        Some(RecoveredFlow { aggregator, topology, class_type: place.0.class_type(), ends })
    }

    pub(super) fn drop_flows(&mut self, id: &Name) {
        let places = self.aggregators.get(id).map(|known| known.flows.keys().copied().collect::<Vec<_>>());
        places.into_iter().flatten().for_each(|place| self.drop_flow(id, place));
    }

    pub(super) fn drop_flow(&mut self, id: &Name, place: (QosLevel, NodeIx)) {
        let Some(known) = self.aggregators.get_mut(id) else { return };
        let Some(flow) = known.flows.remove(&place) else { return };
        let key = FlowKey { aggregator: known.ix, level: place.0, egress: place.1 };
        let mut net = self.nets.get_mut(&known.topology);
        if let Some(net) = &mut net {
            net.remove(key);
        }
        for (path, at) in flow.paths.into_iter().zip(0..) {
            let key = PathKey { flow: key, path: at };
            if let Some(holding) = path.holding {
                if let Some(net) = &mut net {
                    net.drop(key, &holding);
                }
                self.holders.remove(&holding.id);
                self.discarded.insert(holding.id);
            }
            if let Some(refused) = path.refused {
                self.retries.remove(&(refused.until, key));
            }
            self.pending.remove(&key);
            self.adjustment.withdraw(key);
        }
        self.news.insert(known.ix);
    }

    /// Whether the reservation of a path is as this allocation says.
    pub(super) fn has_reservation(&mut self, key: PathKey, allocation: Option<&Arc<Allocation>>) -> bool {
        let holding = self.path(key).and_then(|(_, path)| path.holding.as_ref());
        holding == allocation.map(|allocation| Reservation::of(allocation)).as_ref()
    }

    /// Sets the reservation of a path.
    pub(super) fn set_reservation(&mut self, key: PathKey, allocation: Option<&Arc<Allocation>>) {
        let FlowKey { aggregator, level, egress } = key.flow;
        let Some((_, known)) = named(&self.names, &mut self.aggregators, aggregator) else { return };
        let Some(net) = self.nets.get_mut(&known.topology) else { return };
        let Some(flow) = known.flows.get_mut(&(level, egress)) else { return };
        if flow.paths.is_empty()
            && let Some(allocation) = allocation
        {
            flow.paths.push(FlowPath::new(Arc::clone(&allocation.path)));
        }
        let Some(path) = flow.paths.get_mut(usize::from(key.path)) else { return };
        if let Some(old) = path.holding.take() {
            net.drop(key, &old);
            self.holders.remove(&old.id);
        }
        if let Some(allocation) = allocation {
            let holding = Reservation::of(allocation);
            let links = Arc::clone(&holding.path);
            net.hold(key, &holding);
            self.holders.insert(holding.id, key);
            path.holding = Some(holding);
            let before = std::mem::replace(&mut path.links, links);
            // Where it is that of another path, which is not reserved, they change places.
            let path = usize::from(key.path);
            let is_same = |(at, other): &(usize, &mut FlowPath)| {
                *at != path && other.holding.is_none() && other.links == allocation.path
            };
            if let Some((_, other)) = flow.paths.iter_mut().enumerate().find(is_same) {
                other.links = before;
            }
            net.put(key.flow, flow);
        }
        self.news.insert(aggregator);
    }
}

/// Whether an allocation was requested for one path alone, which the first path of a flow is not.
fn has_route(allocation: &Allocation) -> bool {
    allocation.demand.constraints.as_ref().is_some_and(|constraints| !constraints.route.is_empty())
}
