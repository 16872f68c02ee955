//! The kernel's words in ONOS's JSON; `decode` is the way back.
//!
//! ONOS's REST cannot say everything that OpenFlow can, so that three things travel in others:
//!
//! - It chooses cookies itself. Ours is written as a tunnel id, which only tunnel ports look at.
//! - It chooses meter ids itself. Our own number is in a second band of a rate that no link has ([`TAG_RATE_KBPS`] and more).
//! - It writes neither the traffic class of a label nor a DiffServ code point. The class is asked for as the queue of the
//!   same number, at every hop, which is what the class is for.
//!
//! What must stay true: reading what was written gives what was written, and whatever we do not write becomes opaque.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::apply::real_port;
use kernel::allocation::IpPrefix;
use kernel::intent::{Action, Dpid, IpFamily, IpMatch, Match, Meter, MeterId, Rule, SwitchFault};

/// A band of this rate, in kbit/s, and the number of our meter more: two terabit per second, never reached.
pub(super) const TAG_RATE_KBPS: u64 = 2_000_000_000;
pub(super) const TCP: u64 = 6;
pub(super) const UDP: u64 = 17;

/// ONOS's numbers for our meters on one switch.
pub(super) type MeterNumbers = BTreeMap<MeterId, u64>;

/// A switch as ONOS names it.
pub(super) fn device(switch: Dpid) -> String {
    format!("of:{switch}")
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
        Match::Mpls { label, bottom_of_stack, in_port } => {
            if let Some(port) = in_port {
                said.push(json!({"type": "IN_PORT", "port": real_port(*port)?}));
            }
            said.push(json!({"type": "ETH_TYPE", "ethType": "0x8847"}));
            said.push(json!({"type": "MPLS_LABEL", "label": label.number()}));
            said.push(json!({"type": "MPLS_BOS", "bos": bottom_of_stack}));
        }
        Match::Ip(
            IpMatch { family: IpFamily::V6, .. } | IpMatch { vlan: Some(_), .. } | IpMatch { dscp: Some(_), .. },
        ) => {
            return Err(SwitchFault::Unsupported { what: "match IPv6, a VLAN or a DSCP" });
        }
        Match::Ip(ipv4) => {
            if let Some(port) = ipv4.in_port {
                said.push(json!({"type": "IN_PORT", "port": real_port(port)?}));
            }
            said.push(json!({"type": "ETH_TYPE", "ethType": "0x0800"}));
            for (name, network) in [("IPV4_SRC", ipv4.src), ("IPV4_DST", ipv4.dst)] {
                if let Some(IpPrefix { address, length }) = network {
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
        Match::Foreign { .. } => return Err(SwitchFault::Unsupported { what: "match that" }),
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
            Action::PopMpls(IpFamily::V6) => return Err(SwitchFault::Unsupported { what: "pop a label off IPv6" }),
            Action::PopMpls(IpFamily::V4) => {
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
            Action::SetQueue(_) | Action::Group(_) | Action::Opaque(_) => {
                return Err(SwitchFault::Unsupported { what: "do that" });
            }
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
