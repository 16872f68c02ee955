//! Two paths that do not share their fate.
//!
//! Link- and node-disjoint pairs of least total cost are found exactly (Suurballe and Tarjan, 1984; over links, so that
//! parallel ones count; nodes are split where they must not be shared). With risk groups, and with constraints on each
//! whole path, the problem is NP-hard (Hu, 2003): then primaries are tried from the cheapest on, each with the cheapest
//! path disjoint from it, until no later primary can be part of a better pair or [`PRIMARIES_MAX`] were tried. What is
//! returned is always disjoint and always satisfies the constraints.

use super::gate::{Barring, Gate, Guarded, Price};
use super::graph::{Graph, NONE};
use super::solve::{Solver, found};
use super::suurballe;
use super::workspace::{Marks, Tools, Workspace};
use super::yen::Ranking;
use super::{FoundPath, Links, NoPath, Query};

/// How many primaries are tried where the pair cannot be found exactly.
pub const PRIMARIES_MAX: usize = 256;

/// What the two paths must not share.
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
    let (mut tools, excluded) = workspace.tools();
    let gate = Guarded::new(graph, links, query, excluded);
    let pair = suurballe::least_pair(&solver, &gate, disjointness, &mut tools).ok_or(NoPath::None)?;
    let is_good = |pair: &(Vec<u32>, Vec<u32>)| {
        solver.keeps_to(&pair.0)
            && solver.keeps_to(&pair.1)
            && (disjointness != Disjointness::Srlg || !share_a_risk(graph, &pair.0, &pair.1))
    };
    let (first, second) = if is_good(&pair) { pair } else { try_primaries(&solver, &gate, disjointness, &mut tools)? };
    let first = found(graph, links, query.metric, &first);
    let second = found(graph, links, query.metric, &second);
    Ok(if second.cost < first.cost { (second, first) } else { (first, second) })
}

fn share_a_risk(graph: &Graph, first: &[u32], second: &[u32]) -> bool {
    let risks = |path: &[u32]| -> std::collections::BTreeSet<u32> {
        path.iter().flat_map(|number| graph.srlgs_of(*number)).copied().collect()
    };
    !risks(first).is_disjoint(&risks(second))
}

fn try_primaries<L: Links, G: Gate>(
    solver: &Solver<'_, L>,
    gate: &G,
    disjointness: Disjointness,
    tools: &mut Tools<'_>,
) -> Result<(Vec<u32>, Vec<u32>), NoPath> {
    let cost_of = |path: &[u32]| -> u64 {
        path.iter().map(|number| solver.charge.of(*number, &solver.graph.arcs[*number as usize])).sum()
    };
    let mut ranking = Ranking::new(solver, gate, tools)?;
    let mut barred = Marks::default();
    let mut best: Option<(u64, Vec<u32>, Vec<u32>)> = None;
    for _ in 0..PRIMARIES_MAX {
        let primary = match ranking.next(tools) {
            Ok(primary) => primary,
            Err(limit) => return best.map(|(_, first, second)| (first, second)).ok_or(limit),
        };
        // No more primaries, or none that could be the cheaper path of a cheaper pair.
        let Some(primary) = primary else { return best.map(|(_, a, b)| (a, b)).ok_or(NoPath::None) };
        let cost = cost_of(&primary);
        if let Some((least, first, second)) = &best
            && cost.saturating_mul(2) >= *least
        {
            return Ok((first.clone(), second.clone()));
        }
        bar_what_shares(solver.graph, &primary, disjointness, &mut barred);
        let mut second = Vec::new();
        if solver.solve(&Barring { gate, barred: &barred }, solver.start(), tools, &mut second).is_ok() {
            let sum = cost + cost_of(&second);
            if best.as_ref().is_none_or(|(least, ..)| sum < *least) {
                best = Some((sum, primary, second));
            }
        }
    }
    best.map(|(_, first, second)| (first, second)).ok_or(NoPath::SearchLimit)
}

/// Marks what a path disjoint from `primary` must not use.
fn bar_what_shares(graph: &Graph, primary: &[u32], disjointness: Disjointness, barred: &mut Marks) {
    barred.begin(graph.node_count(), graph.link_count());
    for &number in primary {
        barred.mark_arc(number);
        let twin = graph.twins[number as usize];
        if twin != NONE {
            barred.mark_arc(twin);
        }
    }
    match disjointness {
        Disjointness::Link => {}
        Disjointness::Node => {
            for number in primary.iter().skip(1) {
                barred.mark_node(graph.tails[*number as usize]);
            }
        }
        Disjointness::Srlg => {
            let risks: std::collections::BTreeSet<u32> =
                primary.iter().flat_map(|number| graph.srlgs_of(*number)).copied().collect();
            for number in 0..super::graph::word(graph.link_count()) {
                if graph.srlgs_of(number).iter().any(|risk| risks.contains(risk)) {
                    barred.mark_arc(number);
                }
            }
        }
    }
}
