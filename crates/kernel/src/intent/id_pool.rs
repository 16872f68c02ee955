//! A pool of numbers of one range. A number given back is the last to be given again, so that packets in flight that carry
//! it have left the network.

use std::collections::BTreeMap;

use crate::id::AllocationId;

/// The numbers of one range on one switch.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    min: u32,
    max: u32,
    next: u32,
    given: BTreeMap<u32, AllocationId>,
}

impl Numbers {
    /// All numbers from `min` to `max` are free.
    pub(super) fn new(min: u32, max: u32) -> Self {
        Self { min, max, next: min, given: BTreeMap::new() }
    }

    /// The next number that is neither given nor seen in use; `None` if there is none.
    pub(super) fn give(&mut self, to: AllocationId, is_seen: impl Fn(u32) -> bool) -> Option<u32> {
        let later = self.next..=self.max;
        let earlier = self.min..self.next;
        let number = later.chain(earlier).find(|number| !self.given.contains_key(number) && !is_seen(*number))?;
        self.given.insert(number, to);
        self.next = if number < self.max { number + 1 } else { self.min };
        Some(number)
    }

    /// Gives this number, if it is free or already given to the caller.
    pub(super) fn give_this(&mut self, number: u32, to: AllocationId) -> bool {
        if !(self.min..=self.max).contains(&number) || self.given.get(&number).is_some_and(|holder| *holder != to) {
            return false;
        }
        self.given.insert(number, to);
        true
    }

    /// Takes a number back.
    pub(super) fn give_back(&mut self, number: u32) {
        self.given.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: AllocationId = AllocationId(1);

    #[test]
    fn what_was_given_back_is_given_last() {
        let mut numbers = Numbers::new(5, 8);
        assert_eq!(numbers.give(ME, |_| false), Some(5));
        numbers.give_back(5);
        assert_eq!(numbers.give(ME, |_| false), Some(6));
        assert_eq!(numbers.give(ME, |number| number == 7), Some(8));
        assert_eq!(numbers.give(ME, |_| false), Some(5));
        assert_eq!(numbers.give(ME, |_| false), Some(7));
        assert_eq!(numbers.give(ME, |_| false), None);
    }

    #[test]
    fn a_number_has_one_holder() {
        let mut numbers = Numbers::new(5, 8);
        assert!(numbers.give_this(7, ME) && numbers.give_this(7, ME));
        assert!(!numbers.give_this(7, AllocationId(2)) && !numbers.give_this(9, ME));
    }
}
