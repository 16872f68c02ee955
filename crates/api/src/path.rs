//! Path computation without any effect.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::constraints::ConstraintsRequest;
use crate::text;
use crate::words::words;

/// The most paths that one request asks for.
pub const PATHS_MAX: u64 = 16;

/// The demand for which paths are computed.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct PathRequest {
    /// The node where the path begins.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub ingress: String,
    /// The node where the path ends.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub egress: String,
    /// The class type, 0 (lowest) to 7. Either this or `qos_level`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7)]
    pub class_type: Option<u64>,
    /// The QoS level: the class type of the same number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2)]
    pub qos_level: Option<u64>,
    /// The bandwidth that every link has to have room for, in bit/s.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub bandwidth_bps: u64,
    /// 0 (best) to 7: allocations with a worse hold priority could be preempted. Absent: the worst that the bandwidth model
    /// has for the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7)]
    pub setup_priority: Option<u64>,
    /// The number of paths, the best first; 1 if absent. Not with `disjoint`, which gives two.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16)]
    pub count: Option<u64>,
    /// Two paths that share no link, no link and no risk, or no link and no node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disjoint: Option<DisjointName>,
    /// What the paths have to obey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<ConstraintsRequest>,
}

words! {
    /// What two paths must not share.
    #[schema(as = Disjointness)]
    DisjointName {
        /// A link, in either direction.
        Link "link"
        /// A link or a shared-risk link group.
        Srlg "srlg"
        /// A link, or a node other than ingress and egress.
        Node "node"
    }
}

/// Paths, the best first.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct PathAnswer {
    /// At least one path.
    pub paths: Vec<PathDocument>,
    /// The most that would be admitted now under the same constraints; absent where two disjoint paths were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub headroom: Option<HeadroomDocument>,
}

/// The largest bandwidths that would be admitted now, each to the bit/s: one bit/s more would not be. 0: nothing would be
/// admitted.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[schema(as = Headroom)]
pub struct HeadroomDocument {
    /// Without any effect on other allocations, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub free_bps: u64,
    /// With other allocations moved to other paths, and none preempted or devolved, in bit/s. Moves are looked for with
    /// bounded effort: some bandwidth above may be admitted too, though not the next one.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub with_moves_bps: u64,
    /// With other allocations moved, preempted or devolved, in bit/s; the same about moves.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub with_preemption_bps: u64,
}

/// The most that would be admitted between two nodes now.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct HeadroomAnswer {
    /// The node where the path begins.
    pub from: String,
    /// The node where the path ends.
    pub to: String,
    /// The class type.
    pub class_type: u8,
    /// The setup priority that was decided with: 0 (best) to 7.
    pub setup_priority: u8,
    /// The most that would be admitted.
    #[serde(flatten)]
    pub headroom: HeadroomDocument,
    /// The sequence number of the last event before.
    pub sequence: u64,
}

/// A path.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = Path)]
pub struct PathDocument {
    /// Its links, from ingress to egress.
    pub path: Vec<String>,
    /// Its nodes, ingress and egress among them.
    pub nodes: Vec<String>,
    /// The number of links.
    pub hops: usize,
    /// What was minimised, in 1/1024 of the metric's unit, which is an empty link under `congestion`; each link counts 1
    /// more under the others.
    pub cost: u64,
    /// The sum of the one-way delays, in microseconds.
    pub delay_us: u64,
    /// The sum of the TE metrics.
    pub te_metric: u64,
    /// Whether other allocations would be preempted or devolved for it.
    pub needs_victims: bool,
}
