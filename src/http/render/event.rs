//! Events as documents.

use std::num::NonZeroU32;

use super::allocation::demand;
use super::tenant::quota;
use super::{effects, instant, properties};
use crate::app::Fact;
use crate::http::error;
use api::controller::{ControllerDriver, ControllerSettings, Policing, SwitchNumbering};
use api::effects::Effects;
use api::event::{
    BookedAllocation, DeniedDemand, EventActor, EventData, EventDocument, PreemptionNoticeDocument, TenantSettings,
};
use formats::bandwidth_model::document_of;
use kernel::Names;
use kernel::allocation::Allocation;
use kernel::controller::{Controller, DriverKind};
use kernel::event::{Displaced, Event};
use kernel::id::AllocationId;
use kernel::intent::MeterSettings;
use kernel::preemption_notice::PreemptionNotice;

/// An event.
pub(in crate::http) fn event(fact: &Fact) -> EventDocument {
    let data = data(fact);
    let actor = fact.actor.as_ref().map(|actor| EventActor {
        name: actor.name.to_string(),
        address: actor.address.map(|address| address.to_string()),
        token: actor.token.as_ref().map(ToString::to_string),
    });
    EventDocument { sequence: fact.sequence.0, at: instant(fact.at), kind: data.kind(), actor, data }
}

fn data(fact: &Fact) -> EventData {
    let names = &fact.names;
    let victims = |displaced: &[Displaced]| effects(displaced, names).victims;
    let ids = |ids: &[AllocationId]| ids.iter().map(ToString::to_string).collect();
    match &fact.event {
        Event::TopologyPut { name, topology, displaced } => EventData::TopologyPut {
            topology: name.to_string(),
            nodes: topology.nodes().count(),
            links: topology.links().count(),
            victims: victims(displaced),
        },
        Event::TopologyDeleted { name } => EventData::TopologyDeleted { topology: name.to_string() },
        Event::ModelSet { topology, model, displaced } => EventData::ModelSet {
            topology: topology.to_string(),
            model: document_of(model),
            victims: victims(displaced),
        },
        Event::LinkChanged { topology, links, displaced, stranded, is_reported } => EventData::LinkChanged {
            topology: topology.to_string(),
            links: links.iter().map(|(_, link)| properties(names, link)).collect(),
            victims: victims(displaced),
            stranded: ids(stranded),
            reported: *is_reported,
        },
        Event::Admitted { allocation, displaced } => {
            let Effects { victims, moved, .. } = effects(displaced, names);
            EventData::AllocationAdmitted { allocation: booked(allocation, names), victims, moved }
        }
        Event::Denied { of, demand: asked, denial } => EventData::AllocationDenied {
            demand: Box::new(DeniedDemand { of: of.map(|id| id.to_string()), demand: demand(asked, names) }),
            problem: Box::new(error::denied(asked, denial, names).document(None)),
        },
        Event::Resized { allocation, displaced } => {
            let Effects { victims, moved, .. } = effects(displaced, names);
            EventData::AllocationResized { allocation: booked(allocation, names), victims, moved }
        }
        Event::Recovered { allocation } => EventData::AllocationRecovered { allocation: booked(allocation, names) },
        Event::Started { allocation, displaced } => {
            let Effects { victims, moved, .. } = effects(displaced, names);
            EventData::AllocationStarted { allocation: booked(allocation, names), victims, moved }
        }
        Event::StartFailed { id, demand: asked, denial } => EventData::AllocationStartFailed {
            id: id.to_string(),
            demand: Box::new(demand(asked, names)),
            problem: Box::new(error::denied(asked, denial, names).document(None)),
        },
        Event::Released { id } => EventData::AllocationReleased { id: id.to_string() },
        Event::Expired { ids: expired } => EventData::AllocationsExpired { ids: ids(expired) },
        Event::ControllerPut { controller } => EventData::ControllerPut { controller: controller_settings(controller) },
        Event::ControllerLed { name, leader } => {
            let (controller, instance) = (name.to_string(), leader.instance.to_string());
            EventData::ControllerLed { controller, instance, term: leader.term }
        }
        Event::SchedulerLed { lead } => {
            EventData::SchedulerLed { instance: lead.instance.as_ref().map(ToString::to_string), term: lead.term }
        }
        Event::ControllerDeleted { name } => EventData::ControllerDeleted { controller: name.to_string() },
        Event::MaintenancePlanned { topology, maintenance, displaced, stranded } => EventData::MaintenancePlanned {
            topology: topology.to_string(),
            maintenance: super::maintenance(maintenance),
            victims: victims(displaced),
            stranded: ids(stranded),
        },
        Event::PreemptionForeseen { topology, notices } => {
            let document = |(id, notice): &(AllocationId, Option<PreemptionNotice>)| PreemptionNoticeDocument {
                id: id.to_string(),
                preempted_at: notice.map(|notice| instant(notice.at)),
                preempted_by: notice.map(|notice| notice.by.to_string()),
            };
            let (topology, notices) = (topology.to_string(), notices.iter().map(document).collect());
            EventData::PreemptionForeseen { topology, notices }
        }
        Event::MaintenanceEnded { topology, id } => {
            EventData::MaintenanceEnded { topology: topology.to_string(), id: id.0.to_string() }
        }
        Event::TenantPut { tenant } => EventData::TenantPut {
            tenant: TenantSettings {
                id: tenant.name.to_string(),
                quotas: tenant.terms.quotas.iter().map(quota).collect(),
                max_requests_per_s: tenant.terms.requests_max_per_s.map(NonZeroU32::get),
                weight: tenant.terms.weight.get(),
                aggregators: tenant.terms.aggregators.iter().map(ToString::to_string).collect(),
            },
        },
        Event::TenantDeleted { name } => EventData::TenantDeleted { tenant: name.to_string() },
    }
}

fn booked(allocation: &Allocation, names: &Names) -> Box<BookedAllocation> {
    Box::new(BookedAllocation {
        id: allocation.id.to_string(),
        demand: demand(&allocation.demand, names),
        path: super::path(names, &allocation.path),
        backup_path: allocation.backup().map(|path| super::path(names, path)),
        reverts_to: allocation.reverts_to().map(|path| super::path(names, path)),
        created_at: instant(allocation.created_at),
        updated_at: instant(allocation.updated_at),
    })
}

pub(in crate::http) fn controller_settings(controller: &Controller) -> ControllerSettings {
    ControllerSettings {
        id: controller.name.to_string(),
        driver: driver(controller.driver),
        url: controller.address.as_ref().map(ToString::to_string),
        topology: controller.topology.to_string(),
        numbering: numbering(controller),
        policing: policing(controller),
        queues: controller.settings.has_queues,
        closing: controller.is_closing,
    }
}

fn numbering(controller: &Controller) -> SwitchNumbering {
    let numbering = controller.settings.numbering;
    SwitchNumbering {
        label_min: numbering.label_min(),
        meter_min: numbering.meter_min(),
        flows_max: numbering.flows_max(),
        cookie_tag: numbering.cookie_tag(),
        priority_min: numbering.priority_min(),
    }
}

fn policing(controller: &Controller) -> Policing {
    let MeterSettings { burst_ms, packet_bytes } = controller.settings.meters;
    Policing { burst_ms, packet_bytes }
}

fn driver(driver: DriverKind) -> ControllerDriver {
    match driver {
        DriverKind::Ryu => ControllerDriver::Ryu,
        DriverKind::Onos => ControllerDriver::Onos,
        DriverKind::Simulated => ControllerDriver::Simulated,
    }
}
