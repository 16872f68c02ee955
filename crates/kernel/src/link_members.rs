//! The allocations on a link, in order of age. An entry appends one id; the end of an allocation leaves its id, to be
//! removed later, many at once. So the cost of a release does not depend on the number of allocations. What must stay true:
//! the living ids of a roster are exactly those that joined and did not leave.

use std::sync::Arc;

use super::id::AllocationId;

/// A roster with no more absent ids than this is not worth cleaning up.
const ABSENT_IGNORED: usize = 64;
/// Cleaned up when more than one in so many is absent.
const ABSENT_PART: usize = 4;
/// So many new ids stand in a list of their own, which a version copies, before they join the older ones together.
const RECENT_MAX: usize = 64;
/// So many older ids share a chunk.
const CHUNK_MAX: usize = 512;

/// The living allocations: a bit for each sequence number, in pages that are dropped when empty and shared by versions.
#[derive(Clone, Default)]
pub(crate) struct LiveSet {
    shelves: Vec<Option<Arc<Shelf>>>,
}

const PAGE_IDS: u64 = 4_096;
const SHELF_PAGES: u64 = 64;

type Shelf = [Option<Arc<MemberPage>>; 64];

#[derive(Clone)]
struct MemberPage {
    count: u32,
    bits: [u64; 64],
}

impl LiveSet {
    pub(crate) fn has(&self, id: AllocationId) -> bool {
        let (shelf, page, word, bit) = place(id);
        let shelf = self.shelves.get(shelf).and_then(Option::as_deref);
        shelf.and_then(|shelf| shelf[page].as_deref()).is_some_and(|page| page.bits[word] & bit != 0)
    }

    pub(crate) fn add(&mut self, id: AllocationId) {
        let (shelf, page, word, bit) = place(id);
        if self.shelves.len() <= shelf {
            self.shelves.resize(shelf + 1, None);
        }
        let Some(shelf) = self.shelves.get_mut(shelf) else { return };
        let shelf = Arc::make_mut(shelf.get_or_insert_with(|| Arc::new([const { None }; 64])));
        let page = shelf[page].get_or_insert_with(|| Arc::new(MemberPage { count: 0, bits: [0; 64] }));
        let page = Arc::make_mut(page);
        page.count += u32::from(page.bits[word] & bit == 0);
        page.bits[word] |= bit;
    }

    pub(crate) fn remove(&mut self, id: AllocationId) {
        let (shelf, at, word, bit) = place(id);
        let Some(Some(shelf)) = self.shelves.get_mut(shelf) else { return };
        let shelf = Arc::make_mut(shelf);
        let Some(page) = shelf[at].as_mut().map(Arc::make_mut) else { return };
        page.count -= u32::from(page.bits[word] & bit != 0);
        page.bits[word] &= !bit;
        if page.count == 0 {
            shelf[at] = None;
        }
    }
}

/// The shelf, the page on it, the word on the page, and the bit.
fn place(id: AllocationId) -> (usize, usize, usize, u64) {
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let (page, within) = (id.0 / PAGE_IDS, id.0 % PAGE_IDS);
    (whole(page / SHELF_PAGES), whole(page % SHELF_PAGES), whole(within / 64), 1 << (within % 64))
}

/// The allocations in one slot of one link's book, by age; some of them may be absent. A version copies the chunk that it
/// writes, however long the roster is.
#[derive(Clone, Default)]
pub(crate) struct Roster {
    /// Chunks of ascending ids, in ascending order; none is empty.
    older: Arc<Vec<Arc<Vec<AllocationId>>>>,
    /// Ascending, all after the older ones.
    recent: Vec<AllocationId>,
}

impl Roster {
    /// Adds an id; whether it was not listed.
    pub(crate) fn join(&mut self, id: AllocationId) -> bool {
        if self.recent.len() >= RECENT_MAX {
            self.recent_to_older();
        }
        // Nearly always: an id is given out once, and each is greater than the last.
        if self.recent.last().is_some_and(|newest| *newest < id) {
            self.recent.push(id);
            return true;
        }
        if self.older.last().and_then(|chunk| chunk.last()).is_none_or(|newest| *newest < id) {
            return insert(&mut self.recent, id);
        }
        let older = Arc::make_mut(&mut self.older);
        let at = chunk_of(older, id);
        let Some(chunk) = older.get_mut(at).map(Arc::make_mut) else { return false };
        let is_new = insert(chunk, id);
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            older.insert(at + 1, Arc::new(upper));
        }
        is_new
    }

    fn recent_to_older(&mut self) {
        let older = Arc::make_mut(&mut self.older);
        match older.last_mut() {
            Some(last) if last.len() + self.recent.len() <= CHUNK_MAX => Arc::make_mut(last).append(&mut self.recent),
            _ => older.push(Arc::new(std::mem::take(&mut self.recent))),
        }
    }

    /// Removes an id at once; whether it was listed.
    pub(crate) fn leave(&mut self, id: AllocationId) -> bool {
        if self.recent.first().is_some_and(|first| *first <= id) {
            return self.recent.binary_search(&id).map(|at| self.recent.remove(at)).is_ok();
        }
        let older = Arc::make_mut(&mut self.older);
        let at = chunk_of(older, id);
        let Some(chunk) = older.get_mut(at).map(Arc::make_mut) else { return false };
        let was_listed = chunk.binary_search(&id).map(|at| chunk.remove(at)).is_ok();
        if chunk.is_empty() {
            older.remove(at);
        }
        was_listed
    }

    /// Removes the absent ids; how many are left.
    pub(crate) fn clean_up(&mut self, living: &LiveSet) -> usize {
        let older = Arc::make_mut(&mut self.older);
        for chunk in older.iter_mut().filter(|chunk| !chunk.iter().all(|id| living.has(*id))) {
            Arc::make_mut(chunk).retain(|id| living.has(*id));
        }
        older.retain(|chunk| !chunk.is_empty());
        // What has become small joins what is before it.
        older.dedup_by(|chunk, before| {
            let fits = before.len() + chunk.len() <= CHUNK_MAX;
            if fits {
                Arc::make_mut(before).extend_from_slice(chunk);
            }
            fits
        });
        self.recent.retain(|id| living.has(*id));
        self.len()
    }

    fn len(&self) -> usize {
        self.older.iter().map(|chunk| chunk.len()).sum::<usize>() + self.recent.len()
    }

    /// The living ids, newest first.
    pub(crate) fn newest_first<'a>(&'a self, living: &'a LiveSet) -> impl Iterator<Item = AllocationId> + 'a {
        let older = self.older.iter().rev().flat_map(|chunk| chunk.iter().rev());
        self.recent.iter().rev().chain(older).copied().filter(|id| living.has(*id))
    }
}

/// The chunk that may have an id that is not after all of them.
fn chunk_of(chunks: &[Arc<Vec<AllocationId>>], id: AllocationId) -> usize {
    chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last < id))
}

/// Puts an id in its place; whether it was not there.
fn insert(ids: &mut Vec<AllocationId>, id: AllocationId) -> bool {
    ids.binary_search(&id).map_err(|at| ids.insert(at, id)).is_err()
}

/// Whether a roster with so many ids, of which so many live, is worth cleaning up.
pub(crate) fn is_stale(listed: usize, living: usize) -> bool {
    let absent = listed.saturating_sub(living);
    absent > ABSENT_IGNORED && absent * ABSENT_PART > listed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::property_cases(256))]

        #[test]
        fn behaves_as_a_sorted_set(steps in prop::collection::vec((0_u64..10_000, 0_u8..4), 1..3_000)) {
            let (mut roster, mut living, mut set) = (Roster::default(), LiveSet::default(), BTreeSet::new());
            let mut listed = 0_usize;
            let mut next = 10_000;
            for (number, what) in steps {
                let id = AllocationId(number);
                match what {
                    0 if set.remove(&number) => {
                        living.remove(id);
                        listed -= usize::from(roster.leave(id));
                    }
                    1 if set.insert(number) => {
                        living.add(id);
                        listed += usize::from(roster.join(id));
                    }
                    2 => {
                        next += 1;
                        set.insert(next);
                        living.add(AllocationId(next));
                        listed += usize::from(roster.join(AllocationId(next)));
                    }
                    _ => {
                        if let Some(ended) = set.range(number..).next().copied() {
                            set.remove(&ended);
                            living.remove(AllocationId(ended));
                            if is_stale(listed, set.len()) {
                                listed = roster.clean_up(&living);
                                prop_assert_eq!(listed, set.len());
                            }
                        }
                    }
                }
                prop_assert_eq!(roster.len(), listed);
                prop_assert!(roster.older.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_MAX));
            }
            prop_assert!(roster.newest_first(&living).map(|id| id.0).eq(set.iter().rev().copied()));
            prop_assert!((0..next + 2).all(|number| living.has(AllocationId(number)) == set.contains(&number)));
        }
    }
}
