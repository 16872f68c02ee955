//! Notice ahead: which allocations a booking will preempt or devolve at its start, as far as it was foreseen.

use super::id::AllocationId;
use super::persistent_map::PersistentMap;
use super::units::Millis;

/// The most allocations that have notice at once.
pub const NOTICES_MAX: usize = 10_000;

/// What will end an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreemptionNotice {
    /// The instant at which it will be preempted or devolved: the start of the booking.
    pub at: Millis,
    /// The booking.
    pub by: AllocationId,
}

/// The allocations that have notice.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct PreemptionNotices(PersistentMap<AllocationId, PreemptionNotice>);

impl PreemptionNotices {
    /// The notice of an allocation.
    pub fn of(&self, id: AllocationId) -> Option<PreemptionNotice> {
        self.0.get(&id).copied()
    }

    /// All that there are, in the order of the allocations.
    pub fn iter(&self) -> impl Iterator<Item = (AllocationId, PreemptionNotice)> + '_ {
        self.0.iter().map(|(id, notice)| (*id, *notice))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Gives notice, or lifts it.
    pub(super) fn set(&mut self, id: AllocationId, notice: Option<PreemptionNotice>) {
        match notice {
            Some(notice) => drop(self.0.insert(id, notice)),
            None if self.0.contains_key(&id) => drop(self.0.remove(&id)),
            None => {}
        }
    }
}
