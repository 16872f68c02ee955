//! A validated directed multigraph: nodes, and links with capacity, metrics, risk groups and state. Parallel links are
//! ordinary, self-loops are refused, islands are allowed. Neighbour order is fixed: links are numbered by tail node, and
//! in the order given within one tail, so that equal inputs give equal paths.

use std::collections::BTreeMap;

use petgraph::graph::DiGraph;
use petgraph::unionfind::UnionFind;

use super::id::{LinkIx, Name, NodeIx};
use super::units::{Bandwidth, Micros};

/// The most nodes a topology may have.
pub const NODES_MAX: usize = 20_000;
/// The most directed links a topology may have.
pub const LINKS_MAX: usize = 100_000;
/// The largest TE metric (24 bits, RFC 5305 §3.7).
pub const TE_METRIC_MAX: u32 = 0x00FF_FFFF;
/// The largest link delay: one minute.
pub const DELAY_MAX: Micros = Micros(60_000_000);
/// The most shared-risk link groups a link may be in.
pub const SRLGS_MAX: usize = 64;
/// The most host ports a node may have.
pub const HOST_PORTS_MAX: usize = 1_024;

/// A node, usually a router or a switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its key in the topology.
    pub name: Name,
    /// A display name, where that is not the key.
    pub label: Option<String>,
    /// Its coordinates.
    pub position: Option<Position>,
    /// Its OpenFlow switch.
    pub switch: Option<Switch>,
}

/// The coordinates of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// On the globe, in millionths of a degree.
    Geographic {
        /// North is positive; within ±90,000,000.
        latitude_udeg: i32,
        /// East is positive; within ±180,000,000.
        longitude_udeg: i32,
    },
    /// On a drawing, in thousandths of whatever the file's unit is.
    Drawing {
        /// To the right.
        x_milli: i64,
        /// Downwards.
        y_milli: i64,
    },
}

/// The OpenFlow identity of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Switch {
    /// The datapath id.
    pub dpid: u64,
    /// The ports at which hosts are attached: where an LSP may enter and leave the network.
    pub host_ports: Vec<u32>,
}

/// A directed link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its key in the topology.
    pub name: Name,
    /// The tail.
    pub from: NodeIx,
    /// The head.
    pub to: NodeIx,
    /// The bandwidth of the line.
    pub capacity: Bandwidth,
    /// The bandwidth that may be reserved, over all class types (RFC 4124 §5.1). May exceed the capacity (overbooking).
    pub max_reservable: Bandwidth,
    /// TE metric, 1 to [`TE_METRIC_MAX`].
    pub te_metric: u32,
    /// One-way delay.
    pub delay: Micros,
    /// Shared-risk link groups (RFC 4202), ascending, each once.
    pub srlg: Vec<u32>,
    /// Administrative group, a mask of 32 colours (RFC 3630 §2.5.9).
    pub admin_group: u32,
    /// Whether it may carry anything.
    pub state: LinkState,
    /// The port at the tail.
    pub from_port: Option<u32>,
    /// The port at the head.
    pub to_port: Option<u32>,
    /// The other direction of the same fibre, where the file gave one edge for both: the two share fate.
    pub twin: Option<LinkIx>,
    /// How the capacity is known.
    pub capacity_from: CapacitySource,
}

/// Whether a link may carry LSPs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum LinkState {
    /// In service.
    #[default]
    Up,
    /// Broken: no LSP can stay on it.
    Down,
    /// In maintenance: LSPs are rerouted off it, and no new one is placed on it.
    Maintenance,
}

/// How a link's capacity is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum CapacitySource {
    /// A number with a unit, in its own field.
    #[default]
    Given,
    /// Read from a free text such as `OC-192`.
    Label,
    /// The bound of a text such as `<= 10 Mbps`.
    Bound,
    /// The top of a text such as `1-20Gbps`.
    Range,
    /// The largest installable module (SNDlib).
    Module,
    /// The default that the upload asked for.
    Default,
}

/// A validated topology: names resolve, adjacency is known.
#[derive(Clone, Debug)]
pub struct Topology {
    graph: DiGraph<Node, Link>,
    nodes_by_name: BTreeMap<Name, NodeIx>,
    links_by_name: BTreeMap<Name, LinkIx>,
}

/// Why nodes and links make no valid topology. Every variant names the node or link at fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TopologyError {
    /// Over [`NODES_MAX`].
    #[error("invalid topology: it has {count} nodes, the limit is {NODES_MAX}")]
    TooManyNodes {
        /// How many there are.
        count: usize,
    },
    /// Over [`LINKS_MAX`].
    #[error("invalid topology: it has {count} directed links, the limit is {LINKS_MAX}")]
    TooManyLinks {
        /// How many there are.
        count: usize,
    },
    /// No node at all.
    #[error("invalid topology: it needs at least one node")]
    Empty,
    /// Two nodes with one key.
    #[error("duplicate node '{0}'")]
    DuplicateNode(Name),
    /// Two links with one key.
    #[error("duplicate link '{0}'")]
    DuplicateLink(Name),
    /// Two nodes with one datapath id.
    #[error("datapath id {dpid:016x} is given to both '{first}' and '{second}'")]
    DuplicateDpid {
        /// The datapath id.
        dpid: u64,
        /// One node.
        first: Name,
        /// The other node.
        second: Name,
    },
    /// A link end that is not a node.
    #[error("link '{link}' ends at an unknown node")]
    UnknownEnd {
        /// The link.
        link: Name,
    },
    /// A link from a node to itself.
    #[error("link '{0}' is a self-loop")]
    SelfLoop(Name),
    /// A twin that is not the same link the other way.
    #[error("link '{0}' names a twin that is not its other direction")]
    BadTwin(Name),
    /// A port of a switch that leads to two places.
    #[error("invalid {field} of {of}: port {port} is taken by '{by}'")]
    PortTaken {
        /// The node or link.
        of: Name,
        /// The field.
        field: &'static str,
        /// The port.
        port: u32,
        /// The link that has the port, or the node, if it is one of its host ports.
        by: Name,
    },
    /// A number out of its range.
    #[error("invalid {field} of {of}: {value} is not within {min} to {max}")]
    OutOfRange {
        /// The node or link.
        of: Name,
        /// The field.
        field: &'static str,
        /// The value.
        value: i128,
        /// The least allowed.
        min: i128,
        /// The most allowed.
        max: i128,
    },
    /// Too many entries in a list.
    #[error("invalid {field} of {of}: it has {count} entries, the limit is {max}")]
    TooMany {
        /// The node or link.
        of: Name,
        /// The field.
        field: &'static str,
        /// The number of entries.
        count: usize,
        /// The most allowed.
        max: usize,
    },
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

/// The largest number of a real port; those above are OpenFlow's reserved ones (OpenFlow 1.3 §7.2.1).
pub const PORT_MAX: u32 = 0xFFFF_FF00;

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

fn within(of: &Name, field: &'static str, value: i128, min: i128, max: i128) -> Result<(), TopologyError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(TopologyError::OutOfRange { of: of.clone(), field, value, min, max })
}

fn at_most(of: &Name, field: &'static str, count: usize, max: usize) -> Result<(), TopologyError> {
    if count <= max { Ok(()) } else { Err(TopologyError::TooMany { of: of.clone(), field, count, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
