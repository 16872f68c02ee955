//! A 4-ary min-heap of (key, item). Shallower than a binary heap and its children share a cache line. It knows no
//! decrease-key: callers push again and skip what is stale. Equal pushes and pops give equal orders, always.

/// See the head of this file.
#[derive(Default)]
pub(super) struct Heap {
    entries: Vec<(u64, u32)>,
}

const ARITY: usize = 4;

impl Heap {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The least key.
    pub(super) fn least(&self) -> Option<u64> {
        self.entries.first().map(|entry| entry.0)
    }

    pub(super) fn push(&mut self, key: u64, item: u32) {
        let mut hole = self.entries.len();
        self.entries.push((key, item));
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            let above = self.entries[parent];
            if above.0 <= key {
                break;
            }
            self.entries[hole] = above;
            hole = parent;
        }
        self.entries[hole] = (key, item);
    }

    pub(super) fn pop(&mut self) -> Option<(u64, u32)> {
        let last = self.entries.pop()?;
        let Some(&top) = self.entries.first() else { return Some(last) };
        self.sink(last);
        Some(top)
    }

    /// Puts `entry` in the place of the top.
    fn sink(&mut self, entry: (u64, u32)) {
        let entries = self.entries.as_mut_slice();
        let mut hole = 0;
        loop {
            let first = hole * ARITY + 1;
            if first >= entries.len() {
                break;
            }
            let least = first + least_of(&entries[first..]);
            if entries[least].0 >= entry.0 {
                break;
            }
            entries[hole] = entries[least];
            hole = least;
        }
        entries[hole] = entry;
    }
}

/// Where the least of the first children is. Which of four is hard to foretell, so they are compared without branching.
#[inline]
fn least_of(children: &[(u64, u32)]) -> usize {
    if let Some(&[(a, _), (b, _), (c, _), (d, _)]) = children.first_chunk::<ARITY>() {
        let (ab, least_ab) = if b < a { (1, b) } else { (0, a) };
        let (cd, least_cd) = if d < c { (3, d) } else { (2, c) };
        return if least_cd < least_ab { cd } else { ab };
    }
    let mut least = 0;
    for (at, child) in children.iter().enumerate() {
        if child.0 < children[least].0 {
            least = at;
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::Heap;

    #[test]
    fn pops_in_order() {
        let mut heap = Heap::default();
        let mut x = 7_u64;
        let mut keys = Vec::new();
        for item in 0..200 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            heap.push(x >> 58, item);
            keys.push(x >> 58);
        }
        keys.sort_unstable();
        let popped: Vec<u64> = std::iter::from_fn(|| heap.pop()).map(|(key, _)| key).collect();
        assert_eq!(popped, keys);
    }
}
