//! A topology compiled for searching. It depends on shape and metrics only, so it serves every state of the network.

use super::chain_contraction::Chains;
use super::csr::Csr;
use crate::topology::Topology;

/// A compiled [`Topology`].
pub struct Graph {
    pub(super) csr: Csr,
    pub(super) chains: Chains,
}

impl Graph {
    /// Compiles `topology` in linear time.
    pub fn new(topology: &Topology) -> Self {
        let csr = Csr::new(topology);
        let chains = Chains::new(&csr);
        Self { csr, chains }
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.csr.node_count()
    }

    /// How many links there are.
    pub fn link_count(&self) -> usize {
        self.csr.link_count()
    }
}
