//! The time of reports: that of the orchestrator, as far as its answers tell (`Date`, RFC 9110 §6.6.1). A gateway whose own
//! clock is wrong is served all the same. Pure; the own clock is an argument.
//!
//! What must stay true: each report is newer than the one before, unless the orchestrator's clock was set back.

use super::limits::CLOCK_TOLERANCE_MS;

/// Stamps reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReportClock {
    offset_ms: i64,
    last_ms: u64,
}

impl ReportClock {
    /// The time of the next report.
    pub fn stamp(&mut self, own_ms: u64) -> u64 {
        self.last_ms = own_ms.saturating_add_signed(self.offset_ms).max(self.last_ms.saturating_add(1));
        self.last_ms
    }

    /// The orchestrator's clock showed `there_ms`; whether that is news. `Date` has whole seconds, and answers take a while:
    /// less than [`CLOCK_TOLERANCE_MS`] is no difference.
    pub fn observe(&mut self, own_ms: u64, there_ms: u64) -> bool {
        let difference = i64::try_from(i128::from(there_ms) - i128::from(own_ms)).unwrap_or(0);
        let difference = if difference.unsigned_abs() <= CLOCK_TOLERANCE_MS { 0 } else { difference };
        let is_news = difference.abs_diff(self.offset_ms) > CLOCK_TOLERANCE_MS;
        if is_news {
            *self = Self { offset_ms: difference, last_ms: 0 };
        }
        is_news
    }

    /// How far the orchestrator's clock is ahead, in milliseconds; 0: not noticeably.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_have_the_time_of_the_orchestrator() {
        let mut clock = ReportClock::default();
        assert_eq!((clock.stamp(5_000), clock.stamp(5_000), clock.stamp(4_000)), (5_000, 5_001, 5_002));
        assert!(!clock.observe(10_000, 12_000), "a second or two is no difference");
        assert_eq!(clock.stamp(10_000), 10_000);
        // An hour ahead: reports go back to the orchestrator's time.
        assert!(clock.observe(3_610_000, 10_000) && !clock.observe(3_611_000, 11_000));
        assert_eq!((clock.offset_ms(), clock.stamp(3_612_000)), (-3_600_000, 12_000));
        // The own clock is set right.
        assert!(clock.observe(13_000, 13_000));
        assert_eq!((clock.offset_ms(), clock.stamp(13_000)), (0, 13_000));
        assert!(clock.observe(0, u64::MAX) || clock.offset_ms() == 0);
    }
}
