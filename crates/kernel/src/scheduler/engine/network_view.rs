//! A network as the scheduler sees it: its plan, and the bandwidth of each link that other clients' allocations leave. What
//! must stay true: a link has what may be reserved on it, less what other clients have booked; measured load beyond the
//! bookings is not given away.

use std::sync::Arc;

use super::aggregator::Reservation;
use crate::bam::{Booked, Slot, by_class};
use crate::decide::path_metric;
use crate::id::{LinkIx, NodeIx};
use crate::path::{self, Constraints, Metric, Query, Workspace};
use crate::policy::BandwidthModel;
use crate::scheduler::{ClassBounds, LEVELS, Planner, QosLevel, SchedulerSettings};
use crate::state::Network;
use crate::topology::{Link, LinkState, Topology};
use crate::units::Bandwidth;

pub(super) struct Net {
    pub(super) topology: Arc<Topology>,
    model: Arc<BandwidthModel>,
    pub(super) planner: Planner,
    /// What paths minimise in this network.
    pub(super) metric: Metric,
    /// The scheduler's own reservations on each link, by level.
    own_bps: Vec<[u64; LEVELS]>,
    /// The bookings of each link at its last measurement.
    booked_bps: Vec<u64>,
}

/// Measured load beyond the bookings by less than this part of the link counts as none: frame headers and bursts.
const NOISE_PARTS: u64 = 16;

impl Net {
    pub(super) fn new(network: &Network, settings: &SchedulerSettings) -> Self {
        let topology = Arc::clone(network.topology());
        let none = [0; LEVELS];
        let capacities: Vec<_> = topology.links().map(|(ix, link)| left(network, ix, link, &none, settings)).collect();
        let bounds = topology.links().filter_map(|(ix, link)| {
            let kind = network.model().of_link(&link.name).kind();
            Some(ClassBounds::new(kind, network.ledger().bounds(ix)?.clone(), others(network, ix, link, &none)))
        });
        let planner = Planner::under_model(settings.clone(), &capacities, bounds.collect());
        let (own_bps, booked_bps) = (vec![none; topology.link_count()], vec![0; topology.link_count()]);
        let metric = path_metric(&network.model().policy, &Constraints::default());
        Self { planner, metric, topology, model: Arc::clone(network.model()), own_bps, booked_bps }
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

    /// Whether the topology and its bandwidth model are still these.
    pub(super) fn is_of(&self, network: &Network) -> bool {
        Arc::ptr_eq(&self.topology, network.topology()) && Arc::ptr_eq(&self.model, network.model())
    }

    /// Updates what other clients leave of each link.
    pub(super) fn refresh(&mut self, network: &Network, settings: &SchedulerSettings) {
        self.metric = path_metric(&network.model().policy, &Constraints::default());
        for (ix, link) in self.topology.links() {
            let own_bps = self.own_bps.get(ix.at()).copied().unwrap_or_default();
            self.planner.set_capacity(ix, left(network, ix, link, &own_bps, settings));
            self.planner.set_others(ix, others(network, ix, link, &own_bps));
        }
    }

    pub(super) fn hold(&mut self, level: QosLevel, holding: &Reservation) {
        self.each(level, holding, |own_bps, bps| own_bps.saturating_add(bps));
    }

    pub(super) fn drop(&mut self, level: QosLevel, holding: &Reservation) {
        self.each(level, holding, u64::saturating_sub);
    }

    /// Whether the bandwidth model has the class type of a level.
    pub(super) fn has_class(&self, level: QosLevel) -> bool {
        self.model.model.has_class(level.class_type())
    }

    /// Whether so much more could be reserved on a link without victims.
    pub(super) fn has_room(&self, link: LinkIx, more: u64) -> bool {
        let own_bps = self.own_bps.get(link.at()).map_or(0, sum);
        own_bps.saturating_add(more) <= self.planner.capacity(link).as_bps()
    }

    fn each(&mut self, level: QosLevel, holding: &Reservation, change: impl Fn(u64, u64) -> u64) {
        for link in holding.path.iter() {
            if let Some(own_bps) = self.own_bps.get_mut(link.at()) {
                let own_bps = &mut own_bps[level.at()];
                *own_bps = change(*own_bps, holding.bandwidth.as_bps());
            }
        }
    }
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

/// The path of a flow if it were reserved now: one with room for its demand without victims, or else at any rate.
pub(super) fn path_of(
    network: &Network,
    level: QosLevel,
    (ingress, egress): (NodeIx, NodeIx),
    demand: Bandwidth,
    workspace: &mut Workspace,
) -> Option<Arc<[LinkIx]>> {
    let constraints = Constraints::default();
    let metric = path_metric(&network.model().policy, &constraints);
    let free = network.ledger().free(slot(network, level)?);
    [demand.as_bps(), 0].into_iter().find_map(|bandwidth_bps| {
        let query = Query { ingress, egress, bandwidth_bps, metric, constraints: &constraints };
        path::shortest(network.graph(), &free, &query, workspace).ok().map(|found| found.links.into())
    })
}

/// The slot of a level; `None` if the model does not have its class.
fn slot(network: &Network, level: QosLevel) -> Option<Slot> {
    let (model, class_type) = (&network.model().model, level.class_type());
    model.slot(class_type, model.default_priority(class_type))
}
