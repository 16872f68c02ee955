//! How often passwords may be tried: so many of one address at a time, and with longer and longer pauses where one address
//! fails again and again under one name. The right password of another client does not wait for either.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::address::{AddressSlot, AddressSlots, client_address};
use crate::limits::{FAILURE_MEMORY, PASSWORDS_WAITING_PER_ADDRESS_MAX};
use crate::limits::{FAILURE_PAUSE_MAX, FAILURE_PAUSE_MIN, FAILURES_KEPT_MAX, FAILURES_WITHOUT_PAUSE};

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
    failures: Mutex<Failures>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { slots: AddressSlots::new(PASSWORDS_WAITING_PER_ADDRESS_MAX), failures: Mutex::default() }
    }
}

impl Throttle {
    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a try; `None`: too early, or too many at a time.
    pub(super) fn begin(&self, name: &str, from: Option<SocketAddr>, now: Instant) -> Option<AddressSlot> {
        if let Some(from) = from {
            let known = self.lock().get(&(client_address(from), name.into())).copied();
            if known.is_some_and(|failure| now < failure.until) {
                return None;
            }
        }
        self.slots.take(from)
    }

    /// Notes the result of a try.
    pub(super) fn finish(&self, name: &str, from: Option<SocketAddr>, is_right: bool, now: Instant) {
        let Some(from) = from else { return };
        let key = (client_address(from), name.into());
        let mut failures = self.lock();
        if is_right {
            failures.remove(&key);
            return;
        }
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

    #[test]
    fn failures_pause_one_name_of_one_address() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        let from = |text: &str| Some(text.parse().unwrap());
        let bad = from("192.0.2.1:1");
        let mut tries = 0;
        while throttle.begin("alice", bad, now).is_some() {
            throttle.finish("alice", bad, false, now);
            tries += 1;
        }
        assert_eq!(tries, FAILURES_WITHOUT_PAUSE + 1);
        assert!(
            throttle.begin("bob", bad, now).is_some() && throttle.begin("alice", from("192.0.2.2:1"), now).is_some()
        );
        now += FAILURE_PAUSE_MIN;
        assert!(throttle.begin("alice", bad, now).is_some());
        throttle.finish("alice", bad, false, now);
        now += FAILURE_PAUSE_MIN;
        assert!(throttle.begin("alice", bad, now).is_none());
        now += FAILURE_PAUSE_MIN;
        throttle.finish("alice", bad, true, now);
        assert!(throttle.lock().is_empty());
        assert_eq!(pause(u32::MAX), FAILURE_PAUSE_MAX);
    }

    #[test]
    fn one_address_does_not_take_every_place() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let bad = Some("192.0.2.1:1".parse().unwrap());
        let held: Vec<_> = (0..).map_while(|_| throttle.begin("alice", bad, now)).collect();
        assert_eq!(held.len(), PASSWORDS_WAITING_PER_ADDRESS_MAX);
        assert!(throttle.begin("bob", Some("192.0.2.2:1".parse().unwrap()), now).is_some());
    }
}
