//! Where nodes stand on a drawing: where the topology says, and where it does not, at places computed from the links.
//! Equal topologies get equal drawings; each is worked out once.

mod known_positions;
mod stress;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use super::extract::FromPath;
use super::extract::off_the_way;
use super::problem::{BadRequest, InternalError, NotFound, Problem};
use super::render::json;
use super::topology::unknown;
use crate::app::scalars::StoredName;
use kernel::id::Name;
use kernel::state::TOPOLOGIES_MAX;
use kernel::topology::{Position, Topology};

/// How wide a drawing is; the height follows from its proportions.
const WIDTH: f64 = 10_000.0;
/// The height of a drawing is within these parts of its width.
const HEIGHT_PARTS: (f64, f64) = (0.3, 1.5);
/// How far nodes of one place are set apart, in parts of the width.
const APART: f64 = 0.008;

/// Drawings that were worked out already, by topology.
#[derive(Clone, Default)]
pub(super) struct Layouts {
    known: Arc<Mutex<BTreeMap<Name, Arc<Layout>>>>,
}

// The document stays here: only the dashboard reads it, and `api` is for what Rust programs read or write.
/// Where the nodes of a topology stand.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = TopologyLayout)]
struct Layout {
    /// What it was made from; not shown.
    #[serde(skip)]
    shape: u64,
    /// Where the places come from.
    source: LayoutSource,
    /// How wide the drawing is.
    width: u32,
    /// How high it is.
    height: u32,
    /// Where each node stands, in the topology's order.
    nodes: Vec<PlacedNode>,
}

/// Where the places of a layout come from.
#[derive(Serialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
enum LayoutSource {
    /// The topology says.
    Given,
    /// The topology says for most; the rest stand between their neighbours.
    Completed,
    /// Computed from the links.
    Computed,
}

/// A node on a drawing.
#[derive(Serialize, ToSchema, Debug)]
struct PlacedNode {
    /// Which node.
    node: String,
    /// What people call it, where that is not its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    label: Option<String>,
    /// To the right, from 0 to the width.
    x: u32,
    /// Downwards, from 0 to the height.
    y: u32,
}

/// A place while it is worked out.
type Point = [f64; 2];

/// Reads where to draw the nodes of a topology.
///
/// Nodes that have coordinates stand there; others between their neighbours. If most have none, all places are computed
/// from the links. The same topology always gets the same drawing.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/layout",
    tag = "topologies",
    summary = "Read where to draw the nodes",
    params(("topology" = String, Path, description = "Which topology", min_length = 1, max_length = 255, example = "nsfnet")),
    responses(
        (status = 200, description = "Where each node stands", body = Layout, example = json!({
            "source": "given", "width": 10_000, "height": 5_200, "nodes": [{"node": "WA", "x": 400, "y": 420}]
        })),
        BadRequest, NotFound, InternalError,
    )
)]
pub(super) async fn topology_layout(
    State(room): State<ApiState>,
    FromPath(StoredName(name)): FromPath<StoredName>,
) -> Result<Response, Problem> {
    let topology = room.app.read(|state| state.network(name.as_str()).map(|network| Arc::clone(network.topology())));
    let topology = topology.ok_or_else(|| unknown(&name))?;
    let shape = shape(&topology);
    let layout = match room.layouts.get(&name, shape) {
        Some(layout) => layout,
        None => {
            let layout = Arc::new(off_the_way(move || Layout::of(&topology, shape)).await?);
            room.layouts.keep(name, Arc::clone(&layout));
            layout
        }
    };
    Ok(json(&*layout))
}

impl Layouts {
    fn get(&self, name: &Name, shape: u64) -> Option<Arc<Layout>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|layout| layout.shape == shape).cloned()
    }

    fn keep(&self, name: Name, layout: Arc<Layout>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of topologies that are gone are forgotten with all others.
        if known.len() >= TOPOLOGIES_MAX {
            known.clear();
        }
        known.insert(name, layout);
    }
}

/// What a drawing depends on: names, places and links.
fn shape(topology: &Topology) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (_, node) in topology.nodes() {
        (node.name.as_str(), &node.label).hash(&mut hasher);
        match node.position {
            None => 0_u8.hash(&mut hasher),
            Some(Position::Geographic { latitude_udeg, longitude_udeg }) => {
                (1_u8, latitude_udeg, longitude_udeg).hash(&mut hasher);
            }
            Some(Position::Drawing { x_milli, y_milli }) => (2_u8, x_milli, y_milli).hash(&mut hasher),
        }
    }
    topology.links().for_each(|(_, link)| (link.from.0, link.to.0).hash(&mut hasher));
    hasher.finish()
}

impl Layout {
    fn of(topology: &Topology, shape: u64) -> Self {
        let neighbours = neighbours(topology);
        let (source, mut points) = match known_positions::points(topology) {
            Some(known) if known.iter().all(Option::is_some) => {
                (LayoutSource::Given, known.into_iter().flatten().collect())
            }
            Some(known) => (LayoutSource::Completed, known_positions::complete(known, &neighbours)),
            None => (LayoutSource::Computed, stress::points(&neighbours)),
        };
        let height = fit(&mut points);
        set_apart(&mut points);
        let nodes = topology.nodes().zip(points).map(|((_, node), [x, y])| PlacedNode {
            node: node.name.to_string(),
            label: node.label.clone(),
            x: whole(x, WIDTH),
            y: whole(y, height),
        });
        Self { shape, source, width: whole(WIDTH, WIDTH), height: whole(height, height), nodes: nodes.collect() }
    }
}

/// Who is linked to whom, either way, each once, in order.
fn neighbours(topology: &Topology) -> Vec<Vec<usize>> {
    let mut neighbours = vec![vec![]; topology.node_count()];
    for (_, link) in topology.links() {
        for (one, other) in [(link.from.at(), link.to.at()), (link.to.at(), link.from.at())] {
            if let Some(of) = neighbours.get_mut(one) {
                of.push(other);
            }
        }
    }
    for of in &mut neighbours {
        of.sort_unstable();
        of.dedup();
    }
    neighbours
}

/// The corners of the box around points.
fn extent(points: &[Point]) -> (Point, Point) {
    let start = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
    points
        .iter()
        .fold(start, |(low, high), [x, y]| ([low[0].min(*x), low[1].min(*y)], [high[0].max(*x), high[1].max(*y)]))
}

/// Moves and scales points so that they fill the drawing; says how high it is.
fn fit(points: &mut [Point]) -> f64 {
    let (low, high) = extent(points);
    let (width, height) = (high[0] - low[0], high[1] - low[1]);
    let parts = if width > 0.0 { height / width } else { HEIGHT_PARTS.1 };
    let parts = if parts.is_finite() { parts.clamp(HEIGHT_PARTS.0, HEIGHT_PARTS.1) } else { HEIGHT_PARTS.0 };
    let room = WIDTH * parts;
    let scale = |has: f64, room: f64| if has > 0.0 { room / has } else { f64::INFINITY };
    let scale = scale(width, WIDTH).min(scale(height, room));
    let scale = if scale.is_finite() { scale } else { 0.0 };
    for point in points {
        point[0] = (point[0] - low[0] - width / 2.0) * scale + WIDTH / 2.0;
        point[1] = (point[1] - low[1] - height / 2.0) * scale + room / 2.0;
    }
    room
}

/// Sets nodes of one place apart on a small ring around it.
fn set_apart(points: &mut [Point]) {
    let mut places: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (at, [x, y]) in points.iter().enumerate() {
        places.entry((whole(*x, WIDTH), whole(*y, WIDTH * HEIGHT_PARTS.1))).or_default().push(at);
    }
    for shared in places.into_values().filter(|shared| shared.len() > 1) {
        let count = f64::from(u32::try_from(shared.len()).unwrap_or(u32::MAX));
        let radius = WIDTH * APART * count.sqrt() / 2.0;
        for (turn, at) in (0_u32..).zip(shared) {
            let angle = std::f64::consts::TAU * f64::from(turn) / count;
            if let Some(point) = points.get_mut(at) {
                *point = [point[0] + radius * angle.cos(), point[1] + radius * angle.sin()];
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held within 0 to the largest place")]
fn whole(value: f64, most: f64) -> u32 {
    if value.is_finite() { value.round().clamp(0.0, most) as u32 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats;

    fn layout(text: &str) -> Layout {
        let imported = formats::read(text.as_bytes(), &formats::ReadOptions::default()).unwrap();
        Layout::of(&imported.topology, 0)
    }

    #[test]
    fn places_that_are_given_are_kept() {
        let drawn = layout(
            r#"{"nodes": [{"id": "w", "latitude": 40, "longitude": -120}, {"id": "e", "latitude": 40, "longitude": -70},
                {"id": "n", "latitude": 50, "longitude": -95}]}"#,
        );
        assert_eq!(drawn.source, LayoutSource::Given);
        let at: Vec<_> = drawn.nodes.iter().map(|node| (node.x, node.y)).collect();
        assert_eq!((at[0].0, at[1].0, at[2].0), (0, 10_000, 5_000));
        assert!(at[0].1 == at[1].1 && at[2].1 < at[0].1, "north is up: {at:?}");
    }

    #[test]
    fn who_has_no_place_stands_between_neighbours_and_nobody_on_another() {
        let drawn = layout(
            r#"{"nodes": [{"id": "a", "x": 0, "y": 0}, {"id": "b", "x": 10, "y": 0}, {"id": "c", "x": 10, "y": 0}, {"id": "m"}],
                "links": [{"id": "am", "from": "a", "to": "m", "capacity_bps": 1}, {"id": "mb", "from": "m", "to": "b", "capacity_bps": 1}]}"#,
        );
        assert_eq!(drawn.source, LayoutSource::Completed);
        assert_eq!(drawn.nodes[3].x, 5_000);
        let mut places: Vec<_> = drawn.nodes.iter().map(|node| (node.x, node.y)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 4);
    }

    #[test]
    fn a_line_is_drawn_as_one_and_always_alike() {
        let nodes: Vec<_> = (0..30).map(|at| format!(r#"{{"id":"{at}"}}"#)).collect();
        let link = |at: u32| format!(r#"{{"id":"l{at}","from":"{at}","to":"{}","capacity_bps":1}}"#, at + 1);
        let links: Vec<_> = (0..29).map(link).collect();
        let text = format!(r#"{{"nodes":[{}],"links":[{}]}}"#, nodes.join(","), links.join(","));
        let drawn = layout(&text);
        assert_eq!(drawn.source, LayoutSource::Computed);
        let xs: Vec<_> = drawn.nodes.iter().map(|node| node.x).collect();
        assert!(xs.is_sorted() || xs.iter().rev().is_sorted(), "{xs:?}");
        let again: Vec<_> = layout(&text).nodes.iter().map(|node| node.x).collect();
        assert_eq!(xs, again);
    }

    #[test]
    fn one_node_islands_and_nothing_but_islands_are_drawn() {
        assert_eq!(layout(r#"{"nodes": [{"id": "a"}]}"#).nodes.len(), 1);
        let nodes: Vec<_> = (0..50).map(|at| format!(r#"{{"id":"{at}"}}"#)).collect();
        let drawn = layout(&format!(r#"{{"nodes":[{}]}}"#, nodes.join(",")));
        let mut places: Vec<_> = drawn.nodes.iter().map(|node| (node.x, node.y)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 50);
    }
}
