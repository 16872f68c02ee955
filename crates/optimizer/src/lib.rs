//! The optimiser: a version of the state in, a study or a plan out. Nothing is changed here: every consequence is one that
//! the kernel decides on a version of its own.

#![warn(missing_docs)]

mod failure_study;

pub use failure_study::{
    Affected, FailureSet, FailureStudy, GrowthStudy, Listing, Scenario, ScenarioOutcome, StudyLimits, StudyStop, Subject,
    WorstCase, scenarios, study_failures,
};
