//! Plans of moves that make a network carry what it carries better, and their application.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words::words;

/// The most moves of one plan.
pub const PLANNED_MOVES_MAX: usize = 1_000;
/// How many moves a plan has at most, where the request does not say.
pub const PLANNED_MOVES_DEFAULT: usize = 100;
/// The most links that a plan lists.
pub const LINKS_LISTED_MAX: usize = 1_000;

/// What a plan is wanted for.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct OptimizationRequest {
    /// What is to become better.
    pub objective: ObjectiveName,
    /// The most moves; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_moves: Option<u64>,
    /// Whether the moves are made; `propose` if absent.
    #[serde(default)]
    #[schema(required = false)]
    pub apply: PlanApplication,
}

words! {
    /// What is to become better.
    #[schema(as = OptimizationObjective)]
    ObjectiveName {
        /// The fullest link is to become emptier.
        MaxUtilisation "max_utilisation"
    }

    /// Whether the moves of a plan are made.
    #[derive(Default)]
    PlanApplication {
        /// They are proposed, and made when the plan is applied.
        #[default]
        Propose "propose"
        /// They are made at once, all or none.
        Auto "auto"
    }
}

/// A plan of moves. Each takes only bandwidth that is free when it is made, make-before-break, and no allocation is lost.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = OptimizationPlan)]
pub struct OptimizationAnswer {
    /// By which the plan is applied.
    pub id: String,
    /// The sequence number of the last event before the plan.
    pub sequence: u64,
    /// In the order in which they are made.
    pub moves: Vec<PlannedMoveDocument>,
    /// The maximum utilisation of a link before, in parts per million of its maximum reservable bandwidth.
    pub before_ppm: u64,
    /// The maximum utilisation after all moves.
    pub after_ppm: u64,
    /// A certified bound: no routing of these allocations, not even one that splits them over many paths and ignores their
    /// constraints, has a lower maximum utilisation.
    pub bound_ppm: u64,
    /// The links whose utilisation changes, the fullest after the moves first; at most 1,000.
    pub links: Vec<OptimizedLink>,
    /// How many changed links are not listed.
    pub links_left_out: usize,
    /// Whether the search for moves ended for want of time; further moves may help.
    pub cut_short: bool,
    /// Whether the moves have been made.
    pub applied: bool,
}

/// A move of a plan.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = PlannedMove)]
pub struct PlannedMoveDocument {
    /// The id of the allocation.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ACME east")]
    pub name: Option<String>,
    /// Whose traffic it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ACME")]
    pub customer: Option<String>,
    /// Its bandwidth, in bit/s.
    pub bandwidth_bps: u64,
    /// Its path before: links from ingress to egress.
    pub from: Vec<String>,
    /// Its path after.
    pub to: Vec<String>,
    /// The maximum utilisation of a link after this move, in parts per million.
    pub max_ppm: u64,
}

/// What a plan does to a link.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct OptimizedLink {
    /// The name of the link.
    pub link: String,
    /// Its utilisation before, in parts per million of its maximum reservable bandwidth.
    pub before_ppm: u64,
    /// Its utilisation after all moves.
    pub after_ppm: u64,
}

/// A plan that was applied.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct OptimizationApplied {
    /// The id of the plan.
    pub id: String,
    /// How many allocations were moved.
    pub moves: usize,
    /// The sequence number of the last move; absent: the plan had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<u64>,
}
