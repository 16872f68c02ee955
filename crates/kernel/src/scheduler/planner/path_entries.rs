//! The paths with a part as entries of the plan's fillings.

use std::sync::Arc;

use super::owned_max_min::OwnedMaxMin;
use super::splits::PART_ONE;
use super::{FirstPiece, PathKey, Planner, PlannerEntry};
use crate::id::LinkIx;
use crate::scheduler::equal_share::Claimant;
use crate::scheduler::max_min::{RATE_MAX_BPS, UNIT};
use crate::scheduler::{DivisionPolicy, FlowDemand, FlowKey, FlowRate, QosLevel};
use crate::units::Bandwidth;

impl Planner {
    /// Brings a flow's entries in line with its parts and its demand.
    pub(super) fn apply_parts(&mut self, flow: FlowKey) {
        let Some(planned) = self.flows.get(&flow) else { return };
        let (want, parts, paths) = (planned.want, planned.parts, Arc::clone(&planned.paths));
        let mut before = 0;
        for ((path, links), part) in (0..).zip(paths.iter()).zip(parts) {
            let key = PathKey { flow, path };
            let upto = before + u64::from(part);
            let own = FlowDemand { demand: share(want.demand, before, upto), ..want };
            before = upto;
            match self.index.get(&key).copied().and_then(|at| Some((at, self.entry(at)?.part))) {
                Some((at, known)) if known == part => self.ask(at, own),
                None if part == 0 => {}
                _ => {
                    self.remove_path(key);
                    if part > 0 {
                        self.insert(key, links, part, own);
                    }
                }
            }
        }
    }

    /// Takes a path out.
    pub(super) fn remove_path(&mut self, key: PathKey) {
        let Some(at) = self.index.remove(&key) else { return };
        let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::take) else { return };
        match (&mut self.first, entry.pool) {
            (FirstPiece::Pools(pools), Some(pool)) => pools[entry.party.level.at()].remove(pool),
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

    /// The weights of a part of a flow in the first filling and in the second. Those of levels are shortened, since what is given
    /// is the coarser the larger weights are.
    fn weights_of(&self, level: QosLevel, part: u8) -> [u32; 2] {
        let weights = self.settings.weights;
        if self.settings.paths_max() == 1 {
            return [1, weights[level.at()]];
        }
        let shortest = weights.into_iter().reduce(greatest_divisor).unwrap_or(1).max(1);
        [1, weights[level.at()] / shortest].map(|weight| weight.saturating_mul(u32::from(part)))
    }

    pub(super) fn entry(&self, at: u32) -> Option<&PlannerEntry> {
        self.entries.get(at as usize).and_then(Option::as_ref)
    }

    fn insert(&mut self, key: PathKey, path: &Arc<[LinkIx]>, part: u8, want: FlowDemand) {
        let [weight, _] = self.weights_of(key.flow.level, part);
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let party = Claimant { aggregator: key.flow.aggregator, level: key.flow.level, path: Arc::clone(path) };
        let pool = match &mut self.first {
            FirstPiece::Pools(pools) => {
                let demand_bps = want.demand.as_bps();
                Some(pools[party.level.at()].add((at, party.aggregator), path, weight, demand_bps))
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
            part,
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
    pub(super) fn update_first_pieces(&mut self) {
        let touched: Vec<u32> = match &mut self.first {
            FirstPiece::Pools(pools) => pools.iter_mut().flat_map(OwnedMaxMin::update).collect(),
            FirstPiece::Even(even) => even.touched().into_iter().collect(),
        };
        touched.into_iter().for_each(|at| self.touch(at));
    }

    /// Sets a flow's first piece, and its demand in the second filling to the rest.
    pub(super) fn update_first_piece(&mut self, at: u32) {
        let Some(entry) = self.entries.get(at as usize).and_then(Option::as_ref) else { return };
        let wanted = u128::from(entry.want.demand.as_bps().min(RATE_MAX_BPS)) * u128::from(UNIT);
        let base = match (&self.first, entry.pool) {
            (FirstPiece::Pools(pools), Some(pool)) => pools[entry.party.level.at()].rate_units(pool),
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
        let (party, part, old, known) = (entry.party.clone(), entry.part, entry.base, entry.common);
        let common = match known {
            Some(common) => {
                self.common.set_demand(common, rest_bps);
                Some(common)
            }
            None if rest_bps == 0 => None,
            None => {
                let resources = self.resources(&party);
                let [_, weight] = self.weights_of(party.level, part);
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
    pub(super) fn leave(&mut self, link: LinkIx, more: i128) {
        if let (Some(left), Some(is_dirty)) = (self.left.get_mut(link.at()), self.is_dirty.get_mut(link.at())) {
            *left += more;
            if !std::mem::replace(is_dirty, true) {
                self.dirty.push(link);
            }
        }
    }

    /// Sets the capacity of the second filling on every dirty link.
    pub(super) fn update_remainders(&mut self) {
        for link in std::mem::take(&mut self.dirty) {
            let (Some(left), Some(stray)) = (self.left.get(link.at()), self.stray.get(link.at())) else { continue };
            self.common.set_capacity_units(link, u128::try_from(*left - stray).unwrap_or(0));
            if let Some(is_dirty) = self.is_dirty.get_mut(link.at()) {
                *is_dirty = false;
            }
            self.update_bounds(link);
        }
    }

    pub(super) fn rate_at(&self, at: u32) -> FlowRate {
        let Some(entry) = self.entry(at) else { return FlowRate::default() };
        let rest = entry.common.map_or(0, |common| self.common.rate_units(common));
        let bandwidth =
            |all: u128| Bandwidth::saturating_from_bps(u64::try_from(all / u128::from(UNIT)).unwrap_or(RATE_MAX_BPS));
        FlowRate { rate: bandwidth(entry.base + rest), guaranteed: bandwidth(entry.base) }
    }
}

/// The part of a demand from one of [`PART_ONE`] parts to another; all of them sum to it.
fn share(demand: Bandwidth, from: u64, upto: u64) -> Bandwidth {
    let until = |parts: u64| {
        let bps = u128::from(demand.as_bps()) * u128::from(parts) / u128::from(PART_ONE);
        u64::try_from(bps).unwrap_or(u64::MAX)
    };
    Bandwidth::saturating_from_bps(until(upto).saturating_sub(until(from)))
}

/// Euclid's.
fn greatest_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_divisor(other, one % other) }
}
