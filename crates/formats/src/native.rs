//! Watermaster's own JSON: [`TopologyDocument`], which is also what the REST interface answers. Strict: unknown members, wrong
//! types and numbers out of range are refused with the path of the member at fault (`links[3].capacity_bps`).
//!
//! What [`document_of`] gives reads back to an equal topology.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use api::topology::{TopologyDocument, TopologyLink, TopologyNode};
use kernel::topology::{Link, Node, Position, Switch, Topology};
use kernel::units::{Bandwidth, Micros};

use super::attribute_values::{dpid, drawing, geographic};
use super::element_builder::{Capacity, EdgeBuilder, EdgeDirection, NodeBuilder};
use super::error::ImportError;
use super::link_state::{link_state, link_state_name};
use super::report::{Imported, source_name, source_named};
use super::source_position::{SourcePosition, excerpt};
use super::topology_builder::TopologyBuilder;
use super::{Format, LABEL_MAX_BYTES, ReadOptions, json};

/// Every node and every directed link, with all that is known of them.
pub fn document_of(topology: &Topology) -> TopologyDocument {
    let nodes = topology.nodes().map(|(_, node)| node_document(node)).collect();
    let links = topology.links().map(|(_, link)| link_document(link, topology)).collect();
    TopologyDocument { nodes, links }
}

/// Completes and checks a document. Places in errors are JSON paths.
///
/// # Errors
/// The first fault found.
pub fn topology_of(document: TopologyDocument, options: &ReadOptions) -> Result<Imported, ImportError> {
    let mut draft = TopologyBuilder::new(Format::Native);
    for (at, node) in document.nodes.into_iter().enumerate() {
        draft.add_node(node_builder(node, SourcePosition::element(format!("nodes[{at}]")))?)?;
    }
    for (at, link) in document.links.into_iter().enumerate() {
        draft.add_edge(edge_builder(link, SourcePosition::element(format!("links[{at}]")))?)?;
    }
    draft.build(options)
}

fn node_document(node: &Node) -> TopologyNode {
    let mut document = TopologyNode { id: node.name.to_string(), label: node.label.clone(), ..TopologyNode::default() };
    match node.position {
        None => {}
        Some(Position::Geographic { latitude_udeg, longitude_udeg }) => {
            document.latitude = Some(f64::from(latitude_udeg) / 1e6);
            document.longitude = Some(f64::from(longitude_udeg) / 1e6);
        }
        Some(Position::Drawing { x_milli, y_milli }) => {
            document.x = Some(from_milli(x_milli));
            document.y = Some(from_milli(y_milli));
        }
    }
    if let Some(switch) = &node.switch {
        document.dpid = Some(format!("{:016x}", switch.dpid));
        document.host_ports.clone_from(&switch.host_ports);
    }
    document
}

fn node_builder(node: TopologyNode, at: SourcePosition) -> Result<NodeBuilder, ImportError> {
    let position = node_position(&node, &at)?;
    let switch = node_switch(&node, &at)?;
    let label = node.label.filter(|label| *label != node.id);
    let bad = label.as_ref().filter(|label| label.len() > LABEL_MAX_BYTES || label.contains(char::is_control));
    if let Some(label) = bad {
        return Err(value(&at, "label", "at most 255 bytes without control characters", label));
    }
    Ok(NodeBuilder { id: node.id, label, position, switch, at })
}

fn node_position(node: &TopologyNode, at: &SourcePosition) -> Result<Option<Position>, ImportError> {
    let missing = |field| ImportError::Missing { at: at.clone(), field };
    match (node.latitude, node.longitude, node.x, node.y) {
        (None, None, None, None) => Ok(None),
        (Some(latitude), Some(longitude), None, None) => {
            let position = geographic(&latitude.to_string(), &longitude.to_string());
            let found = || format!("{latitude}, {longitude}");
            let expected = "within -90 to 90 degrees, and longitude within -180 to 180";
            position.map(Some).ok_or_else(|| value(at, "latitude", expected, &found()))
        }
        (None, None, Some(x), Some(y)) => {
            let position = drawing(&x.to_string(), &y.to_string());
            let expected = "within ±1,000,000,000, and so y";
            position.map(Some).ok_or_else(|| value(at, "x", expected, &format!("{x}, {y}")))
        }
        (Some(_), None, ..) => Err(missing("longitude")),
        (None, Some(_), ..) => Err(missing("latitude")),
        (None, None, Some(_), None) => Err(missing("y")),
        (None, None, None, Some(_)) => Err(missing("x")),
        (Some(_), Some(_), ..) => Err(value(at, "x", "absent where latitude and longitude are given", "a coordinate")),
    }
}

fn node_switch(node: &TopologyNode, at: &SourcePosition) -> Result<Option<Switch>, ImportError> {
    let Some(text) = &node.dpid else {
        if node.host_ports.is_empty() {
            return Ok(None);
        }
        return Err(ImportError::Missing { at: at.clone(), field: "dpid" });
    };
    let dpid = dpid(text).ok_or_else(|| value(at, "dpid", "1 to 16 hexadecimal digits", text))?;
    Ok(Some(Switch { dpid, host_ports: node.host_ports.clone() }))
}

fn link_document(link: &Link, topology: &Topology) -> TopologyLink {
    let node = |ix| topology.node(ix).map(|node| node.name.to_string()).unwrap_or_default();
    TopologyLink {
        id: link.name.to_string(),
        from: node(link.from),
        to: node(link.to),
        capacity_bps: Some(link.capacity.as_bps()),
        max_reservable_bps: Some(link.max_reservable.as_bps()),
        te_metric: Some(link.te_metric),
        delay_us: Some(link.delay.0),
        srlg: link.srlg.clone(),
        admin_group: link.admin_group,
        state: link_state_name(link.state),
        from_port: link.from_port,
        to_port: link.to_port,
        bidirectional: false,
        twin: link.twin.and_then(|twin| topology.link(twin)).map(|twin| twin.name.to_string()),
        capacity_from: Some(source_name(link.capacity_from).to_owned()),
    }
}

fn edge_builder(link: TopologyLink, at: SourcePosition) -> Result<EdgeBuilder, ImportError> {
    let direction = match (link.bidirectional, link.twin.clone()) {
        (false, None) => EdgeDirection::Forward,
        (false, Some(twin)) => EdgeDirection::ForwardOf { twin },
        (true, None) => EdgeDirection::Both,
        (true, Some(twin)) => return Err(value(&at, "twin", "absent from a bidirectional link", &twin)),
    };
    let capacity = link_capacity(&link, &at)?;
    let max_reservable = match link.max_reservable_bps {
        None => None,
        Some(bps) => {
            let bandwidth = Bandwidth::from_bps(bps);
            let expected = "at most 9223372036854775807";
            Some(bandwidth.ok_or_else(|| value(&at, "max_reservable_bps", expected, &bps.to_string()))?)
        }
    };
    let mut edge = EdgeBuilder::new(link.from, link.to, direction, at);
    edge.name = Some(link.id);
    edge.capacity = capacity;
    edge.max_reservable = max_reservable;
    edge.te_metric = link.te_metric;
    edge.delay = link.delay_us.map(Micros);
    edge.srlg = link.srlg;
    edge.admin_group = link.admin_group;
    edge.state = link_state(link.state);
    edge.from_port = link.from_port;
    edge.to_port = link.to_port;
    Ok(edge)
}

fn link_capacity(link: &TopologyLink, at: &SourcePosition) -> Result<Option<Capacity>, ImportError> {
    let Some(bps) = link.capacity_bps else { return Ok(None) };
    let expected = "within 1 to 9223372036854775807";
    let given = Capacity::given(bps).ok_or_else(|| value(at, "capacity_bps", expected, &bps.to_string()))?;
    let Some(source) = &link.capacity_from else { return Ok(Some(given)) };
    let expected = "given, label, bound, range, module or default";
    let source = source_named(source).ok_or_else(|| value(at, "capacity_from", expected, source))?;
    Ok(Some(Capacity { source, ..given }))
}

/// Reads a document of which the places are known by line.
pub(super) fn read(text: &str, options: &ReadOptions) -> Result<Imported, ImportError> {
    let text = &*json::plain_text(text);
    json::check_size(text)?;
    let shallow: Shallow<'_> = serde_json::from_str(text).map_err(|source| json::error(text, &source))?;
    let mut draft = TopologyBuilder::new(Format::Native);
    for (list, raws) in [("nodes", &shallow.nodes), ("links", &shallow.links)] {
        // The two lists may come in either order.
        let mut lines = super::source_position::LineIndex::new(text);
        for (at, raw) in raws.iter().enumerate() {
            let element = Element { text, raw: raw.get(), path: format!("{list}[{at}]") };
            let place = SourcePosition::line(lines.at(element.offset())).of(element.path.clone());
            if list == "nodes" {
                draft.add_node(node_builder(element.parse::<TopologyNode>()?, place)?)?;
            } else {
                draft.add_edge(edge_builder(element.parse::<TopologyLink>()?, place)?)?;
            }
        }
    }
    draft.build(options)
}

/// Writes a document with one node or link a line.
pub(super) fn write(topology: &Topology) -> String {
    let document = document_of(topology);
    let mut text = String::from("{\n  \"nodes\": [\n");
    push_lines(&mut text, &document.nodes);
    text.push_str("  ],\n  \"links\": [\n");
    push_lines(&mut text, &document.links);
    text.push_str("  ]\n}\n");
    text
}

fn push_lines<T: Serialize>(text: &mut String, items: &[T]) {
    for (at, item) in items.iter().enumerate() {
        text.push_str("    ");
        // These structures hold only strings and finite numbers: serialising them cannot fail.
        text.push_str(&serde_json::to_string(item).unwrap_or_default());
        text.push_str(if at + 1 < items.len() { ",\n" } else { "\n" });
    }
}

/// A document whose elements are still text, so that faults in them have a path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shallow<'a> {
    #[serde(borrow)]
    nodes: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    links: Vec<&'a RawValue>,
}

/// One node or link, as text within its document.
struct Element<'a> {
    text: &'a str,
    raw: &'a str,
    path: String,
}

impl Element<'_> {
    /// Where it begins in the document, of which it is a borrowed part.
    fn offset(&self) -> usize {
        self.raw.as_ptr().addr().saturating_sub(self.text.as_ptr().addr())
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, ImportError> {
        serde_json::from_str(self.raw).map_err(|source| {
            let offset = json::offset_of(self.raw, &source);
            let path = match self.member_at(offset) {
                Some(member) => format!("{}.{}", self.path, excerpt(&member)),
                None => self.path.clone(),
            };
            let at = SourcePosition::offset(self.text.as_bytes(), self.offset() + offset.saturating_sub(1)).of(path);
            ImportError::Json { at, problem: json::problem(&source) }
        })
    }

    /// The member whose value ends at, or contains, an offset within this element.
    fn member_at(&self, offset: usize) -> Option<String> {
        let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(self.raw).ok()?;
        let contains = |value: &RawValue| {
            let start = value.get().as_ptr().addr().saturating_sub(self.raw.as_ptr().addr());
            (start + 1..=start + value.get().len()).contains(&offset)
        };
        members.into_iter().find(|(_, value)| contains(value)).map(|(name, _)| name.into_owned())
    }
}

fn value(at: &SourcePosition, field: &'static str, expected: &'static str, found: &str) -> ImportError {
    let path = at.element.as_ref().map_or_else(|| field.to_owned(), |element| format!("{element}.{field}"));
    ImportError::Value { at: at.clone().of(path), field, expected, found: excerpt(found) }
}

#[expect(clippy::cast_precision_loss, reason = "what is read is below 10^12, which f64 holds exactly")]
fn from_milli(milli: i64) -> f64 {
    milli as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(text: &str) -> Result<Imported, ImportError> {
        read(text, &ReadOptions::default())
    }

    const TWO: &str = r#"{
        "nodes": [
            {"id": "a", "label": "Aa", "latitude": 47.37, "longitude": 8.54, "dpid": 1, "host_ports": [1, 2]},
            {"name": "b", "latitude": 46.2, "longitude": 6.14, "dpid": "00:00:00:00:00:00:00:0a"},
            {"id": "c", "x": -1.5, "y": 2e3}
        ],
        "links": [
            {"id": "ab", "src": "a", "dst": "b", "capacity_bps": 1000, "bidirectional": true, "from_port": 3,
             "to_port": 4, "srlg": [2, 1]},
            {"id": "bc", "source": "b", "target": "c", "capacity_bps": 5, "max_reservable_bps": 7, "te_metric": 9,
             "delay_us": 11, "admin_group": 3, "state": "maintenance", "twin": "cb"},
            {"id": "cb", "from": "c", "destination": "b", "twin": "bc"}
        ]
    }"#;

    #[test]
    fn a_document_reads_back_to_an_equal_topology() {
        let first = topology(TWO).unwrap();
        let again = topology(&write(&first.topology)).unwrap();
        assert_eq!(first.topology, again.topology);
        let document = document_of(&first.topology);
        let third = topology_of(document, &ReadOptions::default()).unwrap();
        assert_eq!(first.topology, third.topology);
        assert_eq!(again.report.delays_assumed, 0);
    }

    #[test]
    fn what_is_missing_is_assumed_and_counted() {
        let imported = topology(TWO).unwrap();
        let link = |name| imported.topology.link(imported.topology.link_named(name).unwrap()).unwrap();
        assert_eq!((link("ab").delay, link("ab").te_metric), (Micros(1_099), 1));
        assert_eq!((link("ab~").from_port, link("ab~").to_port), (Some(4), Some(3)));
        assert_eq!(link("ab~").twin, imported.topology.link_named("ab"));
        assert_eq!(link("cb").capacity.as_bps(), 10_000_000_000);
        assert_eq!((imported.report.delays_assumed, imported.report.te_metrics_assumed), (3, 3));
        let node = imported.topology.node(imported.topology.node_named("b").unwrap()).unwrap();
        assert_eq!(node.switch.as_ref().unwrap().dpid, 10);
    }

    #[test]
    fn integers_may_be_written_in_any_way() {
        let imported =
            topology(&TWO.replace("\"capacity_bps\": 1000,", "\"capacity_bps\": 1e3, \"te_metric\": 5.0,")).unwrap();
        let (_, link) = imported.topology.links().next().unwrap();
        assert_eq!((link.capacity.as_bps(), link.te_metric), (1_000, 5));
    }

    #[test]
    fn faults_have_a_path_and_a_line() {
        let link = |members: &str| {
            format!(
                "{{\"nodes\": [{{\"id\": \"a\"}}, {{\"id\": \"b\"}}],\n\"links\": [\n{{\"id\": \"l\", {members}}}]}}"
            )
        };
        for (members, element, words) in [
            ("\"from\": \"a\", \"to\": \"b\", \"capacity_bps\": 7.5", "links[0].capacity_bps", "floating point"),
            (
                "\"from\": \"a\", \"to\": \"b\", \"capacity_bps\": 0, \"te_metric\": 2",
                "links[0].capacity_bps",
                "within 1",
            ),
            ("\"from\": \"a\", \"to\": \"b\", \"srlg\": [1, -1], \"te_metric\": 2", "links[0].srlg", "-1"),
            ("\"from\": \"a\", \"to\": \"b\", \"colour\": 1", "links[0]", "unknown field `colour`"),
            ("\"from\": \"a\"", "links[0]", "missing field `to`"),
            ("\"from\": \"a\", \"to\": \"c\"", "links[0]", "no node 'c'"),
            ("\"from\": \"a\", \"to\": \"a\"", "links[0]", "self-loop"),
            ("\"from\": \"a\", \"to\": \"b\", \"twin\": \"x\"", "links[0]", "no link 'x'"),
            ("\"from\": \"a\", \"to\": \"b\", \"te_metric\": 0", "links[0]", "te_metric"),
            ("\"from\": \"a\", \"to\": \"b\", \"state\": \"odd\"", "links[0].state", "unknown variant"),
            (
                "\"from\": \"a\", \"to\": \"b\", \"capacity_bps\": 1, \"capacity_from\": \"x\"",
                "links[0].capacity_from",
                "given",
            ),
        ] {
            let error = topology(&link(members)).unwrap_err();
            assert_eq!(error.place().element.as_deref(), Some(element), "{error}");
            assert_eq!(error.line(), Some(3), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn half_a_position_is_refused() {
        for (members, words) in [
            ("\"latitude\": 1", "'longitude' is missing"),
            ("\"y\": 1", "'x' is missing"),
            ("\"x\": 1, \"y\": 1, \"latitude\": 1, \"longitude\": 1", "absent"),
            ("\"latitude\": 91, \"longitude\": 1", "within -90"),
            ("\"x\": 1e30, \"y\": 1", "1,000,000,000"),
            ("\"host_ports\": [1]", "'dpid' is missing"),
            ("\"dpid\": \"xyz\"", "hexadecimal"),
        ] {
            let error = topology(&format!("{{\"nodes\": [{{\"id\": \"a\", {members}}}]}}")).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
