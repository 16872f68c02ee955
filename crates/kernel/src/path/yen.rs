//! The k shortest paths without loops (Yen, 1971), over links rather than nodes so that parallel links count, in
//! Lawler's form (1972): every path found splits what is left into parts that do not overlap, so no path is found twice.

use std::collections::BTreeSet;

use super::cspf::{Solver, found};
use super::edge_filter::Excluding;
use super::graph::Graph;
use super::marks::Marks;
use super::query::{FoundPath, Links, NoPath, Query};
use super::workspace::{Scratch, Workspace};

/// The most paths one call gives.
pub const K_MAX: usize = 64;

/// The `count` cheapest paths that satisfy the query, cheapest first; fewer if there are no more, at most [`K_MAX`].
///
/// # Errors
/// As [`shortest`](super::cspf::shortest).
pub fn k_shortest<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    count: usize,
    workspace: &mut Workspace,
) -> Result<Vec<FoundPath>, NoPath> {
    let solver = Solver::new(graph, links, query, workspace)?;
    let mut ranking = Ranking::new(&solver, &mut workspace.scratch)?;
    let mut paths = Vec::new();
    while paths.len() < count.min(K_MAX) {
        let Some(path) = ranking.next(&mut workspace.scratch)? else { break };
        paths.push(found(graph, links, query.metric, &path));
    }
    Ok(paths)
}

/// Paths in the order of their cost, computed as they are asked for.
pub(super) struct Ranking<'a, 'q, L> {
    solver: &'a Solver<'q, L>,
    excluded: Marks,
    candidates: BTreeSet<Candidate>,
    /// The path given last, which is not split yet.
    given: Option<Candidate>,
}

/// The cheapest path of one part: all that share its first `fixed` links and do not continue with one of `barred`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    cost: u64,
    path: Vec<u32>,
    fixed: usize,
    barred: Vec<u32>,
}

impl<'a, 'q, L: Links> Ranking<'a, 'q, L> {
    /// # Errors
    /// If there is not even one path.
    pub(super) fn new(solver: &'a Solver<'q, L>, scratch: &mut Scratch) -> Result<Self, NoPath> {
        let mut ranking = Self { solver, excluded: Marks::default(), candidates: BTreeSet::new(), given: None };
        let mut path = Vec::new();
        solver.solve(&solver.filter, solver.start(), scratch, &mut path)?;
        ranking.keep(Candidate { cost: 0, path, fixed: 0, barred: Vec::new() });
        Ok(ranking)
    }

    /// The next path; `None` if there are no more.
    pub(super) fn next(&mut self, scratch: &mut Scratch) -> Result<Option<Vec<u32>>, NoPath> {
        if let Some(last) = self.given.take() {
            self.split(&last, scratch)?;
        }
        self.given = self.candidates.pop_first();
        Ok(self.given.as_ref().map(|candidate| candidate.path.clone()))
    }

    /// Finds the cheapest path of every part that is left of `given`'s part without `given` itself.
    fn split(&mut self, given: &Candidate, scratch: &mut Scratch) -> Result<(), NoPath> {
        let mut at = self.solver.start();
        for (index, &taken) in given.path.iter().enumerate() {
            if index >= given.fixed {
                let inherited = if index == given.fixed { given.barred.as_slice() } else { &[] };
                let barred: Vec<u32> = inherited.iter().copied().chain([taken]).collect();
                let root = &given.path[..index];
                self.exclude(root, &barred);
                let filter = Excluding { filter: &self.solver.filter, excluded: &self.excluded };
                let mut path = root.to_vec();
                match self.solver.solve(&filter, at, scratch, &mut path) {
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

    fn exclude(&mut self, root: &[u32], arcs: &[u32]) {
        let graph = self.solver.graph;
        self.excluded.begin(graph.node_count(), graph.link_count());
        for number in root {
            self.excluded.mark_node(graph.csr.tails[*number as usize]);
        }
        for number in arcs {
            self.excluded.mark_arc(*number);
        }
    }

    fn keep(&mut self, mut candidate: Candidate) {
        candidate.cost = self.solver.cost.of_path(&candidate.path);
        self.candidates.insert(candidate);
    }
}
