//! The least maximum utilisation that any routing could have, split over as many paths as it likes: a certified lower bound.
//!
//! For any weights of links, all allocations together weigh at least as much as over the shortest paths of those weights, and
//! no more than the capacities times the maximum utilisation (linear programming duality; Shahrokhi and Matula, 1990). So
//! every weighting gives a bound; multiplicative updates (Garg and Könemann, 1998; Arora, Hazan and Kale, 2012) look for a
//! good one. Integers throughout: what is rounded is rounded so that the bound stays one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use kernel::State;
use kernel::allocation::Allocation;
use kernel::bam::Slot;
use kernel::id::{LinkIx, Name, NodeIx};
use kernel::state::Network;
use kernel::topology::LinkState;
use kernel::units::{Bandwidth, PPM};

/// How many weightings are tried.
const ROUNDS_MAX: usize = 300;
/// The heaviest a link is.
const WEIGHT_MAX: u64 = 1 << 36;
/// What a class books for so much is the price of its bandwidth, in parts of this.
const PRICE_ONE: u64 = 1 << 12;

/// Demands of one class from one node, by egress in bit/s.
type Tree = BTreeMap<NodeIx, u64>;

/// In parts per million, rounded down. `has_time` is asked before each weighting.
pub(crate) fn utilisation_bound_ppm(
    state: &State,
    topology: &Name,
    network: &Network,
    has_time: &dyn Fn() -> bool,
) -> u64 {
    let mut trees: BTreeMap<(NodeIx, Slot), Tree> = BTreeMap::new();
    let is_carried = |one: &&Arc<Allocation>| one.demand.topology == *topology && !one.is_scheduled();
    for allocation in state.allocations_after(None).filter(is_carried) {
        let Some(slot) = network.slot_of(allocation) else { continue };
        let demand =
            trees.entry((allocation.demand.ingress, slot)).or_default().entry(allocation.demand.egress).or_default();
        *demand = demand.saturating_add(allocation.demand.bandwidth.as_bps());
    }
    let arcs = CarryingLinks::of(network);
    let largest = arcs.arcs.iter().map(|arc| arc.capacity_bps).max().unwrap_or(1);
    // At first a link weighs the less, the more it carries.
    let share = |arc: &CarryingLink| {
        u64::try_from(u128::from(largest) * 1_048_576 / u128::from(arc.capacity_bps)).unwrap_or(WEIGHT_MAX)
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
            weight = weight.saturating_add(arcs.route(*ingress, *slot, tree, &weights, &mut loads));
        }
        let capacity =
            arcs.arcs.iter().zip(&weights).map(|(arc, weight)| u128::from(arc.capacity_bps) * u128::from(*weight));
        let capacity = capacity.fold(0_u128, u128::saturating_add).max(1);
        // The prices are parts of PRICE_ONE.
        let bound = (weight / u128::from(PRICE_ONE)).saturating_mul(u128::from(PPM)) / capacity;
        best = best.max(u64::try_from(bound).unwrap_or(u64::MAX));
        // Smaller steps come nearer, once large ones have come near.
        raise(&mut weights, &arcs, &loads, 4 << (2 * (round * 4 / ROUNDS_MAX)));
    }
    best
}

/// What the shortest paths load most grows heavier, by one part in `step_part`.
fn raise(weights: &mut [u64], arcs: &CarryingLinks, loads: &[u128], step_part: u128) {
    let ratio =
        |(arc, load): (&CarryingLink, &u128)| load.saturating_mul(u128::from(PPM)) / u128::from(arc.capacity_bps);
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

/// The links that carry anything, by the nodes that they lead from.
struct CarryingLinks {
    arcs: Vec<CarryingLink>,
    out: Vec<Vec<usize>>,
}

struct CarryingLink {
    from: NodeIx,
    to: NodeIx,
    capacity_bps: u64,
    /// By slot: what is booked for a reservation of PRICE_ONE bit/s, rounded down.
    prices: BTreeMap<Slot, u64>,
}

impl CarryingLinks {
    fn of(network: &Network) -> Self {
        let (topology, ledger) = (network.topology(), network.ledger());
        let mut arcs = Self { arcs: vec![], out: vec![vec![]; topology.node_count()] };
        for (ix, link) in topology.links() {
            if link.state == LinkState::Down || link.max_reservable.is_zero() {
                continue;
            }
            let price = |slot| (slot, price(network, ix, slot));
            let prices = ledger.slots().iter().map(price).collect();
            if let Some(out) = arcs.out.get_mut(link.from.at()) {
                out.push(arcs.arcs.len());
            }
            let capacity_bps = link.max_reservable.as_bps();
            arcs.arcs.push(CarryingLink { from: link.from, to: link.to, capacity_bps, prices });
        }
        arcs
    }

    /// Loads the shortest paths to all egresses; what they weigh together, at least.
    fn route(&self, ingress: NodeIx, slot: Slot, tree: &Tree, weights: &[u64], loads: &mut [u128]) -> u128 {
        let mut distance = vec![u64::MAX; self.out.len()];
        let mut into = vec![usize::MAX; self.out.len()];
        let mut heap = BinaryHeap::from([Reverse((0_u64, ingress.at()))]);
        if let Some(start) = distance.get_mut(ingress.at()) {
            *start = 0;
        }
        while let Some(Reverse((so_far, node))) = heap.pop() {
            if distance.get(node).is_none_or(|least| so_far > *least) {
                continue;
            }
            for at in self.out.get(node).into_iter().flatten() {
                let (Some(arc), Some(weight)) = (self.arcs.get(*at), weights.get(*at)) else { continue };
                let price = arc.prices.get(&slot).copied().unwrap_or(0);
                let through = so_far.saturating_add(weight.saturating_mul(price));
                let (Some(least), Some(into)) = (distance.get_mut(arc.to.at()), into.get_mut(arc.to.at())) else {
                    continue;
                };
                if through < *least {
                    (*least, *into) = (through, *at);
                    heap.push(Reverse((through, arc.to.at())));
                }
            }
        }
        let mut weight = 0_u128;
        for (egress, bps) in tree {
            let Some(far) = distance.get(egress.at()).filter(|far| **far != u64::MAX) else { continue };
            weight = weight.saturating_add(u128::from(*far).saturating_mul(u128::from(*bps)));
            let mut node = *egress;
            while node != ingress {
                let Some(at) = into.get(node.at()).copied().filter(|at| *at != usize::MAX) else { break };
                let (Some(load), Some(arc)) = (loads.get_mut(at), self.arcs.get(at)) else { break };
                let price = u128::from(arc.prices.get(&slot).copied().unwrap_or(0));
                *load = load.saturating_add(u128::from(*bps).saturating_mul(price) / u128::from(PRICE_ONE));
                node = arc.from;
            }
        }
        weight
    }
}

/// What is booked is rounded up for each allocation, and so is this: less by one it is never above the truth.
fn price(network: &Network, link: LinkIx, slot: Slot) -> u64 {
    let ledger = network.ledger();
    let booked = |bps| {
        let bandwidth = Bandwidth::saturating_from_bps(bps);
        ledger.bounds(link).map_or(0, |bounds| bounds.booked(ledger.slots(), slot, bandwidth))
    };
    // What is booked is rounded up: it is exact where a figure so large that no overbooking is lost in it is.
    let large = PRICE_ONE << 32;
    if booked(large) == large { PRICE_ONE } else { booked(PRICE_ONE).saturating_sub(1) }
}
