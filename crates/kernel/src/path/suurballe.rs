//! The pair of link- or node-disjoint paths of least total cost: Suurballe's two searches (1974; with Tarjan, 1984) with
//! Bhandari's reversed links (1999) and potentials cut where the first search stopped, both led by static distances.
//!
//! Must stay true: under the potentials no arc that the second search takes has a negative cost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::astar::{AstarScratch, Search};
use super::chain_contraction::Chains;
use super::cspf::Solver;
use super::csr::{Csr, NONE};
use super::distance_table::DistanceRow;
use super::edge_cost::{DynamicCost, EdgeCost};
use super::edge_filter::{Constrained, EdgeFilter};
use super::query::Links;

/// Whether both paths may pass one node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeSharing {
    Shared,
    Split,
}

/// The two paths, neither of which need satisfy end-to-end constraints; `None` if there is no such pair.
pub(super) fn least_pair<L: Links>(
    solver: &Solver<'_, L>,
    sharing: NodeSharing,
    scratch: &mut AstarScratch,
) -> Option<(Vec<u32>, Vec<u32>)> {
    let (from, to) = solver.ends();
    let Solver { graph, cost, filter, row, .. } = solver;
    let pair = DisjointPair { csr: &graph.csr, cost, filter, row, from, to };
    let first = pair.first(scratch)?;
    let second = pair.second(&first, sharing)?;
    pair.untangle(&first, &second)
}

struct DisjointPair<'a, L> {
    csr: &'a Csr,
    cost: &'a DynamicCost<'a, L>,
    filter: &'a Constrained<'a, L>,
    /// Static distances to the egress.
    row: &'a DistanceRow,
    from: u32,
    to: u32,
}

/// The first path, and what the search for it learned.
struct FirstPath {
    /// By node: the arc of the path into it, or [`NONE`].
    into: Vec<u32>,
    /// By node: its distance from the ingress, or what stands for it beyond where the search stopped.
    potential: Vec<u64>,
}

impl<L: Links> DisjointPair<'_, L> {
    fn first(&self, scratch: &mut AstarScratch) -> Option<FirstPath> {
        let Self { csr, cost, filter, row, from, to } = *self;
        // Every node on the way gets a label: those are the potentials.
        let chains = &Chains::none(csr);
        let search = Search { csr, chains, cost, filter, row };
        if !search.label(from, to, scratch) {
            return None;
        }
        let mut path = vec![];
        search.trace(from, to, scratch, &mut path);
        let mut into = vec![NONE; csr.node_count()];
        for number in path {
            into[csr.heads[number as usize] as usize] = number;
        }
        let whole = scratch.cost_to(to)?;
        let potential = (0..).zip(&into).map(|(node, _)| self.potential(node, whole, scratch)).collect();
        Some(FirstPath { into, potential })
    }

    /// Beyond where the search stopped, the cost of the whole path less the bound stands for the distance: no arc gets a
    /// negative reduced cost, because the bound is consistent.
    fn potential(&self, node: u32, whole: u64, scratch: &AstarScratch) -> u64 {
        self.row.bound(node).map_or(0, |bound| {
            let beyond = whole.saturating_sub(bound);
            scratch.cost_to(node).map_or(beyond, |distance| distance.min(beyond))
        })
    }

    /// The cheapest path through what the first path leaves, with its arcs turned around: the steps back from the egress.
    ///
    /// A node of the first path is two states where nodes are split: reached by an ordinary arc it must go back along
    /// the first path; reached by going back it may go on anywhere. State `2 * node + 1` is the former.
    fn second(&self, first: &FirstPath, sharing: NodeSharing) -> Option<Vec<ResidualStep>> {
        let Self { csr, .. } = *self;
        let nodes = csr.node_count();
        let mut distance = vec![u64::MAX; nodes * 2];
        let mut parent = vec![ResidualStep { number: NONE, from: NONE }; nodes * 2];
        let mut heap = BinaryHeap::new();
        distance[self.from as usize * 2] = 0;
        heap.push(Reverse((0, self.from * 2)));
        while let Some(Reverse((key, state))) = heap.pop() {
            if key > distance[state as usize] {
                continue;
            }
            let node = state / 2;
            if node == self.to {
                return Some(self.trace(state, &parent));
            }
            let mut relax = |number: u32, next: u32, through: u64| {
                if through < distance[next as usize] {
                    distance[next as usize] = through;
                    parent[next as usize] = ResidualStep { number, from: state };
                    heap.push(Reverse((through, next)));
                }
            };
            let back = first.into[node as usize];
            if back != NONE {
                // Turned around, an arc of a shortest path costs nothing under its own distances.
                relax(back, csr.tails[back as usize] * 2, key);
            }
            if state % 2 == 1 {
                continue;
            }
            for number in csr.out(node) {
                let head = csr.heads[number as usize];
                let into_head = first.into[head as usize];
                if into_head == number || self.row.bound(head).is_none() || !self.filter.admits(number, head) {
                    continue;
                }
                let reduced = (self.cost.of(number) + first.potential[node as usize])
                    .saturating_sub(first.potential[head as usize]);
                let is_split = sharing == NodeSharing::Split && into_head != NONE && head != self.to;
                relax(number, head * 2 + u32::from(is_split), key + reduced);
            }
        }
        None
    }

    fn trace(&self, mut state: u32, parent: &[ResidualStep]) -> Vec<ResidualStep> {
        let mut steps = Vec::new();
        while state != self.from * 2 {
            let step = parent[state as usize];
            steps.push(step);
            state = step.from;
        }
        steps
    }

    /// Drops the arcs that the two searches took in both directions and follows what is left from the ingress, twice.
    fn untangle(&self, first: &FirstPath, second: &[ResidualStep]) -> Option<(Vec<u32>, Vec<u32>)> {
        let mut arcs: Vec<u32> = first.into.iter().copied().filter(|number| *number != NONE).collect();
        for step in second {
            match arcs.iter().position(|number| *number == step.number) {
                Some(at) => drop(arcs.swap_remove(at)),
                None => arcs.push(step.number),
            }
        }
        arcs.sort_unstable();
        let one = self.follow(&mut arcs)?;
        let other = self.follow(&mut arcs)?;
        Some((one, other))
    }

    fn follow(&self, arcs: &mut Vec<u32>) -> Option<Vec<u32>> {
        let mut path = Vec::new();
        let mut at = self.from;
        while at != self.to {
            let place = arcs.iter().position(|number| self.csr.tails[*number as usize] == at)?;
            let number = arcs.remove(place);
            path.push(number);
            at = self.csr.heads[number as usize];
        }
        Some(path)
    }
}

/// One arc of the second way and the state it left.
#[derive(Clone, Copy)]
struct ResidualStep {
    number: u32,
    from: u32,
}
