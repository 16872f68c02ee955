//! networkx node-link JSON (`networkx.node_link_data`): `links` up to networkx 3.3, `edges` since. Ids may be numbers,
//! strings or lists.

use serde_json::{Map, Value, json};

use kernel::topology::Topology;

use super::attributes::Attributes;
use super::element_builder::EdgeDirection;
use super::error::ImportError;
use super::json;
use super::loose_graph::LooseGraph;
use super::native::document_of;
use super::source_position::SourcePosition;
use super::topology_builder::TopologyBuilder;
use super::{ATTRIBUTE_NAME_MAX_BYTES, Format};

/// Reads a document.
pub(super) fn read(text: &str) -> Result<TopologyBuilder, ImportError> {
    let value = json::parse(text)?;
    let document = document(&value)?;
    let mut graph = LooseGraph::new(Format::NodeLink);
    graph.attributes = graph_attributes(document);
    let direction = direction(document);
    for (at, node) in json::objects(need(document, &["nodes"])?, "nodes")?.into_iter().enumerate() {
        let place = SourcePosition::element(format!("nodes[{at}]"));
        graph.add_node(id(node, &["id"], &place)?, attributes(node), place)?;
    }
    let list = if document.contains_key("links") { "links" } else { "edges" };
    for (at, link) in json::objects(need(document, &["edges", "links"])?, list)?.into_iter().enumerate() {
        let place = SourcePosition::element(format!("{list}[{at}]"));
        let ends = (id(link, &["source", "from"], &place)?, id(link, &["target", "to"], &place)?);
        graph.add_edge(ends, direction.clone(), attributes(link), place)?;
    }
    graph.into_builder()
}

/// The object that a document is.
pub(super) fn document(value: &Value) -> Result<&Map<String, Value>, ImportError> {
    let not_an_object =
        || ImportError::Syntax { at: SourcePosition::line(1), expected: "an object", found: "a list".to_owned() };
    value.as_object().ok_or_else(not_an_object)
}

/// The first of the members that is there; one of them must be, or the document is of another kind.
pub(super) fn need<'a>(
    document: &'a Map<String, Value>,
    names: &[&'static str],
) -> Result<Option<&'a Value>, ImportError> {
    let found = names.iter().find_map(|name| document.get(*name));
    let field = names.first().copied().unwrap_or_default();
    found.map(Some).ok_or_else(|| ImportError::Missing { at: SourcePosition::line(1), field })
}

/// Undirected unless the document says otherwise.
pub(super) fn direction(document: &Map<String, Value>) -> EdgeDirection {
    let directed = document.get("directed").and_then(Value::as_bool).unwrap_or(false);
    if directed { EdgeDirection::Forward } else { EdgeDirection::Both }
}

/// The attributes of the graph: an object, or a list of pairs as networkx writes where names need not be text.
pub(super) fn graph_attributes(document: &Map<String, Value>) -> Attributes {
    let mut found = Attributes::default();
    for member in ["graph", "data"] {
        match document.get(member) {
            Some(Value::Object(members)) => return attributes(members),
            Some(Value::Array(pairs)) => {
                for pair in pairs {
                    if let Some([Value::String(name), value]) = pair.as_array().map(Vec::as_slice) {
                        found.set(name, &flat(value));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// A node id, under the first of the names that is there. Text stands for itself, all else for its JSON.
pub(super) fn id(
    members: &Map<String, Value>,
    names: &[&'static str],
    at: &SourcePosition,
) -> Result<String, ImportError> {
    let value = names.iter().find_map(|name| members.get(*name));
    let field = names.first().copied().unwrap_or_default();
    let value = value.ok_or_else(|| ImportError::Missing { at: at.clone(), field })?;
    Ok(json::scalar(value).unwrap_or_else(|| value.to_string()))
}

/// All members as text; those of objects within as `outer.inner`.
pub(super) fn attributes(members: &Map<String, Value>) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in members {
        match value {
            Value::Object(inner) if name.len() <= ATTRIBUTE_NAME_MAX_BYTES => {
                inner.iter().for_each(|(key, value)| attributes.set(&format!("{name}.{key}"), &flat(value)));
            }
            value => attributes.set(name, &flat(value)),
        }
    }
    attributes
}

/// A value as text: scalars plainly, lists of scalars with commas, nothing for all else.
pub(super) fn flat(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().filter_map(json::scalar).collect::<Vec<_>>().join(","),
        value => json::scalar(value).unwrap_or_default(),
    }
}

/// The members of every node and link, by the names that they have in the native format.
pub(super) struct NativeMembers {
    pub(super) nodes: Vec<Map<String, Value>>,
    pub(super) links: Vec<Map<String, Value>>,
}

/// Takes a topology apart, for formats that hold attributes of any name.
pub(super) fn members(topology: &Topology) -> NativeMembers {
    let object = |value| if let Ok(Value::Object(members)) = value { members } else { Map::new() };
    let document = document_of(topology);
    NativeMembers {
        nodes: document.nodes.iter().map(|node| object(serde_json::to_value(node))).collect(),
        links: document.links.iter().map(|link| object(serde_json::to_value(link))).collect(),
    }
}

/// Writes a directed multigraph whose attributes have the names of the native format; the link's id is also its `key`.
pub(super) fn write(topology: &Topology) -> String {
    let NativeMembers { nodes, mut links } = members(topology);
    for link in &mut links {
        for (name, renamed) in [("from", "source"), ("to", "target")] {
            let end = link.remove(name).unwrap_or_default();
            link.insert(renamed.to_owned(), end);
        }
        let key = link.get("id").cloned().unwrap_or_default();
        link.insert("key".to_owned(), key);
    }
    let document = json!({"directed": true, "multigraph": true, "graph": {}, "nodes": nodes, "edges": links});
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Imported, ReadOptions};
    use kernel::topology::{CapacitySource, Position};

    fn imported(text: &str) -> Imported {
        read(text).unwrap().build(&ReadOptions::default()).unwrap()
    }

    #[test]
    fn ids_of_any_kind_and_bare_capacities() {
        let imported = imported(
            r#"{"directed": true, "multigraph": false, "graph": {}, "nodes": [
                {"id": 0, "pos": [1.5, -2]}, {"id": "b", "label": "Bee"}, {"id": [1, "x"], "lat": "1", "lon": 2}],
                "links": [{"source": 0, "target": "b", "capacity": 1000}, {"source": "b", "target": 0, "bw": "10 Mbps"},
                {"source": [1, "x"], "target": 0, "capacity_bps": 7, "delay": "2.5ms", "weight": 3.6}]}"#,
        );
        let link = |name| imported.topology.link(imported.topology.link_named(name).unwrap()).unwrap();
        assert_eq!((link("0-b").capacity.as_bps(), link("0-b").capacity_from), (1_000, CapacitySource::Given));
        assert_eq!(link("b-0").capacity.as_bps(), 10_000_000);
        let odd = link("[1,\"x\"]-0");
        assert_eq!((odd.capacity.as_bps(), odd.delay.0, odd.te_metric), (7, 2_500, 4));
        assert_eq!(imported.report.warnings.len(), 1);
        assert!(imported.report.warnings[0].message.contains("no unit"), "{}", imported.report.warnings[0]);
        let (_, first) = imported.topology.nodes().next().unwrap();
        assert_eq!(first.position, Some(Position::Drawing { x_milli: 1_500, y_milli: 2_000 }));
    }

    #[test]
    fn a_document_without_its_lists_is_refused() {
        for (text, missing) in [("{\"directed\": true}", "nodes"), ("{\"graph\": {}, \"nodes\": []}", "edges")] {
            assert_eq!(read(text).err().unwrap().to_string(), format!("line 1: '{missing}' is missing"));
        }
        let pairs = r#"{"graph": [["capacity_unit", "Gbps"]], "nodes": [{"id": 1}, {"id": 2}],
            "links": [{"source": 1, "target": 2, "capacity": 2}]}"#;
        assert_eq!(imported(pairs).topology.links().next().unwrap().1.capacity.as_bps(), 2_000_000_000);
    }

    #[test]
    fn undirected_unless_said_otherwise() {
        let text = r#"{"nodes": [{"id": 1}, {"id": 2}], "edges": [{"source": 1, "target": 2}]}"#;
        assert_eq!(imported(text).topology.link_count(), 2);
        let error = read(r#"{"nodes": [{"id": 1}, 2]}"#).err().unwrap();
        assert_eq!(error.to_string(), "nodes[1]: must be an object");
        let error = read(r#"{"nodes": [{"id": 1}], "edges": [{"source": 1}]}"#).err().unwrap();
        assert_eq!(error.to_string(), "edges[0]: 'target' is missing");
    }
}
