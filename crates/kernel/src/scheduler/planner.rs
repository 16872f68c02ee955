//! The plan: a rate for every flow, kept up to date as reports, paths and links change. A flow is what one aggregator
//! sends in one QoS level to the consumers at one node.
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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::classes::LinkClasses;
use self::owned_max_min::OwnedMaxMin;
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

/// The demand of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowDemand {
    /// The rate that it needs.
    pub demand: Bandwidth,
    /// Whether a full buffer stands behind it.
    pub boosted: bool,
}

/// The rate of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowRate {
    /// The whole rate.
    pub rate: Bandwidth,
    /// The part that no other demand can take.
    pub guaranteed: Bandwidth,
}

/// A flow whose rate changed; zero: it is out of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateChange {
    /// The flow.
    pub key: FlowKey,
    /// Its rate now.
    pub rate: FlowRate,
}

/// The sum of rates of each aggregator in each level.
pub type RatePlan = BTreeMap<AggregatorIx, [Bandwidth; LEVELS]>;

/// The flows with their demands and rates.
#[derive(Clone, Debug)]
pub struct Planner {
    settings: SchedulerSettings,
    index: BTreeMap<FlowKey, u32>,
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
    removed: BTreeSet<FlowKey>,
    /// The tenants of aggregators, under [`DivisionPolicy::MaxMin`].
    shares: TenantShares,
}

/// The first piece of every flow.
#[derive(Clone, Debug)]
enum FirstPiece {
    Pools(Box<[OwnedMaxMin; LEVELS]>),
    Even(Even),
}

#[derive(Clone, Debug)]
struct PlannerEntry {
    key: FlowKey,
    party: Claimant,
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

    /// Sets the demand and the path of a flow.
    pub fn put(&mut self, key: FlowKey, path: &Arc<[LinkIx]>, want: FlowDemand) {
        let known = self.index.get(&key).copied();
        let same_way = known.and_then(|at| self.entry(at)).is_some_and(|entry| entry.party.path == *path);
        match known {
            Some(at) if same_way => self.ask(at, want),
            Some(_) => {
                self.remove(key);
                self.insert(key, path, want);
            }
            None => self.insert(key, path, want),
        }
    }

    /// Takes a flow out.
    pub fn remove(&mut self, key: FlowKey) {
        let Some(at) = self.index.remove(&key) else { return };
        let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::take) else { return };
        match (&mut self.first, entry.pool) {
            (FirstPiece::Pools(pools), Some(pool)) => pools[key.level.at()].remove(pool),
            (FirstPiece::Even(even), _) => even.leave(at, &entry.party),
            _ => {}
        }
        if let Some(common) = entry.common {
            self.common.remove(common);
        }
        self.rebase(&entry.party, entry.base, 0);
        self.count_demand(&entry.party, entry.want.demand, Bandwidth::ZERO);
        self.vacant.push(at);
        self.removed.insert(key);
    }

    /// Updates the plan after changes; answers the flows whose rate changed, in the order of keys.
    pub fn update(&mut self) -> Vec<RateChange> {
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

    /// The rate of a flow, as of the last [`Planner::update`].
    pub fn rate(&self, key: FlowKey) -> Option<FlowRate> {
        self.index.get(&key).and_then(|at| self.entry(*at)).map(|entry| entry.told)
    }

    /// The rate of every flow, as of the last [`Planner::update`].
    pub fn rates(&self) -> impl Iterator<Item = (FlowKey, FlowRate)> + '_ {
        self.index.iter().filter_map(|(key, at)| Some((*key, self.entry(*at)?.told)))
    }

    /// The rate of each aggregator in each level, as of the last [`Planner::update`].
    pub fn plan(&self) -> RatePlan {
        let mut plan = RatePlan::new();
        for (key, rate) in self.rates() {
            let sum = &mut plan.entry(key.aggregator).or_default()[key.level.at()];
            *sum = Bandwidth::saturating_from_bps(sum.as_bps() + rate.rate.as_bps());
        }
        plan
    }

    fn entry(&self, at: u32) -> Option<&PlannerEntry> {
        self.entries.get(at as usize).and_then(Option::as_ref)
    }

    fn insert(&mut self, key: FlowKey, path: &Arc<[LinkIx]>, want: FlowDemand) {
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let party = Claimant { aggregator: key.aggregator, level: key.level, path: Arc::clone(path) };
        let pool = match &mut self.first {
            FirstPiece::Pools(pools) => {
                Some(pools[key.level.at()].add((at, key.aggregator), path, 1, want.demand.as_bps()))
            }
            FirstPiece::Even(even) => {
                even.join(at, &party);
                None
            }
        };
        self.count_demand(&party, Bandwidth::ZERO, want.demand);
        let entry = PlannerEntry {
            key,
            party,
            want,
            pool,
            common: None,
            base: 0,
            told: FlowRate::default(),
            is_touched: false,
        };
        if let Some(place) = self.entries.get_mut(at as usize) {
            *place = Some(entry);
        }
        self.index.insert(key, at);
        self.touch(at);
    }

    fn ask(&mut self, at: u32, want: FlowDemand) {
        let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::as_mut) else { return };
        if entry.want == want {
            return;
        }
        let (before, party) = (std::mem::replace(&mut entry.want, want).demand, entry.party.clone());
        if let (FirstPiece::Pools(pools), Some(pool)) = (&mut self.first, entry.pool) {
            pools[party.level.at()].set_demand(pool, want.demand.as_bps());
        }
        self.count_demand(&party, before, want.demand);
        self.touch(at);
    }

    /// Marks an entry for the next update.
    fn touch(&mut self, at: u32) {
        if let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::as_mut)
            && !std::mem::replace(&mut entry.is_touched, true)
        {
            self.touched.push(at);
        }
    }

    /// Marks the entries whose first piece may have changed.
    fn update_first_pieces(&mut self) {
        let touched: Vec<u32> = match &mut self.first {
            FirstPiece::Pools(pools) => pools.iter_mut().flat_map(OwnedMaxMin::update).collect(),
            FirstPiece::Even(even) => even.touched().into_iter().collect(),
        };
        touched.into_iter().for_each(|at| self.touch(at));
    }

    /// Sets a flow's first piece, and its demand in the second filling to the rest.
    fn update_first_piece(&mut self, at: u32) {
        let Some(entry) = self.entries.get(at as usize).and_then(Option::as_ref) else { return };
        let wanted = u128::from(entry.want.demand.as_bps().min(RATE_MAX_BPS)) * u128::from(UNIT);
        let base = match (&self.first, entry.pool) {
            (FirstPiece::Pools(pools), Some(pool)) => pools[entry.key.level.at()].rate_units(pool),
            (FirstPiece::Even(even), _) => match self.settings.policy {
                DivisionPolicy::BufferAware if !entry.want.boosted => even.part_units(&entry.party).min(wanted),
                _ => even.part_units(&entry.party),
            },
            _ => 0,
        };
        let asks_more = match self.settings.policy {
            DivisionPolicy::MaxMin => true,
            DivisionPolicy::BufferAware => entry.want.boosted,
            DivisionPolicy::Fixed => false,
        };
        let rest = if asks_more { wanted.saturating_sub(base).div_ceil(u128::from(UNIT)) } else { 0 };
        let rest_bps = u64::try_from(rest).unwrap_or(RATE_MAX_BPS);
        let (party, old, known) = (entry.party.clone(), entry.base, entry.common);
        let common = match known {
            Some(common) => {
                self.common.set_demand(common, rest_bps);
                Some(common)
            }
            None if rest_bps == 0 => None,
            None => {
                let resources = self.resources(&party);
                let weight = self.settings.weights[party.level.at()];
                Some(self.common.add((at, party.aggregator), &resources, weight, rest_bps))
            }
        };
        self.rebase(&party, old, base);
        if let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::as_mut) {
            (entry.base, entry.common) = (base, common);
        }
    }

    fn rebase(&mut self, party: &Claimant, old: u128, new: u128) {
        let less = i128::try_from(old).unwrap_or(i128::MAX) - i128::try_from(new).unwrap_or(i128::MAX);
        if less == 0 {
            return;
        }
        for link in party.path.iter() {
            if let Some(classes) = self.classes.get_mut(link.at()) {
                let first = &mut classes.first[party.level.at()];
                *first = (*first + new).saturating_sub(old);
            }
            self.leave(*link, less);
        }
    }

    /// Adds to the remainder of a link.
    fn leave(&mut self, link: LinkIx, more: i128) {
        if let (Some(left), Some(is_dirty)) = (self.left.get_mut(link.at()), self.is_dirty.get_mut(link.at())) {
            *left += more;
            if !std::mem::replace(is_dirty, true) {
                self.dirty.push(link);
            }
        }
    }

    /// Sets the capacity of the second filling on every dirty link.
    fn update_remainders(&mut self) {
        for link in std::mem::take(&mut self.dirty) {
            let (Some(left), Some(stray)) = (self.left.get(link.at()), self.stray.get(link.at())) else { continue };
            self.common.set_capacity_units(link, u128::try_from(*left - stray).unwrap_or(0));
            if let Some(is_dirty) = self.is_dirty.get_mut(link.at()) {
                *is_dirty = false;
            }
            self.update_bounds(link);
        }
    }

    fn rate_at(&self, at: u32) -> FlowRate {
        let Some(entry) = self.entry(at) else { return FlowRate::default() };
        let rest = entry.common.map_or(0, |common| self.common.rate_units(common));
        let bandwidth =
            |all: u128| Bandwidth::saturating_from_bps(u64::try_from(all / u128::from(UNIT)).unwrap_or(RATE_MAX_BPS));
        FlowRate { rate: bandwidth(entry.base + rest), guaranteed: bandwidth(entry.base) }
    }
}

fn units(bps: u64) -> i128 {
    i128::from(bps) * i128::from(UNIT)
}
