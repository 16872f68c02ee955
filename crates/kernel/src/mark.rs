//! A mark: what changes in a link's book by itself, and when. What must stay true: keys order ends before starts.

use super::bam::{SLOTS, Slot};
use super::id::AllocationId;
use super::units::Millis;

/// The place of a mark: what ends at an instant ends before anything starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct MarkKey {
    pub(crate) at: Millis,
    pub(crate) is_start: bool,
    pub(crate) id: AllocationId,
}

/// What changes in a link's book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) slot: Slot,
    pub(crate) booked: u64,
    /// Of a start: the slot with which bandwidth is taken then.
    pub(crate) setup_slot: Option<Slot>,
}

impl Mark {
    pub(crate) fn pair(&self) -> SlotPairs {
        SlotPairs(self.setup_slot.map_or(0, |setup| 1 << (self.slot.at() * SLOTS + setup.at())))
    }

    pub(crate) fn change(&self) -> i128 {
        if self.setup_slot.is_some() { i128::from(self.booked) } else { -i128::from(self.booked) }
    }
}

/// Pairs of a slot in which is booked and one with which it is taken: a bit for each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct SlotPairs(u64);

impl SlotPairs {
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Each pair alone.
    pub(crate) fn each(self) -> impl Iterator<Item = Self> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lowest = left & left.wrapping_neg();
            left ^= lowest;
            (lowest != 0).then_some(Self(lowest))
        })
    }

    /// As indices: booked in, taken with. Of a single pair.
    pub(crate) fn slots(self) -> (usize, usize) {
        let bit = self.0.trailing_zeros() as usize;
        (bit / SLOTS % SLOTS, bit % SLOTS)
    }
}
