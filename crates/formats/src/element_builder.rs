//! Nodes and edges as files give them, before anything is filled in.

use kernel::topology::{CapacitySource, LinkState, Position, Switch};
use kernel::units::{Bandwidth, Micros};

use super::source_position::SourcePosition;

/// A node as a file gives it.
pub(super) struct NodeBuilder {
    pub(super) id: String,
    pub(super) label: Option<String>,
    pub(super) position: Option<Position>,
    pub(super) switch: Option<Switch>,
    pub(super) at: SourcePosition,
}

/// An edge as a file gives it: one link, or two that share their fate.
pub(super) struct EdgeBuilder {
    pub(super) name: Option<String>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) direction: EdgeDirection,
    pub(super) capacity: Option<Capacity>,
    /// The capacity, where it is not given.
    pub(super) max_reservable: Option<Bandwidth>,
    pub(super) te_metric: Option<u32>,
    pub(super) delay: Option<Micros>,
    /// How long it is, where the file says so; else the great circle between its ends counts.
    pub(super) length_m: Option<u64>,
    pub(super) srlg: Vec<u32>,
    pub(super) admin_group: u32,
    pub(super) state: LinkState,
    pub(super) from_port: Option<u32>,
    pub(super) to_port: Option<u32>,
    pub(super) at: SourcePosition,
}

impl EdgeBuilder {
    /// An edge of which only the ends are known.
    pub(super) fn new(
        from: impl Into<String>,
        to: impl Into<String>,
        direction: EdgeDirection,
        at: SourcePosition,
    ) -> Self {
        Self {
            name: None,
            from: from.into(),
            to: to.into(),
            direction,
            capacity: None,
            max_reservable: None,
            te_metric: None,
            delay: None,
            length_m: None,
            srlg: Vec::new(),
            admin_group: 0,
            state: LinkState::Up,
            from_port: None,
            to_port: None,
            at,
        }
    }
}

/// Which ways an edge may be used.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum EdgeDirection {
    /// Both: it becomes two links that are each other's twins.
    Both,
    /// From its tail to its head only.
    Forward,
    /// From its tail to its head, and another edge of this name is the way back.
    ForwardOf { twin: String },
    /// From its tail to its head, and the edge at this place in the file is the way back.
    ForwardWith { back: usize },
}

/// A capacity and how it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Capacity {
    pub(super) bandwidth: Bandwidth,
    pub(super) source: CapacitySource,
}

impl Capacity {
    /// A capacity of `bps` bit/s that stands in its own field; `None` for zero and beyond [`Bandwidth::MAX`].
    pub(super) fn given(bps: u64) -> Option<Self> {
        let bandwidth = Bandwidth::from_bps(bps).filter(|bandwidth| !bandwidth.is_zero())?;
        Some(Self { bandwidth, source: CapacitySource::Given })
    }
}
