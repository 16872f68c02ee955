//! When to try again: exponential backoff with jitter and a cap, on top of `backon`, and whether a failure is worth a line in
//! the log. Pure but for the jitter, and that can be seeded.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The pauses between attempts at one thing. They double from `min` to `max`; the upper half of each is jitter. After a
/// success they begin anew.
///
/// ```
/// use std::time::Duration;
///
/// let mut retry = watermaster_api::retry::Retry::new(Duration::from_millis(100), Duration::from_secs(5));
/// let first = retry.failed("no connection");
/// assert!(first.is_news && first.pause < Duration::from_millis(200));
/// assert!(!retry.failed("no connection").is_news, "a failure is logged once");
/// assert!(retry.succeeded(), "and so is its end");
/// ```
#[derive(Debug)]
pub struct Retry {
    builder: ExponentialBuilder,
    max: Duration,
    pauses: ExponentialBackoff,
    failure: Option<String>,
}

/// What to do about a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryDelay {
    /// The time until the next attempt.
    pub pause: Duration,
    /// Whether the attempt before did not fail for the same reason: only then it is logged.
    pub is_news: bool,
}

impl Retry {
    /// Pauses from `min` to `max`, with random jitter.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self::from_builder(exponential(min, max), max)
    }

    /// Pauses from `min` to `max` with the jitter of a seed: the same seed gives the same pauses.
    pub fn seeded(min: Duration, max: Duration, seed: u64) -> Self {
        Self::from_builder(exponential(min, max).with_jitter_seed(seed), max)
    }

    fn from_builder(builder: ExponentialBuilder, max: Duration) -> Self {
        Self { builder, max, pauses: builder.build(), failure: None }
    }

    /// An attempt succeeded; whether the one before had failed.
    pub fn succeeded(&mut self) -> bool {
        let had_failed = self.failure.take().is_some();
        if had_failed {
            self.pauses = self.builder.build();
        }
        had_failed
    }

    /// An attempt failed.
    pub fn failed(&mut self, reason: &str) -> RetryDelay {
        let is_news = self.failure.as_deref() != Some(reason);
        if is_news {
            self.failure = Some(reason.to_owned());
        }
        RetryDelay { pause: self.pauses.next().unwrap_or(self.max), is_news }
    }
}

/// Jitter adds up to as much again.
fn exponential(min: Duration, max: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new().with_min_delay(min).with_max_delay(max / 2).with_jitter().without_max_times()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_begin_anew() {
        let (min, max) = (Duration::from_millis(250), Duration::from_secs(30));
        let mut retry = Retry::seeded(min, max, 3);
        let pauses: Vec<_> = (0..100).map(|_| retry.failed("gone").pause).collect();
        assert!(pauses.iter().all(|pause| (min..=max).contains(pause)), "{pauses:?}");
        assert!(pauses[..6].is_sorted() && pauses[10..].iter().all(|pause| *pause >= max / 2), "{pauses:?}");
        assert!(retry.succeeded() && !retry.succeeded());
        assert!(retry.failed("gone").pause < min * 2);
    }

    #[test]
    fn each_change_of_the_reason_is_news() {
        let mut retry = Retry::new(Duration::from_millis(1), Duration::from_millis(2));
        let news = ["a", "a", "b", "a"].map(|reason| retry.failed(reason).is_news);
        assert_eq!(news, [true, false, true, true]);
    }
}
