//! The numbers by which switches tell the flows of allocations apart. They follow from the journal: a flow has an index of its
//! own as long as its allocation lives, in every replica and after every restart the same, so that no two living allocations
//! ever share a label or a meter, whichever instance writes them.
//!
//! An index is taken near the allocation's id, which only grows: one that was given back rests while the ids go once around
//! the range.

use super::id_ranges::{LABEL_MIN, METER_MAX, METER_MIN, MeterId, MplsLabel};
use crate::id::AllocationId;
use crate::persistent_map::PersistentMap;

/// The most living allocations with a flow; further ones have no rules.
pub const FLOWS_MAX: u32 = METER_MAX - METER_MIN + 1;
/// How many labels an index has, taken in turn: the old path and the new one stand side by side while traffic moves over.
const LABELS_EACH: u32 = 4;

/// The index of an allocation's flow, and which of its paths is the present one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FlowNumber {
    index: u32,
    /// Counts the paths that the allocation had, modulo 256.
    pub epoch: u8,
}

impl FlowNumber {
    /// `None` if the index is not below [`FLOWS_MAX`].
    pub const fn new(index: u32, epoch: u8) -> Option<Self> {
        if index < FLOWS_MAX { Some(Self { index, epoch }) } else { None }
    }

    /// Below [`FLOWS_MAX`].
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The meter at the ingress.
    pub const fn meter(self) -> MeterId {
        MeterId(METER_MIN + self.index)
    }

    /// The label on every link of the path.
    pub const fn label(self) -> MplsLabel {
        // The ranges are constants: the largest index gives a label of 20 bits, see the test.
        MplsLabel::from_range(LABEL_MIN + self.index * LABELS_EACH + self.epoch as u32 % LABELS_EACH)
    }
}

/// The numbers of all living allocations that have a flow.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct FlowNumbers {
    of: PersistentMap<AllocationId, FlowNumber>,
    taken: PersistentMap<u32, AllocationId>,
}

impl FlowNumbers {
    pub(crate) fn of(&self, id: AllocationId) -> Option<FlowNumber> {
        self.of.get(&id).copied()
    }

    /// Every number, by allocation.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AllocationId, FlowNumber)> + '_ {
        self.of.iter().map(|(id, number)| (*id, *number))
    }

    /// Gives an allocation the first free index from that of its id on, unless it has one or none is left.
    pub(crate) fn assign(&mut self, id: AllocationId) {
        if self.of.contains_key(&id) {
            return;
        }
        // Below 2^32.
        let wanted = u32::try_from(id.0 % u64::from(FLOWS_MAX)).unwrap_or(0);
        if let Some(index) = self.free_from(wanted).or_else(|| self.free_from(0)) {
            self.set(id, FlowNumber { index, epoch: 0 });
        }
    }

    fn free_from(&self, first: u32) -> Option<u32> {
        let mut free = first;
        for (taken, _) in self.taken.iter_from(&first) {
            if *taken != free {
                break;
            }
            free += 1;
        }
        (free < FLOWS_MAX).then_some(free)
    }

    /// Gives an allocation this number, unless another one has its index.
    pub(crate) fn set(&mut self, id: AllocationId, number: FlowNumber) {
        if self.taken.get(&number.index).is_none_or(|holder| *holder == id) {
            self.taken.insert(number.index, id);
            self.of.insert(id, number);
        }
    }

    /// The allocation has another path now.
    pub(crate) fn next_epoch(&mut self, id: AllocationId) {
        if let Some(number) = self.of.get_mut(&id) {
            number.epoch = number.epoch.wrapping_add(1);
        }
    }

    pub(crate) fn release(&mut self, id: AllocationId) {
        if let Some(number) = self.of.remove(&id) {
            self.taken.remove(&number.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::LABEL_MAX;

    #[test]
    fn every_label_and_meter_is_in_its_range() {
        let last = FlowNumber::new(FLOWS_MAX - 1, u8::MAX).unwrap();
        assert!(last.label().number() <= LABEL_MAX && last.meter().is_ours());
        assert_eq!(FlowNumber::new(FLOWS_MAX, 0), None);
        let first = FlowNumber::new(0, 0).unwrap();
        assert_eq!((first.label().number(), first.meter()), (LABEL_MIN, MeterId(METER_MIN)));
        let second = FlowNumber::new(0, 1).unwrap();
        assert_ne!(first.label(), second.label());
        assert_eq!(first.meter(), second.meter());
    }

    #[test]
    fn an_index_has_one_holder_and_rests_when_it_is_given_back() {
        let mut numbers = FlowNumbers::default();
        let index = |numbers: &FlowNumbers, id| numbers.of(AllocationId(id)).map(FlowNumber::index);
        let max = u64::from(FLOWS_MAX);
        for id in [7, 7 + max, 8, max - 1, 2 * max - 1] {
            numbers.assign(AllocationId(id));
        }
        assert_eq!(index(&numbers, 7), Some(7));
        assert_eq!(index(&numbers, 7 + max), Some(8), "the next free one");
        assert_eq!(index(&numbers, 8), Some(9));
        assert_eq!(index(&numbers, 2 * max - 1), Some(0), "around the end");
        numbers.release(AllocationId(7));
        numbers.assign(AllocationId(10));
        assert_eq!(index(&numbers, 10), Some(10), "the one given back rests");
        assert_eq!(index(&numbers, 7), None);
    }

    #[test]
    fn a_full_range_gives_nothing() {
        let mut numbers = FlowNumbers::default();
        (0..=u64::from(FLOWS_MAX)).for_each(|id| numbers.assign(AllocationId(id)));
        assert_eq!(numbers.of(AllocationId(u64::from(FLOWS_MAX))), None);
        numbers.release(AllocationId(5));
        numbers.assign(AllocationId(u64::from(FLOWS_MAX)));
        assert_eq!(numbers.of(AllocationId(u64::from(FLOWS_MAX))).map(FlowNumber::index), Some(5));
    }
}
