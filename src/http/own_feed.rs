//! What of an event somebody sees who is for one tenant: the network's changes, and what happens to the tenant's own
//! allocations. Of others' they learn neither that they are there nor that they went.

use std::sync::Arc;

use super::access::Room;
use super::render;
use crate::app::{Fact, FieldEvent};
use api::effects::{Effects, Moved, Victim};
use api::event::{EventData, EventDocument};
use kernel::event::Event;
use kernel::id::{AllocationId, Name};

/// An event as the caller may see it; nothing if it is all about others.
pub(super) async fn shown(room: &Room, fact: &Arc<Fact>) -> Option<EventDocument> {
    let document = render::event(fact);
    let Some(own) = room.own_tenant() else { return Some(document) };
    let is_own = |tenant: &Option<Name>| tenant.as_ref() == Some(own);
    match &fact.event {
        Event::Admitted { allocation, .. } | Event::Resized { allocation, .. } | Event::Started { allocation, .. }
            if !is_own(&allocation.demand.attributes.tenant) =>
        {
            return displaced_by_others(room, own, document).await;
        }
        Event::Recovered { allocation } => is_own(&allocation.demand.attributes.tenant).then_some(())?,
        Event::Admitted { .. } | Event::Resized { .. } | Event::Started { .. } => {}
        Event::Denied { demand, .. } | Event::StartFailed { demand, .. } => {
            is_own(&demand.attributes.tenant).then_some(())?
        }
        Event::Released { id } => is_of(room, own, *id).await.then_some(())?,
        Event::TenantPut { tenant } => (tenant.name == *own).then_some(())?,
        Event::TenantDeleted { name } => (name == own).then_some(())?,
        Event::ControllerPut { .. }
        | Event::ControllerLed { .. }
        | Event::SchedulerLed { .. }
        | Event::ControllerDeleted { .. } => return None,
        Event::Expired { .. }
        | Event::TopologyPut { .. }
        | Event::TopologyDeleted { .. }
        | Event::ModelSet { .. }
        | Event::LinkChanged { .. }
        | Event::MaintenancePlanned { .. }
        | Event::MaintenanceEnded { .. }
        | Event::PreemptionForeseen { .. } => {}
    }
    cut(room, own, EventDocument { actor: None, ..document }).await
}

/// What somebody else's request did to the tenant's own allocations.
async fn displaced_by_others(room: &Room, own: &Name, document: EventDocument) -> Option<EventDocument> {
    let (EventData::AllocationAdmitted { mut victims, mut moved, .. }
    | EventData::AllocationResized { mut victims, mut moved, .. }
    | EventData::AllocationStarted { mut victims, mut moved, .. }) = document.data
    else {
        return None;
    };
    keep(room, own, &mut victims, victim_id).await;
    keep(room, own, &mut moved, moved_id).await;
    if victims.is_empty() && moved.is_empty() {
        return None;
    }
    let data = EventData::AllocationsDisplaced { victims, moved };
    Some(EventDocument { kind: data.kind(), actor: None, data, ..document })
}

/// Without the allocations of others.
async fn cut(room: &Room, own: &Name, mut document: EventDocument) -> Option<EventDocument> {
    match &mut document.data {
        EventData::AllocationsExpired { ids } => {
            keep(room, own, ids, |id| id).await;
            (!ids.is_empty()).then_some(())?;
        }
        EventData::PreemptionForeseen { notices, .. } => {
            keep(room, own, notices, |notice| &notice.id).await;
            notices.iter_mut().for_each(|notice| cut_preemptor(room, &mut notice.preempted_by));
            (!notices.is_empty()).then_some(())?;
        }
        EventData::AllocationAdmitted { victims, moved, .. }
        | EventData::AllocationResized { victims, moved, .. }
        | EventData::AllocationStarted { victims, moved, .. } => {
            keep(room, own, victims, victim_id).await;
            keep(room, own, moved, moved_id).await;
        }
        EventData::TopologyPut { victims, .. } | EventData::ModelSet { victims, .. } => {
            keep(room, own, victims, victim_id).await;
        }
        EventData::LinkChanged { victims, stranded, .. } | EventData::MaintenancePlanned { victims, stranded, .. } => {
            keep(room, own, victims, victim_id).await;
            keep(room, own, stranded, |id| id).await;
        }
        _ => {}
    }
    Some(document)
}

/// What an operation did to others' allocations is not the caller's to know.
pub(super) async fn cut_effects(room: &Room, effects: &mut Effects) {
    let Some(own) = room.own_tenant() else { return };
    let Effects { devolved, preempted, rerouted, unprotected, failed, .. } = effects;
    for ids in [devolved, preempted, rerouted, unprotected, failed] {
        keep(room, own, ids, |id| id).await;
    }
    keep(room, own, &mut effects.moved, moved_id).await;
    keep(room, own, &mut effects.victims, victim_id).await;
}

/// Which booking of others will preempt an allocation is not the caller's to know.
pub(super) fn cut_preemptor(room: &Room, preempted_by: &mut Option<String>) {
    let Some(own) = room.own_tenant() else { return };
    let is_own = |id: &String| {
        let tenant = |id| room.app.read(|state| state.allocation(AllocationId(id))?.demand.attributes.tenant.clone());
        id.parse().is_ok_and(|id| tenant(id).as_ref() == Some(own))
    };
    *preempted_by = preempted_by.take().filter(is_own);
}

fn victim_id(victim: &Victim) -> &String {
    &victim.id
}

fn moved_id(moved: &Moved) -> &String {
    &moved.id
}

async fn keep<T>(room: &Room, own: &Name, list: &mut Vec<T>, id_of: fn(&T) -> &String) {
    for one in std::mem::take(list) {
        if let Ok(id) = id_of(&one).parse()
            && is_of(room, own, AllocationId(id)).await
        {
            list.push(one);
        }
    }
}

/// Whether an allocation, living or ended, is a tenant's. One that cannot be looked up is not.
async fn is_of(room: &Room, own: &Name, id: AllocationId) -> bool {
    let living = room.app.read(|state| state.allocation(id).map(|living| living.demand.attributes.tenant.clone()));
    let tenant = match living {
        Some(tenant) => tenant,
        None => match room.app.past_one(id).await {
            Ok(Some(past)) => past.allocation.demand.attributes.tenant.clone(),
            _ => None,
        },
    };
    tenant.as_ref() == Some(own)
}

/// Whether the caller may hear what switches say of an allocation.
pub(super) fn sees_news(room: &Room, news: &FieldEvent) -> bool {
    let Some(own) = room.own_tenant() else { return true };
    match news {
        FieldEvent::Turned { id, .. } => room.app.read(|state| {
            state.allocation(*id).is_some_and(|living| living.demand.attributes.tenant.as_ref() == Some(own))
        }),
        _ => false,
    }
}
