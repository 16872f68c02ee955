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

/// Distances and first arcs from every node towards one.
pub(super) struct Row {
    /// In units of `1 << shift`, never above the true distance, and consistent: no arc is shorter than the difference of
    /// its ends.
    bound: Vec<u32>,
    next: Vec<u32>,
    shift: u32,
}

/// A borrowed [`Row`].
#[derive(Clone, Copy)]
pub(super) struct RowRef<'a> {
    bound: &'a [u32],
    next: &'a [u32],
    shift: u32,
}

impl Row {
    pub(super) fn new(graph: &Graph, metric: Metric, to: u32, heap: &mut Heap) -> Self {
        let shift = shift_for(graph, metric);
        let exact = sweep(graph, metric, to, 0, heap);
        let Tree { distance, next } = exact;
        // Rounding every cost down (not the sums) keeps the bound consistent.
        let scaled = if shift == 0 { distance } else { sweep(graph, metric, to, shift, heap).distance };
        let bound = scaled.into_iter().map(|distance| u32::try_from(distance).unwrap_or(UNREACHABLE)).collect();
        Self { bound, next, shift }
    }

    pub(super) fn view(&self) -> RowRef<'_> {
        RowRef { bound: &self.bound, next: &self.next, shift: self.shift }
    }
}

impl RowRef<'_> {
    /// No path from `node` costs less; `None` if there is none at all.
    #[inline]
    pub(super) fn bound(&self, node: u32) -> Option<u64> {
        let bound = self.bound[node as usize];
        if bound == UNREACHABLE { None } else { Some(u64::from(bound) << self.shift) }
    }

    /// The first arc of the shortest path from `node`, [`NONE`] if there is none.
    #[inline]
    pub(super) fn next(&self, node: u32) -> u32 {
        self.next[node as usize]
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
            RowAt::Table(to) => graph.table[to as usize].view(),
            RowAt::Cached(at) => self.rows[at].view(),
        }
    }
}
