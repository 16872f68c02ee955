//! The start of a booking: it takes the bandwidth that it was promised.

use std::sync::Arc;

use super::admit::Admission;
use super::change::on_route;
use super::resolve;
use crate::allocation::Allocation;
use crate::event::Event;
use crate::path::Workspace;
use crate::refusal::Refusal;
use crate::state::State;
use crate::units::Millis;

/// The start of the scheduled allocation whose time came first.
pub(super) fn start(state: &State, now: Millis, workspace: &mut Workspace) -> Result<Event, Refusal> {
    let first = state.starts.first_key_value().filter(|((at, _), ())| *at <= now);
    let ((_, id), ()) = first.ok_or(Refusal::NothingDue)?;
    let old = resolve::allocation(state, *id)?;
    let (name, network) = resolve::network(state, Some(&old.demand.topology))?;
    let mut demand = old.demand.clone();
    demand.attributes.starts_at = None;
    let (setup, hold) = (demand.setup_priority, demand.hold_priority);
    let priorities = resolve::priorities(network, name, demand.class_type, Some(setup), Some(hold))?;
    let moves_max = network.model.policy.relocation.max_moves;
    let admission = Admission { state, network, id: *id, demand: &demand, priorities, moves_max };
    Ok(match admission.in_place_of(old, workspace) {
        Ok((route, displaced)) => {
            let started = Allocation { updated_at: now, ..on_route(old, demand, route) };
            Event::Started { allocation: Arc::new(started), displaced }
        }
        Err(denial) => Event::StartFailed { id: *id, demand: Box::new(demand), denial },
    })
}
