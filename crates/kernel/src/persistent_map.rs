//! A sorted map whose versions share what did not change: a B-tree with its nodes behind `Arc`s. A clone costs one
//! reference; a change copies the nodes from the root to its place that another version holds too, and writes the others
//! where they are. What must stay true: keys ascend, all leaves are equally deep, no node but the root is empty.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A node holds no more.
const NODE_MAX: usize = 32;
/// A node with fewer is joined with its neighbour, if both fit in one.
const NODE_SMALL: usize = 8;

/// A sorted map that is cheap to clone.
#[derive(Clone)]
pub(crate) struct PersistentMap<K, V> {
    root: Option<Arc<TreeNode<K, V>>>,
    len: usize,
}

#[derive(Clone)]
enum TreeNode<K, V> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<Child<K, V>>),
}

/// A child with a bound: its keys, and those of the children after it, are not below.
type Child<K, V> = (K, Arc<TreeNode<K, V>>);

impl<K: Ord + Clone, V: Clone> PersistentMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    pub(crate) fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                TreeNode::Leaf(entries) => {
                    let at = entries.binary_search_by(|(own, _)| own.borrow().cmp(key)).ok()?;
                    return entries.get(at).map(|(key, value)| (key, value));
                }
                TreeNode::Inner(children) => node = &children.get(child_of(children, key))?.1,
            }
        }
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).is_some()
    }

    /// The value of a key, to be changed in this version. A key that is not there costs copies too: look first.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let mut node = Arc::make_mut(self.root.as_mut()?);
        loop {
            match node {
                TreeNode::Leaf(entries) => {
                    let at = entries.binary_search_by(|(own, _)| own.borrow().cmp(key)).ok()?;
                    return entries.get_mut(at).map(|(_, value)| value);
                }
                TreeNode::Inner(children) => {
                    let at = child_of(children, key);
                    node = Arc::make_mut(&mut children.get_mut(at)?.1);
                }
            }
        }
    }

    /// Sets the value of a key; the value that it had.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let root = self.root.get_or_insert_with(|| Arc::new(TreeNode::Leaf(vec![])));
        match Arc::make_mut(root).insert(key, value) {
            Inserted::Replaced(old) => return Some(old),
            Inserted::Added(None) => {}
            Inserted::Added(Some((bound, right))) => {
                if let Some(lowest) = root.lowest().cloned() {
                    *root = Arc::new(TreeNode::Inner(vec![(lowest, Arc::clone(root)), (bound, right)]));
                }
            }
        }
        self.len += 1;
        None
    }

    /// Removes a key; the value that it had. See [`PersistentMap::get_mut`].
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let root = self.root.as_mut()?;
        let removed = Arc::make_mut(root).remove(key)?;
        self.len -= 1;
        match &**root {
            TreeNode::Leaf(entries) if entries.is_empty() => self.root = None,
            TreeNode::Inner(children) if children.len() == 1 => {
                let only = children.first().map(|(_, only)| Arc::clone(only));
                self.root = only;
            }
            _ => {}
        }
        Some(removed)
    }

    /// The entries by ascending keys.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        Counted { entries: Ascending::from_first(self.root.as_deref()), left: self.len }
    }

    /// The values by ascending keys.
    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The entries from `key` on.
    pub(crate) fn iter_from<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = (&K, &V)> + use<'_, K, V, Q>
    where
        K: Borrow<Q>,
    {
        Ascending::from_key(self.root.as_deref(), key)
    }

    pub(crate) fn first_key_value(&self) -> Option<(&K, &V)> {
        Ascending::from_first(self.root.as_deref()).next()
    }
}

/// The place of the child that may have `key`.
fn child_of<K: Borrow<Q>, Q: Ord + ?Sized, T>(children: &[(K, T)], key: &Q) -> usize {
    children.partition_point(|(bound, _)| bound.borrow() <= key).saturating_sub(1)
}

enum Inserted<K, V> {
    Replaced(V),
    /// With what was split off to the right, under its bound.
    Added(Option<Child<K, V>>),
}

impl<K: Ord + Clone, V: Clone> TreeNode<K, V> {
    fn insert(&mut self, key: K, value: V) -> Inserted<K, V> {
        match self {
            Self::Leaf(entries) => {
                let at = match entries.last() {
                    Some((last, _)) if *last < key => Err(entries.len()),
                    _ => entries.binary_search_by(|(own, _)| own.cmp(&key)),
                };
                match at {
                    Ok(at) => Inserted::Replaced(std::mem::replace(&mut entries[at].1, value)),
                    Err(at) => {
                        entries.insert(at, (key, value));
                        Inserted::Added(split(entries, at, Self::Leaf))
                    }
                }
            }
            Self::Inner(children) => {
                let at = child_of(children, &key);
                match Arc::make_mut(&mut children[at].1).insert(key, value) {
                    Inserted::Added(Some(right)) => {
                        children.insert(at + 1, right);
                        Inserted::Added(split(children, at + 1, Self::Inner))
                    }
                    done => done,
                }
            }
        }
    }

    fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Leaf(entries) => {
                let at = entries.binary_search_by(|(own, _)| own.borrow().cmp(key)).ok()?;
                Some(entries.remove(at).1)
            }
            Self::Inner(children) => {
                let at = child_of(children, key);
                let child = Arc::make_mut(&mut children.get_mut(at)?.1);
                let removed = child.remove(key)?;
                match child.width() {
                    0 => drop(children.remove(at)),
                    1..NODE_SMALL => join(children, at),
                    _ => {}
                }
                Some(removed)
            }
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(children) => children.len(),
        }
    }

    fn lowest(&self) -> Option<&K> {
        match self {
            Self::Leaf(entries) => entries.first().map(|(key, _)| key),
            Self::Inner(children) => children.first().map(|(bound, _)| bound),
        }
    }

    /// Takes the entries of its right neighbour, whose bound is `bound`.
    fn append(&mut self, bound: K, right: Self) {
        match (self, right) {
            (Self::Leaf(own), Self::Leaf(more)) => own.extend(more),
            (Self::Inner(own), Self::Inner(mut more)) => {
                // Its first child also took keys below its own bound.
                if let Some((first, _)) = more.first_mut() {
                    *first = bound;
                }
                own.extend(more);
            }
            // Leaves are equally deep.
            (Self::Leaf(_), Self::Inner(_)) | (Self::Inner(_), Self::Leaf(_)) => {}
        }
    }
}

/// Splits what became too wide by an entry at `at`. Behind the last entry nothing is moved: keys that ascend fill nodes.
fn split<K: Clone, V, T>(
    entries: &mut Vec<(K, T)>,
    at: usize,
    node: impl Fn(Vec<(K, T)>) -> TreeNode<K, V>,
) -> Option<Child<K, V>> {
    if entries.len() <= NODE_MAX {
        return None;
    }
    let right = entries.split_off(if at == NODE_MAX { NODE_MAX } else { NODE_MAX / 2 });
    // It had grown for the one too many.
    entries.shrink_to(NODE_MAX);
    let bound = right.first()?.0.clone();
    Some((bound, Arc::new(node(right))))
}

/// Joins the small child at `at` with a neighbour, if both fit in one node.
fn join<K: Ord + Clone, V: Clone>(children: &mut Vec<Child<K, V>>, at: usize) {
    let left = if at + 1 < children.len() { at } else { at.saturating_sub(1) };
    let width = |place: usize| children.get(place).map_or(NODE_MAX, |(_, child)| child.width());
    if left + 1 < children.len() && width(left) + width(left + 1) <= NODE_MAX {
        let (bound, right) = children.remove(left + 1);
        Arc::make_mut(&mut children[left].1).append(bound, Arc::unwrap_or_clone(right));
    }
}

/// Entries from left to right: the rest of each inner node on the way down, and of the leaf.
struct Ascending<'a, K, V> {
    inner: Vec<&'a [Child<K, V>]>,
    leaf: &'a [(K, V)],
}

impl<'a, K: Ord, V> Ascending<'a, K, V> {
    fn from_first(root: Option<&'a TreeNode<K, V>>) -> Self {
        let mut entries = Self { inner: vec![], leaf: &[] };
        if let Some(root) = root {
            entries.descend(root, |_| 0, |_| 0);
        }
        entries
    }

    fn from_key<Q: Ord + ?Sized>(root: Option<&'a TreeNode<K, V>>, key: &Q) -> Self
    where
        K: Borrow<Q>,
    {
        let mut entries = Self { inner: vec![], leaf: &[] };
        if let Some(root) = root {
            let below = |entries: &[(K, V)]| entries.partition_point(|(own, _)| own.borrow() < key);
            entries.descend(root, |children| child_of(children, key), below);
        }
        entries
    }

    fn descend(
        &mut self,
        mut node: &'a TreeNode<K, V>,
        child: impl Fn(&[Child<K, V>]) -> usize,
        entry: impl Fn(&[(K, V)]) -> usize,
    ) {
        loop {
            match node {
                TreeNode::Leaf(entries) => {
                    self.leaf = entries.get(entry(entries)..).unwrap_or(&[]);
                    return;
                }
                TreeNode::Inner(children) => {
                    let at = child(children);
                    let Some((_, below)) = children.get(at) else { return };
                    self.inner.push(children.get(at + 1..).unwrap_or(&[]));
                    node = below;
                }
            }
        }
    }
}

impl<'a, K: Ord, V> Iterator for Ascending<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(((key, value), rest)) = self.leaf.split_first() {
                self.leaf = rest;
                return Some((key, value));
            }
            if let Some(((_, child), rest)) = self.inner.pop()?.split_first() {
                self.inner.push(rest);
                self.descend(child, |_| 0, |_| 0);
            }
        }
    }
}

/// All entries of a map, whose number is known.
struct Counted<I> {
    entries: I,
    left: usize,
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let next = self.entries.next()?;
        self.left -= 1;
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}

impl<K, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for PersistentMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for PersistentMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<K: Ord + Clone + PartialEq, V: Clone + PartialEq> PartialEq for PersistentMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for PersistentMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl<K: Ord + Clone, V: Clone> PersistentMap<K, V> {
        fn check(&self) {
            let mut depths = vec![];
            if let Some(root) = &self.root {
                root.check(0, &mut depths);
            }
            assert!(depths.windows(2).all(|pair| pair[0] == pair[1]));
            assert!(self.iter().map(|(key, _)| key).is_sorted());
            assert_eq!(self.iter().count(), self.len);
        }
    }

    impl<K: Ord + Clone, V: Clone> TreeNode<K, V> {
        fn check(&self, depth: usize, depths: &mut Vec<usize>) {
            assert!((1..=NODE_MAX).contains(&self.width()));
            match self {
                Self::Leaf(_) => depths.push(depth),
                Self::Inner(children) => children.iter().for_each(|(_, child)| child.check(depth + 1, depths)),
            }
        }
    }

    proptest! {
        #![proptest_config(crate::property_cases(256))]

        /// Every version stays what it was, whatever becomes of the others.
        #[test]
        fn behaves_as_a_sorted_map(steps in prop::collection::vec((0_u16..2_000, 0_u8..5), 1..4_000)) {
            let (mut map, mut model) = (PersistentMap::default(), BTreeMap::new());
            let mut versions = vec![];
            for (number, (key, what)) in steps.into_iter().enumerate() {
                match what {
                    0 | 1 => prop_assert_eq!(map.insert(key, number), model.insert(key, number)),
                    2 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    3 => {
                        let next = model.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
                        prop_assert_eq!(map.insert(next, number), model.insert(next, number));
                    }
                    _ => prop_assert_eq!(map.get_mut(&key).map(|value| { *value += 1; *value }),
                        model.get_mut(&key).map(|value| { *value += 1; *value })),
                }
                if number % 256 == 0 {
                    versions.push((map.clone(), model.clone()));
                }
            }
            versions.push((map, model));
            for (map, model) in &versions {
                map.check();
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert_eq!(map.first_key_value(), model.first_key_value());
                for key in (0..2_100).step_by(97) {
                    prop_assert_eq!(map.get(&key), model.get(&key));
                    prop_assert!(map.iter_from(&key).eq(model.range(key..)));
                }
            }
            let (mut map, model) = versions.swap_remove(versions.len() - 1);
            for (number, key) in model.keys().enumerate() {
                map.remove(key);
                if number % 16 == 0 {
                    map.check();
                }
            }
            map.check();
            prop_assert!(map.root.is_none());
        }
    }
}
