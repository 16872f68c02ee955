//! A validated directed multigraph: nodes, and links with capacity, metrics, risk groups and state. Parallel links are
//! ordinary, self-loops are refused, islands are allowed. Neighbour order is fixed: links are numbered by tail node, and
//! in the order given within one tail, so that equal inputs give equal paths.

use std::collections::BTreeMap;

use petgraph::graph::DiGraph;
use petgraph::unionfind::UnionFind;

use self::error::{at_most, within};
use crate::id::{LinkIx, Name, NodeIx};
use crate::units::Bandwidth;

mod element;
mod error;

pub use element::{
    CapacitySource, DELAY_MAX, HOST_PORTS_MAX, LINKS_MAX, Link, LinkState, NODES_MAX, Node, PORT_MAX, Position,
    SRLGS_MAX, Switch, TE_METRIC_MAX,
};
pub use error::TopologyError;

/// A validated topology: names resolve, adjacency is known.
#[derive(Clone, Debug)]
pub struct Topology {
    graph: DiGraph<Node, Link>,
    nodes_by_name: BTreeMap<Name, NodeIx>,
    links_by_name: BTreeMap<Name, LinkIx>,
}

impl Topology {
    /// Checks and indexes. Links are renumbered by tail node (stable within one), and `twin`s with them; SRLGs are sorted.
    ///
    /// # Errors
    /// The first fault found, naming the node or link.
    pub fn new(nodes: Vec<Node>, links: Vec<Link>) -> Result<Self, TopologyError> {
        if nodes.is_empty() {
            return Err(TopologyError::Empty);
        }
        if nodes.len() > NODES_MAX {
            return Err(TopologyError::TooManyNodes { count: nodes.len() });
        }
        if links.len() > LINKS_MAX {
            return Err(TopologyError::TooManyLinks { count: links.len() });
        }
        let mut graph = DiGraph::with_capacity(nodes.len(), links.len());
        let mut nodes_by_name = BTreeMap::new();
        let mut dpids: BTreeMap<u64, Name> = BTreeMap::new();
        for node in nodes {
            check_node(&node)?;
            if let Some(switch) = &node.switch
                && let Some(first) = dpids.insert(switch.dpid, node.name.clone())
            {
                return Err(TopologyError::DuplicateDpid { dpid: switch.dpid, first, second: node.name });
            }
            let name = node.name.clone();
            let ix = graph.add_node(node);
            if nodes_by_name.insert(name.clone(), node_ix(ix)).is_some() {
                return Err(TopologyError::DuplicateNode(name));
            }
        }
        let mut links_by_name = BTreeMap::new();
        for (at, mut link) in by_tail(links).into_iter().enumerate() {
            check_link(&mut link, graph.node_count())?;
            let ix = LinkIx(u32::try_from(at).unwrap_or(u32::MAX));
            if links_by_name.insert(link.name.clone(), ix).is_some() {
                return Err(TopologyError::DuplicateLink(link.name));
            }
            graph.add_edge(link.from.0.into(), link.to.0.into(), link);
        }
        let topology = Self { graph, nodes_by_name, links_by_name };
        topology.check_twins()?;
        Ok(topology)
    }

    /// How many nodes there are; a [`NodeIx`] is below this.
    pub fn node_count(&self) -> usize {
        self.graph.node_count()
    }

    /// How many directed links there are; a [`LinkIx`] is below this.
    pub fn link_count(&self) -> usize {
        self.graph.edge_count()
    }

    /// The node, if `ix` is one of this topology.
    pub fn node(&self, ix: NodeIx) -> Option<&Node> {
        self.graph.node_weight(ix.0.into())
    }

    /// The link, if `ix` is one of this topology.
    pub fn link(&self, ix: LinkIx) -> Option<&Link> {
        self.graph.edge_weight(ix.0.into())
    }

    /// All nodes, in the order given.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIx, &Node)> {
        self.graph.raw_nodes().iter().zip(0..).map(|(node, at)| (NodeIx(at), &node.weight))
    }

    /// All links, in their numbered order.
    pub fn links(&self) -> impl Iterator<Item = (LinkIx, &Link)> {
        self.graph.raw_edges().iter().zip(0..).map(|(edge, at)| (LinkIx(at), &edge.weight))
    }

    /// Resolves a node's key.
    pub fn node_named(&self, name: &str) -> Option<NodeIx> {
        self.nodes_by_name.get(name).copied()
    }

    /// Resolves a link's key.
    pub fn link_named(&self, name: &str) -> Option<LinkIx> {
        self.links_by_name.get(name).copied()
    }

    /// The graph, for planning algorithms. Its indices are those of [`NodeIx`] and [`LinkIx`].
    pub fn graph(&self) -> &DiGraph<Node, Link> {
        &self.graph
    }

    /// How many islands there are: parts between which no link runs, in either direction.
    pub fn island_count(&self) -> usize {
        let mut sets = UnionFind::<u32>::new(self.node_count());
        let joins = self.links().filter(|(_, link)| sets.union(link.from.0, link.to.0)).count();
        self.node_count().saturating_sub(joins)
    }

    /// Puts another link in the place of `ix` and returns the old one. Name and ends must not change.
    ///
    /// # Errors
    /// As [`Topology::new`] for that link; nothing changed then.
    pub fn replace_link(&mut self, ix: LinkIx, mut link: Link) -> Result<Link, TopologyError> {
        check_link(&mut link, self.node_count())?;
        match self.graph.edge_weight_mut(ix.0.into()) {
            Some(old) if (old.from, old.to, &old.name, old.twin) == (link.from, link.to, &link.name, link.twin) => {
                Ok(std::mem::replace(old, link))
            }
            _ => Err(TopologyError::UnknownEnd { link: link.name }),
        }
    }

    fn check_twins(&self) -> Result<(), TopologyError> {
        for (ix, link) in self.links() {
            let Some(twin) = link.twin else { continue };
            let good = self.link(twin).is_some_and(|other| {
                other.twin == Some(ix) && other.from == link.to && other.to == link.from && twin != ix
            });
            if !good {
                return Err(TopologyError::BadTwin(link.name.clone()));
            }
        }
        Ok(())
    }
}

impl PartialEq for Topology {
    fn eq(&self, other: &Self) -> bool {
        self.nodes().eq(other.nodes()) && self.links().eq(other.links())
    }
}

impl Eq for Topology {}

impl Link {
    /// Checks every number, and sorts the risk groups.
    ///
    /// # Errors
    /// [`TopologyError::OutOfRange`], [`TopologyError::TooMany`].
    pub fn check(&mut self) -> Result<(), TopologyError> {
        let largest = i128::from(Bandwidth::MAX.as_bps());
        within(&self.name, "capacity_bps", i128::from(self.capacity.as_bps()), 1, largest)?;
        within(&self.name, "te_metric", i128::from(self.te_metric), 1, i128::from(TE_METRIC_MAX))?;
        within(&self.name, "delay_us", i128::from(self.delay.0), 0, i128::from(DELAY_MAX.0))?;
        at_most(&self.name, "srlg", self.srlg.len(), SRLGS_MAX)?;
        self.srlg.sort_unstable();
        self.srlg.dedup();
        Ok(())
    }
}

fn node_ix(ix: petgraph::graph::NodeIndex) -> NodeIx {
    NodeIx(u32::try_from(ix.index()).unwrap_or(u32::MAX))
}

/// Stable order by tail, with twins renumbered to match.
fn by_tail(links: Vec<Link>) -> Vec<Link> {
    let mut order: Vec<usize> = (0..links.len()).collect();
    order.sort_by_key(|at| links.get(*at).map(|link| link.from));
    let mut new_at = vec![LinkIx(u32::MAX); links.len()];
    for (new, old) in order.iter().enumerate() {
        if let Some(place) = new_at.get_mut(*old) {
            *place = LinkIx(u32::try_from(new).unwrap_or(u32::MAX));
        }
    }
    let mut sorted = links;
    for link in &mut sorted {
        link.twin = link.twin.map(|twin| new_at.get(twin.at()).copied().unwrap_or(LinkIx(u32::MAX)));
    }
    sorted.sort_by_key(|link| link.from);
    sorted
}

/// Where a port of a switch leads.
struct PortUse<'a> {
    /// The node at the other end; `None`: a host.
    peer: Option<NodeIx>,
    /// The link that has the port, or the node, if it is one of its host ports.
    by: &'a Name,
    leaves: bool,
}

impl Topology {
    /// Checks what is known of switches: datapath ids are above 0, ports are real ones, and each leads to one place. Apart
    /// from [`Topology::new`], so that a topology that was taken before this was checked can still be read.
    ///
    /// # Errors
    /// The first node or link that breaks a rule.
    pub fn check_switches(&self) -> Result<(), TopologyError> {
        let mut ports = BTreeMap::new();
        for (ix, node) in self.nodes() {
            let Some(switch) = &node.switch else { continue };
            within(&node.name, "dpid", i128::from(switch.dpid), 1, i128::from(u64::MAX))?;
            for port in &switch.host_ports {
                let host = PortUse { peer: None, by: &node.name, leaves: true };
                use_port(&mut ports, (ix, *port), host, (&node.name, "host_ports"))?;
            }
        }
        for (_, link) in self.links() {
            for (at, port, peer, leaves, field) in [
                (link.from, link.from_port, link.to, true, "from_port"),
                (link.to, link.to_port, link.from, false, "to_port"),
            ] {
                if let Some(port) = port {
                    let end = PortUse { peer: Some(peer), by: &link.name, leaves };
                    use_port(&mut ports, (at, port), end, (&link.name, field))?;
                }
            }
        }
        Ok(())
    }
}

/// A port has one link each way, both to the same node.
fn use_port<'a>(
    ports: &mut BTreeMap<(NodeIx, u32), Vec<PortUse<'a>>>,
    (node, port): (NodeIx, u32),
    end: PortUse<'a>,
    (of, field): (&Name, &'static str),
) -> Result<(), TopologyError> {
    within(of, field, i128::from(port), 1, i128::from(PORT_MAX))?;
    let uses = ports.entry((node, port)).or_default();
    match uses.iter().find(|other| other.peer != end.peer || other.leaves == end.leaves) {
        Some(other) => Err(TopologyError::PortTaken { of: of.clone(), field, port, by: other.by.clone() }),
        None => {
            uses.push(end);
            Ok(())
        }
    }
}

fn check_node(node: &Node) -> Result<(), TopologyError> {
    if let Some(Position::Geographic { latitude_udeg, longitude_udeg }) = node.position {
        within(&node.name, "latitude_udeg", i128::from(latitude_udeg), -90_000_000, 90_000_000)?;
        within(&node.name, "longitude_udeg", i128::from(longitude_udeg), -180_000_000, 180_000_000)?;
    }
    if let Some(switch) = &node.switch {
        at_most(&node.name, "host_ports", switch.host_ports.len(), HOST_PORTS_MAX)?;
    }
    Ok(())
}

fn check_link(link: &mut Link, nodes: usize) -> Result<(), TopologyError> {
    if link.from.at() >= nodes || link.to.at() >= nodes {
        return Err(TopologyError::UnknownEnd { link: link.name.clone() });
    }
    if link.from == link.to {
        return Err(TopologyError::SelfLoop(link.name.clone()));
    }
    link.check()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Micros;

    fn node(name: &str) -> Node {
        Node { name: Name::new(name).unwrap(), label: None, position: None, switch: None }
    }

    fn link(name: &str, from: u32, to: u32) -> Link {
        Link {
            name: Name::new(name).unwrap(),
            from: NodeIx(from),
            to: NodeIx(to),
            capacity: Bandwidth::saturating_from_bps(1_000),
            max_reservable: Bandwidth::saturating_from_bps(1_000),
            te_metric: 1,
            delay: Micros(0),
            srlg: vec![7, 3, 7],
            admin_group: 0,
            state: LinkState::Up,
            from_port: None,
            to_port: None,
            twin: None,
            capacity_from: CapacitySource::Given,
            is_avoided: false,
        }
    }

    #[test]
    fn links_are_numbered_by_tail_and_twins_follow() {
        let mut there = link("there", 1, 0);
        let mut back = link("back", 0, 1);
        there.twin = Some(LinkIx(1));
        back.twin = Some(LinkIx(0));
        let topology = Topology::new(vec![node("a"), node("b")], vec![there, back, link("more", 0, 1)]).unwrap();
        let names: Vec<_> = topology.links().map(|(_, link)| link.name.as_str()).collect();
        assert_eq!(names, ["back", "more", "there"]);
        assert_eq!(topology.link(LinkIx(0)).unwrap().twin, Some(LinkIx(2)));
        assert_eq!(topology.link(LinkIx(0)).unwrap().srlg, [3, 7]);
        assert_eq!(topology.link_named("there"), Some(LinkIx(2)));
        assert_eq!(topology.island_count(), 1);
    }

    #[test]
    fn a_port_of_a_switch_leads_to_one_place() {
        let fault = |ports: [Option<u32>; 4], host_ports: &[u32], dpid: u64| {
            let switch = Switch { dpid, host_ports: host_ports.to_vec() };
            let nodes = vec![Node { switch: Some(switch), ..node("a") }, node("b"), node("c")];
            let [mut there, mut back, mut other, mut odd] =
                [link("there", 0, 1), link("back", 1, 0), link("other", 0, 2), link("odd", 2, 0)];
            (there.from_port, back.to_port) = (ports[0], ports[1]);
            (other.from_port, odd.to_port) = (ports[2], ports[3]);
            Topology::new(nodes, vec![there, back, other, odd]).unwrap().check_switches().err().map(|it| it.to_string())
        };
        let taken = |of: &str, port: u32, by: &str| Some(format!("invalid {of}: port {port} is taken by '{by}'"));
        assert_eq!(fault([Some(2), Some(2), Some(3), Some(3)], &[1], 1), None);
        assert_eq!(fault([None; 4], &[], 1), None);
        assert_eq!(fault([Some(2), None, Some(2), None], &[1], 1), taken("from_port of other", 2, "there"));
        assert_eq!(fault([Some(2), None, None, Some(2)], &[1], 1), taken("to_port of odd", 2, "there"));
        assert_eq!(fault([Some(1), None, None, None], &[1], 1), taken("from_port of there", 1, "a"));
        assert_eq!(fault([None; 4], &[1, 1], 1), taken("host_ports of a", 1, "a"));
        for (ports, host_ports, dpid) in [
            ([Some(0), None, None, None], &[1][..], 1),
            ([Some(0xFFFF_FFFD), None, None, None], &[1], 1),
            ([None; 4], &[0], 1),
            ([None; 4], &[0xFFFF_FF01], 1),
            ([None; 4], &[1], 0),
        ] {
            assert!(fault(ports, host_ports, dpid).unwrap().contains("is not within 1 to "));
        }
    }

    #[test]
    fn faults_are_named() {
        let two = || vec![node("a"), node("b")];
        let name = |text| Name::new(text).unwrap();
        assert_eq!(Topology::new(vec![], vec![]), Err(TopologyError::Empty));
        assert_eq!(Topology::new(vec![node("a"), node("a")], vec![]), Err(TopologyError::DuplicateNode(name("a"))));
        assert_eq!(Topology::new(two(), vec![link("l", 1, 1)]), Err(TopologyError::SelfLoop(name("l"))));
        assert_eq!(Topology::new(two(), vec![link("l", 0, 2)]), Err(TopologyError::UnknownEnd { link: name("l") }));
        let twice = vec![link("l", 0, 1), link("l", 1, 0)];
        assert_eq!(Topology::new(two(), twice), Err(TopologyError::DuplicateLink(name("l"))));
        let mut odd = link("l", 0, 1);
        odd.twin = Some(LinkIx(0));
        assert_eq!(Topology::new(two(), vec![odd]), Err(TopologyError::BadTwin(name("l"))));
        let mut free = link("l", 0, 1);
        free.te_metric = 0;
        assert!(matches!(Topology::new(two(), vec![free]), Err(TopologyError::OutOfRange { field: "te_metric", .. })));
    }
}
