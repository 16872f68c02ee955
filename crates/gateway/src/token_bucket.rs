//! Pacing: a token bucket for each level, filled at the rate in force. A rate changes in place: credit and debt carry over,
//! so that a change gives no extra credit. (The crate `governor` fixes a quota for the life of a limiter.)
//!
//! What must stay true: in any span of time a level sends at most its rate times the span, plus one bucket, plus the one
//! batch that may overdraw it.

use api::qos_level::{LEVELS, Level, PerLevel};

use super::clock::SinceStart;
use super::limits::{ANSWER_MAX_US, BUCKET_DEPTH_US, EFFICIENT_BATCH_BYTES};

/// Credit is counted in millionths of a bit, so that no fraction of a microsecond's bits is ever lost.
const UNITS_PER_BIT: i128 = 1_000_000;

fn units(bytes: u64) -> i128 {
    i128::from(bytes) * 8 * UNITS_PER_BIT
}

/// A token bucket whose rate can change.
#[derive(Clone, Debug, Default)]
pub struct TokenBucket {
    rate_bps: u64,
    credit: i128,
    filled_at: SinceStart,
    /// How long answers take: what it gains meanwhile is not lost.
    answer_us: u64,
}

impl TokenBucket {
    /// An empty bucket.
    pub fn new(now: SinceStart, rate_bps: u64) -> Self {
        Self { rate_bps, credit: 0, filled_at: now, answer_us: 0 }
    }

    /// Changes the rate.
    pub fn set_rate(&mut self, now: SinceStart, rate_bps: u64) {
        self.fill(now);
        self.rate_bps = rate_bps;
        self.credit = self.credit.min(self.depth());
    }

    /// The rate at which it fills, in bit/s.
    pub fn rate_bps(&self) -> u64 {
        self.rate_bps
    }

    /// Answers to batches take so long.
    pub fn set_answer_time(&mut self, answer_us: u64) {
        self.answer_us = answer_us.min(ANSWER_MAX_US);
    }

    /// The time in which it fills: while an answer is outstanding, and a little longer for what sending itself takes.
    fn depth_us(&self) -> u64 {
        BUCKET_DEPTH_US.max(self.answer_us + self.answer_us / 8)
    }

    fn gained(&self, us: u64) -> i128 {
        i128::from(self.rate_bps) * i128::from(us)
    }

    /// At least one efficient batch, so that a low rate is not spent on the heads of small ones.
    fn depth(&self) -> i128 {
        if self.rate_bps == 0 { 0 } else { self.gained(self.depth_us()).max(units(EFFICIENT_BATCH_BYTES)) }
    }

    /// What it gains in the time in which it fills, in bytes.
    pub fn depth_bytes(&self) -> u64 {
        u64::try_from(self.gained(self.depth_us()) / (8 * UNITS_PER_BIT)).unwrap_or(u64::MAX)
    }

    fn fill(&mut self, now: SinceStart) {
        let gained = self.gained(now.since(self.filled_at));
        self.filled_at = self.filled_at.max(now);
        self.credit = (self.credit + gained).min(self.depth());
    }

    /// What may be sent now if `wanted_bytes` wait: nothing as long as the credit is neither enough for all of it nor what
    /// is gained in half of [`BUCKET_DEPTH_US`], at least an efficient batch: a busy level sends few full batches instead of many small ones.
    pub fn budget_bytes(&mut self, now: SinceStart, wanted_bytes: u64) -> Option<u64> {
        self.fill(now);
        if self.credit <= 0 || self.credit < self.threshold(wanted_bytes) {
            return None;
        }
        Some(u64::try_from(self.credit / (8 * UNITS_PER_BIT)).unwrap_or(u64::MAX).max(1))
    }

    fn threshold(&self, wanted_bytes: u64) -> i128 {
        units(wanted_bytes).min(self.gained(BUCKET_DEPTH_US / 2).max(units(EFFICIENT_BATCH_BYTES)))
    }

    /// Deducts what was sent; more than the credit is a debt.
    pub fn spend(&mut self, bytes: u64) {
        self.credit -= units(bytes);
    }

    /// What was spent turned out to be less or more.
    pub fn correct(&mut self, spent_bytes: u64, bytes: u64) {
        self.credit += units(spent_bytes) - units(bytes);
    }

    /// When [`Self::budget_bytes`] will allow something; `None`: never at this rate.
    pub fn ready_at(&self, wanted_bytes: u64) -> Option<SinceStart> {
        if self.rate_bps == 0 {
            return None;
        }
        let missing = self.threshold(wanted_bytes).max(1) - self.credit;
        let rate = i128::from(self.rate_bps);
        let wait_us = (missing.max(0) + rate - 1) / rate;
        Some(self.filled_at.after(u64::try_from(wait_us).unwrap_or(u64::MAX)))
    }
}

/// A bucket for each level. Where the rates are work-conserving, a level with nothing to send lends to the others.
#[derive(Clone, Debug, Default)]
pub struct LevelBuckets {
    buckets: PerLevel<TokenBucket>,
    is_lending: bool,
}

/// A permission to send, from the credit of one level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    /// Whose credit it is.
    pub from: Level,
    /// The most to send, but for a single message.
    pub bytes: u64,
}

impl LevelBuckets {
    /// Changes the rates.
    pub fn set(&mut self, now: SinceStart, rates_bps: &PerLevel<u64>, is_lending: bool) {
        for (bucket, rate_bps) in self.buckets.iter_mut().zip(rates_bps) {
            if bucket.rate_bps() != *rate_bps {
                bucket.set_rate(now, *rate_bps);
            }
        }
        self.is_lending = is_lending;
    }

    /// The levels whose credit `level` may use: itself first, then levels with nothing to send, the best first.
    fn sources(&self, level: Level, wanted_bytes: &PerLevel<u64>) -> impl Iterator<Item = Level> + use<> {
        let idle = wanted_bytes.map(|bytes| bytes == 0);
        let is_lending = self.is_lending;
        let others =
            Level::BEST_FIRST.into_iter().filter(move |other| is_lending && *other != level && idle[other.at()]);
        std::iter::once(level).chain(others)
    }

    /// What `level` may send now, given what waits in each level.
    pub fn permit(&mut self, now: SinceStart, level: Level, wanted_bytes: &PerLevel<u64>) -> Option<Permit> {
        let wanted = wanted_bytes[level.at()];
        self.sources(level, wanted_bytes).find_map(|from| {
            let bytes = self.buckets[from.at()].budget_bytes(now, wanted)?;
            Some(Permit { from, bytes })
        })
    }

    /// Deducts what was sent from the credit of a level.
    pub fn spend(&mut self, from: Level, bytes: u64) {
        self.buckets[from.at()].spend(bytes);
    }

    /// What was spent of the credit of a level turned out to be less or more.
    pub fn correct(&mut self, from: Level, spent_bytes: u64, bytes: u64) {
        self.buckets[from.at()].correct(spent_bytes, bytes);
    }

    /// Answers to batches of a level take so long.
    pub fn set_answer_time(&mut self, level: Level, answer_us: u64) {
        self.buckets[level.at()].set_answer_time(answer_us);
    }

    /// What the bucket of a level gains in the time in which it fills, in bytes.
    pub fn depth_bytes(&self, level: Level) -> u64 {
        self.buckets[level.at()].depth_bytes()
    }

    /// When one of the levels with something to send will be allowed to.
    pub fn ready_at(&self, wanted_bytes: &PerLevel<u64>) -> Option<SinceStart> {
        let busy = Level::BEST_FIRST.into_iter().filter(|level| wanted_bytes[level.at()] > 0);
        busy.flat_map(|level| {
            let wanted = wanted_bytes[level.at()];
            self.sources(level, wanted_bytes).filter_map(move |from| self.buckets[from.at()].ready_at(wanted))
        })
        .min()
    }
}

const _: () = assert!(LEVELS == Level::BEST_FIRST.len());

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Under any change of rates and any sizes, no more is sent than the rates allow, one bucket, and one overdraft.
        #[test]
        fn nothing_beyond_the_rates(
            steps in proptest::collection::vec((0_u64..300_000, 0_u64..5_000_000, 1_u64..5_000, any::<bool>()), 1..200)
        ) {
            let mut bucket = TokenBucket::new(SinceStart(0), 1_000_000);
            let (mut now, mut allowed, mut sent_bits, mut deepest, mut overdraft) = (SinceStart(0), 0_u128, 0_u128, 100_000_u128, 0_u64);
            for (wait_us, rate_bps, size, change) in steps {
                allowed += u128::from(bucket.rate_bps()) * u128::from(wait_us);
                now = now.after(wait_us);
                if change {
                    bucket.set_rate(now, rate_bps);
                    deepest = deepest.max(u128::from(rate_bps) / 10);
                }
                while let Some(budget) = bucket.budget_bytes(now, size) {
                    prop_assert!(budget > 0);
                    bucket.spend(size);
                    overdraft = overdraft.max(size.saturating_sub(budget));
                    sent_bits += u128::from(size) * 8;
                }
                prop_assert!(sent_bits * 1_000_000 <= allowed + deepest * 1_000_000 + u128::from(overdraft) * 8_000_000 + 8_000_000);
            }
        }

        /// When it says it is ready it is, and not a microsecond earlier.
        #[test]
        fn readiness_is_exact(rate_bps in 1_u64..10_000_000_000, debt in 0_u64..100_000, wanted in 1_u64..100_000) {
            let mut bucket = TokenBucket::new(SinceStart(7), rate_bps);
            bucket.spend(debt);
            let at = bucket.ready_at(wanted).unwrap();
            prop_assert!(bucket.clone().budget_bytes(at, wanted).is_some());
            if at > SinceStart(7) {
                prop_assert!(bucket.clone().budget_bytes(SinceStart(at.0 - 1), wanted).is_none());
            }
        }

        /// A busy sender gets its rate, to within a bucket.
        #[test]
        fn a_busy_level_gets_its_rate(rate_bps in 10_000_u64..100_000_000, size in 1_u64..2_000) {
            let (mut bucket, mut now, mut sent) = (TokenBucket::new(SinceStart(0), rate_bps), SinceStart(0), 0_u64);
            while let Some(at) = bucket.ready_at(1 << 40).filter(|at| at.0 < 10_000_000) {
                now = now.max(at);
                let budget = bucket.budget_bytes(now, 1 << 40).unwrap();
                let bytes = budget.max(size);
                bucket.spend(bytes);
                sent += bytes * 8;
            }
            prop_assert!(sent.abs_diff(rate_bps * 10) <= rate_bps / 5 + 8 * size + 16 * EFFICIENT_BATCH_BYTES);
        }
    }

    #[test]
    fn a_rate_of_nothing_sends_nothing_and_a_new_one_counts_at_once() {
        let mut bucket = TokenBucket::new(SinceStart(0), 0);
        assert_eq!(bucket.budget_bytes(SinceStart(u64::MAX), 1), None);
        assert_eq!(bucket.ready_at(1), None);
        let mut bucket = TokenBucket::new(SinceStart(0), 0);
        bucket.set_rate(SinceStart(5_000_000), 8_000_000);
        assert_eq!(bucket.ready_at(1), Some(SinceStart(5_000_001)));
    }

    #[test]
    fn idle_levels_lend_only_where_the_plan_allows() {
        let rates = [0, 1_000_000, 0];
        let (mut strict, mut lending) = (LevelBuckets::default(), LevelBuckets::default());
        strict.set(SinceStart(0), &rates, false);
        lending.set(SinceStart(0), &rates, true);
        let [low, _, best] = [0, 1, 2].map(|number| Level::try_from(number).unwrap());
        let (now, only_best) = (SinceStart(100_000), [0, 0, 500]);
        assert_eq!(strict.permit(now, best, &only_best), None);
        assert_eq!(strict.ready_at(&only_best), None);
        assert!(lending.permit(now, best, &only_best).is_some());
        // The lender has something to send itself: nothing is lent.
        assert_eq!(lending.permit(now, low, &[500, 500, 0]), None);
    }
}
