//! How often passwords may be tried: so many of one address at a time, so many wrong ones of it a second, and with longer and
//! longer pauses where it fails again and again under one name. The right password of another address does not wait for any.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::address::{AddressRates, AddressSlot, AddressSlots, client_address};
use crate::limits::{FAILURE_MEMORY, PASSWORDS_WAITING_PER_ADDRESS_MAX};
use crate::limits::{FAILURE_PAUSE_MAX, FAILURE_PAUSE_MIN, FAILURES_KEPT_MAX, FAILURES_WITHOUT_PAUSE};
use crate::limits::{WRONG_PASSWORDS_BURST, WRONG_PASSWORDS_PER_ADDRESS_MAX};

/// Failed tries by address and name.
type Failures = HashMap<(IpAddr, Box<str>), Failure>;

#[derive(Clone, Copy, Debug)]
struct Failure {
    count: u32,
    /// No try before.
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Throttle {
    slots: Arc<AddressSlots>,
    /// Of wrong passwords, whatever the names: each comparison costs a core some ten milliseconds.
    wrong: AddressRates,
    failures: Mutex<Failures>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            slots: AddressSlots::new(PASSWORDS_WAITING_PER_ADDRESS_MAX),
            wrong: AddressRates::new(WRONG_PASSWORDS_PER_ADDRESS_MAX, WRONG_PASSWORDS_BURST),
            failures: Mutex::default(),
        }
    }
}

impl Throttle {
    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the name has to pause at this address.
    pub(super) fn is_paused(&self, name: &str, from: Option<SocketAddr>, now: Instant) -> bool {
        let Some(from) = from else { return false };
        self.lock().get(&(client_address(from), name.into())).is_some_and(|failure| now < failure.until)
    }

    /// A place for a comparison; `None`: too many wrong passwords lately, or too many at a time. Each counts as wrong until it
    /// turns out to be right.
    pub(super) fn begin(&self, from: Option<SocketAddr>, now: Instant) -> Option<AddressSlot> {
        let slot = self.slots.take(from)?;
        self.wrong.admit(from, now).then_some(slot)
    }

    /// A comparison that began has found the password right, or was not made.
    pub(super) fn give_back(&self, from: Option<SocketAddr>) {
        self.wrong.give_back(from);
    }

    /// The password was right.
    pub(super) fn on_right(&self, name: &str, from: Option<SocketAddr>) {
        let Some(from) = from else { return };
        self.lock().remove(&(client_address(from), name.into()));
    }

    /// The password was wrong.
    pub(super) fn on_wrong(&self, name: &str, from: Option<SocketAddr>, now: Instant) {
        let Some(from) = from else { return };
        let key = (client_address(from), name.into());
        let mut failures = self.lock();
        if failures.len() >= FAILURES_KEPT_MAX {
            failures.retain(|_, failure| now < failure.until);
        }
        if failures.len() >= FAILURES_KEPT_MAX {
            return;
        }
        let failure = failures.entry(key).or_insert(Failure { count: 0, until: now });
        if now > failure.until + FAILURE_MEMORY {
            failure.count = 0;
        }
        failure.count += 1;
        if let Some(more) = failure.count.checked_sub(FAILURES_WITHOUT_PAUSE + 1) {
            failure.until = now + pause(more);
        }
    }
}

fn pause(more: u32) -> Duration {
    FAILURE_PAUSE_MIN.saturating_mul(1 << more.min(16)).min(FAILURE_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn failures_pause_one_name_of_one_address() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        let bad = from("192.0.2.1:1");
        let mut tries = 0;
        while !throttle.is_paused("alice", bad, now) {
            throttle.on_wrong("alice", bad, now);
            tries += 1;
        }
        assert_eq!(tries, FAILURES_WITHOUT_PAUSE + 1);
        assert!(!throttle.is_paused("bob", bad, now) && !throttle.is_paused("alice", from("192.0.2.2:1"), now));
        now += FAILURE_PAUSE_MIN;
        assert!(!throttle.is_paused("alice", bad, now));
        throttle.on_wrong("alice", bad, now);
        now += FAILURE_PAUSE_MIN;
        assert!(throttle.is_paused("alice", bad, now));
        now += FAILURE_PAUSE_MIN;
        throttle.on_right("alice", bad);
        assert!(throttle.lock().is_empty());
        assert_eq!(pause(u32::MAX), FAILURE_PAUSE_MAX);
    }

    #[test]
    fn one_address_does_not_take_every_place() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let bad = from("192.0.2.1:1");
        // All of them right in the end, so that it is places that run out.
        let held: Vec<_> = (0..).map_while(|_| throttle.begin(bad, now).inspect(|_| throttle.give_back(bad))).collect();
        assert_eq!(held.len(), PASSWORDS_WAITING_PER_ADDRESS_MAX);
        assert!(throttle.begin(from("192.0.2.2:1"), now).is_some() && throttle.begin(None, now).is_some());
    }

    #[test]
    fn wrong_passwords_of_an_address_are_so_many_a_second_under_all_names_and_right_ones_any() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        let bad = from("192.0.2.1:1");
        for _ in 0..1_000 {
            assert!(throttle.begin(bad, now).is_some());
            throttle.give_back(bad);
        }
        let tries = |now| (0..1_000).filter(|_| throttle.begin(bad, now).is_some()).count();
        let most = usize::try_from(WRONG_PASSWORDS_PER_ADDRESS_MAX.get()).unwrap();
        assert_eq!(tries(now), most * usize::try_from(WRONG_PASSWORDS_BURST.as_secs()).unwrap());
        now += Duration::from_secs(1);
        assert_eq!(tries(now), most);
    }
}
