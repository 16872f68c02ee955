//! The flow match of an allocation: the packets that an aggregator sends in one level to one node, as far as its report
//! gives addresses; the ingress switch matches by it. What must stay true: no match takes in packets for a consumer at
//! another node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::QosLevel;
use super::report::{Endpoint, Metadata};
use crate::allocation::{Flow, Ipv4Prefix};
use crate::id::Name;

/// The IP protocol of webhook deliveries.
const TCP: u8 = 6;

type FlowPlace<'a> = (QosLevel, &'a Name);

impl Metadata {
    /// The match of each level and node whose source address and consumers' addresses are all known.
    pub fn packets(&self) -> BTreeMap<FlowPlace<'_>, Flow> {
        let Some(source) = self.presence.address else { return BTreeMap::new() };
        let groups = self.endpoints();
        let mut by_address: BTreeMap<Ipv4Addr, BTreeSet<FlowPlace<'_>>> = BTreeMap::new();
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
            let alone = network.length == 32 || by_address.range(within(network)).all(is_own);
            let first = endpoints.first()?.port;
            let port = first.filter(|port| endpoints.iter().all(|endpoint| endpoint.port == Some(*port)));
            let flow = Flow {
                ipv4_src: Some(Ipv4Prefix { address: source, length: 32 }),
                ipv4_dst: Some(network),
                ip_proto: Some(TCP),
                l4_dst: port,
                ..Flow::default()
            };
            alone.then_some((place, flow))
        };
        groups.into_iter().filter_map(flow).collect()
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

/// The smallest network with all of these addresses; `None`: it would be the whole address space.
fn around(endpoints: &[Endpoint]) -> Option<Ipv4Prefix> {
    let bits = || endpoints.iter().map(|endpoint| u32::from(endpoint.address));
    let length = (bits().min()? ^ bits().max()?).leading_zeros();
    let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
    let address = Ipv4Addr::from(bits().min()? & mask);
    Some(Ipv4Prefix { address, length: u8::try_from(length).ok()? }).filter(|network| network.length > 0)
}

/// The addresses of a network, from the first to the last.
fn within(network: Ipv4Prefix) -> RangeInclusive<Ipv4Addr> {
    let hosts = u32::MAX.checked_shr(u32::from(network.length)).unwrap_or(0);
    network.address..=Ipv4Addr::from(u32::from(network.address) | hosts)
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
        let presence = Presence { address: Some(Ipv4Addr::new(10, 0, 0, 1)), ..Presence::default() };
        let levels = [LevelReport::default(); LEVELS];
        Metadata { node: name("home"), at: Millis(1), presence, levels, topics: consumers.iter().map(topic).collect() }
    }

    /// The matches as text.
    fn told(metadata: &Metadata) -> Vec<String> {
        let say = |((level, node), flow): (FlowPlace<'_>, Flow)| {
            let to = flow.ipv4_dst.unwrap();
            assert_eq!(flow.ipv4_src.unwrap().length, 32);
            format!("{level} {node} {}/{} {:?}", to.address, to.length, flow.l4_dst)
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
