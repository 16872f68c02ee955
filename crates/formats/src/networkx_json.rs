//! The other JSON of networkx: adjacency data (`networkx.adjacency_data`), which lists the neighbours of each node in the
//! order of the nodes, and Cytoscape data (`networkx.cytoscape_data`, also what Cytoscape.js exports).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Format;
use super::element_builder::EdgeDirection;
use super::error::ImportError;
use super::json;
use super::loose_graph::LooseGraph;
use super::node_link::{attributes, direction, document, graph_attributes, id, need};
use super::source_position::SourcePosition;
use super::topology_builder::TopologyBuilder;

/// Reads adjacency data. An undirected edge is listed at both of its ends and read once.
pub(super) fn read_adjacency(text: &str) -> Result<TopologyBuilder, ImportError> {
    let value = json::parse(text)?;
    let document = document(&value)?;
    let mut graph = LooseGraph::new(Format::Adjacency);
    graph.attributes = graph_attributes(document);
    let direction = direction(document);
    let mut ids = Vec::new();
    for (at, node) in json::objects(need(document, &["nodes"])?, "nodes")?.into_iter().enumerate() {
        let place = SourcePosition::element(format!("nodes[{at}]"));
        let id = id(node, &["id"], &place)?;
        ids.push(id.clone());
        graph.add_node(id, attributes(node), place)?;
    }
    let lists = need(document, &["adjacency"])?.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if lists.len() != ids.len() {
        let problem = format!("must have a list for each of the {} nodes, not {}", ids.len(), lists.len());
        return Err(ImportError::Json { at: SourcePosition::element("adjacency"), problem });
    }
    let mut seen = BTreeSet::new();
    for (at, (from, neighbours)) in ids.iter().zip(lists).enumerate() {
        let path = format!("adjacency[{at}]");
        for (n, neighbour) in json::objects(Some(neighbours), &path)?.into_iter().enumerate() {
            let place = SourcePosition::element(format!("{path}[{n}]"));
            let to = id(neighbour, &["id"], &place)?;
            let (low, high) = if *from <= to { (from, &to) } else { (&to, from) };
            let key = neighbour.get("key").map(Value::to_string);
            if direction == EdgeDirection::Both && !seen.insert((low.clone(), high.clone(), key)) {
                continue;
            }
            let mut members = neighbour.clone();
            // The id of the neighbour is no name of the edge.
            members.remove("id");
            graph.add_edge((from.as_str(), to.as_str()), direction.clone(), attributes(&members), place)?;
        }
    }
    graph.into_builder()
}

/// Reads Cytoscape data: `elements` with `nodes` and `edges`, or a plain list of both.
pub(super) fn read_cytoscape(text: &str) -> Result<TopologyBuilder, ImportError> {
    let value = json::parse(text)?;
    let document = document(&value)?;
    let mut graph = LooseGraph::new(Format::Cytoscape);
    graph.attributes = graph_attributes(document);
    let direction = direction(document);
    let mut lists: Vec<(String, &Map<String, Value>)> = Vec::new();
    match need(document, &["elements"])? {
        Some(Value::Object(elements)) => {
            for name in ["nodes", "edges"] {
                let path = format!("elements.{name}");
                let items = json::objects(need(elements, &[name])?, &path)?;
                lists.extend(items.into_iter().enumerate().map(|(at, item)| (format!("{path}[{at}]"), item)));
            }
        }
        elements => {
            let items = json::objects(elements, "elements")?;
            lists.extend(items.into_iter().enumerate().map(|(at, item)| (format!("elements[{at}]"), item)));
        }
    }
    for (path, element) in lists {
        let place = SourcePosition::element(path);
        let missing = || ImportError::Missing { at: place.clone(), field: "data" };
        let data = element.get("data").and_then(Value::as_object).ok_or_else(missing)?;
        let mut found = attributes(data);
        if data.contains_key("source") || element.get("group").and_then(Value::as_str) == Some("edges") {
            let ends = (id(data, &["source"], &place)?, id(data, &["target"], &place)?);
            graph.add_edge(ends, direction.clone(), found, place)?;
            continue;
        }
        for axis in ["x", "y"] {
            let position = element.get("position").and_then(|position| json::scalar(position.get(axis)?));
            found.set(axis, &position.unwrap_or_default());
        }
        graph.add_node(id(data, &["id"], &place)?, found, place)?;
    }
    graph.into_builder()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Imported, ReadOptions};
    use kernel::topology::Position;

    fn built(draft: Result<TopologyBuilder, ImportError>) -> Imported {
        draft.unwrap().build(&ReadOptions::default()).unwrap()
    }

    fn capacities(imported: &Imported) -> Vec<(&str, u64)> {
        imported.topology.links().map(|(_, link)| (link.name.as_str(), link.capacity.as_bps())).collect()
    }

    const ADJACENCY: &str = r#"{"directed": false, "multigraph": true, "graph": [["capacity_unit", "Mbps"]],
        "nodes": [{"id": "x"}, {"id": 2}], "adjacency": [[{"capacity": 10, "id": 2, "key": 0}, {"capacity": 20, "id": 2, "key": 1}],
        [{"capacity": 10, "id": "x", "key": 0}, {"capacity": 20, "id": "x", "key": 1}]]}"#;

    #[test]
    fn adjacency_lists_an_undirected_edge_twice() {
        let imported = built(read_adjacency(ADJACENCY));
        let expected = [("x-2", 10_000_000), ("x-2#2", 20_000_000), ("2-x", 10_000_000), ("2-x#2", 20_000_000)];
        assert_eq!(capacities(&imported), expected);
        assert_eq!(imported.report.warnings, []);
        let directed = ADJACENCY.replace("false", "true");
        let twins = |imported: &Imported| imported.topology.links().filter(|(_, link)| link.twin.is_some()).count();
        assert_eq!((twins(&imported), twins(&built(read_adjacency(&directed)))), (4, 0));
        let error = read_adjacency(&ADJACENCY.replace("[{\"capacity\": 10, \"id\": \"x\"", "5, [{\"id\": \"x\""))
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "adjacency: must have a list for each of the 2 nodes, not 3");
    }

    #[test]
    fn cytoscape_data_is_grouped_or_flat() {
        let grouped = r#"{"data": {"capacity_unit": "Gbit/s"}, "directed": true, "elements": {
            "nodes": [{"data": {"id": "x", "name": "Ex"}, "position": {"x": 1, "y": 2.5}}, {"data": {"id": "y"}}],
            "edges": [{"data": {"id": "e", "source": "x", "target": "y", "capacity": 3}}]}}"#;
        let imported = built(read_cytoscape(grouped));
        assert_eq!(capacities(&imported), [("e", 3_000_000_000)]);
        let (_, node) = imported.topology.nodes().next().unwrap();
        assert_eq!(
            (node.label.as_deref(), node.position),
            (Some("Ex"), Some(Position::Drawing { x_milli: 1_000, y_milli: 2_500 }))
        );
        let flat = r#"{"elements": [{"data": {"id": 1}}, {"data": {"id": 2}},
            {"group": "edges", "data": {"source": 1, "target": 2, "bw": "1 Gbit/s"}}]}"#;
        assert_eq!(capacities(&built(read_cytoscape(flat))), [("1-2", 1_000_000_000), ("2-1", 1_000_000_000)]);
        for (text, said) in [
            ("{\"elements\": {\"nodes\": []}}", "line 1: 'edges' is missing"),
            ("{\"elements\": [{}]}", "elements[0]: 'data' is missing"),
            ("{\"data\": []}", "line 1: 'elements' is missing"),
        ] {
            assert_eq!(read_cytoscape(text).err().unwrap().to_string(), said);
        }
    }
}
