//! Auto-bandwidth as the command line says it.

use std::str::FromStr;

use clap::Args;

use super::output::bandwidth;
use api::auto_bandwidth::AutoBandwidthDocument;

/// The minimum and the maximum bandwidth, such as `5M..500M`.
#[derive(Clone, Copy, Debug)]
pub(super) struct BandwidthBounds {
    minimum_bps: u64,
    maximum_bps: u64,
}

impl FromStr for BandwidthBounds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (minimum, maximum) = text.split_once("..").ok_or("write minimum..maximum, such as 5M..500M")?;
        Ok(Self { minimum_bps: bandwidth(minimum)?, maximum_bps: bandwidth(maximum)? })
    }
}

/// How the bandwidth follows its traffic, beside its bounds.
#[derive(Args, Debug)]
pub(super) struct AutoBandwidthArgs {
    /// Over how long each sample is an average, in milliseconds [default: 300000]
    #[arg(long, requires = "auto_bandwidth")]
    sample_interval_ms: Option<u64>,
    /// How often the bandwidth is adjusted, in milliseconds [default: 86400000]
    #[arg(long, requires = "auto_bandwidth")]
    adjustment_interval_ms: Option<u64>,
    /// The least difference that leads to an adjustment, in percent [default: 5]
    #[arg(long, requires = "auto_bandwidth")]
    adjustment_threshold_percent: Option<u64>,
    /// The least difference that leads to an adjustment, such as 1M
    #[arg(long, requires = "auto_bandwidth", value_parser = bandwidth)]
    adjustment_threshold: Option<u64>,
    /// After how many consecutive samples above the overflow threshold it grows early [default: 0, never]
    #[arg(long, requires = "auto_bandwidth")]
    overflow_count: Option<u64>,
    /// How far above is overflow, in percent [default: 5]
    #[arg(long, requires = "overflow_count")]
    overflow_threshold_percent: Option<u64>,
    /// How far above is overflow at least, such as 1M
    #[arg(long, requires = "overflow_count", value_parser = bandwidth)]
    overflow_threshold: Option<u64>,
    /// After how many consecutive samples below the underflow threshold it shrinks early [default: 0, never]
    #[arg(long, requires = "auto_bandwidth")]
    underflow_count: Option<u64>,
    /// How far below is underflow, in percent [default: 5]
    #[arg(long, requires = "underflow_count")]
    underflow_threshold_percent: Option<u64>,
    /// How far below is underflow at least, such as 1M
    #[arg(long, requires = "underflow_count", value_parser = bandwidth)]
    underflow_threshold: Option<u64>,
}

impl AutoBandwidthArgs {
    pub(super) fn within(&self, bounds: BandwidthBounds) -> AutoBandwidthDocument {
        let defaults = AutoBandwidthDocument::within(bounds.minimum_bps, bounds.maximum_bps);
        let or = Option::unwrap_or;
        AutoBandwidthDocument {
            sample_interval_ms: or(self.sample_interval_ms, defaults.sample_interval_ms),
            adjustment_interval_ms: or(self.adjustment_interval_ms, defaults.adjustment_interval_ms),
            adjustment_threshold_percent: or(self.adjustment_threshold_percent, defaults.adjustment_threshold_percent),
            adjustment_threshold_bps: or(self.adjustment_threshold, defaults.adjustment_threshold_bps),
            overflow_count: or(self.overflow_count, defaults.overflow_count),
            overflow_threshold_percent: or(self.overflow_threshold_percent, defaults.overflow_threshold_percent),
            overflow_threshold_bps: or(self.overflow_threshold, defaults.overflow_threshold_bps),
            underflow_count: or(self.underflow_count, defaults.underflow_count),
            underflow_threshold_percent: or(self.underflow_threshold_percent, defaults.underflow_threshold_percent),
            underflow_threshold_bps: or(self.underflow_threshold, defaults.underflow_threshold_bps),
            ..defaults
        }
    }
}
