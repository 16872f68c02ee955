//! Waiting longer after every failure: exponential, with jitter so that replicas do not retry in step, and capped.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The delays between retries, until something succeeds.
#[derive(Debug)]
pub(super) struct RetryBackoff {
    delays: ExponentialBuilder,
    pending: ExponentialBackoff,
    longest: Duration,
}

impl RetryBackoff {
    /// From `shortest`, doubled at each failure, to `longest`; up to twice that with the jitter.
    pub(super) fn new(shortest: Duration, longest: Duration) -> Self {
        let delays = ExponentialBuilder::default()
            .with_min_delay(shortest)
            .with_max_delay(longest)
            .without_max_times()
            .with_jitter();
        Self { delays, pending: delays.build(), longest }
    }

    /// How long to wait after one more failure.
    pub(super) fn next_delay(&mut self) -> Duration {
        self.pending.next().unwrap_or(self.longest)
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.pending = self.delays.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_start_again_after_a_success() {
        let (shortest, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = RetryBackoff::new(shortest, longest);
        let first = backoff.next_delay();
        assert!((shortest..=2 * shortest).contains(&first), "{first:?}");
        for _ in 0..20 {
            assert!(backoff.next_delay() <= 2 * longest);
        }
        assert!(backoff.next_delay() >= longest);
        backoff.reset();
        assert!(backoff.next_delay() <= 2 * shortest);
    }
}
