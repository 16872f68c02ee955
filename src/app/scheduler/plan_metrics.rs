//! How often the scheduler plans, why, and how long it takes. Counted without a lock, read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the groups by which plans are counted, in microseconds; one more group has the rest.
pub const PLAN_BOUNDS_US: [u64; 10] = [10, 30, 100, 300, 1_000, 3_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Why the scheduler planned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// Aggregators reported.
    Report,
    /// Another command changed the network or its books.
    Commit,
    /// Time passed: leases, pauses, the interval.
    Time,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Report, Self::Commit, Self::Time];

    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Commit => "commit",
            Self::Time => "time",
        }
    }
}

/// What was counted since the service started.
#[derive(Debug, Default)]
pub struct Plans {
    by_trigger: [AtomicU64; 3],
    by_time: [AtomicU64; PLAN_BOUNDS_US.len() + 1],
    total_us: AtomicU64,
}

impl Plans {
    pub(super) fn record(&self, trigger: Trigger, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let group = PLAN_BOUNDS_US.partition_point(|bound| *bound < took_us);
        self.by_trigger[trigger as usize].fetch_add(1, Ordering::Relaxed);
        self.by_time[group].fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// How many plans there were for a reason.
    pub fn triggered_by(&self, trigger: Trigger) -> u64 {
        self.by_trigger[trigger as usize].load(Ordering::Relaxed)
    }

    /// How many plans took how long: in the groups that [`PLAN_BOUNDS_US`] bounds, and the rest.
    pub fn by_time(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bounds = PLAN_BOUNDS_US.into_iter().map(Some).chain([None]);
        bounds.zip(self.by_time.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// What all of them took.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.total_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_counted_by_why_and_how_long() {
        let plans = Plans::default();
        plans.record(Trigger::Report, Duration::from_micros(10));
        plans.record(Trigger::Time, Duration::from_micros(11));
        plans.record(Trigger::Time, Duration::from_secs(60));
        let counts: Vec<_> = plans.by_time().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Some(10), 1), (Some(30), 1), (None, 1)]);
        assert_eq!(Trigger::ALL.map(|trigger| plans.triggered_by(trigger)), [1, 0, 2]);
        assert_eq!(plans.total(), Duration::from_micros(60_000_021));
    }
}
