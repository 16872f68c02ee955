//! The clock: the only place where the service learns what time it is. Never runs backwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kernel::units::Millis;

/// Wall-clock time that does not run backwards while the process lives.
#[derive(Debug, Default)]
pub struct Clock {
    latest_ms: AtomicU64,
}

impl Clock {
    /// A clock that has not been read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Now.
    pub fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Millis(self.latest_ms.fetch_max(now_ms, Ordering::Relaxed).max(now_ms))
    }
}
