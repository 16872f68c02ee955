//! The plan: a rate for every flow, kept up to date as reports, paths and links change. A flow is what one aggregator
//! sends in one QoS level to the consumers at one node, over one path or several.
//!
//! A flow of several paths divides its demand and its weight among them in parts (`splits`); each path with a part is filled
//! like a flow of its own. Parts are found anew when demands are far from those that they were found for (`balance`).
//!
//! Under `max_min` a flow's bandwidth function has two pieces, after BwE: first its level's share of every link is filled
//! max-min fair among the flows of the level (so that no level starves another), then what is left is filled among all,
//! by the weights of the levels. Under the policies of the paper the first piece is the even division.
//! Where aggregators have tenants, both fillings divide between tenants by their weights first, then among the aggregators of
//! a tenant, and then among the flows of an aggregator.
//! What the bandwidth model of a link lets a level have beyond its share is a resource of the second filling, like the link.
//! What must stay true: rates over a link never sum to more than its capacity; a plan depends on what is asked and not
//! on the order in which it was asked.

mod classes;
mod owned_max_min;
mod balance;
mod logarithm;
mod splits;
mod path_entries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::balance::Balance;
use self::classes::LinkClasses;
use self::owned_max_min::OwnedMaxMin;
use self::splits::{FIRST_ALONE, PathParts};
use super::class_bounds::ClassBounds;
use super::equal_share::{Claimant, Even};
use super::max_min::{FlowIx, MaxMin, RATE_MAX_BPS, TenantShare, TenantShares, UNIT};
use super::{AggregatorIx, DivisionPolicy, LEVELS, QosLevel, SchedulerSettings};
use crate::id::{LinkIx, NodeIx};
use crate::units::Bandwidth;

/// A flow's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowKey {
    /// The sender.
    pub aggregator: AggregatorIx,
    /// The level.
    pub level: QosLevel,
    /// The node of the consumers.
    pub egress: NodeIx,
}

/// A path of a flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PathKey {
    /// The flow.
    pub flow: FlowKey,
    /// The path, by its place among those of the flow.
    pub path: u8,
}

/// The demand of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowDemand {
    /// The rate that it needs.
    pub demand: Bandwidth,
    /// Whether a full buffer stands behind it.
    pub boosted: bool,
}

/// The rate of a flow, or of a path of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowRate {
    /// The whole rate.
    pub rate: Bandwidth,
    /// The part that no other demand can take.
    pub guaranteed: Bandwidth,
}

/// A path whose rate changed; zero: it is out of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateChange {
    /// The path.
    pub key: PathKey,
    /// Its rate now.
    pub rate: FlowRate,
}

/// The sum of rates of each aggregator in each level.
pub type RatePlan = BTreeMap<AggregatorIx, [Bandwidth; LEVELS]>;

/// The flows with their demands and rates.
#[derive(Clone, Debug)]
pub struct Planner {
    settings: SchedulerSettings,
    flows: BTreeMap<FlowKey, PlannedFlow>,
    balance: Balance,
    /// The paths with a part.
    index: BTreeMap<PathKey, u32>,
    entries: Vec<Option<PlannerEntry>>,
    vacant: Vec<u32>,
    first: FirstPiece,
    common: OwnedMaxMin,
    /// What the first pieces leave of each link, in 1/1024 bit/s.
    left: Vec<i128>,
    /// What is on each link without being booked, in 1/1024 bit/s.
    stray: Vec<i128>,
    capacity: Vec<u64>,
    /// Links whose remainder differs from the capacity of the second filling.
    dirty: Vec<LinkIx>,
    is_dirty: Vec<bool>,
    /// By link; empty where no model bounds the levels.
    classes: Vec<LinkClasses>,
    /// Entries to update, each of them marked; some more than once.
    touched: Vec<u32>,
    removed: BTreeSet<PathKey>,
    /// The tenants of aggregators, under [`DivisionPolicy::MaxMin`].
    shares: TenantShares,
}

/// The first piece of every flow.
#[derive(Clone, Debug)]
enum FirstPiece {
    Pools(Box<[OwnedMaxMin; LEVELS]>),
    Even(Even),
}

/// A flow and how it is divided.
#[derive(Clone, Debug)]
struct PlannedFlow {
    want: FlowDemand,
    paths: Arc<[Arc<[LinkIx]>]>,
    parts: PathParts,
    /// The demand for which the parts were found.
    balanced_for: Bandwidth,
}

/// A path with a part of its flow.
#[derive(Clone, Debug)]
struct PlannerEntry {
    key: PathKey,
    party: Claimant,
    part: u8,
    /// The part of the flow's demand.
    want: FlowDemand,
    pool: Option<FlowIx>,
    common: Option<FlowIx>,
    /// The first piece, in 1/1024 bit/s.
    base: u128,
    told: FlowRate,
    is_touched: bool,
}

impl Planner {
    /// A plan without flows over links of these capacities.
    pub fn new(settings: SchedulerSettings, capacities: &[Bandwidth]) -> Self {
        Self::under_model(settings, capacities, vec![])
    }

    /// The same, where models bound the levels on each link. They stay; what other clients have booked may change.
    pub fn under_model(settings: SchedulerSettings, capacities: &[Bandwidth], classes: Vec<ClassBounds>) -> Self {
        let blank = |bounds| LinkClasses { bounds, wanted: [0; LEVELS], first: [0; LEVELS] };
        let classes: Vec<_> = classes.into_iter().map(blank).collect();
        let capacity: Vec<u64> = capacities.iter().map(|all| all.as_bps().min(RATE_MAX_BPS)).collect();
        let filling = |of: &dyn Fn(u64) -> u64| MaxMin::new(capacity.iter().map(|all| of(*all)), settings.step_bits);
        let first = match settings.policy {
            DivisionPolicy::MaxMin => FirstPiece::Pools(Box::new(
                settings.shares.map(|share| OwnedMaxMin::new(filling(&|all| share.of(all)))),
            )),
            DivisionPolicy::Fixed | DivisionPolicy::BufferAware => {
                FirstPiece::Even(Even::new(settings.shares, &capacity))
            }
        };
        // Behind the links, a resource for each link and level that a model bounds.
        let bounded = classes.len() * LEVELS;
        let resources = capacity.iter().copied().chain(std::iter::repeat_n(0, bounded));
        let mut planner = Self {
            flows: BTreeMap::new(),
            balance: Balance::of(&capacity, settings.paths_max()),
            index: BTreeMap::new(),
            entries: vec![],
            vacant: vec![],
            first,
            common: OwnedMaxMin::new(MaxMin::new(resources, settings.step_bits)),
            classes,
            left: capacity.iter().map(|all| units(*all)).collect(),
            stray: vec![0; capacity.len()],
            dirty: vec![],
            is_dirty: vec![false; capacity.len()],
            touched: vec![],
            removed: BTreeSet::new(),
            shares: TenantShares::default(),
            capacity,
            settings,
        };
        for link in 0..planner.classes.len() {
            let link = LinkIx(u32::try_from(link).unwrap_or(u32::MAX));
            planner.update_pools(link);
            planner.leave(link, 0);
        }
        planner
    }

    /// Another capacity for a link.
    pub fn set_capacity(&mut self, link: LinkIx, capacity: Bandwidth) {
        let now_bps = capacity.as_bps().min(RATE_MAX_BPS);
        let Some(place) = self.capacity.get_mut(link.at()) else { return };
        let old_bps = std::mem::replace(place, now_bps);
        if old_bps == now_bps {
            return;
        }
        if let FirstPiece::Even(even) = &mut self.first {
            even.set_capacity(link, now_bps);
        }
        self.update_pools(link);
        self.leave(link, units(now_bps) - units(old_bps));
        self.balance.on_capacity(link, now_bps);
    }

    /// Sets the tenant of an aggregator; `None`: it has none. The division of the paper knows no tenants.
    pub fn set_tenant(&mut self, aggregator: AggregatorIx, share: Option<&TenantShare>) {
        let FirstPiece::Pools(pools) = &mut self.first else { return };
        if self.shares.get(&aggregator) == share {
            return;
        }
        match share {
            Some(share) => drop(self.shares.insert(aggregator, share.clone())),
            None => drop(self.shares.remove(&aggregator)),
        }
        for filling in pools.iter_mut().chain([&mut self.common]) {
            filling.set_shares(self.shares.clone());
        }
    }

    /// The measured load of a link beyond the bookings. It is taken from the second filling and never from the first pieces:
    /// meters protect the guaranteed rates, and a flood shall not starve the flows that keep to theirs.
    pub fn set_stray(&mut self, link: LinkIx, stray: Bandwidth) {
        let Some(place) = self.stray.get_mut(link.at()) else { return };
        let now = units(stray.as_bps().min(RATE_MAX_BPS));
        if std::mem::replace(place, now) != now {
            self.leave(link, 0);
        }
    }

    /// The capacity of a link for the plan.
    pub fn capacity(&self, link: LinkIx) -> Bandwidth {
        Bandwidth::saturating_from_bps(self.capacity.get(link.at()).copied().unwrap_or(0))
    }

    /// Sets the demand and the paths that a flow may have, the preferred one first; beyond
    /// [`SchedulerSettings::candidates_max`] they are not looked at.
    pub fn put(&mut self, key: FlowKey, paths: &[Arc<[LinkIx]>], want: FlowDemand) {
        let paths = paths.get(..self.settings.candidates_max()).unwrap_or(paths);
        match self.flows.get_mut(&key) {
            Some(flow) if *flow.paths == *paths => {
                if flow.want == want {
                    return;
                }
                flow.want = want;
                self.balance.on_demand(flow.balanced_for, want.demand);
            }
            known => {
                // Another path in the place of one has its part until parts are found anew.
                let kept = known.filter(|flow| flow.paths.len() == paths.len()).map(|flow| flow.parts);
                self.remove(key);
                self.balance.on_added(paths);
                let parts = kept.unwrap_or(FIRST_ALONE);
                self.flows.insert(key, PlannedFlow { want, paths: paths.into(), parts, balanced_for: want.demand });
            }
        }
        self.apply_parts(key);
    }

    /// Takes a flow out.
    pub fn remove(&mut self, key: FlowKey) {
        let Some(flow) = self.flows.remove(&key) else { return };
        self.balance.on_removed(&flow.paths);
        (0..).zip(flow.paths.iter()).for_each(|(path, _)| self.remove_path(PathKey { flow: key, path }));
    }

    /// Updates the plan after changes; answers the paths whose rate changed, in the order of keys.
    pub fn update(&mut self) -> Vec<RateChange> {
        if self.balance.is_due() {
            self.rebalance();
        }
        self.update_first_pieces();
        let mut touched = std::mem::take(&mut self.touched);
        touched.iter().for_each(|at| self.update_first_piece(*at));
        self.update_remainders();
        touched.extend(self.common.update());
        let removed = std::mem::take(&mut self.removed);
        let gone = removed.iter().filter(|key| !self.index.contains_key(key));
        let mut changes: Vec<_> = gone.map(|key| RateChange { key: *key, rate: FlowRate::default() }).collect();
        for at in touched.drain(..) {
            let rate = self.rate_at(at);
            let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::as_mut) else { continue };
            // A flow that was removed and put again is reported once.
            let is_back = std::mem::take(&mut entry.is_touched) && removed.contains(&entry.key);
            if entry.told != rate || is_back {
                entry.told = rate;
                changes.push(RateChange { key: entry.key, rate });
            }
        }
        self.touched = touched;
        changes.sort_unstable_by_key(|change| change.key);
        changes
    }

    /// The rate of a flow over all of its paths, as of the last [`Planner::update`].
    pub fn rate(&self, key: FlowKey) -> Option<FlowRate> {
        self.flows.contains_key(&key).then(|| {
            let (first, last) = (PathKey { flow: key, path: 0 }, PathKey { flow: key, path: u8::MAX });
            let told = self.index.range(first..=last).filter_map(|(_, at)| Some(self.entry(*at)?.told));
            told.fold(FlowRate::default(), |sum, path| FlowRate {
                rate: plus(sum.rate, path.rate),
                guaranteed: plus(sum.guaranteed, path.guaranteed),
            })
        })
    }

    /// The rate of every path with a part, as of the last [`Planner::update`].
    pub fn rates(&self) -> impl Iterator<Item = (PathKey, FlowRate)> + '_ {
        self.index.iter().filter_map(|(key, at)| Some((*key, self.entry(*at)?.told)))
    }

    /// The rate of each aggregator in each level, as of the last [`Planner::update`].
    pub fn plan(&self) -> RatePlan {
        let mut plan = RatePlan::new();
        for (key, rate) in self.rates() {
            let sum = &mut plan.entry(key.flow.aggregator).or_default()[key.flow.level.at()];
            *sum = plus(*sum, rate.rate);
        }
        plan
    }
}

fn plus(one: Bandwidth, other: Bandwidth) -> Bandwidth {
    Bandwidth::saturating_from_bps(one.as_bps().saturating_add(other.as_bps()))
}

fn units(bps: u64) -> i128 {
    i128::from(bps) * i128::from(UNIT)
}
