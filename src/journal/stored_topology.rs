//! The stored form of a topology: nodes and links in their numbered order, ends and twins by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decode::{RecordDecodeError, bandwidth};
use super::encode::{Indices, RecordEncodeError};
use super::scalars::{LinkWord, SourceWord, StoredDpid, StoredName, Text};
use kernel::id::{LinkIx, Name, NodeIx};
use kernel::topology::{Link, Node, Position, Switch, Topology};
use kernel::units::Micros;

/// A topology.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct TopologyRecord {
    /// Its nodes, in order.
    pub nodes: Vec<NodeRecord>,
    /// Its directed links, in order.
    pub links: Vec<LinkRecord>,
}

/// A node.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct NodeRecord {
    /// Its key.
    pub name: StoredName,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Text>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionRecord>,
    /// Which OpenFlow switch it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<SwitchRecord>,
}

/// Where a node is.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum PositionRecord {
    /// On the globe, in millionths of a degree.
    Geographic {
        /// North is positive.
        latitude_udeg: i32,
        /// East is positive.
        longitude_udeg: i32,
    },
    /// On a drawing, in thousandths of its unit.
    Drawing {
        /// To the right.
        x_milli: i64,
        /// Downwards.
        y_milli: i64,
    },
}

/// An OpenFlow switch.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct SwitchRecord {
    /// The datapath id.
    pub dpid: StoredDpid,
    /// Where hosts are attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<u32>,
}

/// A directed link.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct LinkRecord {
    /// Its key.
    pub name: StoredName,
    /// The tail.
    pub from: StoredName,
    /// The head.
    pub to: StoredName,
    /// What it can carry.
    pub capacity_bps: u64,
    /// How much of it may be reserved.
    pub max_reservable_bps: u64,
    /// TE metric.
    pub te_metric: u32,
    /// One-way delay.
    pub delay_us: u64,
    /// Shared-risk link groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub srlg: Vec<u32>,
    /// A mask of 32 colours.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub admin_group: u32,
    /// Whether it may carry anything.
    pub state: LinkWord,
    /// The port at the tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_port: Option<u32>,
    /// The port at the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_port: Option<u32>,
    /// The other direction of the same fibre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<StoredName>,
    /// How the capacity is known.
    pub capacity_from: SourceWord,
}

impl TopologyRecord {
    pub(super) fn of(name: &Name, topology: &Topology) -> Result<Self, RecordEncodeError> {
        let indices = Indices { name, topology };
        let links = topology.links().map(|(_, link)| LinkRecord::of(&indices, link));
        Ok(Self {
            nodes: topology.nodes().map(|(_, node)| NodeRecord::of(node)).collect(),
            links: links.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn read(&self, name: &Name) -> Result<Topology, RecordDecodeError> {
        let node_at: BTreeMap<&str, NodeIx> =
            self.nodes.iter().map(|node| node.name.0.as_str()).zip((0..).map(NodeIx)).collect();
        let link_at: BTreeMap<&str, LinkIx> =
            self.links.iter().map(|link| link.name.0.as_str()).zip((0..).map(LinkIx)).collect();
        let node = |key: &StoredName| {
            node_at.get(key.0.as_str()).copied().ok_or_else(|| RecordDecodeError::unknown_node(name, key))
        };
        let link = |key: &StoredName| {
            link_at.get(key.0.as_str()).copied().ok_or_else(|| RecordDecodeError::unknown_link(name, key))
        };
        let nodes = self.nodes.iter().map(NodeRecord::read).collect();
        let links = self.links.iter().map(|record| record.read(node, link)).collect::<Result<_, _>>()?;
        Ok(Topology::new(nodes, links)?)
    }
}

impl NodeRecord {
    fn of(node: &Node) -> Self {
        let position = node.position.map(|position| match position {
            Position::Geographic { latitude_udeg, longitude_udeg } => {
                PositionRecord::Geographic { latitude_udeg, longitude_udeg }
            }
            Position::Drawing { x_milli, y_milli } => PositionRecord::Drawing { x_milli, y_milli },
        });
        let switch = (node.switch.as_ref())
            .map(|switch| SwitchRecord { dpid: StoredDpid(switch.dpid), host_ports: switch.host_ports.clone() });
        Self { name: StoredName::from(&node.name), label: node.label.clone().map(Text), position, switch }
    }

    fn read(&self) -> Node {
        let position = self.position.as_ref().map(|position| match *position {
            PositionRecord::Geographic { latitude_udeg, longitude_udeg } => {
                Position::Geographic { latitude_udeg, longitude_udeg }
            }
            PositionRecord::Drawing { x_milli, y_milli } => Position::Drawing { x_milli, y_milli },
        });
        let switch =
            (self.switch.as_ref()).map(|switch| Switch { dpid: switch.dpid.0, host_ports: switch.host_ports.clone() });
        Node { name: self.name.0.clone(), label: self.label.clone().map(|label| label.0), position, switch }
    }
}

impl LinkRecord {
    pub(super) fn of(indices: &Indices<'_>, link: &Link) -> Result<Self, RecordEncodeError> {
        Ok(Self {
            name: StoredName::from(&link.name),
            from: indices.node(link.from)?,
            to: indices.node(link.to)?,
            capacity_bps: link.capacity.as_bps(),
            max_reservable_bps: link.max_reservable.as_bps(),
            te_metric: link.te_metric,
            delay_us: link.delay.0,
            srlg: link.srlg.clone(),
            admin_group: link.admin_group,
            state: link.state.into(),
            from_port: link.from_port,
            to_port: link.to_port,
            twin: link.twin.map(|twin| indices.link(twin)).transpose()?,
            capacity_from: link.capacity_from.into(),
        })
    }

    /// The link, with names resolved by whoever knows them.
    pub(super) fn read(
        &self,
        node: impl Fn(&StoredName) -> Result<NodeIx, RecordDecodeError>,
        link: impl Fn(&StoredName) -> Result<LinkIx, RecordDecodeError>,
    ) -> Result<Link, RecordDecodeError> {
        Ok(Link {
            name: self.name.0.clone(),
            from: node(&self.from)?,
            to: node(&self.to)?,
            capacity: bandwidth("capacity_bps", self.capacity_bps)?,
            max_reservable: bandwidth("max_reservable_bps", self.max_reservable_bps)?,
            te_metric: self.te_metric,
            delay: Micros(self.delay_us),
            srlg: self.srlg.clone(),
            admin_group: self.admin_group,
            state: self.state.into(),
            from_port: self.from_port,
            to_port: self.to_port,
            twin: self.twin.as_ref().map(link).transpose()?,
            capacity_from: self.capacity_from.into(),
        })
    }
}

fn is_zero(mask: &u32) -> bool {
    *mask == 0
}
