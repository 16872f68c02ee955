//! The numbers by which switches tell the flows of allocations apart. They follow from the journal: a flow has an index of its
//! own as long as its allocation lives, in every replica and after every restart the same, so that no two living allocations
//! ever share a label or a meter, whichever instance writes them.
//!
//! An index is taken near the allocation's id, which only grows: one that was given back rests while the ids go once around
//! the range.

use std::collections::BTreeSet;

use crate::id::{AllocationId, Name};
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

/// The numbers of all living allocations that have a flow. Those of a topology are its own: its switches are no other's.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct FlowNumbers {
    of: PersistentMap<AllocationId, FlowNumber>,
    taken: PersistentMap<(Name, u32), AllocationId>,
    /// Those for which none was left.
    waiting: PersistentMap<(Name, AllocationId), ()>,
}

impl FlowNumbers {
    pub(crate) fn of(&self, id: AllocationId) -> Option<FlowNumber> {
        self.of.get(&id).copied()
    }

    /// Every number, by allocation.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AllocationId, FlowNumber)> + '_ {
        self.of.iter().map(|(id, number)| (*id, *number))
    }

    /// Whether an allocation waits for a number.
    pub(crate) fn is_waiting(&self, id: AllocationId, topology: &Name) -> bool {
        self.waiting.contains_key(&(topology.clone(), id))
    }

    /// No number is left for an allocation: it waits for one.
    pub(crate) fn wait(&mut self, id: AllocationId, topology: &Name) {
        self.waiting.insert((topology.clone(), id), ());
    }

    /// Gives an allocation the first free index of its topology from that of its id on and below `max`, unless it has one or
    /// waits for one. If none is left, it waits.
    pub(crate) fn assign(&mut self, id: AllocationId, topology: &Name, max: u32) {
        if self.of.contains_key(&id) || self.is_waiting(id, topology) {
            return;
        }
        // Below 2^32.
        let wanted = u32::try_from(id.0 % u64::from(max.max(1))).unwrap_or(0);
        match self.free_from(wanted, topology, max).or_else(|| self.free_from(0, topology, max)) {
            Some(index) => self.set(id, topology, FlowNumber { index, epoch: 0 }),
            None => self.wait(id, topology),
        }
    }

    /// The indices of a topology are below `max` from now on: what is beyond gets another one, and what waits one, as far as
    /// there are so many.
    pub(crate) fn set_bound(&mut self, topology: &Name, max: u32) {
        let beyond: BTreeSet<_> = self.taken_from(max, topology).map(|(_, id)| id).collect();
        for id in &beyond {
            self.remove(*id, topology);
        }
        let first = (topology.clone(), AllocationId(0));
        let waiting = self.waiting.iter_from(&first).map(|((name, id), ())| (name, *id));
        let waiting: BTreeSet<_> = waiting.take_while(|(name, _)| *name == topology).map(|(_, id)| id).collect();
        for id in &waiting {
            self.waiting.remove(&(topology.clone(), *id));
        }
        beyond.union(&waiting).for_each(|id| self.assign(*id, topology, max));
    }

    fn taken_from(&self, first: u32, topology: &Name) -> impl Iterator<Item = (u32, AllocationId)> + '_ {
        let of_topology = topology.clone();
        let taken = self.taken.iter_from(&(topology.clone(), first));
        taken.take_while(move |((name, _), _)| *name == of_topology).map(|((_, index), id)| (*index, *id))
    }

    fn free_from(&self, first: u32, topology: &Name, max: u32) -> Option<u32> {
        let mut free = first;
        for (taken, _) in self.taken_from(first, topology) {
            if taken != free {
                break;
            }
            free += 1;
        }
        (free < max.min(FLOWS_MAX)).then_some(free)
    }

    /// Gives an allocation this number, unless another one of its topology has its index.
    pub(crate) fn set(&mut self, id: AllocationId, topology: &Name, number: FlowNumber) {
        let place = (topology.clone(), number.index);
        if self.taken.get(&place).is_none_or(|holder| *holder == id) {
            self.taken.insert(place, id);
            self.of.insert(id, number);
        }
    }

    /// The allocation has another path now.
    pub(crate) fn next_epoch(&mut self, id: AllocationId) {
        if let Some(number) = self.of.get_mut(&id) {
            number.epoch = number.epoch.wrapping_add(1);
        }
    }

    fn remove(&mut self, id: AllocationId, topology: &Name) -> Option<u32> {
        let FlowNumber { index, .. } = self.of.remove(&id)?;
        self.taken.remove(&(topology.clone(), index));
        Some(index)
    }

    /// An allocation needs no number any more: the oldest of its topology that waits for one below `max` gets it.
    pub(crate) fn release(&mut self, id: AllocationId, topology: &Name, max: u32) {
        self.waiting.remove(&(topology.clone(), id));
        let Some(index) = self.remove(id, topology).filter(|index| *index < max) else { return };
        let next = self.waiting.iter_from(&(topology.clone(), AllocationId(0))).next();
        let heir = next.filter(|((name, _), ())| name == topology).map(|((_, heir), ())| *heir);
        if let Some(heir) = heir {
            self.waiting.remove(&(topology.clone(), heir));
            self.set(heir, topology, FlowNumber { index, epoch: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    fn index(numbers: &FlowNumbers, id: u64) -> Option<u32> {
        numbers.of(AllocationId(id)).map(FlowNumber::index)
    }

    #[test]
    fn an_index_has_one_holder_and_rests_when_it_is_given_back() {
        let (mut numbers, net) = (FlowNumbers::default(), net("net"));
        let max = u64::from(FLOWS_MAX);
        for id in [7, 7 + max, 8, max - 1, 2 * max - 1] {
            numbers.assign(AllocationId(id), &net, FLOWS_MAX);
        }
        assert_eq!(index(&numbers, 7), Some(7));
        assert_eq!(index(&numbers, 7 + max), Some(8), "the next free one");
        assert_eq!(index(&numbers, 8), Some(9));
        assert_eq!(index(&numbers, 2 * max - 1), Some(0), "around the end");
        numbers.release(AllocationId(7), &net, FLOWS_MAX);
        numbers.assign(AllocationId(10), &net, FLOWS_MAX);
        assert_eq!(index(&numbers, 10), Some(10), "the one given back rests");
        assert_eq!(index(&numbers, 7), None);
    }

    #[test]
    fn a_full_range_lets_the_next_wait() {
        let (mut numbers, net, other) = (FlowNumbers::default(), net("net"), net("other"));
        (0..=16).for_each(|id| numbers.assign(AllocationId(id), &net, 16));
        assert!(numbers.is_waiting(AllocationId(16), &net) && index(&numbers, 16).is_none());
        numbers.assign(AllocationId(21), &other, 16);
        assert_eq!(index(&numbers, 21), Some(5), "another topology has its own");
        numbers.release(AllocationId(21), &other, 16);
        numbers.release(AllocationId(5), &net, 16);
        assert_eq!(index(&numbers, 16), Some(5));
    }

    #[test]
    fn another_bound_moves_what_is_beyond_and_what_waits() {
        let (mut numbers, net) = (FlowNumbers::default(), net("net"));
        (7..10).for_each(|id| numbers.assign(AllocationId(id), &net, FLOWS_MAX));
        numbers.set_bound(&net, 2);
        assert_eq!([7, 8, 9].map(|id| index(&numbers, id)), [Some(1), Some(0), None]);
        numbers.release(AllocationId(8), &net, 2);
        assert_eq!(index(&numbers, 9), Some(0), "who waits is next");
        (20..22).for_each(|id| numbers.assign(AllocationId(id), &net, 2));
        numbers.set_bound(&net, FLOWS_MAX);
        assert_eq!([7, 9, 20, 21].map(|id| index(&numbers, id)), [Some(1), Some(0), Some(20), Some(21)]);
    }
}
