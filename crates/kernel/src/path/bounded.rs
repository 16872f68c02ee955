//! The shortest path under end-to-end constraints: at most so many hops, so much delay, past these hops on the way.
//! Label setting with dominance over (cost, hops, delay) at each node and stage (Joksch 1966; Aneja, Aggarwal and Nair
//! 1983), led by bounds that are never above the truth. With two of the three limited the problem is NP-hard, so the
//! work is limited by [`LABELS_MAX`] and running out says so.
//!
//! A path past hops in order may have to pass a node twice. The search first allows that, because then dominance holds:
//! if the best walk is a path it is the best path. If it is not, paths are enumerated best first, without dominance.

use super::NoPath;
use super::gate::{Gate, Price};
use super::graph::{Graph, NONE};
use super::heap::Heap;
use super::itinerary::{Bounds, Itinerary, Stage};
use super::rows::Rows;

/// How many labels one search may make.
pub const LABELS_MAX: usize = 250_000;
/// How many (node, stage) pairs one search may have.
pub const STATES_MAX: usize = 1 << 22;

/// What bounds the whole path.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) hops: u64,
    pub(super) delay: u64,
}

/// Where a search begins, and what the way to there has taken.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) node: u32,
    pub(super) stage: Stage,
    pub(super) hops: u64,
    pub(super) delay: u64,
}

/// The labels of one search and the ends of their lists, reused.
#[derive(Default)]
pub(super) struct Arena {
    labels: Vec<Label>,
    /// By node and stage: the newest label there.
    newest: Vec<u32>,
    heap: Heap,
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
pub(super) struct Bounded<'a, P, G> {
    pub(super) graph: &'a Graph,
    pub(super) price: &'a P,
    pub(super) gate: &'a G,
    pub(super) itinerary: &'a Itinerary<'a>,
    pub(super) limits: Limits,
    pub(super) rows: &'a Rows,
    pub(super) egress: u32,
}

impl<P: Price, G: Gate> Bounded<'_, P, G> {
    /// Appends the cheapest path from `start` to `out`.
    pub(super) fn run(&self, start: Start, arena: &mut Arena, out: &mut Vec<u32>) -> Result<(), NoPath> {
        let begin = out.len();
        self.search(start, Repeats::Allowed, arena, out)?;
        if self.itinerary.stages() == 1 || self.is_simple(start.node, &out[begin..]) {
            return Ok(());
        }
        out.truncate(begin);
        self.search(start, Repeats::Refused, arena, out)
    }

    fn search(&self, start: Start, repeats: Repeats, arena: &mut Arena, out: &mut Vec<u32>) -> Result<(), NoPath> {
        let stages = self.itinerary.stages();
        let states = self.graph.node_count().saturating_mul(stages);
        if states > STATES_MAX {
            return Err(NoPath::SearchLimit);
        }
        arena.begin(states);
        let taken = Bounds { cost: 0, hops: start.hops, delay: start.delay };
        let stage = self.itinerary.at_node(start.stage, start.node);
        let first = Label { node: start.node, stage, taken, parent: NONE, arc: NONE, older: NONE, is_dominated: false };
        self.offer(first, repeats, arena);
        while let Some((_, at)) = arena.heap.pop() {
            let label = arena.labels[at as usize];
            if label.is_dominated {
                continue;
            }
            if label.node == self.egress {
                arena.trace(at, out);
                return Ok(());
            }
            if arena.labels.len() > LABELS_MAX {
                return Err(NoPath::SearchLimit);
            }
            for arc in self.graph.out(label.node) {
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
        arena: &Arena,
    ) -> Option<Label> {
        let arc = &self.graph.arcs[number as usize];
        if arc.head == origin || !self.gate.admits(number, arc) {
            return None;
        }
        let stage = self.itinerary.along(label.stage, number, arc.head)?;
        if arc.head == self.egress && !self.itinerary.is_complete(stage) {
            return None;
        }
        if repeats == Repeats::Refused && arena.has_passed(parent, arc.head) {
            return None;
        }
        let taken = Bounds {
            cost: label.taken.cost + self.price.of(number, arc),
            hops: label.taken.hops + 1,
            delay: label.taken.delay + u64::from(self.graph.delays[number as usize]),
        };
        Some(Label { node: arc.head, stage, taken, parent, arc: number, older: NONE, is_dominated: false })
    }

    /// Keeps `label` unless it cannot end within the limits, or another one at its node and stage is as good in
    /// everything.
    fn offer(&self, mut label: Label, repeats: Repeats, arena: &mut Arena) {
        let Some(left) = self.itinerary.left(self.graph, self.rows, label.stage, label.node) else { return };
        if label.taken.hops + left.hops > self.limits.hops || label.taken.delay + left.delay > self.limits.delay {
            return;
        }
        let state = label.node as usize * self.itinerary.stages() + self.itinerary.index(label.stage);
        if repeats == Repeats::Allowed {
            if !arena.admit(state, &label.taken, self.limits) {
                return;
            }
            label.older = arena.newest[state];
            arena.newest[state] = super::graph::word(arena.labels.len());
        }
        arena.heap.push(label.taken.cost + left.cost, super::graph::word(arena.labels.len()));
        arena.labels.push(label);
    }

    fn is_simple(&self, from: u32, path: &[u32]) -> bool {
        let heads = path.iter().map(|number| self.graph.arcs[*number as usize].head);
        let mut nodes: Vec<u32> = std::iter::once(from).chain(heads).collect();
        nodes.sort_unstable();
        nodes.windows(2).all(|pair| pair[0] != pair[1])
    }
}

impl Arena {
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
