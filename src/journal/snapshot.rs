//! A state laid out in parts: the networks first, then allocations by the ten thousand. A part is compact JSON; since the
//! topologies are in the same snapshot, nodes and links are numbers here. The head comes last and makes it count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::annotation_record::AnnotationsRecord;
use super::chain::ChainDigest;
use super::column::{column, number};
use super::constraints_record::ConstraintsRecord;
use super::database::within;
use super::decode::controller as read_controller;
use super::encode::controller_record;
use super::error::{JournalError, RecordDecodeError, RecordEncodeError, SnapshotError};
use super::flow_record::FlowRecord;
use super::lookup::{NameLookup, NumberLookup, NumberSource, bandwidth, class_type, priority};
use super::model_record::ModelRecord;
use super::record::{ControllerRecord, LeaderRecord};
use super::scalars::StoredName;
use super::tenant_record::TenantRecord;
use super::topology_record::TopologyRecord;
use super::{BULK_MAX, Journal, on_bulk, on_either, statement};
use kernel::Names;
use kernel::allocation::{Allocation, Demand, LspAttributes, Owner};
use kernel::controller::Controller;
use kernel::id::{AllocationId, LinkIx, Name, NodeIx, Sequence};
use kernel::intent::FlowNumber;
use kernel::topology::Topology;
use kernel::units::Millis;
use kernel::{NetworkSnapshot, State};

/// How many allocations one part holds.
const PART_ALLOCATIONS: usize = 10_000;

/// The head of a complete snapshot: sequence, parts, allocations, digest.
pub(super) type SnapshotHead = (i64, i64, i64, Option<String>);

#[derive(Serialize, Deserialize)]
struct NetworkForm {
    name: StoredName,
    revision: u64,
    model_revision: u64,
    topology: TopologyRecord,
    model: ModelRecord,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reported: Vec<StoredName>,
}

/// The first part. One that was written before there were controllers is a list of networks.
#[derive(Serialize, Deserialize)]
struct FirstPart {
    networks: Vec<NetworkForm>,
    controllers: Vec<ControllerForm>,
    /// Older versions had none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<TenantForm>,
}

#[derive(Serialize, Deserialize)]
struct TenantForm {
    revision: u64,
    #[serde(flatten)]
    tenant: TenantRecord,
}

#[derive(Serialize, Deserialize)]
struct ControllerForm {
    revision: u64,
    #[serde(flatten)]
    controller: ControllerRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leader: Option<LeaderRecord>,
}

/// A part of allocations, with the aggregators that they share.
#[derive(Serialize, Deserialize)]
struct AllocationPart {
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
    rows: Vec<SnapshotRow>,
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
struct TopologyCache(Arc<[(Name, Arc<Topology>)]>);

impl Journal {
    /// Writes a state of this journal, part by part so that no append waits for the whole, and deletes the snapshots before
    /// it.
    ///
    /// # Errors
    /// The database failed. What was written of the snapshot does not count then.
    pub async fn write_snapshot(&self, state: &State) -> Result<(), JournalError> {
        let digest = self.digest_at(state.sequence()).await?;
        self.write_snapshot_on(state, digest).await
    }

    /// As [`Journal::write_snapshot`], of a state whose last event has this digest.
    ///
    /// # Errors
    /// As there, and if the journal has another event in its place or none.
    pub async fn write_snapshot_on(&self, state: &State, digest: ChainDigest) -> Result<(), JournalError> {
        self.write_parts(state, digest, statement::SNAPSHOT_COMPLETE).await
    }

    /// Begins a journal that has no events with a state that stands for those up to an event of this digest.
    ///
    /// # Errors
    /// The database failed, or there are events.
    pub async fn begin_with_snapshot(&self, state: &State, digest: ChainDigest) -> Result<(), JournalError> {
        self.write_parts(state, digest, statement::SNAPSHOT_BASE).await
    }

    async fn write_parts(&self, state: &State, digest: ChainDigest, head: &'static str) -> Result<(), JournalError> {
        let sequence = column(state.sequence().0)?;
        let version = state.clone();
        let body = tokio::task::spawn_blocking(move || first_part(&version)).await??;
        self.put_part(sequence, 0, &body).await?;
        let topologies =
            TopologyCache::of(state.networks().map(|(name, network)| (name.clone(), Arc::clone(network.topology()))));
        let (mut parts, mut after) = (1, None);
        loop {
            let chunk: Vec<_> = state.allocations_after(after).take(PART_ALLOCATIONS).cloned().collect();
            let Some(last) = chunk.last() else { break };
            after = Some(last.id);
            let (topologies, version) = (topologies.clone(), state.clone());
            let body = tokio::task::spawn_blocking(move || allocations_part(&topologies, &chunk, &version)).await??;
            self.put_part(sequence, parts, &body).await?;
            parts += 1;
        }
        let allocations = i64::try_from(state.allocation_count()).unwrap_or(i64::MAX);
        let written = on_bulk!(self, |connection| {
            let query = sqlx::query(head).bind(sequence).bind(parts).bind(allocations).bind(digest.to_string());
            query.execute(connection).await?.rows_affected()
        });
        if written == 0 {
            return Err(JournalError::OtherEvents { at: state.sequence() });
        }
        self.forget_snapshots_before(sequence).await
    }

    async fn put_part(&self, sequence: i64, part: i64, body: &str) -> Result<(), JournalError> {
        on_bulk!(self, |connection| {
            let query = sqlx::query(statement::SNAPSHOT_PUT).bind(sequence).bind(part).bind(body);
            query.execute(connection).await?;
        });
        Ok(())
    }

    async fn forget_snapshots_before(&self, sequence: i64) -> Result<(), JournalError> {
        on_bulk!(self, |connection| {
            sqlx::query(statement::SNAPSHOT_HEADS_FORGET).bind(sequence).execute(connection).await?;
        });
        while self.forget_some_parts(sequence).await? > 0 {}
        Ok(())
    }

    /// A few parts at a time: an append may come in between.
    async fn forget_some_parts(&self, before: i64) -> Result<u64, JournalError> {
        Ok(on_bulk!(self, |connection| {
            sqlx::query(statement::SNAPSHOT_PARTS_FORGET).bind(before).execute(connection).await?.rows_affected()
        }))
    }
}

fn first_part(state: &State) -> Result<String, JournalError> {
    let forms = state.networks().map(|(name, network)| {
        Ok(NetworkForm {
            name: StoredName::from(name),
            revision: network.revision().0,
            model_revision: network.model_revision().0,
            topology: TopologyRecord::of(name, network.topology())?,
            model: ModelRecord::of(network.model()),
            reported: network.reported().map(StoredName::from).collect(),
        })
    });
    let controllers = state.controllers().map(|controller| ControllerForm {
        revision: controller.revision.0,
        controller: controller_record(controller),
        leader: controller.leader.as_ref().map(LeaderRecord::of),
    });
    let tenants = state.tenants();
    let first = FirstPart {
        networks: forms.collect::<Result<_, RecordEncodeError>>()?,
        controllers: controllers.collect(),
        tenants: tenants.map(|one| TenantForm { revision: one.revision.0, tenant: TenantRecord::of(one) }).collect(),
    };
    serde_json::to_string(&first).map_err(JournalError::Unwritable)
}

fn allocations_part(
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
        if let Some(until) = attributes.held_until {
            part.held_until_ms.insert(allocation.id.0, until.0);
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
    fn of(networks: impl Iterator<Item = (Name, Arc<Topology>)>) -> Self {
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
                },
            },
            path: path.into_iter().map(LinkIx).collect(),
            created_at: Millis(times.0),
            updated_at: Millis(times.1),
        })
    }
}

/// A state being built, part by part.
#[derive(Default)]
pub(super) struct SnapshotLoader {
    topologies: TopologyCache,
    pub(super) state: State,
}

impl SnapshotLoader {
    /// Adds the next part of a snapshot.
    pub(super) fn add_part(&mut self, head: &SnapshotHead, part: i64, body: &str) -> Result<(), JournalError> {
        let at = Sequence(number("snapshot_head", head.0, head.0)?);
        let done = if part == 0 { self.networks(at, body) } else { self.allocations(body) };
        let done = done.and_then(|()| if part + 1 == head.1 { self.count(head.2) } else { Ok(()) });
        done.map_err(|error| JournalError::BadSnapshot { at, part, error: Box::new(error) })
    }

    fn networks(&mut self, at: Sequence, body: &str) -> Result<(), SnapshotError> {
        let first = match body.starts_with('[') {
            true => FirstPart { networks: serde_json::from_str(body)?, controllers: vec![], tenants: vec![] },
            false => serde_json::from_str(body)?,
        };
        let networks = first.networks.iter().map(|form| {
            Ok(NetworkSnapshot {
                name: form.name.0.clone(),
                revision: Sequence(form.revision),
                model_revision: Sequence(form.model_revision),
                topology: Arc::new(form.topology.read(&form.name.0)?),
                model: Arc::new(form.model.read()?),
                reported: form.reported.iter().map(|link| link.0.clone()).collect(),
            })
        });
        let networks = networks.collect::<Result<Vec<_>, RecordDecodeError>>()?;
        let controllers = first.controllers.iter().map(|form| {
            let leader = form.leader.as_ref().map(LeaderRecord::read);
            let controller = read_controller(&form.controller, Sequence(form.revision))?;
            Ok(Arc::new(Controller { leader, ..controller }))
        });
        let controllers = controllers.collect::<Result<Vec<_>, RecordDecodeError>>()?;
        let tenants = first.tenants.iter().map(|form| form.tenant.read(Sequence(form.revision)).map(Arc::new));
        let tenants = tenants.collect::<Result<Vec<_>, RecordDecodeError>>()?;
        let topologies = networks.iter().map(|network| (network.name.clone(), Arc::clone(&network.topology)));
        let topologies = TopologyCache::of(topologies);
        *self = Self { topologies, state: State::from_networks(at, networks, controllers, tenants) };
        Ok(())
    }

    fn allocations(&mut self, body: &str) -> Result<(), SnapshotError> {
        let part: AllocationPart = serde_json::from_str(body)?;
        let mut allocations = Vec::with_capacity(part.rows.len());
        for row in part.rows {
            let mut allocation = self.topologies.allocation(row, &part.aggregators, &part.annotations)?;
            let (id, demand) = (allocation.id.0, &mut allocation.demand);
            demand.attributes.tenant = part.tenants.get(&id).map(|name| name.0.clone());
            demand.attributes.held_until = part.held_until_ms.get(&id).map(|at| Millis(*at));
            demand.attributes.starts_at = part.starts_at_ms.get(&id).map(|at| Millis(*at));
            demand.attributes.owner = match &part.scheduled {
                Some(scheduled) if scheduled.contains(&id) => Owner::Scheduler,
                Some(_) => Owner::Requester,
                None => demand.unwritten_owner(),
            };
            allocations.push(allocation);
        }
        let numbers = part.flow_numbers.iter().map(|(id, (index, epoch))| {
            let number = FlowNumber::new(*index, *epoch).ok_or(SnapshotError::NoNumber(*index))?;
            Ok((AllocationId(*id), number))
        });
        self.state.restore_flow_numbers(numbers.collect::<Result<Vec<_>, SnapshotError>>()?);
        Ok(self.state.restore_allocations(allocations)?)
    }

    fn count(&self, wanted: i64) -> Result<(), SnapshotError> {
        let found = self.state.allocation_count();
        if i64::try_from(found).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        Err(SnapshotError::Count { found, wanted })
    }
}
