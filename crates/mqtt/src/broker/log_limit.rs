//! A log line that one client could have written a thousand times a second is written once.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::UnixMs;

/// One line a second.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    second: AtomicU64,
    unlogged: AtomicU64,
}

impl LogLimit {
    /// Whether a line may be written; how many were not since the last one.
    pub(crate) fn admit(&self, now_ms: UnixMs) -> Option<u64> {
        if self.second.swap(now_ms / 1000, Ordering::Relaxed) == now_ms / 1000 {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.unlogged.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_line() {
        let limit = LogLimit::default();
        let admitted: Vec<_> = [5000, 5001, 5999, 6000, 6500].map(|now_ms| limit.admit(now_ms)).into();
        assert_eq!(admitted, [Some(0), None, None, Some(2), None]);
    }
}
