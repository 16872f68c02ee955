//! Which rates hold: what the orchestrator said last, until its lease ends; then what it said for that case; and before it
//! ever spoke, what the gateway was started with.
//!
//! What must stay true: there is always a rate for each level, whatever was heard or not heard.

use super::clock::SinceStart;
use super::limits::LEASE_MAX_MS;
use super::qos_level::PerLevel;

/// Rates as the orchestrator says them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LevelRates {
    /// Larger is newer, as long as the orchestrator lives.
    pub sequence: u64,
    /// When they were decided, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long they hold from when they are heard.
    pub lease_ms: u64,
    /// What each level may send.
    pub levels_bps: PerLevel<u64>,
    /// What each level may send when the lease is over; absent where nothing was said.
    pub fallback_bps: PerLevel<Option<u64>>,
    /// Whether what a level leaves may be used by others.
    pub is_work_conserving: bool,
}

/// Where the rates in force come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The orchestrator, within its lease.
    Orchestrator,
    /// What it said for the case that it is gone, or what the gateway was started with.
    Fallback,
}

/// The rates in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InForce {
    /// Whose they are.
    pub source: Source,
    /// What each level may send.
    pub levels_bps: PerLevel<u64>,
    /// Whether what a level leaves may be used by others.
    pub is_work_conserving: bool,
}

/// Whether rates were taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learnt {
    /// They hold from now on.
    Taken,
    /// Newer ones hold.
    Outdated,
}

/// What was heard.
#[derive(Clone, Debug)]
pub struct RateLease {
    configured_bps: PerLevel<u64>,
    held: Option<(LevelRates, SinceStart)>,
}

impl RateLease {
    /// Nothing was heard yet.
    pub fn new(configured_bps: PerLevel<u64>) -> Self {
        Self { configured_bps, held: None }
    }

    /// Rates were heard. A sequence number that starts again is believed if the time does not.
    pub fn learn(&mut self, now: SinceStart, rates: LevelRates) -> Learnt {
        if let Some((held, _)) = &self.held
            && rates.sequence < held.sequence
            && rates.at_ms <= held.at_ms
        {
            return Learnt::Outdated;
        }
        let until = now.after(rates.lease_ms.min(LEASE_MAX_MS) * 1_000);
        self.held = Some((rates, until));
        Learnt::Taken
    }

    /// What holds now.
    pub fn in_force(&self, now: SinceStart) -> InForce {
        match &self.held {
            Some((rates, until)) if now < *until => InForce {
                source: Source::Orchestrator,
                levels_bps: rates.levels_bps,
                is_work_conserving: rates.is_work_conserving,
            },
            held => {
                let said = held.as_ref().map(|(rates, _)| rates.fallback_bps).unwrap_or_default();
                let levels_bps = std::array::from_fn(|at| said[at].unwrap_or(self.configured_bps[at]));
                InForce { source: Source::Fallback, levels_bps, is_work_conserving: false }
            }
        }
    }

    /// When something else will hold.
    pub fn next_deadline(&self, now: SinceStart) -> Option<SinceStart> {
        self.held.as_ref().map(|(_, until)| *until).filter(|until| *until > now)
    }

    /// The last sequence number heard.
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
            is_work_conserving: true,
        }
    }

    #[test]
    fn rates_hold_until_their_lease_ends_and_then_the_fallback() {
        let mut plan = RateLease::new([1, 2, 3]);
        assert_eq!(plan.in_force(SinceStart(0)).levels_bps, [1, 2, 3]);
        assert_eq!(plan.learn(SinceStart(0), rates(5, 100, 1_000)), Learnt::Taken);
        assert_eq!(plan.in_force(SinceStart(999_999)).levels_bps, [1_000; 3]);
        assert_eq!(plan.next_deadline(SinceStart(0)), Some(SinceStart(1_000_000)));
        let after = plan.in_force(SinceStart(1_000_000));
        assert_eq!((after.source, after.levels_bps, after.is_work_conserving), (Source::Fallback, [100, 2, 0], false));
        // The same again renews the lease.
        plan.learn(SinceStart(1_500_000), rates(5, 100, 1_000));
        assert_eq!(plan.in_force(SinceStart(2_000_000)).source, Source::Orchestrator);
    }

    #[test]
    fn old_news_are_no_news_but_a_new_orchestrator_is_believed() {
        let mut plan = RateLease::new([0; 3]);
        plan.learn(SinceStart(0), rates(5, 100, 1_000));
        assert_eq!(plan.learn(SinceStart(1), rates(4, 90, 7)), Learnt::Outdated);
        assert_eq!(plan.learn(SinceStart(1), rates(1, 101, 9)), Learnt::Taken);
        assert_eq!(plan.in_force(SinceStart(2)).levels_bps, [9; 3]);
        // An absurd lease is cut.
        plan.learn(SinceStart(0), LevelRates { lease_ms: u64::MAX, ..rates(9, 200, 1) });
        assert_eq!(plan.next_deadline(SinceStart(0)), Some(SinceStart(LEASE_MAX_MS * 1_000)));
    }
}
