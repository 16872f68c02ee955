//! The allocations on a link, in order of age. An entry appends one id; the end of an allocation only counts one absent id
//! on every link of its path, and ids are removed later, many at once. So the cost of a release does not depend on the
//! number of allocations. What must stay true: the living ids of a roster are exactly those that joined and did not leave.

use super::id::AllocationId;

/// A roster with no more absent ids than this is not worth cleaning up.
const ABSENT_IGNORED: usize = 64;
/// Cleaned up when more than one in so many is absent.
const ABSENT_PART: usize = 4;

/// The living allocations: a bit for each sequence number, in pages that are dropped when empty.
#[derive(Clone, Default)]
pub(crate) struct LiveSet {
    pages: Vec<Option<Box<MemberPage>>>,
}

const PAGE_IDS: u64 = 4_096;

#[derive(Clone)]
struct MemberPage {
    count: u32,
    bits: [u64; 64],
}

impl LiveSet {
    pub(crate) fn has(&self, id: AllocationId) -> bool {
        let (page, word, bit) = place(id);
        let page = self.pages.get(page).and_then(Option::as_deref);
        page.and_then(|page| page.bits.get(word)).is_some_and(|word| word & bit != 0)
    }

    pub(crate) fn add(&mut self, id: AllocationId) {
        let (page, word, bit) = place(id);
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        let Some(slot) = self.pages.get_mut(page) else { return };
        let page = slot.get_or_insert_with(|| Box::new(MemberPage { count: 0, bits: [0; 64] }));
        if let Some(word) = page.bits.get_mut(word) {
            page.count += u32::from(*word & bit == 0);
            *word |= bit;
        }
    }

    pub(crate) fn remove(&mut self, id: AllocationId) {
        let (page, word, bit) = place(id);
        let Some(slot) = self.pages.get_mut(page) else { return };
        let Some(page) = slot else { return };
        if let Some(word) = page.bits.get_mut(word) {
            page.count -= u32::from(*word & bit != 0);
            *word &= !bit;
        }
        if page.count == 0 {
            *slot = None;
        }
    }
}

fn place(id: AllocationId) -> (usize, usize, u64) {
    let page = usize::try_from(id.0 / PAGE_IDS).unwrap_or(usize::MAX);
    let within = id.0 % PAGE_IDS;
    (page, usize::try_from(within / 64).unwrap_or(0), 1 << (within % 64))
}

/// The allocations in one slot of one link's book, oldest first; some of them may be absent.
#[derive(Clone, Default)]
pub(crate) struct Roster {
    /// Ascending.
    ids: Vec<AllocationId>,
    absent: usize,
}

impl Roster {
    /// Adds an id. One that was absent is there again.
    pub(crate) fn join(&mut self, id: AllocationId) {
        if self.ids.last().is_none_or(|newest| *newest < id) {
            return self.push(id);
        }
        match self.ids.binary_search(&id) {
            Ok(_) => self.absent = self.absent.saturating_sub(1),
            Err(at) => self.ids.insert(at, id),
        }
    }

    /// Removes an id at once.
    pub(crate) fn leave(&mut self, id: AllocationId) {
        if let Ok(at) = self.ids.binary_search(&id) {
            self.ids.remove(at);
        }
    }

    /// Counts one id that no longer lives as absent.
    pub(crate) fn count_absent(&mut self, living: &LiveSet) {
        self.absent += 1;
        if self.absent > ABSENT_IGNORED && self.absent * ABSENT_PART > self.ids.len() {
            self.ids.retain(|id| living.has(*id));
            self.absent = 0;
        }
    }

    /// The living ids, newest first.
    pub(crate) fn newest_first<'a>(&'a self, living: &'a LiveSet) -> impl Iterator<Item = AllocationId> + 'a {
        self.ids.iter().rev().copied().filter(|id| living.has(*id))
    }

    /// The number of living ids.
    pub(crate) fn len(&self) -> usize {
        self.ids.len().saturating_sub(self.absent)
    }

    /// Grows by a quarter, not to double: there may be tens of millions of places.
    fn push(&mut self, id: AllocationId) {
        if self.ids.len() == self.ids.capacity() {
            self.ids.reserve_exact((self.ids.len() / 4).max(8));
        }
        self.ids.push(id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_sorted_set(steps in prop::collection::vec((0_u64..10_000, 0_u8..4), 1..3_000)) {
            let (mut roster, mut living, mut set) = (Roster::default(), LiveSet::default(), BTreeSet::new());
            let mut next = 10_000;
            for (number, what) in steps {
                let id = AllocationId(number);
                match what {
                    0 if set.remove(&number) => {
                        living.remove(id);
                        roster.leave(id);
                    }
                    1 if set.insert(number) => {
                        living.add(id);
                        roster.join(id);
                    }
                    2 => {
                        next += 1;
                        set.insert(next);
                        living.add(AllocationId(next));
                        roster.join(AllocationId(next));
                    }
                    _ => {
                        if let Some(ended) = set.range(number..).next().copied() {
                            set.remove(&ended);
                            living.remove(AllocationId(ended));
                            roster.count_absent(&living);
                        }
                    }
                }
                prop_assert_eq!(roster.len(), set.len());
            }
            prop_assert!(roster.newest_first(&living).map(|id| id.0).eq(set.iter().rev().copied()));
            prop_assert!((0..next + 2).all(|number| living.has(AllocationId(number)) == set.contains(&number)));
        }
    }
}
