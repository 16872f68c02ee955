//! What it takes on a link to send something: messages as they are rendered, the envelope and the heads of a batch, and the
//! headers of the packets that carry it. What arrives is reported in the same measure as what is sent, so that a gateway
//! asks for as much as it uses.

use super::clock::SinceStart;
use super::limits::{
    BATCH_INTERVAL_SHORT_US, BATCH_INTERVAL_US, BATCH_OVERHEAD_BYTES, SEGMENT_BYTES, SEGMENT_OVERHEAD_BYTES,
};
use super::rate_meter::RateMeter;

/// What a batch takes whose messages have so many bytes; nothing for no messages.
pub fn batch_bytes(messages_bytes: u64) -> u64 {
    if messages_bytes == 0 {
        return 0;
    }
    let body = messages_bytes.saturating_add(BATCH_OVERHEAD_BYTES);
    body.saturating_add(body.div_ceil(SEGMENT_BYTES).saturating_mul(SEGMENT_OVERHEAD_BYTES))
}

/// How many bytes of messages a batch may have that takes at most so much; the inverse of [`batch_bytes`].
pub fn messages_bytes(batch_bytes: u64) -> u64 {
    let whole = SEGMENT_BYTES + SEGMENT_OVERHEAD_BYTES;
    let rest = (batch_bytes % whole).saturating_sub(SEGMENT_OVERHEAD_BYTES);
    (batch_bytes / whole * SEGMENT_BYTES + rest).saturating_sub(BATCH_OVERHEAD_BYTES)
}

/// The overhead of sending, over the window of [`RateMeter`].
#[derive(Clone, Debug, Default)]
pub struct OverheadMeter {
    messages: RateMeter,
    all: RateMeter,
}

impl OverheadMeter {
    /// A batch with so many bytes of messages took so much.
    pub fn add(&mut self, now: SinceStart, messages_bytes: u64, batch_bytes: u64) {
        self.messages.add(now, messages_bytes);
        self.all.add(now, batch_bytes);
    }

    /// What messages that arrive at a rate will take to send, in bit/s: what recent batches took; but batches of so many
    /// lanes, at whose level `level_bps` arrive, can wait for [`BATCH_INTERVAL_US`] to be fuller, or less where their messages are large. Without recent batches,
    /// what messages take in full ones.
    pub fn expect_bps(&self, now: SinceStart, arrival_bps: u64, level_bps: u64, lanes: u64) -> u64 {
        let (messages, all) = (self.messages.bps(now), self.all.bps(now));
        let full = (SEGMENT_BYTES + SEGMENT_OVERHEAD_BYTES, SEGMENT_BYTES);
        let recent = if messages == 0 { full } else { (all, messages) };
        let heads = u128::from(lanes) * u128::from(BATCH_OVERHEAD_BYTES + SEGMENT_OVERHEAD_BYTES) * 8_000_000;
        let every = |interval_us: u64| u64::try_from(heads / u128::from(interval_us)).unwrap_or(u64::MAX);
        let heads_bps = every(BATCH_INTERVAL_US).max(every(BATCH_INTERVAL_SHORT_US).min(level_bps / 3));
        let expect = |bps: u64, (part, whole): (u64, u64)| {
            u64::try_from(u128::from(bps) * u128::from(part) / u128::from(whole)).unwrap_or(u64::MAX)
        };
        let patient = (expect(level_bps, full).saturating_add(heads_bps), level_bps.max(1));
        let is_patient = level_bps > 0 && expect(level_bps, recent) > patient.0;
        expect(arrival_bps, if is_patient { patient } else { recent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_fits_takes_no_more_than_there_is(bytes in 0..10_000_000_u64) {
            let fits = messages_bytes(bytes);
            prop_assert!(fits == 0 || batch_bytes(fits) <= bytes);
            prop_assert!(batch_bytes(fits + 1) + 1 >= bytes.min(batch_bytes(1)), "{fits} could be more");
            prop_assert!(messages_bytes(batch_bytes(bytes)) >= bytes.saturating_sub(1));
        }
    }

    #[test]
    fn small_batches_cost_more() {
        let (mut small, mut large) = (OverheadMeter::default(), OverheadMeter::default());
        for at in 0..8 {
            let now = SinceStart(at * 250_000);
            small.add(now, 200, batch_bytes(200));
            large.add(now, 60_000, batch_bytes(60_000));
        }
        let now = SinceStart(1_999_999);
        let expect = |meter: &OverheadMeter| meter.expect_bps(now, 1_000, 1_000, 1);
        assert!(expect(&small) > 4_000 && expect(&large) < 1_100);
        assert_eq!(OverheadMeter::default().expect_bps(now, 140_000, 140_000, 1), 147_000);
        // At a higher rate more messages share a batch: two a second are enough, ten where the heads are a third or less.
        assert_eq!(small.expect_bps(now, 20_000, 20_000, 1), 21_000 + 2 * 670 * 8);
        assert_eq!(small.expect_bps(now, 140_000, 140_000, 1), 147_000 + 140_000 / 3);
        assert_eq!(small.expect_bps(now, 1_400_000, 1_400_000, 1), 1_470_000 + 10 * 670 * 8);
    }
}
