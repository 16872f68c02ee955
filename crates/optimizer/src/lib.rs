//! The optimiser: a version of the state in, a study or a plan out. Nothing is changed here: every consequence is one that
//! the kernel decides on a version of its own.

#![warn(missing_docs)]

mod failure_study;
mod optimization;
mod scenario;
mod utilisation_bound;
mod worst_loads;

pub use failure_study::{
    Affected, AffectedList, FailureStudy, GrowthStudy, ScenarioOutcome, StudyLimits, StudyStop, study_failures,
};
pub use optimization::{OptimizationPlan, PlannedMove, lower_max_utilisation};
pub use scenario::{FailureSet, Scenario, Subject, scenarios};
pub use worst_loads::WorstCase;

#[cfg(test)]
mod tests;
