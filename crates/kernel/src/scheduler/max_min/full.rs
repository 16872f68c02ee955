//! Filling from zero: the level rises from event to event. A flow is settled once, when its demand is met or when a link
//! stops it; then the links of its path count it as a sum instead of by its weight.
//!
//! A link waits under a step at which it surely carries all of its flows; a flow that settles lower only leaves it more, so
//! that the step rises. The link with the lowest step is examined: it waits again under a higher one, or stops the flows
//! that still rise. What must stay true: a flow whose demand is met at the lowest step is settled before a link is examined.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::link_load::between;
use super::{FillFlow, FillQueue, FlowIx, MaxMin};
use crate::scheduler::log_steps::{FREE, LogStep};

/// The state of a filling.
struct FillState {
    /// By link, the sum of the settled flows.
    sums: Vec<u128>,
    /// By link, the weight of the rising flows.
    weights: Vec<u64>,
    /// By flow.
    is_settled: Vec<bool>,
    waiting: FillQueue,
}

impl MaxMin {
    /// Finds all levels from the demands alone.
    pub(super) fn fill(&mut self) {
        self.queue.clear();
        self.levels.fill(FREE);
        let (mut rise, rising) = self.start();
        let mut rising = rising.into_iter().peekable();
        while let Some(Reverse((step, link))) = rise.waiting.pop() {
            while let Some(ix) = rising.next_if(|(wants, _)| *wants <= step).map(|(_, ix)| ix) {
                self.stop_flow(&mut rise, ix, step);
            }
            self.look_at(&mut rise, step, link);
        }
        self.finish(rise);
    }

    /// Every flow with a demand, the least first, and none settled.
    fn start(&mut self) -> (FillState, Vec<(LogStep, FlowIx)>) {
        let links = self.loads.len();
        let mut rise = FillState {
            sums: vec![0; links],
            weights: vec![0; links],
            is_settled: vec![false; self.flows.len()],
            waiting: BinaryHeap::with_capacity(links),
        };
        let mut rising = Vec::with_capacity(self.flows.len());
        for (at, (flow, path)) in self.flows.iter_mut().zip(&self.paths).enumerate() {
            flow.level = FREE;
            if flow.wants == 0 {
                continue;
            }
            rising.push((flow.wants, FlowIx::nth(at)));
            for link in path.iter() {
                match rise.weights.get_mut(link.at()) {
                    Some(weight) => *weight += u64::from(flow.weight),
                    // An unknown link stops its flows at once.
                    None => flow.level = 0,
                }
            }
        }
        rising.sort_unstable();
        for (_, ix) in &rising {
            if self.flows.get(ix.at()).is_some_and(|flow| flow.level == 0) {
                self.stop_flow(&mut rise, *ix, 0);
            }
        }
        let links = (0..).zip(&rise.weights).zip(&rise.sums);
        let used = links.filter(|((_, weight), sum)| **weight > 0 || **sum > 0);
        rise.waiting = used.map(|((link, _), _)| Reverse((0, link))).collect();
        (rise, rising)
    }

    /// Stops the flows that rise over a link at `step`, or lets it wait for a higher one.
    fn look_at(&mut self, rise: &mut FillState, step: LogStep, link: u32) {
        let at = link as usize;
        let (Some(sum), Some(weight)) = (rise.sums.get(at).copied(), rise.weights.get(at).copied()) else { return };
        let Some(capacity) = self.loads.get(at).map(|load| load.capacity) else { return };
        let next = u128::from(self.grid.value(step.saturating_add(1)));
        if sum + next * u128::from(weight) <= capacity {
            // Where no flow rises any more, the link carries all demands.
            if let Some(each) = (capacity - sum).checked_div(u128::from(weight)) {
                let highest = self.grid.floor(u64::try_from(each).unwrap_or(u64::MAX));
                rise.waiting.push(Reverse((highest, link)));
            }
            return;
        }
        if let Some(level) = self.levels.get_mut(at) {
            *level = step;
        }
        let members = self.members.get_mut(at).map(std::mem::take).unwrap_or_default();
        if weight > 0 {
            members.iter().for_each(|ix| self.stop_flow(rise, *ix, step));
        }
        if let Some(place) = self.members.get_mut(at) {
            *place = members;
        }
    }

    /// Counts a flow as a sum: it is stopped at a step, or its demand is met.
    fn stop_flow(&mut self, rise: &mut FillState, ix: FlowIx, step: LogStep) {
        let Some(is_settled) = rise.is_settled.get_mut(ix.at()) else { return };
        let (Some(flow), Some(path)) = (self.flows.get(ix.at()), self.paths.get(ix.at())) else { return };
        if flow.wants == 0 || std::mem::replace(is_settled, true) {
            return;
        }
        let upto = step.saturating_add(1).min(flow.wants);
        let charge = u128::from(self.grid.value(upto)) * u128::from(flow.weight);
        for link in path.iter() {
            if let (Some(sum), Some(weight)) = (rise.sums.get_mut(link.at()), rise.weights.get_mut(link.at())) {
                *sum += charge;
                *weight -= u64::from(flow.weight);
            }
        }
    }

    /// Writes the levels of flows and the loads of links.
    fn finish(&mut self, rise: FillState) {
        for (load, sum) in self.loads.iter_mut().zip(rise.sums) {
            (load.above, load.most, load.is_queued) = (sum, sum, false);
        }
        let slack = self.slack();
        for at in 0..self.flows.len() {
            let ix = FlowIx::nth(at);
            let (Some(flow), Some(path)) = (self.flows.get(at).copied(), self.paths.get(at)) else { continue };
            let flow = FillFlow { level: self.lowest(path), ..flow };
            let (upto, bound) = (flow.upto(), flow.upto().saturating_add(slack).min(flow.wants));
            if upto < bound {
                let more = between(self.grid, upto, bound) * u128::from(flow.weight);
                for link in path.iter() {
                    if let Some(load) = self.loads.get_mut(link.at()) {
                        load.most += more;
                    }
                }
            }
            if let Some(place) = self.flows.get_mut(at) {
                *place = FillFlow { bound, ..flow };
            }
            if flow.given() != flow.told {
                self.mark_moved(ix);
            }
        }
        let links = self.levels.iter().zip(&mut self.is_loose);
        for ((load, members), (level, is_loose)) in self.loads.iter_mut().zip(&self.members).zip(links) {
            *is_loose = load.most <= load.capacity;
            load.set_level(*level, self.grid);
            if *level != FREE {
                for flow in members.iter().filter_map(|ix| self.flows.get(ix.at())) {
                    load.count(flow.upto(), flow.weight);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::link_load::LinkLoad;
    use super::*;
    use crate::id::LinkIx;

    const LINKS: u32 = 5;

    fn way(at: usize) -> Vec<LinkIx> {
        (0..LINKS).filter(|link| (at * 5 + 3) >> link & 1 == 1).map(LinkIx).collect()
    }

    proptest! {
        #![proptest_config(crate::property_cases(256))]

        #[test]
        fn repairing_gives_to_the_bit_what_filling_gives(
            bits in 1_u32..8,
            first in prop::collection::vec((1_u32..9, 0_u64..3_000_000), 24),
            changes in prop::collection::vec((0_usize..24, 0_u64..3_000_000, any::<bool>()), 1..40),
        ) {
            let mut max_min = MaxMin::new([900_000, 1_000, 500_000, 70_000, 2_000_000], bits);
            let add = |(at, (weight, bps)): (usize, &(u32, u64))| max_min.add(&way(at), *weight, *bps);
            let mut placed: Vec<_> = first.iter().enumerate().map(add).collect();
            max_min.update();
            for (at, bps, stays) in changes {
                if stays {
                    max_min.set_demand(placed[at], bps);
                } else if bps % 2 == 0 {
                    max_min.remove(placed[at]);
                    placed[at] = max_min.add(&way(at), 3, bps);
                } else {
                    max_min.set_capacity(LinkIx(u32::try_from(at).unwrap() % LINKS), bps);
                }
                max_min.update();
                prop_assert!(max_min.queue.is_empty() && max_min.flows.iter().all(|flow| flow.told == flow.given()));
                let mut anew = max_min.clone();
                anew.fill();
                prop_assert_eq!(&max_min.levels, &anew.levels);
                let flows = |max_min: &MaxMin| {
                    let here = max_min.flows.iter().filter(|flow| !flow.is_out);
                    here.map(|flow| (flow.level, flow.wants)).collect::<Vec<_>>()
                };
                prop_assert_eq!(flows(&max_min), flows(&anew));
                for (at, (one, other)) in max_min.loads.iter().zip(&anew.loads).enumerate() {
                    let sums = |load: &LinkLoad| (load.above, load.top, load.brim, load.level());
                    if max_min.is_loose[at] {
                        prop_assert!(one.level() == FREE && other.above <= one.most && one.most <= one.capacity);
                    } else {
                        prop_assert_eq!(sums(one), sums(other), "link {}", at);
                    }
                    let bounds = max_min.members[at].iter().map(|ix| max_min.flows[ix.at()]);
                    let most = bounds.map(|flow| between(max_min.grid, 0, flow.bound) * u128::from(flow.weight));
                    prop_assert_eq!(one.most, most.sum::<u128>());
                }
            }
            for ix in &placed {
                max_min.remove(*ix);
            }
            max_min.update();
            prop_assert!(max_min.loads.iter().all(|load| load.most == 0));
            prop_assert!(max_min.flows.iter().all(|flow| flow.hops == 0), "all places are vacant");
            prop_assert_eq!(max_min.vacant.len(), max_min.flows.len());
        }
    }
}
