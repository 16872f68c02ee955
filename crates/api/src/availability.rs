//! When bandwidth could be had.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::constraints::ConstraintsRequest;
use crate::instant::Instant;
use crate::text;

/// What could be booked, and when.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct AvailabilityRequest {
    /// The node where traffic enters.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub from: String,
    /// The node where traffic leaves.
    #[serde(deserialize_with = "text::name")]
    #[schema(min_length = 1, max_length = 255)]
    pub to: String,
    /// The class type, 0 (lowest) to 7. Either this or `qos_level`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7)]
    pub class_type: Option<u64>,
    /// The QoS level: the class type of the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2)]
    pub qos_level: Option<u64>,
    /// The bandwidth to be reserved on every link of the path, in bit/s.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub bandwidth_bps: u64,
    /// The time that is looked at. What is over is left out.
    pub window: TimeWindow,
    /// How long it is needed, in milliseconds; not longer than the window.
    #[schema(minimum = 1)]
    pub duration_ms: u64,
    /// 0 (best) to 7; absent: the worst that the bandwidth model has for the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7)]
    pub setup_priority: Option<u64>,
    /// 0 (best) to 7, not worse than the setup priority; absent: as that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7)]
    pub hold_priority: Option<u64>,
    /// What the path has to obey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<ConstraintsRequest>,
    /// Whether it is needed in both directions, on the same links back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub bidirectional: bool,
}

/// From one instant to another.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// The beginning.
    #[schema(value_type = String, format = DateTime)]
    pub from: Instant,
    /// The end.
    #[schema(value_type = String, format = DateTime)]
    pub to: Instant,
}

/// When it could be had. Moves of other allocations are not tried.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
pub struct AvailabilityAnswer {
    /// In order. The request would be admitted wherever it lies within one; two may overlap, and it does not fit across
    /// both then.
    pub windows: Vec<TimeWindow>,
    /// The earliest start; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub earliest_start: Option<Instant>,
    /// The most that would be admitted for all of the window that was asked about, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub largest_bandwidth_bps: u64,
    /// Starts after this were not looked at: the books change too often. Ask for the rest by another window.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub searched_until: Option<Instant>,
    /// The sequence number of the last event before.
    pub sequence: u64,
}
