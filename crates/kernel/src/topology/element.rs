//! Nodes and links as they are given, and the ranges of their fields.

use crate::id::{LinkIx, Name, NodeIx};
use crate::units::{Bandwidth, Micros};

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
/// The largest number of a real port; those above are OpenFlow's reserved ones (OpenFlow 1.3 §7.2.1).
pub const PORT_MAX: u32 = 0xFFFF_FF00;

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
    /// Whether a controller has lost a switch at its end: new paths pass by where they can.
    pub is_avoided: bool,
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
