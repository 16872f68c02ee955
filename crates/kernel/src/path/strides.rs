//! Where there is no choice. Half the nodes of an operator's network lie on a line between two others: having come from
//! one side, a path can only go on to the other. Such forced steps are found once, so that a search labels and queues
//! only the nodes at which there is something to choose.
//!
//! Must stay true: following forced steps always ends, also in rings; a node that is passed without a label is in the
//! lane of every stride that passes it, so that a search whose goal it is can tell which strides to look into.

use petgraph::unionfind::UnionFind;

use super::Metric;
use super::graph::{Graph, NONE, word};

/// In [`Arc::onward`](super::graph::Arc::onward): nothing leads on from there.
pub(super) const DEAD_END: u32 = u32::MAX - 1;
/// The lane of a goal that no stride passes.
pub(super) const NO_LANE: u32 = u32::MAX - 1;

/// An arc and all forced ones after it.
#[derive(Clone, Copy)]
pub(super) struct Stride {
    /// Where there is a choice again; [`NONE`] if it leads nowhere.
    pub(super) end: u32,
    /// The lane of the nodes passed; [`NONE`] if there are none.
    pub(super) lane: u32,
    /// What it costs under the TE metric, which no state of the network makes less.
    pub(super) span: u64,
}

/// Along or against the arcs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Along,
    Against,
}

/// What is forced along and against the arcs, with the same ends both ways: a node at which either stops stops the other.
pub(super) fn both_ways(graph: &Graph) -> (Vec<u32>, Vec<u32>) {
    let mut onward = forced(graph, Direction::Along);
    let mut before = forced(graph, Direction::Against);
    let mut is_stop = vec![false; graph.node_count()];
    for (at, (arc, tail)) in graph.arcs.iter().zip(&graph.tails).enumerate() {
        is_stop[arc.head as usize] |= onward[at] == NONE;
        is_stop[*tail as usize] |= before[at] == NONE;
    }
    for (at, (arc, tail)) in graph.arcs.iter().zip(&graph.tails).enumerate() {
        if is_stop[arc.head as usize] && onward[at] != DEAD_END {
            onward[at] = NONE;
        }
        if is_stop[*tail as usize] && before[at] != DEAD_END {
            before[at] = NONE;
        }
    }
    (onward, before)
}

/// For each arc the only one that a simple path can take next (or, against the arcs, can have taken before), [`NONE`] if
/// there is a choice, or [`DEAD_END`].
fn forced(graph: &Graph, direction: Direction) -> Vec<u32> {
    let mut forced: Vec<u32> =
        (0..word(graph.link_count())).map(|number| only_next(graph, number, direction)).collect();
    // 0: not seen; otherwise the number of the walk that saw it, plus one.
    let mut seen = vec![0_u32; forced.len()];
    for start in 0..word(forced.len()) {
        let mut at = start;
        while at < DEAD_END && seen[at as usize] == 0 {
            seen[at as usize] = start + 1;
            let next = forced[at as usize];
            if next < DEAD_END && seen[next as usize] == start + 1 {
                forced[at as usize] = NONE;
                break;
            }
            at = next;
        }
    }
    forced
}

fn only_next(graph: &Graph, number: u32, direction: Direction) -> u32 {
    let (tail, head) = (graph.tails[number as usize], graph.arcs[number as usize].head);
    let only = |next: &mut dyn Iterator<Item = u32>| match (next.next(), next.next()) {
        (None, _) => DEAD_END,
        (Some(only), None) => only,
        (Some(_), Some(_)) => NONE,
    };
    match direction {
        Direction::Along => only(&mut graph.out(head).filter(|next| graph.arcs[*next as usize].head != tail)),
        Direction::Against => {
            only(&mut graph.into(tail).iter().copied().filter(|before| graph.tails[*before as usize] != head))
        }
    }
}

/// By node: its lane, or [`NO_LANE`] if every arc into it ends a stride.
pub(super) fn lanes(graph: &Graph) -> Vec<u32> {
    let mut joined = UnionFind::<u32>::new(graph.node_count());
    let mut is_passed = vec![false; graph.node_count()];
    for arc in &graph.arcs {
        if arc.onward == NONE {
            continue;
        }
        is_passed[arc.head as usize] = true;
        if let Some(next) = graph.arcs.get(arc.onward as usize)
            && next.onward != NONE
        {
            joined.union(arc.head, next.head);
        }
    }
    (0..).zip(is_passed).map(|(node, is_passed)| if is_passed { joined.find(node) } else { NO_LANE }).collect()
}

/// By arc: the stride it begins, or the one it ends, as met from there.
pub(super) fn strides(graph: &Graph, lanes: &[u32], direction: Direction) -> Vec<Stride> {
    const UNKNOWN: Stride = Stride { end: DEAD_END, lane: NONE, span: 0 };
    let step = |number: u32| match direction {
        Direction::Along => (graph.arcs[number as usize].head, graph.arcs[number as usize].onward),
        Direction::Against => (graph.tails[number as usize], graph.before[number as usize]),
    };
    let mut strides = vec![UNKNOWN; graph.link_count()];
    let mut walk = Vec::new();
    for first in 0..word(graph.link_count()) {
        let mut at = first;
        while at < DEAD_END && strides[at as usize].end == DEAD_END {
            walk.push(at);
            at = step(at).1;
        }
        for &number in walk.iter().rev() {
            let cost = graph.static_cost(Metric::Te, number);
            let (reached, next) = step(number);
            strides[number as usize] = match next {
                NONE => Stride { end: reached, lane: NONE, span: cost },
                DEAD_END => Stride { end: NONE, lane: lanes[reached as usize], span: cost },
                next => {
                    let rest = strides[next as usize];
                    Stride { end: rest.end, lane: lanes[reached as usize], span: rest.span + cost }
                }
            };
        }
        walk.clear();
    }
    strides
}
