//! From records to events: names become the numbers they have in the topology in force. A row may be stale, damaged or
//! hostile: whatever does not resolve is a typed error, never a guess.

use std::sync::Arc;

use super::record::{
    AllocationRecord, CauseWord, ConstraintsRecord, ControllerRecord, DemandRecord, DenialRecord, DisplacedRecord,
    EventRecord, FateWord, FlowRecord, HopRecord,
};
use super::scalars::{StoredAllocationId, StoredName};
use kernel::allocation::{Allocation, Demand, Flow, LspAttributes};
use kernel::bam::{Cause, ModelError};
use kernel::class::{ClassType, Priority};
use kernel::controller::{Controller, ControllerAddress, ControllerAddressError};
use kernel::event::{Binding, Denial, Displaced, DisplacedBy, Event, Fate, PathObstacle, Recorded};
use kernel::id::{AllocationId, LinkIx, Name, NodeIx, Sequence};
use kernel::path::{Constraints, Hop, RouteHop};
use kernel::state::State;
use kernel::topology::{Topology, TopologyError};
use kernel::units::{Bandwidth, Micros, Millis};

/// Why a record is no event of this state.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordDecodeError {
    /// It names a topology that is not there.
    #[error("topology '{0}' is not there")]
    UnknownTopology(Name),
    /// It names a node that is not there.
    #[error("topology '{topology}' has no node '{node}'")]
    UnknownNode {
        /// In which topology.
        topology: Name,
        /// Which node.
        node: Name,
    },
    /// It names a link that is not there.
    #[error("topology '{topology}' has no link '{link}'")]
    UnknownLink {
        /// In which topology.
        topology: Name,
        /// Which link.
        link: Name,
    },
    /// A number that its field cannot have.
    #[error("{field} cannot be {value}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: u64,
    },
    /// Somebody is said to go another way, and the way is missing.
    #[error("allocation {0} is said to be rerouted, but not where")]
    NoWay(AllocationId),
    /// The topology is none.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A controller's address is none.
    #[error(transparent)]
    Address(#[from] ControllerAddressError),
    /// The bandwidth model is none.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl RecordDecodeError {
    pub(super) fn unknown_node(topology: &Name, node: &StoredName) -> Self {
        Self::UnknownNode { topology: topology.clone(), node: node.0.clone() }
    }

    pub(super) fn unknown_link(topology: &Name, link: &StoredName) -> Self {
        Self::UnknownLink { topology: topology.clone(), link: link.0.clone() }
    }

    pub(super) fn out_of_range(field: &'static str, value: impl Into<u64>) -> Self {
        Self::OutOfRange { field, value: value.into() }
    }
}

/// The event that `record` stands for, to be applied to `state`.
///
/// # Errors
/// The record does not fit the state.
pub fn decode(
    record: &EventRecord,
    sequence: Sequence,
    at: Millis,
    state: &State,
) -> Result<Recorded, RecordDecodeError> {
    Ok(Recorded { sequence, at, event: event(record, sequence, state)? })
}

fn event(record: &EventRecord, sequence: Sequence, state: &State) -> Result<Event, RecordDecodeError> {
    Ok(match record {
        EventRecord::TopologyPut { topology: name, content, displaced } => {
            let topology = content.read(&name.0)?;
            let displaced = Names { name: &name.0, topology: &topology }.displaced(displaced)?;
            Event::TopologyPut { name: name.0.clone(), topology: Arc::new(topology), displaced }
        }
        EventRecord::TopologyDeleted { topology } => Event::TopologyDeleted { name: topology.0.clone() },
        EventRecord::ModelSet { topology, model, displaced } => Event::ModelSet {
            topology: topology.0.clone(),
            model: Arc::new(model.read()?),
            displaced: Names::of(state, topology)?.displaced(displaced)?,
        },
        EventRecord::LinkChanged { topology, links, displaced, stranded } => {
            let names = Names::of(state, topology)?;
            let links = links.iter().map(|link| {
                Ok((names.link(&link.name)?, link.read(|node| names.node(node), |twin| names.link(twin))?))
            });
            Event::LinkChanged {
                topology: topology.0.clone(),
                links: links.collect::<Result<_, RecordDecodeError>>()?,
                displaced: names.displaced(displaced)?,
                stranded: ids(stranded),
            }
        }
        EventRecord::AllocationAdmitted { allocation, displaced } => {
            let names = Names::of(state, &allocation.topology)?;
            Event::Admitted {
                allocation: Arc::new(names.allocation(allocation)?),
                displaced: names.displaced(displaced)?,
            }
        }
        EventRecord::AllocationDenied { demand, denial } => {
            let names = Names::of(state, &demand.topology)?;
            let of = demand.of.map(|id| id.0);
            Event::Denied { of, demand: Box::new(names.demand(demand)?), denial: names.denial(denial)? }
        }
        EventRecord::AllocationResized { allocation, displaced } => {
            let names = Names::of(state, &allocation.topology)?;
            Event::Resized {
                allocation: Arc::new(names.allocation(allocation)?),
                displaced: names.displaced(displaced)?,
            }
        }
        EventRecord::AllocationReleased { id } => Event::Released { id: id.0 },
        EventRecord::ControllerPut { controller: record } => {
            Event::ControllerPut { controller: Arc::new(controller(record, sequence)?) }
        }
        EventRecord::ControllerDeleted { controller } => Event::ControllerDeleted { name: controller.0.clone() },
        EventRecord::AllocationsExpired { ids: expired } => Event::Expired { ids: ids(expired) },
    })
}

fn ids(stored: &[StoredAllocationId]) -> Vec<AllocationId> {
    stored.iter().map(|id| id.0).collect()
}

/// A topology's names, and the numbers that they have in it.
pub(super) struct Names<'a> {
    pub(super) name: &'a Name,
    pub(super) topology: &'a Topology,
}

impl<'a> Names<'a> {
    fn of(state: &'a State, name: &'a StoredName) -> Result<Self, RecordDecodeError> {
        let network =
            state.network(name.0.as_str()).ok_or_else(|| RecordDecodeError::UnknownTopology(name.0.clone()))?;
        Ok(Self { name: &name.0, topology: network.topology() })
    }

    fn node(&self, node: &StoredName) -> Result<NodeIx, RecordDecodeError> {
        self.topology.node_named(node.0.as_str()).ok_or_else(|| RecordDecodeError::unknown_node(self.name, node))
    }

    fn link(&self, link: &StoredName) -> Result<LinkIx, RecordDecodeError> {
        self.topology.link_named(link.0.as_str()).ok_or_else(|| RecordDecodeError::unknown_link(self.name, link))
    }

    fn links(&self, links: &[StoredName]) -> Result<Arc<[LinkIx]>, RecordDecodeError> {
        links.iter().map(|link| self.link(link)).collect()
    }

    fn allocation(&self, record: &AllocationRecord) -> Result<Allocation, RecordDecodeError> {
        Ok(Allocation {
            id: record.id.0,
            demand: Demand {
                topology: self.name.clone(),
                ingress: self.node(&record.ingress)?,
                egress: self.node(&record.egress)?,
                class_type: class_type(record.class_type)?,
                setup_priority: priority("setup_priority", record.setup_priority)?,
                hold_priority: priority("hold_priority", record.hold_priority)?,
                bandwidth: bandwidth("bandwidth_bps", record.bandwidth_bps)?,
                constraints: self.constraints(record.constraints.as_deref())?,
                attributes: LspAttributes {
                    aggregator: record.aggregator.as_ref().map(|key| key.0.clone()),
                    expires_at: record.expires_at_ms.map(Millis),
                    flow: record.flow.as_deref().map(flow),
                },
            },
            path: self.links(&record.path)?,
            state: record.state.into(),
            created_at: Millis(record.created_at_ms),
            updated_at: Millis(record.updated_at_ms),
        })
    }

    fn demand(&self, record: &DemandRecord) -> Result<Demand, RecordDecodeError> {
        Ok(Demand {
            topology: self.name.clone(),
            ingress: self.node(&record.ingress)?,
            egress: self.node(&record.egress)?,
            class_type: class_type(record.class_type)?,
            setup_priority: priority("setup_priority", record.setup_priority)?,
            hold_priority: priority("hold_priority", record.hold_priority)?,
            bandwidth: bandwidth("bandwidth_bps", record.bandwidth_bps)?,
            constraints: self.constraints(record.constraints.as_deref())?,
            attributes: LspAttributes {
                aggregator: record.aggregator.as_ref().map(|key| key.0.clone()),
                expires_at: record.expires_at_ms.map(Millis),
                flow: record.flow.as_deref().map(flow),
            },
        })
    }

    pub(super) fn constraints(
        &self,
        record: Option<&ConstraintsRecord>,
    ) -> Result<Option<Box<Constraints>>, RecordDecodeError> {
        let Some(record) = record else { return Ok(None) };
        let hops = |hops: &[HopRecord]| hops.iter().map(|hop| self.hop(hop)).collect::<Result<Vec<_>, _>>();
        let route = record.route.iter();
        Ok(Some(Box::new(Constraints {
            metric: record.metric.map(Into::into),
            max_hops: record.max_hops,
            max_delay: record.max_delay_us.map(Micros),
            include: hops(&record.include)?,
            exclude: hops(&record.exclude)?,
            include_any: record.include_any,
            exclude_any: record.exclude_any,
            route: route
                .map(|step| Ok(RouteHop { hop: self.hop(&step.hop)?, strict: step.strict }))
                .collect::<Result<_, RecordDecodeError>>()?,
        })))
    }

    fn hop(&self, hop: &HopRecord) -> Result<Hop, RecordDecodeError> {
        match hop {
            HopRecord::Node(node) => self.node(node).map(Hop::Node),
            HopRecord::Link(link) => self.link(link).map(Hop::Link),
        }
    }

    fn displaced(&self, records: &[DisplacedRecord]) -> Result<Vec<Displaced>, RecordDecodeError> {
        let one = |record: &DisplacedRecord| {
            let cause = match record.cause {
                CauseWord::Preempted => DisplacedBy::Contention(Cause::Preempted),
                CauseWord::Devolved => DisplacedBy::Contention(Cause::Devolved),
                CauseWord::Link => DisplacedBy::Link,
            };
            let fate = match (record.fate, &record.path) {
                (FateWord::Rerouted, Some(path)) => Fate::Rerouted(self.links(path)?),
                (FateWord::Rerouted, None) => return Err(RecordDecodeError::NoWay(record.id.0)),
                (FateWord::Ended(cause), _) => Fate::Ended(cause.into()),
            };
            Ok(Displaced { id: record.id.0, cause, fate })
        };
        records.iter().map(one).collect()
    }

    fn denial(&self, record: &DenialRecord) -> Result<Denial, RecordDecodeError> {
        let obstacle = match record {
            DenialRecord::InsufficientBandwidth { binding, largest_admissible_bps } => {
                let binding = binding.iter().map(|record| {
                    let available = bandwidth("available_bps", record.available_bps)?;
                    Ok(Binding { link: self.link(&record.link)?, available })
                });
                return Ok(Denial::InsufficientBandwidth {
                    binding: binding.collect::<Result<_, RecordDecodeError>>()?,
                    largest_admissible: bandwidth("largest_admissible_bps", *largest_admissible_bps)?,
                });
            }
            DenialRecord::TooCongested { cost_percent, limit_percent } => {
                return Ok(Denial::TooCongested { cost_percent: *cost_percent, limit_percent: *limit_percent });
            }
            DenialRecord::Disconnected => PathObstacle::Disconnected,
            DenialRecord::LinksDown => PathObstacle::LinksDown,
            DenialRecord::Excluded => PathObstacle::Excluded,
            DenialRecord::AdminGroup => PathObstacle::AdminGroup,
            DenialRecord::Route => PathObstacle::Route,
            DenialRecord::MaxHops { least_hops } => PathObstacle::MaxHops { least: *least_hops },
            DenialRecord::MaxDelay { least_delay_us } => PathObstacle::MaxDelay { least: Micros(*least_delay_us) },
            DenialRecord::SearchLimit => PathObstacle::SearchLimit,
        };
        Ok(Denial::NoPath(obstacle))
    }
}

pub(super) fn controller(record: &ControllerRecord, revision: Sequence) -> Result<Controller, RecordDecodeError> {
    Ok(Controller {
        name: record.name.0.clone(),
        driver: record.driver.into(),
        address: record.url.as_deref().map(ControllerAddress::new).transpose()?,
        topology: record.topology.0.clone(),
        revision,
    })
}

pub(super) fn flow(record: &FlowRecord) -> Box<Flow> {
    Box::new(Flow {
        in_port: record.in_port,
        ipv4_src: record.ipv4_src.map(|prefix| prefix.0),
        ipv4_dst: record.ipv4_dst.map(|prefix| prefix.0),
        ip_proto: record.ip_proto,
        l4_dst: record.l4_dst,
        out_port: record.out_port,
    })
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
