//! Whether an undirected file lists every edge once, or once in each direction as tools do that only know directed edges.

use std::collections::BTreeMap;

/// How the undirected edges of a file are listed.
pub(super) enum Listing<'a> {
    /// No two edges have their ends exchanged.
    Once,
    /// As many one way as the other between every two nodes: each edge with one that leads back.
    BothWays(Vec<(usize, usize)>),
    /// Some of each: so many pairs of nodes have edges both ways.
    Mixed { pairs: usize, example: (&'a str, &'a str) },
}

/// How edges (their place in the file and their ends) are listed. Those from a node to itself do not count.
pub(super) fn listing<'a>(edges: impl Iterator<Item = (usize, &'a str, &'a str)>) -> Listing<'a> {
    let mut by_ends: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (at, from, to) in edges.filter(|(_, from, to)| from != to) {
        by_ends.entry((from, to)).or_default().push(at);
    }
    let back = |from, to| by_ends.get(&(to, from));
    let both = || by_ends.iter().filter(|((from, to), _)| back(*from, *to).is_some());
    let Some((example, _)) = both().next() else { return Listing::Once };
    let is_even =
        |((from, to), there): (&(_, _), &Vec<usize>)| back(*from, *to).is_some_and(|b| b.len() == there.len());
    if !by_ends.iter().all(is_even) {
        return Listing::Mixed { pairs: both().count() / 2, example: *example };
    }
    let pair = |((from, to), there): (&(_, _), &Vec<usize>)| {
        let back = back(*from, *to).into_iter().flatten().copied();
        there.iter().copied().zip(back).collect::<Vec<_>>()
    };
    Listing::BothWays(by_ends.iter().flat_map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_even_throughout_is_both_ways() {
        let of = |ends: &[(&'static str, &'static str)]| {
            listing(ends.iter().enumerate().map(|(at, (from, to))| (at, *from, *to)))
        };
        assert!(matches!(of(&[("a", "b"), ("a", "b"), ("b", "c"), ("c", "c")]), Listing::Once));
        let Listing::BothWays(pairs) = of(&[("a", "b"), ("a", "b"), ("b", "a"), ("b", "a")]) else {
            panic!("both ways")
        };
        assert_eq!(pairs, [(0, 2), (1, 3), (2, 0), (3, 1)]);
        let mixed = of(&[("a", "b"), ("b", "a"), ("b", "c")]);
        assert!(matches!(mixed, Listing::Mixed { pairs: 1, example: ("a", "b") }));
    }
}
