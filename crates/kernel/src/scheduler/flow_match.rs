//! The flow match of an allocation: the packets that an aggregator sends in one level to one node, as far as its report
//! gives addresses; the ingress switch matches by it. What must stay true: no match takes in packets for a consumer at
//! another node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::QosLevel;
use super::report::{Endpoint, Metadata};
use crate::allocation::{Flow, IpPrefix};
use crate::id::Name;

/// The IP protocol of webhook deliveries.
const TCP: u8 = 6;

type FlowPlace<'a> = (QosLevel, &'a Name);

impl Metadata {
    /// The match of each level and node whose source address and consumers' addresses are all known.
    pub fn packets(&self) -> BTreeMap<FlowPlace<'_>, Flow> {
        let groups = self.endpoints();
        let mut by_address: BTreeMap<IpAddr, BTreeSet<FlowPlace<'_>>> = BTreeMap::new();
        for (place, found) in &groups {
            for endpoint in found.iter().flatten() {
                by_address.entry(endpoint.address).or_default().insert(*place);
            }
        }
        let flow = |(place, found)| {
            let endpoints: Vec<Endpoint> = BTreeSet::into_iter(found).collect::<Option<_>>()?;
            let network = around(&endpoints)?;
            // One address may be shared by levels: their ports tell them apart. A network may not.
            let is_own = |(_, others): (_, &BTreeSet<FlowPlace<'_>>)| others.iter().all(|other| *other == place);
            let alone = network.length == width(network.address) || by_address.range(within(network)).all(is_own);
            let first = endpoints.first()?.port;
            let port = first.filter(|port| endpoints.iter().all(|endpoint| endpoint.port == Some(*port)));
            let flow = self.flow_to(network)?;
            alone.then_some((place, Flow { ip_proto: Some(TCP), l4_dst: port, ..flow }))
        };
        groups.into_iter().filter_map(flow).collect()
    }

    /// The packets to a network; `None`: the report does not say from where they come.
    fn flow_to(&self, IpPrefix { address, length }: IpPrefix<IpAddr>) -> Option<Flow> {
        Some(match address {
            IpAddr::V4(address) => Flow {
                ipv4_src: Some(IpPrefix { address: self.presence.address?, length: 32 }),
                ipv4_dst: Some(IpPrefix { address, length }),
                ..Flow::default()
            },
            IpAddr::V6(address) => Flow {
                ipv6_src: Some(IpPrefix { address: self.presence.ipv6_address?, length: 128 }),
                ipv6_dst: Some(IpPrefix { address, length }),
                ..Flow::default()
            },
        })
    }

    /// The endpoints of the consumers of each level and node; `None` among them: a consumer without one.
    fn endpoints(&self) -> BTreeMap<FlowPlace<'_>, BTreeSet<Option<Endpoint>>> {
        let mut groups: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for topic in &self.topics {
            for subscriber in topic.subscribers.iter().filter(|subscriber| subscriber.node != self.node) {
                groups.entry((topic.level, &subscriber.node)).or_default().insert(subscriber.endpoint);
            }
        }
        groups
    }
}

/// The smallest network with all of these addresses; `None`: it would be the whole address space, or they are of two versions.
fn around(endpoints: &[Endpoint]) -> Option<IpPrefix<IpAddr>> {
    let first = endpoints.first()?.address;
    let is_of_one_version = endpoints.iter().all(|endpoint| endpoint.address.is_ipv4() == first.is_ipv4());
    let bits = || endpoints.iter().map(|endpoint| bits(endpoint.address));
    let (low, high) = (bits().min()?, bits().max()?);
    let length = u8::try_from((low ^ high).leading_zeros()).ok()?.min(width(first));
    let address = address(low & !host_bits(length), first);
    (is_of_one_version && length > 0).then_some(IpPrefix { address, length })
}

/// The addresses of a network, from the first to the last.
fn within(network: IpPrefix<IpAddr>) -> RangeInclusive<IpAddr> {
    network.address..=address(bits(network.address) | host_bits(network.length), network.address)
}

/// The bits of an address, from the left.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => address.into(),
    }
}

/// The address with these bits, of the version of another.
fn address(bits: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(bits >> 96).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from(bits).into(),
    }
}

fn host_bits(length: u8) -> u128 {
    u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::super::LEVELS;
    use super::super::report::{LevelReport, Presence, Subscriber, TopicReport};
    use super::*;
    use crate::units::{Bandwidth, Millis};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// A report with consumers, each in a level, at a node, and perhaps with an address and a port.
    fn metadata(consumers: &[(u8, &str, &str, u16)]) -> Metadata {
        let topic = |(level, node, address, port): &(u8, &str, &str, u16)| TopicReport {
            topic: name("t"),
            level: QosLevel::new(*level).unwrap(),
            arrival: Bandwidth::ZERO,
            subscribers: vec![Subscriber {
                consumer: name("c"),
                node: name(node),
                endpoint: address
                    .parse()
                    .ok()
                    .map(|address| Endpoint { address, port: Some(*port).filter(|port| *port > 0) }),
            }],
        };
        let (address, ipv6_address) = (Some(Ipv4Addr::new(10, 0, 0, 1)), Some("fd00::1".parse().unwrap()));
        let presence = Presence { address, ipv6_address, ..Presence::default() };
        let levels = [LevelReport::default(); LEVELS];
        Metadata { node: name("home"), at: Millis(1), presence, levels, topics: consumers.iter().map(topic).collect() }
    }

    /// The matches as text.
    fn told(metadata: &Metadata) -> Vec<String> {
        let say = |((level, node), flow): (FlowPlace<'_>, Flow)| {
            let v4 = flow.ipv4_dst.map(|to| format!("{}/{}", to.address, to.length));
            let v6 = flow.ipv6_dst.map(|to| format!("{}/{}", to.address, to.length));
            let lengths = (flow.ipv4_src.map(|from| from.length), flow.ipv6_src.map(|from| from.length));
            assert_eq!(lengths, (v4.is_some().then_some(32), v6.is_some().then_some(128)));
            format!("{level} {node} {} {:?}", v4.xor(v6).unwrap(), flow.l4_dst)
        };
        metadata.packets().into_iter().map(say).collect()
    }

    #[test]
    fn packets_are_told_by_addresses_and_ports() {
        let one = metadata(&[(2, "b", "10.0.0.9", 7_000), (2, "b", "10.0.0.9", 7_000), (0, "b", "10.0.0.9", 7_001)]);
        assert_eq!(told(&one), ["0 b 10.0.0.9/32 Some(7001)", "2 b 10.0.0.9/32 Some(7000)"]);
        let ports = metadata(&[(2, "b", "10.0.0.9", 7_000), (2, "b", "10.0.0.9", 7_001)]);
        assert_eq!(told(&ports), ["2 b 10.0.0.9/32 None"]);
        let network = metadata(&[(2, "b", "10.0.1.4", 0), (2, "b", "10.0.1.7", 0), (2, "c", "10.0.1.8", 0)]);
        assert_eq!(told(&network), ["2 b 10.0.1.4/30 None", "2 c 10.0.1.8/32 None"]);
    }

    #[test]
    fn consumers_of_ipv6_are_told_as_well() {
        let one = metadata(&[(2, "b", "fd00::9", 7_000), (0, "b", "10.0.0.9", 7_001), (1, "c", "fd00::8", 0)]);
        assert_eq!(told(&one), ["0 b 10.0.0.9/32 Some(7001)", "1 c fd00::8/128 None", "2 b fd00::9/128 Some(7000)"]);
        let network = metadata(&[(2, "b", "fd00::1:4", 0), (2, "b", "fd00::1:7", 0), (2, "c", "fd00::1:8", 0)]);
        assert_eq!(told(&network), ["2 b fd00::1:4/126 None", "2 c fd00::1:8/128 None"]);
        let both = metadata(&[(2, "b", "fd00::9", 0), (2, "b", "10.0.0.9", 0)]);
        assert_eq!(told(&both), Vec::<String>::new(), "one match is of one version");
        let mut without_source = metadata(&[(2, "b", "fd00::9", 0), (1, "b", "10.0.0.9", 0)]);
        without_source.presence.ipv6_address = None;
        assert_eq!(told(&without_source), ["1 b 10.0.0.9/32 None"]);
        let everything = metadata(&[(2, "b", "fd00::9", 0), (2, "b", "2001:db8::9", 0), (1, "b", "8000::1", 0)]);
        assert_eq!(told(&everything), ["1 b 8000::1/128 None"]);
    }

    #[test]
    fn what_cannot_be_told_is_not() {
        // A consumer at another node is in the middle; a consumer gives no address; consumers at the aggregator's node need no link.
        let between = metadata(&[(2, "b", "10.0.1.4", 0), (2, "b", "10.0.1.7", 0), (2, "c", "10.0.1.5", 0)]);
        assert_eq!(told(&between), ["2 c 10.0.1.5/32 None"]);
        let silent = metadata(&[(2, "b", "10.0.1.4", 0), (2, "b", "", 0), (1, "home", "10.0.1.4", 0)]);
        assert_eq!(told(&silent), Vec::<String>::new());
        let everything = metadata(&[(2, "b", "10.0.1.4", 0), (2, "b", "200.0.1.7", 0)]);
        assert_eq!(told(&everything), Vec::<String>::new());
        let mut nowhere = metadata(&[(2, "b", "10.0.1.4", 0)]);
        nowhere.presence.address = None;
        assert_eq!(told(&nowhere), Vec::<String>::new());
    }
}
