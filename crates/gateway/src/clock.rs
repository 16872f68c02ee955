//! Time: microseconds that only go forward, for rates and deadlines; the wall clock for documents. The pure parts of this
//! crate take time as an argument; only this file reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the gateway started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct SinceStart(pub u64);

impl SinceStart {
    /// So much later.
    #[must_use]
    pub const fn after(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A clock that started with the gateway.
#[derive(Clone, Copy, Debug)]
pub struct GatewayClock(Instant);

impl GatewayClock {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn now(self) -> SinceStart {
        SinceStart(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// How long until `then`.
    pub fn until(self, then: SinceStart) -> Duration {
        Duration::from_micros(then.since(self.now()))
    }
}

/// Milliseconds since 1970.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
