//! The shortest path under end-to-end constraints: at most so many hops, so much delay, past these hops on the way.
//! Label setting with dominance over (cost, hops, delay) at each node and stage (Joksch 1966; Aneja, Aggarwal and Nair
//! 1983), led by bounds that are never above the truth. With two of the three limited the problem is NP-hard, so the
//! work is limited by [`LABELS_MAX`] and running out says so.
//!
//! A path past hops in order may have to pass a node twice. [`LabelSetting::walk`] allows that, because then dominance
//! holds: if the best walk is a path it is the best path. If it is not, [`LabelSetting::enumerate`] goes through paths best
//! first, without dominance.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::csr::{Csr, NONE, word};
use super::edge_cost::EdgeCost;
use super::edge_filter::EdgeFilter;
use super::query::NoPath;
use super::waypoints::{Bounds, Stage, Waypoints};

/// How many labels one search may make.
pub const LABELS_MAX: usize = 250_000;
/// How many (node, stage) pairs one search may have.
pub const STATES_MAX: usize = 1 << 22;

/// The most that the whole path may take: links, and microseconds.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) hops: u64,
    pub(super) delay: u64,
}

/// Where a search begins, and what the path to there has taken.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) node: u32,
    pub(super) stage: Stage,
    pub(super) hops: u64,
    pub(super) delay: u64,
}

/// The labels of one search and the ends of their lists, reused.
#[derive(Default)]
pub(super) struct LabelArena {
    labels: Vec<Label>,
    /// By node and stage: the newest label there.
    newest: Vec<u32>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

#[derive(Clone, Copy)]
struct Label {
    node: u32,
    stage: Stage,
    taken: Bounds<u64>,
    parent: u32,
    arc: u32,
    /// The next older label at the same node and stage.
    older: u32,
    is_dominated: bool,
}

/// Whether a walk may pass a node twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Allowed,
    Refused,
}

/// One search under end-to-end constraints.
pub(super) struct LabelSetting<'a, C, F> {
    pub(super) csr: &'a Csr,
    pub(super) cost: &'a C,
    pub(super) filter: &'a F,
    pub(super) waypoints: &'a Waypoints<'a>,
    pub(super) limits: Limits,
    pub(super) egress: u32,
}

impl<C: EdgeCost, F: EdgeFilter> LabelSetting<'_, C, F> {
    /// Appends the cheapest walk from `start` to `out`, which may pass a node twice; where it does not, it is the cheapest
    /// path. Says whether it is a path.
    pub(super) fn walk(&self, start: Start, arena: &mut LabelArena, out: &mut Vec<u32>) -> Result<bool, NoPath> {
        let begin = out.len();
        self.search(start, Repeats::Allowed, LABELS_MAX, arena, out)?;
        Ok(self.waypoints.stages() == 1 || self.is_simple(start.node, &out[begin..]))
    }

    /// Appends the cheapest path from `start` to `out`, found among all paths, best first.
    pub(super) fn enumerate(
        &self,
        start: Start,
        labels_max: usize,
        arena: &mut LabelArena,
        out: &mut Vec<u32>,
    ) -> Result<(), NoPath> {
        self.search(start, Repeats::Refused, labels_max, arena, out)
    }

    fn search(
        &self,
        start: Start,
        repeats: Repeats,
        labels_max: usize,
        arena: &mut LabelArena,
        out: &mut Vec<u32>,
    ) -> Result<(), NoPath> {
        let stages = self.waypoints.stages();
        let states = self.csr.node_count().saturating_mul(stages);
        if states > STATES_MAX {
            return Err(NoPath::SearchLimit);
        }
        arena.begin(states);
        let taken = Bounds { cost: 0, hops: start.hops, delay: start.delay };
        let stage = self.waypoints.at_node(start.stage, start.node);
        let first = Label { node: start.node, stage, taken, parent: NONE, arc: NONE, older: NONE, is_dominated: false };
        self.offer(first, repeats, arena);
        while let Some(Reverse((_, at))) = arena.heap.pop() {
            let label = arena.labels[at as usize];
            if label.is_dominated {
                continue;
            }
            if label.node == self.egress {
                arena.trace(at, out);
                return Ok(());
            }
            if arena.labels.len() > labels_max {
                return Err(NoPath::SearchLimit);
            }
            for arc in self.csr.out(label.node) {
                if let Some(next) = self.step(start.node, at, &label, arc, repeats, arena) {
                    self.offer(next, repeats, arena);
                }
            }
        }
        Err(NoPath::None)
    }

    /// The label behind `arc`, if a path may go on there.
    fn step(
        &self,
        origin: u32,
        parent: u32,
        label: &Label,
        number: u32,
        repeats: Repeats,
        arena: &LabelArena,
    ) -> Option<Label> {
        let head = self.csr.heads[number as usize];
        if head == origin || !self.filter.admits(number, head) {
            return None;
        }
        let stage = self.waypoints.along(label.stage, number, head)?;
        if head == self.egress && !self.waypoints.is_complete(stage) {
            return None;
        }
        if repeats == Repeats::Refused && arena.has_passed(parent, head) {
            return None;
        }
        let taken = Bounds {
            cost: label.taken.cost + self.cost.of(number),
            hops: label.taken.hops + 1,
            delay: label.taken.delay + u64::from(self.csr.delays[number as usize]),
        };
        Some(Label { node: head, stage, taken, parent, arc: number, older: NONE, is_dominated: false })
    }

    /// Keeps `label` unless it cannot end within the limits, or another one at its node and stage is as good in
    /// everything.
    fn offer(&self, mut label: Label, repeats: Repeats, arena: &mut LabelArena) {
        let Some(left) = self.waypoints.left(self.csr, label.stage, label.node) else { return };
        if label.taken.hops + left.hops > self.limits.hops || label.taken.delay + left.delay > self.limits.delay {
            return;
        }
        let state = label.node as usize * self.waypoints.stages() + self.waypoints.index(label.stage);
        if repeats == Repeats::Allowed {
            if !arena.admit(state, &label.taken, self.limits) {
                return;
            }
            label.older = arena.newest[state];
            arena.newest[state] = word(arena.labels.len());
        }
        arena.heap.push(Reverse((label.taken.cost + left.cost, word(arena.labels.len()))));
        arena.labels.push(label);
    }

    fn is_simple(&self, from: u32, path: &[u32]) -> bool {
        let heads = path.iter().map(|number| self.csr.heads[*number as usize]);
        let mut nodes: Vec<u32> = std::iter::once(from).chain(heads).collect();
        nodes.sort_unstable();
        nodes.windows(2).all(|pair| pair[0] != pair[1])
    }
}

impl LabelArena {
    fn begin(&mut self, states: usize) {
        self.labels.clear();
        self.heap.clear();
        self.newest.clear();
        self.newest.resize(states, NONE);
    }

    /// Whether nothing at `state` is as good as `taken` in everything that is limited; marks what `taken` beats.
    fn admit(&mut self, state: usize, taken: &Bounds<u64>, limits: Limits) -> bool {
        let mut at = self.newest[state];
        while at != NONE {
            let other = &mut self.labels[at as usize];
            if is_as_good(&other.taken, taken, limits) {
                return false;
            }
            if is_as_good(taken, &other.taken, limits) {
                other.is_dominated = true;
            }
            at = other.older;
        }
        true
    }

    fn has_passed(&self, mut at: u32, node: u32) -> bool {
        while at != NONE {
            let label = &self.labels[at as usize];
            if label.node == node {
                return true;
            }
            at = label.parent;
        }
        false
    }

    fn trace(&self, mut at: u32, out: &mut Vec<u32>) {
        let begin = out.len();
        while at != NONE {
            let label = &self.labels[at as usize];
            if label.arc != NONE {
                out.push(label.arc);
            }
            at = label.parent;
        }
        out[begin..].reverse();
    }
}

fn is_as_good(a: &Bounds<u64>, b: &Bounds<u64>, limits: Limits) -> bool {
    a.cost <= b.cost
        && (limits.hops == u64::MAX || a.hops <= b.hops)
        && (limits.delay == u64::MAX || a.delay <= b.delay)
}
