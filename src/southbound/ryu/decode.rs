//! What `ofctl_rest` and `rest_topology` answer, in the kernel's words. What is read back is spelt otherwise than what was
//! written: `eth_type` is `dl_type`, `ipv4_dst` is `nw_dst` and without a mask if that is full, actions are strings.
//!
//! What must stay true: a match or action that is not exactly one that we write becomes foreign, never one that it is not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{Adjacency, Port, PortCounters, RuleCounters};
use kernel::allocation::IpPrefix;
use kernel::intent::{
    Action, Cookie, Dpid, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, GroupId, IpFamily, IpMatch, Match, MeterId,
    MplsLabel, PortNo, Rule, RuleKey,
};

/// Port state bits of OpenFlow 1.3 §7.2.1: the link is down; blocked.
const LINK_DOWN_OR_BLOCKED: u64 = 0b11;
/// And: live for fast-failover groups.
const LIVE: u64 = 0b100;

/// What answers about one switch look like: the switch's decimal id, and its things.
pub(super) type PerSwitch<T> = BTreeMap<String, T>;

/// A rule as the controller reports it.
#[derive(Deserialize)]
pub(super) struct RuleReply {
    priority: u16,
    cookie: u64,
    table_id: u8,
    #[serde(default)]
    idle_timeout: u32,
    #[serde(default)]
    hard_timeout: u32,
    #[serde(rename = "match")]
    matches: Map<String, Value>,
    actions: Vec<Value>,
}

impl RuleReply {
    pub(super) fn rule(self) -> Rule {
        let mut actions: Vec<Action> = self.actions.iter().map(action).collect();
        // What goes away by itself is not what we wrote, however like it looks.
        for (name, seconds) in [("IDLE_TIMEOUT", self.idle_timeout), ("HARD_TIMEOUT", self.hard_timeout)] {
            if seconds != 0 {
                actions.push(Action::Opaque(format!("{name}:{seconds}").into()));
            }
        }
        let matches = matches(self.matches);
        Rule {
            place: RuleKey { table: self.table_id, priority: self.priority, matches },
            cookie: Cookie(self.cookie),
            actions,
        }
    }
}

fn matches(fields: Map<String, Value>) -> Match {
    let has_only = |names: &[&str]| fields.keys().all(|name| names.contains(&name.as_str()));
    let ethertype = number(&fields, "dl_type");
    let is_ip = has_only(&[
        "dl_type", "in_port", "dl_vlan", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "ip_dscp", "nw_proto", "tp_dst",
    ]);
    let known = match ethertype {
        Some(ETHERTYPE_IPV4) if is_ip => ip(&fields, IpFamily::V4),
        Some(ETHERTYPE_IPV6) if is_ip => ip(&fields, IpFamily::V6),
        Some(ETHERTYPE_MPLS) if has_only(&["dl_type", "in_port", "mpls_label", "mpls_bos"]) => mpls(&fields),
        _ => None,
    };
    known.unwrap_or_else(|| Match::Foreign {
        label: number(&fields, "mpls_label").and_then(MplsLabel::new),
        words: Value::Object(fields).to_string().into(),
    })
}

/// `Some(None)` is a field that is not there; a field that is there and makes no sense is `None`.
fn optional<T>(found: Option<&Value>, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    match found {
        Some(value) => read(value).map(Some),
        None => Some(None),
    }
}

fn whole<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    value.as_u64()?.try_into().ok()
}

fn ip(fields: &Map<String, Value>, family: IpFamily) -> Option<Match> {
    let ([src, dst], [other_src, other_dst]) = match family {
        IpFamily::V4 => (["nw_src", "nw_dst"], ["ipv6_src", "ipv6_dst"]),
        IpFamily::V6 => (["ipv6_src", "ipv6_dst"], ["nw_src", "nw_dst"]),
    };
    if fields.contains_key(other_src) || fields.contains_key(other_dst) {
        return None;
    }
    Some(Match::Ip(IpMatch {
        family,
        in_port: optional(fields.get("in_port"), |value| whole(value).map(PortNo))?,
        // A text, of the number alone where there is a tag.
        vlan: optional(fields.get("dl_vlan"), |value| value.as_str()?.parse().ok())?,
        src: optional(fields.get(src), |value| network(value, family))?,
        dst: optional(fields.get(dst), |value| network(value, family))?,
        dscp: optional(fields.get("ip_dscp"), whole)?,
        ip_proto: optional(fields.get("nw_proto"), whole)?,
        l4_dst: optional(fields.get("tp_dst"), whole)?,
    }))
}

fn mpls(fields: &Map<String, Value>) -> Option<Match> {
    let label = MplsLabel::new(number(fields, "mpls_label")?)?;
    let bottom_of_stack = match number::<u8>(fields, "mpls_bos")? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let in_port = optional(fields.get("in_port"), |value| whole(value).map(PortNo))?;
    Some(Match::Mpls { label, bottom_of_stack, in_port })
}

fn number<T: TryFrom<u64>>(fields: &Map<String, Value>, name: &str) -> Option<T> {
    fields.get(name)?.as_u64()?.try_into().ok()
}

/// `10.0.0.3`, or `10.0.0.0/255.255.255.0`; so with IPv6.
fn network(value: &Value, family: IpFamily) -> Option<IpPrefix<IpAddr>> {
    let text = value.as_str()?;
    let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
    let (address, ones, zeros, width): (IpAddr, u32, u32, u32) = match family {
        IpFamily::V4 => {
            let mask = mask.map_or(Some(u32::MAX), |mask| Some(u32::from(mask.parse::<Ipv4Addr>().ok()?)))?;
            (address.parse::<Ipv4Addr>().ok()?.into(), mask.leading_ones(), mask.trailing_zeros(), u32::BITS)
        }
        IpFamily::V6 => {
            let mask = mask.map_or(Some(u128::MAX), |mask| Some(u128::from(mask.parse::<Ipv6Addr>().ok()?)))?;
            (address.parse::<Ipv6Addr>().ok()?.into(), mask.leading_ones(), mask.trailing_zeros(), u128::BITS)
        }
    };
    // At most 128.
    let length = u8::try_from(ones).ok()?;
    (ones + zeros == width).then_some(IpPrefix { address, length })
}

pub(super) fn action(value: &Value) -> Action {
    let opaque = |value: &Value| Action::Opaque(value.as_str().map_or_else(|| value.to_string(), str::to_owned).into());
    value.as_str().and_then(known_action).unwrap_or_else(|| opaque(value))
}

fn known_action(text: &str) -> Option<Action> {
    if text == "PUSH_MPLS:34887" {
        return Some(Action::PushMpls);
    }
    if let Some(ethertype) = text.strip_prefix("POP_MPLS:") {
        let family =
            [IpFamily::V4, IpFamily::V6].into_iter().find(|family| ethertype == family.ethertype().to_string())?;
        return Some(Action::PopMpls(family));
    }
    if let Some(field) = text.strip_prefix("SET_FIELD: {").and_then(|rest| rest.strip_suffix('}')) {
        let (name, value) = field.split_once(':')?;
        return match name {
            "mpls_label" => MplsLabel::new(value.parse().ok()?).map(Action::SetLabel),
            "mpls_tc" => Some(Action::SetTrafficClass(value.parse().ok()?)),
            "ip_dscp" => Some(Action::SetDscp(value.parse().ok()?)),
            _ => None,
        };
    }
    let (name, value) = text.split_once(':')?;
    match name {
        "METER" => Some(Action::Meter(MeterId(value.parse().ok()?))),
        "OUTPUT" => Some(Action::Output(PortNo(value.parse().ok()?))),
        "SET_QUEUE" => Some(Action::SetQueue(value.parse().ok()?)),
        "GROUP" => Some(Action::Group(GroupId(value.parse().ok()?))),
        _ => None,
    }
}

/// The counts of an aggregate.
#[derive(Deserialize)]
pub(super) struct AggregateReply {
    /// How many rules.
    pub(super) flow_count: u64,
    /// How many packets they have counted; an older program leaves it out.
    #[serde(default)]
    packet_count: u64,
    byte_count: Option<u64>,
}

impl AggregateReply {
    pub(super) fn counters(&self) -> RuleCounters {
        RuleCounters { rules: self.flow_count, packets: self.packet_count, bytes: self.byte_count }
    }
}

/// A port as the controller reports it.
#[derive(Deserialize)]
pub(super) struct PortReply {
    /// A number, or the name of a reserved port.
    port_no: Value,
    name: String,
    state: u64,
    #[serde(default)]
    config: u64,
    #[serde(default)]
    curr_speed: u64,
}

impl PortReply {
    /// The ports of a switch, without the reserved ones. Where a switch says of any port that it is live, as one that has
    /// fast failover does, a port of which it does not say so is not: by BFD it knows of failures that no carrier shows.
    pub(super) fn ports(told: Vec<Self>) -> Vec<Port> {
        let tells_liveness = told.iter().any(|port| port.state & LIVE != 0);
        told.into_iter().filter_map(|port| port.port(tells_liveness)).collect()
    }

    fn port(self, tells_liveness: bool) -> Option<Port> {
        // Configuration bit 0: administratively down (OpenFlow 1.3 §7.2.1).
        let is_up = self.state & LINK_DOWN_OR_BLOCKED == 0 && self.config & 1 == 0;
        let live = is_up && (!tells_liveness || self.state & LIVE != 0);
        // Told in kbit/s.
        let speed_bps = self.curr_speed.checked_mul(1000).filter(|speed| *speed > 0);
        Some(Port { number: port_number(&self.port_no)?, name: self.name, live, speed_bps })
    }
}

pub(super) fn port_number(value: &Value) -> Option<PortNo> {
    let number = PortNo(value.as_u64()?.try_into().ok()?);
    (number.0 > 0 && number <= PortNo::MAX).then_some(number)
}

/// Counters as the controller reports them.
#[derive(Deserialize)]
pub(super) struct CountersReply {
    port_no: Value,
    rx_bytes: u64,
    tx_bytes: u64,
    #[serde(default)]
    rx_dropped: u64,
    #[serde(default)]
    tx_dropped: u64,
}

impl CountersReply {
    /// The counters, unless they are of a reserved port.
    pub(super) fn counters(&self) -> Option<PortCounters> {
        Some(PortCounters {
            port: port_number(&self.port_no)?,
            received_bytes: self.rx_bytes,
            sent_bytes: self.tx_bytes,
            received_dropped: self.rx_dropped,
            sent_dropped: self.tx_dropped,
        })
    }
}

/// A link as the controller reports it: everything in hexadecimal.
#[derive(Deserialize)]
pub(super) struct LinkReply {
    src: LinkEndReply,
    dst: LinkEndReply,
}

#[derive(Deserialize)]
struct LinkEndReply {
    dpid: String,
    port_no: String,
}

impl LinkReply {
    /// The link; `None` where the numbers are none.
    pub(super) fn adjacency(&self) -> Option<Adjacency> {
        Some(Adjacency { from: self.src.end()?, to: self.dst.end()? })
    }
}

impl LinkEndReply {
    fn end(&self) -> Option<(Dpid, PortNo)> {
        let dpid = u64::from_str_radix(&self.dpid, 16).ok()?;
        Some((Dpid(dpid), PortNo(u32::from_str_radix(&self.port_no, 16).ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::json;

    use super::*;

    fn told(matches: &Value, actions: &Value) -> Rule {
        let rule = json!({"priority": 2000, "cookie": u64::MAX, "idle_timeout": 0, "hard_timeout": 0, "byte_count": 0,
            "packet_count": 0, "length": 152, "flags": 1, "match": matches, "actions": actions, "table_id": 0});
        serde_json::from_value::<RuleReply>(rule).unwrap().rule()
    }

    #[test]
    fn the_usual_rules_are_understood() {
        let ingress = told(
            &json!({"in_port": 1, "dl_type": 2048, "nw_src": "10.0.0.0/255.255.0.0", "nw_dst": "10.0.0.3",
                "nw_proto": 6, "tp_dst": 80}),
            &json!([
                "METER:10001",
                "SET_FIELD: {ip_dscp:46}",
                "PUSH_MPLS:34887",
                "SET_FIELD: {mpls_label:100001}",
                "SET_FIELD: {mpls_tc:5}",
                "SET_QUEUE:5",
                "OUTPUT:2"
            ]),
        );
        let network = |address: [u8; 4], length| Some(IpPrefix { address: address.into(), length });
        assert_eq!(
            ingress.place.matches,
            Match::Ip(IpMatch {
                in_port: Some(PortNo(1)),
                src: network([10, 0, 0, 0], 16),
                dst: network([10, 0, 0, 3], 32),
                ip_proto: Some(6),
                l4_dst: Some(80),
                ..IpMatch::default()
            })
        );
        let label = |number| MplsLabel::new(number).unwrap();
        assert_eq!(
            ingress.actions,
            [
                Action::Meter(MeterId(10_001)),
                Action::SetDscp(46),
                Action::PushMpls,
                Action::SetLabel(label(100_001)),
                Action::SetTrafficClass(5),
                Action::SetQueue(5),
                Action::Output(PortNo(2)),
            ]
        );
        let six = told(
            &json!({"in_port": 1, "dl_type": 34525, "dl_vlan": "5", "ip_dscp": 46, "ipv6_dst": "fd00::3",
                "ipv6_src": "fd00:1::/ffff:ffff::"}),
            &json!(["POP_MPLS:34525"]),
        );
        let v6 = |text: &str, length| Some(IpPrefix { address: text.parse().unwrap(), length });
        assert_eq!(
            six.place.matches,
            Match::Ip(IpMatch {
                family: IpFamily::V6,
                in_port: Some(PortNo(1)),
                vlan: Some(5),
                dscp: Some(46),
                src: v6("fd00:1::", 32),
                dst: v6("fd00::3", 128),
                ..IpMatch::default()
            })
        );
        assert_eq!(six.actions, [Action::PopMpls(IpFamily::V6)]);
        let egress = told(
            &json!({"dl_type": 34887, "mpls_label": 100_001, "mpls_bos": 1}),
            &json!(["POP_MPLS:2048", "OUTPUT:1"]),
        );
        assert_eq!(egress.place.matches, Match::Mpls { label: label(100_001), bottom_of_stack: true, in_port: None });
        assert_eq!(egress.actions, [Action::PopMpls(IpFamily::V4), Action::Output(PortNo(1))]);
    }

    #[test]
    fn what_we_never_write_stays_opaque() {
        for fields in [
            json!({"dl_dst": "01:80:c2:00:00:0e", "dl_type": 35020}),
            json!({"dl_type": 2048, "nw_dst": "10.0.0.0/255.0.255.0"}),
            json!({"dl_type": 2048, "nw_dst": "ten"}),
            json!({"dl_type": 2048, "tp_src": 9}),
            json!({"dl_type": 34887, "mpls_label": 100_001}),
            json!({"dl_type": 34887, "mpls_label": 1_u64 << 20, "mpls_bos": 1}),
            json!({}),
        ] {
            let rule = told(
                &fields,
                &json!([{"WRITE_ACTIONS": []}, "OUTPUT:CONTROLLER", "METER:x", "SET_QUEUE:x", "DEC_MPLS_TTL", 7]),
            );
            assert!(matches!(&rule.place.matches, Match::Foreign { words, .. } if **words == *fields.to_string()));
            assert!(rule.actions.iter().all(|action| matches!(action, Action::Opaque(_))));
        }
        let labelled = told(&json!({"dl_type": 34887, "mpls_label": 100_001}), &json!([])).place.matches;
        assert!(matches!(labelled, Match::Foreign { label, .. } if label == MplsLabel::new(100_001)));
        let fleeting =
            json!({"priority": 1, "cookie": 1, "hard_timeout": 9, "match": {}, "actions": [], "table_id": 0});
        let fleeting = serde_json::from_value::<RuleReply>(fleeting).unwrap().rule();
        assert_eq!(fleeting.actions, [Action::Opaque("HARD_TIMEOUT:9".into())]);
    }

    #[test]
    fn ports_and_links_are_read_in_their_bases() {
        let ports = |value: Value| PortReply::ports(serde_json::from_value(value).unwrap());
        let port = |value: Value| ports(json!([value])).pop();
        let told = json!({"port_no": 2, "name": "s1-s2", "state": 4, "config": 0, "curr_speed": 10_000_000});
        let found = port(told).unwrap();
        assert_eq!((found.number, found.live, found.speed_bps), (PortNo(2), true, Some(10_000_000_000)));
        assert_eq!(port(json!({"port_no": "LOCAL", "name": "s1", "state": 1})), None);
        assert!(!port(json!({"port_no": 2, "name": "x", "state": 5})).unwrap().live);
        assert!(
            port(json!({"port_no": 2, "name": "x", "state": 0})).unwrap().live,
            "the switch says of none that it is live"
        );
        let both = ports(json!([{"port_no": 2, "name": "x", "state": 0}, {"port_no": 3, "name": "y", "state": 4}]));
        assert_eq!(both.iter().map(|port| port.live).collect::<Vec<_>>(), [false, true], "by BFD");
        let link = json!({"src": {"dpid": "00000000000000ff", "port_no": "0000000a", "hw_addr": "x", "name": "y"},
            "dst": {"dpid": "0000000000000002", "port_no": "00000003"}});
        assert_eq!(
            serde_json::from_value::<LinkReply>(link).unwrap().adjacency(),
            Some(Adjacency { from: (Dpid(255), PortNo(10)), to: (Dpid(2), PortNo(3)) })
        );
    }

    proptest! {
        #[test]
        fn no_words_of_a_switch_make_it_stumble(text in any::<String>(), name in any::<String>(), number in any::<i64>()) {
            let _ = told(&json!({"dl_type": number, "nw_dst": text, &name: text}), &json!([text, name, number]));
            let _ = told(&json!({"dl_type": 2048, "nw_dst": text}), &json!([format!("SET_FIELD: {{{text}}}")]));
            let _ = known_action(&format!("OUTPUT:{text}"));
        }
    }
}
