//! A state laid out in parts: the networks first, then allocations by the ten thousand. A part is compact JSON; since the
//! topologies are in the same snapshot, nodes and links are numbers here. The head comes last and makes it count.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chain::{ChainDigest, PartsDigest};
use super::column::{column, number};
use super::database::within;
use super::decode::controller as read_controller;
use super::encode::controller_record;
use super::error::{JournalError, RecordDecodeError, RecordEncodeError, SnapshotError};
use super::maintenance_record::MaintenanceRecord;
use super::model_record::ModelRecord;
use super::notice_record::NoticeRecord;
use super::record::{ControllerRecord, LeaderRecord, SchedulerTermRecord};
use super::scalars::StoredName;
use super::snapshot_allocations::{AllocationPart, TopologyCache, allocations_part};
use super::tenant_record::TenantRecord;
use super::topology_record::TopologyRecord;
use super::{BULK_MAX, Journal, on_bulk, on_either, statement};
use kernel::allocation::Allocation;
use kernel::controller::Controller;
use kernel::id::Sequence;
use kernel::{NetworkSnapshot, State};

/// How many allocations one part holds.
const PART_ALLOCATIONS: usize = 10_000;

/// The head of a complete snapshot.
#[derive(Clone, Debug)]
pub(super) struct SnapshotHead {
    pub(super) sequence: i64,
    pub(super) parts: i64,
    allocations: i64,
    /// That of the last event.
    digest: Option<String>,
    /// That of all parts; older versions did not write it.
    checksum: Option<String>,
}

/// As its row has it.
pub(super) type SnapshotHeadRow = (i64, i64, i64, Option<String>, Option<String>);

impl From<SnapshotHeadRow> for SnapshotHead {
    fn from((sequence, parts, allocations, digest, checksum): SnapshotHeadRow) -> Self {
        Self { sequence, parts, allocations, digest, checksum }
    }
}

#[derive(Serialize, Deserialize)]
struct NetworkForm {
    name: StoredName,
    /// Older versions did not keep it.
    #[serde(default)]
    created: u64,
    revision: u64,
    model_revision: u64,
    topology: TopologyRecord,
    model: ModelRecord,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reported: Vec<StoredName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    maintenances: Vec<MaintenanceRecord>,
}

/// The first part. One that was written before there were controllers is a list of networks.
#[derive(Serialize, Deserialize)]
struct FirstPart {
    networks: Vec<NetworkForm>,
    controllers: Vec<ControllerForm>,
    /// Older versions had none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<TenantForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheduler: Option<SchedulerTermRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notices: Vec<NoticeRecord>,
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

impl Journal {
    /// Writes a state of this journal, part by part so that no append waits for the whole, and deletes the snapshots before
    /// it but one, to which a start falls back where this one is damaged.
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
        let mut checksum = PartsDigest::default();
        checksum.add(&body);
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
            checksum.add(&body);
            self.put_part(sequence, parts, &body).await?;
            parts += 1;
        }
        let allocations = i64::try_from(state.allocation_count()).unwrap_or(i64::MAX);
        let written = on_bulk!(self, |connection| {
            let query = sqlx::query(head).bind(sequence).bind(parts).bind(allocations);
            let query = query.bind(digest.to_string()).bind(checksum.text());
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
            created: network.created().0,
            revision: network.revision().0,
            model_revision: network.model_revision().0,
            topology: TopologyRecord::of(name, network.topology())?,
            model: ModelRecord::of(network.model()),
            reported: network.reported().map(StoredName::from).collect(),
            maintenances: network.maintenances().map(|one| MaintenanceRecord::of(one)).collect(),
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
        scheduler: Some(state.scheduler()).filter(|lead| lead.term > 0).map(SchedulerTermRecord::of),
        notices: state.notices().iter().map(|(id, notice)| NoticeRecord::of((id, Some(notice)))).collect(),
    };
    serde_json::to_string(&first).map_err(JournalError::Unwritable)
}

/// Reads parts one after the other, ahead of the state that they are to become.
#[derive(Default)]
pub(super) struct PartReader {
    topologies: TopologyCache,
    checksum: PartsDigest,
}

/// A part that was read.
pub(super) struct ReadPart {
    head: SnapshotHead,
    part: i64,
    content: PartContent,
    /// With the last part: that of all of them.
    checksum: Option<String>,
}

enum PartContent {
    /// The state without allocations.
    Networks(Box<State>),
    Allocations(Box<AllocationPart>, Vec<Allocation>),
}

impl PartReader {
    pub(super) fn read(&mut self, head: SnapshotHead, part: i64, body: &str) -> Result<ReadPart, JournalError> {
        self.checksum.add(body);
        let content = if part == 0 {
            let at = Sequence(number("snapshot_head", head.sequence, head.sequence)?);
            self.networks(at, body)
        } else {
            self.allocations(body)
        };
        let content = content.map_err(|error| head.bad(part, error))?;
        let checksum = (part + 1 == head.parts).then(|| self.checksum.text());
        Ok(ReadPart { head, part, content, checksum })
    }

    fn networks(&mut self, at: Sequence, body: &str) -> Result<PartContent, SnapshotError> {
        let first = match body.starts_with('[') {
            true => {
                let (controllers, tenants, notices) = (vec![], vec![], vec![]);
                FirstPart { networks: serde_json::from_str(body)?, controllers, tenants, scheduler: None, notices }
            }
            false => serde_json::from_str(body)?,
        };
        let networks = first.networks.iter().map(|form| {
            Ok(NetworkSnapshot {
                name: form.name.0.clone(),
                created: Sequence(form.created),
                revision: Sequence(form.revision),
                model_revision: Sequence(form.model_revision),
                topology: Arc::new(form.topology.read(&form.name.0)?),
                model: Arc::new(form.model.read()?),
                reported: form.reported.iter().map(|link| link.0.clone()).collect(),
                maintenances: form.maintenances.iter().map(MaintenanceRecord::read).collect(),
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
        self.topologies = TopologyCache::of(topologies);
        let scheduler = first.scheduler.as_ref().map(SchedulerTermRecord::read).unwrap_or_default();
        let mut state = State::from_networks(at, networks, controllers, tenants, scheduler);
        let notices = first.notices.iter().map(NoticeRecord::read);
        state.restore_notices(notices.filter_map(|(id, notice)| Some((id, notice?))));
        Ok(PartContent::Networks(Box::new(state)))
    }

    fn allocations(&self, body: &str) -> Result<PartContent, SnapshotError> {
        let mut part: Box<AllocationPart> = serde_json::from_str(body)?;
        let allocations = part.read(&self.topologies)?;
        Ok(PartContent::Allocations(part, allocations))
    }
}

impl ReadPart {
    /// That of the snapshot's event.
    pub(super) fn digest(&self) -> ChainDigest {
        ChainDigest::of_column(self.head.digest.as_ref())
    }

    /// Makes it part of a state; the last one, if all of them together are what the head says.
    pub(super) fn enter(self, state: &mut State) -> Result<(), JournalError> {
        let Self { head, part, content, checksum } = self;
        let entered = match content {
            PartContent::Networks(networks) => {
                *state = *networks;
                Ok(())
            }
            PartContent::Allocations(part, allocations) => part
                .restore_flow_numbers(&allocations, state)
                .and_then(|()| Ok(state.restore_allocations(allocations)?)),
        };
        let checked = entered.and_then(|()| checksum.map_or(Ok(()), |checksum| head.check(state, &checksum)));
        checked.map_err(|error| head.bad(part, error))
    }
}

impl SnapshotHead {
    /// Whether all parts are what it says.
    fn check(&self, state: &State, parts_checksum: &str) -> Result<(), SnapshotError> {
        let (found, wanted) = (state.allocation_count(), self.allocations);
        if !i64::try_from(found).is_ok_and(|found| found == wanted) {
            return Err(SnapshotError::Count { found, wanted });
        }
        match &self.checksum {
            Some(checksum) if checksum != parts_checksum => Err(SnapshotError::Checksum),
            _ => Ok(()),
        }
    }

    /// The fault of one of its parts.
    pub(super) fn bad(&self, part: i64, error: SnapshotError) -> JournalError {
        JournalError::BadSnapshot { at: Sequence(self.sequence.unsigned_abs()), part, error: Box::new(error) }
    }
}
