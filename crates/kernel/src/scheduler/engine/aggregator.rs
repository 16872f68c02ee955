//! An aggregator as the scheduler knows it, and what it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::allocation::Flow as Packets;
use crate::id::{AllocationId, LinkIx, Name, NodeIx};
use crate::scheduler::hysteresis::LeaseState;
use crate::scheduler::report::Metadata;
use crate::scheduler::{AggregatorIx, FlowDemand, FlowRate, LEVELS, QosLevel, SchedulerSettings};
use crate::units::{Bandwidth, Millis};

/// What an aggregator may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantedRates {
    /// Higher than that of whatever it was told before.
    pub sequence: u64,
    /// When this was found.
    pub at: Millis,
    /// To which instance it is said, if it said which it is.
    pub instance: Option<Name>,
    /// How long it holds if nothing is heard after it.
    pub lease_ms: u64,
    /// By level.
    pub levels: [GrantedLevel; LEVELS],
}

/// What an aggregator may send in a level.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GrantedLevel {
    /// To all destinations together.
    pub rate: Bandwidth,
    /// What it may go on sending when the lease is over: what is its own whatever others ask for.
    pub fallback: Bandwidth,
    /// To each node with consumers, in the order of their names.
    pub destinations: Vec<Destination>,
}

/// What an aggregator may send to the consumers at a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// Which node.
    pub node: Name,
    /// How much.
    pub rate: Bandwidth,
    /// The allocation that has it reserved.
    pub allocation: AllocationId,
}

/// An aggregator as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AggregatorView {
    /// Which.
    pub id: Name,
    /// In which topology.
    pub topology: Name,
    /// What it reported last.
    pub metadata: Arc<Metadata>,
    /// When that was heard.
    pub heard_at: Millis,
    /// What it counts for.
    pub standing: LeaseState,
    /// What it needs, by level, as far as links are needed.
    pub demand: [Bandwidth; LEVELS],
    /// Which levels are boosted.
    pub boosted: [bool; LEVELS],
    /// What it may send.
    pub rates: Arc<GrantedRates>,
}

pub(super) struct AggregatorState {
    pub(super) ix: AggregatorIx,
    pub(super) topology: Name,
    pub(super) node: NodeIx,
    pub(super) metadata: Arc<Metadata>,
    pub(super) heard_at: Millis,
    /// When its standing falls next.
    pub(super) falls_at: Option<Millis>,
    pub(super) standing: LeaseState,
    pub(super) boosts: [bool; LEVELS],
    pub(super) flows: BTreeMap<(QosLevel, NodeIx), SchedulerFlow>,
    pub(super) rates: Arc<GrantedRates>,
}

/// What an aggregator sends in a level to the consumers at a node.
pub(super) struct SchedulerFlow {
    pub(super) egress: Name,
    pub(super) want: FlowDemand,
    /// By what its packets are known, if that can be told.
    pub(super) packets: Option<Packets>,
    /// The way it goes, or would; none: there is none.
    pub(super) path: Option<Arc<[LinkIx]>>,
    pub(super) planned: FlowRate,
    pub(super) holding: Option<Reservation>,
    pub(super) refused: Option<Backoff>,
}

/// What is reserved for a flow.
#[derive(Clone)]
pub(super) struct Reservation {
    pub(super) id: AllocationId,
    pub(super) bandwidth: Bandwidth,
    pub(super) path: Arc<[LinkIx]>,
}

/// That a request was refused: until then no more is asked than this.
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

    /// What is to be asked of the plan: no more than can be had.
    pub(super) fn asks(&self) -> FlowDemand {
        let most = self.refused.map_or(Bandwidth::MAX, |refused| refused.most);
        FlowDemand { demand: self.want.demand.min(most), ..self.want }
    }

    /// What is to be reserved: what is planned, but no more than can be had.
    pub(super) fn aim(&self) -> Bandwidth {
        self.planned.rate.min(self.refused.map_or(Bandwidth::MAX, |refused| refused.most))
    }
}

impl AggregatorState {
    /// One that holds nothing yet.
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
        }
    }

    /// What it may send now, by what is reserved.
    pub(super) fn levels(&self) -> [GrantedLevel; LEVELS] {
        let mut levels: [GrantedLevel; LEVELS] = Default::default();
        for ((level, _), flow) in &self.flows {
            let Some(holding) = &flow.holding else { continue };
            let told = &mut levels[level.at()];
            told.rate = sum(told.rate, holding.bandwidth);
            told.fallback = sum(told.fallback, holding.bandwidth.min(flow.planned.guaranteed));
            let (node, rate, allocation) = (flow.egress.clone(), holding.bandwidth, holding.id);
            told.destinations.push(Destination { node, rate, allocation });
        }
        for told in &mut levels {
            told.destinations.sort_by(|one, other| one.node.cmp(&other.node));
        }
        levels
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
