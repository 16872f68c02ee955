//! Network topology JSON (RFC 8345, encoded as in RFC 7951), with the traffic engineering attributes of RFC 8795.
//!
//! Bandwidths are octets a second as hexadecimal floating point with 24 significant bits (RFC 8294
//! `bandwidth-ieee-float32`): a bit/s value that does not fit is written as the nearest below it. Links are unidirectional.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use kernel::topology::{DELAY_MAX, Link, LinkState, Node, Position, SRLGS_MAX, TE_METRIC_MAX, Topology};
use kernel::units::{Bandwidth, Micros};

use super::Format;
use super::attribute_values::{geographic, tidy};
use super::element_builder::{Capacity, EdgeBuilder, EdgeDirection, NodeBuilder};
use super::error::ImportError;
use super::json;
use super::networks;
use super::source_position::{SourcePosition, Warnings, excerpt};
use super::topology_builder::TopologyBuilder;

/// Reads one network of a document: all of `ietf-network:networks`, or the entry of its list that RESTCONF answers with
/// (RFC 8040 §4.3). Networks are often layers of one another: they are not merged.
pub(super) fn read(text: &str, network: Option<&str>) -> Result<TopologyBuilder, ImportError> {
    let value = json::parse(text)?;
    let list = network_list(&value);
    let missing = || ImportError::Missing { at: SourcePosition::line(1), field: "ietf-network:networks" };
    let name = |(n, network): (usize, _)| {
        let id = json::member(network, "network-id").and_then(json::scalar);
        (id.unwrap_or_else(|| format!("network[{n}]")), (n, network))
    };
    let networks = json::objects(Some(list.ok_or_else(missing)?), "network")?;
    let networks = networks.into_iter().enumerate().map(name).collect();
    let (n, network) = networks::choose(networks, network)?.ok_or_else(missing)?;
    let mut draft = TopologyBuilder::new(Format::Rfc8345);
    let mut ports = Ports::default();
    let path = format!("network[{n}].node");
    for (at, node) in json::objects(json::member(network, "node"), &path)?.into_iter().enumerate() {
        add_node(&mut draft, node, SourcePosition::element(format!("{path}[{at}]")))?;
    }
    let path = format!("network[{n}].link");
    for (at, link) in json::objects(json::member(network, "link"), &path)?.into_iter().enumerate() {
        add_link(&mut draft, &mut ports, link, SourcePosition::element(format!("{path}[{at}]")))?;
    }
    ports.pair(&mut draft);
    Ok(draft)
}

fn network_list(value: &Value) -> Option<&Value> {
    let document = value.as_object()?;
    match json::member(document, "networks") {
        Some(networks) => json::member(networks.as_object()?, "network"),
        None => json::member(document, "network"),
    }
}

fn text(
    object: &Map<String, Value>,
    path: &[&str],
    field: &'static str,
    at: &SourcePosition,
) -> Result<String, ImportError> {
    let value = json::descend(object, path).and_then(json::scalar);
    value.ok_or_else(|| ImportError::Missing { at: at.clone(), field })
}

/// A number or, as RFC 7951 §6.1 has it for 64-bit and decimal types, a number in a string.
fn integer(value: &Value) -> Option<u64> {
    json::scalar(value)?.parse().ok()
}

fn add_node(draft: &mut TopologyBuilder, node: &Map<String, Value>, at: SourcePosition) -> Result<(), ImportError> {
    let id = text(node, &["node-id"], "node-id", &at)?;
    let label = json::descend(node, &["te", "te-node-attributes", "name"]).and_then(json::scalar);
    let label = label.map(|label| tidy(&label)).filter(|label| *label != id);
    let place = |path: &[&str]| json::descend(node, path).and_then(Value::as_object);
    let place = place(&["te", "geolocation"]).or_else(|| place(&["te", "te-node-attributes", "geolocation"]));
    let degrees = |name| place.and_then(|place| json::scalar(json::member(place, name)?));
    let degrees = degrees("latitude").zip(degrees("longitude"));
    let position = degrees.as_ref().and_then(|(latitude, longitude)| geographic(latitude, longitude));
    if let (Some((latitude, longitude)), None) = (&degrees, position) {
        let message = format!("no such place as {}, {}: ignored", excerpt(latitude), excerpt(longitude));
        draft.warnings.push(at.clone(), message);
    }
    draft.add_node(NodeBuilder { id, label, position, switch: None, at })
}

fn add_link(
    draft: &mut TopologyBuilder,
    ports: &mut Ports,
    link: &Map<String, Value>,
    at: SourcePosition,
) -> Result<(), ImportError> {
    let from = text(link, &["source", "source-node"], "source-node", &at)?;
    let to = text(link, &["destination", "dest-node"], "dest-node", &at)?;
    let mut edge = EdgeBuilder::new(from, to, EdgeDirection::Forward, at.clone());
    edge.name = Some(text(link, &["link-id"], "link-id", &at)?);
    let port = |path: &[&str]| json::descend(link, path).and_then(json::scalar);
    let (tail, head) = (port(&["source", "source-tp"]), port(&["destination", "dest-tp"]));
    edge.from_port = tail.as_deref().and_then(|port| port.parse().ok());
    edge.to_port = head.as_deref().and_then(|port| port.parse().ok());
    ports.add(draft.edges.len(), &edge, tail, head);
    let empty = Map::new();
    let attributes = json::descend(link, &["te", "te-link-attributes"]).and_then(Value::as_object).unwrap_or(&empty);
    set_bandwidths(draft, &mut edge, attributes);
    set_attributes(&mut edge, link, attributes, &mut draft.warnings);
    draft.add_edge(edge)
}

fn set_bandwidths(draft: &mut TopologyBuilder, edge: &mut EdgeBuilder, attributes: &Map<String, Value>) {
    let mut bandwidth = |name: &'static str| {
        let text = json::scalar(json::descend(attributes, &[name, "te-bandwidth", "generic"])?)?;
        let bandwidth = octets(&text).and_then(|octets| Bandwidth::from_bps(octets.checked_mul(8)?));
        if bandwidth.is_none() {
            let message = format!("{name} '{}' is no bandwidth in octets a second: ignored", excerpt(&text));
            draft.warnings.push(edge.at.clone(), message);
        }
        bandwidth
    };
    let capacity = bandwidth("max-link-bandwidth");
    let max_reservable = bandwidth("max-resv-link-bandwidth");
    edge.capacity = capacity.and_then(|capacity| Capacity::given(capacity.as_bps()));
    edge.max_reservable = max_reservable;
}

fn set_attributes(
    edge: &mut EdgeBuilder,
    link: &Map<String, Value>,
    attributes: &Map<String, Value>,
    warnings: &mut Warnings,
) {
    // RFC 8346 gives layer 3 links a metric of their own.
    let metric = json::member(attributes, "te-default-metric");
    let metric = metric.or_else(|| json::descend(link, &["l3-link-attributes", "metric1"]));
    let delay = json::descend(attributes, &["performance-metrics-one-way", "one-way-delay"]);
    let delay = delay.or_else(|| json::member(attributes, "te-delay-metric"));
    let srlgs = json::descend(attributes, &["te-srlgs", "value"]);
    let group = json::member(attributes, "administrative-group");
    let status = json::member(attributes, "admin-status");
    let mut ignored = |name: &str, value: Option<&Value>| {
        if let Some(value) = value {
            warnings.push(edge.at.clone(), format!("{name} {} cannot be: ignored", excerpt(&value.to_string())));
        }
    };
    edge.te_metric = metric.and_then(integer).and_then(|metric| u32::try_from(metric).ok());
    edge.te_metric = edge.te_metric.filter(|metric| (1..=TE_METRIC_MAX).contains(metric));
    if edge.te_metric.is_none() {
        ignored("the metric", metric);
    }
    edge.delay = delay.and_then(integer).map(Micros).filter(|delay| *delay <= DELAY_MAX);
    if edge.delay.is_none() {
        ignored("the delay", delay);
    }
    let values = srlgs.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let srlg = |value: &Value| u32::try_from(integer(value)?).ok();
    edge.srlg = values.iter().filter_map(srlg).take(SRLGS_MAX).collect();
    if edge.srlg.len() < values.len() {
        ignored("a shared-risk link group of", srlgs);
    }
    let mask = group.and_then(json::scalar).map(|group| group.trim_start_matches("0x").replace(':', ""));
    let mask = mask.and_then(|mask| u32::from_str_radix(&mask, 16).ok());
    edge.admin_group = mask.unwrap_or(0);
    if mask.is_none() {
        ignored("the administrative group", group);
    }
    edge.state = match status.and_then(Value::as_str) {
        None | Some("up") => LinkState::Up,
        Some("down") => LinkState::Down,
        Some("maintenance" | "preparing-maintenance") => LinkState::Maintenance,
        Some(_) => {
            ignored("the admin-status", status);
            LinkState::Up
        }
    };
}

/// A node and one of its termination points, twice.
type LinkEnds = (String, String, String, String);

/// Links that join the same two termination points, one each way, are twins.
#[derive(Default)]
struct Ports {
    by_ends: BTreeMap<LinkEnds, usize>,
}

impl Ports {
    fn add(&mut self, at: usize, edge: &EdgeBuilder, tail: Option<String>, head: Option<String>) {
        if let (Some(tail), Some(head)) = (tail, head) {
            self.by_ends.insert((edge.from.clone(), tail, edge.to.clone(), head), at);
        }
    }

    fn pair(&self, draft: &mut TopologyBuilder) {
        for ((from, tail, to, head), at) in &self.by_ends {
            let back = self.by_ends.get(&(to.clone(), head.clone(), from.clone(), tail.clone()));
            let twin = back.filter(|back| *back != at).and_then(|back| draft.edges.get(*back)?.name.clone());
            if let (Some(twin), Some(edge)) = (twin, draft.edges.get_mut(*at)) {
                edge.direction = EdgeDirection::ForwardOf { twin };
            }
        }
    }
}

/// Reads `0x1.2a05f2p+30`, `0x4a817c80` or a decimal (RFC 8776 `te-bandwidth`), rounded down to an integer.
fn octets(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let Some(digits) = text.strip_prefix("0x") else { return text.parse().ok() };
    let (mantissa, exponent) = match digits.split_once('p') {
        Some((mantissa, exponent)) => (mantissa, exponent.trim_start_matches('+').parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() > 15 || whole.is_empty() {
        return None;
    }
    let mantissa = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    if exponent >= 0 {
        let shifted = u128::from(mantissa).checked_mul(1_u128.checked_shl(exponent.unsigned_abs())?)?;
        return u64::try_from(shifted).ok();
    }
    Some(mantissa.checked_shr(exponent.unsigned_abs()).unwrap_or(0))
}

/// The reverse of [`octets`], cut to 24 significant bits: `0x1` with six hexadecimal digits, of which the last is even.
fn hexadecimal(bandwidth: Bandwidth) -> String {
    let octets = bandwidth.as_bps() / 8;
    let Some(exponent) = octets.checked_ilog2() else { return "0x0p0".to_owned() };
    let behind = octets ^ (1 << exponent);
    // 24 bits behind the point, of which an IEEE float keeps the upper 23.
    let fraction = if exponent > 24 { behind >> (exponent - 24) } else { behind << (24 - exponent) };
    let digits = format!("{:06x}", fraction & !1);
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    format!("0x1{point}{digits}p{exponent}")
}

/// Writes one network. What RFC 8795 has no words for (provenance, host ports, drawings) is left out.
pub(super) fn write(topology: &Topology) -> String {
    let mut ports = vec![BTreeSet::new(); topology.node_count()];
    for (end, port) in topology.links().flat_map(|(_, link)| [(link.from, link.from_port), (link.to, link.to_port)]) {
        if let (Some(ports), Some(port)) = (ports.get_mut(end.at()), port) {
            ports.insert(port);
        }
    }
    let nodes: Vec<Value> = topology.nodes().zip(&ports).map(|((_, node), ports)| node_value(node, ports)).collect();
    let links: Vec<Value> = topology.links().map(|(_, link)| link_value(link, topology)).collect();
    let network = json!({
        "network-id": "watermaster",
        "network-types": {"ietf-te-topology:te-topology": {}},
        "node": nodes,
        "ietf-network-topology:link": links,
    });
    format!("{:#}\n", json!({"ietf-network:networks": {"network": [network]}}))
}

fn node_value(node: &Node, ports: &BTreeSet<u32>) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({"tp-id": port.to_string()})).collect();
    let mut te = Map::new();
    if let Some(label) = &node.label {
        te.insert("te-node-attributes".to_owned(), json!({"name": label}));
    }
    if let Some(Position::Geographic { latitude_udeg, longitude_udeg }) = node.position {
        let degrees = |udeg: i32| format!("{}", f64::from(udeg) / 1e6);
        let place = json!({"latitude": degrees(latitude_udeg), "longitude": degrees(longitude_udeg)});
        te.insert("geolocation".to_owned(), place);
    }
    let mut value = json!({"node-id": node.name.as_str(), "ietf-te-topology:te": te});
    if let (false, Some(members)) = (ports.is_empty(), value.as_object_mut()) {
        members.insert("ietf-network-topology:termination-point".to_owned(), Value::Array(ports));
    }
    value
}

fn link_value(link: &Link, topology: &Topology) -> Value {
    let node = |ix| topology.node(ix).map(|node| node.name.to_string());
    let mut source = json!({"source-node": node(link.from)});
    let mut destination = json!({"dest-node": node(link.to)});
    for (end, name, port) in [(&mut source, "source-tp", link.from_port), (&mut destination, "dest-tp", link.to_port)] {
        if let (Some(port), Some(members)) = (port, end.as_object_mut()) {
            members.insert(name.to_owned(), Value::from(port.to_string()));
        }
    }
    let status = match link.state {
        LinkState::Up => "up",
        LinkState::Down => "down",
        LinkState::Maintenance => "maintenance",
    };
    json!({
        "link-id": link.name.as_str(),
        "source": source,
        "destination": destination,
        "ietf-te-topology:te": {"te-link-attributes": {
            "admin-status": status,
            "administrative-group": format!("{:02x}:{:02x}:{:02x}:{:02x}",
                link.admin_group >> 24, link.admin_group >> 16 & 0xff, link.admin_group >> 8 & 0xff, link.admin_group & 0xff),
            "max-link-bandwidth": {"te-bandwidth": {"generic": hexadecimal(link.capacity)}},
            "max-resv-link-bandwidth": {"te-bandwidth": {"generic": hexadecimal(link.max_reservable)}},
            "te-default-metric": link.te_metric,
            "te-delay-metric": link.delay.0,
            "te-srlgs": {"value": link.srlg},
        }},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReadOptions, native};

    #[test]
    fn bandwidths_are_hexadecimal_octets() {
        for (text, expected) in [
            ("0x1p10", Some(1_024)),
            ("0x1.2A05F2p+30", Some(1_250_000_000)),
            ("0x4a817c80", Some(1_250_000_000)),
            ("0x0", Some(0)),
            ("0x1.8p0", Some(1)),
            ("0x1p-3", Some(0)),
            ("0x1p127", None),
            ("0x1p99999999999", None),
            ("0xffffffffffffffffff", None),
            ("1250000000", Some(1_250_000_000)),
            ("-1", None),
            ("0x", None),
        ] {
            assert_eq!(octets(text), expected, "{text}");
        }
        for bps in [8, 80, 10_000_000_000, 9_953_280_000, 155_520_000] {
            let bandwidth = Bandwidth::from_bps(bps).unwrap();
            assert_eq!(octets(&hexadecimal(bandwidth)), Some(bps / 8), "{}", hexadecimal(bandwidth));
        }
        // 12.5e9 octets take 26 bits.
        assert_eq!(octets(&hexadecimal(Bandwidth::from_bps(100_000_000_000).unwrap())), Some(12_499_999_744));
        assert!(octets(&hexadecimal(Bandwidth::MAX)).unwrap() <= Bandwidth::MAX.as_bps() / 8);
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = r#"{"nodes": [{"id": "a", "label": "Aa", "latitude": 47.37, "longitude": -8.5}, {"id": "b"}],
            "links": [{"id": "ab", "from": "a", "to": "b", "capacity_bps": 10000000000, "max_reservable_bps": 8000000000,
            "te_metric": 5, "delay_us": 70, "srlg": [1, 2], "admin_group": 258, "state": "maintenance", "from_port": 1,
            "to_port": 2, "bidirectional": true}, {"id": "x", "from": "b", "to": "a", "capacity_bps": 800, "delay_us": 0}]}"#;
        let first = native::read(text, &ReadOptions::default()).unwrap();
        let again = read(&write(&first.topology), None).unwrap().build(&ReadOptions::default()).unwrap();
        assert_eq!(again.topology, first.topology);
        assert_eq!(again.report.warnings, []);
    }

    /// Two layers whose nodes and links have the same names.
    const LAYERS: &str = r#"{"ietf-network:networks": {"network": [
        {"network-id": "optical", "node": [{"node-id": "A"}, {"node-id": "B"}, {"node-id": "C"}]},
        {"network-id": "ip", "supporting-network": [{"network-ref": "optical"}], "node": [{"node-id": "A"}, {"node-id": "B"}],
         "ietf-network-topology:link": [{"link-id": "A-B", "source": {"source-node": "A"}, "destination": {"dest-node": "B"},
           "ietf-te-topology:te": {"te-link-attributes": {"te-default-metric": 0, "te-srlgs": {"value": [7, -1]},
             "administrative-group": "red", "admin-status": "odd", "te-delay-metric": 99999999}}}]}]}}"#;

    #[test]
    fn layers_are_chosen_and_never_merged() {
        let several = read(LAYERS, None).err().unwrap();
        assert!(several.to_string().contains("choose one of 'optical', 'ip'"), "{several}");
        assert!(matches!(read(LAYERS, Some("mpls")), Err(ImportError::UnknownNetwork { .. })));
        let count = |network| read(LAYERS, Some(network)).unwrap().build(&ReadOptions::default()).unwrap().report.nodes;
        assert_eq!((count("optical"), count("ip")), (3, 2));
        let entry = |text: &str| read(text, None).unwrap().build(&ReadOptions::default()).unwrap().report.nodes;
        assert_eq!(entry(r#"{"ietf-network:network": [{"network-id": "x", "node": [{"node-id": "A"}]}]}"#), 1);
    }

    #[test]
    fn what_is_ignored_is_named() {
        let imported = read(LAYERS, Some("ip")).unwrap().build(&ReadOptions::default()).unwrap();
        let said: Vec<&str> = imported.report.warnings.iter().map(|warning| warning.message.as_str()).collect();
        for words in ["metric 0", "delay 99999999", "group of [7,-1]", "group \"red\"", "admin-status \"odd\""] {
            assert!(said.iter().any(|message| message.contains(words)), "{words}: {said:?}");
        }
        let (_, link) = imported.topology.links().next().unwrap();
        assert_eq!((link.srlg.as_slice(), link.admin_group, link.state), (&[7][..], 0, LinkState::Up));
    }

    #[test]
    fn faults_have_paths() {
        let text = r#"{"ietf-network:networks": {"network": [{"node": [{"node-id": "a"}, {}]}]}}"#;
        assert_eq!(read(text, None).err().unwrap().to_string(), "network[0].node[1]: 'node-id' is missing");
        assert_eq!(read("{}", None).err().unwrap().line(), Some(1));
    }
}
