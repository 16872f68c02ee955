//! GraphML (graphml.graphdrawing.org, specification 1.0): the Topology Zoo's, networkx's, yEd's and our own. Ports and
//! hyperedges are not read; nested graphs are flattened. Of several graphs beside each other one is chosen by its id.
//!
//! yEd writes `edgedefault="directed"` whatever is drawn: where an edge has arrowheads, or none, those say its direction.

mod write;

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::element_builder::EdgeDirection;
use super::error::ImportError;
use super::loose_graph::LooseGraph;
use super::networks;
use super::source_position::{SourcePosition, excerpt};
use super::topology_builder::TopologyBuilder;
use super::xml::{Tag, Xml, XmlEvent};
use super::{ATTRIBUTE_NAME_MAX_BYTES, Format, GRAPHML_KEYS_MAX};

pub(super) use write::write;

/// Reads a document.
pub(super) fn read(text: &str, network: Option<&str>) -> Result<TopologyBuilder, ImportError> {
    let mut xml = Xml::new(text);
    let mut reader =
        GraphMl { graphs: Vec::new(), keys: BTreeMap::new(), open: Vec::new(), drawn: DrawnEdges::default() };
    while let Some(step) = xml.step()? {
        match step {
            XmlEvent::Open(tag) => reader.open(tag)?,
            XmlEvent::Text(text) => reader.text(&text),
            XmlEvent::Close => reader.close()?,
        }
    }
    let graph = networks::choose(reader.graphs, network)?;
    let missing = || ImportError::Missing { at: SourcePosition::line(1).of("<graphml>"), field: "graph" };
    graph.ok_or_else(missing)?.into_builder()
}

/// A `<key>`: the name behind the id that `<data>` refers to, and what holds where there is no data.
#[derive(Default)]
struct GraphmlKey {
    name: String,
    domain: String,
    default: String,
}

/// An element that has begun.
enum OpenElement {
    Graph {
        direction: EdgeDirection,
        attributes: Attributes,
        line: usize,
    },
    Node {
        id: String,
        attributes: Attributes,
        line: usize,
    },
    Edge {
        ends: (String, String),
        direction: EdgeDirection,
        attributes: Attributes,
        line: usize,
    },
    Key {
        id: String,
    },
    Default {
        key: String,
    },
    Data {
        key: String,
        text: String,
    },
    /// yEd's drawing of a name: its text is the label.
    Label {
        text: String,
    },
    Other,
}

struct GraphMl {
    /// The graphs that stand side by side, by id.
    graphs: Vec<(String, LooseGraph)>,
    keys: BTreeMap<String, GraphmlKey>,
    open: Vec<OpenElement>,
    drawn: DrawnEdges,
}

/// What of the current graph is drawn in a way that says more than its edges' attributes do.
#[derive(Default)]
struct DrawnEdges {
    without_arrowheads: usize,
    groups: Vec<String>,
}

impl GraphMl {
    fn open(&mut self, tag: Tag) -> Result<(), ImportError> {
        if self.open.is_empty() && tag.name != "graphml" {
            let at = SourcePosition::line(tag.line);
            return Err(ImportError::Syntax { at, expected: "<graphml>", found: format!("<{}>", tag.name) });
        }
        let opened = match tag.name.as_str() {
            "graph" => self.graph(&tag),
            "node" => {
                OpenElement::Node { id: tag.need("id")?.to_owned(), attributes: Attributes::default(), line: tag.line }
            }
            "edge" => self.edge(&tag)?,
            "key" => self.key(&tag)?,
            "default" => match self.open.last() {
                Some(OpenElement::Key { id }) => OpenElement::Default { key: id.clone() },
                _ => OpenElement::Other,
            },
            "data" => OpenElement::Data { key: tag.get("key").unwrap_or_default().to_owned(), text: String::new() },
            "NodeLabel" | "EdgeLabel" => OpenElement::Label { text: String::new() },
            "Geometry" => {
                for (attribute, key) in [("x", "graphics.x"), ("y", "graphics.y")] {
                    self.set(key, tag.get(attribute).unwrap_or_default());
                }
                OpenElement::Other
            }
            "Arrows" => {
                for (attribute, key) in [("source", "arrows.source"), ("target", "arrows.target")] {
                    self.set(key, tag.get(attribute).unwrap_or_default());
                }
                OpenElement::Other
            }
            "hyperedge" => {
                let message = "a hyperedge joins any number of nodes: left out";
                if let Some((_, graph)) = self.graphs.last_mut() {
                    graph.warnings.push(SourcePosition::line(tag.line).of("<hyperedge>"), message);
                }
                OpenElement::Other
            }
            _ => OpenElement::Other,
        };
        self.open.push(opened);
        Ok(())
    }

    fn graph(&mut self, tag: &Tag) -> OpenElement {
        if let Some(OpenElement::Node { id, .. }) = self.open.last() {
            self.drawn.groups.push(id.clone());
        }
        if !self.open.iter().any(|open| matches!(open, OpenElement::Graph { .. })) {
            let id = tag.get("id").map_or_else(|| format!("graph {}", self.graphs.len() + 1), str::to_owned);
            self.graphs.push((id, LooseGraph::new(Format::GraphMl)));
            self.drawn = DrawnEdges::default();
        }
        let direction = direction(tag.get("edgedefault") == Some("directed"));
        OpenElement::Graph { direction, attributes: Attributes::default(), line: tag.line }
    }

    fn edge(&self, tag: &Tag) -> Result<OpenElement, ImportError> {
        let graph = self.open.iter().rev().find_map(|open| match open {
            OpenElement::Graph { direction, .. } => Some(direction.clone()),
            _ => None,
        });
        let mut attributes = Attributes::default();
        attributes.set("id", tag.get("id").unwrap_or_default());
        attributes.set("directed", tag.get("directed").unwrap_or_default());
        let direction = match tag.get("directed") {
            Some(text) => direction(boolean(text).ok_or_else(|| ImportError::Value {
                at: SourcePosition::line(tag.line).of("<edge>"),
                field: "directed",
                expected: "true, false, 1 or 0",
                found: excerpt(text),
            })?),
            None => graph.unwrap_or(EdgeDirection::Both),
        };
        let ends = (tag.need("source")?.to_owned(), tag.need("target")?.to_owned());
        Ok(OpenElement::Edge { ends, direction, attributes, line: tag.line })
    }

    fn key(&mut self, tag: &Tag) -> Result<OpenElement, ImportError> {
        let id = tag.need("id")?.to_owned();
        let at = SourcePosition::line(tag.line);
        if self.keys.len() >= GRAPHML_KEYS_MAX {
            return Err(ImportError::TooMany { at, what: "keys", max: GRAPHML_KEYS_MAX });
        }
        let name = Some(tag.get("attr.name").unwrap_or(&id)).filter(|name| name.len() <= ATTRIBUTE_NAME_MAX_BYTES);
        let name = name.unwrap_or_default().to_owned();
        let domain = tag.get("for").unwrap_or("all").to_owned();
        self.keys.insert(id.clone(), GraphmlKey { name, domain, default: String::new() });
        Ok(OpenElement::Key { id })
    }

    fn text(&mut self, piece: &str) {
        match self.open.last_mut() {
            Some(OpenElement::Data { text, .. } | OpenElement::Label { text }) => text.push_str(piece),
            Some(OpenElement::Default { key }) => {
                if let Some(key) = self.keys.get_mut(key.as_str())
                    && key.default.len() + piece.len() <= ATTRIBUTE_NAME_MAX_BYTES
                {
                    key.default.push_str(piece);
                }
            }
            _ => {}
        }
    }

    fn close(&mut self) -> Result<(), ImportError> {
        match self.open.pop() {
            Some(OpenElement::Data { key, text }) => {
                if let Some(name) = self.keys.get(&key).map(|key| key.name.clone()) {
                    self.set(&name, &text);
                }
            }
            Some(OpenElement::Label { text }) => self.set("label", &text),
            Some(OpenElement::Node { id, attributes, line }) => {
                if let Some((_, graph)) = self.graphs.last_mut() {
                    graph.add_node(id, attributes, SourcePosition::line(line))?;
                }
            }
            Some(OpenElement::Edge { ends, direction, attributes, line }) => {
                let (ends, direction) = self.drawn.directed(ends, direction, &attributes);
                if let Some((_, graph)) = self.graphs.last_mut() {
                    graph.add_edge(ends, direction, attributes, SourcePosition::line(line))?;
                }
            }
            Some(OpenElement::Graph { attributes, line, .. }) => self.end_graph(attributes, line),
            _ => {}
        }
        Ok(())
    }

    fn end_graph(&mut self, attributes: Attributes, line: usize) {
        if self.open.iter().any(|open| matches!(open, OpenElement::Graph { .. })) {
            return;
        }
        let Some((_, graph)) = self.graphs.last_mut() else { return };
        graph.attributes = attributes;
        for key in self.keys.values() {
            let concerns = |domain: &str| key.domain == domain || key.domain == "all";
            if concerns("node") {
                graph.node_defaults.set(&key.name, &key.default);
            }
            if concerns("edge") {
                graph.edge_defaults.set(&key.name, &key.default);
            }
        }
        let at = || SourcePosition::line(line).of("<graph>");
        let DrawnEdges { without_arrowheads, groups } = std::mem::take(&mut self.drawn);
        if without_arrowheads > 0 {
            let message = format!("{without_arrowheads} edges are drawn without arrowheads: taken as going both ways");
            graph.warnings.push(at(), message);
        }
        let dropped = graph.drop_unconnected(&groups);
        for group in &groups {
            let what = if dropped.contains(group) {
                "left out: no edge ends there"
            } else {
                "read as a node: edges end there"
            };
            let message = format!("the group '{}' is {what}; the nodes within are read", excerpt(group));
            graph.warnings.push(at(), message);
        }
    }

    /// Sets an attribute of the innermost node, edge or graph.
    fn set(&mut self, key: &str, value: &str) {
        for open in self.open.iter_mut().rev() {
            if let OpenElement::Node { attributes, .. }
            | OpenElement::Edge { attributes, .. }
            | OpenElement::Graph { attributes, .. } = open
            {
                return attributes.set(key, value);
            }
        }
    }
}

impl DrawnEdges {
    /// The ends and the direction of an edge, by its arrowheads where it is drawn and `directed` says nothing.
    fn directed(
        &mut self,
        (source, target): (String, String),
        direction: EdgeDirection,
        attributes: &Attributes,
    ) -> ((String, String), EdgeDirection) {
        let arrows = attributes.get("arrowssource").zip(attributes.get("arrowstarget"));
        match arrows.filter(|_| attributes.get("directed").is_none()) {
            None => ((source, target), direction),
            Some(("none", "none")) => {
                self.without_arrowheads += usize::from(direction != EdgeDirection::Both);
                ((source, target), EdgeDirection::Both)
            }
            Some(("none", _)) => ((source, target), EdgeDirection::Forward),
            Some((_, "none")) => ((target, source), EdgeDirection::Forward),
            Some(_) => ((source, target), EdgeDirection::Both),
        }
    }
}

/// An XML Schema boolean (XSD 1.1 Part 2 §3.3.2).
fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn direction(directed: bool) -> EdgeDirection {
    if directed { EdgeDirection::Forward } else { EdgeDirection::Both }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Imported, ReadOptions};
    use kernel::topology::{CapacitySource, Position};

    fn imported(text: &str) -> Imported {
        read(text, None).unwrap().build(&ReadOptions::default()).unwrap()
    }

    #[test]
    fn the_zoo_says_speed_in_several_ways() {
        let imported = imported(
            r#"<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
                <key attr.name="label" for="node" id="d0"/><key attr.name="Latitude" for="node" id="d1"/>
                <key attr.name="Longitude" for="node" id="d2"/><key attr.name="LinkSpeedRaw" for="edge" id="d3"/>
                <key attr.name="LinkSpeed" for="edge" id="d4"/><key attr.name="LinkSpeedUnits" for="edge" id="d5"/>
                <key attr.name="LinkLabel" for="edge" id="d6"/><key attr.name="label" for="graph" id="d7"/>
                <graph edgedefault="undirected"><data key="d7">Zoo</data>
                  <node id="0"><data key="d0">A &amp; B</data><data key="d1">95</data><data key="d2">0</data></node>
                  <node id="1"><data key="d1">1.5</data><data key="d2">-2</data></node>
                  <edge source="0" target="1"><data key="d3">2500000000.0</data></edge>
                  <edge source="0" target="1"><data key="d4">155</data><data key="d5">M</data></edge>
                  <edge source="0" target="1"><data key="d6">OC-192</data></edge>
                  <edge source="0" target="1"/>
                </graph></graphml>"#,
        );
        let link = |name| imported.topology.link(imported.topology.link_named(name).unwrap()).unwrap();
        let known =
            ["0-1", "0-1#2", "0-1#3", "1-0#4"].map(|name| (link(name).capacity.as_bps(), link(name).capacity_from));
        assert_eq!(known[0], (2_500_000_000, CapacitySource::Given));
        assert_eq!(known[1], (155_000_000, CapacitySource::Given));
        assert_eq!(known[2], (9_953_280_000, CapacitySource::Label));
        assert_eq!(known[3], (10_000_000_000, CapacitySource::Default));
        let nodes: Vec<_> = imported.topology.nodes().map(|(_, node)| node).collect();
        assert_eq!((nodes[0].label.as_deref(), nodes[0].position), (Some("A & B"), None));
        let place = Position::Geographic { latitude_udeg: 1_500_000, longitude_udeg: -2_000_000 };
        assert_eq!(nodes[1].position, Some(place));
        assert_eq!(imported.report.warnings.len(), 1, "the latitude of 95");
    }

    #[test]
    fn yed_keeps_labels_and_places_in_drawings() {
        let imported = imported(
            r#"<graphml xmlns:y="http://www.yworks.com/xml/graphml"><key for="node" id="d6" yfiles.type="nodegraphics"/>
                <key for="edge" id="d9" attr.name="bandwidth"><default>10M</default></key><graph edgedefault="directed">
                <node id="n0"><data key="d6"><y:ShapeNode><y:Geometry x="1.5" y="-2"/><y:NodeLabel>Zürich<y:x/>
                </y:NodeLabel></y:ShapeNode></data></node><node id="n1"/>
                <edge id="e0" source="n0" target="n1"/></graph></graphml>"#,
        );
        let (_, node) = imported.topology.nodes().next().unwrap();
        assert_eq!(node.label.as_deref(), Some("Zürich"));
        assert_eq!(node.position, Some(Position::Drawing { x_milli: 1_500, y_milli: -2_000 }));
        assert_eq!(imported.topology.link_count(), 1);
        let (_, link) = imported.topology.links().next().unwrap();
        assert_eq!((link.name.as_str(), link.capacity.as_bps()), ("e0", 10_000_000));
    }

    const KEYS: &str = r#"<graphml><key id="c" for="edge" attr.name="capacity_bps"/>"#;

    #[test]
    fn directed_is_an_xml_schema_boolean() {
        for default in ["directed", "undirected"] {
            let edge = |id: &str, directed: &str| {
                format!("<edge id='{id}' source='a' target='b' directed='{directed}'><data key='c'>7</data></edge>")
            };
            let graph = |edges: String| {
                format!("{KEYS}<graph edgedefault='{default}'><node id='a'/><node id='b'/>{edges}</graph></graphml>")
            };
            let edges = edge("w", "1") + &edge("x", "true") + &edge("y", "0") + &edge("z", "false");
            let imported = imported(&graph(edges));
            let names: Vec<&str> = imported.topology.links().map(|(_, link)| link.name.as_str()).collect();
            assert_eq!(names, ["w", "x", "y", "z", "y~", "z~"], "{default}");
            let error = read(&graph(edge("w", "yes")), None).err().unwrap();
            assert!(error.to_string().contains("true, false, 1 or 0, not 'yes'"), "{error}");
        }
    }

    #[test]
    fn arrowheads_say_the_direction_and_groups_are_flattened() {
        let edge = |id: &str, source: &str, target: &str| {
            let arrows = format!("<y:PolyLineEdge><y:Arrows source='{source}' target='{target}'/></y:PolyLineEdge>");
            format!("<edge id='{id}' source='a' target='g::b'><data key='d'>{arrows}</data></edge>")
        };
        let edges = [("l", "none", "none"), ("f", "none", "delta"), ("r", "standard", "none"), ("b", "white", "plain")];
        let edges: String = edges.iter().map(|(id, source, target)| edge(id, source, target)).collect();
        let group = "<node id='g'><graph edgedefault='directed' id='g:'><node id='g::b'/></graph></node>";
        let imported = imported(&format!(
            "<graphml xmlns:y='y'><key id='d' for='edge' yfiles.type='edgegraphics'/><graph edgedefault='directed'>\
             <node id='a'/>{group}{edges}</graph></graphml>"
        ));
        let ends = |link: &kernel::topology::Link| (link.name.to_string(), link.from.0, link.to.0);
        let links: Vec<_> = imported.topology.links().map(|(_, link)| ends(link)).collect();
        let expected = [("l", 0, 1), ("f", 0, 1), ("b", 0, 1), ("l~", 1, 0), ("r", 1, 0), ("b~", 1, 0)];
        assert_eq!(links, expected.map(|(name, from, to)| (name.to_owned(), from, to)));
        let said: Vec<String> = imported.report.warnings.iter().map(|warning| warning.message.clone()).collect();
        assert_eq!(said[0], "1 edges are drawn without arrowheads: taken as going both ways");
        assert_eq!(said[1], "the group 'g' is left out: no edge ends there; the nodes within are read");
    }

    #[test]
    fn units_of_the_graph_and_several_graphs() {
        let graph = |id: &str, capacity: &str| {
            format!(
                "<graph id='{id}' edgedefault='undirected'><node id='a'/><node id='b'/><edge source='a' target='b'>\
                 <data key='w'>{capacity}</data></edge><data key='u'>Gbps</data></graph>"
            )
        };
        let keys = "<key id='w' for='edge' attr.name='capacity'/><key id='u' for='graph' attr.name='capacity_unit'/>";
        let text = format!("<graphml>{keys}{}{}</graphml>", graph("ip", "2.5"), graph("optical", "100"));
        let chosen = read(&text, Some("optical")).unwrap().build(&ReadOptions::default()).unwrap();
        assert_eq!(chosen.topology.links().next().unwrap().1.capacity.as_bps(), 100_000_000_000);
        let error = read(&text, None).err().unwrap();
        assert!(error.to_string().contains("choose one of 'ip', 'optical'"), "{error}");
    }

    #[test]
    fn what_is_not_graphml_is_refused() {
        assert!(matches!(read("<html/>", None), Err(ImportError::Syntax { .. })));
        let missing = read("<graphml><graph>\n<node/></graph></graphml>", None).err().unwrap();
        assert_eq!(missing.to_string(), "line 2, <node>: 'id' is missing");
    }
}
