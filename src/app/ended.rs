//! The allocations that an event ended.

use std::sync::Arc;

use crate::journal::Past;
use kernel::allocation::EndCause;
use kernel::event::{Displaced, Event, Fate};
use kernel::id::AllocationId;
use kernel::{Before, Fact, Names, State};

/// The allocations that an event ended, as they were.
pub(super) fn ended(state: &State, fact: &Fact, before: &Before) -> Vec<Past> {
    let causes: Vec<(AllocationId, EndCause)> = match &fact.event {
        Event::Released { id } => vec![(*id, EndCause::Released)],
        Event::StartFailed { id, .. } => vec![(*id, EndCause::Failed)],
        Event::Expired { ids } => ids.iter().map(|id| (*id, EndCause::Expired)).collect(),
        Event::Admitted { displaced, .. }
        | Event::Resized { displaced, .. }
        | Event::Started { displaced, .. }
        | Event::LinkChanged { displaced, .. }
        | Event::MaintenancePlanned { displaced, .. }
        | Event::ModelSet { displaced, .. }
        | Event::TopologyPut { displaced, .. } => displaced.iter().filter_map(end_of).collect(),
        Event::Denied { .. }
        | Event::Recovered { .. }
        | Event::TopologyDeleted { .. }
        | Event::ControllerPut { .. }
        | Event::ControllerDeleted { .. }
        | Event::MaintenanceEnded { .. }
        | Event::PreemptionForeseen { .. }
        | Event::TenantPut { .. }
        | Event::ControllerLed { .. }
        | Event::SchedulerLed { .. }
        | Event::TenantDeleted { .. } => return vec![],
    };
    let past = causes.into_iter().filter_map(|(id, cause)| {
        let allocation = before.allocations.iter().find(|old| old.id == id)?;
        let now = || Some(state.network(allocation.demand.topology.as_str())?.topology());
        let topology = before.topology.as_ref().or_else(now)?;
        Some(Past {
            allocation: Arc::clone(allocation),
            names: Names::of(topology),
            cause,
            ended_at: fact.at,
            ended_by: fact.sequence,
        })
    });
    past.collect()
}

fn end_of(gone: &Displaced) -> Option<(AllocationId, EndCause)> {
    match gone.fate {
        Fate::Ended(cause) => Some((gone.id, cause)),
        Fate::Rerouted(_) | Fate::Unprotected => None,
    }
}
