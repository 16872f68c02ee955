//! What links had: one over a time, and all of a topology at an instant.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::instant::Instant;
use crate::link::LinkStateName;

/// The most periods that one answer has.
pub const HISTORY_POINTS_MAX: u64 = 1_000;

/// What was reserved in a class type within a period.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct ClassHistory {
    /// The class type, 0 (lowest) to 7.
    pub class_type: u8,
    /// The mean of the bandwidth reserved in the class, in bit/s, rounded down.
    pub reserved_mean_bps: u64,
    /// The most that was reserved in the class, in bit/s.
    pub reserved_max_bps: u64,
}

/// What a link had within a period, as its samples on the minute say.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct LinkPast {
    /// The worst state within the period: down before maintenance before up.
    pub state: LinkStateName,
    /// The capacity at the end of the period, in bit/s.
    pub capacity_bps: u64,
    /// The maximum reservable bandwidth over all class types at the end of the period, in bit/s.
    pub max_reservable_bps: u64,
    /// The mean of the reserved bandwidth over all classes, in bit/s, rounded down.
    pub reserved_mean_bps: u64,
    /// The most that was reserved over all classes, in bit/s.
    pub reserved_max_bps: u64,
    /// The class types that had anything reserved.
    pub classes: Vec<ClassHistory>,
    /// The mean of what switches counted over all traffic, in bit/s, over those samples of the period that know it, rounded
    /// down; absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub measured_mean_bps: Option<u64>,
    /// The most that switches counted in a sample of the period, in bit/s; absent where nothing was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub measured_max_bps: Option<u64>,
}

/// A period of a link's history.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct LinkHistoryPoint {
    /// When the period begins.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// What the link had in it.
    #[serde(flatten)]
    pub past: LinkPast,
}

/// What a link had over a time.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct LinkHistoryAnswer {
    /// The topology of the link.
    pub topology: String,
    /// The name of the link in its topology.
    pub link: String,
    /// When the time begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Instant,
    /// When it is over.
    #[schema(value_type = String, format = DateTime)]
    pub to: Instant,
    /// How long the period of a point is, in milliseconds: longer than asked for where finer samples are not kept any more.
    pub step_ms: u64,
    /// The periods of which there is a sample, the oldest first. The first one may begin before `from`.
    pub points: Vec<LinkHistoryPoint>,
}

/// A link as it was at an instant.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct LinkThen {
    /// The name of the link in its topology.
    pub link: String,
    /// What it had.
    #[serde(flatten)]
    pub past: LinkPast,
}

/// The links of a topology as they were at an instant.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct TopologyHistoryAnswer {
    /// The topology of the links.
    pub topology: String,
    /// The instant that is shown: the last one at or before the one asked for at which links were sampled. Of a longer period,
    /// its begin.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// How long the period is that is shown, in milliseconds: a minute for the samples themselves, longer where they have been
    /// merged.
    pub step_ms: u64,
    /// The sequence number of the last event then. What changed since is in the events after it.
    pub sequence: u64,
    /// The links that the topology had then, in the order of their names; none if it was not there.
    pub links: Vec<LinkThen>,
}
