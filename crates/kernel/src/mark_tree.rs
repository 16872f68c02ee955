//! The marks of a link in order of time: a B-tree with its nodes behind `Arc`s, so that versions share what did not change.
//! Each node has a summary, by which a look at a long time passes over what it need not look into. What must stay true: keys
//! ascend, no node is empty, and a summary is that of the marks below.

use std::sync::Arc;

use super::bam::Booked;
use super::id::AllocationId;
use super::mark::{Mark, MarkKey};
use super::mark_summary::{Summary, SummaryDraft, sum_of};
use super::packed_marks::PackedMarks;
use super::units::Millis;

/// A leaf holds no more marks; in tests few, so that small histories have high trees.
const LEAF_MAX: usize = if cfg!(test) { 4 } else { 256 };
/// An inner node has no more children.
const INNER_MAX: usize = if cfg!(test) { 4 } else { 32 };

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) summary: Summary,
    pub(crate) body: NodeBody,
}

#[derive(Clone)]
pub(crate) enum NodeBody {
    Leaf(PackedMarks),
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

    /// Adds one or two marks in order of their keys, or puts them in the places of those with the same keys.
    pub(crate) fn insert(&mut self, marks: &[(MarkKey, Mark)]) {
        let Some(root) = &mut self.root else {
            self.root = Node::new(NodeBody::Leaf(PackedMarks::new(marks)));
            return;
        };
        if let Some(right) = Arc::make_mut(root).insert(marks) {
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

    /// The most that is in all slots together between two instants, of a book as it is before the first mark.
    pub(crate) fn peak_of_all(&self, booked: &Booked, from: Millis, to: Millis) -> u64 {
        let mut peak = Peak { from, to, sum: i128::from(sum_of(booked)), most: 0 };
        if let Some(root) = self.root() {
            peak.pass(root);
        }
        // Of no mark within, what is there before them.
        u64::try_from(peak.most.max(peak.sum).max(0)).unwrap_or(u64::MAX)
    }

    /// By their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MarkKey, Mark)> + '_ {
        self.iter_from(MarkKey { at: Millis(0), is_start: false, id: AllocationId(0) })
    }

    /// From a key on.
    pub(crate) fn iter_from(&self, from: MarkKey) -> impl Iterator<Item = (MarkKey, Mark)> + '_ {
        let mut stack: Vec<&Node> = self.root().into_iter().collect();
        let leaves = std::iter::from_fn(move || {
            loop {
                match &stack.pop()?.body {
                    NodeBody::Leaf(marks) => return Some(marks.iter_from(marks.below(from))),
                    NodeBody::Inner(children) => {
                        let later = children.iter().rev().map(|child| &**child);
                        stack.extend(later.filter(|child| child.summary.last >= from));
                    }
                }
            }
        });
        leaves.flatten()
    }
}

/// The most of a sum between two instants.
struct Peak {
    from: Millis,
    to: Millis,
    sum: i128,
    most: i128,
}

impl Peak {
    fn pass(&mut self, node: &Node) {
        let Summary { first, last, all, .. } = &node.summary;
        if self.to < first.at {
            return;
        }
        if last.at < self.from {
            self.sum += all.change;
            return;
        }
        if self.from < first.at && last.at <= self.to {
            self.most = self.most.max(self.sum).max(self.sum + all.peak);
            self.sum += all.change;
            return;
        }
        match &node.body {
            NodeBody::Inner(children) => children.iter().for_each(|child| self.pass(child)),
            NodeBody::Leaf(marks) => {
                for (_, mark) in marks.iter().take_while(|(key, _)| key.at <= self.to) {
                    // What ends before the time begins is in the sum, too.
                    self.most = self.most.max(self.sum);
                    self.sum += mark.change();
                }
                self.most = self.most.max(self.sum);
            }
        }
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
    fn insert(&mut self, marks: &[(MarkKey, Mark)]) -> Option<Arc<Self>> {
        let right = match &mut self.body {
            NodeBody::Leaf(packed) => {
                for mark in marks {
                    *packed = packed.with(packed.below(mark.0), *mark);
                }
                (packed.len() > LEAF_MAX).then(|| {
                    let mut all: Vec<_> = packed.iter().collect();
                    let right = all.split_off(LEAF_MAX / 2);
                    *packed = PackedMarks::new(&all);
                    NodeBody::Leaf(PackedMarks::new(&right))
                })
            }
            NodeBody::Inner(children) => {
                let of_same_child = |one: &(MarkKey, Mark), next: &(MarkKey, Mark)| {
                    child_of(children, one.0) == child_of(children, next.0)
                };
                let some: Vec<_> = marks.chunk_by(of_same_child).collect();
                for some in some {
                    let at = some.first().map_or(0, |(key, _)| child_of(children, *key));
                    if let Some(right) = Arc::make_mut(&mut children[at]).insert(some) {
                        children.insert(at + 1, right);
                    }
                }
                (children.len() > INNER_MAX).then(|| NodeBody::Inner(children.split_off(INNER_MAX / 2)))
            }
        };
        self.summarise();
        right.and_then(Self::new)
    }

    /// Whether anything is left.
    fn remove(&mut self, key: MarkKey) -> bool {
        match &mut self.body {
            NodeBody::Leaf(packed) => {
                let place = packed.below(key);
                if packed.get(place).is_some_and(|(own, _)| own == key) {
                    *packed = packed.without(place);
                }
            }
            NodeBody::Inner(children) => {
                let at = child_of(children, key);
                if !Arc::make_mut(&mut children[at]).remove(key) {
                    children.remove(at);
                } else if children[at].is_small() {
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

    fn width_max(&self) -> usize {
        match &self.body {
            NodeBody::Leaf(_) => LEAF_MAX,
            NodeBody::Inner(_) => INNER_MAX,
        }
    }

    /// Then it is joined with its neighbour, if both fit in one.
    fn is_small(&self) -> bool {
        self.width() < self.width_max() / 4
    }
}

impl NodeBody {
    fn summary(&self) -> Option<Summary> {
        let mut draft = SummaryDraft::default();
        match self {
            Self::Leaf(marks) => draft.add_leaf(marks),
            Self::Inner(children) => children.iter().for_each(|child| draft.add(&child.summary)),
        }
        draft.finish()
    }
}

fn child_of(children: &[Arc<Node>], key: MarkKey) -> usize {
    children.partition_point(|child| child.summary.first <= key).saturating_sub(1)
}

/// Joins the small child at `at` with a neighbour, if both fit in one node.
fn join(children: &mut Vec<Arc<Node>>, at: usize) {
    let left = if at + 1 < children.len() { at } else { at.saturating_sub(1) };
    let fits = |pair: &[Arc<Node>]| pair.iter().map(|child| child.width()).sum::<usize>() <= pair[0].width_max();
    if !children.get(left..left + 2).is_some_and(fits) {
        return;
    }
    let right = Arc::unwrap_or_clone(children.remove(left + 1)).body;
    let node = Arc::make_mut(&mut children[left]);
    match (&mut node.body, right) {
        (NodeBody::Leaf(own), NodeBody::Leaf(more)) => {
            *own = PackedMarks::new(&own.iter().chain(more.iter()).collect::<Vec<_>>());
        }
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
    use crate::bam::{Model, ModelKind, SLOTS, Slot};
    use crate::mark::SlotPairs;

    /// Each summary is that of the marks below, and no node is empty.
    fn check(node: &Node) -> Vec<(MarkKey, Mark)> {
        let marks: Vec<(MarkKey, Mark)> = match &node.body {
            NodeBody::Leaf(marks) => marks.iter().collect(),
            NodeBody::Inner(children) => children.iter().flat_map(|child| check(child)).collect(),
        };
        assert!((1..=node.width_max()).contains(&node.width()));
        let summary = &node.summary;
        let (first, last) = (marks[0].0, marks[marks.len() - 1].0);
        assert_eq!((summary.first, summary.last), (first, last));
        let prefixes = (1..=marks.len()).map(|count| sum(&marks[..count])).collect::<Vec<_>>();
        let of = |slot: usize| summary.slots.get(slot).copied().unwrap_or_default();
        assert_eq!(std::array::from_fn(|slot| of(slot).change), sum(&marks));
        let peak: [i128; SLOTS] =
            std::array::from_fn(|slot| prefixes.iter().map(|sum: &[i128; SLOTS]| sum[slot]).max().unwrap());
        assert_eq!(std::array::from_fn(|slot| of(slot).peak), peak);
        let all = |sum: &[i128; SLOTS]| sum.iter().sum::<i128>();
        assert_eq!(summary.all.change, all(&sum(&marks)));
        assert_eq!(summary.all.peak, prefixes.iter().map(all).max().unwrap());
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
                let slot = slots[number % 2];
                let mark = |is_start: bool| {
                    Mark { slot, booked: number as u64, setup_slot: is_start.then(|| slots[number / 2 % 2]) }
                };
                if what == 0 {
                    tree.insert(&[(key, mark(is_start))]);
                    map.insert(key, mark(is_start));
                } else if what < 3 {
                    let end = MarkKey { at: Millis(at + 7 * u64::from(what)), is_start: false, id: AllocationId(id) };
                    let both = [(key, mark(is_start)), (end, mark(false))];
                    tree.insert(&both);
                    map.extend(both);
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
                prop_assert!(tree.iter().eq(map.iter().map(|(key, mark)| (*key, *mark))));
                let from = MarkKey { at: Millis(30), is_start: true, id: AllocationId(7) };
                prop_assert!(tree.iter_from(from).eq(map.range(from..).map(|(key, mark)| (*key, *mark))));
                prop_assert_eq!(tree.root().map_or(0, |root| check(root).len()), map.len());
            }
        }
    }
}
