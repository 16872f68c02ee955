//! Links: what they are, what is reserved on them, and changes to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::effects::Effects;
use crate::instant::Instant;
use crate::words::words;

/// The most allocations that a link lists.
pub const ALLOCATIONS_LISTED_MAX: usize = 1_000;

words! {
    /// Whether a link may carry anything.
    #[derive(Default)]
    #[schema(as = TopologyLinkState)]
    LinkStateName {
        /// In service.
        #[default]
        Up "up"
        /// Broken: nothing can stay on it.
        Down "down"
        /// To be drained: nothing new goes on it.
        Maintenance "maintenance"
    }
}

/// What a link is.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct LinkProperties {
    /// The name of the link in its topology.
    pub link: String,
    /// The node at its tail.
    pub from: String,
    /// The node at its head.
    pub to: String,
    /// Whether the link may carry anything.
    pub state: LinkStateName,
    /// The capacity, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub capacity_bps: u64,
    /// The maximum reservable bandwidth over all class types, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub max_reservable_bps: u64,
    /// The TE metric.
    pub te_metric: u32,
    /// The one-way delay, in microseconds.
    pub delay_us: u64,
    /// The shared-risk link groups.
    pub srlg: Vec<u32>,
    /// The administrative group: a mask of 32 colours.
    pub admin_group: u32,
    /// The switch port at the tail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from_port: Option<u32>,
    /// The switch port at the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to_port: Option<u32>,
    /// The other direction of the same fibre, which shares its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub twin: Option<String>,
    /// Present and true while a controller has lost a switch at an end of the link: new paths pass by it where they can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub avoided: bool,
}

/// What is reserved on a link. Where a class is overbooked locally, the books count what a reservation takes from the link:
/// its bandwidth divided by the class's multiplier.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct LinkFigures {
    /// The reserved bandwidth over all classes, in bit/s.
    pub reserved_bps: u64,
    /// The reserved bandwidth in parts per million of the maximum reservable bandwidth, rounded down.
    pub utilisation_ppm: u64,
    /// The classes of the bandwidth model.
    pub classes: Vec<ClassFigures>,
    /// The TE-classes of the bandwidth model; where the class is the priority, one for each class.
    pub unreserved: Vec<UnreservedFigures>,
    /// The ids of the allocations on the link; at most 1,000.
    pub allocations: Vec<String>,
    /// The number of allocations on the link.
    pub allocation_count: usize,
    /// What the link was last measured to carry over all traffic, in bit/s, where a controller counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub measured_bps: Option<u64>,
    /// Why the link cannot carry packets, as the controller sees it; absent where it can, or nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
    /// When it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub measured_at: Option<Instant>,
}

/// What a class type has on a link.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct ClassFigures {
    /// The class type, 0 (lowest) to 7.
    pub class_type: u8,
    /// Its bandwidth constraint as its model's RFC has it, in bit/s.
    pub constraint_bps: u64,
    /// Its private share, in bit/s.
    pub private_bps: u64,
    /// What is reserved in the class, in bit/s.
    pub reserved_bps: u64,
    /// What the class has beyond its private share, in bit/s.
    pub borrowed_bps: u64,
    /// What other classes have of its private share, in bit/s.
    pub lent_bps: u64,
}

/// What a TE-class could still have on a link.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct UnreservedFigures {
    /// The class type, 0 (lowest) to 7.
    pub class_type: u8,
    /// The preemption priority, 0 (best) to 7.
    pub priority: u8,
    /// What it could have with preemption and devolution: the unreserved bandwidth of RFC 4124, in bit/s.
    pub unreserved_bps: u64,
    /// What it could have without preemption and devolution, in bit/s.
    pub free_bps: u64,
}

/// A link with what is reserved on it.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[schema(as = Link)]
pub struct LinkDocument {
    /// What the link is.
    #[serde(flatten)]
    pub properties: LinkProperties,
    /// What is reserved on it.
    #[serde(flatten)]
    pub figures: LinkFigures,
}

/// A page of links.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct LinkPage {
    /// In the topology's order.
    pub items: Vec<LinkDocument>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// A change to a link. Absent members stay as they are.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// In service, broken or to be drained; the other direction of the same fibre shares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LinkStateName>,
    /// The new capacity, in bit/s. The maximum reservable bandwidth keeps its proportion to it, unless it is given too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub capacity_bps: Option<u64>,
    /// The new maximum reservable bandwidth, in bit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub max_reservable_bps: Option<u64>,
    /// The new TE metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_777_215)]
    pub te_metric: Option<u32>,
    /// The new one-way delay, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 60_000_000)]
    pub delay_us: Option<u64>,
    /// The new shared-risk link groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 64)]
    pub srlg: Option<Vec<u32>>,
    /// The new administrative group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_group: Option<u32>,
}

/// A link that was changed, and what that did.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
pub struct LinkOutcome {
    /// What the link is now.
    #[serde(flatten)]
    pub properties: LinkProperties,
    /// What is reserved on it.
    #[serde(flatten)]
    pub figures: LinkFigures,
    /// What happened to allocations.
    #[serde(flatten)]
    pub effects: Effects,
    /// The links that changed: this one, and its twin where that shares the change.
    pub links: Vec<String>,
    /// The ids of allocations that stay although the link is in maintenance or breaks their constraints now, because there
    /// is no other path.
    pub stranded: Vec<String>,
    /// The sequence number of the event; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<u64>,
    /// Present and true if nothing of this happened: the figures are those of the link as it would be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dry_run: bool,
}
