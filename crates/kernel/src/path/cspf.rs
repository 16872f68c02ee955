//! Constrained shortest path first: one query, one path. Picks the search that fits the constraints.

use std::sync::Arc;

use super::astar::{AstarScratch, Search};
use super::constrained_labels::{LABELS_MAX, LabelSetting, Limits, Start};
use super::disjoint_legs::{DisjointLegs, LegsFound};
use super::distance_table::DistanceRow;
use super::edge_cost::{CongestionCost, DynamicCost, TeCost};
use super::edge_filter::{CapacityOnly, Constrained, EdgeFilter};
use super::graph::Graph;
use super::query::{Constraints, Everything, FoundPath, Links, Metric, NoPath, Query};
use super::waypoints::{Stage, Waypoints};
use super::workspace::{Scratch, Workspace};
use crate::id::LinkIx;
use crate::units::Micros;

/// How many labels the exact search for a path past hops may make, where the cheapest walk passes a node twice.
const EXACT_LABELS_MAX: usize = 2_000;

/// The cheapest path that satisfies the query (CSPF). Exact, except where it says [`NoPath::SearchLimit`], and where
/// 2,000 labels do not suffice for a path past hops: then a path, not necessarily the cheapest.
///
/// # Errors
/// [`NoPath::None`] if there is none, and for an ingress or egress that is not of this graph or the same node twice.
pub fn shortest<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    workspace: &mut Workspace,
) -> Result<FoundPath, NoPath> {
    check_ends(graph, query)?;
    let mut path = std::mem::take(&mut workspace.path);
    path.clear();
    let outcome = if is_unconstrained(query.constraints) {
        unconstrained(graph, links, query, workspace, &mut path)
    } else {
        Solver::new(graph, links, query, workspace)
            .and_then(|solver| solver.solve(&solver.filter, solver.start(), &mut workspace.scratch, &mut path))
    };
    let answer = outcome.map(|()| found(graph, links, query.metric, &path));
    workspace.path = path;
    answer
}

/// Whether `path` leads from the query's ingress to its egress, passes no node twice, and obeys the query's constraints,
/// whatever room its links have.
pub fn obeys(graph: &Graph, query: &Query<'_>, path: &[LinkIx], workspace: &mut Workspace) -> bool {
    let Ok(solver) = Solver::new(graph, &Everything, query, workspace) else { return false };
    let csr = &graph.csr;
    let (mut at, egress) = solver.ends();
    let mut passed = vec![at];
    for link in path {
        if !csr.has_link(*link) || csr.tails[link.at()] != at {
            return false;
        }
        at = csr.heads[link.at()];
        if passed.contains(&at) || !solver.filter.admits(link.0, at) {
            return false;
        }
        passed.push(at);
    }
    let path: Vec<u32> = path.iter().map(|link| link.0).collect();
    at == egress && solver.keeps_to(&path)
}

/// Nothing asked but room: the hot path, compiled for the metrics that policies use.
fn unconstrained<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    workspace: &mut Workspace,
    path: &mut Vec<u32>,
) -> Result<(), NoPath> {
    let (from, to) = (query.ingress.0, query.egress.0);
    let row = &*workspace.table.row(&graph.csr, query.metric, to);
    let filter = &CapacityOnly { links, bandwidth_bps: query.bandwidth_bps };
    let scratch = &mut workspace.scratch.astar;
    let Graph { csr, chains } = graph;
    let is_found = match query.metric {
        Metric::Te => Search { csr, chains, cost: &TeCost(csr), filter, row }.run(from, to, scratch, path),
        Metric::Congestion => {
            Search { csr, chains, cost: &CongestionCost { csr, links }, filter, row }.run(from, to, scratch, path)
        }
        metric => {
            let cost = &DynamicCost { csr, links, metric };
            Search { csr, chains, cost, filter, row }.run(from, to, scratch, path)
        }
    };
    if is_found { Ok(()) } else { Err(NoPath::None) }
}

fn is_unconstrained(constraints: &Constraints) -> bool {
    let Constraints { metric: _, max_hops, max_delay, include, exclude, include_any, exclude_any, route } = constraints;
    max_hops.is_none()
        && max_delay.is_none()
        && include.is_empty()
        && exclude.is_empty()
        && *include_any == 0
        && *exclude_any == 0
        && route.is_empty()
}

/// Ingress and egress are two nodes of `graph`.
pub(super) fn check_ends(graph: &Graph, query: &Query<'_>) -> Result<(), NoPath> {
    let is_good =
        graph.csr.has_node(query.ingress) && graph.csr.has_node(query.egress) && query.ingress != query.egress;
    if is_good { Ok(()) } else { Err(NoPath::None) }
}

pub(super) fn found<L: Links>(graph: &Graph, links: &L, metric: Metric, path: &[u32]) -> FoundPath {
    let delay = path.iter().map(|number| u64::from(graph.csr.delays[*number as usize])).sum();
    FoundPath {
        links: path.iter().map(|number| LinkIx(*number)).collect(),
        cost: DynamicCost { csr: &graph.csr, links, metric }.of_path(path),
        delay: Micros(delay),
    }
}

/// A query made ready: exclusions marked, rows computed, hops resolved. Serves many searches with different filters.
pub(super) struct Solver<'a, L> {
    pub(super) graph: &'a Graph,
    pub(super) cost: DynamicCost<'a, L>,
    pub(super) filter: Constrained<'a, L>,
    /// Static distances to the egress.
    pub(super) row: Arc<DistanceRow>,
    query: Query<'a>,
    waypoints: Waypoints<'a>,
    limits: Limits,
}

impl<'a, L: Links> Solver<'a, L> {
    pub(super) fn new(
        graph: &'a Graph,
        links: &'a L,
        query: &Query<'a>,
        workspace: &mut Workspace,
    ) -> Result<Self, NoPath> {
        check_ends(graph, query)?;
        let filter = Constrained::new(&graph.csr, links, query);
        if filter.excludes_node(query.ingress.0) || filter.excludes_node(query.egress.0) {
            return Err(NoPath::None);
        }
        let Query { constraints, metric, .. } = *query;
        let table = &mut workspace.table;
        let waypoints = Waypoints::new(&graph.csr, constraints, metric, query.egress.0, table).ok_or(NoPath::None)?;
        let limits = Limits {
            hops: constraints.max_hops.map_or(u64::MAX, u64::from),
            delay: constraints.max_delay.map_or(u64::MAX, |delay| delay.0),
        };
        let row = table.row(&graph.csr, metric, query.egress.0);
        let cost = DynamicCost { csr: &graph.csr, links, metric };
        Ok(Self { graph, cost, filter, row, query: *query, waypoints, limits })
    }

    /// Ingress and egress.
    pub(super) fn ends(&self) -> (u32, u32) {
        (self.query.ingress.0, self.query.egress.0)
    }

    /// At the ingress.
    pub(super) fn start(&self) -> Start {
        let stage = self.waypoints.at_node(Stage::default(), self.query.ingress.0);
        Start { node: self.query.ingress.0, stage, hops: 0, delay: 0 }
    }

    /// One link further on a path that keeps to the constraints.
    pub(super) fn advance(&self, start: Start, number: u32) -> Option<Start> {
        let node = self.graph.csr.heads[number as usize];
        Some(Start {
            node,
            stage: self.waypoints.along(start.stage, number, node)?,
            hops: start.hops + 1,
            delay: start.delay + u64::from(self.graph.csr.delays[number as usize]),
        })
    }

    /// Appends the cheapest path from `start` to the egress. A* alone answers where no hop has to be passed and its path
    /// is within the limits.
    pub(super) fn solve<F: EdgeFilter>(
        &self,
        filter: &F,
        start: Start,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) -> Result<(), NoPath> {
        let Self { cost, limits, waypoints, .. } = self;
        let Graph { csr, chains } = self.graph;
        let egress = self.query.egress.0;
        if waypoints.stages() == 1 {
            let begin = out.len();
            let search = Search { csr, chains, cost, filter, row: &self.row };
            if !search.run(start.node, egress, &mut scratch.astar, out) {
                return Err(NoPath::None);
            }
            if self.is_within(start, &out[begin..]) {
                return Ok(());
            }
            out.truncate(begin);
        }
        if !self.are_open(filter, start) {
            return Err(NoPath::None);
        }
        let search = LabelSetting { csr, cost, filter, waypoints, limits: *limits, egress };
        let begin = out.len();
        if search.walk(start, &mut scratch.labels, out)? {
            return Ok(());
        }
        out.truncate(begin);
        match search.enumerate(start, EXACT_LABELS_MAX, &mut scratch.labels, out) {
            Err(NoPath::SearchLimit) => {}
            exact => return exact,
        }
        match self.past_hops(filter, start, &mut scratch.astar) {
            LegsFound::Path(path) if self.is_within(start, &path) => {
                out.extend(path);
                return Ok(());
            }
            LegsFound::Impossible => return Err(NoPath::None),
            LegsFound::Path(_) | LegsFound::Unknown => {}
        }
        search.enumerate(start, LABELS_MAX, &mut scratch.labels, out)
    }

    /// Whether every link that is still to be passed can be used.
    fn are_open<F: EdgeFilter>(&self, filter: &F, start: Start) -> bool {
        let head = |number: u32| self.graph.csr.heads[number as usize];
        self.waypoints.links(start.stage).all(|number| filter.admits(number, head(number)))
    }

    /// A path past the hops that are still to be met, whatever its length and delay.
    pub(super) fn past_hops<F: EdgeFilter>(&self, filter: &F, start: Start, scratch: &mut AstarScratch) -> LegsFound {
        if !self.are_open(filter, start) {
            return LegsFound::Impossible;
        }
        let Some(hops) = self.waypoints.pending(start.stage) else { return LegsFound::Unknown };
        let Graph { csr, chains } = self.graph;
        let egress = (self.query.egress.0, Arc::clone(&self.row));
        DisjointLegs { csr, chains, cost: &self.cost, filter }.find(start.node, &hops, egress, scratch)
    }

    fn is_within(&self, start: Start, path: &[u32]) -> bool {
        let delay: u64 = path.iter().map(|number| u64::from(self.graph.csr.delays[*number as usize])).sum();
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
        self.waypoints.is_complete(at.stage) && self.is_within(self.start(), path)
    }
}
