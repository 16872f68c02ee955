//! The rules of a label-switched path: the switches with their output ports, and the packets that enter it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::action::{Action, IpFamily};
use super::datapath::{Dpid, PortNo};
use super::failover_rules::Failover;
use super::group::{Group, Ways};
use super::numbering::{PathNumbers, RuleSettings};
use super::rule::{IpMatch, Match, Rule, RuleKey, TABLE};
use super::split::{Entry, Part};
use super::switch_ids::{GroupId, MeterId, MplsLabel};
use crate::allocation::{Allocation, Demand, Flow, IpPrefix, Ipv4Prefix, Ipv6Prefix, Owner};
use crate::class::ClassType;
use crate::id::{AllocationId, Name, NodeIx};
use crate::topology::{Node, Topology};
use crate::units::Bandwidth;

/// How many overlapping flows of equal worth can stand one above the other, the oldest on top.
pub(super) const RANKS: u16 = 33;

const VLAN_MAX: u16 = 4_094;
const DSCP_MAX: u8 = 63;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Why an allocation has no rules.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoRules {
    /// It has no flow, so that no rule is needed.
    #[error("the allocation has no flow: nothing is installed")]
    NoFlow,
    /// A node on its path is not a switch.
    #[error("node '{node}' has no datapath id")]
    NoSwitch {
        /// The node.
        node: Name,
    },
    /// A link on its path has no port at its tail.
    #[error("link '{link}' has no port number at its tail")]
    NoPort {
        /// The link.
        link: Name,
    },
    /// The egress has no host port.
    #[error("node '{node}' has no host port, by which traffic would leave")]
    NoHostPort {
        /// The node.
        node: Name,
    },
    /// The egress has several host ports, and the flow names none of them.
    #[error("node '{node}' has {count} host ports and the flow's out_port names none of them")]
    WhichHostPort {
        /// The node.
        node: Name,
        /// The number of host ports.
        count: usize,
    },
    /// The flow's in_port is not a host port of the ingress.
    #[error("port {port} is not a host port of node '{node}'")]
    NotAHostPort {
        /// The node.
        node: Name,
        /// The port.
        port: u32,
    },
    /// A TCP or UDP port without the protocol.
    #[error("invalid flow: l4_dst needs ip_proto 6 (TCP) or 17 (UDP)")]
    PortWithoutProtocol,
    /// A TCP or UDP port of packets whose answers are to have rules, too.
    #[error(
        "the answers to its packets would be told by a source port, which no rule does: a bidirectional allocation has no l4_dst"
    )]
    PortOfAnswers,
    /// Addresses of IPv4 and of IPv6.
    #[error("invalid flow: its packets are IPv4 or IPv6, not both")]
    TwoFamilies,
    /// No number of a VLAN (IEEE 802.1Q: 12 bits, without 0 and 4095).
    #[error("invalid flow: a vlan is 1 to {VLAN_MAX}")]
    NoSuchVlan,
    /// No DiffServ code point (RFC 2474: 6 bits).
    #[error("invalid flow: a dscp is 0 to {DSCP_MAX}")]
    NoSuchDscp,
    /// An older allocation has the same flow at the same switch.
    #[error("allocation {0} has the same flow at the same switch; this one takes over when that one ends")]
    FlowTaken(AllocationId),
    /// Older allocations have flows that overlap, as specific as this one, one above the other.
    #[error("more than {max} older flows overlap with it at the same switch, and are as specific")]
    TooManyOverlaps {
        /// The most.
        max: u16,
    },
    /// Every flow number is taken.
    #[error("{max} living allocations have flows, for which there are labels and meters: there is none for this one")]
    NoNumber {
        /// The most.
        max: u32,
    },
    /// Another program's rule stands where one of its rules has to.
    #[error("foreign rule with cookie 0x{cookie:x} on switch {switch} {what}")]
    ForeignRule {
        /// The switch.
        switch: Dpid,
        /// Its cookie.
        cookie: u64,
        /// What it does there, as a verb.
        what: &'static str,
    },
    /// Another program's meter has the number of its meter.
    #[error("foreign meter {} on switch {switch} has its number", .meter.0)]
    ForeignMeter {
        /// The switch.
        switch: Dpid,
        /// The number.
        meter: MeterId,
    },
    /// Another program's group has the number of its group.
    #[error("foreign group {} on switch {switch} has its number", .group.0)]
    ForeignGroup {
        /// The switch.
        switch: Dpid,
        /// The number.
        group: GroupId,
    },
    /// Its path is of another topology; a defect.
    #[error("the allocation's path does not fit the topology")]
    NotOfTopology,
    /// Its id does not fit a cookie.
    #[error("the allocation's id does not fit a cookie")]
    NumberTooLarge,
}

/// A path on switches: everything but its numbers, and its place among other flows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    /// Every switch with the port by which it sends the path's packets on; the last one's leads to a host.
    pub(super) hops: Vec<(Dpid, PortNo)>,
    /// The packets that enter at the first switch, at each of its host ports; never those that other switches send by.
    pub(super) heads: Vec<IpMatch>,
    /// How much the flow says of its packets: of two that overlap, the one that says more gets them.
    pub(super) worth: u16,
    /// The class on the line.
    pub(super) class_type: ClassType,
    /// What its switches do by themselves when a port is dead.
    pub(super) failover: Option<Failover>,
    /// The aggregator for a flow of which the scheduler made the path: one that divides it among several.
    pub(super) aggregator: Option<Name>,
}

impl Shape {
    pub(super) fn of(allocation: &Allocation, topology: &Topology) -> Result<Self, NoRules> {
        let flow = allocation.demand.attributes.flow.as_deref().ok_or(NoRules::NoFlow)?;
        let mut hops = Vec::with_capacity(allocation.path.len().saturating_add(1));
        for link in allocation.path.iter().filter_map(|ix| topology.link(*ix)) {
            let (dpid, _) = switch(topology, link.from)?;
            let port = link.from_port.ok_or_else(|| NoRules::NoPort { link: link.name.clone() })?;
            hops.push((dpid, PortNo(port)));
        }
        let (_, ingress) = switch(topology, allocation.demand.ingress)?;
        let (dpid, egress) = switch(topology, allocation.demand.egress)?;
        hops.push((dpid, host_port(egress, flow.out_port)?));
        let said = flow_match(flow, ingress)?;
        let at = |port| IpMatch { in_port: Some(PortNo(port)), ..said };
        let heads = match (said.in_port, host_ports(ingress)) {
            (None, ports @ [_, ..]) => ports.iter().copied().map(at).collect(),
            // Where no host port is known, packets are taken wherever they come from.
            (Some(_), _) | (None, []) => vec![said],
        };
        let failover = Failover::of(allocation, topology, &hops);
        let attributes = &allocation.demand.attributes;
        let aggregator = attributes.aggregator.clone().filter(|_| attributes.owner == Owner::Scheduler);
        Ok(Self { hops, heads, worth: worth(&said), class_type: allocation.demand.class_type, failover, aggregator })
    }

    /// The switches that have rules or groups of the path, some more than once.
    pub(super) fn switches(&self) -> impl Iterator<Item = Dpid> + '_ {
        let standby = self.failover.iter().flat_map(|failover| failover.transits.iter().map(|(dpid, _, _)| *dpid));
        self.hops.iter().map(|(dpid, _)| *dpid).chain(standby)
    }

    /// The switch at which packets enter.
    pub(super) fn ingress(&self) -> Dpid {
        self.hops.first().map_or(Dpid(0), |(dpid, _)| *dpid)
    }

    /// The version of its packets.
    fn family(&self) -> IpFamily {
        self.heads.first().map_or(IpFamily::V4, |head| head.family)
    }

    /// Whether both are paths of one flow that the scheduler divides: the packets that enter by the rules of one may take the other.
    pub(super) fn shares_flow(&self, other: &Self) -> bool {
        let key = |shape: &Self| (shape.class_type, shape.ingress(), shape.hops.last().copied());
        self.aggregator.is_some()
            && self.aggregator == other.aggregator
            && key(self) == key(other)
            && self.heads == other.heads
            && [self, other].iter().all(|shape| shape.failover.is_none())
    }

    /// The rules of a path with these numbers, whose packets enter in this way.
    pub(super) fn rules(&self, numbers: PathNumbers, settings: &RuleSettings, entry: &Entry) -> Vec<(Dpid, Rule)> {
        let mut rules = Vec::with_capacity(self.hops.len());
        let failover = self.failover.as_ref();
        let PathNumbers { cookie, label, meter, group } = numbers;
        let labelled = |out| self.labelled(label, settings, out);
        let label_place = |in_port| label_place(label, settings, in_port);
        let last = self.hops.len().saturating_sub(1);
        for (at, (dpid, port)) in self.hops.iter().enumerate() {
            let mut add = |place, actions| rules.push((*dpid, Rule { place, cookie, actions }));
            let back = failover.and_then(|failover| failover.back(at));
            let out = match failover.and_then(|failover| failover.fallback(at)) {
                Some(_) => Action::Group(group),
                None => Action::Output(*port),
            };
            if at == 0 {
                let Entry::Own { older, parts } = entry else { continue };
                let enter = [Action::Meter(meter), Action::SetDscp(dscp(self.class_type))];
                let send =
                    if parts.is_empty() { self.pushed(label, settings, out) } else { vec![Action::Group(group)] };
                for place in self.head_places(settings, *older) {
                    add(place, [&enter[..], &send].concat());
                }
            } else if at < last {
                add(label_place(back), labelled(out));
            } else {
                let pop = [Action::PopMpls(self.family())];
                add(label_place(None), pop.into_iter().chain(self.queued(settings, Action::Output(*port))).collect());
            }
            if let Some(way) = failover.and_then(|failover| failover.way_of_sent_back(at)) {
                add(label_place(Some(*port)), labelled(Action::Output(way)));
            }
        }
        for (dpid, into, port) in failover.iter().flat_map(|failover| &failover.transits) {
            let (place, actions) = (label_place(Some(*into)), labelled(Action::Output(*port)));
            rules.push((*dpid, Rule { place, cookie, actions }));
        }
        rules
    }

    /// What the ingress does with packets of the path.
    fn pushed(&self, label: MplsLabel, settings: &RuleSettings, out: Action) -> Vec<Action> {
        [Action::PushMpls].into_iter().chain(self.labelled(label, settings, out)).collect()
    }

    /// The path as one of those that its flow is split among.
    pub(super) fn part(&self, label: MplsLabel, settings: &RuleSettings, bandwidth: Bandwidth) -> Part {
        let out = self.hops.first().map_or(PortNo(0), |(_, port)| *port);
        Part { bandwidth, actions: self.pushed(label, settings, Action::Output(out)) }
    }

    fn labelled(&self, label: MplsLabel, settings: &RuleSettings, out: Action) -> Vec<Action> {
        // Where a label is swapped, the datapath writes the whole entry: a traffic class that is not written is that of
        // whichever packet came first.
        let entry = [Action::SetLabel(label), Action::SetTrafficClass(traffic_class(self.class_type))];
        entry.into_iter().chain(self.queued(settings, out)).collect()
    }

    /// Sends packets out, by the queue of their class where switches have queues.
    fn queued(&self, settings: &RuleSettings, out: Action) -> impl Iterator<Item = Action> {
        let queue = settings.has_queues.then(|| Action::SetQueue(u32::from(self.class_type.number())));
        queue.into_iter().chain([out])
    }

    /// The groups of a path with this id, each with its switch, where packets enter in this way.
    pub(super) fn groups(&self, id: GroupId, entry: &Entry) -> Vec<(Dpid, Group)> {
        let split = entry.buckets().map(|buckets| (self.ingress(), Group { id, ways: Ways::Split(buckets) }));
        self.failovers(id).chain(split).collect()
    }

    /// Those by which it fails over.
    pub(super) fn failovers(&self, id: GroupId) -> impl Iterator<Item = (Dpid, Group)> + '_ {
        let transits = self.hops.len().saturating_sub(1);
        self.hops.iter().take(transits).enumerate().filter_map(move |(at, (dpid, port))| {
            let fallback = self.failover.as_ref()?.fallback(at)?;
            Some((*dpid, Group { id, ways: Ways::Failover { working: *port, fallback } }))
        })
    }

    /// The places of the rules at the first switch.
    pub(super) fn head_places(&self, settings: &RuleSettings, older: u16) -> impl Iterator<Item = RuleKey> + '_ {
        let priority = settings.numbering.priority_min() + self.worth * RANKS + (RANKS - 1).saturating_sub(older);
        self.heads.iter().map(move |one| RuleKey { table: TABLE, priority, matches: Match::Ip(*one) })
    }
}

/// The traffic class of an MPLS header (RFC 5462) that stands for a class type.
pub fn traffic_class(class_type: ClassType) -> u8 {
    class_type.number()
}

/// The DiffServ code point that stands for a class type: the class selector of the same number (RFC 2474 §4.2.2).
pub fn dscp(class_type: ClassType) -> u8 {
    class_type.number() << 3
}

/// The place of the rule for a label, from any port or from one.
pub(super) fn label_place(label: MplsLabel, settings: &RuleSettings, in_port: Option<PortNo>) -> RuleKey {
    let numbering = settings.numbering;
    let priority = if in_port.is_some() { numbering.port_label_priority() } else { numbering.label_priority() };
    RuleKey { table: TABLE, priority, matches: Match::Mpls { label, bottom_of_stack: true, in_port } }
}

/// The field of a flow for which no switch could ever hold rules, and why. What a new revision of the topology can bring,
/// such as host ports where none are known, is not looked at.
pub(crate) fn impossible_flow(demand: &Demand, topology: &Topology) -> Option<(&'static str, NoRules)> {
    let flow = demand.attributes.flow.as_deref()?;
    if let found @ Some(_) = contradiction(flow) {
        return found;
    }
    if demand.attributes.is_bidirectional && flow.l4_dst.is_some() {
        return Some(("flow.l4_dst", NoRules::PortOfAnswers));
    }
    let ends = [("flow.in_port", demand.ingress, flow.in_port), ("flow.out_port", demand.egress, flow.out_port)];
    ends.into_iter().find_map(|(field, node, port)| {
        let (node, port) = (topology.node(node)?, port?);
        let ports = host_ports(node);
        let is_one = ports.is_empty() || ports.contains(&port);
        (!is_one).then(|| (field, NoRules::NotAHostPort { node: node.name.clone(), port }))
    })
}

fn switch(topology: &Topology, at: NodeIx) -> Result<(Dpid, &Node), NoRules> {
    let node = topology.node(at).ok_or(NoRules::NotOfTopology)?;
    let switch = node.switch.as_ref().ok_or_else(|| NoRules::NoSwitch { node: node.name.clone() })?;
    Ok((Dpid(switch.dpid), node))
}

fn host_ports(node: &Node) -> &[u32] {
    node.switch.as_ref().map_or(&[], |switch| &switch.host_ports)
}

fn host_port(node: &Node, wanted: Option<u32>) -> Result<PortNo, NoRules> {
    let node_name = || node.name.clone();
    match (host_ports(node), wanted) {
        ([], _) => Err(NoRules::NoHostPort { node: node_name() }),
        (ports, Some(port)) if ports.contains(&port) => Ok(PortNo(port)),
        (_, Some(port)) => Err(NoRules::NotAHostPort { node: node_name(), port }),
        ([only], None) => Ok(PortNo(*only)),
        (ports, None) => Err(NoRules::WhichHostPort { node: node_name(), count: ports.len() }),
    }
}

fn flow_match(flow: &Flow, ingress: &Node) -> Result<IpMatch, NoRules> {
    if let Some(port) = flow.in_port
        && !host_ports(ingress).contains(&port)
    {
        return Err(NoRules::NotAHostPort { node: ingress.name.clone(), port });
    }
    if let Some((_, why)) = contradiction(flow) {
        return Err(why);
    }
    let is_v6 = flow.ipv6_src.is_some() || flow.ipv6_dst.is_some();
    let v4 = |prefix: Ipv4Prefix| network(prefix.address.into(), prefix.length);
    let v6 = |prefix: Ipv6Prefix| network(prefix.address.into(), prefix.length);
    Ok(IpMatch {
        family: if is_v6 { IpFamily::V6 } else { IpFamily::V4 },
        in_port: flow.in_port.map(PortNo),
        vlan: flow.vlan,
        src: flow.ipv4_src.and_then(v4).or(flow.ipv6_src.and_then(v6)),
        dst: flow.ipv4_dst.and_then(v4).or(flow.ipv6_dst.and_then(v6)),
        dscp: flow.dscp,
        ip_proto: flow.ip_proto,
        l4_dst: flow.l4_dst,
    })
}

/// The field in which a flow contradicts itself, or says what no packet has.
fn contradiction(flow: &Flow) -> Option<(&'static str, NoRules)> {
    if flow.l4_dst.is_some() && !matches!(flow.ip_proto, Some(TCP | UDP)) {
        return Some(("flow.l4_dst", NoRules::PortWithoutProtocol));
    }
    let has_v4 = flow.ipv4_src.is_some() || flow.ipv4_dst.is_some();
    for (field, prefix) in [("flow.ipv6_src", flow.ipv6_src), ("flow.ipv6_dst", flow.ipv6_dst)] {
        if has_v4 && prefix.is_some() {
            return Some((field, NoRules::TwoFamilies));
        }
    }
    if flow.vlan.is_some_and(|vlan| !(1..=VLAN_MAX).contains(&vlan)) {
        return Some(("flow.vlan", NoRules::NoSuchVlan));
    }
    flow.dscp.is_some_and(|dscp| dscp > DSCP_MAX).then_some(("flow.dscp", NoRules::NoSuchDscp))
}

fn worth(said: &IpMatch) -> u16 {
    let bits = |prefix: Option<IpPrefix<IpAddr>>| prefix.map_or(0, |prefix| u16::from(prefix.length));
    let if_said = |is_said: bool, worth: u16| if is_said { worth } else { 0 };
    bits(said.src)
        + bits(said.dst)
        + if_said(said.in_port.is_some(), 4)
        + if_said(said.vlan.is_some(), 12)
        + if_said(said.dscp.is_some(), 6)
        + if_said(said.ip_proto.is_some(), 8)
        + if_said(said.l4_dst.is_some(), 16)
}

/// Without the host bits; a network of all addresses is no match at all.
fn network(address: IpAddr, length: u8) -> Option<IpPrefix<IpAddr>> {
    let kept = |bits: u32| length.min(u8::try_from(bits).unwrap_or(u8::MAX));
    let (address, length): (IpAddr, u8) = match address {
        IpAddr::V4(address) => {
            let length = kept(u32::BITS);
            let mask = u32::MAX.checked_shl(u32::BITS - u32::from(length)).unwrap_or(0);
            (Ipv4Addr::from(u32::from(address) & mask).into(), length)
        }
        IpAddr::V6(address) => {
            let length = kept(u128::BITS);
            let mask = u128::MAX.checked_shl(u128::BITS - u32::from(length)).unwrap_or(0);
            (Ipv6Addr::from(u128::from(address) & mask).into(), length)
        }
    };
    (length > 0).then_some(IpPrefix { address, length })
}
