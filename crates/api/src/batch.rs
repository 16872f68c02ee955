//! Many bandwidth requests at once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::allocation::{AllocationOutcome, AllocationRequest};
use crate::problem::ProblemDocument;

/// The most requests of one batch.
pub const REQUESTS_MAX: usize = 1_000;

/// Bandwidth requests, 1 to 1,000; in an object, or as the bare list. The service reads them one by one.
#[derive(Serialize, ToSchema, Clone, PartialEq, Debug)]
#[serde(untagged)]
pub enum BatchRequest {
    /// In an object.
    Wrapped(BatchRequests),
    /// As they are.
    Bare(BatchList),
}

/// Bandwidth requests, not wrapped.
#[derive(Serialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(value_type = Vec<AllocationRequest>, min_items = 1, max_items = 1000)]
pub struct BatchList(pub Vec<AllocationRequest>);

/// Bandwidth requests.
#[derive(Serialize, ToSchema, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct BatchRequests {
    /// The requests, in the order in which they are decided.
    #[schema(min_items = 1, max_items = 1000)]
    pub requests: Vec<AllocationRequest>,
    /// Whether all are admitted or none. If one is refused or denied, its problem is the answer, with `request` for its place
    /// counted from 0, and nothing happens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, default = false)]
    pub atomic: bool,
}

/// What became of the requests of a batch, in their order.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct BatchOutcome {
    /// One outcome for each request.
    pub outcomes: Vec<EntryOutcome>,
}

/// What became of one request of a batch.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct EntryOutcome {
    /// The status that the request alone would be answered with: 201, or that of the problem; 200 in a dry run.
    pub status: u16,
    /// The allocation, if the request was admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = AllocationOutcome, required = false)]
    pub allocation: Option<AllocationOutcome>,
    /// The problem, if the request was not admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProblemDocument, required = false)]
    pub problem: Option<ProblemDocument>,
}
