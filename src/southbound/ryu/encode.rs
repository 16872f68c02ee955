//! The kernel's words in the JSON that `ofctl_rest` reads. The controller drops a field that it does not know and so makes a
//! rule wider than asked: nothing is written here that a recorded exchange has not shown to arrive.
//!
//! What must stay true: only integers, strings, lists and objects are sent, for the body is read as a Python literal, in
//! which JSON's `true`, `false` and `null` are errors.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::super::apply::real_port;
use kernel::allocation::IpPrefix;
use kernel::intent::{
    Action, Bucket, Cookie, Dpid, ETHERTYPE_MPLS, Fallback, Group, GroupId, IpFamily, IpMatch, Match, Meter, MeterId,
    PortNo, Rule, RuleKey, RuleStep, SwitchFault, Ways,
};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// The port at which a packet came in (OpenFlow 1.3 §7.2.1).
const OFPP_IN_PORT: u32 = 0xFFFF_FFF8;

/// What goes into one request, or one item of a batch: kind and command make the path.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Order {
    /// `flow`, `meter` or `group`.
    pub(super) kind: &'static str,
    /// `add`, `modify`, `delete` or `delete_strict`.
    pub(super) command: &'static str,
    /// What about; without the switch.
    pub(super) body: Map<String, Value>,
}

impl Order {
    /// Where `ofctl_rest` takes it, and what it takes.
    pub(super) fn request(&self, switch: Dpid) -> (String, Value) {
        let mut body = self.body.clone();
        body.insert("dpid".to_owned(), switch.0.into());
        (format!("stats/{}entry/{}", self.kind, self.command), Value::Object(body))
    }

    /// As an item of a batch.
    pub(super) fn item(&self) -> Value {
        json!({"kind": self.kind, "command": self.command, "body": self.body})
    }
}

/// How a step is said.
///
/// # Errors
/// It cannot be, or names a number that OpenFlow does not have.
pub(super) fn order(step: &RuleStep) -> Result<Order, SwitchFault> {
    match step {
        RuleStep::AddMeter(meter) => Ok(meter_order("add", meter)),
        RuleStep::ModifyMeter(meter) => Ok(meter_order("modify", meter)),
        RuleStep::DeleteMeter(id) => {
            Ok(Order { kind: "meter", command: "delete", body: object(json!({"meter_id": id.0})) })
        }
        RuleStep::AddGroup(group) => group_order("add", group),
        RuleStep::ModifyGroup(group) => group_order("modify", group),
        RuleStep::DeleteGroup(id) => {
            Ok(Order { kind: "group", command: "delete", body: object(json!({"type": "FF", "group_id": id.0})) })
        }
        RuleStep::PutRule(rule) => put(rule),
        RuleStep::DeleteRule { place, cookie } => delete(place, *cookie),
    }
}

fn meter_order(command: &'static str, meter: &Meter) -> Order {
    let band = json!({"type": "DROP", "rate": meter.rate_kbps, "burst_size": meter.burst_kbit});
    let body = json!({"meter_id": meter.id.0, "flags": ["KBPS", "BURST", "STATS"], "bands": [band]});
    Order { kind: "meter", command, body: object(body) }
}

fn group_order(command: &'static str, group: &Group) -> Result<Order, SwitchFault> {
    let bucket = |watched, out: u32| {
        let port = real_port(watched)?;
        let out = if out == OFPP_IN_PORT { out } else { port };
        Ok(json!({"watch_port": port, "actions": [{"type": "OUTPUT", "port": out}]}))
    };
    let (kind, buckets) = match &group.ways {
        Ways::Failover { working, fallback } => {
            let second = match *fallback {
                Fallback::To(port) => bucket(port, port.0)?,
                Fallback::Back(port) => bucket(port, OFPP_IN_PORT)?,
            };
            ("FF", vec![bucket(*working, working.0)?, second])
        }
        Ways::Split(buckets) => ("SELECT", buckets.iter().map(split_bucket).collect::<Result<_, _>>()?),
        Ways::Other => return Err(SwitchFault::Unsupported { what: "make such a group" }),
    };
    let body = json!({"type": kind, "group_id": group.id.0, "buckets": buckets});
    Ok(Order { kind: "group", command, body: object(body) })
}

fn split_bucket(bucket: &Bucket) -> Result<Value, SwitchFault> {
    let actions: Vec<Value> = bucket.actions.iter().map(action).collect::<Result<_, _>>()?;
    let watched = real_port(bucket.port().unwrap_or(PortNo(0)))?;
    Ok(json!({"weight": bucket.weight, "watch_port": watched, "actions": actions}))
}

fn put(rule: &Rule) -> Result<Order, SwitchFault> {
    let actions: Result<Vec<_>, _> = rule.actions.iter().map(action).collect();
    let body = json!({
        "cookie": rule.cookie.0,
        "table_id": rule.place.table,
        "priority": rule.place.priority,
        "match": matches(&rule.place.matches)?,
        "actions": actions?,
    });
    Ok(Order { kind: "flow", command: "add", body: object(body) })
}

fn delete(place: &RuleKey, cookie: Cookie) -> Result<Order, SwitchFault> {
    let body = json!({
        "cookie": cookie.0,
        "cookie_mask": u64::MAX,
        "table_id": place.table,
        "priority": place.priority,
        "match": matches(&place.matches)?,
    });
    Ok(Order { kind: "flow", command: "delete_strict", body: object(body) })
}

fn matches(matches: &Match) -> Result<Value, SwitchFault> {
    match matches {
        Match::Ip(ip) => Ok(Value::Object(ip_match(ip)?)),
        Match::Mpls { label, bottom_of_stack, in_port } => {
            let mut fields = object(json!({
                "eth_type": ETHERTYPE_MPLS, "mpls_label": label.number(), "mpls_bos": u8::from(*bottom_of_stack),
            }));
            if let Some(port) = in_port {
                fields.insert("in_port".to_owned(), real_port(*port)?.into());
            }
            Ok(Value::Object(fields))
        }
        Match::Foreign { .. } => Err(SwitchFault::Unsupported { what: "match that" }),
    }
}

fn ip_match(ip: &IpMatch) -> Result<Map<String, Value>, SwitchFault> {
    let mut fields = Map::new();
    let mut say = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    let (src, dst) = match ip.family {
        IpFamily::V4 => ("ipv4_src", "ipv4_dst"),
        IpFamily::V6 => ("ipv6_src", "ipv6_dst"),
    };
    if let Some(port) = ip.in_port {
        say("in_port", real_port(port)?.into());
    }
    // A number alone: the controller adds the bit that says that there is a tag.
    if let Some(vlan) = ip.vlan {
        say("vlan_vid", vlan.into());
    }
    say("eth_type", ip.family.ethertype().into());
    if let Some(network) = ip.src {
        say(src, prefix(network, ip.family)?.into());
    }
    if let Some(network) = ip.dst {
        say(dst, prefix(network, ip.family)?.into());
    }
    if let Some(dscp) = ip.dscp {
        say("ip_dscp", dscp.into());
    }
    if let Some(protocol) = ip.ip_proto {
        say("ip_proto", protocol.into());
    }
    if let Some(port) = ip.l4_dst {
        let name = match ip.ip_proto {
            Some(TCP) => "tcp_dst",
            Some(UDP) => "udp_dst",
            _ => return Err(SwitchFault::Unsupported { what: "match a port of neither TCP nor UDP" }),
        };
        say(name, port.into());
    }
    Ok(fields)
}

fn prefix(network: IpPrefix<IpAddr>, family: IpFamily) -> Result<String, SwitchFault> {
    let (bits, width) = match (network.address, family) {
        (IpAddr::V4(address), IpFamily::V4) => (u128::from(u32::from(address)) << 96, 32),
        (IpAddr::V6(address), IpFamily::V6) => (u128::from(address), 128),
        _ => return Err(SwitchFault::Unsupported { what: "match an address of another version" }),
    };
    // A network with host bits is read as another one, and a length of zero as every packet.
    let host_bits = bits.checked_shl(network.length.into()).unwrap_or(0);
    if network.length == 0 || network.length > width || host_bits != 0 {
        return Err(SwitchFault::Unsupported { what: "match such a network" });
    }
    Ok(format!("{}/{}", network.address, network.length))
}

fn action(action: &Action) -> Result<Value, SwitchFault> {
    let set = |field: &str, value: u32| json!({"type": "SET_FIELD", "field": field, "value": value});
    let three_bits =
        |class: u8| if class < 8 { Ok(class) } else { Err(SwitchFault::Unsupported { what: "write such a class" }) };
    Ok(match action {
        Action::Meter(MeterId(id)) => json!({"type": "METER", "meter_id": id}),
        Action::SetDscp(code) if *code < 64 => set("ip_dscp", (*code).into()),
        Action::SetDscp(_) => return Err(SwitchFault::Unsupported { what: "write such a code point" }),
        Action::PushMpls => json!({"type": "PUSH_MPLS", "ethertype": ETHERTYPE_MPLS}),
        Action::PopMpls(family) => json!({"type": "POP_MPLS", "ethertype": family.ethertype()}),
        Action::SetLabel(label) => set("mpls_label", label.number()),
        Action::SetTrafficClass(class) => set("mpls_tc", three_bits(*class)?.into()),
        Action::Group(GroupId(id)) => json!({"type": "GROUP", "group_id": id}),
        Action::SetQueue(id) => json!({"type": "SET_QUEUE", "queue_id": id}),
        Action::Output(port) => json!({"type": "OUTPUT", "port": real_port(*port)?}),
        Action::Opaque(_) => return Err(SwitchFault::Unsupported { what: "do that" }),
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::id::AllocationId;
    use kernel::intent::MplsLabel;

    pub(super) fn ingress() -> Rule {
        let network = |address: [u8; 4]| Some(IpPrefix { address: address.into(), length: 32 });
        Rule {
            place: RuleKey {
                table: 0,
                priority: 20_000,
                matches: Match::Ip(IpMatch {
                    in_port: Some(PortNo(1)),
                    src: network([10, 0, 0, 1]),
                    dst: network([10, 0, 0, 3]),
                    ip_proto: Some(17),
                    l4_dst: Some(5201),
                    ..IpMatch::default()
                }),
            },
            cookie: Cookie::new(0x57, 1, AllocationId(7)).unwrap(),
            actions: vec![
                Action::Meter(MeterId(10_001)),
                Action::SetDscp(46),
                Action::PushMpls,
                Action::SetLabel(MplsLabel::new(100_001).unwrap()),
                Action::SetTrafficClass(5),
                Action::Output(PortNo(2)),
            ],
        }
    }

    #[test]
    fn an_ingress_rule_is_said_in_full() {
        let order = order(&RuleStep::PutRule(ingress())).unwrap();
        let (path, body) = order.request(Dpid(1));
        assert_eq!(path, "stats/flowentry/add");
        assert_eq!(
            body,
            json!({"dpid": 1, "cookie": 0x5700_0100_0000_0007_u64, "table_id": 0, "priority": 20_000,
                "match": {"in_port": 1, "eth_type": 2048, "ipv4_src": "10.0.0.1/32", "ipv4_dst": "10.0.0.3/32",
                    "ip_proto": 17, "udp_dst": 5201},
                "actions": [{"type": "METER", "meter_id": 10_001},
                    {"type": "SET_FIELD", "field": "ip_dscp", "value": 46},
                    {"type": "PUSH_MPLS", "ethertype": 34887},
                    {"type": "SET_FIELD", "field": "mpls_label", "value": 100_001},
                    {"type": "SET_FIELD", "field": "mpls_tc", "value": 5}, {"type": "OUTPUT", "port": 2}]})
        );
    }

    fn group() -> Group {
        let ways = Ways::Failover { working: PortNo(2), fallback: Fallback::Back(PortNo(1)) };
        Group { id: GroupId(0x5700_0000 + 100_001), ways }
    }

    #[test]
    fn a_group_is_said_in_full() {
        let (path, body) = order(&RuleStep::ModifyGroup(group())).unwrap().request(Dpid(1));
        assert_eq!(path, "stats/groupentry/modify");
        let buckets = json!([{"watch_port": 2, "actions": [{"type": "OUTPUT", "port": 2}]},
            {"watch_port": 1, "actions": [{"type": "OUTPUT", "port": OFPP_IN_PORT}]}]);
        assert_eq!(body, json!({"dpid": 1, "type": "FF", "group_id": 0x5700_0000 + 100_001, "buckets": buckets}));
        assert!(order(&RuleStep::AddGroup(Group::of_another_form(group().id))).is_err());
    }

    #[test]
    fn what_would_be_misread_is_not_sent() {
        let with = |change: fn(&mut IpMatch)| {
            let mut rule = ingress();
            if let Match::Ip(ipv4) = &mut rule.place.matches {
                change(ipv4);
            }
            order(&RuleStep::PutRule(rule))
        };
        assert!(with(|ipv4| ipv4.ip_proto = None).is_err());
        assert!(with(|ipv4| ipv4.ip_proto = Some(1)).is_err());
        assert!(with(|ipv4| ipv4.in_port = Some(PortNo(0xFFFF_FFFE))).is_err());
        assert!(with(|ipv4| ipv4.dst = Some(IpPrefix { address: [10, 0, 0, 1].into(), length: 24 })).is_err());
        assert!(with(|ipv4| ipv4.dst = Some(IpPrefix { address: [0, 0, 0, 0].into(), length: 0 })).is_err());
        assert!(with(|ipv4| ipv4.dst = Some(IpPrefix { address: [10, 0, 0, 0].into(), length: 24 })).is_ok());
        let does = |action| order(&RuleStep::PutRule(Rule { actions: vec![action], ..ingress() }));
        assert!(does(Action::SetTrafficClass(8)).is_err() && does(Action::SetDscp(64)).is_err());
        assert!(does(Action::Opaque("DEC_MPLS_TTL".into())).is_err());
    }

    #[test]
    fn nothing_is_said_that_python_would_not_read() {
        fn literal(value: &Value) -> bool {
            match value {
                Value::Null | Value::Bool(_) => false,
                Value::Array(items) => items.iter().all(literal),
                Value::Object(fields) => fields.values().all(literal),
                Value::Number(number) => number.is_u64(),
                Value::String(_) => true,
            }
        }
        let meter = Meter { id: MeterId(10_001), rate_kbps: 5000, burst_kbit: 5000 };
        let rule = ingress();
        let delete = RuleStep::DeleteRule { place: rule.place.clone(), cookie: rule.cookie };
        for step in [
            RuleStep::AddMeter(meter),
            RuleStep::ModifyMeter(meter),
            RuleStep::DeleteMeter(meter.id),
            RuleStep::AddGroup(group()),
            RuleStep::DeleteGroup(group().id),
            RuleStep::PutRule(rule),
            delete,
        ] {
            assert!(literal(&order(&step).unwrap().request(Dpid(u64::MAX)).1), "{step:?}");
        }
    }
}
