//! A network as the scheduler sees it: its plan, and the bandwidth of each link that other clients' allocations leave. What
//! must stay true: a link has what may be reserved on it, less what other clients have booked; measured load beyond the
//! bookings is not given away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::aggregator::{Reservation, SchedulerFlow};
use crate::bam::{Booked, Slot, by_class};
use crate::command::{HopKind, NamedHop, NamedRouteHop};
use crate::controller::DriverKind;
use crate::decide::path_metric;
use crate::id::{LinkIx, Name, NodeIx};
use crate::intent::Dpid;
use crate::path::{self, Constraints, Metric, Query, Workspace};
use crate::policy::BandwidthModel;
use crate::scheduler::alternative_paths::{AlternativeQuery, add_alternatives};
use crate::scheduler::{ClassBounds, FlowKey, LEVELS, PathKey, Planner, QosLevel, SchedulerSettings};
use crate::state::{Network, State};
use crate::topology::{Link, LinkState, Topology};
use crate::units::Bandwidth;

pub(super) struct Net {
    pub(super) topology: Arc<Topology>,
    model: Arc<BandwidthModel>,
    pub(super) planner: Planner,
    /// What paths minimise in this network.
    pub(super) metric: Metric,
    /// The most paths of a flow.
    paths_max: usize,
    /// The most that are tried.
    candidates_max: usize,
    /// Flows whose first path alone was looked for, since there were too many to divide, with its hops.
    first_alone: BTreeMap<FlowKey, u64>,
    /// What drives the switches, if anything does.
    driver: Option<DriverKind>,
    /// The switches that split no flow.
    splitless: BTreeSet<Dpid>,
    /// The scheduler's own reservations on each link, by level.
    own_bps: Vec<[u64; LEVELS]>,
    /// By link, the paths whose reservation is on it.
    holders: Vec<BTreeSet<PathKey>>,
    /// The bookings of each link at its last measurement.
    booked_bps: Vec<u64>,
}

/// The other paths of no more flows are looked for at once: a quarter of a second on 754 nodes.
const LOOKED_FOR_MAX: usize = 500;
/// Measured load beyond the bookings by less than this part of the link counts as none: frame headers and bursts.
const NOISE_PARTS: u64 = 16;

impl Net {
    /// A network of the state by its name, if it is there.
    pub(super) fn of(
        state: &State,
        name: &Name,
        settings: &SchedulerSettings,
        splitless: BTreeSet<Dpid>,
    ) -> Option<Self> {
        let net = Self::new(state.network(name.as_str())?, driver_of(state, name), settings);
        Some(Self { splitless, ..net })
    }

    fn new(network: &Network, driver: Option<DriverKind>, settings: &SchedulerSettings) -> Self {
        let max_paths = match driver {
            None => settings.max_paths,
            Some(driver) if driver.splits_flows() => settings.max_paths.min(settings.max_paths_on_switches),
            Some(_) => 1,
        };
        let settings = &SchedulerSettings { max_paths, ..settings.clone() };
        let topology = Arc::clone(network.topology());
        let none = [0; LEVELS];
        let capacities: Vec<_> = topology.links().map(|(ix, link)| left(network, ix, link, &none, settings)).collect();
        let bounds = topology.links().filter_map(|(ix, link)| {
            let kind = network.model().of_link(&link.name).kind();
            Some(ClassBounds::new(kind, network.ledger().bounds(ix)?.clone(), others(network, ix, link, &none)))
        });
        let planner = Planner::under_model(settings.clone(), &capacities, bounds.collect());
        let (own_bps, booked_bps) = (vec![none; topology.link_count()], vec![0; topology.link_count()]);
        let holders = vec![BTreeSet::new(); topology.link_count()];
        let metric = path_metric(&network.model().policy, &Constraints::default());
        let (paths_max, candidates_max) = (settings.paths_max(), settings.candidates_max());
        Self {
            planner,
            metric,
            paths_max,
            candidates_max,
            first_alone: BTreeMap::new(),
            driver,
            splitless: BTreeSet::new(),
            topology,
            model: Arc::clone(network.model()),
            own_bps,
            holders,
            booked_bps,
        }
    }

    /// Sets the load measured over the last interval. Traffic follows a change of its rate with delay: what was booked at
    /// the last measurement counts as booked.
    pub(super) fn measure(&mut self, network: &Network, carried_bps: impl Fn(LinkIx) -> Option<u64>) {
        for ((ix, _), before_bps) in self.topology.links().zip(&mut self.booked_bps) {
            let now_bps = booked(network, ix);
            let known_bps = std::mem::replace(before_bps, now_bps).max(now_bps);
            let total_bps = network.ledger().bounds(ix).map_or(0, |bounds| bounds.total_bps());
            let stray_bps = carried_bps(ix).map_or(0, |carried| carried.saturating_sub(known_bps));
            let stray_bps = if stray_bps > total_bps / NOISE_PARTS { stray_bps } else { 0 };
            self.planner.set_stray(ix, Bandwidth::saturating_from_bps(stray_bps));
        }
    }

    /// The most paths of a flow that enters at a node.
    pub(super) fn paths_max_at(&self, node: NodeIx) -> usize {
        if self.is_splitless(node) { 1 } else { self.paths_max }
    }

    fn is_splitless(&self, node: NodeIx) -> bool {
        let switch = self.topology.node(node).and_then(|node| node.switch.as_ref());
        switch.is_some_and(|switch| self.splitless.contains(&Dpid(switch.dpid)))
    }

    /// Sets the switches that split no flow; the nodes where that is new, or over.
    pub(super) fn set_splitless(&mut self, splitless: BTreeSet<Dpid>) -> BTreeSet<NodeIx> {
        let before = std::mem::replace(&mut self.splitless, splitless);
        let changed: BTreeSet<Dpid> = before.symmetric_difference(&self.splitless).copied().collect();
        let nodes = self
            .topology
            .nodes()
            .filter(|(_, node)| node.switch.as_ref().is_some_and(|switch| changed.contains(&Dpid(switch.dpid))));
        nodes.map(|(ix, _)| ix).collect()
    }

    /// Whether the topology and its bandwidth model are still these.
    pub(super) fn is_of(&self, network: &Network) -> bool {
        Arc::ptr_eq(&self.topology, network.topology()) && Arc::ptr_eq(&self.model, network.model())
    }

    /// Whether nothing of the network is another that flows and their paths depend on.
    pub(super) fn is_current(&self, state: &State, name: &Name) -> bool {
        self.driver == driver_of(state, name) && state.network(name.as_str()).is_some_and(|network| self.is_of(network))
    }

    /// Updates what other clients leave of each link.
    pub(super) fn refresh(&mut self, network: &Network, settings: &SchedulerSettings) {
        self.metric = path_metric(&network.model().policy, &Constraints::default());
        let links: Vec<_> = self.topology.links().map(|(ix, _)| ix).collect();
        self.refresh_links(&links, network, settings);
    }

    /// The same of some links.
    pub(super) fn refresh_links(&mut self, links: &[LinkIx], network: &Network, settings: &SchedulerSettings) {
        for (ix, link) in links.iter().filter_map(|ix| Some((*ix, self.topology.link(*ix)?))) {
            let own_bps = self.own_bps.get(ix.at()).copied().unwrap_or_default();
            self.planner.set_capacity(ix, left(network, ix, link, &own_bps, settings));
            self.planner.set_others(ix, others(network, ix, link, &own_bps));
        }
    }

    /// Plans with a flow as it is; one without a path has no place in the plan.
    pub(super) fn put(&mut self, key: FlowKey, flow: &SchedulerFlow) {
        if !flow.paths.is_empty() {
            self.planner.put(key, &flow.links(), flow.asks());
        }
    }

    pub(super) fn remove(&mut self, key: FlowKey) {
        self.first_alone.remove(&key);
        self.planner.remove(key);
    }

    pub(super) fn hold(&mut self, key: PathKey, holding: &Reservation) {
        self.each(key, holding, |own_bps, bps| own_bps.saturating_add(bps));
        for link in holding.path.iter() {
            self.holders.get_mut(link.at()).map(|holders| holders.insert(key));
        }
    }

    pub(super) fn drop(&mut self, key: PathKey, holding: &Reservation) {
        self.each(key, holding, u64::saturating_sub);
        for link in holding.path.iter() {
            self.holders.get_mut(link.at()).map(|holders| holders.remove(&key));
        }
    }

    pub(super) fn holders_on(&self, link: LinkIx) -> impl Iterator<Item = PathKey> {
        self.holders.get(link.at()).into_iter().flatten().copied()
    }

    /// Whether the bandwidth model has the class type of a level.
    pub(super) fn has_class(&self, level: QosLevel) -> bool {
        self.model.model.has_class(level.class_type())
    }

    /// Whether so much more could be reserved on a link without victims, by level.
    pub(super) fn has_room(&self, link: LinkIx, more_bps: &[u64; LEVELS]) -> bool {
        let mut own_bps = self.own_bps.get(link.at()).copied().unwrap_or_default();
        own_bps.iter_mut().zip(more_bps).for_each(|(own_bps, more_bps)| *own_bps = own_bps.saturating_add(*more_bps));
        sum(&own_bps) <= self.planner.capacity(link).as_bps() && self.planner.admits(link, &own_bps)
    }

    fn each(&mut self, key: PathKey, holding: &Reservation, change: impl Fn(u64, u64) -> u64) {
        for link in holding.path.iter() {
            if let Some(own_bps) = self.own_bps.get_mut(link.at()) {
                let own_bps = &mut own_bps[key.flow.level.at()];
                *own_bps = change(*own_bps, holding.bandwidth.as_bps());
            }
        }
    }
}

fn driver_of(state: &State, name: &Name) -> Option<DriverKind> {
    state.controller_of(name.as_str()).map(|controller| controller.driver)
}

/// The bookings on a link, over all slots.
fn booked(network: &Network, ix: LinkIx) -> u64 {
    sum(&network.ledger().booked(ix))
}

fn sum<const N: usize>(each_bps: &[u64; N]) -> u64 {
    each_bps.iter().fold(0, |sum, bps| sum.saturating_add(*bps))
}

/// What other clients have booked on a link, by class type; `None` where nothing new goes over it.
fn others(network: &Network, ix: LinkIx, link: &Link, own_bps: &[u64; LEVELS]) -> Option<Booked> {
    let bounds = network.ledger().bounds(ix).filter(|_| link.state == LinkState::Up)?;
    let slots = network.model().of_link(&link.name).slots();
    let mut others = by_class(slots, &network.ledger().booked(ix));
    for (class, own_bps) in own_bps.iter().enumerate() {
        let own_bps = bounds.booked_in(class, Bandwidth::saturating_from_bps(*own_bps));
        others[class] = others[class].saturating_sub(own_bps);
    }
    Some(others)
}

/// What other clients leave of a link.
fn left(
    network: &Network,
    ix: LinkIx,
    link: &Link,
    own_bps: &[u64; LEVELS],
    settings: &SchedulerSettings,
) -> Bandwidth {
    let own_bps = sum(own_bps);
    let others_bps = booked(network, ix).saturating_sub(own_bps);
    let total_bps = network.ledger().bounds(ix).map_or(0, |bounds| bounds.total_bps());
    Bandwidth::saturating_from_bps(match link.state {
        LinkState::Up => settings.usable.of(total_bps.saturating_sub(others_bps)),
        LinkState::Maintenance => own_bps,
        LinkState::Down => 0,
    })
}

impl Net {
    /// The paths that a flow may have: the one that would be reserved now, with room for its demand without victims or else at any rate;
    /// then others that share few links with it and with each other, whatever is reserved on them.
    pub(super) fn paths_of(
        &mut self,
        network: &Network,
        key: FlowKey,
        ingress: NodeIx,
        demand: Bandwidth,
        workspace: &mut Workspace,
    ) -> Vec<Arc<[LinkIx]>> {
        let (level, egress) = (key.level, key.egress);
        let constraints = Constraints::default();
        let metric = path_metric(&network.model().policy, &constraints);
        let Some(slot) = slot(network, level) else { return vec![] };
        let free = network.ledger().free(slot);
        let first = [demand.as_bps(), 0].into_iter().find_map(|bandwidth_bps| {
            let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
            path::shortest(network.graph(), &free, &query, workspace).ok().map(|found| found.links.into())
        });
        let mut paths: Vec<Arc<[LinkIx]>> = first.into_iter().collect();
        // Where no flow is divided, the others would be looked for in vain, for each flow when a link changes.
        if self.is_splitless(ingress) {
            return paths;
        }
        if self.planner.may_divide(0) {
            self.add_others(network, (ingress, egress), &mut paths, workspace);
        } else if let Some(first) = paths.first()
            && self.candidates_max > 1
        {
            self.first_alone.insert(key, first.len() as u64);
        }
        paths
    }

    /// Adds the other paths that a flow may have to its first.
    pub(super) fn add_others(
        &self,
        network: &Network,
        ends: (NodeIx, NodeIx),
        paths: &mut Vec<Arc<[LinkIx]>>,
        workspace: &mut Workspace,
    ) {
        let metric = path_metric(&network.model().policy, &Constraints::default());
        let (topology, paths_max) = (&self.topology, self.candidates_max);
        let query = AlternativeQuery { graph: network.graph(), topology, ends, metric, paths_max };
        add_alternatives(paths, query, workspace);
    }

    /// Whether the other paths of flows may be looked for that have their first alone.
    pub(super) fn lacks_paths(&self) -> bool {
        !self.first_alone.is_empty() && self.planner.may_divide(0)
    }

    /// The next of those flows; none while all of them, with paths as long as their first, would be too many to divide.
    pub(super) fn take_first_alone(&mut self) -> Vec<FlowKey> {
        let others = self.paths_max.saturating_sub(1) as u64;
        if !self.planner.may_divide(self.first_alone.values().sum::<u64>().saturating_mul(others)) {
            return vec![];
        }
        let next: Vec<_> = self.first_alone.keys().take(LOOKED_FOR_MAX).copied().collect();
        self.first_alone.retain(|key, _| next.binary_search(key).is_err());
        next
    }

    /// A path as an explicit route.
    pub(super) fn route(&self, path: &[LinkIx]) -> Vec<NamedRouteHop> {
        let links = path.iter().filter_map(|link| self.topology.link(*link));
        links.map(|link| NamedRouteHop { hop: NamedHop::Link(link.name.clone()), looseness: HopKind::Strict }).collect()
    }
}

/// The slot of a level; `None` if the model does not have its class.
fn slot(network: &Network, level: QosLevel) -> Option<Slot> {
    let (model, class_type) = (&network.model().model, level.class_type());
    model.slot(class_type, model.default_priority(class_type))
}
