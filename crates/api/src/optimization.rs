//! Plans of moves, and of admissions, that make a network carry better; and their application.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::allocation::AllocationRequest;
use crate::problem::ProblemDocument;
use crate::words::words;

/// The most moves of one plan.
pub const PLANNED_MOVES_MAX: usize = 1_000;
/// How many moves a plan has at most, where the request does not say.
pub const PLANNED_MOVES_DEFAULT: usize = 100;
/// The most links that a plan lists.
pub const LINKS_LISTED_MAX: usize = 1_000;

/// The most requests that a plan is to admit.
pub const PLANNED_REQUESTS_MAX: usize = 100;

/// What a plan is wanted for.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct OptimizationRequest {
    /// What is to become better.
    pub objective: ObjectiveName,
    /// The most moves; 100 if absent. Admissions do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_moves: Option<u64>,
    /// Of `admit_all`: the bandwidth requests that are to be admitted, in the topology of the plan, from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 100)]
    pub requests: Vec<AllocationRequest>,
    /// Whether the steps are made; `propose` if absent.
    #[serde(default)]
    #[schema(required = false)]
    pub apply: PlanApplication,
}

words! {
    /// What is to become better.
    #[schema(as = OptimizationObjective)]
    ObjectiveName {
        /// The maximum utilisation of a link, in `ppm` of its maximum reservable bandwidth, is to become lower.
        MaxUtilisation "max_utilisation"
        /// The sum over all allocations of bandwidth times the TE metrics of the path's links, in `metric_bps`, is to become
        /// lower.
        TotalCost "total_cost"
        /// Of `requests` as much bandwidth as can be, in `bps`, is to be admitted, without an allocation being preempted or
        /// devolved for it.
        AdmitAll "admit_all"
        /// The smallest free bandwidth of a link that is up, in `bps`, is to become larger; among plans with the same
        /// smallest the next smallest, and so on. Free is what of the maximum reservable bandwidth no class has booked.
        MaxMin "max_min"
    }

    /// The unit of an objective's value.
    ObjectiveUnit {
        /// Parts per million.
        Ppm "ppm"
        /// Bits per second.
        Bps "bps"
        /// TE metric times bits per second.
        MetricBps "metric_bps"
    }

    /// Where a bound comes from. Each is certified; they differ in how near they come to the best routing.
    BoundOrigin {
        /// The optimum of the linear program in which every allocation is split over as many paths as it likes, to one part in
        /// 10,000.
        LinearProgram "linear_program"
        /// Prices of links that were found until the search ended; other prices may give a closer bound.
        LinkPrices "link_prices"
        /// Shortest paths, as if links had any capacity: the linear program was too large or the time was over.
        ShortestPaths "shortest_paths"
    }

    /// Whether the steps of a plan are made.
    #[derive(Default)]
    PlanApplication {
        /// They are proposed, and made when the plan is applied.
        #[default]
        Propose "propose"
        /// They are made at once, all or none.
        Auto "auto"
    }
}

/// A plan. Each move takes only bandwidth that is free when it is made, make-before-break, and no allocation is lost.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = OptimizationPlan)]
pub struct OptimizationAnswer {
    /// By which the plan is read and applied.
    pub id: String,
    /// The sequence number of the last event before the plan.
    pub sequence: u64,
    /// What is to become better.
    pub objective: ObjectiveName,
    /// The steps, in the order in which they are made: moves and, of `admit_all`, admissions.
    pub moves: Vec<PlannedMoveDocument>,
    /// How many of the steps have been made.
    pub moves_done: usize,
    /// Why the step after those could not be made when it was last tried; `request` is its place, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProblemDocument, required = false)]
    pub conflict: Option<ProblemDocument>,
    /// The objective before and after, and the bound.
    pub value: ObjectiveValue,
    /// The maximum utilisation of a link before, in parts per million of its maximum reservable bandwidth.
    pub before_ppm: u64,
    /// The maximum utilisation after all steps.
    pub after_ppm: u64,
    /// The links whose utilisation changes, the fullest after the steps first; at most 1,000.
    pub links: Vec<OptimizedLink>,
    /// How many changed links are not listed.
    pub links_left_out: usize,
    /// Whether the search for moves ended for want of time; further moves may help.
    pub cut_short: bool,
    /// Whether all steps have been made.
    pub applied: bool,
}

impl OptimizationAnswer {
    /// The plan without its steps and links.
    pub fn summary(&self) -> OptimizationSummary {
        OptimizationSummary {
            id: self.id.clone(),
            sequence: self.sequence,
            objective: self.objective,
            value: self.value.clone(),
            move_count: self.moves.len(),
            moves_done: self.moves_done,
            applied: self.applied,
        }
    }
}

/// A plan without its steps and links.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct OptimizationSummary {
    /// By which the plan is read and applied.
    pub id: String,
    /// The sequence number of the last event before the plan.
    pub sequence: u64,
    /// What is to become better.
    pub objective: ObjectiveName,
    /// The objective before and after, and the bound.
    pub value: ObjectiveValue,
    /// The number of steps: moves and, of `admit_all`, admissions.
    pub move_count: usize,
    /// How many of the steps have been made.
    pub moves_done: usize,
    /// Whether all steps have been made.
    pub applied: bool,
}

/// A page of plans.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct OptimizationPage {
    /// In the order in which they were made.
    pub items: Vec<OptimizationSummary>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// What a plan makes of its objective.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct ObjectiveValue {
    /// Of `before`, `after` and `bound`.
    pub unit: ObjectiveUnit,
    /// The value before; of `admit_all`, where nothing is admitted yet, 0.
    pub before: u64,
    /// The value after all steps.
    pub after: u64,
    /// A certified bound: no routing of these allocations, not even one that splits them over many paths and ignores their
    /// constraints and classes, has a better value.
    pub bound: u64,
    /// Where the bound comes from.
    pub bound_from: BoundOrigin,
    /// How near `after` is to the bound, in parts per million: the smaller of the two as a part of the larger. 1,000,000: no
    /// routing is better.
    #[schema(maximum = 1_000_000)]
    pub reached_ppm: u64,
}

/// A step of a plan: a move or an admission.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = PlannedMove)]
pub struct PlannedMoveDocument {
    /// The id of the allocation; absent where a request is admitted and has not been yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// Of an admission: the place of the request in `requests`, counted from 0. Absent: the step is a move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request: Option<usize>,
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
    /// Its path before, as links from ingress to egress; of an admission empty.
    pub from: Vec<String>,
    /// Its path after.
    pub to: Vec<String>,
    /// The maximum utilisation of a link after this step, in parts per million.
    pub max_ppm: u64,
    /// The value of the objective after this step, in its unit.
    pub value: u64,
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

/// How far a plan is applied.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct PlanApplyRequest {
    /// So many of the first steps are to have been made afterwards; those that have been are not made again. They are made one
    /// by one, up to the first that cannot be made. Absent: all that are left are made, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1100)]
    pub through: Option<u64>,
}

/// What of a plan was applied.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct OptimizationApplied {
    /// The id of the plan.
    pub id: String,
    /// How many steps were made now.
    pub moves: usize,
    /// How many steps have been made in all.
    pub moves_done: usize,
    /// The sequence number of the last step that was made now; absent: none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<u64>,
    /// Why the next step could not be made; `request` is its place, counted from 0. Absent: it was not tried, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProblemDocument, required = false)]
    pub conflict: Option<ProblemDocument>,
}
