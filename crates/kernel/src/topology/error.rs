//! What can be wrong with nodes and links.

use super::element::{LINKS_MAX, NODES_MAX};
use crate::id::Name;

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

pub(super) fn within(of: &Name, field: &'static str, value: i128, min: i128, max: i128) -> Result<(), TopologyError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(TopologyError::OutOfRange { of: of.clone(), field, value, min, max })
}

pub(super) fn at_most(of: &Name, field: &'static str, count: usize, max: usize) -> Result<(), TopologyError> {
    if count <= max { Ok(()) } else { Err(TopologyError::TooMany { of: of.clone(), field, count, max }) }
}
