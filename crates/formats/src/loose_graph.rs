//! A graph as GraphML, GML, JSON graphs and edge lists give it: nodes and edges with attributes of any name. Values are
//! read once all of it is there, since what one attribute means may stand in another place: units on the graph (FNSS), the
//! meaning of `pos` in the lengths of edges (TopoHub).

use std::collections::{BTreeMap, BTreeSet};

use kernel::topology::{LINKS_MAX, NODES_MAX, Position};

use super::Format;
use super::attributes::{AttributeReader, Attributes, GraphUnits, PosMeaning};
use super::distance::great_circle_km;
use super::element_builder::EdgeDirection;
use super::error::ImportError;
use super::quantity::Unit;
use super::source_position::{SourcePosition, Warnings, excerpt};
use super::topology_builder::TopologyBuilder;

/// The ratios of a length along a link to the great circle that make kilometres plausible: a little below one for rounded
/// coordinates, and well above for fibres that go round about.
const PLAUSIBLE_DETOUR: std::ops::RangeInclusive<f64> = 0.8..=4.0;
/// Great circles below this many kilometres say nothing about units.
const TELLING_DISTANCE_KM: f64 = 1.0;

/// A graph before its values are read.
pub(super) struct LooseGraph {
    format: Format,
    pub(super) attributes: Attributes,
    pub(super) node_defaults: Attributes,
    pub(super) edge_defaults: Attributes,
    nodes: Vec<LooseNode>,
    edges: Vec<LooseEdge>,
    pub(super) warnings: Warnings,
}

struct LooseNode {
    id: String,
    attributes: Attributes,
    at: SourcePosition,
}

struct LooseEdge {
    ends: (String, String),
    direction: EdgeDirection,
    attributes: Attributes,
    at: SourcePosition,
}

impl LooseGraph {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            attributes: Attributes::default(),
            node_defaults: Attributes::default(),
            edge_defaults: Attributes::default(),
            nodes: Vec::new(),
            edges: Vec::new(),
            warnings: Warnings::default(),
        }
    }

    /// Adds a node, within the kernel's limit, so that a bad file fails early.
    pub(super) fn add_node(
        &mut self,
        id: impl Into<String>,
        attributes: Attributes,
        at: SourcePosition,
    ) -> Result<(), ImportError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(ImportError::TooMany { at, what: "nodes", max: NODES_MAX });
        }
        let id = id.into();
        let at = at.of(format!("node '{}'", excerpt(&id)));
        self.nodes.push(LooseNode { id, attributes, at });
        Ok(())
    }

    /// Adds an edge, within the kernel's limit.
    pub(super) fn add_edge(
        &mut self,
        (from, to): (impl Into<String>, impl Into<String>),
        direction: EdgeDirection,
        attributes: Attributes,
        at: SourcePosition,
    ) -> Result<(), ImportError> {
        if self.edges.len() >= LINKS_MAX {
            return Err(ImportError::TooMany { at, what: "links", max: LINKS_MAX });
        }
        let ends = (from.into(), to.into());
        let at = at.of(format!("edge '{}-{}'", excerpt(&ends.0), excerpt(&ends.1)));
        self.edges.push(LooseEdge { ends, direction, attributes, at });
        Ok(())
    }

    /// Gives every edge one direction.
    pub(super) fn direct_all(&mut self, direction: &EdgeDirection) {
        self.edges.iter_mut().for_each(|edge| edge.direction = direction.clone());
    }

    /// Leaves out the nodes of the given ids, unless an edge ends there; answers those left out.
    pub(super) fn drop_unconnected(&mut self, ids: &[String]) -> BTreeSet<String> {
        let ends: BTreeSet<&str> = self.edges.iter().flat_map(|edge| [&*edge.ends.0, &*edge.ends.1]).collect();
        let dropped: BTreeSet<String> = ids.iter().filter(|id| !ends.contains(id.as_str())).cloned().collect();
        self.nodes.retain(|node| !dropped.contains(&node.id));
        dropped
    }

    /// Reads all values.
    pub(super) fn into_builder(mut self) -> Result<TopologyBuilder, ImportError> {
        let units = GraphUnits::read(&self.attributes, &mut self.warnings);
        let (pos, bare_distance) = self.coordinates_and_lengths(units);
        let mut builder = TopologyBuilder::new(self.format);
        builder.warnings = std::mem::take(&mut self.warnings);
        for node in self.nodes {
            let defaults = &self.node_defaults;
            let LooseNode { id, attributes, at } = node;
            let warnings = &mut builder.warnings;
            let reader = AttributeReader { attributes: &attributes, defaults, units, pos, warnings, at };
            let node = reader.node(id);
            builder.add_node(node)?;
        }
        for edge in self.edges {
            let defaults = &self.edge_defaults;
            let LooseEdge { ends, direction, attributes, at } = edge;
            let warnings = &mut builder.warnings;
            let reader = AttributeReader { attributes: &attributes, defaults, units, pos, warnings, at };
            let edge = reader.edge(ends, direction, bare_distance);
            builder.add_edge(edge)?;
        }
        Ok(builder)
    }

    /// What `pos` and lengths without a unit mean: degrees and kilometres (or metres) where the ones confirm the others.
    fn coordinates_and_lengths(&mut self, units: GraphUnits) -> (PosMeaning, Option<Unit>) {
        let lengths = self.bare_lengths(units);
        let Some(first) = lengths.first().copied() else { return (PosMeaning::Drawing, None) };
        let count = lengths.len();
        for pos in [PosMeaning::Drawing, PosMeaning::LongitudeLatitude] {
            let places = self.places(units, pos);
            for (name, size) in [("kilometres", 1_000_u16), ("metres", 1)] {
                let km_each = f64::from(size) / 1_000.0;
                if !self.confirms(&lengths, &places, km_each) {
                    continue;
                }
                let message = format!("lengths without a unit, of {count} edges, are taken as {name}");
                self.warnings.push(SourcePosition::element("edges"), message);
                if pos == PosMeaning::LongitudeLatitude {
                    let message = "pos is taken as longitude and latitude: the lengths of edges are the distances then";
                    self.warnings.push(SourcePosition::element("nodes"), message);
                }
                return (pos, Some(Unit { size: u64::from(size), capital_b: false }));
            }
        }
        if let Some(edge) = self.edges.get(first.0) {
            let message = format!("a length without a unit, as of {count} edges: ignored");
            self.warnings.push(edge.at.clone(), message);
        }
        (PosMeaning::Drawing, None)
    }

    /// The edges with a length that has no unit, and that length.
    fn bare_lengths(&mut self, units: GraphUnits) -> Vec<(usize, f64)> {
        if units.distance.is_some() {
            return Vec::new();
        }
        let (defaults, warnings) = (&self.edge_defaults, &mut self.warnings);
        let length = |(at, edge): (usize, &LooseEdge)| {
            let place = SourcePosition::default();
            let attributes = &edge.attributes;
            let pos = PosMeaning::Drawing;
            let reader = AttributeReader { attributes, defaults, units, pos, warnings: &mut *warnings, at: place };
            Some((at, reader.bare_distance()?))
        };
        self.edges.iter().enumerate().filter_map(length).collect()
    }

    /// The places of nodes, as they are with one meaning of `pos`.
    fn places(&self, units: GraphUnits, pos: PosMeaning) -> BTreeMap<&str, Position> {
        let mut warnings = Warnings::default();
        let place = |node: &'_ LooseNode, warnings: &mut Warnings| {
            let (attributes, defaults) = (&node.attributes, &self.node_defaults);
            AttributeReader { attributes, defaults, units, pos, warnings, at: SourcePosition::default() }.position()
        };
        self.nodes.iter().filter_map(|node| Some((node.id.as_str(), place(node, &mut warnings)?))).collect()
    }

    /// Whether all lengths between places on the globe, and there are some, are plausible in a unit of so many kilometres.
    fn confirms(&self, lengths: &[(usize, f64)], places: &BTreeMap<&str, Position>, km_each: f64) -> bool {
        let detour = |(at, length): &(usize, f64)| {
            let (from, to) = &self.edges.get(*at)?.ends;
            let place = |id: &str| places.get(id).copied();
            let km = great_circle_km(place(from)?, place(to)?).filter(|km| *km >= TELLING_DISTANCE_KM)?;
            Some(length * km_each / km)
        };
        let mut detours = lengths.iter().filter_map(detour).peekable();
        detours.peek().is_some() && detours.all(|detour| PLAUSIBLE_DETOUR.contains(&detour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Imported, ReadOptions};

    fn graph(nodes: &[(&str, &[(&str, &str)])], edge: &[(&str, &str)], graph: &[(&str, &str)]) -> Imported {
        let attributes = |pairs: &[(&str, &str)]| {
            let mut attributes = Attributes::default();
            pairs.iter().for_each(|(name, value)| attributes.set(name, value));
            attributes
        };
        let mut loose = LooseGraph::new(Format::NodeLink);
        loose.attributes = attributes(graph);
        for (id, pairs) in nodes {
            loose.add_node(*id, attributes(pairs), SourcePosition::line(1)).unwrap();
        }
        let ends = (nodes[0].0, nodes[1].0);
        loose.add_edge(ends, EdgeDirection::Both, attributes(edge), SourcePosition::line(2)).unwrap();
        loose.into_builder().unwrap().build(&ReadOptions::default()).unwrap()
    }

    fn messages(imported: &Imported) -> String {
        imported.report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn units_of_the_graph_hold_for_edges_without_their_own() {
        let nodes: [(&str, &[(&str, &str)]); 2] = [("a", &[]), ("b", &[])];
        let units = [("capacity_unit", "Mbps"), ("delay_unit", "ms"), ("distance_unit", "Km")];
        let imported = graph(&nodes, &[("capacity", "100"), ("delay", "2.5")], &units);
        let (_, link) = imported.topology.links().next().unwrap();
        assert_eq!((link.capacity.as_bps(), link.delay.0), (100_000_000, 2_500));
        assert_eq!(imported.report.warnings, []);
        let imported = graph(&nodes, &[("capacity", "2 Gbit/s"), ("length", "100")], &units);
        let (_, link) = imported.topology.links().next().unwrap();
        assert_eq!((link.capacity.as_bps(), link.delay.0, link.te_metric), (2_000_000_000, 490, 100));
        let imported = graph(&nodes, &[("capacity", "1"), ("delay", "2")], &[("delay_unit", "fortnight")]);
        let said = messages(&imported);
        assert!(said.contains("delayunit 'fortnight' is not known"), "{said}");
        assert!(said.contains("delay '2' has no unit: ignored") && said.contains("taken as bit/s"), "{said}");
    }

    #[test]
    fn pos_is_on_the_globe_where_lengths_say_so() {
        let nodes: [(&str, &[(&str, &str)]); 2] = [("n", &[("pos", "13.4,52.5")]), ("s", &[("pos", "11.6,48.1")])];
        let place = |imported: &Imported| imported.topology.nodes().next().unwrap().1.position.unwrap();
        let north = Position::Geographic { latitude_udeg: 52_500_000, longitude_udeg: 13_400_000 };
        for (length, delay_us) in [("505", 2_475), ("600000", 2_940)] {
            let imported = graph(&nodes, &[("dist", length), ("capacity_bps", "1")], &[]);
            assert_eq!(place(&imported), north);
            assert_eq!(imported.topology.links().next().unwrap().1.delay.0, delay_us);
            assert!(messages(&imported).contains("pos is taken as longitude and latitude"));
        }
        let drawn = graph(&nodes, &[("dist", "4.7"), ("capacity_bps", "1")], &[]);
        assert_eq!(place(&drawn), Position::Drawing { x_milli: 13_400, y_milli: -52_500 });
        assert!(messages(&drawn).contains("a length without a unit"), "{}", messages(&drawn));
    }
}
