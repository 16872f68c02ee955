//! An aggregator's state in the scheduler, its view, and its granted rates.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::allocation::{Allocation, Flow as Packets};
use crate::id::{AllocationId, LinkIx, Name, NodeIx};
use crate::scheduler::hysteresis::{LeaseState, is_small};
use crate::scheduler::report::Metadata;
use crate::scheduler::{
    AggregatorIx, FlowDemand, FlowKey, FlowRate, LEVELS, PathKey, QosLevel, SchedulerSettings, TenantShare,
};
use crate::units::{Bandwidth, Millis};

/// The rates granted to an aggregator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantedRates {
    /// Higher than that of every grant before.
    pub sequence: u64,
    /// The time of the grant.
    pub at: Millis,
    /// The instance that it is for, if the report names one.
    pub instance: Option<Name>,
    /// How long it holds without another.
    pub lease_ms: u64,
    /// By level.
    pub levels: [GrantedLevel; LEVELS],
}

/// The rates granted in one level.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GrantedLevel {
    /// Over all destinations.
    pub rate: Bandwidth,
    /// The rate after the lease is over: the guaranteed part, which no other demand can take.
    pub fallback: Bandwidth,
    /// By node with consumers, in the order of names.
    pub destinations: Vec<Destination>,
    /// Why nothing can be reserved for it although it has demand; `None`: it has a rate or no demand, or waits for bandwidth.
    pub unserved: Option<UnservedCause>,
}

/// Why nothing can be reserved for a level, whatever bandwidth there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum UnservedCause {
    /// The bandwidth model of the topology does not have its class type.
    NoClass,
    /// No path leads to a node with its consumers.
    NoPath,
}

impl UnservedCause {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::NoClass, Self::NoPath];

    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoClass => "no_class",
            Self::NoPath => "no_path",
        }
    }
}

/// The rate to the consumers at one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// The node.
    pub node: Name,
    /// The rate, over all paths.
    pub rate: Bandwidth,
    /// The allocations that reserve it, in the order of the flow's paths; one at least.
    pub paths: Vec<GrantedPath>,
}

/// A path of a flow that has a rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantedPath {
    /// The allocation that reserves it.
    pub allocation: AllocationId,
    /// Its rate.
    pub rate: Bandwidth,
}

/// The view of an aggregator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AggregatorView {
    /// Its id.
    pub id: Name,
    /// The topology that it is in.
    pub topology: Name,
    /// Its last report.
    pub metadata: Arc<Metadata>,
    /// The time at which the report arrived.
    pub heard_at: Millis,
    /// The state of its lease.
    pub standing: LeaseState,
    /// Its demand for links, by level.
    pub demand: [Bandwidth; LEVELS],
    /// The boosted levels.
    pub boosted: [bool; LEVELS],
    /// The granted rates.
    pub rates: Arc<GrantedRates>,
    /// The most paths over which a flow is split.
    pub max_paths: usize,
}

pub(super) struct AggregatorState {
    pub(super) ix: AggregatorIx,
    pub(super) topology: Name,
    pub(super) node: NodeIx,
    pub(super) metadata: Arc<Metadata>,
    pub(super) heard_at: Millis,
    /// The next change of its lease state.
    pub(super) falls_at: Option<Millis>,
    pub(super) standing: LeaseState,
    pub(super) boosts: [bool; LEVELS],
    pub(super) flows: BTreeMap<(QosLevel, NodeIx), SchedulerFlow>,
    pub(super) rates: Arc<GrantedRates>,
    /// Its tenant.
    pub(super) tenant: Option<TenantShare>,
}

/// A flow: what an aggregator sends in one level to the consumers at one node.
pub(super) struct SchedulerFlow {
    pub(super) egress: Name,
    pub(super) want: FlowDemand,
    /// The match of its packets; `None`: not known.
    pub(super) packets: Option<Packets>,
    /// The preferred one first; none: no path leads to the egress.
    pub(super) paths: Vec<FlowPath>,
}

/// A path of a flow, with its rate and its reservation.
pub(super) struct FlowPath {
    /// The links of its reservation, or of the one it would get.
    pub(super) links: Arc<[LinkIx]>,
    pub(super) planned: FlowRate,
    pub(super) holding: Option<Reservation>,
    pub(super) refused: Option<Backoff>,
    /// A request was denied, and is repeated once where reservations above the plan have given way.
    pub(super) awaits_room: bool,
}

/// The reservation of a path.
#[derive(Clone, PartialEq)]
pub(super) struct Reservation {
    pub(super) id: AllocationId,
    pub(super) bandwidth: Bandwidth,
    pub(super) path: Arc<[LinkIx]>,
}

/// A refused request: until `until`, no more than `most` is requested.
#[derive(Clone, Copy)]
pub(super) struct Backoff {
    pub(super) times: u32,
    pub(super) most: Bandwidth,
    pub(super) until: Millis,
}

impl SchedulerFlow {
    /// The demand to plan with: no more than can be reserved on all paths together.
    pub(super) fn asks(&self) -> FlowDemand {
        let most = self.paths.iter().map(FlowPath::most).fold(Bandwidth::ZERO, sum);
        FlowDemand { demand: self.want.demand.min(most), ..self.want }
    }

    pub(super) fn links(&self) -> Vec<Arc<[LinkIx]>> {
        self.paths.iter().map(|path| Arc::clone(&path.links)).collect()
    }
}

impl Reservation {
    pub(super) fn of(allocation: &Allocation) -> Self {
        Self { id: allocation.id, bandwidth: allocation.demand.bandwidth, path: Arc::clone(&allocation.path) }
    }
}

impl FlowPath {
    pub(super) fn new(links: Arc<[LinkIx]>) -> Self {
        Self { links, planned: FlowRate::default(), holding: None, refused: None, awaits_room: false }
    }

    pub(super) fn granted(&self) -> Bandwidth {
        self.holding.as_ref().map_or(Bandwidth::ZERO, |holding| holding.bandwidth)
    }

    /// The most that can be reserved on it.
    fn most(&self) -> Bandwidth {
        self.refused.map_or(Bandwidth::MAX, |refused| refused.most)
    }

    /// The bandwidth to reserve: the planned rate, but no more than can be reserved.
    pub(super) fn aim(&self) -> Bandwidth {
        self.planned.rate.min(self.most())
    }
}

impl AggregatorState {
    /// An aggregator without reservations.
    pub(super) fn new(
        ix: AggregatorIx,
        (topology, node): (Name, NodeIx),
        metadata: Arc<Metadata>,
        now: Millis,
        settings: &SchedulerSettings,
    ) -> Self {
        let lease_ms = settings.lease_ms;
        let instance = metadata.presence.instance.clone();
        let rates = GrantedRates { sequence: now.0, at: now, instance, lease_ms, levels: Default::default() };
        Self {
            ix,
            topology,
            node,
            metadata,
            heard_at: now,
            falls_at: None,
            standing: LeaseState::Fresh,
            boosts: [false; LEVELS],
            flows: BTreeMap::new(),
            rates: Arc::new(rates),
            tenant: None,
        }
    }

    /// The rates by what is reserved, in a network that has the classes of some levels.
    pub(super) fn levels(&self, has_class: impl Fn(QosLevel) -> bool) -> [GrantedLevel; LEVELS] {
        let mut levels: [GrantedLevel; LEVELS] = Default::default();
        for ((level, _), flow) in &self.flows {
            let told = &mut levels[level.at()];
            let mut destination = Destination { node: flow.egress.clone(), rate: Bandwidth::ZERO, paths: vec![] };
            for (path, holding) in flow.paths.iter().filter_map(|path| Some((path, path.holding.as_ref()?))) {
                told.fallback = sum(told.fallback, holding.bandwidth.min(path.planned.guaranteed));
                destination.rate = sum(destination.rate, holding.bandwidth);
                destination.paths.push(GrantedPath { allocation: holding.id, rate: holding.bandwidth });
            }
            if !destination.paths.is_empty() {
                told.rate = sum(told.rate, destination.rate);
                told.destinations.push(destination);
            }
        }
        for (level, told) in QosLevel::ALL.into_iter().zip(&mut levels) {
            told.destinations.sort_by(|one, other| one.node.cmp(&other.node));
            if told.destinations.is_empty() {
                told.unserved = self.unserved_cause(level, has_class(level));
            }
        }
        levels
    }

    pub(super) fn path(&self, key: PathKey) -> Option<&FlowPath> {
        self.flows.get(&(key.flow.level, key.flow.egress))?.paths.get(usize::from(key.path))
    }

    /// Whether the rate of a flow over all paths changes so little that it waits for the next adjustment.
    pub(super) fn changes_little(&self, flow: FlowKey) -> bool {
        let Some(flow) = self.flows.get(&(flow.level, flow.egress)) else { return false };
        let over_all = |each: fn(&FlowPath) -> Bandwidth| flow.paths.iter().map(each).fold(Bandwidth::ZERO, sum);
        is_small(over_all(FlowPath::granted), over_all(FlowPath::aim))
    }

    fn unserved_cause(&self, level: QosLevel, has_class: bool) -> Option<UnservedCause> {
        let mut flows = self.flows.iter().filter(|((other, _), _)| *other == level).map(|(_, flow)| flow).peekable();
        match (flows.peek(), has_class) {
            (None, _) => None,
            (Some(_), false) => Some(UnservedCause::NoClass),
            (Some(_), true) => flows.all(|flow| flow.paths.is_empty()).then_some(UnservedCause::NoPath),
        }
    }

    pub(super) fn view(&self, id: &Name, max_paths: usize) -> AggregatorView {
        let mut demand = [Bandwidth::ZERO; LEVELS];
        for ((level, _), flow) in &self.flows {
            demand[level.at()] = sum(demand[level.at()], flow.want.demand);
        }
        AggregatorView {
            id: id.clone(),
            topology: self.topology.clone(),
            metadata: Arc::clone(&self.metadata),
            heard_at: self.heard_at,
            standing: self.standing,
            demand,
            boosted: self.boosts,
            rates: Arc::clone(&self.rates),
            max_paths,
        }
    }
}

fn sum(one: Bandwidth, other: Bandwidth) -> Bandwidth {
    one.checked_add(other).unwrap_or(Bandwidth::MAX)
}
