//! The k shortest paths without loops (Yen, 1971), over links rather than nodes so that parallel links count, in
//! Lawler's form (1972): every path found splits what is left into parts that do not overlap, so no path is found twice.

use std::collections::BTreeSet;

use super::gate::{Barring, Gate, Guarded, Price};
use super::graph::Graph;
use super::solve::{Solver, found};
use super::workspace::{Marks, Tools, Workspace};
use super::{FoundPath, Links, NoPath, Query};

/// The most paths one call gives.
pub const K_MAX: usize = 64;

/// The `count` cheapest paths that satisfy the query, cheapest first; fewer if there are no more, at most [`K_MAX`].
///
/// # Errors
/// As [`shortest`](super::shortest).
pub fn k_shortest<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    count: usize,
    workspace: &mut Workspace,
) -> Result<Vec<FoundPath>, NoPath> {
    let solver = Solver::new(graph, links, query, workspace)?;
    let (mut tools, excluded) = workspace.tools();
    let gate = Guarded::new(graph, links, query, excluded);
    let mut ranking = Ranking::new(&solver, &gate, &mut tools)?;
    let mut paths = Vec::new();
    while paths.len() < count.min(K_MAX) {
        let Some(path) = ranking.next(&mut tools)? else { break };
        paths.push(found(graph, links, query.metric, &path));
    }
    Ok(paths)
}

/// Paths in the order of their cost, computed as they are asked for.
pub(super) struct Ranking<'a, 'q, L, G> {
    solver: &'a Solver<'q, L>,
    gate: &'a G,
    barred: Marks,
    candidates: BTreeSet<Candidate>,
    /// The path given last, which is not split yet.
    given: Option<Candidate>,
}

/// The cheapest path of one part: all that share its first `fixed` links and take none of `barred` after them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    cost: u64,
    path: Vec<u32>,
    fixed: usize,
    barred: Vec<u32>,
}

impl<'a, 'q, L: Links, G: Gate> Ranking<'a, 'q, L, G> {
    /// # Errors
    /// If there is not even one path.
    pub(super) fn new(solver: &'a Solver<'q, L>, gate: &'a G, tools: &mut Tools<'_>) -> Result<Self, NoPath> {
        let mut ranking = Self { solver, gate, barred: Marks::default(), candidates: BTreeSet::new(), given: None };
        let mut path = Vec::new();
        solver.solve(gate, solver.start(), tools, &mut path)?;
        ranking.keep(Candidate { cost: 0, path, fixed: 0, barred: Vec::new() });
        Ok(ranking)
    }

    /// The next path; `None` if there are no more.
    pub(super) fn next(&mut self, tools: &mut Tools<'_>) -> Result<Option<Vec<u32>>, NoPath> {
        if let Some(last) = self.given.take() {
            self.split(&last, tools)?;
        }
        self.given = self.candidates.pop_first();
        Ok(self.given.as_ref().map(|candidate| candidate.path.clone()))
    }

    /// Finds the cheapest path of every part that is left of `given`'s part without `given` itself.
    fn split(&mut self, given: &Candidate, tools: &mut Tools<'_>) -> Result<(), NoPath> {
        let mut at = self.solver.start();
        for (index, &taken) in given.path.iter().enumerate() {
            if index >= given.fixed {
                let inherited = if index == given.fixed { given.barred.as_slice() } else { &[] };
                let barred: Vec<u32> = inherited.iter().copied().chain([taken]).collect();
                let root = &given.path[..index];
                self.bar(root, &barred);
                let gate = Barring { gate: self.gate, barred: &self.barred };
                let mut path = root.to_vec();
                match self.solver.solve(&gate, at, tools, &mut path) {
                    Ok(()) => self.keep(Candidate { cost: 0, path, fixed: index, barred }),
                    Err(NoPath::None) => {}
                    Err(NoPath::SearchLimit) => return Err(NoPath::SearchLimit),
                }
            }
            let Some(next) = self.solver.advance(at, taken) else { break };
            at = next;
        }
        Ok(())
    }

    fn bar(&mut self, root: &[u32], arcs: &[u32]) {
        let graph = self.solver.graph;
        self.barred.begin(graph.node_count(), graph.link_count());
        for number in root {
            self.barred.mark_node(graph.tails[*number as usize]);
        }
        for number in arcs {
            self.barred.mark_arc(*number);
        }
    }

    fn keep(&mut self, mut candidate: Candidate) {
        let Solver { graph, charge, .. } = self.solver;
        candidate.cost = candidate.path.iter().map(|number| charge.of(*number, &graph.arcs[*number as usize])).sum();
        self.candidates.insert(candidate);
    }
}
