//! Constrained path computation (RFC 3630, RFC 5305, RFC 3209): the shortest path, the k shortest, disjoint pairs, and
//! why there is none, over a topology compiled once.
//!
//! A path never passes a node twice. Costs are integers on one scale for every metric, so equal inputs give equal paths
//! everywhere. What depends on reservations is asked through [`Links`] at the moment a link is considered; what does not
//! is compiled into [`Graph`].
//!
//! The files stand on four floors, in the order of the list below, and each names only files above it in the list.

// The terms.
mod query;

// 1. Arrays.
mod csr;
mod chain_contraction;
mod graph;
mod marks;

// 2. Lower bounds of what is left to the egress.
mod distance_table;
mod waypoints;

// 3. The search, over a cost and a filter: for the least cost, and for the least cost within end-to-end limits.
mod edge_cost;
mod edge_filter;
mod astar;
mod constrained_labels;
mod disjoint_flow;
mod disjoint_legs;
mod workspace;

// 4. The questions.
mod cspf;
mod yen;
mod suurballe;
mod disjoint;
mod explain;

#[cfg(test)]
mod tests;

pub use constrained_labels::{LABELS_MAX, STATES_MAX};
pub use cspf::{obeys, shortest};
pub use disjoint::{Disjointness, PRIMARIES_MAX, are_disjoint, disjoint_from, disjoint_pair};
pub use explain::{Reason, explain};
pub use graph::Graph;
pub use query::Everything;
pub use query::{
    BesideDemand, COST_ONE, Constraints, FoundPath, Hop, Links, Metric, NoPath, PassingBy, Query, RouteHop, WEIGHT_ONE,
};
pub use workspace::Workspace;
pub use yen::{K_MAX, k_shortest};
