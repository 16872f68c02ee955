//! Auto-bandwidth as documents.

use super::instant;
use crate::app::TrafficReport;
use api::auto_bandwidth::{AutoBandwidthDocument, AutoBandwidthStatusDocument};
use kernel::auto_bandwidth::{AutoBandwidth, EarlyAdjustment};

/// How a bandwidth follows its traffic. What is off has the defaults of its thresholds.
pub(super) fn auto_bandwidth(settings: &AutoBandwidth) -> AutoBandwidthDocument {
    let defaults = AutoBandwidthDocument::within(settings.minimum.as_bps(), settings.maximum.as_bps());
    let early =
        |one: EarlyAdjustment| (u64::from(one.count), u64::from(one.threshold.percent), one.threshold.least.as_bps());
    let off = (0, defaults.overflow_threshold_percent, defaults.overflow_threshold_bps);
    let (overflow, underflow) = (settings.overflow.map_or(off, early), settings.underflow.map_or(off, early));
    AutoBandwidthDocument {
        sample_interval_ms: settings.sample_interval.0,
        adjustment_interval_ms: settings.adjustment_interval.0,
        adjustment_threshold_percent: settings.adjustment_threshold.percent.into(),
        adjustment_threshold_bps: settings.adjustment_threshold.least.as_bps(),
        overflow_count: overflow.0,
        overflow_threshold_percent: overflow.1,
        overflow_threshold_bps: overflow.2,
        underflow_count: underflow.0,
        underflow_threshold_percent: underflow.1,
        underflow_threshold_bps: underflow.2,
        ..defaults
    }
}

/// What was measured of an allocation.
pub(super) fn auto_bandwidth_status(report: &TrafficReport) -> AutoBandwidthStatusDocument {
    AutoBandwidthStatusDocument {
        measured_bps: report.measured.map(|load| load.carried_bps),
        measured_at: report.measured.map(|load| instant(load.at)),
        maximum_average_bps: report.max_average_bps,
        adjusts_at: report.adjusts_at.map(instant),
        reason: report.reason.as_deref().map(str::to_owned),
    }
}
