//! Auto-bandwidth, in the words of RFC 8733.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::instant::Instant;

/// How the bandwidth of an allocation follows the traffic that is measured on it (RFC 8733): at the end of each adjustment
/// interval, the largest of its samples is what is reserved from then on, make-before-break, within the minimum and the maximum.
/// Nothing is measured without a controller that counts, or without a flow. Not with `bidirectional`.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[schema(as = AutoBandwidth)]
pub struct AutoBandwidthDocument {
    /// The least that is ever reserved by an adjustment, in bit/s. The bandwidth of the request is not below it.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub minimum_bandwidth_bps: u64,
    /// The most that is ever reserved by an adjustment, in bit/s. The bandwidth of the request is not above it.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub maximum_bandwidth_bps: u64,
    /// Over how long each sample is an average, in milliseconds.
    #[serde(default = "sample_interval_ms")]
    #[schema(minimum = 1000, maximum = 604_800_000, default = 300_000, required = false)]
    pub sample_interval_ms: u64,
    /// How often the bandwidth is adjusted, in milliseconds; not shorter than `sample_interval_ms`.
    #[serde(default = "adjustment_interval_ms")]
    #[schema(minimum = 1000, maximum = 604_800_000, default = 86_400_000, required = false)]
    pub adjustment_interval_ms: u64,
    /// The least difference from the reserved bandwidth that leads to an adjustment, in percent of it.
    #[serde(default = "threshold_percent")]
    #[schema(maximum = 100, default = 5, required = false)]
    pub adjustment_threshold_percent: u64,
    /// The least difference that leads to an adjustment, in bit/s, whatever the percentage.
    #[serde(default)]
    #[schema(maximum = 9_223_372_036_854_775_807_u64, default = 0, required = false)]
    pub adjustment_threshold_bps: u64,
    /// After how many consecutive samples above the overflow threshold the bandwidth grows before the interval is over; 0: never.
    #[serde(default)]
    #[schema(maximum = 255, default = 0, required = false)]
    pub overflow_count: u64,
    /// How far a sample is above the reserved bandwidth to count as overflow, in percent of it.
    #[serde(default = "threshold_percent")]
    #[schema(maximum = 100, default = 5, required = false)]
    pub overflow_threshold_percent: u64,
    /// How far a sample is above the reserved bandwidth at least to count as overflow, in bit/s.
    #[serde(default)]
    #[schema(maximum = 9_223_372_036_854_775_807_u64, default = 0, required = false)]
    pub overflow_threshold_bps: u64,
    /// After how many consecutive samples below the underflow threshold the bandwidth shrinks before the interval is over, to
    /// the largest of them; 0: never.
    #[serde(default)]
    #[schema(maximum = 255, default = 0, required = false)]
    pub underflow_count: u64,
    /// How far a sample is below the reserved bandwidth to count as underflow, in percent of it.
    #[serde(default = "threshold_percent")]
    #[schema(maximum = 100, default = 5, required = false)]
    pub underflow_threshold_percent: u64,
    /// How far a sample is below the reserved bandwidth at least to count as underflow, in bit/s.
    #[serde(default)]
    #[schema(maximum = 9_223_372_036_854_775_807_u64, default = 0, required = false)]
    pub underflow_threshold_bps: u64,
}

impl AutoBandwidthDocument {
    /// Within these bounds in bit/s, with the defaults of RFC 8733 otherwise.
    pub fn within(minimum_bandwidth_bps: u64, maximum_bandwidth_bps: u64) -> Self {
        Self {
            minimum_bandwidth_bps,
            maximum_bandwidth_bps,
            sample_interval_ms: sample_interval_ms(),
            adjustment_interval_ms: adjustment_interval_ms(),
            adjustment_threshold_percent: threshold_percent(),
            adjustment_threshold_bps: 0,
            overflow_count: 0,
            overflow_threshold_percent: threshold_percent(),
            overflow_threshold_bps: 0,
            underflow_count: 0,
            underflow_threshold_percent: threshold_percent(),
            underflow_threshold_bps: 0,
        }
    }
}

fn sample_interval_ms() -> u64 {
    300_000
}

fn adjustment_interval_ms() -> u64 {
    86_400_000
}

fn threshold_percent() -> u64 {
    5
}

/// What auto-bandwidth has measured of an allocation, and when it looks again.
#[derive(Serialize, Deserialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = AutoBandwidthStatus)]
pub struct AutoBandwidthStatusDocument {
    /// The last sample: the average rate of its packets at the ingress, before they are policed, in bit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub measured_bps: Option<u64>,
    /// When that sample ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub measured_at: Option<Instant>,
    /// The largest sample of the present adjustment interval, in bit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub maximum_average_bps: Option<u64>,
    /// When the present adjustment interval is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub adjusts_at: Option<Instant>,
    /// Why nothing is measured, or why the bandwidth is not what was wanted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}
