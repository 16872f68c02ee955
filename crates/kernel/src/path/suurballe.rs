//! The pair of link- or node-disjoint paths of least total cost: Suurballe's two searches (1974; with Tarjan, 1984) with
//! Bhandari's reversed links (1999) and potentials cut where the first search stopped, both led by static distances.
//!
//! Must stay true: under the potentials no arc that the second search takes has a negative cost.

use super::Links;
use super::disjoint::Disjointness;
use super::gate::{Gate, Price};
use super::graph::{Graph, NONE};
use super::heap::Heap;
use super::rows::RowRef;
use super::solve::Solver;
use super::workspace::Tools;

/// The two paths, neither of which need satisfy end-to-end constraints; `None` if there is no such pair.
pub(super) fn least_pair<L: Links, G: Gate>(
    solver: &Solver<'_, L>,
    gate: &G,
    disjointness: Disjointness,
    tools: &mut Tools<'_>,
) -> Option<(Vec<u32>, Vec<u32>)> {
    let (from, to) = solver.ends();
    let row = solver.row(tools.rows);
    let mut pair = Pair { graph: solver.graph, price: &solver.charge, gate, row, from, to, heap: Heap::default() };
    let first = pair.first()?;
    let passing = match disjointness {
        Disjointness::Node => Passing::Split,
        Disjointness::Link | Disjointness::Srlg => Passing::Shared,
    };
    let second = pair.second(&first, passing)?;
    pair.untangle(&first, &second)
}

/// Whether both paths may pass one node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passing {
    Shared,
    Split,
}

struct Pair<'a, P, G> {
    graph: &'a Graph,
    price: &'a P,
    gate: &'a G,
    row: RowRef<'a>,
    from: u32,
    to: u32,
    heap: Heap,
}

/// The first path, and what the search for it learned.
struct First {
    /// By node: the arc of the path into it.
    into: Vec<u32>,
    /// By node: its distance from the ingress, or what stands for it beyond where the search stopped.
    potential: Vec<u64>,
}

impl<P: Price, G: Gate> Pair<'_, P, G> {
    fn cost(&self, number: u32) -> u64 {
        self.price.of(number, &self.graph.arcs[number as usize])
    }

    fn first(&mut self) -> Option<First> {
        let nodes = self.graph.node_count();
        let mut distance = vec![u64::MAX; nodes];
        let mut parent = vec![NONE; nodes];
        distance[self.from as usize] = 0;
        self.heap.clear();
        self.heap.push(self.row.bound(self.from)?, self.from);
        let mut is_found = false;
        while let Some((key, node)) = self.heap.pop() {
            let so_far = distance[node as usize];
            if self.row.bound(node).is_none_or(|bound| so_far + bound < key) {
                continue;
            }
            if node == self.to {
                is_found = true;
                break;
            }
            for number in self.graph.out(node) {
                let arc = &self.graph.arcs[number as usize];
                let Some(bound) = self.row.bound(arc.head) else { continue };
                if !self.gate.admits(number, arc) {
                    continue;
                }
                let through = so_far + self.cost(number);
                if through < distance[arc.head as usize] {
                    distance[arc.head as usize] = through;
                    parent[arc.head as usize] = number;
                    self.heap.push(through + bound, arc.head);
                }
            }
        }
        is_found.then(|| self.close(distance, &parent))
    }

    /// Beyond where the search stopped, the whole distance less the bound stands for the distance: no arc gets a negative
    /// reduced cost, because the bound is consistent.
    fn close(&self, distance: Vec<u64>, parent: &[u32]) -> First {
        let whole = distance[self.to as usize];
        let cut = |(node, distance): (u32, u64)| match self.row.bound(node) {
            Some(bound) => distance.min(whole.saturating_sub(bound)),
            None => 0,
        };
        let potential = (0..).zip(distance).map(cut).collect();
        let mut into = vec![NONE; parent.len()];
        let mut at = self.to;
        while at != self.from {
            let number = parent[at as usize];
            into[at as usize] = number;
            at = self.graph.tails[number as usize];
        }
        First { into, potential }
    }

    /// The cheapest way through what the first path leaves, with its arcs turned around. Given as the arc into each state
    /// back from the egress.
    ///
    /// A node of the first path is two states where nodes are split: reached by an ordinary arc it must go back along
    /// the first path; reached by going back it may go on anywhere. State `2 * node + 1` is the former.
    fn second(&mut self, first: &First, passing: Passing) -> Option<Vec<Step>> {
        let nodes = self.graph.node_count();
        let mut distance = vec![u64::MAX; nodes * 2];
        let mut parent = vec![Step { number: NONE, from: NONE }; nodes * 2];
        self.heap.clear();
        distance[self.from as usize * 2] = 0;
        self.heap.push(0, self.from * 2);
        while let Some((key, state)) = self.heap.pop() {
            if key > distance[state as usize] {
                continue;
            }
            let node = state / 2;
            if node == self.to {
                return Some(self.trace(state, &parent));
            }
            let mut relax = |number: u32, next: u32, through: u64, heap: &mut Heap| {
                if through < distance[next as usize] {
                    distance[next as usize] = through;
                    parent[next as usize] = Step { number, from: state };
                    heap.push(through, next);
                }
            };
            let back = first.into[node as usize];
            if back != NONE {
                // Turned around, an arc of a shortest path costs nothing under its own distances.
                relax(back, self.graph.tails[back as usize] * 2, key, &mut self.heap);
            }
            if state % 2 == 1 {
                continue;
            }
            for number in self.graph.out(node) {
                let arc = &self.graph.arcs[number as usize];
                if first.into[arc.head as usize] == number || self.row.bound(arc.head).is_none() {
                    continue;
                }
                if !self.gate.admits(number, arc) {
                    continue;
                }
                let reduced = (self.cost(number) + first.potential[node as usize])
                    .saturating_sub(first.potential[arc.head as usize]);
                let is_split =
                    passing == Passing::Split && first.into[arc.head as usize] != NONE && arc.head != self.to;
                relax(number, arc.head * 2 + u32::from(is_split), key + reduced, &mut self.heap);
            }
        }
        None
    }

    fn trace(&self, mut state: u32, parent: &[Step]) -> Vec<Step> {
        let mut steps = Vec::new();
        while state != self.from * 2 {
            let step = parent[state as usize];
            steps.push(step);
            state = step.from;
        }
        steps
    }

    /// Drops the arcs that the two searches took in both directions and follows what is left from the ingress, twice.
    fn untangle(&self, first: &First, second: &[Step]) -> Option<(Vec<u32>, Vec<u32>)> {
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
            let place = arcs.iter().position(|number| self.graph.tails[*number as usize] == at)?;
            let number = arcs.remove(place);
            path.push(number);
            at = self.graph.arcs[number as usize].head;
        }
        Some(path)
    }
}

/// One arc of the second way and the state it left.
#[derive(Clone, Copy)]
struct Step {
    number: u32,
    from: u32,
}
