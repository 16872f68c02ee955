//! The least maximum utilisation that any routing could have, split over as many paths as it likes: a certified lower bound.
//!
//! For any weights of links, all allocations together weigh at least as much as over the shortest paths of those weights, and
//! no more than the capacities times the maximum utilisation (linear programming duality; Shahrokhi and Matula, 1990). So
//! every weighting gives a bound; multiplicative updates (Garg and Könemann, 1998; Arora, Hazan and Kale, 2012) look for a
//! good one. Integers throughout: what is rounded is rounded so that the bound stays one.

use kernel::State;
use kernel::bam::Slot;
use kernel::id::{Name, NodeIx};
use kernel::state::Network;
use kernel::units::PPM;

use crate::carrying_links::{CarryingLink, CarryingLinks, PRICE_ONE, Tree, trees};

/// How many weightings are tried.
const ROUNDS_MAX: usize = 300;
/// The heaviest a link is.
const WEIGHT_MAX: u64 = 1 << 36;

/// In parts per million, rounded down. `has_time` is asked before each weighting.
pub(crate) fn utilisation_bound_ppm(
    state: &State,
    topology: &Name,
    network: &Network,
    has_time: &dyn Fn() -> bool,
) -> u64 {
    let trees = trees(state, topology, network);
    let mut arcs = CarryingLinks::of(network);
    // As utilisations are counted.
    for arc in &mut arcs.arcs {
        arc.reservable_bps = arc.reservable_bps.max(1);
    }
    let largest = arcs.arcs.iter().map(|arc| arc.reservable_bps).max().unwrap_or(1);
    // At first a link weighs the less, the more it carries.
    let share = |arc: &CarryingLink| {
        u64::try_from(u128::from(largest) * 1_048_576 / u128::from(arc.reservable_bps)).unwrap_or(WEIGHT_MAX)
    };
    let mut weights: Vec<u64> = arcs.arcs.iter().map(|arc| share(arc).clamp(1, WEIGHT_MAX)).collect();
    let mut best = 0;
    for round in 0..ROUNDS_MAX {
        if !has_time() {
            break;
        }
        let mut loads = vec![0_u128; weights.len()];
        let mut weight = 0_u128;
        for ((ingress, slot), tree) in &trees {
            weight = weight.saturating_add(route(&arcs, *ingress, *slot, tree, &weights, &mut loads));
        }
        let capacity =
            arcs.arcs.iter().zip(&weights).map(|(arc, weight)| u128::from(arc.reservable_bps) * u128::from(*weight));
        let capacity = capacity.fold(0_u128, u128::saturating_add).max(1);
        // The prices are parts of PRICE_ONE.
        let bound = (weight / u128::from(PRICE_ONE)).saturating_mul(u128::from(PPM)) / capacity;
        best = best.max(u64::try_from(bound).unwrap_or(u64::MAX));
        // Smaller steps come nearer, once large ones have come near.
        raise(&mut weights, &arcs, &loads, 4 << (2 * (round * 4 / ROUNDS_MAX)));
    }
    best
}

/// Loads the shortest paths to all egresses; what they weigh together, at least.
fn route(arcs: &CarryingLinks, ingress: NodeIx, slot: Slot, tree: &Tree, weights: &[u64], loads: &mut [u128]) -> u128 {
    let cost = |at: usize, arc: &CarryingLink| {
        u128::from(weights.get(at).copied().unwrap_or(0)).saturating_mul(u128::from(arc.price(slot)))
    };
    let paths = arcs.shortest_paths(ingress, cost);
    let mut weight = 0_u128;
    for (egress, bps) in tree {
        let Some(far) = paths.cost_to(*egress) else { continue };
        weight = weight.saturating_add(far.saturating_mul(u128::from(*bps)));
        for (at, arc) in paths.links_to(*egress) {
            let Some(load) = loads.get_mut(at) else { continue };
            let booked = u128::from(*bps).saturating_mul(u128::from(arc.price(slot)));
            *load = load.saturating_add(booked / u128::from(PRICE_ONE));
        }
    }
    weight
}

/// What the shortest paths load most grows heavier, by one part in `step_part`.
fn raise(weights: &mut [u64], arcs: &CarryingLinks, loads: &[u128], step_part: u128) {
    let ratio =
        |(arc, load): (&CarryingLink, &u128)| load.saturating_mul(u128::from(PPM)) / u128::from(arc.reservable_bps);
    let ratios: Vec<u128> = arcs.arcs.iter().zip(loads).map(ratio).collect();
    let most = ratios.iter().copied().max().unwrap_or(0).max(1);
    for (weight, ratio) in weights.iter_mut().zip(ratios) {
        let step = u128::from(*weight) * ratio / most / step_part;
        *weight =
            weight.saturating_add(u64::try_from(step).unwrap_or(u64::MAX)).saturating_add(u64::from(ratio == most));
    }
    while weights.iter().any(|weight| *weight > WEIGHT_MAX) {
        for weight in weights.iter_mut() {
            *weight = (*weight / 2).max(1);
        }
    }
}
