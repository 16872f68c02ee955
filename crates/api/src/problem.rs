//! RFC 9457 problems, as the service writes them and clients read them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Why there is no success, after RFC 9457. Kinds add members of their own, such as `binding_links`.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug, Default)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Its kind: the path of a page that explains it.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient-bandwidth")]
    pub kind: String,
    /// What the kind is.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened this time.
    #[serde(default)]
    #[schema(required = true)]
    pub detail: String,
    /// The path of the request; absent in the outcomes of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    /// The member of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// Of a batch with `atomic`: the place of the request that is at fault, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request: Option<usize>,
    /// Of `unknown-reference`: the nodes that the topology does not have, sorted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nodes: Option<Vec<String>>,
    /// The line of the body that is at fault, counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line: Option<u64>,
    /// The column, in bytes, counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub column: Option<u64>,
    /// The element of an uploaded file that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub element: Option<String>,
    /// Of `insufficient-bandwidth`: the links that lack it on the path that comes nearest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub binding_links: Option<Vec<BindingLink>>,
    /// Of `insufficient-bandwidth`: the most that would have been admitted, in bit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 9_223_372_036_854_775_807_u64)]
    pub largest_admissible_bps: Option<u64>,
    /// Of `no-path`: the constraint that took the last path away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "max_hops")]
    pub constraint: Option<String>,
    /// Of `no-path` by `max_hops`: the fewest links of any path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub least_hops: Option<u32>,
    /// Of `no-path` by `max_delay`: the least delay of any path, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub least_delay_us: Option<u64>,
    /// Of `topology-conflict` and `classes-in-use`: the allocations in the way; at most 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub conflicts: Option<Vec<String>>,
    /// Members of other kinds.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: Map<String, Value>,
}

/// A link that lacks bandwidth.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct BindingLink {
    /// The name of the link.
    pub link: String,
    /// The class type of the demand.
    pub class_type: u8,
    /// The bandwidth of the demand, in bit/s.
    pub requested_bps: u64,
    /// What the class could have on the link, in bit/s.
    pub available_bps: u64,
}

impl ProblemDocument {
    /// For an answer that is not a problem document: from something that stands between client and service.
    pub fn unreadable(status: u16) -> Self {
        let title = "the answer is not one of the service's".to_owned();
        Self { kind: "about:blank".to_owned(), title, status, ..Self::default() }
    }

    /// The last part of the type, such as `insufficient-bandwidth`.
    pub fn slug(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for ProblemDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, detail, status, .. } = self;
        if detail.is_empty() { write!(f, "{title} ({status})") } else { write!(f, "{title}: {detail}") }
    }
}
