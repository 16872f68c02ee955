//! The numbers by which switches tell the flows of allocations apart. They follow from the journal: a flow has an index of its
//! own as long as its allocation lives, in every replica and after every restart the same, so that no two living allocations
//! ever share a label or a meter, whichever instance writes them.
//!
//! An index is taken near the allocation's id, which only grows: one that was given back rests while the ids go once around
//! the range.

use crate::id::AllocationId;
use crate::persistent_map::PersistentMap;

/// The most living allocations with a flow; further ones have no rules.
pub const FLOWS_MAX: u32 = 190_000;
/// How many labels an index has, taken in turn: the old path and the new one stand side by side while traffic moves over.
pub(super) const LABELS_EACH: u32 = 4;

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
}

/// The numbers of all living allocations that have a flow.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct FlowNumbers {
    of: PersistentMap<AllocationId, FlowNumber>,
    taken: PersistentMap<u32, AllocationId>,
    /// Those for which none was left, with the bound below which theirs has to be.
    waiting: PersistentMap<AllocationId, u32>,
}

impl FlowNumbers {
    pub(crate) fn of(&self, id: AllocationId) -> Option<FlowNumber> {
        self.of.get(&id).copied()
    }

    /// Every number, by allocation.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AllocationId, FlowNumber)> + '_ {
        self.of.iter().map(|(id, number)| (*id, *number))
    }

    /// The bound below which the number of an allocation has to be that waits for one.
    pub(crate) fn waits_below(&self, id: AllocationId) -> Option<u32> {
        self.waiting.get(&id).copied()
    }

    /// No number is left for an allocation: it waits for one below `max`.
    pub(crate) fn wait(&mut self, id: AllocationId, max: u32) {
        self.waiting.insert(id, max);
    }

    /// Gives an allocation the first free index from that of its id on and below `max`, unless it has one or waits for one. If
    /// none is left, it waits.
    pub(crate) fn assign(&mut self, id: AllocationId, max: u32) {
        if self.of.contains_key(&id) || self.waiting.contains_key(&id) {
            return;
        }
        // Below 2^32.
        let wanted = u32::try_from(id.0 % u64::from(max.max(1))).unwrap_or(0);
        match self.free_from(wanted, max).or_else(|| self.free_from(0, max)) {
            Some(index) => self.set(id, FlowNumber { index, epoch: 0 }),
            None => self.wait(id, max),
        }
    }

    /// Gives an allocation whose index is not below `max` another one, if one is left.
    pub(crate) fn assign_below(&mut self, id: AllocationId, max: u32) {
        if self.of(id).is_none_or(|number| number.index >= max) {
            self.release(id);
            self.assign(id, max);
        }
    }

    fn free_from(&self, first: u32, max: u32) -> Option<u32> {
        let mut free = first;
        for (taken, _) in self.taken.iter_from(&first) {
            if *taken != free {
                break;
            }
            free += 1;
        }
        (free < max.min(FLOWS_MAX)).then_some(free)
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

    /// An allocation needs no number any more: the oldest that waits for one gets it.
    pub(crate) fn release(&mut self, id: AllocationId) {
        self.waiting.remove(&id);
        let Some(FlowNumber { index, .. }) = self.of.remove(&id) else { return };
        self.taken.remove(&index);
        let heir = self.waiting.iter().find(|(_, max)| index < **max).map(|(heir, _)| *heir);
        if let Some(heir) = heir {
            self.waiting.remove(&heir);
            self.set(heir, FlowNumber { index, epoch: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_one_holder_and_rests_when_it_is_given_back() {
        let mut numbers = FlowNumbers::default();
        let index = |numbers: &FlowNumbers, id| numbers.of(AllocationId(id)).map(FlowNumber::index);
        let max = u64::from(FLOWS_MAX);
        for id in [7, 7 + max, 8, max - 1, 2 * max - 1] {
            numbers.assign(AllocationId(id), FLOWS_MAX);
        }
        assert_eq!(index(&numbers, 7), Some(7));
        assert_eq!(index(&numbers, 7 + max), Some(8), "the next free one");
        assert_eq!(index(&numbers, 8), Some(9));
        assert_eq!(index(&numbers, 2 * max - 1), Some(0), "around the end");
        numbers.release(AllocationId(7));
        numbers.assign(AllocationId(10), FLOWS_MAX);
        assert_eq!(index(&numbers, 10), Some(10), "the one given back rests");
        assert_eq!(index(&numbers, 7), None);
    }

    #[test]
    fn a_full_range_gives_nothing() {
        let mut numbers = FlowNumbers::default();
        (0..=u64::from(FLOWS_MAX)).for_each(|id| numbers.assign(AllocationId(id), FLOWS_MAX));
        assert_eq!(numbers.of(AllocationId(u64::from(FLOWS_MAX))), None);
        numbers.release(AllocationId(5));
        assert_eq!(numbers.of(AllocationId(u64::from(FLOWS_MAX))).map(FlowNumber::index), Some(5));
    }

    #[test]
    fn a_smaller_range_takes_in_what_stood_beyond_it() {
        let mut numbers = FlowNumbers::default();
        let index = |numbers: &FlowNumbers, id| numbers.of(AllocationId(id)).map(FlowNumber::index);
        (7..10).for_each(|id| numbers.assign(AllocationId(id), FLOWS_MAX));
        (7..10).for_each(|id| numbers.assign_below(AllocationId(id), 2));
        assert_eq!([7, 8, 9].map(|id| index(&numbers, id)), [Some(1), Some(0), None]);
        numbers.release(AllocationId(8));
        assert_eq!(index(&numbers, 9), Some(0), "who waits is next");
    }
}
