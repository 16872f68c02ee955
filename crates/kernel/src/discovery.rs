//! Discovery: the switches and links that a controller reports, merged into a topology. New ones are added, known links get
//! their ports; what was configured stays.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{Name, NameError, NodeIx};
use super::intent::{Dpid, PortNo};
use super::topology::{CapacitySource, Link, LinkState, Node, Switch, Topology, TopologyError};
use super::units::{Bandwidth, Micros};

/// The network that a controller reports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// The switches, each with its ports.
    pub switches: BTreeMap<Dpid, Vec<SeenPort>>,
    /// The links between them, each direction by itself.
    pub links: BTreeSet<SeenLink>,
}

/// A reported port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeenPort {
    /// Its number.
    pub number: PortNo,
    /// Whether it can carry packets.
    pub is_live: bool,
    /// Its reported speed.
    pub speed: Option<Bandwidth>,
}

/// One direction of a reported link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SeenLink {
    /// The tail.
    pub from: (Dpid, PortNo),
    /// The head.
    pub to: (Dpid, PortNo),
}

/// A topology with the report merged into it.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The merged topology.
    pub topology: Topology,
    /// Nodes that are new.
    pub added_nodes: Vec<String>,
    /// Links that are new.
    pub added_links: Vec<String>,
    /// Links that got their ports.
    pub completed_links: Vec<String>,
    /// Nodes that are switches but are not in the report.
    pub unseen_nodes: Vec<String>,
    /// Links that are not in the report.
    pub unseen_links: Vec<String>,
}

/// Why the merged topology is invalid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MergeError {
    /// A new link's capacity is not known.
    #[error("new link '{link}' does not have a known capacity: give default_capacity_bps")]
    NoCapacity {
        /// The link.
        link: String,
    },
    /// An invalid name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An invalid topology.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Merges a report into a topology.
///
/// # Errors
/// The report and the topology are both empty; a new link's capacity is not known; or a limit is exceeded.
pub fn merge(known: Option<&Topology>, seen: &Survey, default: Option<Bandwidth>) -> Result<Merged, MergeError> {
    let mut nodes: Vec<Node> = known.into_iter().flat_map(Topology::nodes).map(|(_, node)| node.clone()).collect();
    let mut links: Vec<Link> = known.into_iter().flat_map(Topology::links).map(|(_, link)| link.clone()).collect();
    let mut left = seen.links.clone();
    let unseen_nodes = unseen(&nodes, seen);
    let added_nodes = add_nodes(&mut nodes, seen)?;
    let dpids: Vec<Option<Dpid>> =
        nodes.iter().map(|node| node.switch.as_ref().map(|switch| Dpid(switch.dpid))).collect();
    let (completed_links, unseen_links) = complete(&mut links, &dpids, &mut left);
    let added_links = add_links(&mut links, &nodes, &dpids, &left, seen, default)?;
    let topology = Topology::new(nodes, links)?;
    Ok(Merged { topology, added_nodes, added_links, completed_links, unseen_nodes, unseen_links })
}

fn unseen(nodes: &[Node], seen: &Survey) -> Vec<String> {
    let switches = nodes.iter().filter_map(|node| Some((node, node.switch.as_ref()?)));
    let unseen = switches.filter(|(_, switch)| !seen.switches.contains_key(&Dpid(switch.dpid)));
    unseen.map(|(node, _)| node.name.to_string()).collect()
}

/// Adds the new switches, and sets the host ports of switches without: the live ports that lead to no other switch.
fn add_nodes(nodes: &mut Vec<Node>, seen: &Survey) -> Result<Vec<String>, NameError> {
    let between: BTreeSet<(Dpid, PortNo)> = seen.links.iter().flat_map(|link| [link.from, link.to]).collect();
    let mut added = vec![];
    for (dpid, ports) in &seen.switches {
        let hosts = ports.iter().filter(|port| port.is_live && !between.contains(&(*dpid, port.number)));
        let host_ports: Vec<u32> = hosts.map(|port| port.number.0).collect();
        let mut switches = nodes.iter_mut().filter_map(|node| node.switch.as_mut());
        match switches.find(|switch| switch.dpid == dpid.0) {
            Some(switch) if switch.host_ports.is_empty() => switch.host_ports = host_ports,
            Some(_) => {}
            None => {
                let name = dpid.to_string();
                let switch = Some(Switch { dpid: dpid.0, host_ports });
                nodes.push(Node { name: Name::new(&name)?, label: None, position: None, switch });
                added.push(name);
            }
        }
    }
    Ok(added)
}

/// Removes from `left` the links that are known by their ports, and sets the ports of links that only one report fits.
fn complete(links: &mut [Link], dpids: &[Option<Dpid>], left: &mut BTreeSet<SeenLink>) -> (Vec<String>, Vec<String>) {
    let ends = |link: &Link| Some((*dpids.get(link.from.at())?.as_ref()?, *dpids.get(link.to.at())?.as_ref()?));
    let mut waiting: BTreeMap<(Dpid, Dpid), Vec<usize>> = BTreeMap::new();
    let mut missing = vec![];
    for (at, link) in links.iter().enumerate() {
        match (ends(link), link.from_port, link.to_port) {
            (Some((from, to)), Some(out), Some(into)) => {
                if !left.remove(&SeenLink { from: (from, PortNo(out)), to: (to, PortNo(into)) }) {
                    missing.push(link.name.to_string());
                }
            }
            (Some(pair), _, _) => waiting.entry(pair).or_default().push(at),
            (None, _, _) => missing.push(link.name.to_string()),
        }
    }
    let mut completed = vec![];
    for ((from, to), places) in waiting {
        let candidates: Vec<SeenLink> =
            left.iter().filter(|seen| seen.from.0 == from && seen.to.0 == to).copied().collect();
        let only = match (places.as_slice(), candidates.as_slice()) {
            ([place], [candidate]) => links.get_mut(*place).map(|link| (link, *candidate)),
            _ => None,
        };
        if let Some((link, candidate)) = only {
            (link.from_port, link.to_port) = (Some(candidate.from.1.0), Some(candidate.to.1.0));
            left.remove(&candidate);
            completed.push(link.name.to_string());
        } else {
            missing.extend(places.iter().filter_map(|place| links.get(*place)).map(|link| link.name.to_string()));
            // Parallel links without ports cannot be told apart: none of them is taken for a new one.
            left.retain(|seen| !candidates.contains(seen));
        }
    }
    (completed, missing)
}

fn add_links(
    links: &mut Vec<Link>,
    nodes: &[Node],
    dpids: &[Option<Dpid>],
    left: &BTreeSet<SeenLink>,
    seen: &Survey,
    default: Option<Bandwidth>,
) -> Result<Vec<String>, MergeError> {
    let at = |dpid: Dpid| dpids.iter().position(|other| *other == Some(dpid));
    let mut places: BTreeMap<SeenLink, usize> = BTreeMap::new();
    let mut added = vec![];
    for new in left {
        let (Some(from), Some(to)) = (at(new.from.0), at(new.to.0)) else { continue };
        let (Some(tail), Some(head)) = (nodes.get(from), nodes.get(to)) else { continue };
        if from == to {
            continue;
        }
        let name = format!("{}:{}-{}:{}", tail.name, new.from.1.0, head.name, new.to.1.0);
        let (capacity, capacity_from) = match (default, speed(seen, new.from)) {
            (Some(capacity), _) => (capacity, CapacitySource::Default),
            (None, Some(capacity)) => (capacity, CapacitySource::Given),
            (None, None) => return Err(MergeError::NoCapacity { link: name }),
        };
        places.insert(*new, links.len());
        links.push(Link {
            name: Name::new(&name)?,
            from: NodeIx(u32::try_from(from).unwrap_or(u32::MAX)),
            to: NodeIx(u32::try_from(to).unwrap_or(u32::MAX)),
            capacity,
            max_reservable: capacity,
            te_metric: 1,
            delay: Micros(0),
            srlg: vec![],
            admin_group: 0,
            state: LinkState::Up,
            from_port: Some(new.from.1.0),
            to_port: Some(new.to.1.0),
            twin: None,
            capacity_from,
            is_avoided: false,
        });
        added.push(name);
    }
    for (new, place) in &places {
        let twin = places.get(&SeenLink { from: new.to, to: new.from });
        if let (Some(twin), Some(link)) = (twin, links.get_mut(*place)) {
            link.twin = u32::try_from(*twin).ok().map(super::id::LinkIx);
        }
    }
    Ok(added)
}

fn speed(seen: &Survey, (dpid, port): (Dpid, PortNo)) -> Option<Bandwidth> {
    let port = seen.switches.get(&dpid)?.iter().find(|other| other.number == port)?;
    port.speed.filter(|speed| !speed.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Survey {
        let port = |number| SeenPort { number: PortNo(number), is_live: true, speed: None };
        let (one, two) = ((Dpid(1), PortNo(2)), (Dpid(2), PortNo(2)));
        Survey {
            switches: [(Dpid(1), vec![port(1), port(2)]), (Dpid(2), vec![port(1), port(2)])].into(),
            links: [SeenLink { from: one, to: two }, SeenLink { from: two, to: one }].into(),
        }
    }

    #[test]
    fn a_network_is_learnt_and_learnt_again_without_change() {
        assert!(matches!(merge(None, &pair(), None), Err(MergeError::NoCapacity { .. })));
        let capacity = Bandwidth::from_bps(8_000_000);
        let first = merge(None, &pair(), capacity).unwrap();
        assert_eq!((first.added_nodes.len(), first.added_links.len()), (2, 2));
        let (_, node) = first.topology.nodes().next().unwrap();
        assert_eq!(node.switch, Some(Switch { dpid: 1, host_ports: vec![1] }));
        assert!(first.topology.links().all(|(_, link)| link.twin.is_some()));
        let again = merge(Some(&first.topology), &pair(), None).unwrap();
        assert_eq!(again.topology, first.topology);
        assert!(again.added_links.is_empty() && again.unseen_links.is_empty());
    }

    #[test]
    fn what_was_configured_stays_and_is_completed() {
        let mut bare = merge(None, &pair(), Bandwidth::from_bps(5)).unwrap().topology;
        let links: Vec<_> = bare.links().map(|(ix, link)| (ix, link.clone())).collect();
        for (ix, link) in links {
            bare.replace_link(ix, Link { from_port: None, to_port: None, ..link }).unwrap();
        }
        let merged = merge(Some(&bare), &pair(), Bandwidth::from_bps(9)).unwrap();
        assert_eq!((merged.completed_links.len(), merged.added_links.len()), (2, 0));
        let kept = |link: &Link| link.capacity.as_bps() == 5 && link.from_port == Some(2);
        assert!(merged.topology.links().all(|(_, link)| kept(link)));
        let nothing = merge(Some(&bare), &Survey::default(), None).unwrap();
        assert_eq!((nothing.unseen_nodes.len(), nothing.unseen_links.len()), (2, 2));
        assert_eq!(nothing.topology, bare);
    }
}
