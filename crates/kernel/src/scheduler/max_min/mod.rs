//! Weighted max-min fairness by progressive filling (Bertsekas and Gallager, *Data Networks*, section 6.5), kept up to date
//! after changes. The rates of all flows rise together, each by its weight; a link that cannot carry the next step is the
//! bottleneck of its flows and stops them; a flow stops at the first bottleneck of its path or when its demand is met.
//!
//! A link's level is the last step at which it carries all of its flows, where a flow that another link stops is charged one
//! step more than it uses. So a link's level depends only on flows that stop below it: there is exactly one consistent set
//! of levels, and it does not depend on the order of changes. A few changes are repaired from the lowest level upwards,
//! touching only links whose level moves and the flows on them (`incremental`); after many, all levels are filled from zero
//! (`full`), which costs a few visits of each flow to each link of its path. What must stay true: after [`MaxMin::update`]
//! the levels are those of a filling from zero, and no link carries more than its capacity.

mod link_load;
mod full;
mod incremental;
mod tenant_fill;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::log_steps::{FREE, Grid, LogStep};
use crate::id::LinkIx;
use link_load::LinkLoad;

pub use tenant_fill::TenantShare;
pub(super) use tenant_fill::TenantShares;

/// Levels and capacities are counted in 1/1024 bit/s, so that weights do not coarsen what they multiply.
pub(super) const UNIT: u64 = 1_024;
/// The largest rate, capacity or demand; larger ones count as this: 2^52 bit/s.
pub const RATE_MAX_BPS: u64 = 1 << 52;
/// How many repairs, for each link, before all levels are filled from zero.
const REPAIRS_PER_LINK: usize = 8;
/// If more than one in so many flows has another demand, all levels are filled from zero.
const REPAIRED_PARTS: usize = 8;

/// A flow, by its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FlowIx(pub(super) u32);

impl FlowIx {
    pub(super) fn at(self) -> usize {
        self.0 as usize
    }

    pub(super) fn nth(at: usize) -> Self {
        Self(u32::try_from(at).unwrap_or(u32::MAX))
    }
}

/// The links with their levels, and the flows on them.
#[derive(Clone, Debug)]
pub struct MaxMin {
    grid: Grid,
    /// By link, the step at which it stops its flows; [`FREE`] if it carries all of their demands.
    levels: Vec<LogStep>,
    loads: Vec<LinkLoad>,
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
    /// Flows whose demand changed since the last update.
    asking: Vec<FlowIx>,
    /// Flows whose level or demand moved since the last update.
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
    /// The step at which its demand is met, as the links count it.
    wants: LogStep,
    /// The lowest level on its path.
    level: LogStep,
    /// A step that it does not count beyond, which moves seldom.
    bound: LogStep,
    /// The same of the latest demand.
    asks: LogStep,
    /// The step that the last update reported.
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
        let loads: Vec<_> = capacities_bps.into_iter().map(|bps| LinkLoad::of(capacity(bps))).collect();
        Self {
            grid: Grid::new(bits),
            levels: vec![FREE; loads.len()],
            is_loose: vec![true; loads.len()],
            members: vec![vec![]; loads.len()],
            absent: vec![0; loads.len()],
            loads,
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

    /// The same over a shared path.
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

    /// Drops the removed flows from a link's members. A flow that is a member nowhere leaves a vacant place.
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
        if let Some(load) = self.loads.get_mut(link.at()) {
            load.capacity = capacity;
            self.look_again(link);
        }
    }

    /// The rate of a flow as of the last [`MaxMin::update`], in bit/s, rounded down.
    pub fn rate_bps(&self, ix: FlowIx) -> u64 {
        u64::try_from(self.rate_units(ix) / u128::from(UNIT)).unwrap_or(RATE_MAX_BPS)
    }

    /// The rate of a flow, in 1/1024 bit/s.
    pub(super) fn rate_units(&self, ix: FlowIx) -> u128 {
        let flow = self.flows.get(ix.at()).copied().unwrap_or_default();
        u128::from(self.grid.value(flow.given())) * u128::from(flow.weight)
    }

    /// Finds the levels after changes; answers the flows whose rate changed, in no promised order.
    pub fn update(&mut self) -> Vec<FlowIx> {
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
        self.take_changed()
    }

    /// Gives every flow another weight and demand, in bit/s, and finds all levels from zero.
    pub(super) fn refill(&mut self, claims: impl Fn(FlowIx) -> (u32, u64)) {
        let grid = self.grid;
        for (at, flow) in self.flows.iter_mut().enumerate().filter(|(_, flow)| !flow.is_out) {
            let (weight, demand_bps) = claims(FlowIx::nth(at));
            flow.weight = weight.max(1);
            flow.asks = grid.ceil((demand_bps.min(RATE_MAX_BPS) * UNIT).div_ceil(u64::from(flow.weight)));
            (flow.wants, flow.is_asking) = (flow.asks, false);
        }
        self.asking.clear();
        self.fill();
        self.take_changed();
    }

    /// What a flow has for each unit of its weight, in 1/1024 bit/s, and whether that is all that it asks for.
    pub(super) fn level_units(&self, ix: FlowIx) -> (u64, bool) {
        let flow = self.flows.get(ix.at()).copied().unwrap_or_default();
        (self.grid.value(flow.given()), flow.level >= flow.wants)
    }

    /// The flows whose rate differs from the one last reported.
    fn take_changed(&mut self) -> Vec<FlowIx> {
        let mut moved = std::mem::take(&mut self.moved);
        moved.retain(|ix| {
            let Some(flow) = self.flows.get_mut(ix.at()) else { return false };
            flow.has_moved = false;
            let given = flow.given();
            std::mem::replace(&mut flow.told, given) != given && !flow.is_out
        });
        moved
    }

    fn mark_moved(&mut self, ix: FlowIx) {
        if let Some(flow) = self.flows.get_mut(ix.at()).filter(|flow| !flow.has_moved) {
            flow.has_moved = true;
            self.moved.push(ix);
        }
    }

    /// How far a bound is above its flow's level.
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
