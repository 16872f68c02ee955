//! Probes of the service.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What readiness depends on.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct Readiness {
    /// Whether requests can be answered.
    pub ready: bool,
    /// The version of the program.
    pub version: String,
    /// Whether the journal takes writes, as was found within the last two seconds.
    pub journal: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub reason: Option<String>,
    /// Whether the service is stopping.
    pub stopping: bool,
    /// The sequence number of the last event.
    pub sequence: u64,
    /// The number of topologies.
    pub topologies: usize,
    /// The number of living allocations.
    pub allocations: usize,
}
