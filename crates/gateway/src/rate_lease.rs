//! Which rates hold: the orchestrator's last ones until their lease ends; then its fallback; and before it ever answered,
//! those of the gateway's options.
//!
//! What must stay true: there is always a rate for each level, whatever the orchestrator does.

use api::aggregator::{AggregatorRates, UnservedReason};
use api::gateway::RateSource;
use api::qos_level::{LEVELS, PerLevel};

use super::clock::SinceStart;
use super::limits::LEASE_MAX_MS;

/// Rates of the orchestrator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LevelRates {
    /// Larger is newer, as long as the orchestrator lives.
    pub sequence: u64,
    /// When they were decided, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long they hold from their arrival.
    pub lease_ms: u64,
    /// What each level may send, in bit/s.
    pub levels_bps: PerLevel<u64>,
    /// What each level may send after the lease, in bit/s; `None`: that of the options.
    pub fallback_bps: PerLevel<Option<u64>>,
    /// Why a level has no rate, if the orchestrator says so.
    pub unserved: PerLevel<Option<UnservedReason>>,
    /// Whether other levels may use what a level leaves.
    pub is_work_conserving: bool,
}

/// The rates in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RatesInForce {
    /// Whose they are.
    pub source: RateSource,
    /// What each level may send.
    pub levels_bps: PerLevel<u64>,
    /// Why a level has no rate, if the orchestrator says so.
    pub unserved: PerLevel<Option<UnservedReason>>,
    /// Whether other levels may use what a level leaves.
    pub is_work_conserving: bool,
}

/// Whether rates were applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RatesUpdate {
    /// They hold from now on.
    Applied,
    /// Newer rates hold.
    Outdated,
}

/// A document has two rates for one level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid rates: qos_level {0} is there twice")]
pub struct RatesError(u8);

impl LevelRates {
    /// The rates of a document. Levels beyond the gateway's are ignored; an absent level sends nothing.
    ///
    /// # Errors
    /// A level is there twice.
    pub fn read(document: &AggregatorRates) -> Result<Self, RatesError> {
        let levels = document.levels.iter().map(|rate| (rate.qos_level, rate.rate_bps));
        let mut unserved = [None; LEVELS];
        for rate in &document.levels {
            if let Some(entry) = unserved.get_mut(usize::from(rate.qos_level)) {
                *entry = rate.unserved;
            }
        }
        let fallback = document.fallback.iter().map(|rate| (rate.qos_level, rate.rate_bps));
        Ok(Self {
            sequence: document.sequence,
            at_ms: document.at.0,
            lease_ms: document.lease_ms,
            levels_bps: by_level(levels)?.map(Option::unwrap_or_default),
            fallback_bps: by_level(fallback)?,
            unserved,
            is_work_conserving: document.work_conserving,
        })
    }
}

fn by_level(rates: impl Iterator<Item = (u8, u64)>) -> Result<PerLevel<Option<u64>>, RatesError> {
    let mut levels_bps = [None; LEVELS];
    for (level, rate_bps) in rates {
        let entry = levels_bps.get_mut(usize::from(level));
        // More than a signed number of 64 bits is beyond any link.
        let rate_bps = rate_bps.min(i64::MAX.unsigned_abs());
        if entry.and_then(|entry| entry.replace(rate_bps)).is_some() {
            return Err(RatesError(level));
        }
    }
    Ok(levels_bps)
}

/// The lease of the orchestrator's rates, and the rates without one.
#[derive(Clone, Debug)]
pub struct RateLease {
    configured_bps: PerLevel<u64>,
    held: Option<(LevelRates, SinceStart)>,
}

impl RateLease {
    /// Before the orchestrator ever answered.
    pub fn new(configured_bps: PerLevel<u64>) -> Self {
        Self { configured_bps, held: None }
    }

    /// Rates arrived. A sequence number that starts again is accepted if the time does not, or if the lease of those before
    /// is over: an orchestrator that was set up anew, or whose clock was set back, is obeyed then.
    pub fn apply_rates(&mut self, now: SinceStart, rates: LevelRates) -> RatesUpdate {
        if let Some((held, until)) = &self.held
            && now < *until
            && rates.sequence < held.sequence
            && rates.at_ms <= held.at_ms
        {
            return RatesUpdate::Outdated;
        }
        let until = now.after(rates.lease_ms.min(LEASE_MAX_MS) * 1_000);
        self.held = Some((rates, until));
        RatesUpdate::Applied
    }

    /// What holds now.
    pub fn in_force(&self, now: SinceStart) -> RatesInForce {
        match &self.held {
            Some((rates, until)) if now < *until => RatesInForce {
                source: RateSource::Orchestrator,
                levels_bps: rates.levels_bps,
                unserved: rates.unserved,
                is_work_conserving: rates.is_work_conserving,
            },
            held => {
                let fallback = held.as_ref().map(|(rates, _)| rates.fallback_bps).unwrap_or_default();
                let levels_bps = std::array::from_fn(|at| fallback[at].unwrap_or(self.configured_bps[at]));
                let unserved = held.as_ref().map(|(rates, _)| rates.unserved).unwrap_or_default();
                RatesInForce { source: RateSource::Fallback, levels_bps, unserved, is_work_conserving: false }
            }
        }
    }

    /// When other rates will hold.
    pub fn next_deadline(&self, now: SinceStart) -> Option<SinceStart> {
        self.held.as_ref().map(|(_, until)| *until).filter(|until| *until > now)
    }

    /// The sequence number of the orchestrator's last rates.
    pub fn sequence(&self) -> Option<u64> {
        self.held.as_ref().map(|(rates, _)| rates.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(sequence: u64, at_ms: u64, bps: u64) -> LevelRates {
        LevelRates {
            sequence,
            at_ms,
            lease_ms: 1_000,
            levels_bps: [bps; 3],
            fallback_bps: [Some(bps / 10), None, Some(0)],
            unserved: [None; 3],
            is_work_conserving: true,
        }
    }

    #[test]
    fn rates_hold_until_their_lease_ends_and_then_the_fallback() {
        let mut lease = RateLease::new([1, 2, 3]);
        assert_eq!(lease.in_force(SinceStart(0)).levels_bps, [1, 2, 3]);
        assert_eq!(lease.apply_rates(SinceStart(0), rates(5, 100, 1_000)), RatesUpdate::Applied);
        assert_eq!(lease.in_force(SinceStart(999_999)).levels_bps, [1_000; 3]);
        assert_eq!(lease.next_deadline(SinceStart(0)), Some(SinceStart(1_000_000)));
        let after = lease.in_force(SinceStart(1_000_000));
        assert_eq!(
            (after.source, after.levels_bps, after.is_work_conserving),
            (RateSource::Fallback, [100, 2, 0], false)
        );
        // The same again renews the lease.
        lease.apply_rates(SinceStart(1_500_000), rates(5, 100, 1_000));
        assert_eq!(lease.in_force(SinceStart(2_000_000)).source, RateSource::Orchestrator);
    }

    /// A rate of 0 is a rate: what nothing is reserved for is not sent unreserved once the orchestrator is silent, whatever
    /// the options say.
    #[test]
    fn a_rate_of_nothing_is_not_replaced_by_the_options() {
        let mut lease = RateLease::new([7_000; 3]);
        let text = r#"{"sequence":1,"at":"2030-01-01T00:00:00Z","lease_ms":1000,
            "levels":[{"qos_level":0,"rate_bps":9},{"qos_level":2,"rate_bps":0,"unserved":"no_class"},{"qos_level":1,"rate_bps":0,"unserved":"news"}],
            "fallback":[{"qos_level":0,"rate_bps":5},{"qos_level":2,"rate_bps":0}]}"#;
        lease.apply_rates(SinceStart(0), LevelRates::read(&serde_json::from_str(text).unwrap()).unwrap());
        let unserved = [None, Some(UnservedReason::Other), Some(UnservedReason::NoClass)];
        for (at, levels_bps) in [(0, [9, 0, 0]), (1_000_000, [5, 7_000, 0])] {
            let in_force = lease.in_force(SinceStart(at));
            assert_eq!((in_force.levels_bps, in_force.unserved), (levels_bps, unserved));
        }
    }

    #[test]
    fn documents_are_read_with_suspicion() {
        let read = |text: &str| LevelRates::read(&serde_json::from_str(text).unwrap());
        let rates = read(
            r#"{"sequence":1,"at":"2030-01-01T00:00:00Z","lease_ms":5,"new":true,
                "levels":[{"qos_level":0,"rate_bps":7,"allocations":["9"]},{"qos_level":9,"rate_bps":1},{"qos_level":2,"rate_bps":18446744073709551615}]}"#,
        );
        let rates = rates.unwrap();
        assert_eq!((rates.levels_bps, rates.fallback_bps), ([7, 0, (1 << 63) - 1], [None; 3]));
        let twice = r#"{"sequence":1,"at":"2030-01-01T00:00:00Z","lease_ms":5,
            "levels":[{"qos_level":0,"rate_bps":7},{"qos_level":0,"rate_bps":8}]}"#;
        assert_eq!(read(twice), Err(RatesError(0)));
        for bad in [r#"{"sequence":1,"at":"now","lease_ms":5,"levels":[]}"#, r#"{"sequence":-1}"#] {
            assert!(serde_json::from_str::<AggregatorRates>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn old_news_are_no_news_but_a_new_orchestrator_is_believed() {
        let mut lease = RateLease::new([0; 3]);
        lease.apply_rates(SinceStart(0), rates(5, 100, 1_000));
        assert_eq!(lease.apply_rates(SinceStart(1), rates(4, 90, 7)), RatesUpdate::Outdated);
        assert_eq!(lease.apply_rates(SinceStart(1), rates(1, 101, 9)), RatesUpdate::Applied);
        assert_eq!(lease.in_force(SinceStart(2)).levels_bps, [9; 3]);
        // Whatever was told before counts no more once its lease is over.
        assert_eq!(lease.apply_rates(SinceStart(500_000), rates(0, 7, 8)), RatesUpdate::Outdated);
        assert_eq!(lease.apply_rates(SinceStart(1_000_001), rates(0, 7, 8)), RatesUpdate::Applied);
        // An absurd lease is cut.
        lease.apply_rates(SinceStart(0), LevelRates { lease_ms: u64::MAX, ..rates(9, 200, 1) });
        assert_eq!(lease.next_deadline(SinceStart(0)), Some(SinceStart(LEASE_MAX_MS * 1_000)));
    }
}
