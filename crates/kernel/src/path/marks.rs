//! A set of nodes and a set of links that are emptied in constant time: an entry is in the set if it bears the set's epoch.

/// Nodes and links by number.
#[derive(Default)]
pub(super) struct Marks {
    nodes: Vec<u32>,
    arcs: Vec<u32>,
    epoch: u32,
}

impl Marks {
    /// Empties both sets and makes room for so many nodes and links.
    pub(super) fn begin(&mut self, nodes: usize, arcs: usize) {
        if self.epoch == u32::MAX {
            self.nodes.fill(0);
            self.arcs.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
        if self.nodes.len() < nodes {
            self.nodes.resize(nodes, 0);
        }
        if self.arcs.len() < arcs {
            self.arcs.resize(arcs, 0);
        }
    }

    pub(super) fn mark_node(&mut self, node: u32) {
        self.nodes[node as usize] = self.epoch;
    }

    pub(super) fn mark_arc(&mut self, arc: u32) {
        self.arcs[arc as usize] = self.epoch;
    }

    pub(super) fn has_node(&self, node: u32) -> bool {
        self.nodes[node as usize] == self.epoch
    }

    pub(super) fn has_arc(&self, arc: u32) -> bool {
        self.arcs[arc as usize] == self.epoch
    }
}
