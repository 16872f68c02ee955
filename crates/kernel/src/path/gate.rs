//! Which arcs a search may use, and what they cost. Both are asked only of arcs that the search would take, and are
//! generic so that the plain case compiles to one comparison.

use super::graph::{Arc, Graph};
use super::strides::Stride;
use super::workspace::Marks;
use super::{COST_ONE, Constraints, Links, Metric, Query, WEIGHT_ONE};
use crate::id::LinkIx;

/// May this arc be used?
pub(super) trait Gate {
    fn admits(&self, number: u32, arc: &Arc) -> bool;
}

/// Room for the bandwidth, and nothing else asked.
pub(super) struct Open<'a, L> {
    pub(super) links: &'a L,
    pub(super) bandwidth_bps: u64,
}

impl<L: Links> Gate for Open<'_, L> {
    #[inline]
    fn admits(&self, number: u32, _: &Arc) -> bool {
        if self.bandwidth_bps == 0 {
            return self.links.is_usable(LinkIx(number));
        }
        self.links.room_bps(LinkIx(number)) >= self.bandwidth_bps
    }
}

/// Room, exclusions (RFC 5521) and affinities (RFC 3209 §4.7.4).
pub(super) struct Guarded<'a, L> {
    pub(super) open: Open<'a, L>,
    graph: &'a Graph,
    excluded: &'a Marks,
    include_any: u32,
    exclude_any: u32,
}

impl<'a, L> Guarded<'a, L> {
    pub(super) fn new(graph: &'a Graph, links: &'a L, query: &Query<'_>, excluded: &'a Marks) -> Self {
        let Constraints { include_any, exclude_any, .. } = *query.constraints;
        let open = Open { links, bandwidth_bps: query.bandwidth_bps };
        Self { open, graph, excluded, include_any, exclude_any }
    }
}

impl<L: Links> Gate for Guarded<'_, L> {
    fn admits(&self, number: u32, arc: &Arc) -> bool {
        let group = self.graph.groups[number as usize];
        let has_colour = self.include_any == 0 || group & self.include_any != 0;
        has_colour
            && group & self.exclude_any == 0
            && !self.excluded.has_arc(number)
            && !self.excluded.has_node(arc.head)
            && self.open.admits(number, arc)
    }
}

/// As `gate`, but not through what is marked.
pub(super) struct Barring<'a, G> {
    pub(super) gate: &'a G,
    pub(super) barred: &'a Marks,
}

impl<G: Gate> Gate for Barring<'_, G> {
    fn admits(&self, number: u32, arc: &Arc) -> bool {
        !self.barred.has_arc(number) && !self.barred.has_node(arc.head) && self.gate.admits(number, arc)
    }
}

/// What an arc costs now. Never less than [`Graph::static_cost`] of the metric, never zero.
pub(super) trait Price {
    fn of(&self, number: u32, arc: &Arc) -> u64;
    /// Whether that is exactly the static cost.
    fn is_static(&self, number: u32) -> bool;
    /// What a stride costs at least.
    fn span(&self, stride: &Stride) -> u64;
}

/// [`Metric::Te`].
pub(super) struct Te;

impl Price for Te {
    #[inline]
    fn of(&self, _: u32, arc: &Arc) -> u64 {
        u64::from(arc.te) * COST_ONE + 1
    }

    #[inline]
    fn is_static(&self, _: u32) -> bool {
        true
    }

    #[inline]
    fn span(&self, stride: &Stride) -> u64 {
        stride.span
    }
}

/// [`Metric::Congestion`].
pub(super) struct Congestion<'a, L>(pub(super) &'a L);

impl<L: Links> Price for Congestion<'_, L> {
    #[inline]
    fn of(&self, number: u32, arc: &Arc) -> u64 {
        let weight = self.0.weight(LinkIx(number)).clamp(WEIGHT_ONE, WEIGHT_MAX);
        u64::from(arc.te) * u64::from(weight) + 1
    }

    #[inline]
    fn is_static(&self, number: u32) -> bool {
        self.0.weight(LinkIx(number)) <= WEIGHT_ONE
    }

    #[inline]
    fn span(&self, stride: &Stride) -> u64 {
        stride.span
    }
}

/// The heaviest a link can count: 2^24 * 2^24 an arc and 2^15 arcs a path stay below 2^63.
pub(super) const WEIGHT_MAX: u32 = 1 << 24;

/// Any metric, chosen when it runs.
pub(super) struct Charge<'a, L> {
    pub(super) graph: &'a Graph,
    pub(super) links: &'a L,
    pub(super) metric: Metric,
}

impl<L: Links> Price for Charge<'_, L> {
    fn of(&self, number: u32, arc: &Arc) -> u64 {
        match self.metric {
            Metric::Congestion => Congestion(self.links).of(number, arc),
            metric => self.graph.static_cost(metric, number),
        }
    }

    fn is_static(&self, number: u32) -> bool {
        self.metric != Metric::Congestion || Congestion(self.links).is_static(number)
    }

    fn span(&self, stride: &Stride) -> u64 {
        match self.metric {
            Metric::Congestion | Metric::Te => stride.span,
            Metric::Hops | Metric::Delay => 0,
        }
    }
}
