//! When a change is worth its signalling, and what silence costs: pure rules over what is granted, what is planned and
//! how long ago somebody was heard.

use super::settings::SchedulerSettings;
use crate::units::{Bandwidth, Millis};

/// What is to be done about a reservation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Move {
    /// Nothing.
    Keep,
    /// It is less than what is reserved, but not enough so to be signalled unless others need it.
    LowerIfNeeded,
    /// Let go of some.
    Lower,
    /// Let go of all.
    Release,
    /// Ask for more.
    Raise,
    /// Ask for the first time.
    Ask,
}

/// What to do where `granted` is reserved and `planned` should be.
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

/// How much is still believed of an aggregator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LeaseState {
    /// It reported within its lease.
    Fresh,
    /// A lease has passed: its backlog and boost no longer count.
    Stale,
    /// Two leases have passed: its reservations go.
    Lost,
}

/// What is believed at `now` of who was heard at `heard_at`.
pub fn standing(heard_at: Millis, now: Millis, settings: &SchedulerSettings) -> LeaseState {
    let silent_ms = now.0.saturating_sub(heard_at.0);
    if silent_ms < settings.lease_ms {
        LeaseState::Fresh
    } else if silent_ms < settings.lease_ms.saturating_mul(2) {
        LeaseState::Stale
    } else {
        LeaseState::Lost
    }
}

/// When the standing of who was heard at `heard_at` falls next after `now`; `None`: it is lost already.
pub fn falls_at(heard_at: Millis, now: Millis, settings: &SchedulerSettings) -> Option<Millis> {
    let after = |leases: u64| Millis(heard_at.0.saturating_add(settings.lease_ms.saturating_mul(leases)));
    [after(1), after(2)].into_iter().find(|at| *at > now)
}

/// How long a refused request waits before it is asked again: doubling with each refusal, up to a lease.
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
    fn silence_costs_the_boost_and_then_the_reservation() {
        let settings = SchedulerSettings { lease_ms: 100, ..SchedulerSettings::default() };
        let at = |now| standing(Millis(1_000), Millis(now), &settings);
        assert_eq!((at(900), at(1_099), at(1_100)), (LeaseState::Fresh, LeaseState::Fresh, LeaseState::Stale));
        assert_eq!((at(1_199), at(1_200)), (LeaseState::Stale, LeaseState::Lost));
        let falls = |now| falls_at(Millis(1_000), Millis(now), &settings);
        assert_eq!((falls(1_000), falls(1_100), falls(1_200)), (Some(Millis(1_100)), Some(Millis(1_200)), None));
        assert_eq!(retry_after_ms(40, &settings), 500);
    }
}
