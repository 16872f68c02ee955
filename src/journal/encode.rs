//! From events to records: numbers become the names they stand for in the topology in force.

use super::annotation_record::AnnotationsRecord;
use super::error::RecordEncodeError;
use super::lookup::NameLookup;
use super::maintenance_record::MaintenanceRecord;
use super::model_record::ModelRecord;
use super::notice_record::NoticeRecord;
use super::protection_record::RecoveryRecord;
use super::record::{
    AllocationRecord, BindingRecord, CauseWord, ControllerRecord, DenialRecord, DeniedRecord, DisplacedRecord,
    EventRecord, FateWord, LeaderRecord, SchedulerTermRecord,
};
use super::rule_settings_record::RuleSettingsRecord;
use super::scalars::{StoredAllocationId, StoredName};
use super::tenant_record::TenantRecord;
use super::topology_record::{LinkRecord, TopologyRecord};
use kernel::Fact;
use kernel::allocation::Allocation;
use kernel::bam::Cause;
use kernel::controller::Controller;
use kernel::event::{Binding, Denial, Displaced, DisplacedBy, Event, Fate, PathObstacle};
use kernel::id::AllocationId;

/// The stored form of an event.
///
/// # Errors
/// A number of the event has no name.
pub(super) fn encode(fact: &Fact) -> Result<EventRecord, RecordEncodeError> {
    let of = |topology| NameLookup { topology, names: &fact.names };
    Ok(match &fact.event {
        Event::TopologyPut { name, topology, displaced } => EventRecord::TopologyPut {
            topology: name.into(),
            content: TopologyRecord::of(name, topology)?,
            displaced: of(name).displaced(displaced)?,
        },
        Event::TopologyDeleted { name } => EventRecord::TopologyDeleted { topology: name.into() },
        Event::ModelSet { topology, model, displaced } => EventRecord::ModelSet {
            topology: topology.into(),
            model: Box::new(ModelRecord::of(model)),
            displaced: of(topology).displaced(displaced)?,
        },
        Event::LinkChanged { topology, links, displaced, stranded, is_reported } => {
            let lookup = of(topology);
            EventRecord::LinkChanged {
                topology: topology.into(),
                links: links.iter().map(|(_, link)| LinkRecord::of(&lookup, link)).collect::<Result<_, _>>()?,
                displaced: lookup.displaced(displaced)?,
                stranded: ids(stranded),
                reported: *is_reported,
            }
        }
        Event::Admitted { allocation, displaced } => {
            let lookup = of(&allocation.demand.topology);
            EventRecord::AllocationAdmitted {
                allocation: Box::new(lookup.allocation(allocation)?),
                displaced: lookup.displaced(displaced)?,
            }
        }
        Event::Denied { of: changed, demand, denial } => {
            let lookup = of(&demand.topology);
            EventRecord::AllocationDenied {
                demand: Box::new(DeniedRecord { of: changed.map(StoredAllocationId), demand: lookup.demand(demand)? }),
                denial: lookup.denial(denial)?,
            }
        }
        Event::Resized { allocation, displaced } => {
            let lookup = of(&allocation.demand.topology);
            EventRecord::AllocationResized {
                allocation: Box::new(lookup.allocation(allocation)?),
                displaced: lookup.displaced(displaced)?,
            }
        }
        Event::Recovered { allocation } => {
            let lookup = of(&allocation.demand.topology);
            EventRecord::AllocationRecovered { allocation: Box::new(lookup.allocation(allocation)?) }
        }
        Event::Started { allocation, displaced } => {
            let lookup = of(&allocation.demand.topology);
            EventRecord::AllocationStarted {
                allocation: Box::new(lookup.allocation(allocation)?),
                displaced: lookup.displaced(displaced)?,
            }
        }
        Event::StartFailed { id, demand, denial } => {
            let lookup = of(&demand.topology);
            EventRecord::AllocationStartFailed {
                id: StoredAllocationId(*id),
                demand: Box::new(lookup.demand(demand)?),
                denial: lookup.denial(denial)?,
            }
        }
        Event::Released { id } => EventRecord::AllocationReleased { id: StoredAllocationId(*id) },
        Event::ControllerPut { controller } => EventRecord::ControllerPut { controller: controller_record(controller) },
        Event::ControllerLed { name, leader } => {
            EventRecord::ControllerLed { controller: name.into(), leader: LeaderRecord::of(leader) }
        }
        Event::SchedulerLed { lead } => EventRecord::SchedulerLed { lead: SchedulerTermRecord::of(lead) },
        Event::ControllerDeleted { name } => EventRecord::ControllerDeleted { controller: name.into() },
        Event::MaintenancePlanned { topology, maintenance, displaced, stranded } => EventRecord::MaintenancePlanned {
            topology: topology.into(),
            maintenance: MaintenanceRecord::of(maintenance),
            displaced: of(topology).displaced(displaced)?,
            stranded: ids(stranded),
        },
        Event::PreemptionForeseen { topology, notices } => EventRecord::PreemptionForeseen {
            topology: topology.into(),
            notices: notices.iter().copied().map(NoticeRecord::of).collect(),
        },
        Event::MaintenanceEnded { topology, id } => {
            EventRecord::MaintenanceEnded { topology: topology.into(), id: id.0 }
        }
        Event::TenantPut { tenant } => EventRecord::TenantPut { tenant: TenantRecord::of(tenant) },
        Event::TenantDeleted { name } => EventRecord::TenantDeleted { tenant: name.into() },
        Event::Expired { ids: expired } => EventRecord::AllocationsExpired { ids: ids(expired) },
    })
}

fn ids(ids: &[AllocationId]) -> Vec<StoredAllocationId> {
    ids.iter().map(|id| StoredAllocationId(*id)).collect()
}

impl NameLookup<'_> {
    pub(super) fn allocation(&self, allocation: &Allocation) -> Result<AllocationRecord, RecordEncodeError> {
        Ok(AllocationRecord {
            id: StoredAllocationId(allocation.id),
            demand: self.demand(&allocation.demand)?,
            path: self.links(&allocation.path)?,
            recovery: allocation.recovery.as_deref().map(|one| RecoveryRecord::of(one, self)).transpose()?,
            created_at_ms: allocation.created_at.0,
            updated_at_ms: allocation.updated_at.0,
        })
    }

    fn displaced(&self, displaced: &[Displaced]) -> Result<Vec<DisplacedRecord>, RecordEncodeError> {
        let one = |gone: &Displaced| {
            let cause = match gone.cause {
                DisplacedBy::Contention(Cause::Preempted) => CauseWord::Preempted,
                DisplacedBy::Contention(Cause::Devolved) => CauseWord::Devolved,
                DisplacedBy::Link => CauseWord::Link,
                DisplacedBy::Relocation => CauseWord::Relocation,
            };
            let (fate, path) = match &gone.fate {
                Fate::Rerouted(path) => (FateWord::Rerouted, Some(self.links(path)?)),
                Fate::Unprotected => (FateWord::Unprotected, None),
                Fate::Ended(cause) => (FateWord::Ended((*cause).into()), None),
            };
            let annotations = AnnotationsRecord::of(&gone.annotations);
            Ok(DisplacedRecord { id: StoredAllocationId(gone.id), annotations, cause, fate, path })
        };
        displaced.iter().map(one).collect()
    }

    fn binding(&self, binding: &[Binding]) -> Result<Vec<BindingRecord>, RecordEncodeError> {
        let record = |Binding { link, available }: &Binding| {
            Ok(BindingRecord { link: self.link(*link)?, available_bps: available.as_bps() })
        };
        binding.iter().map(record).collect()
    }

    fn denial(&self, denial: &Denial) -> Result<DenialRecord, RecordEncodeError> {
        Ok(match denial {
            Denial::InsufficientBandwidth { binding, largest_admissible } => DenialRecord::InsufficientBandwidth {
                binding: self.binding(binding)?,
                largest_admissible_bps: largest_admissible.as_bps(),
            },
            Denial::NoBackup { disjointness, binding, largest_admissible } => DenialRecord::NoBackup {
                disjoint: (*disjointness).into(),
                binding: self.binding(binding)?,
                largest_admissible_bps: largest_admissible.as_bps(),
            },
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
        closing: controller.is_closing,
        settings: RuleSettingsRecord::of(&controller.settings),
    }
}
