//! The optimiser: a version of the state in, a study or a plan out. Nothing is changed here: every consequence is one that
//! the kernel decides on a version of its own.

#![warn(missing_docs)]

mod failure_study;
mod scenario;
mod worst_loads;
mod optimization;
mod objective;
mod plan_draft;
mod peak_moves;
mod cost_moves;
mod admission_moves;
mod utilisation_bound;
mod price_ascent;
mod bound;
mod flow_program;
mod flow_bound;
mod carrying_links;

pub use admission_moves::RefusedRequest;
pub use bound::{Bound, BoundSource};
pub use failure_study::{
    Affected, AffectedList, FailureStudy, GrowthStudy, ScenarioOutcome, StudyLimits, StudyStop, study_failures,
};
pub use objective::Objective;
pub use optimization::{OptimizationAim, OptimizationPlan, SearchPhase, optimize};
pub use plan_draft::PlannedStep;
pub use scenario::{FailureSet, Scenario, Subject, scenarios};
pub use worst_loads::WorstCase;

#[cfg(test)]
mod tests;
