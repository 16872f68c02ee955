//! Weighted max-min fairness by progressive filling, kept up to date as things change. All flows rise with one water
//! level; a link that cannot carry the next step stops those on it; a flow ends at the lowest link of its path or when it
//! has what it asks for.
//!
//! A link's level is the last step at which it carries everybody on it, where who is stopped elsewhere is charged one step
//! more than they use. So a link's level depends only on flows that stop below it: there is exactly one consistent set of
//! levels, it does not depend on the order of changes, and a change is repaired from the lowest level upwards, touching
//! only links whose level moves and those who share them. What must stay true: after [`Water::settle`] the levels are
//! those of filling from nothing, and no link carries more than its capacity.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::grid::{FREE, Grid, Step};
use crate::kernel::id::LinkIx;

/// Levels and capacities are counted in 1/1024 bit/s, so that weights do not coarsen what they multiply.
pub(super) const UNIT: u64 = 1_024;
/// The largest rate, capacity or demand that is told apart: 2^52 bit/s.
pub const RATE_MAX_BPS: u64 = 1 << 52;
/// How many repairs, for each link, before everything is filled from nothing.
const REPAIRS_PER_LINK: usize = 8;

/// A flow, by its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FlowIx(pub(super) u32);

impl FlowIx {
    pub(super) fn at(self) -> usize {
        self.0 as usize
    }
}

/// The links, the flows on them, and how high the water stands.
#[derive(Clone, Debug)]
pub struct Water {
    grid: Grid,
    links: Vec<Basin>,
    flows: Vec<Flow>,
    vacant: Vec<FlowIx>,
    moved: Vec<FlowIx>,
    queue: Queue,
    crowd: Vec<(Step, u32)>,
}

/// A link.
#[derive(Clone, Debug, Default)]
struct Basin {
    capacity: u128,
    /// The step at which it stops those on it; [`FREE`] if it carries all that they want.
    level: Step,
    /// What it is charged at its level; more than the capacity: the level is too high.
    at_level: u128,
    /// What it would be charged one step higher; no more than the capacity: the level is too low.
    above: u128,
    members: Vec<FlowIx>,
    queued: bool,
    /// Where the level should be, as far as that was found out and nothing changed since.
    aim: Option<Step>,
}

#[derive(Clone, Debug, Default)]
struct Flow {
    weight: u32,
    /// The step at which it has what it asks for.
    wants: Step,
    /// The lowest level on its path.
    level: Step,
    path: Box<[Hop]>,
    moved: bool,
}

#[derive(Clone, Copy, Debug)]
struct Hop {
    link: u32,
    /// Where the flow stands among the link's members.
    place: u32,
}

/// Links whose level is wrong, by how low the repair reaches as far as that is known.
type Queue = BinaryHeap<Reverse<(Step, u32)>>;

impl Basin {
    fn is_wrong(&self) -> bool {
        self.at_level > self.capacity || (self.level != FREE && self.above <= self.capacity)
    }

    fn queue_up(&mut self, link: u32, queue: &mut Queue) {
        if !self.queued && self.is_wrong() {
            self.queued = true;
            queue.push(Reverse((0, link)));
        }
    }
}

/// What of a flow counts for what it is charged.
#[derive(Clone, Copy)]
struct Stand {
    weight: u32,
    upto: Step,
}

impl Stand {
    fn charge(self, grid: Grid, upto: Step) -> u128 {
        u128::from(grid.value(self.upto.min(upto))) * u128::from(self.weight)
    }
}

impl Flow {
    fn stand(&self) -> Stand {
        Stand { weight: self.weight, upto: self.level.saturating_add(1).min(self.wants) }
    }
}

impl Water {
    /// Links of these capacities, without flows. Levels have `2^bits` steps to the doubling, so that what is given is fair
    /// to within one part in so many.
    pub fn new(capacities_bps: impl IntoIterator<Item = u64>, bits: u32) -> Self {
        let basin = |bps: u64| Basin { capacity: capacity(bps), level: FREE, ..Basin::default() };
        Self {
            grid: Grid::new(bits),
            links: capacities_bps.into_iter().map(basin).collect(),
            flows: vec![],
            vacant: vec![],
            moved: vec![],
            queue: BinaryHeap::new(),
            crowd: vec![],
        }
    }

    /// A flow of `weight` over `path` that wants `demand_bps`. Links that are not there carry nothing; a weight of zero
    /// counts as one.
    pub fn add(&mut self, path: &[LinkIx], weight: u32, demand_bps: u64) -> FlowIx {
        let ix = self.vacant.pop().unwrap_or_else(|| {
            self.flows.push(Flow::default());
            FlowIx(u32::try_from(self.flows.len() - 1).unwrap_or(u32::MAX))
        });
        let weight = weight.max(1);
        let mut flow = Flow { weight, wants: 0, level: FREE, path: Box::default(), moved: false };
        let mut hops = Vec::with_capacity(path.len());
        for link in path {
            let Some(basin) = self.links.get_mut(link.at()) else {
                flow.level = 0;
                continue;
            };
            let place = u32::try_from(basin.members.len()).unwrap_or(u32::MAX);
            basin.members.push(ix);
            flow.level = flow.level.min(basin.level);
            hops.push(Hop { link: link.0, place });
        }
        flow.path = hops.into_boxed_slice();
        if let Some(slot) = self.flows.get_mut(ix.at()) {
            *slot = flow;
        }
        self.set_demand(ix, demand_bps);
        ix
    }

    /// Takes a flow out; its place may be given to another.
    pub fn remove(&mut self, ix: FlowIx) {
        self.set_demand(ix, 0);
        let Some(flow) = self.flows.get_mut(ix.at()) else { return };
        let path = std::mem::take(&mut flow.path);
        for hop in &path {
            let Some(basin) = self.links.get_mut(hop.link as usize) else { continue };
            basin.members.swap_remove(hop.place as usize);
            let Some(stranger) = basin.members.get(hop.place as usize).copied() else { continue };
            let last = u32::try_from(basin.members.len()).unwrap_or(u32::MAX);
            let hops = self.flows.get_mut(stranger.at()).map(|flow| &mut flow.path);
            for other in hops.into_iter().flatten().filter(|other| other.link == hop.link && other.place == last) {
                other.place = hop.place;
            }
        }
        self.vacant.push(ix);
    }

    /// Another demand for a flow.
    pub fn set_demand(&mut self, ix: FlowIx, demand_bps: u64) {
        let demand = demand_bps.min(RATE_MAX_BPS) * UNIT;
        let Some(flow) = self.flows.get(ix.at()) else { return };
        let wants = self.grid.ceil(demand.div_ceil(u64::from(flow.weight)));
        if wants != flow.wants {
            self.move_flow(ix, flow.level, wants);
        }
    }

    /// Another capacity for a link.
    pub fn set_capacity(&mut self, link: LinkIx, capacity_bps: u64) {
        self.set_capacity_units(link, capacity(capacity_bps));
    }

    /// The same in 1/1024 bit/s.
    pub(super) fn set_capacity_units(&mut self, link: LinkIx, capacity: u128) {
        if let Some(basin) = self.links.get_mut(link.at()).filter(|basin| basin.capacity != capacity) {
            basin.capacity = capacity;
            basin.aim = None;
            self.look_at(link.0);
        }
    }

    /// What a flow is given, in bit/s, rounded down.
    pub fn rate_bps(&self, ix: FlowIx) -> u64 {
        u64::try_from(self.rate_units(ix) / u128::from(UNIT)).unwrap_or(RATE_MAX_BPS)
    }

    /// What a flow is given, in 1/1024 bit/s.
    pub(super) fn rate_units(&self, ix: FlowIx) -> u128 {
        self.flows
            .get(ix.at())
            .map_or(0, |flow| u128::from(self.grid.value(flow.level.min(flow.wants))) * u128::from(flow.weight))
    }

    /// Whether a flow has all that it wants.
    pub fn is_content(&self, ix: FlowIx) -> bool {
        self.flows.get(ix.at()).is_none_or(|flow| flow.level >= flow.wants)
    }

    /// Finds the levels again after changes, and tells for which flows something changed, in no promised order.
    pub fn settle(&mut self) -> Vec<FlowIx> {
        let mut repairs = self.links.len().saturating_mul(REPAIRS_PER_LINK);
        while let Some(Reverse((_, link))) = self.queue.pop() {
            let Some(aim) = self.aim(link) else { continue };
            let level = self.links.get(link as usize).map_or(FREE, |basin| basin.level);
            let key = aim.min(level);
            if self.queue.peek().is_some_and(|Reverse((next, _))| *next < key) {
                self.queue.push(Reverse((key, link)));
                continue;
            }
            self.move_link(link, aim);
            if repairs == 0 {
                self.empty();
                repairs = usize::MAX;
            }
            repairs -= 1;
        }
        let moved = std::mem::take(&mut self.moved);
        for ix in &moved {
            if let Some(flow) = self.flows.get_mut(ix.at()) {
                flow.moved = false;
            }
        }
        moved
    }

    /// Lets all water out, so that everything is filled from nothing.
    pub fn empty(&mut self) {
        self.queue.clear();
        for basin in &mut self.links {
            *basin = Basin { level: FREE, at_level: 0, above: 0, queued: false, aim: None, ..std::mem::take(basin) };
        }
        for at in 0..self.flows.len() {
            let ix = FlowIx(u32::try_from(at).unwrap_or(u32::MAX));
            self.note(ix);
            let Some(flow) = self.flows.get_mut(at) else { continue };
            flow.level = FREE;
            let charge = flow.stand().charge(self.grid, FREE);
            for hop in &flow.path {
                if let Some(basin) = self.links.get_mut(hop.link as usize) {
                    basin.at_level += charge;
                    basin.above += charge;
                }
            }
        }
        for link in 0..self.links.len() {
            self.look_at(u32::try_from(link).unwrap_or(u32::MAX));
        }
    }

    /// Where a link's level belongs; `None` if it is right.
    fn aim(&mut self, link: u32) -> Option<Step> {
        let basin = self.links.get_mut(link as usize)?;
        if !basin.is_wrong() {
            basin.queued = false;
            return None;
        }
        if basin.aim.is_some() {
            return basin.aim;
        }
        let aim = self.find_level(link);
        let basin = self.links.get_mut(link as usize)?;
        basin.aim = Some(aim);
        Some(aim)
    }

    /// Puts a link's level where it belongs and takes those along whom it stops.
    fn move_link(&mut self, link: u32, aim: Step) {
        let Some(basin) = self.links.get_mut(link as usize) else { return };
        let old = std::mem::replace(&mut basin.level, aim);
        let members = std::mem::take(&mut basin.members);
        for ix in &members {
            let Some(flow) = self.flows.get(ix.at()) else { continue };
            if flow.level > aim {
                self.move_flow(*ix, aim, flow.wants);
            } else if flow.level == old && old < aim {
                self.move_flow(*ix, self.lowest(flow, None).min(aim), flow.wants);
            }
        }
        let (mut at_level, mut above) = (0, 0);
        for flow in members.iter().filter_map(|ix| self.flows.get(ix.at())) {
            at_level += flow.stand().charge(self.grid, aim);
            above += flow.stand().charge(self.grid, FREE);
        }
        if let Some(basin) = self.links.get_mut(link as usize) {
            *basin = Basin { members, at_level, above, queued: false, aim: None, ..std::mem::take(basin) };
        }
        self.look_at(link);
    }

    fn lowest(&self, flow: &Flow, except: Option<u32>) -> Step {
        let others = flow.path.iter().filter(|hop| Some(hop.link) != except);
        others.filter_map(|hop| self.links.get(hop.link as usize)).map(|basin| basin.level).min().unwrap_or(FREE)
    }

    /// Gives a flow another level and another wish, and every link of its path the difference.
    fn move_flow(&mut self, ix: FlowIx, level: Step, wants: Step) {
        self.note(ix);
        let grid = self.grid;
        let Some(flow) = self.flows.get_mut(ix.at()) else { return };
        let before = flow.stand();
        (flow.level, flow.wants) = (level, wants);
        let after = flow.stand();
        let (above_old, above_new) = (before.charge(grid, FREE), after.charge(grid, FREE));
        for hop in &flow.path {
            let Some(basin) = self.links.get_mut(hop.link as usize) else { continue };
            let (old, new) = match basin.level {
                FREE => (above_old, above_new),
                level => (before.charge(grid, level), after.charge(grid, level)),
            };
            if (old, above_old) != (new, above_new) {
                basin.at_level = (basin.at_level + new).saturating_sub(old);
                basin.above = (basin.above + above_new).saturating_sub(above_old);
                basin.aim = None;
                basin.queue_up(hop.link, &mut self.queue);
            }
        }
    }

    fn note(&mut self, ix: FlowIx) {
        if let Some(flow) = self.flows.get_mut(ix.at()).filter(|flow| !flow.moved) {
            flow.moved = true;
            self.moved.push(ix);
        }
    }

    fn look_at(&mut self, link: u32) {
        if let Some(basin) = self.links.get_mut(link as usize) {
            basin.queue_up(link, &mut self.queue);
        }
    }

    /// The last step at which a link carries everybody on it.
    fn find_level(&mut self, link: u32) -> Step {
        let mut crowd = std::mem::take(&mut self.crowd);
        crowd.clear();
        let Some(basin) = self.links.get(link as usize) else { return FREE };
        let must_fall = basin.at_level > basin.capacity;
        let mut total = 0;
        for ix in &basin.members {
            let Some(flow) = self.flows.get(ix.at()).filter(|flow| flow.wants > 0) else { continue };
            // Who is stopped here and nowhere lower: to fall it is enough to know that.
            let stop = match flow.level {
                level if level < basin.level => level,
                _ if must_fall => FREE,
                _ => self.lowest(flow, Some(link)),
            };
            let upto = stop.saturating_add(1).min(flow.wants);
            total += u128::from(self.grid.value(upto)) * u128::from(flow.weight);
            crowd.push((upto, flow.weight));
        }
        let level = if total <= basin.capacity { FREE } else { self.last_fitting(basin.capacity, &mut crowd) };
        self.crowd = crowd;
        level
    }

    /// The last step at which a crowd, each up to a step of their own, fits; they do not all fit. Halves the steps, and
    /// with them the crowd: those who end below count as a sum, those who rise above by their weight.
    fn last_fitting(&self, capacity: u128, crowd: &mut [(Step, u32)]) -> Step {
        let cost = |step: Step, weight: u128| u128::from(self.grid.value(step)) * weight;
        let (mut fits, mut bursts) = (0, crowd.iter().map(|(upto, _)| *upto).max().unwrap_or(FREE));
        let (mut below, mut rising) = (0_u128, 0_u128);
        let mut crowd = crowd;
        while bursts - fits > 1 {
            let middle = fits + (bursts - fits) / 2;
            let cut = partition(crowd, |(upto, _)| *upto <= middle);
            let (ending, going) = std::mem::take(&mut crowd).split_at_mut(cut);
            let ended: u128 = ending.iter().map(|(upto, weight)| cost(*upto, u128::from(*weight))).sum();
            let weight: u128 = going.iter().map(|(_, weight)| u128::from(*weight)).sum();
            if below + ended + cost(middle, rising + weight) <= capacity {
                (fits, below, crowd) = (middle, below + ended, going);
            } else {
                (bursts, rising, crowd) = (middle, rising + weight, ending);
            }
        }
        fits
    }
}

fn capacity(bps: u64) -> u128 {
    u128::from(bps.min(RATE_MAX_BPS)) * u128::from(UNIT)
}

/// Puts those for whom `first` holds in front, and tells how many they are.
fn partition<T>(items: &mut [T], first: impl Fn(&T) -> bool) -> usize {
    let mut count = 0;
    for at in 0..items.len() {
        if items.get(at).is_some_and(&first) {
            items.swap(at, count);
            count += 1;
        }
    }
    count
}
