//! Who is on a link, in order of age: a sorted list in chunks, so that the newest is at hand, joining at the end is
//! cheap and leaving from the middle moves little, however many there are.

use super::id::AllocationId;

/// The most ids in one chunk.
const CHUNK: usize = 128;

/// The allocations in one slot of one link's book, oldest first.
#[derive(Clone, Default)]
pub(crate) struct Roster {
    /// Never empty chunks, each sorted, in order.
    chunks: Vec<Vec<AllocationId>>,
}

impl Roster {
    /// Adds an id; adding it twice changes nothing.
    pub(crate) fn join(&mut self, id: AllocationId) {
        match self.chunks.last_mut() {
            Some(last) if last.last().is_some_and(|newest| *newest < id) && last.len() < CHUNK => last.push(id),
            Some(last) if last.last().is_none_or(|newest| *newest < id) => self.chunks.push(vec![id]),
            None => self.chunks.push(vec![id]),
            Some(_) => self.join_within(id),
        }
    }

    fn join_within(&mut self, id: AllocationId) {
        let at = self.chunk_of(id).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        if let Err(place) = chunk.binary_search(&id) {
            chunk.insert(place, id);
        }
        if chunk.len() > CHUNK {
            let upper = chunk.split_off(CHUNK / 2);
            self.chunks.insert(at + 1, upper);
        }
    }

    /// Removes an id, if it is there.
    pub(crate) fn leave(&mut self, id: AllocationId) {
        let at = self.chunk_of(id);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        if let Ok(place) = chunk.binary_search(&id) {
            chunk.remove(place);
        }
        if chunk.is_empty() {
            self.chunks.remove(at);
        } else if chunk.len() < CHUNK / 4 {
            self.merge(at);
        }
    }

    fn merge(&mut self, at: usize) {
        let room = |roster: &Self, with: usize| {
            roster.chunks.get(at).map_or(0, Vec::len) + roster.chunks.get(with).map_or(CHUNK, Vec::len) <= CHUNK / 2
        };
        if room(self, at + 1) {
            let mut next = self.chunks.remove(at + 1);
            if let Some(chunk) = self.chunks.get_mut(at) {
                chunk.append(&mut next);
            }
        }
    }

    /// Newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = AllocationId> + '_ {
        self.chunks.iter().rev().flat_map(|chunk| chunk.iter().rev().copied())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// The chunk in which `id` is, or would be.
    fn chunk_of(&self, id: AllocationId) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last < id))
    }
}

impl PartialEq for Roster {
    fn eq(&self, other: &Self) -> bool {
        self.newest_first().eq(other.newest_first())
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.chunks.iter().flatten().map(|id| id.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_sorted_set(steps in prop::collection::vec((0_u64..2_000, 0_u8..3), 1..3_000)) {
            let (mut roster, mut set) = (Roster::default(), BTreeSet::new());
            let mut next = 0;
            for (id, what) in steps {
                match what {
                    0 => {
                        roster.leave(AllocationId(id));
                        set.remove(&id);
                    }
                    1 => {
                        roster.join(AllocationId(id));
                        set.insert(id);
                    }
                    _ => {
                        next += 1;
                        roster.join(AllocationId(2_000 + next));
                        set.insert(2_000 + next);
                    }
                }
            }
            prop_assert!(roster.newest_first().map(|id| id.0).eq(set.iter().rev().copied()));
            prop_assert_eq!(roster.len(), set.len());
        }
    }
}
