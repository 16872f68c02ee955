//! What a plan is to make better, as figures of a network.

use kernel::State;
use kernel::allocation::Allocation;
use kernel::id::{LinkIx, Name};
use kernel::state::Network;
use kernel::topology::LinkState;

use crate::carrying_links::carried;
use crate::worst_loads::utilisation_ppm;

/// What a plan is to make better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Objective {
    /// The maximum utilisation of a link is to become lower, in parts per million of its maximum reservable bandwidth.
    MaxUtilisation,
    /// The sum over the allocations of bandwidth in bit/s times the TE metrics of the path is to become lower.
    TotalCost,
    /// Of requests as much bandwidth as can be is to be admitted, in bit/s, with nothing displaced.
    AdmitAll,
    /// The smallest free bandwidth of a link in service is to become larger, in bit/s; then the next smallest, and so on.
    MaxMin,
}

/// A link's booked and reservable bandwidth.
#[derive(Clone, Copy)]
pub(crate) struct BookedLink {
    pub(crate) booked_bps: u64,
    pub(crate) reservable_bps: u64,
}

impl BookedLink {
    pub(crate) fn of(network: &Network, link: LinkIx) -> Self {
        let booked = network.ledger().booked(link).iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps));
        let reservable_bps = network.topology().link(link).map_or(0, |link| link.max_reservable.as_bps());
        Self { booked_bps: booked, reservable_bps }
    }

    pub(crate) fn all(network: &Network) -> Vec<Self> {
        network.topology().links().map(|(link, _)| Self::of(network, link)).collect()
    }

    pub(crate) fn ppm(self) -> u64 {
        utilisation_ppm(self.booked_bps, self.reservable_bps)
    }

    pub(crate) fn free_bps(self) -> u64 {
        self.reservable_bps.saturating_sub(self.booked_bps)
    }
}

/// The maximum utilisation of a link, in parts per million.
pub(crate) fn max_ppm(network: &Network) -> u64 {
    BookedLink::all(network).into_iter().map(BookedLink::ppm).max().unwrap_or(0)
}

/// The sum of bandwidth in bit/s times TE metric over all that is carried.
pub(crate) fn total_cost(state: &State, topology: &Name, network: &Network) -> u128 {
    let cost = |one: &Allocation| path_cost(network, &one.path) * u128::from(one.demand.bandwidth.as_bps());
    carried(state, topology).fold(0_u128, |sum, one| sum.saturating_add(cost(one)))
}

/// The sum of the TE metrics.
pub(crate) fn path_cost(network: &Network, path: &[LinkIx]) -> u128 {
    let metric = |link: &LinkIx| network.topology().link(*link).map_or(0, |link| u128::from(link.te_metric));
    path.iter().map(metric).sum()
}

/// The free bandwidths of the links in service, in bit/s, the smallest first.
pub(crate) fn headrooms(network: &Network) -> Vec<u64> {
    let links = network.topology().links();
    let links = links.filter(|(_, link)| link.state == LinkState::Up && !link.max_reservable.is_zero());
    let mut free: Vec<u64> = links.map(|(ix, _)| BookedLink::of(network, ix).free_bps()).collect();
    free.sort_unstable();
    free
}

/// A figure of 64 bits, cut to the largest.
pub(crate) fn narrowed(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl Objective {
    /// Whether a network is better by this objective than it was before. What [`Objective::AdmitAll`] is about is not in the
    /// network: whatever admits is better.
    pub fn is_improved(self, topology: &Name, before: &State, after: &State) -> bool {
        let (Some(old), Some(new)) = (before.network(topology.as_str()), after.network(topology.as_str())) else {
            return false;
        };
        match self {
            Self::MaxUtilisation => max_ppm(new) < max_ppm(old),
            Self::TotalCost => total_cost(after, topology, new) < total_cost(before, topology, old),
            Self::AdmitAll => true,
            Self::MaxMin => headrooms(new) > headrooms(old),
        }
    }
}
