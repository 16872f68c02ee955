//! Places that the clients of one address share, so that one address does not take all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The address that a client is counted by: of IPv6 the network of 64 bits, which one customer has to itself.
pub(crate) fn client_address(from: SocketAddr) -> IpAddr {
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
}
