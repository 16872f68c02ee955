//! From the kernel's numbers to the names that are stored, and back.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::error::{RecordDecodeError, RecordEncodeError};
use super::scalars::StoredName;
use kernel::Names;
use kernel::class::{ClassType, Priority};
use kernel::id::{LinkIx, Name, NodeIx};
use kernel::state::State;
use kernel::topology::Topology;
use kernel::units::Bandwidth;

/// The names of a topology's numbers.
pub(super) struct NameLookup<'a> {
    pub(super) topology: &'a Name,
    pub(super) names: &'a Names,
}

impl NameLookup<'_> {
    pub(super) fn node(&self, node: NodeIx) -> Result<StoredName, RecordEncodeError> {
        let missing = || RecordEncodeError::NoNode { topology: self.topology.clone(), node };
        self.names.node(node).map(StoredName::from).ok_or_else(missing)
    }

    pub(super) fn link(&self, link: LinkIx) -> Result<StoredName, RecordEncodeError> {
        let missing = || RecordEncodeError::NoLink { topology: self.topology.clone(), link };
        self.names.link(link).map(StoredName::from).ok_or_else(missing)
    }

    pub(super) fn links(&self, links: &[LinkIx]) -> Result<Vec<StoredName>, RecordEncodeError> {
        links.iter().map(|link| self.link(*link)).collect()
    }
}

/// The numbers of a topology's names.
pub(super) struct NumberLookup<'a> {
    topology: &'a Name,
    source: NumberSource<'a>,
}

/// Where the numbers of names come from.
#[derive(Clone, Copy)]
pub(super) enum NumberSource<'a> {
    /// The topology that gives them: a name that it lacks is an error.
    Topology(&'a Topology),
    /// A list of the names met so far: a new name gets the next number.
    Listed(&'a NameList),
}

/// Names in the order in which they were met, for records of a topology that may be gone.
#[derive(Default)]
pub(super) struct NameList {
    nodes: RefCell<Numbered>,
    links: RefCell<Numbered>,
}

#[derive(Default)]
struct Numbered {
    names: Vec<Name>,
    numbers: BTreeMap<Name, u32>,
}

impl<'a> NumberLookup<'a> {
    pub(super) fn new(topology: &'a Name, source: NumberSource<'a>) -> Self {
        Self { topology, source }
    }

    /// In a topology of the state.
    pub(super) fn in_state(state: &'a State, topology: &'a StoredName) -> Result<Self, RecordDecodeError> {
        let unknown = || RecordDecodeError::UnknownTopology(topology.0.clone());
        let network = state.network(topology.0.as_str()).ok_or_else(unknown)?;
        Ok(Self::new(&topology.0, NumberSource::Topology(network.topology())))
    }

    pub(super) fn topology(&self) -> &'a Name {
        self.topology
    }

    pub(super) fn node(&self, node: &StoredName) -> Result<NodeIx, RecordDecodeError> {
        match self.source {
            NumberSource::Topology(topology) => {
                topology.node_named(node.0.as_str()).ok_or_else(|| unknown_node(self.topology, node))
            }
            NumberSource::Listed(list) => Ok(NodeIx(list.nodes.borrow_mut().number(&node.0))),
        }
    }

    pub(super) fn link(&self, link: &StoredName) -> Result<LinkIx, RecordDecodeError> {
        match self.source {
            NumberSource::Topology(topology) => {
                topology.link_named(link.0.as_str()).ok_or_else(|| unknown_link(self.topology, link))
            }
            NumberSource::Listed(list) => Ok(LinkIx(list.links.borrow_mut().number(&link.0))),
        }
    }
}

impl NameList {
    pub(super) fn into_names(self) -> Names {
        Names::listed(self.nodes.into_inner().names, self.links.into_inner().names)
    }
}

impl Numbered {
    fn number(&mut self, name: &Name) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // A record has far fewer names than 2^32: its text would not fit in memory.
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }
}

pub(super) fn unknown_node(topology: &Name, node: &StoredName) -> RecordDecodeError {
    RecordDecodeError::UnknownNode { topology: topology.clone(), node: node.0.clone() }
}

pub(super) fn unknown_link(topology: &Name, link: &StoredName) -> RecordDecodeError {
    RecordDecodeError::UnknownLink { topology: topology.clone(), link: link.0.clone() }
}

pub(super) fn class_type(number: u8) -> Result<ClassType, RecordDecodeError> {
    ClassType::new(number).ok_or_else(|| RecordDecodeError::out_of_range("class_type", number))
}

pub(super) fn priority(field: &'static str, number: u8) -> Result<Priority, RecordDecodeError> {
    Priority::new(number).ok_or_else(|| RecordDecodeError::out_of_range(field, number))
}

pub(super) fn bandwidth(field: &'static str, bps: u64) -> Result<Bandwidth, RecordDecodeError> {
    Bandwidth::from_bps(bps).ok_or_else(|| RecordDecodeError::out_of_range(field, bps))
}
