//! Constrained path computation (RFC 3630, RFC 5305, RFC 3209): the shortest path, the k shortest, disjoint pairs, and
//! why there is none, over a topology compiled once.
//!
//! A path never passes a node twice. Costs are integers on one scale for every metric, so equal inputs give equal paths
//! everywhere. What depends on reservations is asked through [`Links`] at the moment a link is considered; what does not
//! is compiled into [`Graph`].

use super::id::{LinkIx, NodeIx};
use super::units::Micros;

mod blocks;
mod bounded;
mod disjoint;
mod explain;
mod gate;
mod graph;
mod heap;
mod itinerary;
mod meet;
mod rows;
mod search;
mod solve;
mod strides;
mod suurballe;
#[cfg(test)]
mod tests;
mod workspace;
mod yen;

pub use bounded::{LABELS_MAX, STATES_MAX};
pub use disjoint::{Disjointness, PRIMARIES_MAX, disjoint_pair};
pub use explain::{Reason, explain};
pub use graph::{Graph, TABLE_NODES_MAX};
pub use solve::shortest;
pub use workspace::Workspace;
pub use yen::{K_MAX, k_shortest};

/// What one unit of a metric costs. Every link costs one more than its metric says, so that fewer hops win a tie.
pub const COST_ONE: u64 = 1_024;
/// [`Links::weight`] of an empty link.
pub const WEIGHT_ONE: u32 = 1_024;

/// What a path is short in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Metric {
    /// The TE metric times the link's weight, which grows with its load (Awerbuch, Azar and Plotkin, 1993): on an empty
    /// network this is [`Metric::Te`].
    #[default]
    Congestion,
    /// The TE metric (RFC 3630 §2.5.5).
    Te,
    /// The number of links.
    Hops,
    /// The sum of the links' delays (RFC 8570 §4.1).
    Delay,
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
    /// What must be passed.
    pub hop: Hop,
    /// Whether it must come right after the hop before it (the ingress, for the first): the node at which the path
    /// already is or one link away, or the very next link.
    pub strict: bool,
}

/// What a path must satisfy beyond having room.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Constraints {
    /// What to be short in; `None` leaves it to whoever asks. Not read here: [`Query::metric`] is.
    pub metric: Option<Metric>,
    /// The most links it may have.
    pub max_hops: Option<u32>,
    /// The most delay it may have.
    pub max_delay: Option<Micros>,
    /// Hops it must pass in this order, with anything between them (RFC 7896).
    pub include: Vec<Hop>,
    /// Hops it must not pass (RFC 5521). An excluded ingress or egress leaves no path.
    pub exclude: Vec<Hop>,
    /// Every link has one of these colours (RFC 3209 §4.7.4); 0 asks nothing.
    pub include_any: u32,
    /// No link has any of these colours (RFC 3209 §4.7.4).
    pub exclude_any: u32,
    /// The explicit route (RFC 3209 §4.3). After its last hop the way to the egress is free.
    pub route: Vec<RouteHop>,
}

/// What a search asks of each link at this moment.
pub trait Links {
    /// How much more bandwidth the one who asks may have there; 0 when the link is not usable.
    fn room_bps(&self, link: LinkIx) -> u64;
    /// How much dearer than its metric the link is under [`Metric::Congestion`], in 1/[`WEIGHT_ONE`]: never less than
    /// [`WEIGHT_ONE`]; counted as at most 2^24.
    fn weight(&self, link: LinkIx) -> u32;
    /// Whether it is up.
    fn is_usable(&self, link: LinkIx) -> bool;
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Where the path begins.
    pub ingress: NodeIx,
    /// Where it ends; elsewhere.
    pub egress: NodeIx,
    /// What every link of it must have room for. Zero asks for usable links only.
    pub bandwidth_bps: u64,
    /// What it is to be short in.
    pub metric: Metric,
    /// What else it must satisfy.
    pub constraints: &'a Constraints,
}

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundPath {
    /// Its links, from ingress to egress.
    pub links: Vec<LinkIx>,
    /// What was minimised, on the scale of [`COST_ONE`].
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
