//! When parts are found anew: at once in small networks, and else so seldom that a change costs little on average, or when the
//! owner of the plan says that it is quiet. A demand that is near the one for which parts were found changes none, so that
//! noise in reports shifts nothing.

use std::sync::Arc;

use super::splits::{self, FIRST_ALONE, SplitFlow, SplitScope, VISITS_AT_ONCE};
use super::{FlowKey, Planner};
use crate::id::LinkIx;
use crate::scheduler::settings::PATHS_MAX;
use crate::units::Bandwidth;

/// Parts stay while a demand or a capacity is within one in so many of what they were found for.
const NOISE_PARTS: u64 = 4;
/// For each change, so many visits of links by flows may be spent later.
const VISITS_PER_CHANGE: u64 = 1_000;

/// What has changed since parts were found.
#[derive(Clone, Debug)]
pub(super) struct Balance {
    /// By link, the capacity for which parts were found.
    capacities: Vec<u64>,
    /// How many flows have several paths.
    divisible: usize,
    /// The most paths of a flow.
    paths_max: usize,
    /// The links of all paths of all flows.
    hops: u64,
    /// The same of no more than [`Balance::paths_max`] of each flow.
    hops_of_first: u64,
    /// How many visits the changes since then are worth; 0: none.
    credit: u64,
    /// Whether a flow has a part on another path than its first.
    is_divided: bool,
}

type Paths = [Arc<[LinkIx]>];

impl Balance {
    pub(super) fn of(capacities: &[u64], paths_max: usize) -> Self {
        let capacities = capacities.to_vec();
        Self { capacities, divisible: 0, paths_max, hops: 0, hops_of_first: 0, credit: 0, is_divided: false }
    }

    pub(super) fn on_added(&mut self, paths: &Paths) {
        self.divisible += usize::from(paths.len() > 1);
        self.hops += hops(paths);
        self.hops_of_first += hops(self.first(paths));
        self.count_change();
    }

    pub(super) fn on_removed(&mut self, paths: &Paths) {
        self.divisible = self.divisible.saturating_sub(usize::from(paths.len() > 1));
        self.hops = self.hops.saturating_sub(hops(paths));
        self.hops_of_first = self.hops_of_first.saturating_sub(hops(self.first(paths)));
        self.count_change();
    }

    pub(super) fn on_demand(&mut self, balanced_for: Bandwidth, now: Bandwidth) {
        if !is_near(balanced_for.as_bps(), now.as_bps()) {
            self.count_change();
        }
    }

    pub(super) fn on_capacity(&mut self, link: LinkIx, now_bps: u64) {
        if self.capacities.get(link.at()).is_some_and(|known| !is_near(*known, now_bps)) {
            self.count_change();
        }
    }

    fn first<'a>(&self, paths: &'a Paths) -> &'a Paths {
        paths.get(..self.paths_max).unwrap_or(paths)
    }

    /// What is looked at to find parts, and how many visits it takes. Where all candidates are too many, only so many of them
    /// are tried as a flow may have.
    fn scope(&self) -> (SplitScope, u64) {
        let paths_max = self.paths_max;
        let (candidates, hops) = match splits::rounds(self.hops) {
            0 => (paths_max, self.hops_of_first),
            _ => (PATHS_MAX, self.hops),
        };
        let rounds = splits::rounds(hops);
        (SplitScope { paths_max, candidates, rounds }, hops.saturating_mul(rounds))
    }

    /// Whether there are so few paths that flows can be divided, with so many hops more.
    fn is_within_bounds(&self, more_hops: u64) -> bool {
        splits::rounds(self.hops_of_first.saturating_add(more_hops)) > 0
    }

    fn count_change(&mut self) {
        self.credit = self.credit.saturating_add(VISITS_PER_CHANGE);
    }

    /// Whether other parts may be found than there are.
    fn is_pending(&self) -> bool {
        self.credit > 0 && (self.is_divided || (self.divisible > 0 && self.is_within_bounds(0)))
    }

    /// Whether the changes are worth finding parts now.
    pub(super) fn is_due(&self) -> bool {
        self.is_pending() && self.scope().1 <= self.credit.max(VISITS_AT_ONCE)
    }
}

impl Planner {
    /// Whether parts were found for other demands, paths or capacities than there are now.
    pub fn is_unbalanced(&self) -> bool {
        self.balance.is_pending()
    }

    /// Whether flows may be divided where paths of so many hops are added: in a network with too many paths none is.
    pub(in crate::scheduler) fn may_divide(&self, more_hops: u64) -> bool {
        self.balance.is_within_bounds(more_hops)
    }

    /// Finds the parts of all flows anew, from nothing but what is asked for now.
    pub fn rebalance(&mut self) {
        (self.balance.credit, self.balance.capacities) = (0, self.capacity.clone());
        let (scope, _) = self.balance.scope();
        if !self.balance.is_divided && (self.balance.divisible == 0 || scope.rounds == 0) {
            return;
        }
        let flows: Vec<_> =
            self.flows.iter().map(|(key, flow)| (*key, flow.want.demand, Arc::clone(&flow.paths))).collect();
        let claim = |(key, demand, paths): &'_ (FlowKey, Bandwidth, Arc<Paths>)| -> SplitFlow {
            let weight = self.settings.weights[key.level.at()];
            SplitFlow { weight, demand_bps: demand.as_bps(), paths: Arc::clone(paths) }
        };
        let found = splits::split(&self.capacity, &flows.iter().map(claim).collect::<Vec<_>>(), scope);
        self.balance.is_divided = found.iter().any(|parts| *parts != FIRST_ALONE);
        for ((key, demand, _), parts) in flows.iter().zip(found) {
            let Some(flow) = self.flows.get_mut(key) else { continue };
            flow.balanced_for = *demand;
            if flow.parts != parts {
                flow.parts = parts;
                self.apply_parts(*key);
            }
        }
    }
}

fn hops(paths: &Paths) -> u64 {
    paths.iter().map(|path| path.len() as u64).sum()
}

fn is_near(known: u64, now: u64) -> bool {
    known.abs_diff(now) <= known / NOISE_PARTS
}
