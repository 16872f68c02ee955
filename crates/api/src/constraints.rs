//! Path constraints: what a request asks for in names, and what an allocation's path obeys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::bandwidth_model::PathMetricName;
use crate::text;

/// The most hops in `include`, `exclude` or `route`.
pub const HOPS_MAX: usize = 1_000;

/// What a path has to obey (RFC 3209 §4.3 and §4.7, RFC 5440 §7).
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct ConstraintsRequest {
    /// What the path minimises; absent: as the topology's bandwidth model says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_metric: Option<PathMetricName>,
    /// The most links of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 4_294_967_295_u64)]
    pub max_hops: Option<u32>,
    /// The most one-way delay of the path, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay_us: Option<u64>,
    /// Nodes or links that the path passes, in this order, with anything between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000)]
    pub include: Vec<HopRequest>,
    /// Nodes or links that the path avoids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000)]
    pub exclude: Vec<HopRequest>,
    /// Every link of the path has one of these administrative groups, a mask of 32; 0 asks nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub include_any: u32,
    /// No link of the path has any of these administrative groups.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exclude_any: u32,
    /// The explicit route: each hop follows the one before it at once, unless it says otherwise. After the last hop any
    /// path to the egress will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000)]
    pub route: Vec<RouteHopRequest>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(mask: &u32) -> bool {
    *mask == 0
}

/// A node or a link. A plain text is the node of that name, or else the link.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(untagged)]
#[schema(as = Hop)]
pub enum HopRequest {
    /// A node, or else a link.
    Either(HopName),
    /// A node.
    Node(NodeHop),
    /// A link.
    Link(LinkHop),
}

/// The name of a node, or else of a link.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 255)]
pub struct HopName(#[serde(deserialize_with = "text::name")] pub String);

/// A node.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct NodeHop {
    /// The name of the node.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub node: String,
}

/// A link.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct LinkHop {
    /// The name of the link.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub link: String,
}

/// A hop of an explicit route. A plain text is a strict hop.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(untagged)]
#[schema(as = RouteHop)]
pub enum RouteHopRequest {
    /// A node, or else a link, right after the hop before.
    Either(HopName),
    /// A node.
    Node(NodeRouteHop),
    /// A link.
    Link(LinkRouteHop),
}

/// A node of an explicit route.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct NodeRouteHop {
    /// The name of the node.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub node: String,
    /// Whether the hop comes right after the hop before (RFC 3209 §4.3.3); false: anywhere after it.
    #[serde(default = "yes")]
    pub strict: bool,
}

/// A link of an explicit route.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct LinkRouteHop {
    /// The name of the link.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub link: String,
    /// Whether the hop comes right after the hop before (RFC 3209 §4.3.3); false: anywhere after it.
    #[serde(default = "yes")]
    pub strict: bool,
}

fn yes() -> bool {
    true
}

/// What a path obeys, as it was resolved. What is absent asks nothing.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug, Default)]
#[schema(as = Constraints)]
pub struct ConstraintsDocument {
    /// What the path minimises.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub path_metric: Option<PathMetricName>,
    /// The most links of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_hops: Option<u32>,
    /// The most one-way delay of the path, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_delay_us: Option<u64>,
    /// Nodes and links that the path passes, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<ResolvedHop>,
    /// Nodes and links that the path avoids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<ResolvedHop>,
    /// Every link of the path has one of these administrative groups; 0 asks nothing.
    pub include_any: u32,
    /// No link of the path has any of these administrative groups.
    pub exclude_any: u32,
    /// The explicit route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<ResolvedRouteHop>,
}

/// A node or a link.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedHop {
    /// The name of a node.
    Node(String),
    /// The name of a link.
    Link(String),
}

/// A hop of an explicit route.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct ResolvedRouteHop {
    /// The name of the node, if the hop is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// The name of the link, if the hop is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub link: Option<String>,
    /// Whether the hop comes right after the hop before.
    pub strict: bool,
}
