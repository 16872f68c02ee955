//! The log while the demo runs: a buffer that fills or empties, a rate that changes. Pure: from sample to sample. What must
//! stay true: small changes are not logged.

use super::claims::{FILLED_PPM, NEAR_EMPTY_PPM};
use super::samples::{Sample, places};
use super::scenario::{AGGREGATORS, LEVEL_NAMES};
use crate::cli::output::rate;
use api::qos_level::PerLevel;

const MILLION: u64 = 1_000_000;
/// A change of a rate is logged when one is this many times the other.
const TIMES: u64 = 2;
/// Or when they differ by so much.
const CHANGE_BPS: u64 = 1_000_000;

/// How full a buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Fill {
    #[default]
    Low,
    Half,
    Full,
}

/// What was logged last.
#[derive(Clone, Debug)]
pub struct LiveLog {
    capacity_bytes: u64,
    fills: [PerLevel<Fill>; AGGREGATORS.len()],
    logged_bps: [PerLevel<u64>; AGGREGATORS.len()],
    /// What was granted in the last sample: a rate is logged once it stays.
    last_bps: [PerLevel<u64>; AGGREGATORS.len()],
}

impl LiveLog {
    /// For levels with buffers of `capacity_bytes`.
    pub fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, fills: Default::default(), logged_bps: Default::default(), last_bps: Default::default() }
    }

    /// The lines for the next sample.
    pub fn observe(&mut self, sample: &Sample) -> Vec<String> {
        let mut lines = self.observe_rates(sample);
        for (aggregator, level) in places() {
            let fill = self.fill(self.fills[aggregator][level], sample.aggregators[aggregator][level].buffer_bytes);
            if std::mem::replace(&mut self.fills[aggregator][level], fill) != fill {
                let how = match fill {
                    Fill::Low => "is near-empty again",
                    Fill::Half => "is half full",
                    Fill::Full => "is full: the oldest messages are dropped",
                };
                lines.push(format!("{}'s buffer of level {} {how}", AGGREGATORS[aggregator].0, LEVEL_NAMES[level]));
            }
        }
        lines
    }

    fn observe_rates(&mut self, sample: &Sample) -> Vec<String> {
        let mut lines = vec![];
        for (at, (name, _)) in AGGREGATORS.iter().enumerate() {
            let now_bps = sample.aggregators[at].map(|level| level.granted_bps);
            let last_bps = std::mem::replace(&mut self.last_bps[at], now_bps);
            let is_settled = last_bps.iter().zip(&now_bps).all(|(last, now)| last.abs_diff(*now) < CHANGE_BPS / 10);
            if !is_settled || !self.logged_bps[at].iter().zip(&now_bps).any(|(logged, now)| is_change(*logged, *now)) {
                continue;
            }
            self.logged_bps[at] = now_bps;
            let [low, middle, high] = now_bps.map(rate);
            lines.push(format!("the orchestrator gives {name} {low}, {middle} and {high} in levels 0, 1 and 2"));
        }
        lines
    }

    fn fill(&self, before: Fill, bytes: u64) -> Fill {
        let ppm = bytes.saturating_mul(MILLION) / self.capacity_bytes.max(1);
        match before {
            _ if ppm < NEAR_EMPTY_PPM => Fill::Low,
            Fill::Full => Fill::Full,
            _ if ppm >= MILLION - NEAR_EMPTY_PPM => Fill::Full,
            Fill::Half => Fill::Half,
            Fill::Low if ppm >= FILLED_PPM => Fill::Half,
            Fill::Low => Fill::Low,
        }
    }
}

fn is_change(before: u64, now: u64) -> bool {
    let (low, high) = (before.min(now), before.max(now));
    high >= low.saturating_mul(TIMES) && high > 0 || high - low >= CHANGE_BPS
}
