//! What an operation does to allocations that were there before it. Each word has one meaning in answers, events, the
//! command line, the dashboard and logs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words::words;

/// What an operation does to allocations that were there before it.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug, Default)]
pub struct Effects {
    /// Allocations that are over because a lower class took back the bandwidth that it had lent.
    pub devolved: Vec<String>,
    /// Allocations that are over because a higher class or better priority took their bandwidth.
    pub preempted: Vec<String>,
    /// Allocations that have another path now.
    pub rerouted: Vec<String>,
    /// Allocations that stay on their paths, without their backup paths.
    #[serde(default)]
    pub unprotected: Vec<String>,
    /// Allocations that are over because their path broke (a link went down, shrank or is gone) and there is no other.
    pub failed: Vec<String>,
    /// Allocations that were moved to other paths, make-before-break, so that the request fits; they are no victims.
    #[serde(default)]
    pub moved: Vec<Moved>,
    /// All of these allocations but the moved, in the order in which they left their paths.
    pub victims: Vec<Victim>,
}

/// An allocation that was moved to another path so that a request fits.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct Moved {
    /// The id of the allocation.
    pub id: String,
    /// Its new path: links from ingress to egress.
    pub path: Vec<String>,
}

/// An allocation that left its path, or lost its backup path.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct Victim {
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
    /// What took its path: another demand (`preempted`), a loan called in (`devolved`), or the network (`link`).
    pub cause: VictimCause,
    /// What became of the allocation.
    pub outcome: VictimOutcome,
    /// Its new path, if it is rerouted: links from ingress to egress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub path: Option<Vec<String>>,
}

words! {
    /// Why an allocation left its path.
    VictimCause {
        /// A higher class or better priority took its bandwidth.
        Preempted "preempted"
        /// A lower class took back the bandwidth that it had lent.
        Devolved "devolved"
        /// A link broke, is drained, shrank or is gone.
        Link "link"
    }

    /// What became of an allocation that left its path.
    VictimOutcome {
        /// It has another path.
        Rerouted "rerouted"
        /// It stays on its path, without its backup path.
        Unprotected "unprotected"
        /// It is over: a higher class or better priority took its bandwidth.
        Preempted "preempted"
        /// It is over: a lower class took back the bandwidth that it had lent.
        Devolved "devolved"
        /// It is over: its path broke and there is no other.
        Failed "failed"
    }
}
