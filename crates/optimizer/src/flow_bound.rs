//! What no routing could do better, from the linear program in which allocations are split over as many paths as they like:
//! multi-commodity flow by column generation (Ford and Fulkerson, 1958; Dantzig and Wolfe, 1960).
//!
//! The master problem chooses among the routings found so far; its dual values are prices of links, and the shortest paths
//! under these prices are the next routings. Whatever the prices are, the shortest paths under them give a bound (Lagrange
//! duality). So the solver and its floats only propose prices: the bound is worked out from them in integers, and rounded so
//! that it stays one.

use kernel::State;
use kernel::id::Name;
use kernel::state::Network;

use crate::bound::{BestBound, Bound, BoundSource, FlowObjective};
use crate::flow_program::{FlowProgram, WantedFlow};

/// How often routings are added.
const ROUNDS_MAX: usize = 60;
/// The largest master problem, as links times groups of demands.
const MASTER_MAX: usize = 100_000;
/// Prices are rounded to so many parts of the highest, where that gives a closer bound.
const PARTS: [u128; 3] = [12, 60, 840];

/// A bound in the objective's unit. `has_time` is asked before each master problem.
pub(crate) fn flow_bound(
    state: &State,
    topology: &Name,
    network: &Network,
    objective: FlowObjective,
    wanted: &[WantedFlow],
    has_time: &dyn Fn() -> bool,
) -> Bound {
    let program = FlowProgram::of(state, topology, network, objective, wanted);
    let mut best = BestBound { objective, value: None, source: BoundSource::ShortestPaths };
    let links = program.link_count();
    let mut columns = program.standing_columns(state, topology, network);
    // Without prices a cost and an admission are shortest paths; the others are nothing without prices.
    match objective {
        FlowObjective::Cost | FlowObjective::Admission => {
            columns.extend(program.look_at(&vec![0; links], BoundSource::ShortestPaths, &mut best));
        }
        FlowObjective::Utilisation | FlowObjective::Headroom => {
            columns.extend(program.look_at(&program.even_prices(), BoundSource::LinkPrices, &mut best));
        }
    }
    if objective == FlowObjective::Headroom {
        program.look_at(&program.narrowest_price(), BoundSource::LinkPrices, &mut best);
    }
    columns.extend(program.raise_prices(&mut best, has_time));
    if links.saturating_mul(program.group_count()) > MASTER_MAX {
        return best.bound();
    }
    for _ in 0..ROUNDS_MAX {
        if !has_time() {
            break;
        }
        let Some((prices, optimum)) = program.solve_master(&columns) else { break };
        columns.extend(program.look_at(&prices, BoundSource::LinkPrices, &mut best));
        if best.is_near(optimum) {
            // Best prices are often simple parts of each other, which the solver misses by little.
            for parts in PARTS {
                program.look_at(&in_whole_parts(&prices, parts), BoundSource::LinkPrices, &mut best);
            }
            best.source = BoundSource::LinearProgram;
            break;
        }
    }
    best.bound()
}

/// Every price as the nearest of so many parts of the highest.
fn in_whole_parts(prices: &[u128], parts: u128) -> Vec<u128> {
    let highest = prices.iter().copied().max().unwrap_or(0).max(1);
    let whole = |price: &u128| (price.saturating_mul(parts).saturating_add(highest / 2) / highest) * (highest / parts);
    prices.iter().map(whole).collect()
}
