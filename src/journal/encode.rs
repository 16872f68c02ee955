//! From events to records: numbers become the names they stand for in the topology in force.

use super::record::{
    AllocationRecord, BindingRecord, CauseWord, ConstraintsRecord, ControllerRecord, DemandRecord, DenialRecord,
    DisplacedRecord, EventRecord, FateWord, FlowRecord, HopRecord, RouteHopRecord,
};
use super::scalars::{Prefix, StoredAllocationId, StoredName};
use super::stored_model::ModelRecord;
use super::stored_topology::{LinkRecord, TopologyRecord};
use kernel::allocation::{Allocation, Demand, Flow};
use kernel::bam::Cause;
use kernel::controller::Controller;
use kernel::event::{Denial, Displaced, DisplacedBy, Event, Fate, PathObstacle, Recorded};
use kernel::id::{AllocationId, LinkIx, Name, NodeIx};
use kernel::path::{Constraints, Hop};
use kernel::state::State;
use kernel::topology::Topology;

/// Why an event has no stored form: it is not of the state it was said to be of.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordEncodeError {
    /// It speaks of a topology that is not there.
    #[error("topology '{0}' is not there")]
    NoTopology(Name),
    /// It speaks of a node that is not there.
    #[error("topology '{topology}' has no node number {node}", node = .node.0)]
    NoNode {
        /// In which topology.
        topology: Name,
        /// Which node.
        node: NodeIx,
    },
    /// It speaks of a link that is not there.
    #[error("topology '{topology}' has no link number {link}", link = .link.0)]
    NoLink {
        /// In which topology.
        topology: Name,
        /// Which link.
        link: LinkIx,
    },
}

/// The stored form of an event that was just applied to `state`.
///
/// # Errors
/// The event is not of this state.
pub fn encode(recorded: &Recorded, state: &State) -> Result<EventRecord, RecordEncodeError> {
    let key = |name: &Name| StoredName::from(name);
    Ok(match &recorded.event {
        Event::TopologyPut { name, topology, displaced } => EventRecord::TopologyPut {
            topology: key(name),
            content: TopologyRecord::of(name, topology)?,
            displaced: Indices { name, topology }.displaced(displaced)?,
        },
        Event::TopologyDeleted { name } => EventRecord::TopologyDeleted { topology: key(name) },
        Event::ModelSet { topology, model, displaced } => EventRecord::ModelSet {
            topology: key(topology),
            model: Box::new(ModelRecord::of(model)),
            displaced: Indices::of(state, topology)?.displaced(displaced)?,
        },
        Event::LinkChanged { topology, links, displaced, stranded } => {
            let indices = Indices::of(state, topology)?;
            EventRecord::LinkChanged {
                topology: key(topology),
                links: links.iter().map(|(_, link)| LinkRecord::of(&indices, link)).collect::<Result<_, _>>()?,
                displaced: indices.displaced(displaced)?,
                stranded: stranded.iter().map(|id| StoredAllocationId(*id)).collect(),
            }
        }
        Event::Admitted { allocation, displaced } => {
            let indices = Indices::of(state, &allocation.demand.topology)?;
            EventRecord::AllocationAdmitted {
                allocation: Box::new(indices.allocation(allocation)?),
                displaced: indices.displaced(displaced)?,
            }
        }
        Event::Denied { of, demand, denial } => {
            let indices = Indices::of(state, &demand.topology)?;
            EventRecord::AllocationDenied {
                demand: Box::new(indices.demand(*of, demand)?),
                denial: indices.denial(denial)?,
            }
        }
        Event::Resized { allocation, displaced } => {
            let indices = Indices::of(state, &allocation.demand.topology)?;
            EventRecord::AllocationResized {
                allocation: Box::new(indices.allocation(allocation)?),
                displaced: indices.displaced(displaced)?,
            }
        }
        Event::Released { id } => EventRecord::AllocationReleased { id: StoredAllocationId(*id) },
        Event::ControllerPut { controller } => EventRecord::ControllerPut { controller: controller_record(controller) },
        Event::ControllerDeleted { name } => EventRecord::ControllerDeleted { controller: key(name) },
        Event::Expired { ids } => {
            EventRecord::AllocationsExpired { ids: ids.iter().map(|id| StoredAllocationId(*id)).collect() }
        }
    })
}

/// A topology's numbers, and the names that they stand for.
pub(super) struct Indices<'a> {
    pub(super) name: &'a Name,
    pub(super) topology: &'a Topology,
}

impl<'a> Indices<'a> {
    fn of(state: &'a State, name: &'a Name) -> Result<Self, RecordEncodeError> {
        let network = state.network(name.as_str()).ok_or_else(|| RecordEncodeError::NoTopology(name.clone()))?;
        Ok(Self { name, topology: network.topology() })
    }

    pub(super) fn node(&self, node: NodeIx) -> Result<StoredName, RecordEncodeError> {
        let found = self.topology.node(node).map(|node| StoredName::from(&node.name));
        found.ok_or_else(|| RecordEncodeError::NoNode { topology: self.name.clone(), node })
    }

    pub(super) fn link(&self, link: LinkIx) -> Result<StoredName, RecordEncodeError> {
        let found = self.topology.link(link).map(|link| StoredName::from(&link.name));
        found.ok_or_else(|| RecordEncodeError::NoLink { topology: self.name.clone(), link })
    }

    fn links(&self, links: &[LinkIx]) -> Result<Vec<StoredName>, RecordEncodeError> {
        links.iter().map(|link| self.link(*link)).collect()
    }

    pub(super) fn allocation(&self, allocation: &Allocation) -> Result<AllocationRecord, RecordEncodeError> {
        let demand = &allocation.demand;
        Ok(AllocationRecord {
            id: StoredAllocationId(allocation.id),
            topology: StoredName::from(&demand.topology),
            ingress: self.node(demand.ingress)?,
            egress: self.node(demand.egress)?,
            class_type: demand.class_type.number(),
            setup_priority: demand.setup_priority.number(),
            hold_priority: demand.hold_priority.number(),
            bandwidth_bps: demand.bandwidth.as_bps(),
            aggregator: demand.attributes.aggregator.as_ref().map(StoredName::from),
            expires_at_ms: demand.attributes.expires_at.map(|at| at.0),
            constraints: self.constraints(demand.constraints.as_deref())?,
            flow: demand.attributes.flow.as_deref().map(flow),
            path: self.links(&allocation.path)?,
            state: allocation.state.into(),
            created_at_ms: allocation.created_at.0,
            updated_at_ms: allocation.updated_at.0,
        })
    }

    fn demand(&self, of: Option<AllocationId>, demand: &Demand) -> Result<DemandRecord, RecordEncodeError> {
        Ok(DemandRecord {
            of: of.map(StoredAllocationId),
            topology: StoredName::from(&demand.topology),
            ingress: self.node(demand.ingress)?,
            egress: self.node(demand.egress)?,
            class_type: demand.class_type.number(),
            setup_priority: demand.setup_priority.number(),
            hold_priority: demand.hold_priority.number(),
            bandwidth_bps: demand.bandwidth.as_bps(),
            aggregator: demand.attributes.aggregator.as_ref().map(StoredName::from),
            expires_at_ms: demand.attributes.expires_at.map(|at| at.0),
            constraints: self.constraints(demand.constraints.as_deref())?,
            flow: demand.attributes.flow.as_deref().map(flow),
        })
    }

    pub(super) fn constraints(
        &self,
        constraints: Option<&Constraints>,
    ) -> Result<Option<Box<ConstraintsRecord>>, RecordEncodeError> {
        let Some(constraints) = constraints else { return Ok(None) };
        let hops = |hops: &[Hop]| hops.iter().map(|hop| self.hop(*hop)).collect::<Result<Vec<_>, _>>();
        let route = constraints.route.iter();
        Ok(Some(Box::new(ConstraintsRecord {
            metric: constraints.metric.map(Into::into),
            max_hops: constraints.max_hops,
            max_delay_us: constraints.max_delay.map(|delay| delay.0),
            include: hops(&constraints.include)?,
            exclude: hops(&constraints.exclude)?,
            include_any: constraints.include_any,
            exclude_any: constraints.exclude_any,
            route: route
                .map(|step| Ok(RouteHopRecord { hop: self.hop(step.hop)?, strict: step.strict }))
                .collect::<Result<_, RecordEncodeError>>()?,
        })))
    }

    fn hop(&self, hop: Hop) -> Result<HopRecord, RecordEncodeError> {
        match hop {
            Hop::Node(node) => self.node(node).map(HopRecord::Node),
            Hop::Link(link) => self.link(link).map(HopRecord::Link),
        }
    }

    fn displaced(&self, displaced: &[Displaced]) -> Result<Vec<DisplacedRecord>, RecordEncodeError> {
        let one = |gone: &Displaced| {
            let cause = match gone.cause {
                DisplacedBy::Contention(Cause::Preempted) => CauseWord::Preempted,
                DisplacedBy::Contention(Cause::Devolved) => CauseWord::Devolved,
                DisplacedBy::Link => CauseWord::Link,
            };
            let (fate, path) = match &gone.fate {
                Fate::Rerouted(path) => (FateWord::Rerouted, Some(self.links(path)?)),
                Fate::Ended(cause) => (FateWord::Ended((*cause).into()), None),
            };
            Ok(DisplacedRecord { id: StoredAllocationId(gone.id), cause, fate, path })
        };
        displaced.iter().map(one).collect()
    }

    fn denial(&self, denial: &Denial) -> Result<DenialRecord, RecordEncodeError> {
        Ok(match denial {
            Denial::InsufficientBandwidth { binding, largest_admissible } => {
                let binding = binding.iter().map(|binding| {
                    Ok(BindingRecord { link: self.link(binding.link)?, available_bps: binding.available.as_bps() })
                });
                DenialRecord::InsufficientBandwidth {
                    binding: binding.collect::<Result<_, RecordEncodeError>>()?,
                    largest_admissible_bps: largest_admissible.as_bps(),
                }
            }
            Denial::NoPath(obstacle) => match *obstacle {
                PathObstacle::Disconnected => DenialRecord::Disconnected,
                PathObstacle::LinksDown => DenialRecord::LinksDown,
                PathObstacle::Excluded => DenialRecord::Excluded,
                PathObstacle::AdminGroup => DenialRecord::AdminGroup,
                PathObstacle::Route => DenialRecord::Route,
                PathObstacle::MaxHops { least } => DenialRecord::MaxHops { least_hops: least },
                PathObstacle::MaxDelay { least } => DenialRecord::MaxDelay { least_delay_us: least.0 },
                PathObstacle::SearchLimit => DenialRecord::SearchLimit,
            },
            Denial::TooCongested { cost_percent, limit_percent } => {
                DenialRecord::TooCongested { cost_percent: *cost_percent, limit_percent: *limit_percent }
            }
        })
    }
}

pub(super) fn controller_record(controller: &Controller) -> ControllerRecord {
    ControllerRecord {
        name: StoredName::from(&controller.name),
        driver: controller.driver.into(),
        url: controller.address.as_ref().map(ToString::to_string),
        topology: StoredName::from(&controller.topology),
    }
}

pub(super) fn flow(flow: &Flow) -> Box<FlowRecord> {
    Box::new(FlowRecord {
        in_port: flow.in_port,
        ipv4_src: flow.ipv4_src.map(Prefix),
        ipv4_dst: flow.ipv4_dst.map(Prefix),
        ip_proto: flow.ip_proto,
        l4_dst: flow.l4_dst,
        out_port: flow.out_port,
    })
}

/// The stored form of a living allocation, in the topology that its numbers belong to.
///
/// # Errors
/// The numbers do not belong to this topology.
pub fn allocation_record(allocation: &Allocation, topology: &Topology) -> Result<AllocationRecord, RecordEncodeError> {
    Indices { name: &allocation.demand.topology, topology }.allocation(allocation)
}

/// The stored form of a denial, in the topology that its numbers belong to.
///
/// # Errors
/// The numbers do not belong to this topology.
pub fn denial_record(denial: &Denial, name: &Name, topology: &Topology) -> Result<DenialRecord, RecordEncodeError> {
    Indices { name, topology }.denial(denial)
}
