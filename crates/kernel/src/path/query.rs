//! The terms of a path computation: what is asked, about which links, and what is answered.

use std::collections::BTreeSet;

use crate::id::{LinkIx, NodeIx};
use crate::units::Micros;

/// The cost of one unit of a metric. Every link costs one more than its metric says, so that of two paths of equal metric
/// the one with fewer hops is cheaper.
pub const COST_ONE: u64 = 1_024;
/// [`Links::weight`] of an empty link.
pub const WEIGHT_ONE: u32 = 1_024;
/// The cost of one unit of weight under [`Metric::Congestion`]: more than the TE metrics of a whole path add up to, so that
/// they only choose among paths of equal weight.
pub(super) const WEIGHT_COST: u64 = 1 << 25;

/// The quantity that a path minimises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Metric {
    /// The link's weight, which grows with its load (Awerbuch, Azar and Plotkin, 1993); of paths of equal weight the one
    /// with the least TE metric. On an empty network these are the fewest hops.
    #[default]
    Congestion,
    /// The TE metric times the link's weight: on an empty network this is [`Metric::Te`].
    CongestionTe,
    /// The TE metric (RFC 3630 §2.5.5).
    Te,
    /// The number of links.
    Hops,
    /// The sum of the links' delays (RFC 8570 §4.1).
    Delay,
}

impl Metric {
    /// A cost in 1/1024 of the metric's unit; the unit of [`Metric::Congestion`] is an empty link.
    pub fn in_1024ths(self, cost: u64) -> u64 {
        if self == Self::Congestion { cost / WEIGHT_COST } else { cost }
    }

    /// Whether a link's load makes it dearer.
    pub fn grows_with_load(self) -> bool {
        matches!(self, Self::Congestion | Self::CongestionTe)
    }
}

/// A subobject of an explicit route (RFC 3209 §4.3), an include route (RFC 7896) or an exclude route (RFC 5521).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hop {
    /// A node, by whichever link.
    Node(NodeIx),
    /// One directed link.
    Link(LinkIx),
}

/// One hop of an explicit route (RFC 3209 §4.3.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RouteHop {
    /// The node or link to pass.
    pub hop: Hop,
    /// Whether it must come right after the hop before it (the ingress, for the first): the node at which the path
    /// already is or one link away, or the very next link.
    pub strict: bool,
}

/// Constraints of a path beyond bandwidth.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Constraints {
    /// The metric to minimise; `None` leaves it to the topology's policy. Not read by the searches: [`Query::metric`] is.
    pub metric: Option<Metric>,
    /// The most links a path may have.
    pub max_hops: Option<u32>,
    /// The most delay a path may have.
    pub max_delay: Option<Micros>,
    /// Hops to pass in this order, with anything between them (RFC 7896).
    pub include: Vec<Hop>,
    /// Hops not to pass (RFC 5521). An excluded ingress or egress leaves no path.
    pub exclude: Vec<Hop>,
    /// Every link has one of these colours (RFC 3209 §4.7.4); 0 asks nothing.
    pub include_any: u32,
    /// No link has any of these colours (RFC 3209 §4.7.4).
    pub exclude_any: u32,
    /// The explicit route (RFC 3209 §4.3). After its last hop the way to the egress is free.
    pub route: Vec<RouteHop>,
}

/// The state of the links, as a search reads it at the moment a link is considered.
pub trait Links {
    /// How much more bandwidth the requester may have there; 0 when the link is not usable.
    fn room_bps(&self, link: LinkIx) -> u64;
    /// How much dearer than an empty one the link is under [`Metric::Congestion`] and [`Metric::CongestionTe`], in
    /// 1/[`WEIGHT_ONE`]: never less than [`WEIGHT_ONE`]; counted as at most 2^22.
    fn weight(&self, link: LinkIx) -> u32;
    /// Whether the link is up.
    fn is_usable(&self, link: LinkIx) -> bool;
}

impl<L: Links> Links for &L {
    fn room_bps(&self, link: LinkIx) -> u64 {
        (**self).room_bps(link)
    }

    fn weight(&self, link: LinkIx) -> u32 {
        (**self).weight(link)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        (**self).is_usable(link)
    }
}

/// Every link, whatever its state, with unlimited room and nothing reserved.
pub struct Everything;

impl Links for Everything {
    fn room_bps(&self, _: LinkIx) -> u64 {
        u64::MAX
    }

    fn weight(&self, _: LinkIx) -> u32 {
        WEIGHT_ONE
    }

    fn is_usable(&self, _: LinkIx) -> bool {
        true
    }
}

/// What is free beside a demand that is to take a path.
#[derive(Clone, Copy, Debug)]
pub struct BesideDemand<'a, L> {
    /// The links without the demand.
    pub free: L,
    /// The path that the demand is to take.
    pub path: &'a [LinkIx],
    /// What it needs on every link of it, in bit/s.
    pub needed_bps: u64,
}

impl<L: Links> Links for BesideDemand<'_, L> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        let free = self.free.room_bps(link);
        if self.path.contains(&link) { free.saturating_sub(self.needed_bps) } else { free }
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.free.weight(link)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.free.is_usable(link)
    }
}

/// Links without those that a path passes by where it can.
#[derive(Clone, Copy, Debug)]
pub struct PassingBy<'a, L> {
    /// All links.
    pub links: L,
    /// Those that are passed by.
    pub avoided: &'a BTreeSet<LinkIx>,
}

impl<L: Links> Links for PassingBy<'_, L> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        if self.avoided.contains(&link) { 0 } else { self.links.room_bps(link) }
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.links.weight(link)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        !self.avoided.contains(&link) && self.links.is_usable(link)
    }
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The first node of the path.
    pub ingress: NodeIx,
    /// The last node of the path, other than the ingress.
    pub egress: NodeIx,
    /// The room that every link of the path must have. Zero asks for usable links only.
    pub bandwidth_bps: u64,
    /// The quantity to minimise.
    pub metric: Metric,
    /// The constraints beyond bandwidth.
    pub constraints: &'a Constraints,
}

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundPath {
    /// The links from ingress to egress. A path passes no node twice.
    pub links: Vec<LinkIx>,
    /// The sum of what was minimised, on the metric's own scale: see [`Metric::in_1024ths`].
    pub cost: u64,
    /// The sum of the delays.
    pub delay: Micros,
}

/// There is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoPath {
    /// No path satisfies the query.
    #[error("no path satisfies the constraints")]
    None,
    /// The bounded search gave up: there may be one.
    #[error("the search for a path reached its limit")]
    SearchLimit,
}
