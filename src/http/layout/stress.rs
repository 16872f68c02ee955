//! Places computed so that nodes stand as far apart as there are links between them: stress majorisation by stochastic
//! gradient descent (Zheng, Pawar and Goodman, 2018), with a fixed order in place of chance. In large networks distances
//! are held to some pivots and to neighbours only. Islands are laid out by themselves and set side by side.

use std::collections::VecDeque;

use super::{Point, extent};

/// Up to so many nodes, every pair of them is held at its distance.
const PAIRS_MAX_NODES: usize = 500;
/// How many pivots there are in larger networks.
const PIVOTS: usize = 60;
/// How often every pair is looked at.
const ROUNDS: u32 = 40;
/// The last round moves pairs by this part of what they lack.
const LAST_STEP: f64 = 0.05;
/// How far islands stand apart, in links.
const GAP: f64 = 1.5;

/// Places for all nodes.
pub(super) fn points(neighbours: &[Vec<usize>]) -> Vec<Point> {
    let mut islands: Vec<Island> = islands(neighbours).into_iter().map(|nodes| Island::of(nodes, neighbours)).collect();
    islands.sort_by_key(|island| std::cmp::Reverse(island.nodes.len()));
    let area: f64 = islands.iter().map(|island| (island.size[0] + GAP) * (island.size[1] + GAP)).sum();
    let widest = islands.iter().map(|island| island.size[0]).fold(0.0, f64::max);
    let row_width = (area * 1.6).sqrt().max(widest + GAP);
    let mut points = vec![[0.0; 2]; neighbours.len()];
    let (mut x, mut y, mut row_height) = (0.0, 0.0, 0.0_f64);
    for island in islands {
        if x > 0.0 && x + island.size[0] > row_width {
            (x, y, row_height) = (0.0, y + row_height + GAP, 0.0);
        }
        for (node, [dx, dy]) in island.nodes.iter().zip(&island.points) {
            if let Some(point) = points.get_mut(*node) {
                *point = [x + dx, y + dy];
            }
        }
        x += island.size[0] + GAP;
        row_height = row_height.max(island.size[1]);
    }
    points
}

/// Nodes that hang together, with their places.
struct Island {
    nodes: Vec<usize>,
    points: Vec<Point>,
    size: Point,
}

impl Island {
    fn of(nodes: Vec<usize>, neighbours: &[Vec<usize>]) -> Self {
        let mut place_of = vec![usize::MAX; neighbours.len()];
        for (place, node) in nodes.iter().enumerate() {
            if let Some(slot) = place_of.get_mut(*node) {
                *slot = place;
            }
        }
        let own = |node: &usize| neighbours.get(*node).into_iter().flatten();
        let local: Vec<Vec<usize>> =
            nodes.iter().map(|node| own(node).filter_map(|other| place_of.get(*other).copied()).collect()).collect();
        let mut points = settle(&local);
        lay_down(&mut points);
        let (low, high) = extent(&points);
        for point in &mut points {
            *point = [point[0] - low[0], point[1] - low[1]];
        }
        Self { nodes, points, size: [high[0] - low[0], high[1] - low[1]] }
    }
}

fn islands(neighbours: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut seen = vec![false; neighbours.len()];
    let mut islands = vec![];
    for start in 0..neighbours.len() {
        if seen.get(start).copied().unwrap_or(true) {
            continue;
        }
        let mut island: Vec<usize> = hops(neighbours, start)
            .iter()
            .enumerate()
            .filter(|(_, hops)| hops.is_some())
            .map(|(node, _)| node)
            .collect();
        for node in &island {
            if let Some(seen) = seen.get_mut(*node) {
                *seen = true;
            }
        }
        island.sort_unstable();
        islands.push(island);
    }
    islands
}

/// How many links it takes from `start` to each node.
fn hops(neighbours: &[Vec<usize>], start: usize) -> Vec<Option<u32>> {
    let mut hops = vec![None; neighbours.len()];
    let mut queue = VecDeque::from([(start, 0_u32)]);
    if let Some(own) = hops.get_mut(start) {
        *own = Some(0);
    }
    while let Some((node, far)) = queue.pop_front() {
        for other in neighbours.get(node).into_iter().flatten() {
            if let Some(slot @ None) = hops.get_mut(*other) {
                *slot = Some(far + 1);
                queue.push_back((*other, far + 1));
            }
        }
    }
    hops
}

/// Two nodes that are to stand so far apart.
struct NodePair {
    one: usize,
    other: usize,
    apart: f64,
}

fn settle(neighbours: &[Vec<usize>]) -> Vec<Point> {
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let count = neighbours.len();
    let mut pairs = pairs(neighbours);
    let far = pairs.iter().map(|pair| pair.apart).fold(1.0, f64::max);
    let mut points: Vec<Point> = (0..count).map(|_| [chance.unit() * far, chance.unit() * far]).collect();
    let (first, last) = (far * far, LAST_STEP);
    let decay = (last / first).powf(1.0 / f64::from(ROUNDS - 1));
    let mut step = first;
    for _ in 0..ROUNDS {
        chance.shuffle(&mut pairs);
        pairs.iter().for_each(|pair| pull(&mut points, pair, step));
        step *= decay;
    }
    points
}

/// Moves a pair towards its distance.
fn pull(points: &mut [Point], pair: &NodePair, step: f64) {
    let (Some(one), Some(other)) = (points.get(pair.one).copied(), points.get(pair.other).copied()) else { return };
    let weight = (step / (pair.apart * pair.apart)).min(1.0);
    let (dx, dy) = (one[0] - other[0], one[1] - other[1]);
    let is = (dx * dx + dy * dy).sqrt().max(1e-9);
    let move_by = weight * (is - pair.apart) / 2.0 / is;
    if let Some(point) = points.get_mut(pair.one) {
        *point = [one[0] - dx * move_by, one[1] - dy * move_by];
    }
    if let Some(point) = points.get_mut(pair.other) {
        *point = [other[0] + dx * move_by, other[1] + dy * move_by];
    }
}

/// Every pair of a small network; of a large one each node with each pivot and with its neighbours.
fn pairs(neighbours: &[Vec<usize>]) -> Vec<NodePair> {
    let count = neighbours.len();
    let mut pairs = vec![];
    if count <= PAIRS_MAX_NODES {
        for one in 0..count {
            let hops = hops(neighbours, one);
            let later = hops.iter().enumerate().skip(one + 1);
            pairs.extend(later.filter_map(|(other, hops)| Some(NodePair { one, other, apart: f64::from((*hops)?) })));
        }
        return pairs;
    }
    let mut nearest = vec![u32::MAX; count];
    let mut pivot = 0;
    for _ in 0..PIVOTS {
        let hops = hops(neighbours, pivot);
        for (other, far) in hops.iter().enumerate() {
            let far = far.unwrap_or(0);
            if far > 0 {
                pairs.push(NodePair { one: pivot, other, apart: f64::from(far) });
            }
            if let Some(nearest) = nearest.get_mut(other) {
                *nearest = (*nearest).min(far);
            }
        }
        // The next pivot is as far as possible from all others.
        let farthest = nearest.iter().enumerate().max_by_key(|(at, far)| (**far, std::cmp::Reverse(*at)));
        pivot = farthest.map_or(0, |(at, _)| at);
    }
    for (one, of) in neighbours.iter().enumerate() {
        pairs.extend(of.iter().filter(|other| **other > one).map(|other| NodePair { one, other: *other, apart: 1.0 }));
    }
    pairs
}

/// Turns points so that they are widest from left to right.
fn lay_down(points: &mut [Point]) {
    let count = f64::from(u32::try_from(points.len().max(1)).unwrap_or(u32::MAX));
    let sum = points.iter().fold([0.0; 2], |sum, [x, y]| [sum[0] + x, sum[1] + y]);
    let middle = [sum[0] / count, sum[1] / count];
    let spread = points.iter().fold([0.0; 3], |[xx, xy, yy], [x, y]| {
        let (dx, dy) = (x - middle[0], y - middle[1]);
        [xx + dx * dx, xy + dx * dy, yy + dy * dy]
    });
    let angle = (2.0 * spread[1]).atan2(spread[0] - spread[2]) / 2.0;
    let (sin, cos) = angle.sin_cos();
    for point in points {
        let (dx, dy) = (point[0] - middle[0], point[1] - middle[1]);
        *point = [dx * cos + dy * sin, dy * cos - dx * sin];
    }
}

/// A fixed sequence that looks like chance (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let among = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1);
            items.swap(at, usize::try_from(self.next() % among).unwrap_or(at));
        }
    }
}
