//! The stored form of how a bandwidth follows its traffic.

use serde::{Deserialize, Serialize};

use super::error::RecordDecodeError;
use super::lookup::bandwidth;
use kernel::auto_bandwidth::{AutoBandwidth, EarlyAdjustment, RateThreshold};
use kernel::units::Millis;

/// How a bandwidth follows its traffic.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AutoBandwidthRecord {
    sample_interval_ms: u64,
    adjustment_interval_ms: u64,
    minimum_bps: u64,
    maximum_bps: u64,
    /// Percent and bit/s.
    adjustment: (u8, u64),
    /// Count, percent and bit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overflow: Option<(u8, u8, u64)>,
    /// Count, percent and bit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    underflow: Option<(u8, u8, u64)>,
}

impl AutoBandwidthRecord {
    pub(super) fn of(settings: &AutoBandwidth) -> Self {
        let early = |one: EarlyAdjustment| (one.count, one.threshold.percent, one.threshold.least.as_bps());
        let threshold = settings.adjustment_threshold;
        Self {
            sample_interval_ms: settings.sample_interval.0,
            adjustment_interval_ms: settings.adjustment_interval.0,
            minimum_bps: settings.minimum.as_bps(),
            maximum_bps: settings.maximum.as_bps(),
            adjustment: (threshold.percent, threshold.least.as_bps()),
            overflow: settings.overflow.map(early),
            underflow: settings.underflow.map(early),
        }
    }

    pub(super) fn read(self) -> Result<Box<AutoBandwidth>, RecordDecodeError> {
        let threshold = |percent, least_bps| {
            Ok::<_, RecordDecodeError>(RateThreshold {
                percent,
                least: bandwidth("auto_bandwidth.threshold_bps", least_bps)?,
            })
        };
        let early = |(count, percent, least_bps)| {
            Ok::<_, RecordDecodeError>(EarlyAdjustment { count, threshold: threshold(percent, least_bps)? })
        };
        Ok(Box::new(AutoBandwidth {
            sample_interval: Millis(self.sample_interval_ms),
            adjustment_interval: Millis(self.adjustment_interval_ms),
            minimum: bandwidth("auto_bandwidth.minimum_bps", self.minimum_bps)?,
            maximum: bandwidth("auto_bandwidth.maximum_bps", self.maximum_bps)?,
            adjustment_threshold: threshold(self.adjustment.0, self.adjustment.1)?,
            overflow: self.overflow.map(early).transpose()?,
            underflow: self.underflow.map(early).transpose()?,
        }))
    }
}
