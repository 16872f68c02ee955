//! ONOS's JSON in the kernel's words: reading what `encode` wrote gives what was written, and whatever we do not write
//! becomes opaque.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::Value;

use super::super::apply::real_port;
use super::super::{Adjacency, Port, PortCounters};
use super::encode::{MeterNumbers, TAG_RATE_KBPS, TCP, UDP};
use kernel::allocation::IpPrefix;
use kernel::intent::{
    Action, Cookie, Dpid, IpFamily, IpMatch, Match, Meter, MeterId, MplsLabel, PortNo, Rule, RuleKey, TABLE,
};

/// The switch that ONOS names so.
pub(super) fn dpid(device: &str) -> Option<Dpid> {
    u64::from_str_radix(device.strip_prefix("of:")?, 16).ok().map(Dpid)
}

/// What `GET flows/{device}` says.
#[derive(Deserialize)]
pub(super) struct OnosFlowsReply {
    /// The rules of all applications.
    pub(super) flows: Vec<OnosFlowReply>,
}

/// A rule as the controller reports it.
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
        let matches =
            matches(criteria).unwrap_or_else(|| Match::Foreign { words: criteria.to_string().into(), label: None });
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
        (_, Some("MPLS_POP")) => Some(Action::PopMpls(IpFamily::V4)),
        (_, Some("MPLS_LABEL")) => MplsLabel::new(number("label")?).map(Action::SetLabel),
        _ => None,
    }
}

fn matches(criteria: &Value) -> Option<Match> {
    let (mut ethertype, mut label, mut bos, mut ipv4) = (None, None, None, IpMatch::default());
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
        (0x8847, Some(label), Some(bottom_of_stack))
            if ipv4 == IpMatch { in_port: ipv4.in_port, ..IpMatch::default() } =>
        {
            Some(Match::Mpls { label, bottom_of_stack, in_port: ipv4.in_port })
        }
        (0x0800, None, None) => Some(Match::Ip(ipv4)),
        _ => None,
    }
}

fn hexadecimal(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn network(text: &str) -> Option<IpPrefix<IpAddr>> {
    let (address, length) = text.split_once('/')?;
    let length = length.parse().ok().filter(|length| *length <= 32)?;
    Some(IpPrefix { address: address.parse::<Ipv4Addr>().ok()?.into(), length })
}

/// A number, written as a number, as text, or as text with a name: `2`, `"2"`, `"[s1-eth2](2)"`, `"0x2"`.
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

/// A meter as the controller reports it.
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
    /// A meter that this service made, and ONOS's number for it; `None` if another program did.
    pub(super) fn meter(&self) -> Option<(Meter, u64)> {
        let number = as_number(&self.id)?;
        let tag = self.bands.iter().find(|band| band.rate > TAG_RATE_KBPS)?;
        let id = MeterId(u32::try_from(tag.rate.checked_sub(TAG_RATE_KBPS)?).ok()?);
        let usual = self.unit == "KB_PER_SEC" && self.burst && self.bands.iter().all(|band| band.kind == "DROP");
        let band = self.bands.iter().find(|band| band.rate < TAG_RATE_KBPS).filter(|_| usual && self.bands.len() == 2);
        let kilobits = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
        let (rate_kbps, burst_kbit) = (kilobits(band.map(|band| band.rate)), kilobits(band.map(|band| band.burst)));
        Some((Meter { id, rate_kbps, burst_kbit }, number))
    }
}

/// What `GET devices` says.
#[derive(Deserialize)]
pub(super) struct OnosDevicesReply {
    /// The switches, here or not.
    pub(super) devices: Vec<OnosDeviceReply>,
}

/// A switch as the controller reports it.
#[derive(Deserialize)]
pub(super) struct OnosDeviceReply {
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

/// A port as the controller reports it.
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

/// A link as the controller reports it.
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

/// Counters as the controller reports them.
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
