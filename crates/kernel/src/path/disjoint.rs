//! Two paths that do not share their fate.
//!
//! Link- and node-disjoint pairs of least total cost are found exactly (Suurballe and Tarjan, 1984; over links, so that
//! parallel ones count; nodes are split where they must not be shared). With risk groups, and with constraints on each
//! whole path, the problem is NP-hard (Hu, 2003): then primaries are tried from the cheapest on, each with the cheapest
//! path disjoint from it, until no later primary can be part of a better pair or [`PRIMARIES_MAX`] were tried. What is
//! returned is always disjoint and always satisfies the constraints.

use std::collections::BTreeSet;

use super::cspf::{Solver, found};
use super::csr::{Csr, NONE};
use super::edge_filter::Excluding;
use super::graph::Graph;
use super::marks::Marks;
use super::query::{FoundPath, Links, NoPath, Query};
use super::suurballe::{NodeSharing, least_pair};
use super::workspace::{Scratch, Workspace};
use super::yen::Ranking;
use crate::id::LinkIx;

/// How many primaries are tried where the pair cannot be found exactly.
pub const PRIMARIES_MAX: usize = 256;

/// The elements that the two paths must not share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Disjointness {
    /// A link, in either direction.
    Link,
    /// A link or a shared-risk link group (RFC 4202).
    Srlg,
    /// A link, or a node other than ingress and egress.
    Node,
}

/// Two disjoint paths that both satisfy the query, the cheaper first, of least total cost where that can be told.
///
/// # Errors
/// [`NoPath::None`] if there is no such pair, [`NoPath::SearchLimit`] if none was found among [`PRIMARIES_MAX`]
/// primaries.
pub fn disjoint_pair<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    disjointness: Disjointness,
    workspace: &mut Workspace,
) -> Result<(FoundPath, FoundPath), NoPath> {
    let solver = Solver::new(graph, links, query, workspace)?;
    let sharing = match disjointness {
        Disjointness::Node => NodeSharing::Split,
        Disjointness::Link | Disjointness::Srlg => NodeSharing::Shared,
    };
    let pair = least_pair(&solver, sharing, &mut workspace.scratch.astar).ok_or(NoPath::None)?;
    let is_good = |pair: &(Vec<u32>, Vec<u32>)| {
        solver.keeps_to(&pair.0)
            && solver.keeps_to(&pair.1)
            && (disjointness != Disjointness::Srlg || !share_a_risk(&graph.csr, &pair.0, &pair.1))
    };
    let (first, second) =
        if is_good(&pair) { pair } else { try_primaries(&solver, disjointness, &mut workspace.scratch)? };
    let first = found(graph, links, query.metric, &first);
    let second = found(graph, links, query.metric, &second);
    Ok(if second.cost < first.cost { (second, first) } else { (first, second) })
}

/// The cheapest path that satisfies the query and is disjoint from `first`.
///
/// # Errors
/// [`NoPath`], as for a path alone.
pub fn disjoint_from<L: Links>(
    graph: &Graph,
    links: &L,
    query: &Query<'_>,
    (first, disjointness): (&[LinkIx], Disjointness),
    workspace: &mut Workspace,
) -> Result<FoundPath, NoPath> {
    let solver = Solver::new(graph, links, query, workspace)?;
    let mut excluded = Marks::default();
    exclude_shared(&graph.csr, &arcs_of(graph, first), disjointness, &mut excluded);
    let filter = Excluding { filter: &solver.filter, excluded: &excluded };
    let mut second = Vec::new();
    solver.solve(&filter, solver.start(), &mut workspace.scratch, &mut second)?;
    Ok(found(graph, links, query.metric, &second))
}

/// Whether two paths between the same ends share nothing that they must not share.
pub fn are_disjoint(graph: &Graph, first: &[LinkIx], second: &[LinkIx], disjointness: Disjointness) -> bool {
    let mut excluded = Marks::default();
    exclude_shared(&graph.csr, &arcs_of(graph, first), disjointness, &mut excluded);
    let is_own = |number: &u32| !excluded.has_arc(*number) && !excluded.has_node(graph.csr.tails[*number as usize]);
    arcs_of(graph, second).iter().all(is_own)
}

fn arcs_of(graph: &Graph, path: &[LinkIx]) -> Vec<u32> {
    path.iter().filter(|link| graph.csr.has_link(**link)).map(|link| link.0).collect()
}

fn share_a_risk(csr: &Csr, first: &[u32], second: &[u32]) -> bool {
    !risks_of(csr, first).is_disjoint(&risks_of(csr, second))
}

fn risks_of(csr: &Csr, path: &[u32]) -> BTreeSet<u32> {
    path.iter().flat_map(|number| csr.srlgs_of(*number)).copied().collect()
}

/// Primaries from the cheapest on, each with the cheapest path that is disjoint from it.
fn try_primaries<L: Links>(
    solver: &Solver<'_, L>,
    disjointness: Disjointness,
    scratch: &mut Scratch,
) -> Result<(Vec<u32>, Vec<u32>), NoPath> {
    let mut ranking = Ranking::new(solver, scratch)?;
    let mut excluded = Marks::default();
    let mut best: Option<(u64, Vec<u32>, Vec<u32>)> = None;
    for _ in 0..PRIMARIES_MAX {
        let primary = match ranking.next(scratch) {
            Ok(primary) => primary,
            Err(limit) => return best.map(|(_, first, second)| (first, second)).ok_or(limit),
        };
        // No more primaries, or none that could be the cheaper path of a cheaper pair.
        let Some(primary) = primary else { return best.map(|(_, a, b)| (a, b)).ok_or(NoPath::None) };
        let cost = solver.cost.of_path(&primary);
        if let Some((least, first, second)) = &best
            && cost.saturating_mul(2) >= *least
        {
            return Ok((first.clone(), second.clone()));
        }
        exclude_shared(&solver.graph.csr, &primary, disjointness, &mut excluded);
        let mut second = Vec::new();
        let filter = Excluding { filter: &solver.filter, excluded: &excluded };
        if solver.solve(&filter, solver.start(), scratch, &mut second).is_ok() {
            let sum = cost + solver.cost.of_path(&second);
            if best.as_ref().is_none_or(|(least, ..)| sum < *least) {
                best = Some((sum, primary, second));
            }
        }
    }
    best.map(|(_, first, second)| (first, second)).ok_or(NoPath::SearchLimit)
}

/// Marks the nodes and links that a path disjoint from `primary` must not use.
fn exclude_shared(csr: &Csr, primary: &[u32], disjointness: Disjointness, excluded: &mut Marks) {
    excluded.begin(csr.node_count(), csr.link_count());
    for &number in primary {
        excluded.mark_arc(number);
        let twin = csr.twins[number as usize];
        if twin != NONE {
            excluded.mark_arc(twin);
        }
    }
    match disjointness {
        Disjointness::Link => {}
        Disjointness::Node => {
            for number in primary.iter().skip(1) {
                excluded.mark_node(csr.tails[*number as usize]);
            }
        }
        Disjointness::Srlg => {
            let risks = risks_of(csr, primary);
            for number in csr.arcs() {
                if csr.srlgs_of(number).iter().any(|risk| risks.contains(risk)) {
                    excluded.mark_arc(number);
                }
            }
        }
    }
}
