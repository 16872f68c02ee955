//! Biconnected components (Hopcroft and Tarjan, 1973) of the graph without its directions. A simple path from one node to
//! another runs through the same blocks in the same order, whatever path it is: so a search for a way around a full link
//! need not leave that link's block, and a full bridge needs no search at all.

use super::graph::{Graph, NONE, word};

/// Which block each arc is in, and which blocks are a single edge.
pub(super) struct Blocks {
    pub(super) of_arc: Vec<u32>,
    pub(super) bridges: Vec<bool>,
    /// All nodes, in the order of a walk along the edges.
    pub(super) preorder: Vec<u32>,
}

pub(super) fn find(graph: &Graph) -> Blocks {
    let tree = Tree::grow(graph);
    let nodes = graph.node_count();
    // The block of the tree edge above each node, in preorder: a parent's is known before its children's.
    let mut above = vec![NONE; nodes];
    let mut members = Vec::new();
    for &node in &tree.preorder {
        let parent = tree.parent[node as usize];
        if parent == NONE {
            continue;
        }
        if tree.low[node as usize] >= tree.entered[parent as usize] {
            above[node as usize] = word(members.len());
            members.push(1_u32);
        } else {
            above[node as usize] = above[parent as usize];
            members[above[node as usize] as usize] += 1;
        }
    }
    // Every other edge joins a node to an ancestor, in the block above the lower of the two.
    let mut down = vec![0_u32; members.len()];
    let mut up = vec![0_u32; members.len()];
    let mut of_arc = Vec::with_capacity(graph.link_count());
    for (arc, &tail) in graph.arcs.iter().zip(&graph.tails) {
        let is_down = tree.entered[tail as usize] < tree.entered[arc.head as usize];
        let block = above[if is_down { arc.head } else { tail } as usize];
        let count = if is_down { &mut down } else { &mut up };
        count[block as usize] += 1;
        of_arc.push(block);
    }
    let bridges = (0..members.len()).map(|at| members[at] == 1 && down[at] <= 1 && up[at] <= 1).collect();
    Blocks { of_arc, bridges, preorder: tree.preorder }
}

/// A depth-first forest with low points.
struct Tree {
    parent: Vec<u32>,
    entered: Vec<u32>,
    low: Vec<u32>,
    preorder: Vec<u32>,
}

impl Tree {
    fn grow(graph: &Graph) -> Self {
        let nodes = graph.node_count();
        let mut tree = Self {
            parent: vec![NONE; nodes],
            entered: vec![NONE; nodes],
            low: vec![NONE; nodes],
            preorder: Vec::with_capacity(nodes),
        };
        // (node, how many of its neighbours have been looked at)
        let mut stack: Vec<(u32, u32)> = Vec::new();
        for root in 0..word(nodes) {
            if tree.entered[root as usize] != NONE {
                continue;
            }
            tree.enter(root, NONE);
            stack.push((root, 0));
            while let Some((node, looked)) = stack.last_mut() {
                let node = *node;
                let Some(near) = neighbour(graph, node, *looked) else {
                    stack.pop();
                    tree.leave(node);
                    continue;
                };
                *looked += 1;
                if tree.entered[near as usize] == NONE {
                    tree.enter(near, node);
                    stack.push((near, 0));
                } else if near != tree.parent[node as usize] {
                    tree.low[node as usize] = tree.low[node as usize].min(tree.entered[near as usize]);
                }
            }
        }
        tree
    }

    fn enter(&mut self, node: u32, parent: u32) {
        let now = word(self.preorder.len());
        self.parent[node as usize] = parent;
        self.entered[node as usize] = now;
        self.low[node as usize] = now;
        self.preorder.push(node);
    }

    fn leave(&mut self, node: u32) {
        let parent = self.parent[node as usize];
        if parent != NONE {
            self.low[parent as usize] = self.low[parent as usize].min(self.low[node as usize]);
        }
    }
}

/// The `at`-th neighbour of `node`, against or along the arcs.
fn neighbour(graph: &Graph, node: u32, at: u32) -> Option<u32> {
    let out = graph.out(node);
    let outward = out.end - out.start;
    if at < outward {
        return Some(graph.arcs[(out.start + at) as usize].head);
    }
    graph.into(node).get((at - outward) as usize).map(|arc| graph.tails[*arc as usize])
}
