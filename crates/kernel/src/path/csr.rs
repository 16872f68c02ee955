//! The topology as arrays in compressed sparse row form: links in the order of their tails, so that the links out of a
//! node are neighbours, and an index of the links into each node. Nothing here depends on link state, capacity or
//! reservations.
//!
//! Must stay true: an arc's number is its [`LinkIx`]; every head, tail and arc number stored here is in range, which is
//! what lets the searches index without asking.

use std::ops::Range;

use super::query::{COST_ONE, Metric, WEIGHT_COST, WEIGHT_ONE};
use crate::id::{LinkIx, NodeIx};
use crate::topology::Topology;

/// No arc, no node.
pub(super) const NONE: u32 = u32::MAX;

/// TE metrics that break ties have so many bits: 2^15 links of a path stay below [`WEIGHT_COST`].
const TIE_BITS: u32 = 10;

/// A [`Topology`] in arrays.
pub(super) struct Csr {
    /// By node: its first arc; one more entry than nodes.
    first_out: Vec<u32>,
    /// By node: where its part of `in_arcs` begins; one more entry than nodes.
    first_in: Vec<u32>,
    in_arcs: Vec<u32>,
    // By arc:
    pub(super) tails: Vec<u32>,
    pub(super) heads: Vec<u32>,
    te_metrics: Vec<u32>,
    /// How far a TE metric is shifted to fit in [`TIE_BITS`].
    tie_shift: u32,
    /// In microseconds.
    pub(super) delays: Vec<u32>,
    /// Administrative groups, a bit a colour (RFC 3209 §4.7.4).
    pub(super) groups: Vec<u32>,
    /// The other direction of the same fibre, or [`NONE`].
    pub(super) twins: Vec<u32>,
    /// By arc: where its part of `srlgs` begins; one more entry than arcs.
    first_srlg: Vec<u32>,
    srlgs: Vec<u32>,
    fingerprint: [u64; 2],
}

impl Csr {
    pub(super) fn new(topology: &Topology) -> Self {
        let links = || topology.links().map(|(_, link)| link);
        let mut csr = Self {
            first_out: offsets(topology.node_count(), links().map(|link| link.from.at())),
            first_in: offsets(topology.node_count(), links().map(|link| link.to.at())),
            in_arcs: vec![0; topology.link_count()],
            tails: links().map(|link| link.from.0).collect(),
            heads: links().map(|link| link.to.0).collect(),
            te_metrics: links().map(|link| link.te_metric).collect(),
            tie_shift: links()
                .map(|link| u32::BITS - link.te_metric.leading_zeros())
                .max()
                .unwrap_or(0)
                .saturating_sub(TIE_BITS),
            delays: links().map(|link| u32::try_from(link.delay.0).unwrap_or(u32::MAX)).collect(),
            groups: links().map(|link| link.admin_group).collect(),
            twins: links().map(|link| link.twin.map_or(NONE, |twin| twin.0)).collect(),
            first_srlg: vec![0],
            srlgs: links().flat_map(|link| link.srlg.iter().copied()).collect(),
            fingerprint: [0; 2],
        };
        let mut next = csr.first_in.clone();
        for (number, head) in (0..).zip(&csr.heads) {
            let place = &mut next[*head as usize];
            csr.in_arcs[*place as usize] = number;
            *place += 1;
        }
        let mut end = 0;
        csr.first_srlg.extend(links().map(|link| {
            end += word(link.srlg.len());
            end
        }));
        csr.fingerprint = csr.fingerprint_of();
        csr
    }

    pub(super) fn node_count(&self) -> usize {
        self.first_out.len().saturating_sub(1)
    }

    pub(super) fn link_count(&self) -> usize {
        self.heads.len()
    }

    pub(super) fn has_node(&self, node: NodeIx) -> bool {
        node.at() < self.node_count()
    }

    pub(super) fn has_link(&self, link: LinkIx) -> bool {
        link.at() < self.link_count()
    }

    /// All arcs.
    pub(super) fn arcs(&self) -> Range<u32> {
        0..word(self.link_count())
    }

    /// The arcs out of a node.
    pub(super) fn out(&self, node: u32) -> Range<u32> {
        self.first_out[node as usize]..self.first_out[node as usize + 1]
    }

    /// The arcs into a node.
    pub(super) fn into(&self, node: u32) -> &[u32] {
        &self.in_arcs[self.first_in[node as usize] as usize..self.first_in[node as usize + 1] as usize]
    }

    /// The shared-risk link groups of an arc (RFC 4202).
    pub(super) fn srlgs_of(&self, arc: u32) -> &[u32] {
        &self.srlgs[self.first_srlg[arc as usize] as usize..self.first_srlg[arc as usize + 1] as usize]
    }

    pub(super) fn te_metric(&self, arc: u32) -> u64 {
        u64::from(self.te_metrics[arc as usize])
    }

    /// What the TE metric adds to a cost in which it only breaks ties: below 2^10.
    pub(super) fn tie(&self, arc: u32) -> u64 {
        u64::from(self.te_metrics[arc as usize] >> self.tie_shift)
    }

    /// The cost of an arc when nothing is loaded, on the metric's own scale: a lower bound of its cost in every state of
    /// the network, and never zero.
    pub(super) fn static_cost(&self, metric: Metric, arc: u32) -> u64 {
        let base = match metric {
            Metric::Congestion => return u64::from(WEIGHT_ONE) * WEIGHT_COST + self.tie(arc),
            Metric::CongestionTe | Metric::Te => self.te_metrics[arc as usize],
            Metric::Hops => 1,
            Metric::Delay => self.delays[arc as usize],
        };
        u64::from(base) * COST_ONE + 1
    }

    /// Differs between graphs whose static distances may differ.
    pub(super) fn fingerprint(&self) -> [u64; 2] {
        self.fingerprint
    }

    /// Two independent 64-bit mixes over shape and metrics.
    fn fingerprint_of(&self) -> [u64; 2] {
        let mut lanes = [0x9E37_79B9_7F4A_7C15_u64, 0xC2B2_AE3D_27D4_EB4F];
        let mut mix = |value: u64| {
            for (lane, odd) in lanes.iter_mut().zip([0xFF51_AFD7_ED55_8CCD_u64, 0xC4CE_B9FE_1A85_EC53]) {
                *lane = (*lane ^ value).wrapping_mul(odd);
                *lane ^= *lane >> 29;
            }
        };
        mix(self.node_count() as u64);
        for arc in 0..self.link_count() {
            mix(u64::from(self.tails[arc]) << 32 | u64::from(self.heads[arc]));
            mix(u64::from(self.te_metrics[arc]) << 32 | u64::from(self.delays[arc]));
        }
        lanes
    }
}

/// Where the part of each of `count` bins begins when items are sorted by bin, and where the last part ends.
fn offsets(count: usize, bins: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut offsets = vec![0; count + 1];
    for bin in bins {
        offsets[bin + 1] += 1;
    }
    for bin in 0..count {
        offsets[bin + 1] += offsets[bin];
    }
    offsets
}

/// A count below [`NODES_MAX`](crate::topology::NODES_MAX) or the like, as stored in the arrays.
pub(super) fn word(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
