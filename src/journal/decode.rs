//! From records to events: names become the numbers they have in the topology in force. A row may be stale, damaged or
//! hostile: whatever does not resolve is a typed error, never a guess.

use std::sync::Arc;

use super::annotation_record::AnnotationsRecord;
use super::error::RecordDecodeError;
use super::lookup::{NameList, NumberLookup, NumberSource, bandwidth};
use super::notice_record::NoticeRecord;
use super::record::{
    AllocationRecord, BindingRecord, CauseWord, ControllerRecord, DenialRecord, DeniedRecord, DisplacedRecord,
    EventRecord, FateWord,
};
use super::scalars::{StoredAllocationId, StoredName};
use kernel::allocation::Allocation;
use kernel::bam::Cause;
use kernel::controller::{Controller, ControllerAddress};
use kernel::event::{Binding, Denial, Displaced, DisplacedBy, Event, Fate, PathObstacle};
use kernel::id::{AllocationId, LinkIx, Sequence};
use kernel::state::State;
use kernel::units::{Micros, Millis};
use kernel::{Fact, Names, Recorded};

/// The event that `record` stands for, to be applied to `state`.
///
/// # Errors
/// The record does not fit the state.
pub(super) fn decode(
    record: &EventRecord,
    sequence: Sequence,
    at: Millis,
    state: &State,
) -> Result<Recorded, RecordDecodeError> {
    let event = event(record, sequence, |topology| NumberLookup::in_state(state, topology))?;
    Ok(Recorded { sequence, at, event })
}

/// The event that `record` stands for, with the names that it has; whether a topology has them is not asked.
///
/// # Errors
/// A number is out of range, or an uploaded topology is none.
pub(super) fn decode_fact(record: &EventRecord, sequence: Sequence, at: Millis) -> Result<Fact, RecordDecodeError> {
    let list = NameList::default();
    let event = event(record, sequence, |topology| Ok(NumberLookup::new(&topology.0, NumberSource::Listed(&list))))?;
    let names = match &event {
        Event::TopologyPut { topology, .. } => Names::of(topology),
        _ => list.into_names(),
    };
    Ok(Fact { sequence, at, event, names, actor: None })
}

/// An allocation as its record says, with the names that the record has.
///
/// # Errors
/// A number is out of range.
pub(super) fn decode_allocation(record: &AllocationRecord) -> Result<(Allocation, Names), RecordDecodeError> {
    let list = NameList::default();
    let lookup = NumberLookup::new(&record.demand.topology.0, NumberSource::Listed(&list));
    let allocation = lookup.allocation(record)?;
    Ok((allocation, list.into_names()))
}

fn event<'a>(
    record: &'a EventRecord,
    sequence: Sequence,
    lookup: impl Fn(&'a StoredName) -> Result<NumberLookup<'a>, RecordDecodeError>,
) -> Result<Event, RecordDecodeError> {
    Ok(match record {
        EventRecord::TopologyPut { topology: name, content, displaced } => {
            let topology = content.read(&name.0)?;
            let displaced = NumberLookup::new(&name.0, NumberSource::Topology(&topology)).displaced(displaced)?;
            Event::TopologyPut { name: name.0.clone(), topology: Arc::new(topology), displaced }
        }
        EventRecord::TopologyDeleted { topology } => Event::TopologyDeleted { name: topology.0.clone() },
        EventRecord::ModelSet { topology, model, displaced } => Event::ModelSet {
            topology: topology.0.clone(),
            model: Arc::new(model.read()?),
            displaced: lookup(topology)?.displaced(displaced)?,
        },
        EventRecord::LinkChanged { topology, links, displaced, stranded, reported } => {
            let names = lookup(topology)?;
            let links = links.iter().map(|link| {
                Ok((names.link(&link.name)?, link.read(|node| names.node(node), |twin| names.link(twin))?))
            });
            Event::LinkChanged {
                topology: topology.0.clone(),
                links: links.collect::<Result<_, RecordDecodeError>>()?,
                displaced: names.displaced(displaced)?,
                stranded: ids(stranded),
                is_reported: *reported,
            }
        }
        EventRecord::AllocationAdmitted { allocation, displaced } => {
            let names = lookup(&allocation.demand.topology)?;
            Event::Admitted {
                allocation: Arc::new(names.allocation(allocation)?),
                displaced: names.displaced(displaced)?,
            }
        }
        EventRecord::AllocationDenied { demand: denied, denial } => {
            let DeniedRecord { of, demand } = &**denied;
            let names = lookup(&demand.topology)?;
            Event::Denied {
                of: of.map(|id| id.0),
                demand: Box::new(names.demand(demand)?),
                denial: names.denial(denial)?,
            }
        }
        EventRecord::AllocationResized { allocation, displaced } => {
            let names = lookup(&allocation.demand.topology)?;
            Event::Resized {
                allocation: Arc::new(names.allocation(allocation)?),
                displaced: names.displaced(displaced)?,
            }
        }
        EventRecord::AllocationRecovered { allocation } => {
            let names = lookup(&allocation.demand.topology)?;
            Event::Recovered { allocation: Arc::new(names.allocation(allocation)?) }
        }
        EventRecord::AllocationStarted { allocation, displaced } => {
            let names = lookup(&allocation.demand.topology)?;
            Event::Started {
                allocation: Arc::new(names.allocation(allocation)?),
                displaced: names.displaced(displaced)?,
            }
        }
        EventRecord::AllocationStartFailed { id, demand, denial } => {
            let names = lookup(&demand.topology)?;
            Event::StartFailed { id: id.0, demand: Box::new(names.demand(demand)?), denial: names.denial(denial)? }
        }
        EventRecord::AllocationReleased { id } => Event::Released { id: id.0 },
        EventRecord::ControllerPut { controller: record } => {
            Event::ControllerPut { controller: Arc::new(controller(record, sequence)?) }
        }
        EventRecord::ControllerLed { controller, leader } => {
            Event::ControllerLed { name: controller.0.clone(), leader: leader.read() }
        }
        EventRecord::SchedulerLed { lead } => Event::SchedulerLed { lead: lead.read() },
        EventRecord::ControllerDeleted { controller } => Event::ControllerDeleted { name: controller.0.clone() },
        EventRecord::MaintenancePlanned { topology, maintenance, displaced, stranded } => Event::MaintenancePlanned {
            topology: topology.0.clone(),
            maintenance: Arc::new(maintenance.read()),
            displaced: lookup(topology)?.displaced(displaced)?,
            stranded: ids(stranded),
        },
        EventRecord::PreemptionForeseen { topology, notices } => Event::PreemptionForeseen {
            topology: topology.0.clone(),
            notices: notices.iter().map(NoticeRecord::read).collect(),
        },
        EventRecord::MaintenanceEnded { topology, id } => {
            Event::MaintenanceEnded { topology: topology.0.clone(), id: Sequence(*id) }
        }
        EventRecord::TenantPut { tenant } => Event::TenantPut { tenant: Arc::new(tenant.read(sequence)?) },
        EventRecord::TenantDeleted { tenant } => Event::TenantDeleted { name: tenant.0.clone() },
        EventRecord::AllocationsExpired { ids: expired } => Event::Expired { ids: ids(expired) },
    })
}

fn ids(stored: &[StoredAllocationId]) -> Vec<AllocationId> {
    stored.iter().map(|id| id.0).collect()
}

impl NumberLookup<'_> {
    pub(super) fn links(&self, links: &[StoredName]) -> Result<Arc<[LinkIx]>, RecordDecodeError> {
        links.iter().map(|link| self.link(link)).collect()
    }

    pub(super) fn allocation(&self, record: &AllocationRecord) -> Result<Allocation, RecordDecodeError> {
        Ok(Allocation {
            id: record.id.0,
            demand: self.demand(&record.demand)?,
            path: self.links(&record.path)?,
            recovery: record.recovery.as_ref().map(|one| one.read(self)).transpose()?.flatten(),
            created_at: Millis(record.created_at_ms),
            updated_at: Millis(record.updated_at_ms),
        })
    }

    fn displaced(&self, records: &[DisplacedRecord]) -> Result<Vec<Displaced>, RecordDecodeError> {
        let one = |record: &DisplacedRecord| {
            let cause = match record.cause {
                CauseWord::Preempted => DisplacedBy::Contention(Cause::Preempted),
                CauseWord::Devolved => DisplacedBy::Contention(Cause::Devolved),
                CauseWord::Link => DisplacedBy::Link,
                CauseWord::Relocation => DisplacedBy::Relocation,
            };
            let fate = match (record.fate, &record.path) {
                (FateWord::Rerouted, Some(path)) => Fate::Rerouted(self.links(path)?),
                (FateWord::Rerouted, None) => return Err(RecordDecodeError::NoPath(record.id.0)),
                (FateWord::Unprotected, _) => Fate::Unprotected,
                (FateWord::Ended(cause), _) => Fate::Ended(cause.into()),
            };
            let annotations = AnnotationsRecord::read(record.annotations.as_deref());
            Ok(Displaced { id: record.id.0, annotations, cause, fate })
        };
        records.iter().map(one).collect()
    }

    fn binding(&self, records: &[BindingRecord]) -> Result<Vec<Binding>, RecordDecodeError> {
        let binding = |record: &BindingRecord| {
            let available = bandwidth("available_bps", record.available_bps)?;
            Ok(Binding { link: self.link(&record.link)?, available })
        };
        records.iter().map(binding).collect()
    }

    fn denial(&self, record: &DenialRecord) -> Result<Denial, RecordDecodeError> {
        let obstacle = match record {
            DenialRecord::InsufficientBandwidth { binding, largest_admissible_bps } => {
                return Ok(Denial::InsufficientBandwidth {
                    binding: self.binding(binding)?,
                    largest_admissible: bandwidth("largest_admissible_bps", *largest_admissible_bps)?,
                });
            }
            DenialRecord::NoBackup { disjoint, binding, largest_admissible_bps } => {
                return Ok(Denial::NoBackup {
                    disjointness: (*disjoint).into(),
                    binding: self.binding(binding)?,
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
        settings: record.settings.read()?,
        is_closing: record.closing,
        leader: None,
        revision,
    })
}
