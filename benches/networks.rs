//! Generated networks for the benches: geographic, sparse, deterministic, of the sizes of known operators' networks in
//! the Internet Topology Zoo. Nodes lie at random in a rectangle; a minimum spanning tree joins nearest neighbours; then
//! further edges close rings, as operators do, each where it protects most for its length. The TE metric is the length
//! in kilometres.
//!
//! Must stay true: the same call gives the same network on every machine. There are only integers in here.

use kernel::id::{LinkIx, Name, NodeIx};
use kernel::topology::{CapacitySource, Link, LinkState, Node, Position, Topology};
use kernel::units::{Bandwidth, Micros};

/// What every link carries: 10 Gbit/s.
pub(crate) const CAPACITY_BPS: u64 = 10_000_000_000;

/// Marsaglia's xorshift64 with a multiplier: enough for drawing, the same everywhere.
#[derive(Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    /// A stream of its own for every seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Any 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

/// A network of undirected edges.
pub(crate) struct Network {
    /// Whose size it has.
    pub(crate) name: &'static str,
    /// Kilometres east and south.
    pub(crate) places: Vec<(u32, u32)>,
    /// Ends and length in kilometres.
    pub(crate) edges: Vec<(u32, u32, u32)>,
}

/// The NSFNET T1 backbone: 14 nodes and 21 edges, with the lengths of `topologies/nsfnet.json`.
pub(crate) fn nsfnet() -> Network {
    let edges = [
        (0, 1, 1_131),
        (0, 2, 1_712),
        (0, 7, 2_831),
        (1, 2, 693),
        (1, 3, 958),
        (2, 5, 2_094),
        (3, 4, 567),
        (3, 10, 2_339),
        (4, 5, 1_452),
        (4, 6, 731),
        (5, 8, 1_128),
        (5, 12, 1_973),
        (6, 7, 720),
        (7, 9, 700),
        (8, 9, 839),
        (9, 11, 367),
        (9, 13, 452),
        (10, 11, 595),
        (10, 13, 788),
        (11, 12, 385),
        (12, 13, 247),
    ];
    Network { name: "NSFNET", places: vec![(0, 0); 14], edges: edges.to_vec() }
}

/// `side` by `side` nodes, each joined with its neighbours over 100 km.
pub(crate) fn grid(side: u32) -> Network {
    let right = (0..side * side).filter(|at| at % side + 1 < side).map(|at| (at, at + 1, 100));
    let down = (0..side * side.saturating_sub(1)).map(|at| (at, at + side, 100));
    let places = (0..side * side).map(|at| (at % side * 100, at / side * 100)).collect();
    Network { name: "grid", places, edges: right.chain(down).collect() }
}

/// 40 nodes and 61 edges, over 4,000 by 3,000 km.
pub(crate) fn geant() -> Network {
    Network::generate("Geant2012", 2_012, 40, 61, (4_000, 3_000))
}

/// 197 nodes and 243 edges, over 9,000 by 3,000 km.
pub(crate) fn cogentco() -> Network {
    Network::generate("Cogentco", 197, 197, 243, (9_000, 3_000))
}

/// 754 nodes and 895 edges, over 2,400 by 1,600 km.
pub(crate) fn kdl() -> Network {
    Network::generate("Kdl", 754, 754, 895, (2_400, 1_600))
}

impl Network {
    /// See the head of this file.
    pub(crate) fn generate(
        name: &'static str,
        seed: u64,
        nodes: usize,
        edges: usize,
        (width, height): (u32, u32),
    ) -> Self {
        let mut draw = Draw::new(seed);
        let mut place = |_| {
            let east = u32::try_from(draw.below(u64::from(width))).unwrap_or(0);
            let south = u32::try_from(draw.below(u64::from(height))).unwrap_or(0);
            (east, south)
        };
        let places: Vec<(u32, u32)> = (0..nodes).map(&mut place).collect();
        let mut network = Self { name, places, edges: Vec::with_capacity(edges) };
        network.join();
        network.thicken(edges);
        network
    }

    /// As a topology: each edge two links that share fate, 10 Gbit/s, 5 us a kilometre.
    pub(crate) fn topology(&self) -> Topology {
        let named = |text: String| Name::new(&text).expect("a short name");
        let node = |(at, (east, south)): (usize, &(u32, u32))| Node {
            name: named(format!("n{at}")),
            label: None,
            position: Some(Position::Drawing { x_milli: i64::from(*east) * 1_000, y_milli: i64::from(*south) * 1_000 }),
            switch: None,
        };
        let mut links = Vec::with_capacity(self.edges.len() * 2);
        for &(from, to, km) in &self.edges {
            let at = u32::try_from(links.len()).unwrap_or(u32::MAX);
            links.push(link(named(format!("{from}-{to}")), from, to, km, at + 1));
            links.push(link(named(format!("{to}-{from}")), to, from, km, at));
        }
        let nodes = self.places.iter().enumerate().map(node).collect();
        Topology::new(nodes, links).expect("a generated network is a good topology")
    }

    fn km(&self, a: usize, b: usize) -> u32 {
        let ((ax, ay), (bx, by)) = (self.places[a], self.places[b]);
        let (dx, dy) = (ax.abs_diff(bx), ay.abs_diff(by));
        (dx * dx + dy * dy).isqrt().max(1)
    }

    /// Prim's minimum spanning tree.
    fn join(&mut self) {
        let nodes = self.places.len();
        let mut nearest: Vec<(u32, usize)> = (0..nodes).map(|at| (self.km(0, at), 0)).collect();
        let mut is_in = vec![false; nodes];
        is_in[0] = true;
        for _ in 1..nodes {
            let outside = (0..nodes).filter(|at| !is_in[*at]);
            let Some(next) = outside.min_by_key(|at| nearest[*at].0) else { break };
            let (km, to) = nearest[next];
            is_in[next] = true;
            self.add(to, next, km);
            for (at, near) in nearest.iter_mut().enumerate() {
                let km = self.km(next, at);
                if km < near.0 {
                    *near = (km, next);
                }
            }
        }
    }

    /// Adds edges until there are `edges`, each time the one that gives the most tree edges a ring, or one more ring, for
    /// its length.
    fn thicken(&mut self, edges: usize) {
        let mut tree = Tree::new(self);
        let candidates = self.candidates();
        while self.edges.len() < edges {
            let free = candidates.iter().filter(|(_, a, b)| !tree.has(*a, *b));
            let best = free.max_by_key(|(km, a, b)| (tree.gain(*a, *b) * 1_000_000 / u64::from(*km), *a, *b));
            let Some(&(km, a, b)) = best else { break };
            tree.close(a, b);
            self.add(a, b, km);
        }
    }

    /// Each node and its nearest others.
    fn candidates(&self) -> Vec<(u32, usize, usize)> {
        let nodes = self.places.len();
        let mut candidates = Vec::new();
        for a in 0..nodes {
            let others = (0..nodes).filter(|b| *b != a);
            let mut near: Vec<_> = others.map(|b| (self.km(a, b), a, b)).collect();
            near.sort_unstable();
            candidates.extend(near.into_iter().take(NEAR));
        }
        candidates
    }

    fn add(&mut self, a: usize, b: usize, km: u32) {
        let word = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.edges.push((word(a), word(b), km));
    }
}

/// How many of a node's nearest others it may get an edge to.
const NEAR: usize = 40;

fn ends(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// The spanning tree, and how many rings each of its edges is in.
struct Tree {
    parent: Vec<usize>,
    depth: Vec<usize>,
    rings: Vec<u32>,
    /// All edges, those outside the tree as well.
    joined: std::collections::BTreeSet<(usize, usize)>,
}

impl Tree {
    /// Of a network that is a tree, its edges in the order in which they were joined to node 0.
    fn new(network: &Network) -> Self {
        let nodes = network.places.len();
        let mut tree = Self {
            parent: vec![0; nodes],
            depth: vec![0; nodes],
            rings: vec![0; nodes],
            joined: std::collections::BTreeSet::new(),
        };
        for &(to, node, _) in &network.edges {
            let (to, node) = (to as usize, node as usize);
            tree.joined.insert(ends(to, node));
            tree.parent[node] = to;
            tree.depth[node] = tree.depth[to] + 1;
        }
        tree
    }

    /// The tree edges between two nodes, each by its lower end.
    fn between(&self, mut a: usize, mut b: usize) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            if a == b {
                return None;
            }
            if self.depth[a] < self.depth[b] {
                std::mem::swap(&mut a, &mut b);
            }
            let lower = a;
            a = self.parent[a];
            Some(lower)
        })
    }

    /// A tree edge counts a quarter for every ring that it is in.
    fn gain(&self, a: usize, b: usize) -> u64 {
        let sum: u64 = self.between(a, b).map(|at| 64 >> (2 * self.rings[at]).min(6)).sum();
        sum * sum
    }

    fn close(&mut self, a: usize, b: usize) {
        let ring: Vec<usize> = self.between(a, b).collect();
        for at in ring {
            self.rings[at] += 1;
        }
        self.joined.insert(ends(a, b));
    }

    fn has(&self, a: usize, b: usize) -> bool {
        self.joined.contains(&ends(a, b))
    }
}

fn link(name: Name, from: u32, to: u32, km: u32, twin: u32) -> Link {
    Link {
        name,
        from: NodeIx(from),
        to: NodeIx(to),
        capacity: Bandwidth::saturating_from_bps(CAPACITY_BPS),
        max_reservable: Bandwidth::saturating_from_bps(CAPACITY_BPS),
        te_metric: km,
        delay: Micros(u64::from(km) * 5),
        srlg: Vec::new(),
        admin_group: 0,
        state: LinkState::Up,
        from_port: None,
        to_port: None,
        twin: Some(LinkIx(twin)),
        capacity_from: CapacitySource::Given,
        is_avoided: false,
    }
}
