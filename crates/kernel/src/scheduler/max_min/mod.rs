//! Weighted max-min fairness by progressive filling, kept up to date as things change. All flows rise with one water
//! level; a link that cannot carry the next step stops those on it; a flow ends at the lowest link of its path or when it
//! has what it asks for.
//!
//! A link's level is the last step at which it carries everybody on it, where who is stopped elsewhere is charged one step
//! more than they use. So a link's level depends only on flows that stop below it: there is exactly one consistent set of
//! levels, and it does not depend on the order of changes. A few changes are repaired from the lowest level upwards,
//! touching only links whose level moves and those who share them (`repair`); after many, everything is filled
//! from nothing (`fill`), which costs a few visits of each flow to each link of its path. What must stay true: after
//! [`Water::settle`] the levels are those of filling from nothing, and no link carries more than its capacity.

mod link_load;
mod full;
mod incremental;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::log_steps::{FREE, Grid, LogStep};
use crate::id::LinkIx;
use link_load::LinkLoad;

/// Levels and capacities are counted in 1/1024 bit/s, so that weights do not coarsen what they multiply.
pub(super) const UNIT: u64 = 1_024;
/// The largest rate, capacity or demand that is told apart: 2^52 bit/s.
pub const RATE_MAX_BPS: u64 = 1 << 52;
/// How many repairs, for each link, before everything is filled from nothing.
const REPAIRS_PER_LINK: usize = 8;
/// If more than this part of the flows ask for something else, everything is filled from nothing.
const REPAIRED_PARTS: usize = 8;

/// A flow, by its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FlowIx(pub(super) u32);

impl FlowIx {
    pub(super) fn at(self) -> usize {
        self.0 as usize
    }

    fn nth(at: usize) -> Self {
        Self(u32::try_from(at).unwrap_or(u32::MAX))
    }
}

/// The links, the flows on them, and how high the water stands.
#[derive(Clone, Debug)]
pub struct MaxMin {
    grid: Grid,
    /// By link, the step at which it stops those on it; [`FREE`] if it carries all that they want.
    levels: Vec<LogStep>,
    basins: Vec<LinkLoad>,
    /// By link, whether it carries all that flows could take within their bounds: it is [`FREE`] whatever levels other links
    /// have, and counts nothing but that.
    is_loose: Vec<bool>,
    /// By link, the flows over it, those included that were taken out since it was swept.
    members: Vec<Vec<FlowIx>>,
    /// By link, how many of its members were taken out.
    absent: Vec<u32>,
    flows: Vec<FillFlow>,
    paths: Vec<Arc<[LinkIx]>>,
    vacant: Vec<FlowIx>,
    /// Who asks for something else since the water settled.
    asking: Vec<FlowIx>,
    /// Whose level or wish moved since the water settled.
    moved: Vec<FlowIx>,
    queue: FillQueue,
    crowd: Vec<(LogStep, u32)>,
    drift: Vec<FlowIx>,
    tighter: Vec<LinkIx>,
}

/// Links whose level is wrong, by how low the repair reaches as far as that is known.
type FillQueue = BinaryHeap<Reverse<(LogStep, u32)>>;

#[derive(Clone, Copy, Debug, Default)]
struct FillFlow {
    weight: u32,
    /// The step at which it has what it asks for, as the links count it.
    wants: LogStep,
    /// The lowest level on its path.
    level: LogStep,
    /// A step that it does not count beyond, which moves seldom.
    bound: LogStep,
    /// The same as `wants`, as it was said last.
    asks: LogStep,
    /// What was told last of what it is given.
    told: LogStep,
    /// On how many links it is a member; counted down once it was taken out.
    hops: u32,
    is_out: bool,
    is_asking: bool,
    has_moved: bool,
}

impl FillFlow {
    /// The step up to which it counts.
    fn upto(self) -> LogStep {
        self.level.saturating_add(1).min(self.wants)
    }

    fn given(self) -> LogStep {
        self.level.min(self.wants)
    }
}

impl MaxMin {
    /// Links of these capacities, without flows. Levels have `2^bits` steps to the doubling, so that what is given is fair
    /// to within one part in so many.
    pub fn new(capacities_bps: impl IntoIterator<Item = u64>, bits: u32) -> Self {
        let basins: Vec<_> = capacities_bps.into_iter().map(|bps| LinkLoad::of(capacity(bps))).collect();
        Self {
            grid: Grid::new(bits),
            levels: vec![FREE; basins.len()],
            is_loose: vec![true; basins.len()],
            members: vec![vec![]; basins.len()],
            absent: vec![0; basins.len()],
            basins,
            flows: vec![],
            paths: vec![],
            vacant: vec![],
            asking: vec![],
            moved: vec![],
            queue: BinaryHeap::new(),
            crowd: vec![],
            drift: vec![],
            tighter: vec![],
        }
    }

    /// A flow of `weight` over `path` that wants `demand_bps`. Links that are not there carry nothing; a weight of zero
    /// counts as one.
    pub fn add(&mut self, path: &[LinkIx], weight: u32, demand_bps: u64) -> FlowIx {
        self.join(&path.into(), weight, demand_bps)
    }

    /// The same over a path that others hold too.
    pub(super) fn join(&mut self, path: &Arc<[LinkIx]>, weight: u32, demand_bps: u64) -> FlowIx {
        let ix = self.vacant.pop().unwrap_or_else(|| {
            self.flows.push(FillFlow::default());
            self.paths.push(Arc::default());
            FlowIx::nth(self.flows.len() - 1)
        });
        let mut hops = 0;
        for link in path.iter() {
            if let Some(members) = self.members.get_mut(link.at()) {
                members.push(ix);
                hops += 1;
            }
        }
        let flow = FillFlow { weight: weight.max(1), level: self.lowest(path), hops, ..FillFlow::default() };
        if let (Some(place), Some(way)) = (self.flows.get_mut(ix.at()), self.paths.get_mut(ix.at())) {
            (*place, *way) = (flow, Arc::clone(path));
        }
        self.set_demand(ix, demand_bps);
        ix
    }

    /// Takes a flow out; its place may be given to another.
    pub fn remove(&mut self, ix: FlowIx) {
        let Some(flow) = self.flows.get(ix.at()).filter(|flow| !flow.is_out) else { return };
        self.move_flow(ix, flow.level, 0);
        let Some(flow) = self.flows.get_mut(ix.at()) else { return };
        (flow.is_out, flow.asks) = (true, 0);
        if flow.hops == 0 {
            self.vacant.push(ix);
        }
        let path = self.paths.get_mut(ix.at()).map(std::mem::take);
        for link in path.iter().flat_map(|path| path.iter()) {
            let (Some(absent), Some(members)) = (self.absent.get_mut(link.at()), self.members.get(link.at())) else {
                continue;
            };
            *absent += 1;
            if *absent as usize * 2 >= members.len() {
                self.sweep(*link);
            }
        }
    }

    /// Forgets those members of a link who were taken out. Who is a member nowhere leaves a vacant place.
    fn sweep(&mut self, link: LinkIx) {
        let (Some(members), Some(absent)) = (self.members.get_mut(link.at()), self.absent.get_mut(link.at())) else {
            return;
        };
        *absent = 0;
        members.retain(|ix| {
            let Some(flow) = self.flows.get_mut(ix.at()).filter(|flow| flow.is_out) else { return true };
            flow.hops = flow.hops.saturating_sub(1);
            if flow.hops == 0 {
                self.vacant.push(*ix);
            }
            false
        });
    }

    /// Another demand for a flow.
    pub fn set_demand(&mut self, ix: FlowIx, demand_bps: u64) {
        let demand = demand_bps.min(RATE_MAX_BPS) * UNIT;
        let Some(flow) = self.flows.get_mut(ix.at()) else { return };
        flow.asks = self.grid.ceil(demand.div_ceil(u64::from(flow.weight)));
        if flow.asks != flow.wants && !flow.is_asking {
            flow.is_asking = true;
            self.asking.push(ix);
        }
    }

    /// Another capacity for a link.
    pub fn set_capacity(&mut self, link: LinkIx, capacity_bps: u64) {
        self.set_capacity_units(link, capacity(capacity_bps));
    }

    /// The same in 1/1024 bit/s.
    pub(super) fn set_capacity_units(&mut self, link: LinkIx, capacity: u128) {
        if let Some(basin) = self.basins.get_mut(link.at()) {
            basin.capacity = capacity;
            self.look_again(link);
        }
    }

    /// What a flow is given as of the last [`Water::settle`], in bit/s, rounded down.
    pub fn rate_bps(&self, ix: FlowIx) -> u64 {
        u64::try_from(self.rate_units(ix) / u128::from(UNIT)).unwrap_or(RATE_MAX_BPS)
    }

    /// What a flow is given, in 1/1024 bit/s.
    pub(super) fn rate_units(&self, ix: FlowIx) -> u128 {
        let flow = self.flows.get(ix.at()).copied().unwrap_or_default();
        u128::from(self.grid.value(flow.given())) * u128::from(flow.weight)
    }

    /// Whether a flow has all that it wants, as of the last [`Water::settle`].
    pub fn is_content(&self, ix: FlowIx) -> bool {
        self.flows.get(ix.at()).is_none_or(|flow| flow.level >= flow.wants)
    }

    /// Finds the levels again after changes, and tells which flows are given something else, in no promised order.
    pub fn settle(&mut self) -> Vec<FlowIx> {
        let asking = std::mem::take(&mut self.asking);
        let many = asking.len() * REPAIRED_PARTS > self.flows.len();
        for ix in &asking {
            let Some(flow) = self.flows.get_mut(ix.at()) else { continue };
            flow.is_asking = false;
            let (level, asks) = (flow.level, flow.asks);
            if many {
                flow.wants = asks;
            } else if asks != flow.wants {
                self.move_flow(*ix, level, asks);
            }
        }
        if many || !self.repair() {
            self.fill();
        }
        self.tell()
    }

    /// Who is given something else than was told.
    fn tell(&mut self) -> Vec<FlowIx> {
        let mut moved = std::mem::take(&mut self.moved);
        moved.retain(|ix| {
            let Some(flow) = self.flows.get_mut(ix.at()) else { return false };
            flow.has_moved = false;
            let given = flow.given();
            std::mem::replace(&mut flow.told, given) != given && !flow.is_out
        });
        moved
    }

    fn note(&mut self, ix: FlowIx) {
        if let Some(flow) = self.flows.get_mut(ix.at()).filter(|flow| !flow.has_moved) {
            flow.has_moved = true;
            self.moved.push(ix);
        }
    }

    /// How far a bound is above who has it.
    fn slack(&self) -> LogStep {
        self.grid.octave().div_ceil(2)
    }

    fn lowest(&self, path: &[LinkIx]) -> LogStep {
        path.iter().map(|link| self.level(*link)).min().unwrap_or(FREE)
    }

    fn level(&self, link: LinkIx) -> LogStep {
        self.levels.get(link.at()).copied().unwrap_or(0)
    }
}

fn capacity(bps: u64) -> u128 {
    u128::from(bps.min(RATE_MAX_BPS)) * u128::from(UNIT)
}
