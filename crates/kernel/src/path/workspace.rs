//! Scratch that searches share and reuse: nothing in it outlives a query except memory and static distances. Epoch stamps
//! stand for clearing; an answer never depends on what a workspace was used for before.

use super::bounded::Arena;
use super::graph::NONE;
use super::heap::Heap;
use super::rows::Rows;

/// Reused by every search of one thread; grows to the largest graph seen and may serve several graphs in turn.
#[derive(Default)]
pub struct Workspace {
    pub(super) scratch: Scratch,
    pub(super) arena: Arena,
    pub(super) rows: Rows,
    /// The path being found.
    pub(super) path: Vec<u32>,
    /// What the constraints exclude.
    pub(super) excluded: Marks,
}

/// What a search borrows from a workspace.
pub(super) struct Tools<'a> {
    pub(super) rows: &'a Rows,
    pub(super) scratch: &'a mut Scratch,
    pub(super) arena: &'a mut Arena,
}

impl Workspace {
    /// The tools, and what is excluded.
    pub(super) fn tools(&mut self) -> (Tools<'_>, &Marks) {
        let Self { scratch, arena, rows, excluded, path: _ } = self;
        (Tools { rows, scratch, arena }, excluded)
    }
}

/// What one A* run uses.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) labels: Vec<Label>,
    epoch: u32,
    pub(super) heap: Heap,
    /// Nodes at the current least key: they need no heap.
    pub(super) stack: Vec<u32>,
    pub(super) sweep: Sweep,
    pub(super) walked: Vec<u32>,
    pub(super) trace: Vec<(u32, u32)>,
    pub(super) ends: Ends,
}

/// How a node was reached.
#[derive(Clone, Copy)]
pub(super) struct Label {
    /// `epoch` while open, `epoch + 1` once closed; anything else is from before.
    pub(super) stamp: u32,
    pub(super) cost: u64,
    pub(super) parent: u32,
    /// The arc out of `parent` that a forced walk to here began with.
    pub(super) first: u32,
}

const UNSEEN: Label = Label { stamp: 0, cost: 0, parent: NONE, first: NONE };

impl Scratch {
    /// Makes every label unseen; returns the stamp of open labels.
    pub(super) fn begin(&mut self, nodes: usize) -> u32 {
        if self.labels.len() < nodes {
            self.labels.resize(nodes, UNSEEN);
        }
        if self.epoch >= u32::MAX - 4 {
            self.labels.fill(UNSEEN);
            self.epoch = 0;
        }
        self.epoch += 2;
        self.heap.clear();
        self.stack.clear();
        self.sweep.nodes.begin(nodes, 0);
        self.epoch
    }
}

/// What a search from both ends uses.
#[derive(Default)]
pub(super) struct Ends {
    /// By node, of the side that begins at the ingress and of the other.
    pub(super) labels: Vec<[Label; 2]>,
    pub(super) heaps: [Heap; 2],
    pub(super) trace: Vec<(u32, u32)>,
    epoch: u32,
}

impl Ends {
    /// As [`Scratch::begin`].
    pub(super) fn begin(&mut self, nodes: usize) -> u32 {
        if self.labels.len() < nodes {
            self.labels.resize(nodes, [UNSEEN; 2]);
        }
        if self.epoch >= u32::MAX - 4 {
            self.labels.fill([UNSEEN; 2]);
            self.epoch = 0;
        }
        self.epoch += 2;
        self.heaps.iter_mut().for_each(Heap::clear);
        self.epoch
    }
}

/// What can reach the goal, as far as is known.
#[derive(Default)]
pub(super) struct Sweep {
    nodes: Marks,
    queue: Vec<u32>,
    taken: usize,
    pub(super) is_open: bool,
}

impl Sweep {
    pub(super) fn begin(&mut self, goal: u32) {
        self.queue.clear();
        self.taken = 0;
        self.is_open = true;
        self.reach(goal);
    }

    pub(super) fn reach(&mut self, node: u32) {
        if !self.nodes.has_node(node) {
            self.nodes.mark_node(node);
            self.queue.push(node);
        }
    }

    pub(super) fn next(&mut self) -> Option<u32> {
        let node = self.queue.get(self.taken).copied();
        self.taken += 1;
        node
    }
}

/// A set of nodes and a set of arcs, emptied in no time.
#[derive(Default)]
pub(super) struct Marks {
    nodes: Vec<u32>,
    arcs: Vec<u32>,
    epoch: u32,
}

impl Marks {
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
