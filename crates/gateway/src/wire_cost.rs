//! What it takes on a link to send something: messages as they are rendered or coded, the envelope and the heads of a batch,
//! and the headers of the packets that carry it. What arrives is reported in the same measure as what is sent, so that a
//! gateway asks for as much as it uses. How much a coding leaves is known when a batch has been coded: it is planned as the
//! batches before it were, and corrected.

use super::clock::SinceStart;
use super::limits::{
    BATCH_INTERVAL_SHORT_US, BATCH_INTERVAL_US, BATCH_OVERHEAD_BYTES, CODED_MIN_PPM, HEADROOM_MAX_BPS, HEADROOM_PART,
    SEGMENT_BYTES, SEGMENT_OVERHEAD_BYTES,
};
use super::rate_meter::RateMeter;

/// A whole, in parts per million.
pub const PPM: u64 = 1_000_000;

/// What a batch takes whose messages have so many bytes; nothing for no messages.
pub fn batch_bytes(messages_bytes: u64) -> u64 {
    if messages_bytes == 0 {
        return 0;
    }
    in_packets(messages_bytes.saturating_add(BATCH_OVERHEAD_BYTES))
}

/// What so many bytes take with the headers of the packets that carry them.
pub fn in_packets(bytes: u64) -> u64 {
    bytes.saturating_add(bytes.div_ceil(SEGMENT_BYTES).saturating_mul(SEGMENT_OVERHEAD_BYTES))
}

/// So many parts per million of an amount.
pub fn part(bytes: u64, ppm: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(ppm) / u128::from(PPM)).unwrap_or(u64::MAX)
}

/// The whole of which so many parts per million are an amount.
pub fn whole(bytes: u64, ppm: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(PPM) / u128::from(ppm.max(1))).unwrap_or(u64::MAX)
}

/// How many bytes of messages a batch may have that takes at most so much; the inverse of [`batch_bytes`].
pub fn messages_bytes(batch_bytes: u64) -> u64 {
    let whole = SEGMENT_BYTES + SEGMENT_OVERHEAD_BYTES;
    let rest = (batch_bytes % whole).saturating_sub(SEGMENT_OVERHEAD_BYTES);
    (batch_bytes / whole * SEGMENT_BYTES + rest).saturating_sub(BATCH_OVERHEAD_BYTES)
}

/// A body or an event as it was rendered and as it was sent, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SentBody {
    /// As it was rendered.
    pub plain_bytes: usize,
    /// As it was sent.
    pub sent_bytes: usize,
    /// The heads that went with it.
    pub head_bytes: usize,
}

/// What a batch takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchCost {
    /// Its messages as they are rendered.
    pub messages_bytes: u64,
    /// What a coding leaves of them, in parts per million.
    pub coded_ppm: u64,
    /// All of it on the wire.
    pub wire_bytes: u64,
}

impl BatchCost {
    /// What messages take of which a coding leaves so much.
    pub fn planned(messages_bytes: u64, coded_ppm: u64) -> Self {
        Self { messages_bytes, coded_ppm, wire_bytes: batch_bytes(part(messages_bytes, coded_ppm)) }
    }

    /// What the same messages took.
    #[must_use]
    pub fn of_sent(self, body: SentBody) -> Self {
        let coded_ppm = ppm(body.sent_bytes as u64, body.plain_bytes as u64);
        let wire_bytes = in_packets(body.sent_bytes.saturating_add(body.head_bytes) as u64);
        Self { coded_ppm, wire_bytes, ..self }
    }

    fn coded_bytes(self) -> u64 {
        part(self.messages_bytes, self.coded_ppm)
    }
}

/// What a coding left, in parts per million and within the limits of what is planned with.
fn ppm(coded: u64, plain: u64) -> u64 {
    if plain == 0 { PPM } else { whole(coded, plain).clamp(CODED_MIN_PPM, PPM) }
}

/// The overhead of sending, over the window of [`RateMeter`].
#[derive(Clone, Debug, Default)]
pub struct OverheadMeter {
    messages: RateMeter,
    /// The same as a coding leaves them.
    coded: RateMeter,
    all: RateMeter,
}

impl OverheadMeter {
    /// A batch takes so much.
    pub fn add(&mut self, now: SinceStart, cost: BatchCost) {
        self.messages.add(now, cost.messages_bytes);
        self.coded.add(now, cost.coded_bytes());
        self.all.add(now, cost.wire_bytes);
    }

    /// A batch that was counted just now took something else.
    pub fn correct(&mut self, now: SinceStart, counted: BatchCost, cost: BatchCost) {
        self.coded.correct(now, counted.coded_bytes(), cost.coded_bytes());
        self.all.correct(now, counted.wire_bytes, cost.wire_bytes);
    }

    /// What recent messages took on the wire, in parts per million of what they take as they are rendered.
    pub fn coded_ppm(&self, now: SinceStart) -> u64 {
        let (messages, coded) = (self.messages.bps(now), self.coded.bps(now));
        ppm(coded, messages)
    }

    /// What messages that arrive at a rate will take to send, in bit/s: what recent batches took; but batches of so many
    /// lanes, at whose level `level_bps` arrive, can wait for [`BATCH_INTERVAL_US`] to be fuller, or less where their messages
    /// are large. Without recent batches, what messages take in full ones.
    pub fn expect_bps(&self, now: SinceStart, arrival_bps: u64, level_bps: u64, lanes: u64) -> u64 {
        let (messages, all) = (self.messages.bps(now), self.all.bps(now));
        let full = (part(SEGMENT_BYTES + SEGMENT_OVERHEAD_BYTES, self.coded_ppm(now)), SEGMENT_BYTES);
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

/// What is asked for where `bps` is needed, a part of what its level needs in all: so much more that a bucket fills while
/// the level sends as much as arrives. A level at its exact rate would send each message when the credit for it has come.
pub fn with_headroom(bps: u64, level_bps: u64) -> u64 {
    let headroom_bps = (level_bps / HEADROOM_PART).min(HEADROOM_MAX_BPS);
    let part = u128::from(headroom_bps) * u128::from(bps) / u128::from(level_bps.max(1));
    bps.saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
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
    fn what_a_coding_leaves_is_asked_for() {
        let (mut meter, now) = (OverheadMeter::default(), SinceStart(1_000_000));
        let planned = BatchCost::planned(100_000, PPM);
        let body = SentBody { plain_bytes: 100_200, sent_bytes: 25_050, head_bytes: 400 };
        let cost = planned.of_sent(body);
        assert_eq!((cost.coded_bytes(), cost.coded_ppm, cost.wire_bytes), (25_000, 250_000, in_packets(25_450)));
        meter.add(SinceStart(0), planned);
        meter.correct(now, planned, cost);
        assert_eq!(meter.coded_ppm(now), 250_000);
        let expected = meter.expect_bps(now, 1_000_000, 1_000_000, 1);
        assert!((262_500..280_000).contains(&expected), "{expected}");
        // However well a batch was coded, the next is not planned with next to nothing, nor with more than it is; and what is
        // sent as it is, is that, however small the batch.
        let coded = |plain_bytes, sent_bytes| planned.of_sent(SentBody { plain_bytes, sent_bytes, ..body }).coded_ppm;
        assert_eq!((coded(100_000, 10), coded(100, 110), coded(90, 90), coded(0, 0)), (CODED_MIN_PPM, PPM, PPM, PPM));
        assert_eq!(OverheadMeter::default().coded_ppm(now), PPM);
    }

    #[test]
    fn headroom_is_a_part_of_small_rates() {
        assert_eq!((with_headroom(0, 0), with_headroom(60_000, 60_000)), (0, 70_000));
        assert_eq!(with_headroom(20_000_000, 20_000_000), 20_000_000 + HEADROOM_MAX_BPS);
        assert_eq!(with_headroom(5_000_000, 20_000_000) * 4, with_headroom(20_000_000, 20_000_000));
        assert_eq!(with_headroom(u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn small_batches_cost_more() {
        let (mut small, mut large) = (OverheadMeter::default(), OverheadMeter::default());
        for at in 0..8 {
            let now = SinceStart(at * 250_000);
            small.add(now, BatchCost::planned(200, PPM));
            large.add(now, BatchCost::planned(60_000, PPM));
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
