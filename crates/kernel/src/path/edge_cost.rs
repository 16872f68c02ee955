//! The cost of an arc in the present state of the network, on the metric's own scale.

use super::csr::Csr;
use super::query::{Links, Metric, WEIGHT_COST, WEIGHT_ONE};
use crate::id::LinkIx;

/// The heaviest a link can count: 2^22 * 2^25 an arc and 2^15 arcs a path stay below 2^63.
const WEIGHT_MAX: u32 = 1 << 22;

/// The cost of an arc now: never less than [`Csr::static_cost`] of the metric, never zero.
pub(super) trait EdgeCost {
    fn of(&self, number: u32) -> u64;
    /// Whether that is exactly the static cost.
    fn is_static(&self, number: u32) -> bool;
}

/// [`Metric::Te`].
pub(super) struct TeCost<'a>(pub(super) &'a Csr);

impl EdgeCost for TeCost<'_> {
    #[inline]
    fn of(&self, number: u32) -> u64 {
        self.0.static_cost(Metric::Te, number)
    }

    #[inline]
    fn is_static(&self, _: u32) -> bool {
        true
    }
}

/// [`Metric::Congestion`].
pub(super) struct CongestionCost<'a, L> {
    pub(super) csr: &'a Csr,
    pub(super) links: &'a L,
}

impl<L: Links> EdgeCost for CongestionCost<'_, L> {
    #[inline]
    fn of(&self, number: u32) -> u64 {
        u64::from(weight(self.links, number)) * WEIGHT_COST + self.csr.tie(number)
    }

    #[inline]
    fn is_static(&self, number: u32) -> bool {
        self.links.weight(LinkIx(number)) <= WEIGHT_ONE
    }
}

#[inline]
fn weight<L: Links>(links: &L, number: u32) -> u32 {
    links.weight(LinkIx(number)).clamp(WEIGHT_ONE, WEIGHT_MAX)
}

/// Any metric, chosen at run time.
pub(super) struct DynamicCost<'a, L> {
    pub(super) csr: &'a Csr,
    pub(super) links: &'a L,
    pub(super) metric: Metric,
}

impl<L: Links> DynamicCost<'_, L> {
    /// The cost of a whole path.
    pub(super) fn of_path(&self, path: &[u32]) -> u64 {
        path.iter().map(|number| self.of(*number)).sum()
    }
}

impl<L: Links> EdgeCost for DynamicCost<'_, L> {
    fn of(&self, number: u32) -> u64 {
        let Self { csr, links, metric } = *self;
        match metric {
            Metric::Congestion => CongestionCost { csr, links }.of(number),
            Metric::CongestionTe => csr.te_metric(number) * u64::from(weight(links, number)) + 1,
            metric => csr.static_cost(metric, number),
        }
    }

    fn is_static(&self, number: u32) -> bool {
        let Self { csr, links, metric } = *self;
        !metric.grows_with_load() || CongestionCost { csr, links }.is_static(number)
    }
}
