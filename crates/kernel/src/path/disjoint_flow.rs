//! A flow of two units that share no node, from one or two sources to two sinks, over links that are open in either
//! direction: two breadth-first searches, the second of which may take steps of the first path back (Ford and Fulkerson,
//! 1956, over nodes split in two).

use std::collections::VecDeque;

use super::csr::{Csr, NONE};
use super::edge_filter::EdgeFilter;
use super::marks::Marks;

/// Where the units begin, which may be twice the same node, and where they end: one each.
#[derive(Clone, Copy)]
pub(super) struct FlowEnds {
    pub(super) sources: [u32; 2],
    pub(super) sinks: [u32; 2],
}

impl FlowEnds {
    pub(super) fn has(&self, node: u32) -> bool {
        self.sources.contains(&node) || self.sinks.contains(&node)
    }
}

/// The nodes of both paths, each from its source: the one to the first sink, then the one to the second, but with the
/// sources at will. `None`: there are no such paths.
pub(super) fn two_units<F: EdgeFilter>(
    csr: &Csr,
    filter: &F,
    blocked: &Marks,
    ends: FlowEnds,
) -> Option<[Vec<u32>; 2]> {
    let flow = TwoUnits { csr, filter, blocked, ends };
    let mut path = flow.first()?;
    let FlowEnds { sources: [one, other], .. } = ends;
    let second_from = if path.first() == Some(&one) { other } else { one };
    let mut next = vec![NONE; csr.node_count()];
    for pair in path.windows(2) {
        if let &[from, to] = pair {
            next[from as usize] = to;
        }
    }
    let steps = flow.second(&path, second_from)?;
    let mut second_first = NONE;
    for step in &steps {
        match *step {
            FlowStep::Back { to } => next[to as usize] = NONE,
            FlowStep::On { from, to } if from == second_from && one == other => second_first = to,
            FlowStep::On { from, to } => next[from as usize] = to,
        }
    }
    let first_from = *path.first()?;
    let follow = |from: u32, mut at: u32| {
        let mut nodes = vec![from];
        while at != NONE {
            nodes.push(at);
            at = if ends.sinks.contains(&at) { NONE } else { next[at as usize] };
        }
        nodes
    };
    let second_next = if one == other { second_first } else { next[second_from as usize] };
    path = follow(first_from, next[first_from as usize]);
    let second = follow(second_from, second_next);
    let is_first = |nodes: &Vec<u32>| nodes.last() == Some(&ends.sinks[0]);
    Some(if is_first(&path) { [path, second] } else { [second, path] })
}

struct TwoUnits<'a, F> {
    csr: &'a Csr,
    filter: &'a F,
    blocked: &'a Marks,
    ends: FlowEnds,
}

/// One step of the second search.
#[derive(Clone, Copy)]
enum FlowStep {
    /// Along a link.
    On { from: u32, to: u32 },
    /// Back along the first path, to this node.
    Back { to: u32 },
}

impl<F: EdgeFilter> TwoUnits<'_, F> {
    /// The nodes that a path may go on to.
    fn neighbours(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        let on = self.csr.out(node).map(|number| (number, self.csr.heads[number as usize], true));
        let back = self.csr.into(node).iter().map(|number| (*number, self.csr.tails[*number as usize], false));
        let open = move |(number, other, is_on): &(u32, u32, bool)| {
            let head = if *is_on { *other } else { node };
            !self.blocked.has_node(*other)
                && self.filter.admits(*number, head)
                && (*is_on || self.can_be_entered(*other))
        };
        on.chain(back).filter(open).map(|(_, other, _)| other)
    }

    /// What is excluded is not passed, in whichever direction the links around it are open. A sink may be the ingress.
    fn can_be_entered(&self, node: u32) -> bool {
        let admits = |number: &u32| self.filter.admits(*number, node);
        self.ends.sinks.contains(&node) || self.csr.into(node).iter().any(admits)
    }

    /// The nodes of a shortest path from a source to a sink.
    fn first(&self) -> Option<Vec<u32>> {
        let FlowEnds { sources, sinks } = self.ends;
        let mut parent = vec![NONE; self.csr.node_count()];
        let mut queue: VecDeque<u32> = sources.into();
        for source in sources {
            parent[source as usize] = source;
        }
        while let Some(node) = queue.pop_front() {
            if sinks.contains(&node) {
                let mut path = vec![node];
                let mut at = node;
                while parent[at as usize] != at {
                    at = parent[at as usize];
                    path.push(at);
                }
                path.reverse();
                return Some(path);
            }
            for next in self.neighbours(node) {
                if parent[next as usize] == NONE {
                    parent[next as usize] = node;
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// The steps from the other source to the other sink. A node of the first path is two states: `2 * node + 1` if it was
    /// reached along a link and has to be left backwards, `2 * node` if it was reached backwards and may be left at will.
    fn second(&self, path: &[u32], from: u32) -> Option<Vec<FlowStep>> {
        let nodes = self.csr.node_count();
        let mut before = vec![NONE; nodes];
        for pair in path.windows(2) {
            if let &[one, next] = pair {
                before[next as usize] = one;
            }
        }
        let is_on_path = |node: u32| before[node as usize] != NONE || path.first() == Some(&node);
        let mut parent = vec![NONE; nodes * 2];
        let start = from * 2;
        parent[start as usize] = start;
        let mut queue = VecDeque::from([start]);
        while let Some(state) = queue.pop_front() {
            let node = state / 2;
            if self.ends.sinks.contains(&node) && !is_on_path(node) {
                return Some(steps(state, &parent, is_on_path));
            }
            let back = before[node as usize];
            if back != NONE && parent[back as usize * 2] == NONE {
                parent[back as usize * 2] = state;
                queue.push_back(back * 2);
            }
            if state % 2 == 1 {
                continue;
            }
            for next in self.neighbours(node) {
                // The link of the first path itself is taken.
                if before[next as usize] == node {
                    continue;
                }
                let next = next * 2 + u32::from(is_on_path(next));
                if parent[next as usize] == NONE {
                    parent[next as usize] = state;
                    queue.push_back(next);
                }
            }
        }
        None
    }
}

/// A step to a node of the first path that may be left at will goes back along it; every other step goes on.
fn steps(mut state: u32, parent: &[u32], is_on_path: impl Fn(u32) -> bool) -> Vec<FlowStep> {
    let mut steps = vec![];
    while parent[state as usize] != state {
        let (from, to) = (parent[state as usize] / 2, state / 2);
        let is_back = state.is_multiple_of(2) && is_on_path(to);
        steps.push(if is_back { FlowStep::Back { to } } else { FlowStep::On { from, to } });
        state = parent[state as usize];
    }
    steps.reverse();
    steps
}
