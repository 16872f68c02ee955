//! How flows of several paths divide their demand among them, so that what all get is near the max-min fair optimum over
//! every division. After the adaptive waterfilling of Soroush (Namyar et al., NSDI 2024): a round fills all links with the
//! parts of flows as weights, and then each flow shifts its parts towards its better paths.
//!
//! Better is cheaper here: a link costs the level that it stops its flows at to the power of -α, which are the prices of
//! α-fair rates (Mo and Walrand, 2000) and lead to max-min as α rises, and a path what its links sum to: of two that are
//! stopped at one level, that over fewer full links is cheaper. Shifts are multiplicative and have momentum. First all
//! candidates of a flow have a share, and from a certain round on the best of them alone; the best of those rounds counts. Prices
//! are logarithms.
//!
//! What must stay true: parts depend on demands, paths and capacities alone; each flow's sum to [`PART_ONE`], on `paths_max`
//! paths at most.

use std::cmp::Reverse;
use std::sync::Arc;

use super::logarithm::{ONE, exp2, log2};
use crate::id::LinkIx;
use crate::scheduler::max_min::{FlowIx, MaxMin, RATE_MAX_BPS, UNIT};
use crate::scheduler::settings::PATHS_MAX;

/// A flow's whole.
pub(super) const PART_ONE: u8 = 64;
/// A path with a smaller part is not taken.
const PART_MIN: u32 = 2;
/// By path, its part of a flow's demand and weight, of [`PART_ONE`].
pub(super) type PathParts = [u8; PATHS_MAX];
/// All on the first path.
pub(super) const FIRST_ALONE: PathParts = {
    let mut parts = [0; PATHS_MAX];
    parts[0] = PART_ONE;
    parts
};

/// The most rounds: beyond, results hardly change.
const ROUNDS_MAX: u64 = 80;
/// The most where a division is not made at once.
const ROUNDS_LATER: u64 = 32;
/// A division of fewer is not made at once: more of them later are nearer to the optimum.
const ROUNDS_AT_ONCE: u64 = 20;
/// With fewer there are so many flows that each report would change thousands of rates where links are overloaded: 5.7 ms for
/// 10,000 aggregators on 754 nodes, a tenth of it on first paths.
const ROUNDS_MIN: u64 = 12;
/// The most visits of links by flows in all rounds of a division, which bounds its time.
const VISITS_MAX: u64 = 12_000_000;
/// So many visits are spent at once.
pub(super) const VISITS_AT_ONCE: u64 = 100_000;
/// The tenths of all rounds in which all candidates have a share.
const ROUNDS_OF_ALL: u64 = 3;

/// The steps to the doubling in which a round fills.
const STEP_BITS: u32 = 10;
/// A flow's whole within a division.
const SHARE_ONE: u64 = 1 << 12;
/// The largest weight of a level within a division.
const WEIGHT_ONE: u64 = 64;
/// α in the first and the last round, 1 and 20, as logarithms: it rises slowly, since the total follows while it is small.
const ALPHA: (i64, i64) = (0, 13 * ONE / 3);
/// How far parts shift for a difference of levels, in the first and the last round.
const STRIDE: (i64, i64) = (3 * ONE, 3 * ONE / 2);
/// The most that a part is multiplied or divided by in a round, before momentum: 4.
const SHIFT_MAX: i64 = 2 * ONE;
/// Of a shift, what the next round has of it, in quarters.
const MOMENTUM: i64 = 3;
/// The most with momentum.
const MOMENTUM_MAX: i64 = 16 * ONE;
/// The logarithm of what fractions are counted in: 2^40.
const FRACTION: i64 = 40 * ONE;
/// The logarithm of the level at which a link counts that carries nothing.
const LEVEL_TOP: i64 = 64 * ONE;
/// The power of the level's rise where a link is not full.
const VACANCY: i64 = 4;
/// A flow that has all but one in so many parts of its demand is none of those that have least.
const MET_PARTS: u64 = 16;
/// A flow whose rates in two rounds are nearer, by their logarithms, has the same in both: a percent.
const SAME: i64 = ONE / 64;

/// A flow to divide.
pub(super) struct SplitFlow {
    /// The weight of its level.
    pub(super) weight: u32,
    pub(super) demand_bps: u64,
    /// One at least.
    pub(super) paths: Arc<[Arc<[LinkIx]>]>,
}

/// How much is looked at.
#[derive(Clone, Copy)]
pub(super) struct SplitScope {
    /// The most paths of a flow that may have a part in the end.
    pub(super) paths_max: usize,
    /// The most that are tried.
    pub(super) candidates: usize,
    /// 0: all stay on their first path.
    pub(super) rounds: u64,
}

/// How many rounds the division of flows with so many hops over all of their paths has; 0: there are too many.
pub(super) fn rounds(hops: u64) -> u64 {
    match (VISITS_AT_ONCE / hops.max(1), VISITS_MAX / hops.max(1)) {
        (at_once @ ROUNDS_AT_ONCE.., _) => at_once.min(ROUNDS_MAX),
        (_, later @ ROUNDS_MIN..) => later.min(ROUNDS_LATER),
        _ => 0,
    }
}

/// The parts of each flow's paths. Where the first paths carry all demands, no flow has a second.
pub(super) fn split(capacities_bps: &[u64], flows: &[SplitFlow], scope: SplitScope) -> Vec<PathParts> {
    let SplitScope { paths_max, candidates, rounds } = scope;
    let first_alone = vec![FIRST_ALONE; flows.len()];
    if rounds == 0 {
        return first_alone;
    }
    let mut division = FlowDivision::new(capacities_bps, flows, candidates);
    if division.is_met_by_first_paths() {
        return first_alone;
    }
    let last_of_all = rounds * ROUNDS_OF_ALL / 10;
    let mut best: Option<(RoundMerit, Vec<u64>)> = None;
    for round in 0..rounds {
        division.fill();
        if round > last_of_all {
            let merit = division.merit();
            if best.as_ref().is_none_or(|(known, _)| merit.exceeds(known)) {
                best = Some((merit, division.paths.iter().map(|path| path.share).collect()));
            }
        }
        division.set_prices(RoundSettings::of(round, rounds));
        division.shift();
        if round == last_of_all {
            division.drop_least(paths_max);
        }
    }
    let shares = best.into_iter().flat_map(|(_, shares)| shares);
    division.paths.iter_mut().zip(shares).for_each(|(path, share)| path.share = share);
    division.parts()
}

/// The numbers of a round.
#[derive(Clone, Copy)]
struct RoundSettings {
    alpha: i64,
    stride: i64,
}

impl RoundSettings {
    fn of(round: u64, rounds: u64) -> Self {
        let at = |(first, last): (i64, i64)| {
            let (round, rounds) = (i64::try_from(round).unwrap_or(0), i64::try_from(rounds).unwrap_or(1).max(1));
            first + (last - first) * round / rounds
        };
        Self { alpha: i64::try_from(exp2(16 * ONE + at(ALPHA))).unwrap_or(ONE), stride: at(STRIDE) }
    }
}

/// What a round gives, in logarithms.
struct RoundMerit {
    /// By flow, what it has for its weight; [`LEVEL_TOP`] if it asks for no more.
    levels: Vec<i64>,
    /// What all have.
    total: i64,
}

impl RoundMerit {
    /// Whether it is better than another: by the least that a flow has and by what all have. A flow that has the same in both has no
    /// say: were it the least, as one that nothing can help, the total alone would decide about all others.
    fn exceeds(&self, other: &Self) -> bool {
        let (mut own, mut theirs) = (LEVEL_TOP, LEVEL_TOP);
        for (level, before) in self.levels.iter().zip(&other.levels) {
            if level.abs_diff(*before) >= SAME.unsigned_abs() {
                (own, theirs) = (own.min(*level), theirs.min(*before));
            }
        }
        own + self.total > theirs + other.total
    }
}

struct FlowDivision {
    filling: MaxMin,
    capacities: Vec<u64>,
    links: Vec<LinkPrice>,
    flows: Vec<DividedFlow>,
    /// The paths of flows, one flow after the other, as they were added to the filling.
    paths: Vec<DividedPath>,
    settings: RoundSettings,
}

#[derive(Clone, Copy, Default)]
struct LinkPrice {
    /// In 1/1024 bit/s.
    load: u128,
    /// The highest level of a flow over it.
    level: u64,
    /// As a logarithm.
    price: i64,
}

struct DividedFlow {
    weight: u64,
    demand: u64,
    first: usize,
    count: usize,
}

struct DividedPath {
    flow: usize,
    links: Arc<[LinkIx]>,
    /// Of [`SHARE_ONE`]; 0: it was dropped.
    share: u64,
    /// The last shift, as a logarithm.
    shift: i64,
}

impl FlowDivision {
    fn new(capacities_bps: &[u64], flows: &[SplitFlow], candidates: usize) -> Self {
        // Levels are finer the larger the numbers are.
        let most_bps = capacities_bps.iter().max().copied().unwrap_or(1).clamp(1, RATE_MAX_BPS);
        let finer = RATE_MAX_BPS.ilog2().saturating_sub(most_bps.ilog2() + 1);
        let scaled = |bps: u64| bps.min(RATE_MAX_BPS >> finer) << finer;
        let capacities: Vec<u64> = capacities_bps.iter().map(|bps| scaled(*bps)).collect();
        let heaviest = flows.iter().map(|flow| u64::from(flow.weight)).max().unwrap_or(1).max(1);
        let mut division = Self {
            filling: MaxMin::new(capacities.iter().copied(), STEP_BITS),
            links: vec![LinkPrice::default(); capacities.len()],
            capacities,
            flows: Vec::with_capacity(flows.len()),
            paths: vec![],
            settings: RoundSettings::of(0, 1),
        };
        for (at, flow) in flows.iter().enumerate() {
            let paths = flow.paths.get(..candidates).unwrap_or(&flow.paths);
            let (first, count) = (division.paths.len(), paths.len());
            let weight = (u64::from(flow.weight) * WEIGHT_ONE / heaviest).max(1);
            division.flows.push(DividedFlow { weight, demand: scaled(flow.demand_bps), first, count });
            for links in paths {
                division.filling.join(links, 1, 0);
                division.paths.push(DividedPath { flow: at, links: Arc::clone(links), share: 1, shift: 0 });
            }
            // A path of twice as many links takes twice as much of the network: short ones begin with more.
            let worth = |path: &Arc<[LinkIx]>| (1 << 40) / (path.len().max(1) as u64).saturating_pow(3);
            let worths = paths.iter().map(worth).collect::<Vec<_>>();
            division.set_shares(at, &worths);
        }
        division
    }

    fn is_met_by_first_paths(&mut self) -> bool {
        let (flows, paths) = (&self.flows, &self.paths);
        let is_first = |at: usize| paths.get(at).and_then(|path| flows.get(path.flow)).filter(|flow| flow.first == at);
        self.filling.refill(|ix| {
            is_first(ix.at()).map_or((1, 0), |flow| (u32::try_from(flow.weight).unwrap_or(1), flow.demand))
        });
        self.flows.iter().all(|flow| self.filling.level_units(FlowIx::nth(flow.first)).1)
    }

    /// Fills all links with the shares as weights, and counts what each link carries.
    fn fill(&mut self) {
        let (flows, paths) = (&self.flows, &self.paths);
        let claim = |path: &DividedPath| {
            let flow = flows.get(path.flow)?;
            let demand = u128::from(flow.demand) * u128::from(path.share) / u128::from(SHARE_ONE);
            Some((u32::try_from(flow.weight * path.share).ok()?, u64::try_from(demand).ok()?))
        };
        self.filling.refill(|ix| paths.get(ix.at()).and_then(claim).unwrap_or((1, 0)));
        self.links.fill(LinkPrice::default());
        for (at, path) in self.paths.iter().enumerate() {
            let ix = FlowIx::nth(at);
            let (rate, (level, _)) = (self.filling.rate_units(ix), self.filling.level_units(ix));
            for link in path.links.iter() {
                if let Some(link) = self.links.get_mut(link.at()) {
                    link.load += rate;
                    link.level = link.level.max(level);
                }
            }
        }
    }

    /// Sets the price of each link. One that is not full counts as if it stopped its flows at a level so much higher that it
    /// would be: so prices rise steadily as links fill. One that has nothing is the dearest.
    fn set_prices(&mut self, settings: RoundSettings) {
        self.settings = settings;
        for (link, capacity) in self.links.iter_mut().zip(&self.capacities) {
            let load = u64::try_from(link.load / u128::from(UNIT)).unwrap_or(u64::MAX);
            let level = match (*capacity, load) {
                (0, _) => 0,
                (_, 0) => LEVEL_TOP,
                _ => log2(link.level) + VACANCY * (log2(*capacity) - log2(load)).max(0),
            };
            link.price = -settings.alpha * level.min(LEVEL_TOP) / ONE;
        }
    }

    /// Shifts each flow towards its cheaper paths.
    fn shift(&mut self) {
        let RoundSettings { alpha, stride } = self.settings;
        for at in 0..self.flows.len() {
            let Some(flow) = self.flows.get(at).filter(|flow| flow.count > 1) else { continue };
            let Some(paths) = self.paths.get_mut(flow.first..flow.first + flow.count) else { continue };
            // The logarithm of a sum, by what its parts are of the largest.
            let price = |path: &DividedPath| {
                let prices = || path.links.iter().filter_map(|link| self.links.get(link.at())).map(|link| link.price);
                let most = prices().max().unwrap_or(0);
                let sum = prices().fold(1, |sum: u64, price| sum.saturating_add(exp2(FRACTION + price - most)));
                most + log2(sum) - FRACTION
            };
            let prices: Vec<i64> = paths.iter().map(price).collect();
            let weighted =
                paths.iter().zip(&prices).map(|(path, price)| i64::try_from(path.share).unwrap_or(0) * price);
            let shares: u64 = paths.iter().map(|path| path.share).sum();
            let mean = weighted.sum::<i64>() / i64::try_from(shares).unwrap_or(1).max(1);
            for (path, price) in paths.iter_mut().zip(&prices) {
                let step = ((mean - price) * stride / alpha).clamp(-SHIFT_MAX, SHIFT_MAX);
                path.shift = (path.shift * MOMENTUM / 4 + step).clamp(-MOMENTUM_MAX, MOMENTUM_MAX);
            }
            let most = paths.iter().filter(|path| path.share > 0).map(|path| path.shift).max().unwrap_or(0);
            let grown = |path: &DividedPath| match path.share {
                0 => 0,
                share => (share * exp2(FRACTION + (path.shift - most).min(0))).max(1),
            };
            let worths: Vec<u64> = paths.iter().map(grown).collect();
            self.set_shares(at, &worths);
        }
    }

    /// Leaves each flow its largest shares.
    fn drop_least(&mut self, paths_max: usize) {
        for at in 0..self.flows.len() {
            let Some(flow) = self.flows.get(at).filter(|flow| flow.count > paths_max) else { continue };
            let paths = self.paths.get(flow.first..flow.first + flow.count).unwrap_or_default();
            let mut worths: Vec<u64> = paths.iter().map(|path| path.share).collect();
            let mut order: Vec<usize> = (0..worths.len()).collect();
            order.sort_by_key(|at| Reverse(worths.get(*at).copied()));
            for dropped in order.into_iter().skip(paths_max) {
                worths.get_mut(dropped).map(std::mem::take);
            }
            self.set_shares(at, &worths);
        }
    }

    fn merit(&self) -> RoundMerit {
        let (mut levels, mut total) = (Vec::with_capacity(self.flows.len()), 0);
        for flow in &self.flows {
            let rates = (flow.first..flow.first + flow.count).map(|at| self.filling.rate_units(FlowIx::nth(at)));
            let rate = u64::try_from(rates.sum::<u128>() / u128::from(UNIT)).unwrap_or(u64::MAX);
            total += u128::from(rate);
            let is_met = rate >= flow.demand - flow.demand / MET_PARTS;
            levels.push(if is_met { LEVEL_TOP } else { log2(rate / flow.weight) });
        }
        RoundMerit { levels, total: log2(u64::try_from(total / u128::from(UNIT)).unwrap_or(u64::MAX)) }
    }

    /// Divides a flow by worths, which are below 2^53.
    fn set_shares(&mut self, flow: usize, worths: &[u64]) {
        let sum: u64 = worths.iter().sum::<u64>().max(1);
        let first = self.flows.get(flow).map_or(0, |flow| flow.first);
        for (path, worth) in self.paths.iter_mut().skip(first).zip(worths) {
            let share = u128::from(*worth) * u128::from(SHARE_ONE) / u128::from(sum);
            let least = u64::from(*worth > 0);
            path.share = u64::try_from(share).unwrap_or(SHARE_ONE).clamp(least, SHARE_ONE);
        }
    }

    /// The shares in whole parts; the largest has what rounding and small parts leave.
    fn parts(&self) -> Vec<PathParts> {
        let of_flow = |flow: &DividedFlow| {
            let paths = self.paths.get(flow.first..flow.first + flow.count).unwrap_or_default();
            let mut parts = [0; PATHS_MAX];
            let one = u64::from(PART_ONE);
            for (part, path) in parts.iter_mut().zip(paths) {
                let rounded = (path.share * one + SHARE_ONE / 2) / SHARE_ONE;
                *part = u8::try_from(rounded).ok().filter(|part| u32::from(*part) >= PART_MIN).unwrap_or(0);
            }
            let others = |largest: usize| parts.iter().enumerate().filter(move |(at, _)| *at != largest);
            let largest = (0..flow.count.min(PATHS_MAX)).rev().max_by_key(|at| parts.get(*at)).unwrap_or(0);
            let rest: u32 = others(largest).map(|(_, part)| u32::from(*part)).sum();
            if let Some(part) = parts.get_mut(largest) {
                *part = u8::try_from(u32::from(PART_ONE).saturating_sub(rest)).unwrap_or(PART_ONE);
            }
            parts
        };
        self.flows.iter().map(of_flow).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: SplitScope = SplitScope { paths_max: 2, candidates: 4, rounds: 32 };

    fn path(links: &[u32]) -> Arc<[LinkIx]> {
        links.iter().map(|link| LinkIx(*link)).collect()
    }

    #[test]
    fn a_flow_that_nothing_can_help_takes_no_fairness_from_the_others() {
        let flow = |paths: &[&[u32]]| SplitFlow {
            weight: 40,
            demand_bps: 1_000_000_000,
            paths: paths.iter().map(|links| path(links)).collect(),
        };
        let parts = |thin_bps: Option<u64>, rounds| {
            let mut flows = vec![flow(&[&[0], &[1, 2, 3, 4]]), flow(&[&[0]])];
            flows.extend((1..=4).map(|link| flow(&[&[link]])));
            let mut capacities = vec![10_000_000; 5];
            capacities.extend(thin_bps);
            flows.extend(thin_bps.map(|_| flow(&[&[5]])));
            split(&capacities, &flows, SplitScope { rounds, ..SCOPE })[0]
        };
        for rounds in [20, 32, 80] {
            let alone = parts(None, rounds);
            assert!(alone[1] > PART_ONE / 3, "{alone:?}");
            assert_eq!([0, 1, 1_000_000].map(|bps| parts(Some(bps), rounds)), [alone; 3]);
        }
    }

    #[test]
    fn half_a_diamond_is_not_left_idle() {
        let paths: Arc<[_]> = [path(&[0, 1]), path(&[2, 3])].into();
        let flow = |demand_bps| SplitFlow { weight: 40, demand_bps, paths: Arc::clone(&paths) };
        let caps = [1_000_000; 4];
        assert_eq!(split(&caps, &[flow(900_000)], SCOPE), [FIRST_ALONE], "one path is enough");
        let parts = split(&caps, &[flow(2_000_000)], SCOPE)[0];
        assert_eq!(parts[..3], [32, 32, 0]);
        // A neighbour that has the first path alone keeps it as far as the second carries the rest.
        let neighbour = SplitFlow { weight: 40, demand_bps: 1_000_000, paths: [path(&[0, 1])].into() };
        let parts = split(&caps, &[flow(1_000_000), neighbour], SCOPE);
        assert!(parts[0][1] > 2 * parts[0][0], "{parts:?}");
        assert_eq!(parts[1], FIRST_ALONE);
        // A path without bandwidth is no path.
        assert_eq!(split(&[1_000_000, 1_000_000, 0, 1_000_000], &[flow(2_000_000)], SCOPE), [FIRST_ALONE]);
        assert_eq!(split(&[0, 1_000_000, 1_000_000, 1_000_000], &[flow(2_000_000)], SCOPE)[0][..2], [0, 64]);
    }
}
