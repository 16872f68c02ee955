//! The marks of a link in order of time: a B-tree with its nodes behind `Arc`s, so that versions share what did not change.
//! Each node has a summary, by which a look at a long time passes over what it need not look into. What must stay true: keys
//! ascend, no node is empty, and a summary is that of the marks below.

use std::sync::Arc;

use super::bam::{SLOTS, Slot};
use super::id::AllocationId;
use super::units::Millis;

/// A node holds no more; in tests few, so that small histories have high trees.
const NODE_MAX: usize = if cfg!(test) { 4 } else { 32 };
/// A node with fewer is joined with its neighbour, if both fit in one.
const NODE_SMALL: usize = NODE_MAX / 4;

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

    fn change(&self) -> i128 {
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

/// What follows from some marks in a row.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) first: MarkKey,
    pub(crate) last: MarkKey,
    /// How much all of them change the book, by slot.
    pub(crate) change: [i128; SLOTS],
    /// The most by which the first of them change it, by slot: at no mark is more in the slot.
    pub(crate) peak: [i128; SLOTS],
    /// Of what starts.
    pub(crate) pairs: SlotPairs,
    /// Of what starts at the last instant.
    pub(crate) last_pairs: SlotPairs,
}

impl Summary {
    fn of_mark((key, mark): &(MarkKey, Mark)) -> Self {
        let mut change = [0; SLOTS];
        change[mark.slot.at()] = mark.change();
        Self { first: *key, last: *key, change, peak: change, pairs: mark.pair(), last_pairs: mark.pair() }
    }

    /// This, and what comes after.
    fn add(&mut self, next: &Self) {
        for slot in 0..SLOTS {
            self.peak[slot] = self.peak[slot].max(self.change[slot] + next.peak[slot]);
            self.change[slot] += next.change[slot];
        }
        self.pairs = self.pairs.with(next.pairs);
        let is_same = next.first.at == next.last.at && self.last.at == next.last.at;
        self.last_pairs = if is_same { self.last_pairs.with(next.last_pairs) } else { next.last_pairs };
        self.last = next.last;
    }
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) summary: Summary,
    pub(crate) body: NodeBody,
}

#[derive(Clone)]
pub(crate) enum NodeBody {
    Leaf(Vec<(MarkKey, Mark)>),
    Inner(Vec<Arc<Node>>),
}

/// The marks of a link.
#[derive(Clone, Default)]
pub(crate) struct MarkTree {
    root: Option<Arc<Node>>,
}

impl MarkTree {
    pub(crate) fn root(&self) -> Option<&Node> {
        self.root.as_deref()
    }

    /// Adds a mark, or puts it in the place of the one with its key.
    pub(crate) fn insert(&mut self, key: MarkKey, mark: Mark) {
        let Some(root) = &mut self.root else {
            self.root = Node::new(NodeBody::Leaf(vec![(key, mark)]));
            return;
        };
        if let Some(right) = Arc::make_mut(root).insert(key, mark) {
            self.root = Node::new(NodeBody::Inner(vec![Arc::clone(root), right]));
        }
    }

    pub(crate) fn remove(&mut self, key: MarkKey) {
        let Some(root) = &mut self.root else { return };
        if !Arc::make_mut(root).remove(key) {
            self.root = None;
        } else if let NodeBody::Inner(children) = &root.body
            && let [only] = &children[..]
        {
            self.root = Some(Arc::clone(only));
        }
    }

    /// By their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(MarkKey, Mark)> {
        self.iter_from(MarkKey { at: Millis(0), is_start: false, id: AllocationId(0) })
    }

    /// From a key on.
    pub(crate) fn iter_from(&self, from: MarkKey) -> impl Iterator<Item = &(MarkKey, Mark)> {
        let mut stack: Vec<&Node> = self.root().into_iter().collect();
        let mut leaf: &[(MarkKey, Mark)] = &[];
        std::iter::from_fn(move || {
            loop {
                if let Some((first, rest)) = leaf.split_first() {
                    leaf = rest;
                    return Some(first);
                }
                match &stack.pop()?.body {
                    NodeBody::Leaf(marks) => leaf = marks.get(marks.partition_point(|(key, _)| *key < from)..)?,
                    NodeBody::Inner(children) => {
                        stack.extend(
                            children.iter().rev().map(|child| &**child).filter(|child| child.summary.last >= from),
                        );
                    }
                }
            }
        })
    }
}

impl PartialEq for MarkTree {
    /// However they are laid out.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Node {
    /// None without marks.
    fn new(body: NodeBody) -> Option<Arc<Self>> {
        let summary = body.summary()?;
        Some(Arc::new(Self { summary, body }))
    }

    /// What was split off to the right, if it became too wide.
    fn insert(&mut self, key: MarkKey, mark: Mark) -> Option<Arc<Self>> {
        let right = match &mut self.body {
            NodeBody::Leaf(marks) => {
                match marks.binary_search_by_key(&key, |(key, _)| *key) {
                    Ok(at) => marks[at].1 = mark,
                    Err(at) => marks.insert(at, (key, mark)),
                }
                (marks.len() > NODE_MAX).then(|| NodeBody::Leaf(marks.split_off(NODE_MAX / 2)))
            }
            NodeBody::Inner(children) => {
                let at = child_of(children, key);
                if let Some(right) = Arc::make_mut(&mut children[at]).insert(key, mark) {
                    children.insert(at + 1, right);
                }
                (children.len() > NODE_MAX).then(|| NodeBody::Inner(children.split_off(NODE_MAX / 2)))
            }
        };
        self.summarise();
        right.and_then(Self::new)
    }

    /// Whether anything is left.
    fn remove(&mut self, key: MarkKey) -> bool {
        match &mut self.body {
            NodeBody::Leaf(marks) => {
                if let Ok(at) = marks.binary_search_by_key(&key, |(key, _)| *key) {
                    marks.remove(at);
                }
            }
            NodeBody::Inner(children) => {
                let at = child_of(children, key);
                if !Arc::make_mut(&mut children[at]).remove(key) {
                    children.remove(at);
                } else if children[at].width() < NODE_SMALL {
                    join(children, at);
                }
            }
        }
        self.summarise()
    }

    fn summarise(&mut self) -> bool {
        let summary = self.body.summary();
        let is_there = summary.is_some();
        if let Some(summary) = summary {
            self.summary = summary;
        }
        is_there
    }

    fn width(&self) -> usize {
        match &self.body {
            NodeBody::Leaf(marks) => marks.len(),
            NodeBody::Inner(children) => children.len(),
        }
    }
}

impl NodeBody {
    fn summary(&self) -> Option<Summary> {
        let add = |mut sum: Summary, next: Summary| {
            sum.add(&next);
            sum
        };
        match self {
            Self::Leaf(marks) => marks.iter().map(Summary::of_mark).reduce(add),
            Self::Inner(children) => {
                let (first, rest) = children.split_first()?;
                let mut sum = first.summary.clone();
                rest.iter().for_each(|child| sum.add(&child.summary));
                Some(sum)
            }
        }
    }
}

fn child_of(children: &[Arc<Node>], key: MarkKey) -> usize {
    children.partition_point(|child| child.summary.first <= key).saturating_sub(1)
}

/// Joins the small child at `at` with a neighbour, if both fit in one node.
fn join(children: &mut Vec<Arc<Node>>, at: usize) {
    let left = if at + 1 < children.len() { at } else { at.saturating_sub(1) };
    let width = |place: usize| children.get(place).map_or(NODE_MAX, |child| child.width());
    if left + 1 >= children.len() || width(left) + width(left + 1) > NODE_MAX {
        return;
    }
    let right = Arc::unwrap_or_clone(children.remove(left + 1)).body;
    let node = Arc::make_mut(&mut children[left]);
    match (&mut node.body, right) {
        (NodeBody::Leaf(own), NodeBody::Leaf(more)) => own.extend(more),
        (NodeBody::Inner(own), NodeBody::Inner(more)) => own.extend(more),
        // Leaves are equally deep.
        (NodeBody::Leaf(_), NodeBody::Inner(_)) | (NodeBody::Inner(_), NodeBody::Leaf(_)) => {}
    }
    node.summarise();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::bam::{Model, ModelKind};

    /// Each summary is that of the marks below, and no node is empty.
    fn check(node: &Node) -> Vec<(MarkKey, Mark)> {
        let marks = match &node.body {
            NodeBody::Leaf(marks) => marks.clone(),
            NodeBody::Inner(children) => children.iter().flat_map(|child| check(child)).collect(),
        };
        assert!((1..=NODE_MAX).contains(&node.width()));
        let summary = &node.summary;
        let (first, last) = (marks[0].0, marks[marks.len() - 1].0);
        assert_eq!((summary.first, summary.last), (first, last));
        let prefixes = (1..=marks.len()).map(|count| sum(&marks[..count])).collect::<Vec<_>>();
        assert_eq!(summary.change, sum(&marks));
        assert_eq!(summary.peak, std::array::from_fn(|slot| prefixes.iter().map(|sum| sum[slot]).max().unwrap()));
        let pairs = |from: Millis| {
            let late = marks.iter().filter(|(key, _)| key.at >= from);
            late.fold(SlotPairs::default(), |pairs, (_, mark)| pairs.with(mark.pair()))
        };
        assert_eq!((summary.pairs, summary.last_pairs), (pairs(Millis(0)), pairs(last.at)));
        marks
    }

    fn sum(marks: &[(MarkKey, Mark)]) -> [i128; SLOTS] {
        let mut sum = [0; SLOTS];
        marks.iter().for_each(|(_, mark)| sum[mark.slot.at()] += mark.change());
        sum
    }

    proptest! {
        #![proptest_config(crate::property_cases(128))]

        /// Every version stays what it was.
        #[test]
        fn behaves_as_a_sorted_map(steps in prop::collection::vec((0_u64..60, any::<bool>(), 0_u64..20, 0_u8..5), 1..1_500)) {
            let class = |class_type| crate::bam::ClassConfig {
                class_type: crate::class::ClassType::new(class_type).unwrap(),
                share: crate::units::Share::from_ppm(500_000).unwrap(),
                high_to_low: crate::units::Share::NONE,
                low_to_high: crate::units::Share::NONE,
                overbooking: crate::units::Overbooking::NONE,
            };
            let model = Model::new(ModelKind::Mam, vec![class(0), class(1)], vec![]).unwrap();
            let slots: Vec<Slot> = model.slots().iter().collect();
            let (mut tree, mut map) = (MarkTree::default(), BTreeMap::new());
            let mut versions = vec![];
            for (number, (at, is_start, id, what)) in steps.into_iter().enumerate() {
                let key = MarkKey { at: Millis(at), is_start, id: AllocationId(id) };
                if what < 3 {
                    let slot = slots[number % 2];
                    let mark = Mark { slot, booked: number as u64, setup_slot: is_start.then(|| slots[number / 2 % 2]) };
                    tree.insert(key, mark);
                    map.insert(key, mark);
                } else {
                    tree.remove(key);
                    map.remove(&key);
                }
                if number % 128 == 0 {
                    versions.push((tree.clone(), map.clone()));
                }
            }
            versions.push((tree, map));
            for (tree, map) in versions {
                prop_assert!(tree.iter().map(|(key, mark)| (key, mark)).eq(map.iter()));
                let from = MarkKey { at: Millis(30), is_start: true, id: AllocationId(7) };
                prop_assert!(tree.iter_from(from).map(|(key, mark)| (key, mark)).eq(map.range(from..)));
                prop_assert_eq!(tree.root().map_or(0, |root| check(root).len()), map.len());
            }
        }
    }
}
