//! Static distances from every node to one: the lower bounds that lead A* to its goal, and the path that is the answer
//! when nothing stands in its way. Pruned and loaded links only make paths dearer, so a static distance is a lower bound
//! in every state of the network.
//!
//! Rows are computed when first asked for and kept in the workspace, which changes how fast an answer comes and never the
//! answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::csr::{Csr, NONE};
use super::query::Metric;

/// What kept rows may take before they are all dropped.
const ROWS_MAX_BYTES: usize = 64 << 20;

/// Distances and first arcs from every node towards one.
pub(super) struct DistanceRow {
    /// By node, on the metric's own scale; `u64::MAX` where there is no path. Consistent: no arc
    /// costs less than the difference of the distances of its ends.
    distances: Vec<u64>,
    /// By node: the first arc of the shortest path, or [`NONE`].
    next: Vec<u32>,
}

impl DistanceRow {
    /// Dijkstra (1959) backwards from `to` over all arcs.
    fn new(csr: &Csr, metric: Metric, to: u32, heap: &mut BinaryHeap<Reverse<(u64, u32)>>) -> Self {
        let mut distances = vec![u64::MAX; csr.node_count()];
        let mut next = vec![NONE; csr.node_count()];
        heap.clear();
        distances[to as usize] = 0;
        heap.push(Reverse((0, to)));
        while let Some(Reverse((so_far, node))) = heap.pop() {
            if so_far > distances[node as usize] {
                continue;
            }
            for &arc in csr.into(node) {
                let tail = csr.tails[arc as usize];
                let through = so_far + csr.static_cost(metric, arc);
                if through < distances[tail as usize] {
                    distances[tail as usize] = through;
                    next[tail as usize] = arc;
                    heap.push(Reverse((through, tail)));
                }
            }
        }
        Self { distances, next }
    }

    /// No path from `node` costs less; `None` if there is no path at all.
    #[inline]
    pub(super) fn bound(&self, node: u32) -> Option<u64> {
        let distance = self.distances[node as usize];
        if distance == u64::MAX { None } else { Some(distance) }
    }

    /// The first arc of the shortest path from `node`, [`NONE`] if there is none.
    #[inline]
    pub(super) fn next(&self, node: u32) -> u32 {
        self.next[node as usize]
    }
}

type RowsByNode = Vec<Option<Arc<DistanceRow>>>;

/// Rows computed on demand, of any number of graphs.
#[derive(Default)]
pub(super) struct DistanceTable {
    /// By the graph's fingerprint and metric.
    rows: BTreeMap<([u64; 2], Metric), RowsByNode>,
    bytes: usize,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

impl DistanceTable {
    /// The row of distances to `to`.
    pub(super) fn row(&mut self, csr: &Csr, metric: Metric, to: u32) -> Arc<DistanceRow> {
        // Without load the two cost the same.
        let metric = if metric == Metric::CongestionTe { Metric::Te } else { metric };
        if self.bytes > ROWS_MAX_BYTES {
            self.rows.clear();
            self.bytes = 0;
        }
        let Self { rows, bytes, heap } = self;
        let rows = rows.entry((csr.fingerprint(), metric)).or_insert_with(|| vec![None; csr.node_count()]);
        let row = rows[to as usize].get_or_insert_with(|| {
            *bytes += csr.node_count() * (size_of::<u64>() + size_of::<u32>());
            Arc::new(DistanceRow::new(csr, metric, to, heap))
        });
        Arc::clone(row)
    }
}
