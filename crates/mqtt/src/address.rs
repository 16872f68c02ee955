//! Places that the clients of one address share, and how often they come, so that one address does not take all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::limits::ADDRESS_RATES_KEPT_MAX;

/// The address that a client is counted by: of IPv6 the network of 64 bits, which one customer has to itself.
#[must_use]
pub fn client_address(from: SocketAddr) -> IpAddr {
    match from.ip().to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// How many places of each address are taken.
#[derive(Debug)]
pub(crate) struct AddressSlots {
    /// Of one address.
    most: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl AddressSlots {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if there is one; clients inside this process (`None`) have no address and need none.
    pub(crate) fn take(self: &Arc<Self>, from: Option<SocketAddr>) -> Option<AddressSlot> {
        let address = from.map(client_address);
        if let Some(address) = address {
            let mut taken = self.lock();
            let count = taken.entry(address).or_default();
            if *count >= self.most {
                return None;
            }
            *count += 1;
        }
        Some(AddressSlot { slots: Arc::clone(self), address })
    }
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressSlot {
    slots: Arc<AddressSlots>,
    address: Option<IpAddr>,
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut taken = self.slots.lock();
        if let Some(count) = taken.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&address);
            }
        }
    }
}

/// A token bucket for each address, in the form of the generic cell rate algorithm.
#[derive(Debug)]
pub(crate) struct AddressRates {
    /// Between two that come at the rate.
    interval: Duration,
    /// What may come at once is what may come in so long.
    burst: Duration,
    /// When each address will be as if it had never come.
    idle_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl AddressRates {
    /// So many a second, and as many at once as `burst` brings.
    pub(crate) fn new(most: NonZeroU32, burst: Duration) -> Self {
        Self { interval: Duration::from_secs(1) / most.get(), burst, idle_at: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.idle_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the rate of an address allows one more now; clients inside this process (`None`) have none.
    pub(crate) fn admit(&self, from: Option<SocketAddr>, now: Instant) -> bool {
        let Some(address) = from.map(client_address) else { return true };
        let mut idle_at = self.lock();
        if idle_at.len() >= ADDRESS_RATES_KEPT_MAX && !idle_at.contains_key(&address) {
            idle_at.retain(|_, idle_at| *idle_at > now);
            if idle_at.len() >= ADDRESS_RATES_KEPT_MAX {
                return true;
            }
        }
        let known = idle_at.entry(address).or_insert(now);
        let next = (*known).max(now) + self.interval;
        let is_admitted = next <= now + self.burst;
        if is_admitted {
            *known = next;
        }
        is_admitted
    }

    /// Gives back what was admitted and does not count.
    pub(crate) fn give_back(&self, from: Option<SocketAddr>) {
        let Some(address) = from.map(client_address) else { return };
        if let Some(idle_at) = self.lock().get_mut(&address) {
            *idle_at = idle_at.checked_sub(self.interval).unwrap_or(*idle_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_no_more() {
        let slots = AddressSlots::new(2);
        let from = |text: &str| Some(text.parse().unwrap());
        let held: Vec<_> = ["192.0.2.1:1", "[::ffff:192.0.2.1]:2"].map(|one| slots.take(from(one)).unwrap()).into();
        assert!(slots.take(from("192.0.2.1:3")).is_none());
        assert!(slots.take(None).is_some() && slots.take(from("192.0.2.2:1")).is_some());
        drop(held);
        let _first = slots.take(from("[2001:db8::1]:1")).unwrap();
        let _second = slots.take(from("[2001:db8::2]:1")).unwrap();
        assert!(slots.take(from("[2001:db8::3]:1")).is_none() && slots.take(from("[2001:db8:0:1::1]:1")).is_some());
        drop((_first, _second));
        assert!(slots.lock().is_empty());
    }
    #[test]
    fn an_address_comes_as_often_as_it_may() {
        let (rates, mut now) =
            (AddressRates::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(1)), Instant::now());
        let from = |text: &str| Some(text.parse().unwrap());
        let count = |from, now| (0..100).take_while(|_| rates.admit(from, now)).count();
        assert_eq!(count(from("192.0.2.1:1"), now), 10);
        assert_eq!(count(from("192.0.2.2:1"), now), 10);
        assert_eq!(count(None, now), 100);
        now += Duration::from_millis(250);
        assert_eq!(count(from("192.0.2.1:9"), now), 2);
        rates.give_back(from("192.0.2.1:9"));
        assert_eq!(count(from("192.0.2.1:9"), now), 1);
        now += Duration::from_secs(9);
        assert_eq!(count(from("192.0.2.1:1"), now), 10);
    }

    #[test]
    fn addresses_are_forgotten_before_there_are_too_many() {
        let (rates, mut now) =
            (AddressRates::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(1)), Instant::now());
        let address = |number: u32| Some(SocketAddr::from((std::net::Ipv4Addr::from_bits(number), 1)));
        let known = || rates.idle_at.lock().unwrap().len();
        for number in 0..=u32::try_from(ADDRESS_RATES_KEPT_MAX).unwrap() {
            assert!(rates.admit(address(number), now));
        }
        assert_eq!(known(), ADDRESS_RATES_KEPT_MAX);
        now += Duration::from_secs(1);
        assert!(rates.admit(address(u32::MAX), now));
        assert_eq!(known(), 1);
    }
}
