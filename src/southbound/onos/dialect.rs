//! The kernel's words in ONOS's JSON, and back.
//!
//! ONOS's REST cannot say everything that OpenFlow can, so that three things travel in others:
//!
//! - It chooses cookies itself. Ours is written as a tunnel id, which only tunnel ports look at.
//! - It chooses meter ids itself. Ours is told by a second band of a rate that no link has ([`TAG_RATE_KBPS`] and more).
//! - It writes neither the traffic class of a label nor a DiffServ code point. The class is asked for as the queue of the
//!   same number, at every hop, which is what the class is for.
//!
//! What must stay true: reading what was written gives what was written, and whatever we do not write becomes opaque.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::apply::real_port;
use super::super::{Adjacency, Port, PortCounters};
use kernel::allocation::Ipv4Prefix;
use kernel::intent::{
    Action, Cookie, Dpid, Ipv4Match, Match, Meter, MeterId, MplsLabel, PortNo, Rule, RuleKey, SwitchFault, TABLE,
};

/// A band of this rate, in kbit/s, and the number of our meter more: two terabit per second, never reached.
const TAG_RATE_KBPS: u64 = 2_000_000_000;
const TCP: u64 = 6;
const UDP: u64 = 17;

/// ONOS's numbers for our meters on one switch.
pub(super) type MeterNumbers = BTreeMap<MeterId, u64>;

/// A switch as ONOS names it.
pub(super) fn device(switch: Dpid) -> String {
    format!("of:{switch}")
}

/// The switch that ONOS names so.
pub(super) fn dpid(device: &str) -> Option<Dpid> {
    u64::from_str_radix(device.strip_prefix("of:")?, 16).ok().map(Dpid)
}

/// A meter to be made.
pub(super) fn meter(switch: Dpid, meter: &Meter) -> Value {
    let band = |rate: u64, burst: u64| json!({"type": "DROP", "rate": rate, "burstSize": burst, "prec": 0});
    let tag = TAG_RATE_KBPS + u64::from(meter.id.0);
    json!({"deviceId": device(switch), "unit": "KB_PER_SEC", "burst": true,
        "bands": [band(meter.rate_kbps.into(), meter.burst_kbit.into()), band(tag, tag)]})
}

/// A rule to be written.
///
/// # Errors
/// It cannot be said.
pub(super) fn rule(switch: Dpid, rule: &Rule, meters: &MeterNumbers) -> Result<Value, SwitchFault> {
    Ok(json!({
        "priority": rule.place.priority, "timeout": 0, "isPermanent": true, "deviceId": device(switch),
        "tableId": rule.place.table, "selector": {"criteria": criteria(&rule.place.matches)?},
        "treatment": {"instructions": instructions(rule, meters)?},
    }))
}

fn criteria(matches: &Match) -> Result<Vec<Value>, SwitchFault> {
    let mut said = vec![];
    match matches {
        Match::Mpls { label, bottom_of_stack } => {
            said.push(json!({"type": "ETH_TYPE", "ethType": "0x8847"}));
            said.push(json!({"type": "MPLS_LABEL", "label": label.number()}));
            said.push(json!({"type": "MPLS_BOS", "bos": bottom_of_stack}));
        }
        Match::Ipv4(ipv4) => {
            if let Some(port) = ipv4.in_port {
                said.push(json!({"type": "IN_PORT", "port": real_port(port)?}));
            }
            said.push(json!({"type": "ETH_TYPE", "ethType": "0x0800"}));
            for (name, network) in [("IPV4_SRC", ipv4.src), ("IPV4_DST", ipv4.dst)] {
                if let Some(Ipv4Prefix { address, length }) = network {
                    said.push(json!({"type": name, "ip": format!("{address}/{length}")}));
                }
            }
            if let Some(protocol) = ipv4.ip_proto {
                said.push(json!({"type": "IP_PROTO", "protocol": protocol}));
            }
            if let Some(port) = ipv4.l4_dst {
                said.push(match ipv4.ip_proto.map(u64::from) {
                    Some(TCP) => json!({"type": "TCP_DST", "tcpPort": port}),
                    Some(UDP) => json!({"type": "UDP_DST", "udpPort": port}),
                    _ => return Err(SwitchFault::Unsupported { what: "match a port of neither TCP nor UDP" }),
                });
            }
        }
        Match::Opaque(_) => return Err(SwitchFault::Unsupported { what: "match that" }),
    }
    Ok(said)
}

fn instructions(rule: &Rule, meters: &MeterNumbers) -> Result<Vec<Value>, SwitchFault> {
    let l2 = |subtype: &str| json!({"type": "L2MODIFICATION", "subtype": subtype});
    // The sign bit of the tag is clear: a Java long holds it.
    let mut said = vec![json!({"type": "L2MODIFICATION", "subtype": "TUNNEL_ID", "tunnelId": rule.cookie.0})];
    let mut class = None;
    for action in &rule.actions {
        match action {
            Action::Meter(id) => {
                let number = meters.get(id).ok_or(SwitchFault::AfterFailure)?;
                said.push(json!({"type": "METER", "meterId": number}));
            }
            Action::SetDscp(code) if code % 8 == 0 => class = agreed(class, code / 8)?,
            Action::SetDscp(_) => return Err(SwitchFault::Unsupported { what: "write such a code point" }),
            Action::SetTrafficClass(number) => class = agreed(class, *number)?,
            Action::PushMpls => said.push(l2("MPLS_PUSH")),
            Action::PopMpls => {
                said.push(json!({"type": "L2MODIFICATION", "subtype": "MPLS_POP", "ethernetType": "0x0800"}));
            }
            Action::SetLabel(label) => {
                said.push(json!({"type": "L2MODIFICATION", "subtype": "MPLS_LABEL", "label": label.number()}));
            }
            Action::Output(port) => {
                let port = real_port(*port)?;
                // ONOS wants a queue's port, too.
                said.extend(class.map(|class: u8| json!({"type": "QUEUE", "queueId": class, "port": port})));
                said.push(json!({"type": "OUTPUT", "port": port}));
            }
            Action::Opaque(_) => return Err(SwitchFault::Unsupported { what: "do that" }),
        }
    }
    Ok(said)
}

fn agreed(one: Option<u8>, other: u8) -> Result<Option<u8>, SwitchFault> {
    if one.is_none_or(|one| one == other) && other < 8 {
        Ok(Some(other))
    } else {
        Err(SwitchFault::Unsupported { what: "tell a code point and a traffic class that differ" })
    }
}

/// What `GET flows/{device}` says.
#[derive(Deserialize)]
pub(super) struct OnosFlowsReply {
    /// The rules of all applications.
    pub(super) flows: Vec<OnosFlowReply>,
}

/// A rule as it is told.
#[derive(Deserialize)]
pub(super) struct OnosFlowReply {
    /// ONOS's own number for it, beyond what a double holds.
    pub(super) id: String,
    /// `PENDING_ADD`, `ADDED`, `PENDING_REMOVE`, `REMOVED`, `FAILED`.
    pub(super) state: String,
    priority: u16,
    #[serde(rename = "isPermanent")]
    is_permanent: bool,
    #[serde(rename = "tableId", default)]
    table: Value,
    #[serde(default)]
    treatment: Value,
    #[serde(default)]
    selector: Value,
}

impl OnosFlowReply {
    /// The rule, if it carries a cookie.
    pub(super) fn rule(&self, meters: &MeterNumbers) -> Option<Rule> {
        let told = self.treatment["instructions"].as_array()?;
        let tunnel = |value: &Value| (value["subtype"] == "TUNNEL_ID").then(|| value["tunnelId"].as_u64()).flatten();
        let cookie = Cookie(told.iter().find_map(tunnel)?);
        let mut actions = actions(told, meters);
        let deferred = self.treatment["deferred"].as_array().is_some_and(|deferred| !deferred.is_empty());
        if deferred || !self.is_permanent {
            actions.push(Action::Opaque("deferred or temporary".into()));
        }
        let criteria = &self.selector["criteria"];
        let matches = matches(criteria).unwrap_or_else(|| Match::Opaque(criteria.to_string().into()));
        let table = as_number(&self.table).unwrap_or(TABLE);
        Some(Rule { place: RuleKey { table, priority: self.priority, matches }, cookie, actions })
    }
}

/// Meters come last in what ONOS tells, and first in what we say; a queue stands for class and code point.
fn actions(told: &[Value], meters: &MeterNumbers) -> Vec<Action> {
    let mut found: Vec<Action> = vec![];
    let mut class = None;
    for value in told.iter().filter(|value| value["subtype"] != "TUNNEL_ID") {
        let action = action(value, meters);
        match action {
            None if value["type"] == "QUEUE" => class = as_number::<u8>(&value["queueId"]).filter(|class| *class < 8),
            Some(meter @ Action::Meter(_)) => found.insert(0, meter),
            action => found.push(action.unwrap_or_else(|| Action::Opaque(value.to_string().into()))),
        }
    }
    let Some(class) = class else { return found };
    if let Some(at) = found.iter().position(|action| matches!(action, Action::SetLabel(_))) {
        found.insert(at + 1, Action::SetTrafficClass(class));
        if let Some(at) = found.iter().position(|action| *action == Action::PushMpls) {
            found.insert(at, Action::SetDscp(class * 8));
        }
    } else if let Some(at) = found.iter().position(|action| matches!(action, Action::Output(_))) {
        found.insert(at, Action::SetDscp(class * 8));
    }
    found
}

fn action(value: &Value, meters: &MeterNumbers) -> Option<Action> {
    let number = |name: &str| as_number::<u32>(&value[name]);
    match (value["type"].as_str()?, value["subtype"].as_str()) {
        ("OUTPUT", _) => Some(Action::Output(PortNo(number("port")?))),
        ("METER", _) => {
            let told = as_number::<u64>(&value["meterId"])?;
            let ours = meters.iter().find(|(_, number)| **number == told)?;
            Some(Action::Meter(*ours.0))
        }
        (_, Some("MPLS_PUSH")) => Some(Action::PushMpls),
        (_, Some("MPLS_POP")) => Some(Action::PopMpls),
        (_, Some("MPLS_LABEL")) => MplsLabel::new(number("label")?).map(Action::SetLabel),
        _ => None,
    }
}

fn matches(criteria: &Value) -> Option<Match> {
    let (mut ethertype, mut label, mut bos, mut ipv4) = (None, None, None, Ipv4Match::default());
    let mut l4 = None;
    for value in criteria.as_array()? {
        match value["type"].as_str()? {
            "ETH_TYPE" => ethertype = Some(hexadecimal(value["ethType"].as_str()?)?),
            "MPLS_LABEL" => label = Some(MplsLabel::new(as_number(&value["label"])?)?),
            "MPLS_BOS" => bos = Some(value["bos"].as_bool()?),
            "IN_PORT" => ipv4.in_port = Some(PortNo(as_number(&value["port"])?)),
            "IPV4_SRC" => ipv4.src = Some(network(value["ip"].as_str()?)?),
            "IPV4_DST" => ipv4.dst = Some(network(value["ip"].as_str()?)?),
            "IP_PROTO" => ipv4.ip_proto = Some(as_number(&value["protocol"])?),
            "TCP_DST" => l4 = Some((TCP, as_number(&value["tcpPort"])?)),
            "UDP_DST" => l4 = Some((UDP, as_number(&value["udpPort"])?)),
            _ => return None,
        }
    }
    if let Some((protocol, port)) = l4 {
        ipv4.l4_dst = Some(port);
        if ipv4.ip_proto.map(u64::from) != Some(protocol) {
            return None;
        }
    }
    match (ethertype?, label, bos) {
        (0x8847, Some(label), Some(bottom_of_stack)) if ipv4 == Ipv4Match::default() => {
            Some(Match::Mpls { label, bottom_of_stack })
        }
        (0x0800, None, None) => Some(Match::Ipv4(ipv4)),
        _ => None,
    }
}

fn hexadecimal(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn network(text: &str) -> Option<Ipv4Prefix> {
    let (address, length) = text.split_once('/')?;
    let length = length.parse().ok().filter(|length| *length <= 32)?;
    Some(Ipv4Prefix { address: address.parse().ok()?, length })
}

/// A number, told as a number, as text, or as text with a name: `2`, `"2"`, `"[s1-eth2](2)"`, `"0x2"`.
fn as_number<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => {
            let inner = text.rsplit_once('(').map_or(text.as_str(), |(_, rest)| rest.trim_end_matches(')'));
            inner.strip_prefix("0x").map_or_else(|| inner.parse(), |hex| u64::from_str_radix(hex, 16)).ok()?
        }
        _ => return None,
    };
    number.try_into().ok()
}

/// What `GET meters/{device}` says.
#[derive(Deserialize)]
pub(super) struct OnosMetersReply {
    /// The meters of all applications.
    pub(super) meters: Vec<OnosMeterReply>,
}

/// A meter as it is told.
#[derive(Deserialize)]
pub(super) struct OnosMeterReply {
    id: Value,
    /// `PENDING_ADD`, `ADDED` and so on.
    #[serde(default)]
    pub(super) state: String,
    unit: String,
    burst: bool,
    bands: Vec<OnosBandReply>,
}

#[derive(Deserialize)]
struct OnosBandReply {
    #[serde(rename = "type")]
    kind: String,
    rate: u64,
    #[serde(rename = "burstSize")]
    burst: u64,
}

impl OnosMeterReply {
    /// Our meter, and ONOS's number for it; `None` if it is not ours.
    pub(super) fn meter(&self) -> Option<(Meter, u64)> {
        let number = as_number(&self.id)?;
        let tag = self.bands.iter().find(|band| band.rate > TAG_RATE_KBPS)?;
        let id = MeterId(u32::try_from(tag.rate.checked_sub(TAG_RATE_KBPS)?).ok()?);
        let usual = self.unit == "KB_PER_SEC" && self.burst && self.bands.iter().all(|band| band.kind == "DROP");
        let band = self.bands.iter().find(|band| band.rate < TAG_RATE_KBPS).filter(|_| usual && self.bands.len() == 2);
        let kilobits = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
        let (rate_kbps, burst_kbit) = (kilobits(band.map(|band| band.rate)), kilobits(band.map(|band| band.burst)));
        id.is_ours().then_some((Meter { id, rate_kbps, burst_kbit }, number))
    }
}

/// What `GET devices` says.
#[derive(Deserialize)]
pub(super) struct OnosDevicesReply {
    /// The switches, here or not.
    pub(super) devices: Vec<OnosDeviceReply>,
}

/// A switch as it is told.
#[derive(Deserialize)]
pub(super) struct OnosDeviceReply {
    /// Its name.
    pub(super) id: String,
    /// Whether it is connected.
    pub(super) available: bool,
}

/// What `GET devices/{device}/ports` says.
#[derive(Deserialize)]
pub(super) struct OnosPortsReply {
    /// The ports, reserved ones too.
    pub(super) ports: Vec<OnosPortReply>,
}

/// A port as it is told.
#[derive(Deserialize)]
pub(super) struct OnosPortReply {
    port: Value,
    #[serde(rename = "isEnabled")]
    is_enabled: bool,
    #[serde(rename = "portSpeed", default)]
    speed_mbps: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl OnosPortReply {
    /// The port, unless it is a reserved one.
    pub(super) fn port(&self) -> Option<Port> {
        let number = PortNo(as_number(&self.port)?);
        let speed_bps = self.speed_mbps.checked_mul(1_000_000).filter(|speed| *speed > 0);
        let name = self.annotations.get("portName").cloned().unwrap_or_default();
        real_port(number).is_ok().then_some(Port { number, name, live: self.is_enabled, speed_bps })
    }
}

/// What `GET links` says.
#[derive(Deserialize)]
pub(super) struct OnosLinksReply {
    /// The links, each direction by itself.
    pub(super) links: Vec<OnosLinkReply>,
}

/// A link as it is told.
#[derive(Deserialize)]
pub(super) struct OnosLinkReply {
    src: OnosLinkEndReply,
    dst: OnosLinkEndReply,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct OnosLinkEndReply {
    device: String,
    port: Value,
}

impl OnosLinkReply {
    /// The link, if it is in use and between two OpenFlow switches.
    pub(super) fn adjacency(&self) -> Option<Adjacency> {
        let end = |end: &OnosLinkEndReply| Some((dpid(&end.device)?, PortNo(as_number(&end.port)?)));
        (self.state != "INACTIVE").then_some(Adjacency { from: end(&self.src)?, to: end(&self.dst)? })
    }
}

/// What `GET statistics/ports/{device}` says.
#[derive(Deserialize)]
pub(super) struct OnosStatisticsReply {
    /// One for each switch: here one.
    pub(super) statistics: Vec<OnosSwitchStatisticsReply>,
}

/// The counters of a switch's ports.
#[derive(Deserialize)]
pub(super) struct OnosSwitchStatisticsReply {
    /// One for each port.
    pub(super) ports: Vec<OnosCountersReply>,
}

/// Counters as they are told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OnosCountersReply {
    port: Value,
    bytes_received: u64,
    bytes_sent: u64,
    #[serde(default)]
    packets_rx_dropped: u64,
    #[serde(default)]
    packets_tx_dropped: u64,
}

impl OnosCountersReply {
    /// The counters, unless they are of a reserved port.
    pub(super) fn counters(&self) -> Option<PortCounters> {
        let port = PortNo(as_number(&self.port)?);
        real_port(port).is_ok().then_some(PortCounters {
            port,
            received_bytes: self.bytes_received,
            sent_bytes: self.bytes_sent,
            received_dropped: self.packets_rx_dropped,
            sent_dropped: self.packets_tx_dropped,
        })
    }
}
