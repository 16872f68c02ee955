//! The shortest path where every constraint is on single links: the static path if nothing stands in its way, otherwise
//! a search around what does, block by block: A* here, or from both ends as in [`Meeting`].
//!
//! Must stay true: equal inputs give equal paths, ties included. Every step is a function of the graph, the gate and the
//! price alone.

use super::gate::{Gate, Price};
use super::graph::{Graph, NONE};
use super::meet::Meeting;
use super::rows::RowRef;
use super::strides::{DEAD_END, Direction, Stride};
use super::workspace::{Label, Scratch};

/// How many nodes the sweep takes at once, for a goal whose last links are full,
const SWEEP_FIRST: u32 = 1;
/// and how many the search has taken when the sweep goes on: most searches end before that.
const SWEEP_AGAIN: u32 = 64;

/// What is searched, with which bound.
pub(super) struct Search<'a, P, G> {
    pub(super) graph: &'a Graph,
    pub(super) price: &'a P,
    pub(super) gate: &'a G,
    /// Static distances to where the whole path ends.
    pub(super) row: RowRef<'a>,
    pub(super) manner: Manner<'a>,
}

/// How a way around obstacles is searched.
#[derive(Clone, Copy)]
pub(super) enum Manner<'a> {
    /// Led by static distances, where they say most of what a path costs.
    Led,
    /// From both ends, where they do not; with the static distances from the ingress, if those are known.
    FromBothEnds(Option<RowRef<'a>>),
}

impl<P: Price, G: Gate> Search<'_, P, G> {
    /// Appends the cheapest path to `out`; returns whether there is one.
    pub(super) fn run(&self, from: u32, to: u32, scratch: &mut Scratch, out: &mut Vec<u32>) -> bool {
        let begin = out.len();
        match self.walk(from, to, out) {
            Walk::Clear => true,
            Walk::Cut => false,
            Walk::Detour => {
                let mut walked = std::mem::take(&mut scratch.walked);
                walked.clear();
                walked.extend(out.drain(begin..));
                let found = self.mend(&walked, scratch, out);
                scratch.walked = walked;
                found
            }
        }
    }

    /// Follows the static path. If every arc is open and costs no more than when empty, no other path can be cheaper.
    fn walk(&self, from: u32, to: u32, out: &mut Vec<u32>) -> Walk {
        let mut outcome = Walk::Clear;
        let mut at = from;
        let mut forced = NONE;
        while at != to {
            let number = if forced < DEAD_END { forced } else { self.row.next(at) };
            if number == NONE {
                return Walk::Cut;
            }
            let arc = &self.graph.arcs[number as usize];
            if !self.gate.admits(number, arc) {
                if self.graph.is_bridge(arc.block) {
                    return Walk::Cut;
                }
                outcome = Walk::Detour;
            } else if !self.price.is_static(number) {
                outcome = Walk::Detour;
            }
            out.push(number);
            at = arc.head;
            forced = arc.onward;
        }
        outcome
    }

    /// Keeps what is good of the static path and searches the blocks in which something stands in its way. Every path
    /// enters and leaves those blocks by the same nodes, so the cheapest parts make the cheapest whole.
    fn mend(&self, walked: &[u32], scratch: &mut Scratch, out: &mut Vec<u32>) -> bool {
        let block_of = |number: &u32| self.graph.arcs[*number as usize].block;
        for part in walked.chunk_by(|a, b| block_of(a) == block_of(b)) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let block = block_of(first);
            if self.graph.is_bridge(block) || part.iter().all(|number| self.is_clear(*number)) {
                out.extend_from_slice(part);
                continue;
            }
            let (enter, leave) = (self.graph.tails[*first as usize], self.graph.arcs[*last as usize].head);
            let is_found = match self.manner {
                Manner::Led => self.astar(enter, leave, block, scratch, out),
                Manner::FromBothEnds(back) => {
                    Meeting::new(self, back, block, [enter, leave]).run(&mut scratch.ends, out)
                }
            };
            if !is_found {
                return false;
            }
        }
        true
    }

    fn is_clear(&self, number: u32) -> bool {
        self.price.is_static(number) && self.gate.admits(number, &self.graph.arcs[number as usize])
    }

    /// A* (Hart, Nilsson and Raphael, 1968) with a consistent bound, over the nodes of one block at which there is a
    /// choice. `to` must be where [`Search::row`] leads or a node that every path there passes. With it goes a sweep
    /// backwards from `to`, which ends a search that cannot succeed when either side is exhausted.
    fn astar(&self, from: u32, to: u32, block: u32, scratch: &mut Scratch, out: &mut Vec<u32>) -> bool {
        let open = scratch.begin(self.graph.node_count());
        let Some(mut least) = self.row.bound(from) else { return false };
        scratch.labels[from as usize] = Label { stamp: open, cost: 0, parent: NONE, first: NONE };
        scratch.stack.push(from);
        scratch.sweep.begin(to);
        let mut found = u64::MAX;
        let lane = self.graph.lanes[to as usize];
        let mut taken = 0_u32;
        'search: loop {
            let node = match scratch.stack.pop() {
                Some(node) => node,
                None => match scratch.heap.pop() {
                    Some((key, node)) => {
                        least = key;
                        node
                    }
                    None => return false,
                },
            };
            if node == to {
                break;
            }
            let label = &mut scratch.labels[node as usize];
            if label.stamp != open {
                continue;
            }
            label.stamp = open + 1;
            let so_far = label.cost;
            for first in self.graph.out(node) {
                let stride = &self.graph.strides[first as usize];
                if self.graph.arcs[first as usize].block != block {
                    continue;
                }
                let reached = if stride.lane == lane {
                    self.look_for(to, first, so_far)
                } else {
                    self.take(stride, first, so_far, found, open, scratch)
                };
                let Some((end, cost, key)) = reached else { continue };
                let label = &mut scratch.labels[end as usize];
                if key >= found || label.stamp >= open && (label.stamp != open || label.cost <= cost) {
                    continue;
                }
                *label = Label { stamp: open, cost, parent: node, first };
                if end == to {
                    found = key;
                    if key <= least {
                        break 'search;
                    }
                }
                if key <= least {
                    scratch.stack.push(end);
                } else {
                    scratch.heap.push(key, end);
                }
            }
            taken += 1;
            let is_due = taken <= SWEEP_FIRST || taken > SWEEP_AGAIN;
            if is_due && scratch.sweep.is_open && !self.sweep_on(from, block, open, scratch) {
                return false;
            }
        }
        self.trace(from, to, scratch, out);
        true
    }

    /// Takes a stride that does not pass the goal: where it ends, the cost by then, and the least cost of the whole way.
    /// `None` if it is blocked or leads to nothing better, which mostly shows before a link of it is looked at.
    #[inline]
    fn take(
        &self,
        stride: &Stride,
        first: u32,
        so_far: u64,
        found: u64,
        open: u32,
        scratch: &Scratch,
    ) -> Option<(u32, u64, u64)> {
        if stride.end == NONE {
            return None;
        }
        let at_least = so_far + self.price.span(stride);
        let label = &scratch.labels[stride.end as usize];
        if label.stamp > open || label.stamp == open && label.cost <= at_least {
            return None;
        }
        let bound = self.row.bound(stride.end)?;
        if at_least + bound >= found {
            return None;
        }
        let mut number = first;
        let mut cost = so_far;
        loop {
            let arc = &self.graph.arcs[number as usize];
            if !self.gate.admits(number, arc) {
                return None;
            }
            cost += self.price.of(number, arc);
            if arc.onward == NONE {
                return Some((stride.end, cost, cost + bound));
            }
            number = arc.onward;
        }
    }

    /// Takes a stride that may pass the goal, and stops there if it does.
    fn look_for(&self, to: u32, first: u32, so_far: u64) -> Option<(u32, u64, u64)> {
        let mut number = first;
        let mut cost = so_far;
        loop {
            let arc = &self.graph.arcs[number as usize];
            if !self.gate.admits(number, arc) {
                return None;
            }
            cost += self.price.of(number, arc);
            if arc.head == to || arc.onward == NONE {
                return Some((arc.head, cost, cost + self.row.bound(arc.head)?));
            }
            if arc.onward == DEAD_END {
                return None;
            }
            number = arc.onward;
        }
    }

    /// Takes one node of the sweep: everything from which it can be reached is reached from the goal. Returns whether
    /// there can still be a path.
    fn sweep_on(&self, from: u32, block: u32, open: u32, scratch: &mut Scratch) -> bool {
        let Some(node) = scratch.sweep.next() else { return false };
        for &last in self.graph.into(node) {
            if self.graph.arcs[last as usize].block != block {
                continue;
            }
            let mut number = last;
            let tail = loop {
                if !self.gate.admits(number, &self.graph.arcs[number as usize]) {
                    break NONE;
                }
                let tail = self.graph.tails[number as usize];
                let before = self.graph.before[number as usize];
                if tail == from || before == NONE {
                    break tail;
                }
                if before == DEAD_END {
                    break NONE;
                }
                number = before;
            };
            if tail == NONE {
                continue;
            }
            // The two sides have met.
            if scratch.labels[tail as usize].stamp >= open {
                scratch.sweep.is_open = false;
                return true;
            }
            scratch.sweep.reach(tail);
        }
        true
    }

    fn trace(&self, from: u32, to: u32, scratch: &mut Scratch, out: &mut Vec<u32>) {
        scratch.trace.clear();
        let mut at = to;
        while at != from {
            let label = &scratch.labels[at as usize];
            scratch.trace.push((label.first, at));
            at = label.parent;
        }
        for &(first, end) in scratch.trace.iter().rev() {
            self.graph.follow(Direction::Along, first, end, out);
        }
    }
}

enum Walk {
    /// The static path is the answer.
    Clear,
    /// There is no path.
    Cut,
    /// Something stands in the way.
    Detour,
}
