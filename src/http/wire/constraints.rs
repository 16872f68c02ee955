//! Path constraints: asked in names, which may be a node's or a link's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::super::problem_catalogue;
use crate::app::record::{ConstraintsRecord, HopRecord, RouteHopRecord};
use crate::app::scalars::{MetricWord, StoredName};
use formats::bandwidth_model::PathMetricName;
use kernel::command::{HopKind, NamedConstraints, NamedHop, NamedRouteHop};
use kernel::units::Micros;

/// The most hops that a constraint lists.
const HOPS_MAX: usize = 1_000;

/// What a path has to obey (RFC 3209 §4.3 and §4.7, RFC 5440 §7).
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields)]
#[schema(as = ConstraintsRequest)]
pub(crate) struct ConstraintsRequest {
    /// What the path is to be short in; absent: as the topology's bandwidth model says.
    path_metric: Option<PathMetricName>,
    /// The most links.
    #[schema(maximum = 4_294_967_295_u64)]
    max_hops: Option<u32>,
    /// The most one-way delay.
    max_delay_us: Option<u64>,
    /// Nodes or links to be passed, in this order, with anything between them.
    #[serde(default)]
    #[schema(max_items = 1000)]
    include: Vec<HopRequest>,
    /// Nodes or links to be avoided.
    #[serde(default)]
    #[schema(max_items = 1000)]
    exclude: Vec<HopRequest>,
    /// Every link has one of these administrative groups, a mask of 32; 0 asks nothing.
    #[serde(default)]
    include_any: u32,
    /// No link has any of these administrative groups.
    #[serde(default)]
    exclude_any: u32,
    /// The explicit route: each hop follows the one before it at once, unless it says otherwise. After the last the way is
    /// free.
    #[serde(default)]
    #[schema(max_items = 1000)]
    route: Vec<RouteHopRequest>,
}

/// A node or a link. A plain text is the node of that name, or else the link.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Hop)]
enum HopRequest {
    /// A node, or else a link.
    Either(HopName),
    /// A node.
    Node(NodeHop),
    /// A link.
    Link(LinkHop),
}

/// The name of a node, or else of a link.
#[derive(Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 255)]
struct HopName(StoredName);

/// A node.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NodeHop {
    /// Its name.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    node: StoredName,
}

/// A link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkHop {
    /// Its name.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    link: StoredName,
}

/// A hop of an explicit route. A plain text is a strict hop.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = RouteHop)]
enum RouteHopRequest {
    /// A node, or else a link, right after the hop before.
    Either(HopName),
    /// A node.
    Node(NodeRouteHop),
    /// A link.
    Link(LinkRouteHop),
}

/// A node of an explicit route.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NodeRouteHop {
    /// Its name.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    node: StoredName,
    /// Whether it comes right after the hop before; false: at some time after it.
    #[serde(default = "yes")]
    strict: bool,
}

/// A link of an explicit route.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkRouteHop {
    /// Its name.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    link: StoredName,
    /// Whether it comes right after the hop before; false: at some time after it.
    #[serde(default = "yes")]
    strict: bool,
}

fn yes() -> bool {
    true
}

impl ConstraintsRequest {
    /// In the kernel's words.
    pub(crate) fn named(self) -> Result<NamedConstraints, Problem> {
        few("include", self.include.len())?;
        few("exclude", self.exclude.len())?;
        few("route", self.route.len())?;
        Ok(NamedConstraints {
            metric: self.path_metric.map(Into::into),
            max_hops: self.max_hops,
            max_delay: self.max_delay_us.map(Micros),
            include: self.include.into_iter().map(HopRequest::named).collect(),
            exclude: self.exclude.into_iter().map(HopRequest::named).collect(),
            include_any: self.include_any,
            exclude_any: self.exclude_any,
            route: self.route.into_iter().map(RouteHopRequest::named).collect(),
        })
    }
}

fn few(field: &'static str, count: usize) -> Result<(), Problem> {
    if count <= HOPS_MAX {
        return Ok(());
    }
    Err(Problem::new(&problem_catalogue::IMPOSSIBLE, format!("{field} has {count} hops, more than {HOPS_MAX}"))
        .with("field", field))
}

impl HopRequest {
    fn named(self) -> NamedHop {
        match self {
            Self::Either(HopName(StoredName(name))) => NamedHop::Either(name),
            Self::Node(NodeHop { node }) => NamedHop::Node(node.0),
            Self::Link(LinkHop { link }) => NamedHop::Link(link.0),
        }
    }
}

impl RouteHopRequest {
    fn named(self) -> NamedRouteHop {
        let looseness = |strict| if strict { HopKind::Strict } else { HopKind::Loose };
        match self {
            Self::Either(HopName(StoredName(name))) => {
                NamedRouteHop { hop: NamedHop::Either(name), looseness: HopKind::Strict }
            }
            Self::Node(NodeRouteHop { node, strict }) => {
                NamedRouteHop { hop: NamedHop::Node(node.0), looseness: looseness(strict) }
            }
            Self::Link(LinkRouteHop { link, strict }) => {
                NamedRouteHop { hop: NamedHop::Link(link.0), looseness: looseness(strict) }
            }
        }
    }
}

/// What a path obeys, as it was resolved. What is absent asks nothing.
#[derive(Serialize, ToSchema)]
#[schema(as = Constraints)]
pub(crate) struct ConstraintsView<'a> {
    /// What the path is short in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = PathMetricName, required = false)]
    path_metric: Option<MetricWord>,
    /// The most links.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_hops: Option<u32>,
    /// The most one-way delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_delay_us: Option<u64>,
    /// Passed, in this order.
    #[serde(skip_serializing_if = "<[HopRecord]>::is_empty")]
    #[schema(value_type = Vec<HopView>, required = false)]
    include: &'a [HopRecord],
    /// Avoided.
    #[serde(skip_serializing_if = "<[HopRecord]>::is_empty")]
    #[schema(value_type = Vec<HopView>, required = false)]
    exclude: &'a [HopRecord],
    /// Every link has one of these administrative groups.
    include_any: u32,
    /// No link has any of these administrative groups.
    exclude_any: u32,
    /// The explicit route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<RouteHopView<'static>>, required = false)]
    route: Vec<RouteHopView<'a>>,
}

/// A node or a link.
#[derive(ToSchema)]
#[schema(as = ResolvedHop)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the stored form, in the OpenAPI document")]
enum HopView {
    /// A node.
    Node(String),
    /// A link.
    Link(String),
}

/// A hop of an explicit route.
#[derive(Serialize, ToSchema)]
#[schema(as = ResolvedRouteHop)]
struct RouteHopView<'a> {
    /// A node, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    node: Option<&'a StoredName>,
    /// A link, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    link: Option<&'a StoredName>,
    /// Whether it comes right after the hop before.
    strict: bool,
}

impl<'a> ConstraintsView<'a> {
    pub(crate) fn of(record: &'a ConstraintsRecord) -> Self {
        let route_hop = |step: &'a RouteHopRecord| {
            let (node, link) = match &step.hop {
                HopRecord::Node(node) => (Some(node), None),
                HopRecord::Link(link) => (None, Some(link)),
            };
            RouteHopView { node, link, strict: step.strict }
        };
        Self {
            path_metric: record.metric,
            max_hops: record.max_hops,
            max_delay_us: record.max_delay_us,
            include: &record.include,
            exclude: &record.exclude,
            include_any: record.include_any,
            exclude_any: record.exclude_any,
            route: record.route.iter().map(route_hop).collect(),
        }
    }
}
