//! Hysteresis, lease and backoff: which changes of a planned rate are worth a reservation, and which of them at once; and what
//! the time since the last report costs. Pure rules over the granted rate, the planned rate and two instants.

use super::settings::SchedulerSettings;
use crate::units::{Bandwidth, Millis};

/// The next command about a reservation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Move {
    /// None.
    Keep,
    /// Lower it, but only if another flow needs the bandwidth: the fall is within the hysteresis.
    LowerIfNeeded,
    /// Lower it.
    Lower,
    /// Release it.
    Release,
    /// Raise it.
    Raise,
    /// Make the first reservation.
    Ask,
}

/// The command that takes a reservation of `granted` to `planned`.
pub fn next_move(granted: Bandwidth, planned: Bandwidth, settings: &SchedulerSettings) -> Move {
    match (granted.is_zero(), planned.is_zero()) {
        (true, true) => return Move::Keep,
        (true, false) => return Move::Ask,
        (false, true) => return Move::Release,
        (false, false) => {}
    }
    if let Some(less) = granted.checked_sub(planned) {
        let least_bps = settings.lower_by.of(granted.as_bps());
        return match less.as_bps() {
            0 => Move::Keep,
            less_bps if less_bps < least_bps => Move::LowerIfNeeded,
            _ => Move::Lower,
        };
    }
    let more = planned.saturating_sub(granted);
    if more.as_bps() < settings.raise_by.of(granted.as_bps()) { Move::Keep } else { Move::Raise }
}

/// A change by less than one in so many of the larger rate is small: demands that waver by a tenth either way are 18 % of the
/// larger one apart, and rates lag behind by what the hysteresis keeps.
const SMALL_PARTS: u64 = 4;

/// Whether a change of what a flow is granted in all may wait. The first bandwidth and the release of all may not.
pub fn is_small(granted: Bandwidth, planned: Bandwidth) -> bool {
    let (less, more) = (granted.min(planned), granted.max(planned));
    !less.is_zero() && more.saturating_sub(less).as_bps() < more.as_bps() / SMALL_PARTS
}

/// The age of an aggregator's last report, in leases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LeaseState {
    /// It reported within its lease.
    Fresh,
    /// One lease has passed: its backlog and boost no longer count.
    Stale,
    /// Two leases have passed: its reservations are released.
    Lost,
}

/// The lease state at `now` of an aggregator that last reported at `heard_at`.
pub fn lease_state(heard_at: Millis, now: Millis, settings: &SchedulerSettings) -> LeaseState {
    let silent_ms = now.0.saturating_sub(heard_at.0);
    if silent_ms < settings.lease_ms {
        LeaseState::Fresh
    } else if silent_ms < settings.lease_ms.saturating_mul(2) {
        LeaseState::Stale
    } else {
        LeaseState::Lost
    }
}

/// The next instant after `now` at which the lease state of a report heard at `heard_at` changes; `None`: it is lost.
pub fn next_lapse(heard_at: Millis, now: Millis, settings: &SchedulerSettings) -> Option<Millis> {
    let after = |leases: u64| Millis(heard_at.0.saturating_add(settings.lease_ms.saturating_mul(leases)));
    [after(1), after(2)].into_iter().find(|at| *at > now)
}

/// The backoff after a refused request: doubling with each refusal, up to a lease.
pub fn retry_after_ms(refusals: u32, settings: &SchedulerSettings) -> u64 {
    const FIRST_MS: u64 = 500;
    FIRST_MS.saturating_mul(1 << refusals.min(16)).min(settings.lease_ms.max(FIRST_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_are_not_signalled() {
        let settings = SchedulerSettings::default();
        let next = |granted, planned| {
            next_move(Bandwidth::saturating_from_bps(granted), Bandwidth::saturating_from_bps(planned), &settings)
        };
        assert_eq!((next(0, 0), next(0, 5), next(5, 0)), (Move::Keep, Move::Ask, Move::Release));
        assert_eq!((next(1_000, 1_000), next(1_000, 1_029), next(1_000, 1_030)), (Move::Keep, Move::Keep, Move::Raise));
        assert_eq!((next(1_000, 901), next(1_000, 900)), (Move::LowerIfNeeded, Move::Lower));
    }

    #[test]
    fn what_noise_does_is_small() {
        let is_small = |granted, planned| {
            is_small(Bandwidth::saturating_from_bps(granted), Bandwidth::saturating_from_bps(planned))
        };
        assert_eq!([(900, 1_100), (1_100, 900), (751, 1_000)].map(|(one, other)| is_small(one, other)), [true; 3]);
        assert_eq!([(750, 1_000), (1_000, 750), (0, 9), (9, 0)].map(|(one, other)| is_small(one, other)), [false; 4]);
    }

    #[test]
    fn silence_costs_the_boost_and_then_the_reservation() {
        let settings = SchedulerSettings { lease_ms: 100, ..SchedulerSettings::default() };
        let at = |now| lease_state(Millis(1_000), Millis(now), &settings);
        assert_eq!((at(900), at(1_099), at(1_100)), (LeaseState::Fresh, LeaseState::Fresh, LeaseState::Stale));
        assert_eq!((at(1_199), at(1_200)), (LeaseState::Stale, LeaseState::Lost));
        let falls = |now| next_lapse(Millis(1_000), Millis(now), &settings);
        assert_eq!((falls(1_000), falls(1_100), falls(1_200)), (Some(Millis(1_100)), Some(Millis(1_200)), None));
        assert_eq!(retry_after_ms(40, &settings), 500);
    }
}
