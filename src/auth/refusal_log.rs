//! Lines of the log about credentials that were refused: with the reason, which the sender is not told. A sender of many of them
//! does not fill the log.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Lines a second, as many at once.
const LINES_PER_S: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

pub(super) struct RefusalLog {
    lines: DefaultDirectRateLimiter,
    unlogged: AtomicU64,
}

impl Default for RefusalLog {
    fn default() -> Self {
        Self { lines: RateLimiter::direct(Quota::per_second(LINES_PER_S)), unlogged: AtomicU64::new(0) }
    }
}

impl RefusalLog {
    /// Writes a line, or counts it for the next one.
    pub(super) fn write(&self, error: &dyn Display, from: Option<SocketAddr>) {
        if self.lines.check().is_err() {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let unlogged = Some(self.unlogged.swap(0, Ordering::Relaxed)).filter(|unlogged| *unlogged > 0);
        tracing::warn!(%error, from = from.map(|from| from.to_string()), unlogged, "a credential was refused");
    }
}
