//! One query, one path: picks the search that fits the constraints.

use super::bounded::{Bounded, Limits, Start};
use super::gate::{Charge, Congestion, Gate, Guarded, Open, Price, Te};
use super::graph::Graph;
use super::itinerary::{Itinerary, Stage};
use super::rows::{RowAt, RowRef, Rows};
use super::search::{Manner, Search};
use super::workspace::{Tools, Workspace};
use super::{Constraints, FoundPath, Hop, Links, Metric, NoPath, Query};
use crate::id::LinkIx;
use crate::units::Micros;

/// The cheapest path that satisfies the query (CSPF). Exact, except where it says [`NoPath::SearchLimit`].
///
/// # Errors
/// [`NoPath::None`] if there is none, and for an ingress or egress that is not of this graph or the same node twice.
pub fn shortest<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    workspace: &mut Workspace,
) -> Result<FoundPath, NoPath> {
    admit_ends(graph, query)?;
    let mut path = std::mem::take(&mut workspace.path);
    path.clear();
    let outcome = search(graph, links, query, workspace, &mut path);
    let answer = outcome.map(|()| found(graph, links, query.metric, &path));
    workspace.path = path;
    answer
}

fn search<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    workspace: &mut Workspace,
    path: &mut Vec<u32>,
) -> Result<(), NoPath> {
    if is_plain(query.constraints) {
        plain(graph, links, query, workspace, path)
    } else {
        let solver = Solver::new(graph, links, query, workspace)?;
        let (mut tools, excluded) = workspace.tools();
        let gate = Guarded::new(graph, links, query, excluded);
        solver.solve(&gate, solver.start(), &mut tools, path)
    }
}

/// Nothing asked but room: the hot path.
fn plain<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    workspace: &mut Workspace,
    path: &mut Vec<u32>,
) -> Result<(), NoPath> {
    let Workspace { scratch, rows, .. } = workspace;
    rows.begin(graph);
    let (from, to) = (query.ingress.0, query.egress.0);
    let at = rows.ensure(graph, query.metric, to);
    // What leads to the ingress leads from it, if directions do not matter.
    let is_met = query.metric == Metric::Congestion && graph.is_symmetric;
    let back = is_met.then(|| rows.ensure(graph, query.metric, from));
    let row = rows.view(graph, at);
    let gate = &Open { links, bandwidth_bps: query.bandwidth_bps };
    let is_found = match query.metric {
        Metric::Te => Search { graph, price: &Te, gate, row, manner: Manner::Led }.run(from, to, scratch, path),
        Metric::Congestion => {
            let manner = Manner::FromBothEnds(back.map(|at| rows.view(graph, at)));
            Search { graph, price: &Congestion(links), gate, row, manner }.run(from, to, scratch, path)
        }
        metric => {
            let price = &Charge { graph, links, metric };
            Search { graph, price, gate, row, manner: Manner::Led }.run(from, to, scratch, path)
        }
    };
    if is_found { Ok(()) } else { Err(NoPath::None) }
}

fn is_plain(constraints: &Constraints) -> bool {
    let Constraints { metric: _, max_hops, max_delay, include, exclude, include_any, exclude_any, route } = constraints;
    max_hops.is_none()
        && max_delay.is_none()
        && include.is_empty()
        && exclude.is_empty()
        && *include_any == 0
        && *exclude_any == 0
        && route.is_empty()
}

pub(super) fn admit_ends(graph: &Graph, query: &Query<'_>) -> Result<(), NoPath> {
    let is_good = graph.has_node(query.ingress) && graph.has_node(query.egress) && query.ingress != query.egress;
    if is_good { Ok(()) } else { Err(NoPath::None) }
}

pub(super) fn found<L: Links>(graph: &Graph, links: &L, metric: Metric, path: &[u32]) -> FoundPath {
    let price = Charge { graph, links, metric };
    let mut cost = 0;
    let mut delay = 0;
    let mut taken = Vec::with_capacity(path.len());
    for &number in path {
        cost += price.of(number, &graph.arcs[number as usize]);
        delay += u64::from(graph.delays[number as usize]);
        taken.push(LinkIx(number));
    }
    FoundPath { links: taken, cost, delay: Micros(delay) }
}

/// A query made ready: exclusions marked, rows computed, hops resolved. Serves many searches with different ends barred.
pub(super) struct Solver<'a, L> {
    pub(super) graph: &'a Graph,
    pub(super) charge: Charge<'a, L>,
    query: Query<'a>,
    itinerary: Itinerary<'a>,
    limits: Limits,
    row: RowAt,
}

impl<'a, L: Links> Solver<'a, L> {
    /// Marks what is excluded in `workspace`; [`Guarded`] reads it there.
    pub(super) fn new(
        graph: &'a Graph,
        links: &'a L,
        query: &Query<'a>,
        workspace: &mut Workspace,
    ) -> Result<Self, NoPath> {
        admit_ends(graph, query)?;
        let constraints = query.constraints;
        let Workspace { rows, excluded, .. } = workspace;
        excluded.begin(graph.node_count(), graph.link_count());
        for hop in &constraints.exclude {
            match *hop {
                Hop::Node(node) if graph.has_node(node) => excluded.mark_node(node.0),
                Hop::Link(link) if graph.has_link(link) => excluded.mark_arc(link.0),
                Hop::Node(_) | Hop::Link(_) => {}
            }
        }
        if excluded.has_node(query.ingress.0) || excluded.has_node(query.egress.0) {
            return Err(NoPath::None);
        }
        rows.begin(graph);
        let row = rows.ensure(graph, query.metric, query.egress.0);
        let itinerary = Itinerary::new(graph, constraints, query.metric, query.egress.0, rows).ok_or(NoPath::None)?;
        let limits = Limits {
            hops: constraints.max_hops.map_or(u64::MAX, u64::from),
            delay: constraints.max_delay.map_or(u64::MAX, |delay| delay.0),
        };
        let charge = Charge { graph, links, metric: query.metric };
        Ok(Self { graph, charge, query: *query, itinerary, limits, row })
    }

    /// Ingress and egress.
    pub(super) fn ends(&self) -> (u32, u32) {
        (self.query.ingress.0, self.query.egress.0)
    }

    /// Static distances to the egress.
    pub(super) fn row<'r>(&'r self, rows: &'r Rows) -> RowRef<'r> {
        rows.view(self.graph, self.row)
    }

    /// At the ingress.
    pub(super) fn start(&self) -> Start {
        let stage = self.itinerary.at_node(Stage::default(), self.query.ingress.0);
        Start { node: self.query.ingress.0, stage, hops: 0, delay: 0 }
    }

    /// One link further on a path that keeps to the constraints.
    pub(super) fn advance(&self, start: Start, number: u32) -> Option<Start> {
        let node = self.graph.arcs[number as usize].head;
        Some(Start {
            node,
            stage: self.itinerary.along(start.stage, number, node)?,
            hops: start.hops + 1,
            delay: start.delay + u64::from(self.graph.delays[number as usize]),
        })
    }

    /// Appends the cheapest way from `start` to the egress.
    pub(super) fn solve<G: Gate>(
        &self,
        gate: &G,
        start: Start,
        tools: &mut Tools<'_>,
        out: &mut Vec<u32>,
    ) -> Result<(), NoPath> {
        let Self { graph, limits, .. } = *self;
        let Tools { rows, scratch, arena } = tools;
        let egress = self.query.egress.0;
        if self.itinerary.stages() == 1 {
            let begin = out.len();
            let search =
                Search { graph, price: &self.charge, gate, row: rows.view(graph, self.row), manner: Manner::Led };
            if !search.run(start.node, egress, scratch, out) {
                return Err(NoPath::None);
            }
            if self.is_within(start, &out[begin..]) {
                return Ok(());
            }
            out.truncate(begin);
        }
        let bounded = Bounded { graph, price: &self.charge, gate, itinerary: &self.itinerary, limits, rows, egress };
        bounded.run(start, arena, out)
    }

    fn is_within(&self, start: Start, path: &[u32]) -> bool {
        let delay: u64 = path.iter().map(|number| u64::from(self.graph.delays[*number as usize])).sum();
        start.hops + path.len() as u64 <= self.limits.hops && start.delay + delay <= self.limits.delay
    }

    /// Whether `path` satisfies the end-to-end constraints.
    pub(super) fn keeps_to(&self, path: &[u32]) -> bool {
        let mut at = self.start();
        for number in path {
            match self.advance(at, *number) {
                Some(next) => at = next,
                None => return false,
            }
        }
        self.itinerary.is_complete(at.stage) && self.is_within(self.start(), path)
    }
}
