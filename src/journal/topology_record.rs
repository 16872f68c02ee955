//! The stored form of a topology: nodes and links in their numbered order, ends and twins by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{RecordDecodeError, RecordEncodeError};
use super::lookup::{NameLookup, bandwidth, unknown_link, unknown_node};
use super::scalars::{LinkWord, SourceWord, StoredDpid, StoredName, Text};
use kernel::Names;
use kernel::id::{LinkIx, Name, NodeIx};
use kernel::topology::{Link, Node, Position, Switch, Topology};
use kernel::units::Micros;

/// A topology.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct TopologyRecord {
    /// Its nodes, in order.
    pub(super) nodes: Vec<NodeRecord>,
    /// Its directed links, in order.
    pub(super) links: Vec<LinkRecord>,
}

/// A node.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct NodeRecord {
    pub(super) name: StoredName,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<PositionRecord>,
    /// Which OpenFlow switch it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) switch: Option<SwitchRecord>,
}

/// Where a node is.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum PositionRecord {
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
pub(super) struct SwitchRecord {
    /// The datapath id.
    pub(super) dpid: StoredDpid,
    /// Where hosts are attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) host_ports: Vec<u32>,
}

/// A directed link.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct LinkRecord {
    pub(super) name: StoredName,
    pub(super) from: StoredName,
    pub(super) to: StoredName,
    /// What it can carry.
    pub(super) capacity_bps: u64,
    /// How much of it may be reserved.
    pub(super) max_reservable_bps: u64,
    /// TE metric.
    pub(super) te_metric: u32,
    /// One-way delay.
    pub(super) delay_us: u64,
    /// Shared-risk link groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) srlg: Vec<u32>,
    /// A mask of 32 colours.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) admin_group: u32,
    /// Whether it may carry anything.
    pub(super) state: LinkWord,
    /// Whether a controller has lost a switch at its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) avoided: bool,
    /// The port at the tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from_port: Option<u32>,
    /// The port at the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to_port: Option<u32>,
    /// The other direction of the same fibre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) twin: Option<StoredName>,
    /// How the capacity is known.
    pub(super) capacity_from: SourceWord,
}

impl TopologyRecord {
    pub(super) fn of(name: &Name, topology: &Arc<Topology>) -> Result<Self, RecordEncodeError> {
        let lookup = NameLookup { topology: name, names: &Names::of(topology) };
        let links = topology.links().map(|(_, link)| LinkRecord::of(&lookup, link));
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
        let node = |key: &StoredName| node_at.get(key.0.as_str()).copied().ok_or_else(|| unknown_node(name, key));
        let link = |key: &StoredName| link_at.get(key.0.as_str()).copied().ok_or_else(|| unknown_link(name, key));
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
    pub(super) fn of(lookup: &NameLookup<'_>, link: &Link) -> Result<Self, RecordEncodeError> {
        Ok(Self {
            name: StoredName::from(&link.name),
            from: lookup.node(link.from)?,
            to: lookup.node(link.to)?,
            capacity_bps: link.capacity.as_bps(),
            max_reservable_bps: link.max_reservable.as_bps(),
            te_metric: link.te_metric,
            delay_us: link.delay.0,
            srlg: link.srlg.clone(),
            admin_group: link.admin_group,
            state: link.state.into(),
            from_port: link.from_port,
            to_port: link.to_port,
            twin: link.twin.map(|twin| lookup.link(twin)).transpose()?,
            capacity_from: link.capacity_from.into(),
            avoided: link.is_avoided,
        })
    }

    /// The link, with its names resolved by `node` and `link`.
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
            is_avoided: self.avoided,
        })
    }
}

fn is_zero(mask: &u32) -> bool {
    *mask == 0
}
