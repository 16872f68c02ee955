//! The clock: the only place where the service learns what time it is. What it says follows the machine's clock or, where
//! several instances share a database, the database's, so that an instance on a machine with a wrong clock ends nobody's
//! lease early. It does not run backwards while clocks are merely corrected; a clock that is set is followed at once, and
//! the log says by how much.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kernel::units::Millis;

/// By how much a clock differs from the monotonic one before it counts as set.
const STEP_MIN_MS: u64 = 1_000;
/// By how much the database's clock differs from what is told here before that is corrected.
const DRIFT_MIN_MS: u64 = 50;

/// Wall-clock time.
#[derive(Debug)]
pub struct Clock {
    reading: Mutex<ClockReading>,
}

/// What was read last.
#[derive(Debug)]
struct ClockReading {
    at: Instant,
    /// The wall-clock time at that instant.
    wall_ms: u64,
    /// The latest time told. Later than `wall_ms` while a correction is waited out.
    told_ms: u64,
    /// Whether time is counted from what the database said.
    is_databases: bool,
    /// By how much the clock was set so far.
    stepped_ms: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock that follows the machine's.
    pub fn new() -> Self {
        let wall_ms = machine_ms();
        let (at, told_ms, is_databases) = (Instant::now(), wall_ms, false);
        Self { reading: Mutex::new(ClockReading { at, wall_ms, told_ms, is_databases, stepped_ms: 0 }) }
    }

    /// Now.
    pub fn now(&self) -> Millis {
        self.now_and_steps().0
    }

    /// Now, and by how many milliseconds the clock was set since the start, forward less back: what counts from an earlier
    /// time to now has to take it into account.
    pub fn now_and_steps(&self) -> (Millis, i64) {
        let mut reading = self.lock();
        let at = Instant::now();
        let wall_ms = if reading.is_databases { reading.expected_ms(at) } else { machine_ms() };
        (reading.follow(wall_ms, at), reading.stepped_ms)
    }

    /// Follows the database from now on, which said that it was `database` between `sent` and now.
    pub fn follow_database(&self, database: Millis, sent: Instant) {
        let mut reading = self.lock();
        let at = Instant::now();
        let round_trip = at.saturating_duration_since(sent);
        let wall_ms = database.0.saturating_add(as_ms(round_trip / 2));
        if !reading.is_databases || reading.is_off(wall_ms, at, round_trip) {
            reading.is_databases = true;
            reading.follow(wall_ms, at);
        }
    }

    /// Says in the log if the machine's clock is behind what was the time when `last` happened.
    pub fn compare_with_last_event(&self, last: Millis) {
        let behind_ms = last.0.saturating_sub(self.now().0);
        if behind_ms >= STEP_MIN_MS {
            tracing::warn!(behind_ms, "the clock is behind the journal's last event: it is wrong, or was ahead then");
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClockReading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClockReading {
    /// The time if no clock was set since it was read.
    fn expected_ms(&self, at: Instant) -> u64 {
        self.wall_ms.saturating_add(as_ms(at.saturating_duration_since(self.at)))
    }

    /// Whether the time differs from what was expected by more than is uncertain after such a round trip.
    fn is_off(&self, wall_ms: u64, at: Instant, round_trip: Duration) -> bool {
        self.expected_ms(at).abs_diff(wall_ms) > as_ms(round_trip).max(DRIFT_MIN_MS)
    }

    /// Takes in that it is `wall_ms`; the time to be told.
    fn follow(&mut self, wall_ms: u64, at: Instant) -> Millis {
        let expected_ms = self.expected_ms(at).max(self.told_ms);
        if wall_ms.abs_diff(expected_ms) >= STEP_MIN_MS {
            let step_ms = i64::try_from(i128::from(wall_ms) - i128::from(expected_ms)).unwrap_or(0);
            self.stepped_ms = self.stepped_ms.saturating_add(step_ms);
            self.told_ms = wall_ms;
            tracing::warn!(step_ms, "the clock was set");
        }
        (self.at, self.wall_ms) = (at, wall_ms);
        self.told_ms = self.told_ms.max(wall_ms);
        Millis(self.told_ms)
    }
}

fn machine_ms() -> u64 {
    as_ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told when the monotonic clock and the machine's are at these milliseconds.
    fn told(readings: &[(u64, u64)]) -> (Vec<u64>, i64) {
        let begin = Instant::now();
        let mut reading =
            ClockReading { at: begin, wall_ms: 100_000, told_ms: 100_000, is_databases: false, stepped_ms: 0 };
        let told = readings.iter().map(|(monotonic, wall)| {
            reading.follow(100_000 + wall, begin + Duration::from_millis(*monotonic)).0 - 100_000
        });
        (told.collect(), reading.stepped_ms)
    }

    #[test]
    fn corrections_are_waited_out_and_never_seen_backwards() {
        assert_eq!(told(&[(10, 10), (20, 5), (30, 15), (40, 25)]), (vec![10, 10, 15, 25], 0));
        // Small ones that add up are a step in the end.
        let (told, stepped) = told(&[(10, 5_000), (20, 4_100), (30, 3_300), (40, 3_310)]);
        assert_eq!((told, stepped), (vec![5_000, 5_000, 3_300, 3_310], 4_990 - 1_700));
    }

    #[test]
    fn a_clock_that_is_set_is_followed_at_once() {
        assert_eq!(told(&[(10, 10), (20, 90_020), (30, 90_030)]), (vec![10, 90_020, 90_030], 90_000));
        assert_eq!(told(&[(50_000, 50_000), (50_010, 10), (50_020, 20)]), (vec![50_000, 10, 20], -50_000));
    }

    #[test]
    fn the_database_s_clock_counts_once_it_was_read() {
        let clock = Clock::new();
        let machine = clock.now();
        let database = Millis(machine.0 - 3_600_000);
        clock.follow_database(database, Instant::now());
        let now = clock.now();
        assert!(now.0.abs_diff(database.0) < 60_000, "{now:?} is the machine's time");
        assert!((clock.now_and_steps().1 + 3_600_000).unsigned_abs() < 60_000);
    }

    #[test]
    fn what_the_database_says_late_changes_nothing_within_what_is_uncertain() {
        let (sent, wall_ms) = (Instant::now(), 1_000_000);
        let reading = ClockReading { at: sent, wall_ms, told_ms: wall_ms, is_databases: true, stepped_ms: 0 };
        // Half of 30 s on the way: 15 s later than it was said, and 15 s from what is expected.
        let at = sent + Duration::from_secs(30);
        assert!(!reading.is_off(wall_ms + 15_000, at, Duration::from_secs(30)));
        assert!(reading.is_off(wall_ms + 15_000, at, Duration::from_millis(10)));
    }
}
