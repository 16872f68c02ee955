//! A run as the max-min fair optimum would have it: at each sample every level of every aggregator sends what it asks for, or as
//! much as any other that gets less than it asks for. On the one link that all share, progressive filling is that optimum
//! (Bertsekas and Gallager, Data Networks, §6.5.2). Buffers fill and drain as of a fluid. Pure.

use serde::Serialize;

use super::samples::{DemoRun, Phase, Sample, at, places};
use super::scenario::LINK_BPS;

/// A level of an aggregator under the optimum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OptimalLevel {
    /// What is sent in the second half of the time with both clients and the background traffic, in bit/s.
    pub sent_bps: u64,
    /// What is lost of what leaves the buffer in the whole run, in parts per million.
    pub lost_ppm: u64,
    /// The mean latency over the whole run, in milliseconds: what waits over what is sent (Little's law).
    pub latency_ms: u64,
}

/// The buffer of a level, and what became of what was offered, in bits.
#[derive(Clone, Copy, Default)]
struct FluidBuffer {
    waiting: u64,
    sent: u64,
    lost: u64,
    /// What waited, times milliseconds.
    waited: u128,
    settled: u64,
}

impl FluidBuffer {
    fn step(&mut self, demand: u64, sent: u64, capacity: u64, span_ms: u64) {
        self.waiting = demand.saturating_sub(sent);
        let lost = self.waiting.saturating_sub(capacity);
        self.waiting -= lost;
        self.sent = self.sent.saturating_add(sent);
        self.lost = self.lost.saturating_add(lost);
        self.waited += u128::from(self.waiting) * u128::from(span_ms);
    }

    fn level(self, settled_ms: u64) -> OptimalLevel {
        let ratio = |part: u128, whole: u64| u64::try_from(part / u128::from(whole.max(1))).unwrap_or(u64::MAX);
        OptimalLevel {
            sent_bps: ratio(u128::from(self.settled) * 1_000, settled_ms),
            lost_ppm: ratio(u128::from(self.lost) * 1_000_000, self.lost.saturating_add(self.sent)),
            latency_ms: ratio(self.waited, self.sent),
        }
    }
}

/// Each aggregator and level, in the order of [`places`], for what the run was offered.
pub fn optimum(record: &DemoRun) -> Vec<OptimalLevel> {
    let capacity = record.timeline.buffer_bytes.saturating_mul(8);
    let mut buffers: Vec<_> = places().map(|_| FluidBuffer::default()).collect();
    let is_settled = |sample: &Sample| record.settled(Phase::Client2).any(|one| one.at_ms == sample.at_ms);
    let mut settled_ms = 0;
    for (sample, next) in record.samples.iter().zip(record.samples.iter().skip(1)) {
        let span_ms = next.at_ms.saturating_sub(sample.at_ms);
        let bits = |bps: u64| bps.saturating_mul(span_ms) / 1_000;
        let demands: Vec<u64> = places()
            .zip(&buffers)
            .map(|(place, buffer)| bits(at(sample, place).offered_bps).saturating_add(buffer.waiting))
            .collect();
        let shares = progressive_filling(&demands, bits(LINK_BPS.saturating_sub(sample.background_bps)));
        let settled = if is_settled(sample) { 1 } else { 0 };
        settled_ms += settled * span_ms;
        for ((buffer, demand), share) in buffers.iter_mut().zip(demands).zip(shares) {
            buffer.step(demand, share, capacity, span_ms);
            buffer.settled += settled * share;
        }
    }
    buffers.into_iter().map(|buffer| buffer.level(settled_ms)).collect()
}

/// The max-min fair shares of one resource, in the order of the demands.
pub fn progressive_filling(demands: &[u64], room: u64) -> Vec<u64> {
    let mut smallest_first: Vec<(usize, u64)> = demands.iter().copied().enumerate().collect();
    smallest_first.sort_unstable_by_key(|(_, demand)| *demand);
    let (mut room, mut shares) = (room, vec![0; demands.len()]);
    for ((place, demand), left) in smallest_first.into_iter().zip((1..=demands.len() as u64).rev()) {
        let share = demand.min(room / left);
        room -= share;
        shares[place] = share;
    }
    shares
}

/// Jain's index of what some got over what they were to get, in parts per million: a million where all got the same part of
/// it, a million over their number where one got all (Jain, Chiu, Hawe, DEC-TR-301, 1984). Who was to get nothing is left out.
pub fn jain_ppm(got_and_due: impl Iterator<Item = (u64, u64)>) -> u64 {
    let parts = got_and_due.filter(|(_, due)| *due > 0);
    let parts: Vec<u128> = parts.map(|(got, due)| u128::from(got) * 1_000_000 / u128::from(due)).collect();
    let (sum, squares): (u128, u128) = (parts.iter().sum(), parts.iter().map(|part| part * part).sum());
    let index = sum.saturating_mul(sum).saturating_mul(1_000_000) / (squares * parts.len() as u128).max(1);
    u64::try_from(index).unwrap_or(u64::MAX)
}
