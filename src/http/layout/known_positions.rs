//! Places that the topology gives.

use super::Point;
use kernel::topology::{Position, Topology};

/// In how many rounds nodes without a place settle between their neighbours.
const ROUNDS: usize = 60;

/// What the topology says of where its nodes are, or nothing if it says so of less than half of them. Of places on the
/// globe and on a drawing those count that there are more of.
pub(super) fn points(topology: &Topology) -> Option<Vec<Option<Point>>> {
    let globe = topology.nodes().filter(|(_, node)| matches!(node.position, Some(Position::Geographic { .. }))).count();
    let drawn = topology.nodes().filter(|(_, node)| matches!(node.position, Some(Position::Drawing { .. }))).count();
    if globe.max(drawn) * 2 < topology.node_count() {
        return None;
    }
    let narrowing = narrowing(topology);
    let place = |position: Option<Position>| match position {
        Some(Position::Geographic { latitude_udeg, longitude_udeg }) if globe >= drawn => {
            Some([f64::from(longitude_udeg) * narrowing, -f64::from(latitude_udeg)])
        }
        Some(Position::Drawing { x_milli, y_milli }) if globe < drawn => Some([float(x_milli), float(y_milli)]),
        _ => None,
    };
    Some(topology.nodes().map(|(_, node)| place(node.position)).collect())
}

/// How much narrower a degree of longitude is than one of latitude in the middle of the map.
fn narrowing(topology: &Topology) -> f64 {
    let latitudes = topology.nodes().filter_map(|(_, node)| match node.position {
        Some(Position::Geographic { latitude_udeg, .. }) => Some(latitude_udeg),
        _ => None,
    });
    let (low, high) = latitudes.fold((i32::MAX, i32::MIN), |(low, high), at| (low.min(at), high.max(at)));
    if low > high {
        return 1.0;
    }
    let middle_deg = (f64::from(low) + f64::from(high)) / 2_000_000.0;
    middle_deg.to_radians().cos().max(0.2)
}

#[expect(clippy::cast_precision_loss, reason = "a drawing needs no more")]
fn float(value: i64) -> f64 {
    value as f64
}

/// Places those that have no place between their neighbours, and the lonely below everything.
pub(super) fn complete(known: Vec<Option<Point>>, neighbours: &[Vec<usize>]) -> Vec<Point> {
    let given: Vec<Point> = known.iter().flatten().copied().collect();
    let (low, high) = super::extent(&given);
    let middle = [f64::midpoint(low[0], high[0]), f64::midpoint(low[1], high[1])];
    let mut points: Vec<Point> = known.iter().map(|point| point.unwrap_or(middle)).collect();
    for _ in 0..ROUNDS {
        for (at, of) in neighbours.iter().enumerate() {
            if known.get(at).is_some_and(Option::is_none) && !of.is_empty() {
                let sum = of
                    .iter()
                    .filter_map(|other| points.get(*other))
                    .fold([0.0; 2], |sum, [x, y]| [sum[0] + x, sum[1] + y]);
                let count = f64::from(u32::try_from(of.len()).unwrap_or(u32::MAX));
                if let Some(point) = points.get_mut(at) {
                    *point = [sum[0] / count, sum[1] / count];
                }
            }
        }
    }
    let lonely = (0..points.len()).filter(|at| known.get(*at).is_some_and(Option::is_none));
    let lonely: Vec<usize> = lonely.filter(|at| neighbours.get(*at).is_some_and(Vec::is_empty)).collect();
    let (width, height) = ((high[0] - low[0]).max(1.0), (high[1] - low[1]).max(1.0));
    let count = f64::from(u32::try_from(lonely.len()).unwrap_or(u32::MAX)) + 1.0;
    for (place, at) in (1_u32..).zip(lonely) {
        if let Some(point) = points.get_mut(at) {
            *point = [low[0] + width * f64::from(place) / count, high[1] + height * 0.1];
        }
    }
    points
}
