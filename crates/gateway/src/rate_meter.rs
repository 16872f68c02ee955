//! What arrives: bits over the last two seconds, in slots, so that old traffic is forgotten in steps and memory is fixed.

use super::clock::SinceStart;

const SLOTS: usize = 8;
const SLOT_US: u64 = 250_000;

/// Measures a rate.
#[derive(Clone, Debug, Default)]
pub struct RateMeter {
    bits: [u64; SLOTS],
    /// The number of the slot that was written last.
    slot: u64,
    started: Option<SinceStart>,
}

impl RateMeter {
    /// Counts bytes that arrived.
    pub fn add(&mut self, now: SinceStart, bytes: u64) {
        self.started.get_or_insert(now);
        self.turn(now);
        let bits = &mut self.bits[Self::index(self.slot)];
        *bits = bits.saturating_add(bytes.saturating_mul(8));
    }

    /// Bytes that were counted just now turned out to be others.
    pub fn correct(&mut self, now: SinceStart, counted_bytes: u64, bytes: u64) {
        self.add(now, bytes);
        let mut left = counted_bytes.saturating_mul(8);
        for slot in (0..=self.slot).rev().take(SLOTS) {
            let bits = &mut self.bits[Self::index(slot)];
            let taken = left.min(*bits);
            *bits -= taken;
            left -= taken;
        }
    }

    /// The mean rate over the window, or since the first arrival if that is less long ago.
    pub fn bps(&self, now: SinceStart) -> u64 {
        let Some(started) = self.started else { return 0 };
        let mut turned = self.clone();
        turned.turn(now);
        let bits: u64 = turned.bits.iter().fold(0, |sum, bits| sum.saturating_add(*bits));
        // The window ends in the middle of a slot: what it spans is seven whole ones and a part.
        let span_us = ((SLOTS as u64 - 1) * SLOT_US + now.0 % SLOT_US).min(now.since(started)).max(SLOT_US);
        u64::try_from(u128::from(bits) * 1_000_000 / u128::from(span_us)).unwrap_or(u64::MAX)
    }

    fn turn(&mut self, now: SinceStart) {
        let slot = now.0 / SLOT_US;
        for passed in (self.slot + 1..=slot).rev().take(SLOTS) {
            self.bits[Self::index(passed)] = 0;
        }
        self.slot = self.slot.max(slot);
    }

    fn index(slot: u64) -> usize {
        usize::try_from(slot % SLOTS as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_measured_and_forgotten() {
        let mut meter = RateMeter::default();
        for at_us in (0..5_000_000).step_by(10_000) {
            meter.add(SinceStart(at_us), 100);
        }
        let now = SinceStart(4_990_000);
        assert!(meter.bps(now).abs_diff(80_000) < 4_000, "{}", meter.bps(now));
        assert_eq!(meter.bps(now.after(2_500_000)), 0);
        assert_eq!(RateMeter::default().bps(now), 0);
        meter.add(SinceStart(u64::MAX), u64::MAX);
        assert!(meter.bps(SinceStart(u64::MAX)) > 0);
    }
}
