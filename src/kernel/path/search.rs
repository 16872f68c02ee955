//! The shortest path where every constraint is on single links: the static path if nothing stands in its way, otherwise
//! A* around what does, block by block.
//!
//! Must stay true: equal inputs give equal paths, ties included. Every step is a function of the graph, the gate and the
//! price alone.

use super::gate::{Gate, Price, Within};
use super::graph::{DEAD_END, Graph, NONE};
use super::rows::RowRef;
use super::workspace::{Label, Scratch};

/// What is searched, with which bound.
pub(super) struct Search<'a, P, G> {
    pub(super) graph: &'a Graph,
    pub(super) price: &'a P,
    pub(super) gate: &'a G,
    /// Static distances to where the whole path ends.
    pub(super) row: RowRef<'a>,
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
        while at != to {
            let number = self.row.next(at);
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
            let gate = Within { gate: self.gate, block };
            let (enter, leave) = (self.graph.tails[*first as usize], self.graph.arcs[*last as usize].head);
            let search = Search { graph: self.graph, price: self.price, gate: &gate, row: self.row };
            if !search.astar(enter, leave, scratch, out) {
                return false;
            }
        }
        true
    }

    fn is_clear(&self, number: u32) -> bool {
        self.price.is_static(number) && self.gate.admits(number, &self.graph.arcs[number as usize])
    }

    /// A* (Hart, Nilsson and Raphael, 1968) with a consistent bound, over nodes where there is a choice; what lies between
    /// is walked without a label. `to` must be where [`Search::row`] leads or a node that every path there passes.
    pub(super) fn astar(&self, from: u32, to: u32, scratch: &mut Scratch, out: &mut Vec<u32>) -> bool {
        let open = scratch.begin(self.graph.node_count());
        let Some(mut least) = self.row.bound(from) else { return false };
        scratch.labels[from as usize] = Label { stamp: open, cost: 0, parent: NONE, first: NONE };
        scratch.stack.push(from);
        let mut found = u64::MAX;
        loop {
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
                let Some((end, cost)) = self.stride(first, to, so_far) else { continue };
                let Some(bound) = self.row.bound(end) else { continue };
                let key = cost + bound;
                let label = &mut scratch.labels[end as usize];
                let is_seen = label.stamp >= open;
                if key >= found || is_seen && (label.stamp != open || label.cost <= cost) {
                    continue;
                }
                *label = Label { stamp: open, cost, parent: node, first };
                if end == to {
                    found = key;
                }
                if key <= least {
                    scratch.stack.push(end);
                } else {
                    scratch.heap.push(key, end);
                }
            }
        }
        self.trace(from, to, scratch, out);
        true
    }

    /// Takes arc `first` and every arc that is forced after it. Where it ends, and what it costs by then.
    #[inline]
    fn stride(&self, first: u32, to: u32, so_far: u64) -> Option<(u32, u64)> {
        let mut number = first;
        let mut cost = so_far;
        loop {
            let arc = &self.graph.arcs[number as usize];
            if !self.gate.admits(number, arc) {
                return None;
            }
            cost += self.price.of(number, arc);
            if arc.head == to || arc.onward == NONE {
                return Some((arc.head, cost));
            }
            if arc.onward == DEAD_END {
                return None;
            }
            number = arc.onward;
        }
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
            let mut number = first;
            loop {
                out.push(number);
                let arc = &self.graph.arcs[number as usize];
                if arc.head == end {
                    break;
                }
                number = arc.onward;
            }
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
