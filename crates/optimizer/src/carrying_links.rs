//! The links that carry anything, and shortest paths over them under prices of links: what bounds are made of.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use kernel::State;
use kernel::allocation::Allocation;
use kernel::bam::Slot;
use kernel::id::{LinkIx, Name, NodeIx};
use kernel::state::Network;
use kernel::topology::LinkState;
use kernel::units::Bandwidth;

/// What a class books for so much is its share of a link's price, in parts of this.
pub(crate) const PRICE_ONE: u64 = 1 << 12;

/// Demands of one class from one node, by egress in bit/s.
pub(crate) type Tree = BTreeMap<NodeIx, u64>;

/// The allocations of a topology that are in the book of now, the oldest first.
pub(crate) fn carried<'a>(state: &'a State, topology: &'a Name) -> impl Iterator<Item = &'a Arc<Allocation>> {
    state.allocations_after(None).filter(move |one| one.demand.topology == *topology && !one.is_scheduled())
}

/// What is carried, by the node where it enters and the column of the books.
pub(crate) fn trees(state: &State, topology: &Name, network: &Network) -> BTreeMap<(NodeIx, Slot), Tree> {
    let mut trees: BTreeMap<(NodeIx, Slot), Tree> = BTreeMap::new();
    for allocation in carried(state, topology) {
        let Some(slot) = network.slot_of(allocation) else { continue };
        let demand =
            trees.entry((allocation.demand.ingress, slot)).or_default().entry(allocation.demand.egress).or_default();
        *demand = demand.saturating_add(allocation.demand.bandwidth.as_bps());
    }
    trees
}

/// The links that carry anything, by the nodes that they lead from.
pub(crate) struct CarryingLinks {
    pub(crate) arcs: Vec<CarryingLink>,
    out: Vec<Vec<usize>>,
}

pub(crate) struct CarryingLink {
    pub(crate) link: LinkIx,
    pub(crate) from: NodeIx,
    pub(crate) to: NodeIx,
    pub(crate) reservable_bps: u64,
    /// Of all classes.
    pub(crate) booked_bps: u64,
    pub(crate) te_metric: u32,
    /// By slot: what is booked for a reservation of [`PRICE_ONE`] bit/s, rounded down.
    prices: BTreeMap<Slot, u64>,
}

impl CarryingLink {
    /// What is booked for a reservation of [`PRICE_ONE`] bit/s, rounded down.
    pub(crate) fn price(&self, slot: Slot) -> u64 {
        self.prices.get(&slot).copied().unwrap_or(0)
    }
}

/// Shortest paths from one node.
pub(crate) struct ShortestPaths<'a> {
    links: &'a CarryingLinks,
    ingress: NodeIx,
    distance: Vec<u128>,
    into: Vec<usize>,
}

impl CarryingLinks {
    /// All that may be used, and those that are in use although nothing more may be reserved on them.
    pub(crate) fn of(network: &Network) -> Self {
        let (topology, ledger) = (network.topology(), network.ledger());
        let mut links = Self { arcs: vec![], out: vec![vec![]; topology.node_count()] };
        for (ix, link) in topology.links() {
            let booked_bps = ledger.booked(ix).iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps));
            if link.state == LinkState::Down || (link.max_reservable.is_zero() && booked_bps == 0) {
                continue;
            }
            if let Some(out) = links.out.get_mut(link.from.at()) {
                out.push(links.arcs.len());
            }
            links.arcs.push(CarryingLink {
                link: ix,
                from: link.from,
                to: link.to,
                reservable_bps: link.max_reservable.as_bps(),
                booked_bps,
                te_metric: link.te_metric,
                prices: ledger.slots().iter().map(|slot| (slot, price(network, ix, slot))).collect(),
            });
        }
        links
    }

    /// The shortest paths from a node, where the link at a place in `arcs` costs so much.
    pub(crate) fn shortest_paths(
        &self,
        ingress: NodeIx,
        cost: impl Fn(usize, &CarryingLink) -> u128,
    ) -> ShortestPaths<'_> {
        let mut distance = vec![u128::MAX; self.out.len()];
        let mut into = vec![usize::MAX; self.out.len()];
        let mut heap = BinaryHeap::from([Reverse((0_u128, ingress.at()))]);
        if let Some(start) = distance.get_mut(ingress.at()) {
            *start = 0;
        }
        while let Some(Reverse((so_far, node))) = heap.pop() {
            if distance.get(node).is_none_or(|least| so_far > *least) {
                continue;
            }
            for at in self.out.get(node).into_iter().flatten() {
                let Some(arc) = self.arcs.get(*at) else { continue };
                let through = so_far.saturating_add(cost(*at, arc));
                let (Some(least), Some(into)) = (distance.get_mut(arc.to.at()), into.get_mut(arc.to.at())) else {
                    continue;
                };
                if through < *least {
                    (*least, *into) = (through, *at);
                    heap.push(Reverse((through, arc.to.at())));
                }
            }
        }
        ShortestPaths { links: self, ingress, distance, into }
    }
}

impl<'a> ShortestPaths<'a> {
    /// What the shortest path costs; `None`: there is none.
    pub(crate) fn cost_to(&self, egress: NodeIx) -> Option<u128> {
        self.distance.get(egress.at()).copied().filter(|far| *far != u128::MAX)
    }

    /// The links of the shortest path with their places in `arcs`, from the egress on.
    pub(crate) fn links_to(&self, egress: NodeIx) -> impl Iterator<Item = (usize, &'a CarryingLink)> {
        let mut node = egress;
        std::iter::from_fn(move || {
            let at = self.into.get(node.at()).copied().filter(|_| node != self.ingress)?;
            let arc = self.links.arcs.get(at)?;
            node = arc.from;
            Some((at, arc))
        })
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
