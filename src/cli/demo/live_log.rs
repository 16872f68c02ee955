//! What is worth telling of what is seen: a buffer that fills or empties, a rate that becomes another. Pure: from sample to
//! sample. What must stay true: small changes are not told, so that what is told is bounded by what happens.

use super::claims::{FILLED_PPM, NEAR_EMPTY_PPM};
use super::samples::{Sample, places};
use super::scenario::{AGGREGATORS, LEVEL_NAMES};
use crate::cli::connection::rate;
use gateway::qos_level::PerLevel;

const MILLION: u64 = 1_000_000;
/// A rate is told when it is this many times another, or that part of it.
const TIMES: u64 = 2;
/// Or when it changed by so much.
const MUCH_BPS: u64 = 1_000_000;

/// How full a buffer is, as far as it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Fill {
    #[default]
    Low,
    Half,
    Full,
}

/// What was told last.
#[derive(Clone, Debug)]
pub struct Notices {
    capacity_bytes: u64,
    fills: [PerLevel<Fill>; AGGREGATORS.len()],
    told_bps: [PerLevel<u64>; AGGREGATORS.len()],
    /// What was given at the last look: a rate is told once it stays.
    last_bps: [PerLevel<u64>; AGGREGATORS.len()],
}

impl Notices {
    /// Nothing was told; every level has room for so much.
    pub fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, fills: Default::default(), told_bps: Default::default(), last_bps: Default::default() }
    }

    /// What is to be told of a sample.
    pub fn note(&mut self, sample: &Sample) -> Vec<String> {
        let mut told = self.note_rates(sample);
        for (aggregator, level) in places() {
            let fill = self.fill(self.fills[aggregator][level], sample.aggregators[aggregator][level].buffer_bytes);
            if std::mem::replace(&mut self.fills[aggregator][level], fill) != fill {
                let how = match fill {
                    Fill::Low => "is near-empty again",
                    Fill::Half => "is half full",
                    Fill::Full => "is full: the oldest messages go",
                };
                told.push(format!("{}'s buffer of level {} {how}", AGGREGATORS[aggregator].0, LEVEL_NAMES[level]));
            }
        }
        told
    }

    fn note_rates(&mut self, sample: &Sample) -> Vec<String> {
        let mut told = vec![];
        for (at, (name, _)) in AGGREGATORS.iter().enumerate() {
            let now_bps = sample.aggregators[at].map(|level| level.granted_bps);
            let last_bps = std::mem::replace(&mut self.last_bps[at], now_bps);
            let is_settled = last_bps.iter().zip(&now_bps).all(|(last, now)| last.abs_diff(*now) < MUCH_BPS / 10);
            if !is_settled || !self.told_bps[at].iter().zip(&now_bps).any(|(told, now)| is_other(*told, *now)) {
                continue;
            }
            self.told_bps[at] = now_bps;
            let [low, middle, high] = now_bps.map(rate);
            told.push(format!("the orchestrator gives {name} {low}, {middle} and {high} in levels 0, 1 and 2"));
        }
        told
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

fn is_other(before: u64, now: u64) -> bool {
    let (low, high) = (before.min(now), before.max(now));
    high >= low.saturating_mul(TIMES) && high > 0 || high - low >= MUCH_BPS
}
