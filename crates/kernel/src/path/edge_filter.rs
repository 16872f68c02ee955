//! Which arcs a search may use. Generic, so that the plain case compiles to one comparison, and asked only of arcs that
//! the search would take.

use super::csr::Csr;
use super::marks::Marks;
use super::query::{Hop, Links, Query};
use crate::id::LinkIx;

/// May arc `number`, which leads to node `head`, be used?
pub(super) trait EdgeFilter {
    fn admits(&self, number: u32, head: u32) -> bool;
}

/// Room for the bandwidth, and no other constraint.
pub(super) struct CapacityOnly<'a, L> {
    pub(super) links: &'a L,
    pub(super) bandwidth_bps: u64,
}

impl<L: Links> EdgeFilter for CapacityOnly<'_, L> {
    #[inline]
    fn admits(&self, number: u32, _: u32) -> bool {
        if self.bandwidth_bps == 0 {
            return self.links.is_usable(LinkIx(number));
        }
        self.links.room_bps(LinkIx(number)) >= self.bandwidth_bps
    }
}

/// Room, exclusions (RFC 5521) and affinities (RFC 3209 §4.7.4).
pub(super) struct Constrained<'a, L> {
    capacity: CapacityOnly<'a, L>,
    csr: &'a Csr,
    excluded: Marks,
    include_any: u32,
    exclude_any: u32,
}

impl<'a, L> Constrained<'a, L> {
    /// Hops that are not of `graph` exclude nothing.
    pub(super) fn new(csr: &'a Csr, links: &'a L, query: &Query<'_>) -> Self {
        let mut excluded = Marks::default();
        excluded.begin(csr.node_count(), csr.link_count());
        for hop in &query.constraints.exclude {
            match *hop {
                Hop::Node(node) if csr.has_node(node) => excluded.mark_node(node.0),
                Hop::Link(link) if csr.has_link(link) => excluded.mark_arc(link.0),
                Hop::Node(_) | Hop::Link(_) => {}
            }
        }
        Self {
            capacity: CapacityOnly { links, bandwidth_bps: query.bandwidth_bps },
            csr,
            excluded,
            include_any: query.constraints.include_any,
            exclude_any: query.constraints.exclude_any,
        }
    }

    pub(super) fn excludes_node(&self, node: u32) -> bool {
        self.excluded.has_node(node)
    }
}

impl<L: Links> EdgeFilter for Constrained<'_, L> {
    fn admits(&self, number: u32, head: u32) -> bool {
        let group = self.csr.groups[number as usize];
        let has_colour = self.include_any == 0 || group & self.include_any != 0;
        has_colour
            && group & self.exclude_any == 0
            && !self.excluded.has_arc(number)
            && !self.excluded.has_node(head)
            && self.capacity.admits(number, head)
    }
}

/// As `filter`, but not through marked nodes and arcs.
pub(super) struct Excluding<'a, F> {
    pub(super) filter: &'a F,
    pub(super) excluded: &'a Marks,
}

impl<F: EdgeFilter> EdgeFilter for Excluding<'_, F> {
    fn admits(&self, number: u32, head: u32) -> bool {
        !self.excluded.has_arc(number) && !self.excluded.has_node(head) && self.filter.admits(number, head)
    }
}
