//! Allocations in a snapshot: rows of numbers, and by id what few of them have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::annotation_record::AnnotationsRecord;
use super::auto_bandwidth_record::AutoBandwidthRecord;
use super::constraints_record::ConstraintsRecord;
use super::error::{JournalError, RecordEncodeError, SnapshotError};
use super::flow_record::FlowRecord;
use super::lookup::{NameLookup, NumberLookup, NumberSource, bandwidth, class_type, priority};
use super::protection_record::{ProtectionRecord, RecoveryRecord};
use super::scalars::StoredName;
use kernel::allocation::{Allocation, Demand, LspAttributes, Owner};
use kernel::id::{AllocationId, LinkIx, Name, NodeIx};
use kernel::intent::FlowNumber;
use kernel::topology::Topology;
use kernel::units::Millis;
use kernel::{Names, State};

/// A part of allocations, with the aggregators that they share.
#[derive(Serialize, Deserialize)]
pub(super) struct AllocationPart {
    aggregators: Vec<StoredName>,
    /// By id, of those that have any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<u64, Box<AnnotationsRecord>>,
    /// By id, those that the scheduler made; older versions did not write them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheduled: Option<BTreeSet<u64>>,
    /// By id, of those that are for a tenant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tenants: BTreeMap<u64, StoredName>,
    /// By id, until when those are held that are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    held_until_ms: BTreeMap<u64, u64>,
    /// By id, when those start that have not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    starts_at_ms: BTreeMap<u64, u64>,
    /// By id, index and epoch of those with a flow; older versions had none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    flow_numbers: BTreeMap<u64, (u32, u8)>,
    /// Those with a flow for which no number was left.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    waiting_flows: BTreeSet<u64>,
    /// By id, of those that ask for a backup path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    protected: BTreeMap<u64, ProtectedForm>,
    /// Those that have the other directions of their links, too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    bidirectional: BTreeSet<u64>,
    /// By id, of those whose bandwidth follows their traffic.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    auto_bandwidth: BTreeMap<u64, AutoBandwidthRecord>,
    rows: Vec<SnapshotRow>,
}

#[derive(Serialize, Deserialize)]
struct ProtectedForm {
    #[serde(flatten)]
    protection: ProtectionRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery: Option<RecoveryRecord<u32>>,
}

/// Id, network, ends, class type with setup and hold priority, bandwidth, path, times of creation, change and end,
/// aggregator, nothing (older versions had a state here), constraints, flow.
type SnapshotRow = (
    u64,
    u32,
    (u32, u32),
    (u8, u8, u8),
    u64,
    Vec<u32>,
    (u64, u64, Option<u64>),
    Option<u32>,
    Option<String>,
    Option<Box<ConstraintsRecord>>,
    Option<Box<FlowRecord>>,
);

/// The networks of a snapshot, in the order in which rows refer to them.
#[derive(Clone, Default)]
pub(super) struct TopologyCache(Arc<[(Name, Arc<Topology>)]>);

impl AllocationPart {
    /// Gives the state the numbers of these allocations' flows.
    pub(super) fn restore_flow_numbers(
        &self,
        allocations: &[Allocation],
        state: &mut State,
    ) -> Result<(), SnapshotError> {
        for allocation in allocations.iter().filter(|allocation| allocation.demand.attributes.flow.is_some()) {
            let (id, topology) = (allocation.id, &allocation.demand.topology);
            if let Some((index, epoch)) = self.flow_numbers.get(&id.0) {
                let number = FlowNumber::new(*index, *epoch).ok_or(SnapshotError::NoNumber(*index))?;
                state.restore_flow_number(id, topology, number);
            } else if self.waiting_flows.contains(&id.0) {
                state.restore_waiting_flow(id, topology);
            }
        }
        Ok(())
    }

    pub(super) fn read(&mut self, topologies: &TopologyCache) -> Result<Vec<Allocation>, SnapshotError> {
        let mut allocations = Vec::with_capacity(self.rows.len());
        for row in std::mem::take(&mut self.rows) {
            let mut allocation = topologies.allocation(row, &self.aggregators, &self.annotations)?;
            let (id, demand) = (allocation.id.0, &mut allocation.demand);
            demand.attributes.tenant = self.tenants.get(&id).map(|name| name.0.clone());
            demand.attributes.held_until = self.held_until_ms.get(&id).map(|at| Millis(*at));
            demand.attributes.starts_at = self.starts_at_ms.get(&id).map(|at| Millis(*at));
            demand.attributes.owner = match &self.scheduled {
                Some(scheduled) if scheduled.contains(&id) => Owner::Scheduler,
                Some(_) => Owner::Requester,
                None => demand.unwritten_owner(),
            };
            demand.attributes.is_bidirectional = self.bidirectional.contains(&id);
            if let Some(settings) = self.auto_bandwidth.get(&id) {
                demand.attributes.auto_bandwidth = Some(settings.read()?);
            }
            if let Some(form) = self.protected.remove(&id) {
                demand.attributes.protection = Some(form.protection.read());
                allocation.recovery = form.recovery.and_then(RecoveryRecord::read_numbers);
            }
            allocations.push(allocation);
        }
        Ok(allocations)
    }
}

pub(super) fn allocations_part(
    topologies: &TopologyCache,
    allocations: &[Arc<Allocation>],
    state: &State,
) -> Result<String, JournalError> {
    let mut part = AllocationPart {
        aggregators: vec![],
        annotations: BTreeMap::new(),
        scheduled: Some(BTreeSet::new()),
        tenants: BTreeMap::new(),
        held_until_ms: BTreeMap::new(),
        starts_at_ms: BTreeMap::new(),
        flow_numbers: BTreeMap::new(),
        waiting_flows: BTreeSet::new(),
        protected: BTreeMap::new(),
        bidirectional: BTreeSet::new(),
        auto_bandwidth: BTreeMap::new(),
        rows: Vec::with_capacity(allocations.len()),
    };
    let mut numbers: BTreeMap<&Name, u32> = BTreeMap::new();
    for allocation in allocations {
        let aggregator = allocation.demand.attributes.aggregator.as_ref().map(|name| {
            *numbers.entry(name).or_insert_with(|| {
                part.aggregators.push(StoredName::from(name));
                u32::try_from(part.aggregators.len() - 1).unwrap_or(u32::MAX)
            })
        });
        part.rows.push(topologies.row(allocation, aggregator)?);
        if let Some(record) = AnnotationsRecord::of(&allocation.demand.attributes.annotations) {
            part.annotations.insert(allocation.id.0, record);
        }
        let attributes = &allocation.demand.attributes;
        if let Some(tenant) = &attributes.tenant {
            part.tenants.insert(allocation.id.0, StoredName::from(tenant));
        }
        if let Some(number) = state.flow_number(allocation.id) {
            part.flow_numbers.insert(allocation.id.0, (number.index(), number.epoch));
        }
        if state.waits_for_flow_number(allocation) {
            part.waiting_flows.insert(allocation.id.0);
        }
        if let Some(until) = attributes.held_until {
            part.held_until_ms.insert(allocation.id.0, until.0);
        }
        if let Some(protection) = attributes.protection {
            let recovery = allocation.recovery.as_deref().map(RecoveryRecord::numbered);
            let form = ProtectedForm { protection: ProtectionRecord::of(protection), recovery };
            part.protected.insert(allocation.id.0, form);
        }
        if attributes.is_bidirectional {
            part.bidirectional.insert(allocation.id.0);
        }
        if let Some(settings) = &attributes.auto_bandwidth {
            part.auto_bandwidth.insert(allocation.id.0, AutoBandwidthRecord::of(settings));
        }
        if let Some(at) = attributes.starts_at {
            part.starts_at_ms.insert(allocation.id.0, at.0);
        }
        if let (Owner::Scheduler, Some(scheduled)) = (allocation.demand.attributes.owner, &mut part.scheduled) {
            scheduled.insert(allocation.id.0);
        }
    }
    serde_json::to_string(&part).map_err(JournalError::Unwritable)
}

impl TopologyCache {
    pub(super) fn of(networks: impl Iterator<Item = (Name, Arc<Topology>)>) -> Self {
        Self(networks.collect())
    }

    fn row(&self, allocation: &Allocation, aggregator: Option<u32>) -> Result<SnapshotRow, RecordEncodeError> {
        // In the order of names, as the state gives them.
        let at = self.0.binary_search_by(|(name, _)| name.cmp(&allocation.demand.topology));
        let at = at.map_err(|_| RecordEncodeError::NoTopology(allocation.demand.topology.clone()))?;
        let (network, (name, topology)) = match (u32::try_from(at), self.0.get(at)) {
            (Ok(network), Some(place)) => (network, place),
            _ => return Err(RecordEncodeError::NoTopology(allocation.demand.topology.clone())),
        };
        let class = (
            allocation.demand.class_type.number(),
            allocation.demand.setup_priority.number(),
            allocation.demand.hold_priority.number(),
        );
        Ok((
            allocation.id.0,
            network,
            (allocation.demand.ingress.0, allocation.demand.egress.0),
            class,
            allocation.demand.bandwidth.as_bps(),
            allocation.path.iter().map(|link| link.0).collect(),
            (allocation.created_at.0, allocation.updated_at.0, allocation.demand.attributes.expires_at.map(|at| at.0)),
            aggregator,
            None,
            NameLookup { topology: name, names: &Names::of(topology) }
                .constraints(allocation.demand.constraints.as_deref())?,
            allocation.demand.attributes.flow.as_deref().map(FlowRecord::of),
        ))
    }

    fn allocation(
        &self,
        row: SnapshotRow,
        aggregators: &[StoredName],
        annotations: &BTreeMap<u64, Box<AnnotationsRecord>>,
    ) -> Result<Allocation, SnapshotError> {
        let (id, network, ends, class, bandwidth_bps, path, times, aggregator, _, constraints, flow) = row;
        let none = || SnapshotError::NoNumber(network);
        let (name, topology) = usize::try_from(network).ok().and_then(|at| self.0.get(at)).ok_or_else(none)?;
        let aggregator = aggregator.map(|number| {
            let found = usize::try_from(number).ok().and_then(|at| aggregators.get(at));
            found.map(|key| key.0.clone()).ok_or(SnapshotError::NoNumber(number))
        });
        Ok(Allocation {
            id: AllocationId(id),
            demand: Demand {
                topology: name.clone(),
                ingress: NodeIx(ends.0),
                egress: NodeIx(ends.1),
                class_type: class_type(class.0)?,
                setup_priority: priority("setup_priority", class.1)?,
                hold_priority: priority("hold_priority", class.2)?,
                bandwidth: bandwidth("bandwidth_bps", bandwidth_bps)?,
                constraints: NumberLookup::new(name, NumberSource::Topology(topology))
                    .constraints(constraints.as_deref())?,
                attributes: LspAttributes {
                    aggregator: aggregator.transpose()?,
                    starts_at: None,
                    expires_at: times.2.map(Millis),
                    tenant: None,
                    held_until: None,
                    flow: flow.as_deref().map(FlowRecord::read),
                    annotations: AnnotationsRecord::read(annotations.get(&id).map(Box::as_ref)),
                    owner: Owner::Requester,
                    protection: None,
                    is_bidirectional: false,
                    auto_bandwidth: None,
                },
            },
            path: path.into_iter().map(LinkIx).collect(),
            recovery: None,
            created_at: Millis(times.0),
            updated_at: Millis(times.1),
        })
    }
}
