//! A tree of topic levels, for subscriptions by filter and retained messages by topic. Levels without a branch between
//! them are one node, so that a deep topic costs its text and one node; what the nodes take is counted.
//!
//! What must stay true: a node below the root has a value or two children; a search visits no more levels than it is
//! allowed to.

use std::collections::HashMap;

/// A value with a state in which its node is not needed.
pub(super) trait TreeValue: Default {
    fn is_vacant(&self) -> bool;
}

#[derive(Debug, Default)]
struct LevelNode<V> {
    /// The levels behind the one that the parent knows it by, joined.
    tail: Box<str>,
    tail_levels: usize,
    children: HashMap<Box<str>, Box<LevelNode<V>>>,
    value: V,
}

/// Values by paths of levels.
#[derive(Debug, Default)]
pub(super) struct LevelTree<V> {
    root: LevelNode<V>,
    nodes: usize,
    text_bytes: usize,
}

/// The place in a map, with the room that maps keep free.
const SLOT_BYTES: usize = 2 * size_of::<(Box<str>, Box<()>)>();

/// The first level, and the levels behind it.
fn split_first(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)))
}

impl<V> LevelNode<V> {
    fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.split('/').take(self.tail_levels)
    }

    /// How many levels of the tail are the first ones of `rest`, and the levels behind those.
    fn common<'p>(&self, mut rest: Option<&'p str>) -> (usize, Option<&'p str>) {
        let mut common = 0;
        for level in self.tail() {
            match rest.map(split_first) {
                Some((first, behind)) if first == level => rest = behind,
                _ => break,
            }
            common += 1;
        }
        (common, rest)
    }
}

impl<V: TreeValue> LevelTree<V> {
    /// What the nodes take, without their values' own memory.
    pub(super) fn size_bytes(&self) -> usize {
        self.nodes * (size_of::<LevelNode<V>>() + SLOT_BYTES) + self.text_bytes
    }

    /// The value of a path; a new one is vacant.
    pub(super) fn entry(&mut self, path: &str) -> &mut V {
        let Self { root, nodes, text_bytes } = self;
        let (mut node, mut rest) = (root, Some(path));
        while let Some(path) = rest {
            let (level, behind) = split_first(path);
            if !node.children.contains_key(level) {
                *nodes += 1;
                *text_bytes += level.len() + behind.map_or(0, str::len);
                node.children.insert(level.into(), Box::new(LevelNode::new(behind)));
            }
            let Some(child) = node.children.get_mut(level) else { break };
            let (common, behind) = child.common(behind);
            if common < child.tail_levels {
                *nodes += 1;
                *text_bytes -= child.split(common);
            }
            (node, rest) = (child, behind);
        }
        &mut node.value
    }

    /// The value of a path, if it has a node.
    pub(super) fn get_mut(&mut self, path: &str) -> Option<&mut V> {
        let (mut node, mut rest) = (&mut self.root, Some(path));
        while let Some(path) = rest {
            let (level, behind) = split_first(path);
            let child = node.children.get_mut(level)?;
            let (common, behind) = child.common(behind);
            if common < child.tail_levels {
                return None;
            }
            (node, rest) = (child, behind);
        }
        Some(&mut node.value)
    }

    /// The same, to look at.
    pub(super) fn get(&self, path: &str) -> Option<&V> {
        let (mut node, mut rest) = (&self.root, Some(path));
        while let Some(path) = rest {
            let (level, behind) = split_first(path);
            let child = node.children.get(level)?;
            let (common, behind) = child.common(behind);
            if common < child.tail_levels {
                return None;
            }
            (node, rest) = (child, behind);
        }
        Some(&node.value)
    }

    /// Removes the node of a path whose value has become vacant.
    pub(super) fn prune(&mut self, path: &str) {
        prune(&mut self.root, path, &mut self.nodes, &mut self.text_bytes);
    }

    /// Visits the values of all filters that match a topic. Returns how many levels were looked at; if that is more than
    /// `levels_max`, the search has ended before all were found.
    pub(super) fn match_topic<'t>(&'t self, topic: &str, levels_max: usize, visit: &mut dyn FnMut(&'t V)) -> usize {
        let levels: Vec<&str> = topic.split('/').collect();
        let mut search = TopicSearch { visited: 0, levels_max, visit };
        // Wildcards in the first level do not stand for `$SYS` and its like [MQTT-4.7.2-1].
        search.descend(&self.root, &levels, !topic.starts_with('$'));
        search.visited
    }

    /// Visits all values.
    pub(super) fn for_each<'t>(&'t self, visit: &mut dyn FnMut(&'t V)) {
        walk(&self.root, &["#"], false, visit);
    }

    /// Visits the values of all topics that a filter matches.
    pub(super) fn match_filter<'t>(&'t self, filter: &str, visit: &mut dyn FnMut(&'t V)) {
        let levels: Vec<&str> = filter.split('/').collect();
        walk(&self.root, &levels, true, visit);
    }
}

impl<V: TreeValue> LevelNode<V> {
    fn new(tail: Option<&str>) -> Self {
        Self {
            tail: tail.unwrap_or_default().into(),
            tail_levels: tail.map_or(0, |tail| tail.split('/').count()),
            children: HashMap::new(),
            value: V::default(),
        }
    }

    /// Makes two nodes of one, the upper with `at` levels of the tail. Returns by how much their text is shorter.
    fn split(&mut self, at: usize) -> usize {
        let before = self.tail.len();
        let mut levels = self.tail.split('/');
        let upper = levels.by_ref().take(at).collect::<Vec<_>>().join("/");
        let level: Box<str> = levels.next().unwrap_or_default().into();
        let lower = levels.collect::<Vec<_>>().join("/");
        let shorter = before - upper.len() - level.len() - lower.len();
        let lower = LevelNode {
            tail: lower.into(),
            tail_levels: self.tail_levels - at - 1,
            children: std::mem::take(&mut self.children),
            value: std::mem::take(&mut self.value),
        };
        (self.tail, self.tail_levels) = (upper.into(), at);
        self.children.insert(level, Box::new(lower));
        shorter
    }

    /// Makes one node of this and its only child. Returns by how much their text is longer.
    fn merge(&mut self) -> usize {
        let Some((level, child)) = self.children.drain().next() else { return 0 };
        let before = self.tail.len() + level.len() + child.tail.len();
        let levels = self.tail().chain([&*level]).chain(child.tail());
        let tail = levels.collect::<Vec<_>>().join("/");
        let longer = tail.len() - before;
        self.tail_levels += 1 + child.tail_levels;
        self.tail = tail.into();
        (self.children, self.value) = (child.children, child.value);
        longer
    }
}

fn prune<V: TreeValue>(node: &mut LevelNode<V>, path: &str, nodes: &mut usize, text_bytes: &mut usize) {
    let (level, behind) = split_first(path);
    let Some(child) = node.children.get_mut(level) else { return };
    let (common, behind) = child.common(behind);
    if common < child.tail_levels {
        return;
    }
    if let Some(behind) = behind {
        prune(child, behind, nodes, text_bytes);
    }
    if !child.value.is_vacant() || child.children.len() > 1 {
        return;
    }
    *nodes -= 1;
    if child.children.is_empty() {
        *text_bytes -= level.len() + child.tail.len();
        node.children.remove(level);
    } else {
        *text_bytes += child.merge();
    }
}

/// The filters that match a topic.
struct TopicSearch<'s, 't, V> {
    visited: usize,
    levels_max: usize,
    visit: &'s mut dyn FnMut(&'t V),
}

impl<'t, V> TopicSearch<'_, 't, V> {
    /// `is_open`: whether wildcards may match at this level.
    fn descend(&mut self, node: &'t LevelNode<V>, rest: &[&str], is_open: bool) {
        self.visited += 1 + node.tail_levels;
        if self.visited > self.levels_max {
            return;
        }
        if is_open && let Some(all) = node.children.get("#") {
            // `a/#` matches `a` as well (4.7.1.2).
            (self.visit)(&all.value);
        }
        let Some((level, rest)) = rest.split_first() else {
            (self.visit)(&node.value);
            return;
        };
        if let Some(child) = node.children.get(*level) {
            self.follow(child, rest);
        }
        if is_open && let Some(any) = node.children.get("+") {
            self.follow(any, rest);
        }
    }

    fn follow(&mut self, node: &'t LevelNode<V>, mut rest: &[&str]) {
        for level in node.tail() {
            if level == "#" {
                (self.visit)(&node.value);
                return;
            }
            match rest.split_first() {
                Some((first, behind)) if level == "+" || level == *first => rest = behind,
                _ => {
                    self.visited += 1;
                    return;
                }
            }
        }
        self.descend(node, rest, true);
    }
}

fn walk<'t, V>(node: &'t LevelNode<V>, filter: &[&str], is_first: bool, visit: &mut dyn FnMut(&'t V)) {
    // A wildcard in the first level does not stand for `$SYS` and its like [MQTT-4.7.2-1].
    let is_open = |name: &str| !(is_first && name.starts_with('$'));
    match filter.split_first() {
        None => visit(&node.value),
        Some((&"#", _)) => {
            visit(&node.value);
            for (_, child) in node.children.iter().filter(|(name, _)| is_open(name)) {
                walk(child, filter, false, visit);
            }
        }
        Some((&"+", rest)) => {
            for (_, child) in node.children.iter().filter(|(name, _)| is_open(name)) {
                walk_tail(child, rest, visit);
            }
        }
        Some((level, rest)) => {
            if let Some(child) = node.children.get(*level) {
                walk_tail(child, rest, visit);
            }
        }
    }
}

fn walk_tail<'t, V>(node: &'t LevelNode<V>, mut filter: &[&str], visit: &mut dyn FnMut(&'t V)) {
    for level in node.tail() {
        match filter.split_first() {
            Some((&"#", _)) => break,
            Some((first, behind)) if *first == "+" || *first == level => filter = behind,
            _ => return,
        }
    }
    walk(node, filter, false, visit);
}

#[cfg(test)]
mod tests {
    use super::*;

    impl TreeValue for u32 {
        fn is_vacant(&self) -> bool {
            *self == 0
        }
    }

    #[test]
    fn a_chain_is_one_node_and_all_of_it_goes() {
        let mut tree = LevelTree::<u32>::default();
        let deep = "a/".repeat(198) + "z";
        *tree.entry(&deep) = 1;
        assert_eq!((tree.nodes, tree.text_bytes), (1, deep.len() - 1));
        assert!(tree.size_bytes() < 1000, "{}", tree.size_bytes());
        *tree.entry("a/a/b") = 2;
        *tree.entry("a/a") = 3;
        *tree.entry("") = 4;
        *tree.entry("/") = 5;
        assert_eq!(tree.nodes, 5);
        for (path, value) in [(&*deep, 1), ("a/a/b", 2), ("a/a", 3), ("", 4), ("/", 5)] {
            assert_eq!(tree.get_mut(path).copied(), Some(value), "{path}");
        }
        for path in ["a", "a/a/a", "a/a/b/c", "b"] {
            assert!(tree.get_mut(path).is_none_or(|value| *value == 0), "{path}");
        }
        for path in ["a/a", "/", &deep, "", "a/a/b"] {
            *tree.get_mut(path).unwrap() = 0;
            tree.prune(path);
        }
        assert_eq!((tree.nodes, tree.text_bytes, tree.size_bytes()), (0, 0, 0));
    }

    #[test]
    fn a_search_ends_where_it_must() {
        let mut tree = LevelTree::<u32>::default();
        for number in 0..1024_u32 {
            let levels = (0..10).map(|bit| if number >> bit & 1 == 0 { "a" } else { "+" });
            *tree.entry(&levels.collect::<Vec<_>>().join("/")) = 1;
        }
        let topic = ["a"; 10].join("/");
        let mut found = 0;
        let visited = tree.match_topic(&topic, 10_000, &mut |value| found += value);
        assert!(found == 1024 && visited < 10_000, "{found} {visited}");
        found = 0;
        assert!(tree.match_topic(&topic, 100, &mut |value| found += value) > 100);
        assert!(found < 1024);
    }
}
