//! The shortest path where costs are mostly far above what is known beforehand: from both ends at once (NBA*; Pijls and
//! Post, 2009). Each node is settled by one side only, and not followed where the other side's progress shows that
//! nothing better comes of it.
//!
//! Must stay true: equal inputs give equal paths, ties included; the bounds of both sides are consistent.

use super::gate::{Gate, Price};
use super::graph::{Graph, NONE};
use super::rows::RowRef;
use super::search::Search;
use super::strides::{DEAD_END, Direction};
use super::workspace::{Ends, Label};

/// What is searched from both ends.
pub(super) struct Meeting<'a, P, G> {
    graph: &'a Graph,
    price: &'a P,
    gate: &'a G,
    from: u32,
    to: u32,
    block: u32,
    /// Of both ends.
    lanes: [u32; 2],
    row: RowRef<'a>,
    back: Option<RowRef<'a>>,
    /// How far the ends of the whole path are beyond those of this part.
    beyond: [u64; 2],
}

/// The side that begins at the ingress,
const FORTH: usize = 0;
/// and the other.
const BACK: usize = 1;

/// A stride to be taken from a node.
#[derive(Clone, Copy)]
struct Reach {
    node: u32,
    first: u32,
    so_far: u64,
}

/// The cheapest way known: what it costs, and a node at which the two sides meet on it.
#[derive(Clone, Copy)]
struct Best {
    cost: u64,
    node: u32,
}

impl<'a, P: Price, G: Gate> Meeting<'a, P, G> {
    /// Of `search`, in one block, between the nodes by which every path enters and leaves it; `back` are the static
    /// distances from where the whole path begins, if they are known.
    pub(super) fn new(search: &Search<'a, P, G>, back: Option<RowRef<'a>>, block: u32, [from, to]: [u32; 2]) -> Self {
        let Search { graph, price, gate, row, .. } = *search;
        let lanes = [graph.lanes[from as usize], graph.lanes[to as usize]];
        let beyond = [row.bound(to).unwrap_or(0), back.and_then(|back| back.bound(from)).unwrap_or(0)];
        Self { graph, price, gate, from, to, block, lanes, row, back, beyond }
    }

    /// Appends the cheapest path to `out`; returns whether there is one.
    pub(super) fn run(&self, ends: &mut Ends, out: &mut Vec<u32>) -> bool {
        let open = ends.begin(self.graph.node_count());
        let mut best = Best { cost: u64::MAX, node: NONE };
        let (Some(forth), Some(back)) = (self.bound::<FORTH>(self.from), self.bound::<BACK>(self.to)) else {
            return false;
        };
        for (side, end, bound) in [(FORTH, self.from, forth), (BACK, self.to, back)] {
            ends.labels[end as usize][side] = Label { stamp: open, cost: 0, parent: NONE, first: NONE };
            ends.heaps[side].push(bound, end);
        }
        // Once one side has nothing left that could be better, neither has the other.
        while let [Some(forth), Some(back)] = [ends.heaps[FORTH].least(), ends.heaps[BACK].least()] {
            if forth.max(back) >= best.cost {
                break;
            }
            if ends.heaps[BACK].len() < ends.heaps[FORTH].len() {
                self.settle::<BACK>(forth, open, ends, &mut best);
            } else {
                self.settle::<FORTH>(back, open, ends, &mut best);
            }
        }
        if best.node != NONE {
            self.trace(best.node, ends, out);
        }
        best.node != NONE
    }

    /// Takes the next node of one side; `across` is the least key of the other.
    fn settle<const SIDE: usize>(&self, across: u64, open: u32, ends: &mut Ends, best: &mut Best) {
        let Some((key, node)) = ends.heaps[SIDE].pop() else { return };
        let labels = &mut ends.labels[node as usize];
        if labels[SIDE].stamp != open || labels[1 - SIDE].stamp > open {
            return;
        }
        labels[SIDE].stamp = open + 1;
        let so_far = labels[SIDE].cost;
        let behind = if SIDE == FORTH { self.bound::<BACK>(node) } else { self.bound::<FORTH>(node) };
        if key >= best.cost || behind.is_none_or(|behind| so_far + across >= best.cost.saturating_add(behind)) {
            return;
        }
        if SIDE == FORTH {
            for first in self.graph.out(node) {
                self.relax::<SIDE>(Reach { node, first, so_far }, open, ends, best);
            }
        } else {
            for &first in self.graph.into(node) {
                self.relax::<SIDE>(Reach { node, first, so_far }, open, ends, best);
            }
        }
    }

    /// Takes one stride on this side.
    #[inline]
    fn relax<const SIDE: usize>(&self, reach: Reach, open: u32, ends: &mut Ends, best: &mut Best) {
        let Reach { node, first, so_far } = reach;
        if self.is_vain::<SIDE>(first, so_far, open, ends) {
            return;
        }
        let Some((end, cost)) = self.stride::<SIDE>(first, so_far) else { return };
        let labels = &mut ends.labels[end as usize];
        let [own, other] = [labels[SIDE], labels[1 - SIDE]];
        if other.stamp > open || own.stamp > open || own.stamp == open && own.cost <= cost {
            return;
        }
        let Some(bound) = self.bound::<SIDE>(end) else { return };
        if cost + bound >= best.cost {
            return;
        }
        labels[SIDE] = Label { stamp: open, cost, parent: node, first };
        if other.stamp == open && cost + other.cost < best.cost {
            *best = Best { cost: cost + other.cost, node: end };
        }
        ends.heaps[SIDE].push(cost + bound, end);
    }

    /// Whether it shows before a link is looked at that the stride leads to nothing better.
    #[inline]
    fn is_vain<const SIDE: usize>(&self, first: u32, so_far: u64, open: u32, ends: &Ends) -> bool {
        let stride = [&self.graph.strides, &self.graph.strides_back][SIDE][first as usize];
        if self.graph.arcs[first as usize].block != self.block {
            return true;
        }
        // It may pass an end of the whole path.
        if self.lanes.contains(&stride.lane) {
            return false;
        }
        let Some(labels) = ends.labels.get(stride.end as usize) else { return true };
        let own = &labels[SIDE];
        labels[1 - SIDE].stamp > open
            || own.stamp > open
            || own.stamp == open && own.cost <= so_far + self.price.span(&stride)
    }

    /// Where the stride ends, at the latest where the other side begins, and the cost by then.
    #[inline]
    fn stride<const SIDE: usize>(&self, first: u32, so_far: u64) -> Option<(u32, u64)> {
        let graph = self.graph;
        let mut number = first;
        let mut cost = so_far;
        loop {
            let arc = &graph.arcs[number as usize];
            if !self.gate.admits(number, arc) {
                return None;
            }
            cost += self.price.of(number, arc);
            let (end, next) = match SIDE {
                FORTH => (arc.head, arc.onward),
                _ => (graph.tails[number as usize], graph.before[number as usize]),
            };
            if next == NONE || end == self.from || end == self.to {
                return Some((end, cost));
            }
            if next == DEAD_END {
                return None;
            }
            number = next;
        }
    }

    /// What is at least left from `node` to where this side leads.
    #[inline]
    fn bound<const SIDE: usize>(&self, node: u32) -> Option<u64> {
        match (SIDE, self.back) {
            (FORTH, _) => Some(self.row.bound(node)?.saturating_sub(self.beyond[FORTH])),
            (_, Some(back)) => Some(back.bound(node)?.saturating_sub(self.beyond[BACK])),
            (_, None) => Some(0),
        }
    }

    fn trace(&self, node: u32, ends: &mut Ends, out: &mut Vec<u32>) {
        ends.trace.clear();
        let mut at = node;
        while at != self.from {
            let label = &ends.labels[at as usize][FORTH];
            ends.trace.push((label.first, at));
            at = label.parent;
        }
        for &(first, end) in ends.trace.iter().rev() {
            self.graph.follow(Direction::Along, first, end, out);
        }
        at = node;
        while at != self.to {
            let label = &ends.labels[at as usize][BACK];
            let begin = out.len();
            self.graph.follow(Direction::Against, label.first, at, out);
            out[begin..].reverse();
            at = label.parent;
        }
    }
}
