//! The topology compiled for searching: arrays in the order of links (which is the order of tails, so the links out of a
//! node are neighbours), the same backwards, the forced continuations, the blocks, and static distances. Nothing here
//! depends on link state, capacity or reservations: pruning links only lengthens paths, so what is computed here stays a
//! lower bound under every state of the network.
//!
//! Must stay true: an arc's number is its [`LinkIx`]; every head, tail and arc number stored here is in range, which is
//! what lets the searches index without asking.

use super::Metric;
use super::blocks::{self, Blocks};
use super::heap::Heap;
use super::rows::{Row, RowRef};
use super::strides::{self, DEAD_END, Direction, Stride};
use crate::id::{LinkIx, NodeIx};
use crate::topology::Topology;
use crate::units::Micros;

/// No arc, no node.
pub(super) const NONE: u32 = u32::MAX;
/// Up to this many nodes all static distances of the TE metric are kept: two words a pair, 8 MB at most.
pub const TABLE_NODES_MAX: usize = 1_024;

/// A directed link as the searches read it: 16 bytes, four to a cache line.
#[derive(Clone, Copy)]
pub(super) struct Arc {
    pub(super) head: u32,
    pub(super) te: u32,
    /// The only arc that a simple path can take next, or [`NONE`], or `DEAD_END`.
    pub(super) onward: u32,
    /// The biconnected component it is in.
    pub(super) block: u32,
}

/// A compiled [`Topology`]; see the head of this file.
pub struct Graph {
    first_out: Vec<u32>,
    pub(super) arcs: Vec<Arc>,
    pub(super) tails: Vec<u32>,
    first_in: Vec<u32>,
    in_arcs: Vec<u32>,
    pub(super) delays: Vec<u32>,
    pub(super) groups: Vec<u32>,
    pub(super) twins: Vec<u32>,
    pub(super) strides: Vec<Stride>,
    /// By arc: the stride that ends with it, as met from its end.
    pub(super) strides_back: Vec<Stride>,
    /// By node: where it stands in a row of distances.
    pub(super) places: Vec<u32>,
    /// By node; see [`strides::lanes`].
    pub(super) lanes: Vec<u32>,
    /// By arc: the only one that a simple path can have taken before it; see `strides::forced`.
    pub(super) before: Vec<u32>,
    first_srlg: Vec<u32>,
    srlgs: Vec<u32>,
    /// By block: whether it is one edge, so that a path that needs it has no choice.
    bridges: Vec<bool>,
    /// Whether every distance of the TE metric is the same in both directions.
    pub(super) is_symmetric: bool,
    pub(super) table: Vec<Row>,
    fingerprint: [u64; 2],
}

impl Graph {
    /// Compiles `topology`. Costs about as much as one Dijkstra a node up to [`TABLE_NODES_MAX`] nodes.
    pub fn new(topology: &Topology) -> Self {
        let nodes = topology.node_count();
        let mut graph = Self::arrays(topology, nodes);
        graph.index_backwards(nodes);
        let Blocks { of_arc, bridges, preorder } = blocks::find(&graph);
        for (arc, block) in graph.arcs.iter_mut().zip(of_arc) {
            arc.block = block;
        }
        graph.bridges = bridges;
        let (onward, before) = strides::both_ways(&graph);
        for (arc, onward) in graph.arcs.iter_mut().zip(onward) {
            arc.onward = onward;
        }
        graph.before = before;
        graph.lanes = strides::lanes(&graph);
        graph.strides = strides::strides(&graph, &graph.lanes, Direction::Along);
        graph.strides_back = strides::strides(&graph, &graph.lanes, Direction::Against);
        graph.places = graph.place(&preorder);
        graph.is_symmetric = graph.is_symmetric_in_te();
        graph.fingerprint = graph.fingerprint_of();
        if nodes <= TABLE_NODES_MAX {
            let mut heap = Heap::default();
            graph.table = (0..word(nodes)).map(|to| Row::new(&graph, Metric::Te, to, &mut heap)).collect();
        }
        graph
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.first_out.len().saturating_sub(1)
    }

    /// How many links there are.
    pub fn link_count(&self) -> usize {
        self.arcs.len()
    }

    /// The delay of a path of this graph's links.
    pub fn delay_of(&self, links: &[LinkIx]) -> Micros {
        Micros(links.iter().filter_map(|link| self.delays.get(link.at())).map(|us| u64::from(*us)).sum())
    }

    pub(super) fn has_node(&self, node: NodeIx) -> bool {
        node.at() < self.node_count()
    }

    pub(super) fn has_link(&self, link: LinkIx) -> bool {
        link.at() < self.link_count()
    }

    pub(super) fn out(&self, node: u32) -> std::ops::Range<u32> {
        self.first_out[node as usize]..self.first_out[node as usize + 1]
    }

    pub(super) fn into(&self, node: u32) -> &[u32] {
        &self.in_arcs[self.first_in[node as usize] as usize..self.first_in[node as usize + 1] as usize]
    }

    pub(super) fn srlgs_of(&self, arc: u32) -> &[u32] {
        &self.srlgs[self.first_srlg[arc as usize] as usize..self.first_srlg[arc as usize + 1] as usize]
    }

    pub(super) fn is_bridge(&self, block: u32) -> bool {
        self.bridges[block as usize]
    }

    /// Appends the arcs from `first` on to the one that ends at `end`, in the order in which they are met.
    pub(super) fn follow(&self, direction: Direction, first: u32, end: u32, out: &mut Vec<u32>) {
        let mut number = first;
        loop {
            out.push(number);
            let (reached, next) = match direction {
                Direction::Along => (self.arcs[number as usize].head, self.arcs[number as usize].onward),
                Direction::Against => (self.tails[number as usize], self.before[number as usize]),
            };
            if reached == end || next >= DEAD_END {
                break;
            }
            number = next;
        }
    }

    /// Static distances to `to`, where the graph keeps them.
    pub(super) fn table_row(&self, to: u32) -> Option<RowRef<'_>> {
        self.table.get(to as usize).map(|row| row.view(self))
    }

    pub(super) fn fingerprint(&self) -> [u64; 2] {
        self.fingerprint
    }

    /// What an arc costs when nothing is loaded: the bound of its cost in every state of the network.
    pub(super) fn static_cost(&self, metric: Metric, arc: u32) -> u64 {
        let base = match metric {
            Metric::Congestion | Metric::Te => self.arcs[arc as usize].te,
            Metric::Hops => 1,
            Metric::Delay => self.delays[arc as usize],
        };
        u64::from(base) * super::COST_ONE + 1
    }

    fn arrays(topology: &Topology, nodes: usize) -> Self {
        let links = topology.link_count();
        let mut graph = Self {
            first_out: vec![0; nodes + 1],
            arcs: Vec::with_capacity(links),
            tails: Vec::with_capacity(links),
            first_in: vec![0; nodes + 1],
            in_arcs: vec![0; links],
            delays: Vec::with_capacity(links),
            groups: Vec::with_capacity(links),
            twins: Vec::with_capacity(links),
            strides: Vec::new(),
            strides_back: Vec::new(),
            places: Vec::new(),
            lanes: Vec::new(),
            before: Vec::new(),
            first_srlg: vec![0],
            srlgs: Vec::new(),
            bridges: Vec::new(),
            is_symmetric: false,
            table: Vec::new(),
            fingerprint: [0; 2],
        };
        for (_, link) in topology.links() {
            graph.arcs.push(Arc { head: link.to.0, te: link.te_metric, onward: NONE, block: 0 });
            graph.tails.push(link.from.0);
            graph.delays.push(u32::try_from(link.delay.0).unwrap_or(u32::MAX));
            graph.groups.push(link.admin_group);
            graph.twins.push(link.twin.map_or(NONE, |twin| twin.0));
            graph.srlgs.extend_from_slice(&link.srlg);
            graph.first_srlg.push(word(graph.srlgs.len()));
            graph.first_out[link.from.at() + 1] += 1;
            graph.first_in[link.to.at() + 1] += 1;
        }
        for node in 0..nodes {
            graph.first_out[node + 1] += graph.first_out[node];
            graph.first_in[node + 1] += graph.first_in[node];
        }
        graph
    }

    fn index_backwards(&mut self, nodes: usize) {
        let mut next: Vec<u32> = self.first_in[..nodes].to_vec();
        for (number, arc) in (0..).zip(&self.arcs) {
            let place = &mut next[arc.head as usize];
            self.in_arcs[*place as usize] = number;
            *place += 1;
        }
    }

    /// The nodes at which searches stop first, and neighbours near each other.
    fn place(&self, preorder: &[u32]) -> Vec<u32> {
        let mut stops = vec![false; self.node_count()];
        for stride in &self.strides {
            if let Some(is_stop) = stops.get_mut(stride.end as usize) {
                *is_stop = true;
            }
        }
        let (first, then): (Vec<u32>, Vec<u32>) = preorder.iter().partition(|node| stops[**node as usize]);
        let mut places = vec![0; self.node_count()];
        for (place, node) in (0..).zip(first.into_iter().chain(then)) {
            places[node as usize] = place;
        }
        places
    }

    fn is_symmetric_in_te(&self) -> bool {
        let arcs = || self.tails.iter().zip(&self.arcs);
        let mut along: Vec<_> = arcs().map(|(tail, arc)| (*tail, arc.head, arc.te)).collect();
        let mut against: Vec<_> = arcs().map(|(tail, arc)| (arc.head, *tail, arc.te)).collect();
        along.sort_unstable();
        against.sort_unstable();
        along == against
    }

    /// Tells graphs apart whose static distances may differ: two independent 64-bit mixes over shape and metrics.
    fn fingerprint_of(&self) -> [u64; 2] {
        let mut lanes = [0x9E37_79B9_7F4A_7C15_u64, 0xC2B2_AE3D_27D4_EB4F];
        let mut take = |value: u64| {
            for (lane, odd) in lanes.iter_mut().zip([0xFF51_AFD7_ED55_8CCD_u64, 0xC4CE_B9FE_1A85_EC53]) {
                *lane = (*lane ^ value).wrapping_mul(odd);
                *lane ^= *lane >> 29;
            }
        };
        take(self.node_count() as u64);
        for (at, arc) in self.arcs.iter().enumerate() {
            take(u64::from(self.tails[at]) << 32 | u64::from(arc.head));
            take(u64::from(arc.te) << 32 | u64::from(self.delays[at]));
        }
        lanes
    }
}

/// A count below [`NODES_MAX`](crate::topology::NODES_MAX) or the like, as stored in the arrays.
pub(super) fn word(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
