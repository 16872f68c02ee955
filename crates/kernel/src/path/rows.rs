//! Static distances from every node to one: the bounds that lead A* to its goal, and the path that is the answer when
//! nothing stands in its way. A graph keeps the rows of the TE metric itself if it is small enough; the others are
//! computed when first asked for and kept in the workspace, which changes how fast an answer comes and never which.

use std::collections::BTreeMap;

use super::Metric;
use super::graph::{Graph, NONE, word};
use super::heap::Heap;

/// No path at all.
pub(super) const UNREACHABLE: u32 = u32::MAX;
/// What cached rows may take before they are all dropped.
const CACHE_MAX_BYTES: usize = 64 << 20;

/// Distances and first arcs from every node towards one, by [`Graph::places`]: what a search reads of a row lies close
/// together, for it is mostly waiting for memory.
pub(super) struct Row {
    /// In units of `1 << shift`, never above the true distance, and consistent: no arc is shorter than the difference of
    /// its ends.
    bound: Vec<u32>,
    next: Nexts,
    shift: u32,
}

/// First arcs.
enum Nexts {
    /// How many arcs out of the node come before it; [`NO_SLOT`] if there is none.
    Slots(Vec<u8>),
    /// By number, where a node has too many.
    Arcs(Vec<u32>),
}

const NO_SLOT: u8 = u8::MAX;

/// A borrowed [`Row`].
#[derive(Clone, Copy)]
pub(super) struct RowRef<'a> {
    graph: &'a Graph,
    row: &'a Row,
}

impl Row {
    pub(super) fn new(graph: &Graph, metric: Metric, to: u32, heap: &mut Heap) -> Self {
        let shift = shift_for(graph, metric);
        let Tree { distance, next } = sweep(graph, metric, to, 0, heap);
        // Rounding every cost down (not the sums) keeps the bound consistent.
        let scaled = if shift == 0 { distance } else { sweep(graph, metric, to, shift, heap).distance };
        let mut bound = vec![UNREACHABLE; scaled.len()];
        for (place, distance) in graph.places.iter().zip(scaled) {
            bound[*place as usize] = u32::try_from(distance).unwrap_or(UNREACHABLE);
        }
        Self { bound, next: Nexts::new(graph, next), shift }
    }

    pub(super) fn view<'a>(&'a self, graph: &'a Graph) -> RowRef<'a> {
        RowRef { graph, row: self }
    }
}

impl Nexts {
    fn new(graph: &Graph, next: Vec<u32>) -> Self {
        let mut slots = vec![NO_SLOT; next.len()];
        for ((number, place), node) in next.iter().zip(&graph.places).zip(0..) {
            if *number == NONE {
                continue;
            }
            match u8::try_from(*number - graph.out(node).start) {
                Ok(slot) if slot != NO_SLOT => slots[*place as usize] = slot,
                _ => return Self::Arcs(next),
            }
        }
        Self::Slots(slots)
    }
}

impl RowRef<'_> {
    /// No path from `node` costs less; `None` if there is none at all.
    #[inline]
    pub(super) fn bound(&self, node: u32) -> Option<u64> {
        let bound = self.row.bound[self.graph.places[node as usize] as usize];
        if bound == UNREACHABLE { None } else { Some(u64::from(bound) << self.row.shift) }
    }

    /// The first arc of the shortest path from `node`, [`NONE`] if there is none.
    #[inline]
    pub(super) fn next(&self, node: u32) -> u32 {
        match &self.row.next {
            Nexts::Slots(slots) => match slots[self.graph.places[node as usize] as usize] {
                NO_SLOT => NONE,
                slot => self.graph.out(node).start + u32::from(slot),
            },
            Nexts::Arcs(arcs) => arcs[node as usize],
        }
    }
}

/// By how much costs are scaled down so that no distance reaches [`UNREACHABLE`]: a simple path leaves each node once.
fn shift_for(graph: &Graph, metric: Metric) -> u32 {
    let dearest = |node| graph.out(node).map(|arc| graph.static_cost(metric, arc)).max().unwrap_or(0);
    let longest: u64 = (0..word(graph.node_count())).map(dearest).sum();
    u64::BITS.saturating_sub(longest.leading_zeros()).saturating_sub(u32::BITS - 1)
}

struct Tree {
    distance: Vec<u64>,
    next: Vec<u32>,
}

/// Dijkstra backwards from `to` over all arcs.
fn sweep(graph: &Graph, metric: Metric, to: u32, shift: u32, heap: &mut Heap) -> Tree {
    let mut distance = vec![u64::MAX; graph.node_count()];
    let mut next = vec![NONE; graph.node_count()];
    heap.clear();
    distance[to as usize] = 0;
    heap.push(0, to);
    while let Some((so_far, node)) = heap.pop() {
        if so_far > distance[node as usize] {
            continue;
        }
        for &arc in graph.into(node) {
            let tail = graph.tails[arc as usize];
            let through = so_far + (graph.static_cost(metric, arc) >> shift);
            if through < distance[tail as usize] {
                distance[tail as usize] = through;
                next[tail as usize] = arc;
                heap.push(through, tail);
            }
        }
    }
    Tree { distance, next }
}

/// Which row, once it is known to exist.
#[derive(Clone, Copy)]
pub(super) enum RowAt {
    /// In the graph's own table.
    Table(u32),
    /// In the cache.
    Cached(usize),
}

/// Rows computed on demand. [`Rows::begin`] may drop them; within one query they stay.
#[derive(Default)]
pub(super) struct Rows {
    graph: [u64; 2],
    places: BTreeMap<(Metric, u32), usize>,
    rows: Vec<Row>,
    bytes: usize,
    heap: Heap,
}

impl Rows {
    pub(super) fn begin(&mut self, graph: &Graph) {
        if self.graph == graph.fingerprint() && self.bytes <= CACHE_MAX_BYTES {
            return;
        }
        self.graph = graph.fingerprint();
        self.places.clear();
        self.rows.clear();
        self.bytes = 0;
    }

    pub(super) fn ensure(&mut self, graph: &Graph, metric: Metric, to: u32) -> RowAt {
        let metric = if metric == Metric::Congestion { Metric::Te } else { metric };
        if metric == Metric::Te && graph.table_row(to).is_some() {
            return RowAt::Table(to);
        }
        let at = self.places.entry((metric, to)).or_insert_with(|| {
            self.bytes += graph.node_count() * 2 * size_of::<u32>();
            self.rows.push(Row::new(graph, metric, to, &mut self.heap));
            self.rows.len() - 1
        });
        RowAt::Cached(*at)
    }

    pub(super) fn view<'a>(&'a self, graph: &'a Graph, at: RowAt) -> RowRef<'a> {
        match at {
            RowAt::Table(to) => graph.table[to as usize].view(graph),
            RowAt::Cached(at) => self.rows[at].view(graph),
        }
    }
}
