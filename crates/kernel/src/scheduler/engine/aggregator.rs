//! An aggregator's state in the scheduler, its view, and its granted rates.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::allocation::Flow as Packets;
use crate::id::{AllocationId, LinkIx, Name, NodeIx};
use crate::scheduler::hysteresis::LeaseState;
use crate::scheduler::report::Metadata;
use crate::scheduler::{AggregatorIx, FlowDemand, FlowRate, LEVELS, QosLevel, SchedulerSettings, TenantShare};
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
    /// The rate.
    pub rate: Bandwidth,
    /// The allocation that reserves it.
    pub allocation: AllocationId,
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
    /// The path of its reservation, or of the one it would get; `None`: there is no path.
    pub(super) path: Option<Arc<[LinkIx]>>,
    pub(super) planned: FlowRate,
    pub(super) holding: Option<Reservation>,
    pub(super) refused: Option<Backoff>,
}

/// The reservation of a flow.
#[derive(Clone)]
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
    pub(super) fn granted(&self) -> Bandwidth {
        self.holding.as_ref().map_or(Bandwidth::ZERO, |holding| holding.bandwidth)
    }

    /// The demand to plan with: no more than can be reserved.
    pub(super) fn asks(&self) -> FlowDemand {
        let most = self.refused.map_or(Bandwidth::MAX, |refused| refused.most);
        FlowDemand { demand: self.want.demand.min(most), ..self.want }
    }

    /// The bandwidth to reserve: the planned rate, but no more than can be reserved.
    pub(super) fn aim(&self) -> Bandwidth {
        self.planned.rate.min(self.refused.map_or(Bandwidth::MAX, |refused| refused.most))
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
            let Some(holding) = &flow.holding else { continue };
            let told = &mut levels[level.at()];
            told.rate = sum(told.rate, holding.bandwidth);
            told.fallback = sum(told.fallback, holding.bandwidth.min(flow.planned.guaranteed));
            let (node, rate, allocation) = (flow.egress.clone(), holding.bandwidth, holding.id);
            told.destinations.push(Destination { node, rate, allocation });
        }
        for (level, told) in QosLevel::ALL.into_iter().zip(&mut levels) {
            told.destinations.sort_by(|one, other| one.node.cmp(&other.node));
            if told.destinations.is_empty() {
                told.unserved = self.unserved_cause(level, has_class(level));
            }
        }
        levels
    }

    fn unserved_cause(&self, level: QosLevel, has_class: bool) -> Option<UnservedCause> {
        let mut flows = self.flows.iter().filter(|((other, _), _)| *other == level).map(|(_, flow)| flow).peekable();
        match (flows.peek(), has_class) {
            (None, _) => None,
            (Some(_), false) => Some(UnservedCause::NoClass),
            (Some(_), true) => flows.all(|flow| flow.path.is_none()).then_some(UnservedCause::NoPath),
        }
    }

    pub(super) fn view(&self, id: &Name) -> AggregatorView {
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
        }
    }
}

fn sum(one: Bandwidth, other: Bandwidth) -> Bandwidth {
    one.checked_add(other).unwrap_or(Bandwidth::MAX)
}
