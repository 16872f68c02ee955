//! The shortest path where every constraint is on single links: the static path if nothing stands in its way, otherwise
//! A* (Hart, Nilsson and Raphael, 1968) led by static distances.
//!
//! Must stay true: equal inputs give equal paths, ties included. Every step is a function of the graph, the filter and the
//! cost alone, never of what the scratch was used for before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::chain_contraction::{Chains, DEAD_END};
use super::csr::{Csr, NONE};
use super::distance_table::DistanceRow;
use super::edge_cost::EdgeCost;
use super::edge_filter::EdgeFilter;

/// One search.
pub(super) struct Search<'a, C, F> {
    pub(super) csr: &'a Csr,
    pub(super) chains: &'a Chains,
    pub(super) cost: &'a C,
    pub(super) filter: &'a F,
    /// Static distances to the goal.
    pub(super) row: &'a DistanceRow,
}

/// The labels of one search, reused by the next: epochs stand for clearing.
#[derive(Default)]
pub(super) struct AstarScratch {
    labels: Vec<NodeLabel>,
    epoch: u32,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

/// How a node was reached.
#[derive(Clone, Copy)]
struct NodeLabel {
    /// The search that reached it.
    epoch: u32,
    cost: u64,
    /// The first arc of the chain into it.
    first: u32,
}

const UNSEEN: NodeLabel = NodeLabel { epoch: 0, cost: 0, first: NONE };

impl<C: EdgeCost, F: EdgeFilter> Search<'_, C, F> {
    /// Appends the cheapest path to `out`; returns whether there is one.
    pub(super) fn run(&self, from: u32, to: u32, scratch: &mut AstarScratch, out: &mut Vec<u32>) -> bool {
        if self.static_path(from, to, out) {
            return true;
        }
        let is_found = self.label(from, to, scratch);
        if is_found {
            self.trace(from, to, scratch, out);
        }
        is_found
    }

    /// Appends the static path if every arc of it is open and costs no more than when empty: then no path is cheaper.
    fn static_path(&self, from: u32, to: u32, out: &mut Vec<u32>) -> bool {
        let begin = out.len();
        let mut at = from;
        while at != to {
            let number = self.row.next(at);
            if number == NONE || !self.is_clear(number) {
                out.truncate(begin);
                return false;
            }
            out.push(number);
            at = self.csr.heads[number as usize];
        }
        true
    }

    fn is_clear(&self, number: u32) -> bool {
        self.filter.admits(number, self.csr.heads[number as usize]) && self.cost.is_static(number)
    }

    /// Labels nodes in the order of the least cost of a path through them, until `to` is next. The bound is consistent:
    /// a label taken from the heap is final.
    pub(super) fn label(&self, from: u32, to: u32, scratch: &mut AstarScratch) -> bool {
        let Some(bound) = self.row.bound(from) else { return false };
        scratch.begin(self.csr.node_count());
        scratch.improve(from, 0, NONE);
        scratch.heap.push(Reverse((bound, from)));
        while let Some(Reverse((key, node))) = scratch.heap.pop() {
            if node == to {
                return true;
            }
            let so_far = scratch.labels[node as usize].cost;
            if self.row.bound(node).is_none_or(|bound| so_far + bound < key) {
                continue;
            }
            for first in self.csr.out(node) {
                let Some((end, cost)) = self.follow(first, so_far, to) else { continue };
                let Some(bound) = self.row.bound(end) else { continue };
                if scratch.improve(end, cost, first) {
                    scratch.heap.push(Reverse((cost + bound, end)));
                }
            }
        }
        false
    }

    /// Follows the chain that begins with arc `first` to the goal or to where there is a choice; returns that node and the
    /// cost of the path to it.
    #[inline]
    fn follow(&self, first: u32, so_far: u64, to: u32) -> Option<(u32, u64)> {
        let mut number = first;
        let mut cost = so_far;
        loop {
            let head = self.csr.heads[number as usize];
            if !self.filter.admits(number, head) {
                return None;
            }
            cost += self.cost.of(number);
            match self.chains.onward(number) {
                _ if head == to => return Some((head, cost)),
                NONE => return Some((head, cost)),
                DEAD_END => return None,
                onward => number = onward,
            }
        }
    }

    /// Appends the arcs from `from` to `to`, both of which the last search labelled.
    pub(super) fn trace(&self, from: u32, to: u32, scratch: &AstarScratch, out: &mut Vec<u32>) {
        let begin = out.len();
        let mut at = to;
        while at != from {
            let first = scratch.labels[at as usize].first;
            let chain = out.len();
            let mut number = first;
            out.push(number);
            while self.csr.heads[number as usize] != at {
                number = self.chains.onward(number);
                out.push(number);
            }
            out[chain..].reverse();
            at = self.csr.tails[first as usize];
        }
        out[begin..].reverse();
    }
}

impl AstarScratch {
    fn begin(&mut self, nodes: usize) {
        if self.labels.len() < nodes {
            self.labels.resize(nodes, UNSEEN);
        }
        if self.epoch == u32::MAX {
            self.labels.fill(UNSEEN);
            self.epoch = 0;
        }
        self.epoch += 1;
        self.heap.clear();
    }

    /// Labels `node` unless it has a label that costs no more.
    fn improve(&mut self, node: u32, cost: u64, first: u32) -> bool {
        let label = &mut self.labels[node as usize];
        if label.epoch == self.epoch && label.cost <= cost {
            return false;
        }
        *label = NodeLabel { epoch: self.epoch, cost, first };
        true
    }

    /// The cost of the cheapest known way to `node`, `None` if the search did not come there.
    pub(super) fn cost_to(&self, node: u32) -> Option<u64> {
        let label = self.labels.get(node as usize)?;
        (label.epoch == self.epoch).then_some(label.cost)
    }
}
