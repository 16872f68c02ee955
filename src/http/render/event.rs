//! Events as documents.

use super::allocation::{constraints, flow, recorded_allocation};
use super::{changed_properties, effects, instant};
use crate::app::record::{ControllerRecord, DemandRecord, EventRecord};
use crate::app::{Fact, RecordDecodeError};
use crate::http::error;
use api::controller::ControllerDriver;
use api::event::{ControllerSettings, DeniedDemand, EventData, EventDocument};
use api::instant::Instant;
use formats::bandwidth_model::document_of;
use kernel::controller::DriverKind;

/// An event.
///
/// # Errors
/// The event has a bandwidth model that cannot be: a defect.
pub(in crate::http) fn event(fact: &Fact) -> Result<EventDocument, RecordDecodeError> {
    let data = data(&fact.record)?;
    Ok(EventDocument { sequence: fact.sequence.0, at: instant(fact.at), kind: data.kind(), data })
}

fn data(record: &EventRecord) -> Result<EventData, RecordDecodeError> {
    Ok(match record {
        EventRecord::TopologyPut { topology, content, displaced } => EventData::TopologyPut {
            topology: topology.to_string(),
            nodes: content.nodes.len(),
            links: content.links.len(),
            victims: effects(displaced).victims,
        },
        EventRecord::TopologyDeleted { topology } => EventData::TopologyDeleted { topology: topology.to_string() },
        EventRecord::ModelSet { topology, model, displaced } => EventData::ModelSet {
            topology: topology.to_string(),
            model: document_of(&model.read()?),
            victims: effects(displaced).victims,
        },
        EventRecord::LinkChanged { topology, links, displaced, stranded } => EventData::LinkChanged {
            topology: topology.to_string(),
            links: links.iter().map(changed_properties).collect(),
            victims: effects(displaced).victims,
            stranded: stranded.iter().map(ToString::to_string).collect(),
        },
        EventRecord::AllocationAdmitted { allocation, displaced } => EventData::AllocationAdmitted {
            allocation: Box::new(recorded_allocation(allocation)),
            victims: effects(displaced).victims,
        },
        EventRecord::AllocationDenied { demand: asked, denial } => EventData::AllocationDenied {
            demand: Box::new(demand(asked)),
            problem: Box::new(error::denied(asked, denial).document(None)),
        },
        EventRecord::AllocationResized { allocation, displaced } => EventData::AllocationResized {
            allocation: Box::new(recorded_allocation(allocation)),
            victims: effects(displaced).victims,
        },
        EventRecord::AllocationReleased { id } => EventData::AllocationReleased { id: id.to_string() },
        EventRecord::AllocationsExpired { ids } => {
            EventData::AllocationsExpired { ids: ids.iter().map(ToString::to_string).collect() }
        }
        EventRecord::ControllerPut { controller } => {
            EventData::ControllerPut { controller: controller_settings(controller) }
        }
        EventRecord::ControllerDeleted { controller } => {
            EventData::ControllerDeleted { controller: controller.to_string() }
        }
    })
}

fn demand(record: &DemandRecord) -> DeniedDemand {
    DeniedDemand {
        of: record.of.map(|id| id.to_string()),
        topology: record.topology.to_string(),
        ingress: record.ingress.to_string(),
        egress: record.egress.to_string(),
        class_type: record.class_type,
        setup_priority: record.setup_priority,
        hold_priority: record.hold_priority,
        bandwidth_bps: record.bandwidth_bps,
        aggregator: record.aggregator.as_ref().map(ToString::to_string),
        expires_at: record.expires_at_ms.map(Instant),
        constraints: record.constraints.as_deref().map(constraints),
        flow: record.flow.as_deref().map(flow),
    }
}

fn controller_settings(record: &ControllerRecord) -> ControllerSettings {
    ControllerSettings {
        id: record.name.to_string(),
        driver: driver(record.driver.into()),
        url: record.url.clone(),
        topology: record.topology.to_string(),
    }
}

/// The dialect of a controller.
pub(in crate::http) fn driver(driver: DriverKind) -> ControllerDriver {
    match driver {
        DriverKind::Ryu => ControllerDriver::Ryu,
        DriverKind::Onos => ControllerDriver::Onos,
        DriverKind::Simulated => ControllerDriver::Simulated,
    }
}
