//! Every policy `if`. [`decide`] reads the state and answers with the event that a command causes; it changes nothing. One
//! command, one event.

mod admit;
mod attributes;
mod change;
mod headroom;
mod availability;
mod network;
mod controller;
mod tenant;
mod maintenance;
mod restoration;
mod relocation;
mod protection;
mod reroute;
mod reallocation;
mod victim_choice;
mod victims;
mod bookings;
mod start;
mod notice;
mod path_query;
mod resolve;

use self::maintenance::MaintenancePlan;
use super::command::Command;
use super::event::Event;
use super::path::Workspace;
use super::refusal::Refusal;
use super::state::State;
use super::units::Millis;

pub use admit::least_sufficient_bps;
pub use availability::{Availability, INSTANTS_MAX, availability};
pub use headroom::{Headroom, headroom};
pub use maintenance::stranded_by;
pub use path_query::path_metric;
pub use resolve::{
    constraints as resolve_constraints, network as resolve_network, network_between as resolve_network_between,
};

/// The most allocations that one event lets expire.
pub const EXPIRED_AT_ONCE_MAX: usize = 1_000;

/// The event that `command` causes at `now`. The workspace is scratch memory of the path search and never changes the answer.
///
/// # Errors
/// The command is impossible, stale or at a limit; nothing is recorded.
pub fn decide(state: &State, command: &Command, now: Millis, workspace: &mut Workspace) -> Result<Event, Refusal> {
    match command {
        Command::PutTopology { name, topology, expected, misfits } => {
            network::put_topology(state, name, topology, *expected, *misfits, workspace)
        }
        Command::DeleteTopology { name, expected } => network::delete_topology(state, name, *expected),
        Command::SetModel { topology, model, expected, switch } => {
            network::set_model(state, topology, model, *expected, *switch, workspace)
        }
        Command::ChangeLink { topology, link, change } => {
            network::change_link(state, topology, link, change, workspace)
        }
        Command::Allocate(request) => admit::allocate(state, request, now, workspace),
        Command::Change { id, change } => change::change(state, *id, change, now, workspace),
        Command::Confirm { id } => attributes::confirm(state, *id, now),
        Command::Reroute { id, path } => reroute::reroute(state, *id, path, now, workspace),
        Command::Recover { id, may_return } => protection::recover(state, *id, *may_return, now, workspace),
        Command::GiveNotice { topology, notices } => notice::give(state, topology, notices),
        Command::Release { id } => resolve::allocation(state, *id).map(|_| Event::Released { id: *id }),
        Command::Expire => expire(state, now),
        Command::Start => expire(state, now).or_else(|_| start::start(state, now, workspace)),
        Command::PutController { name, driver, address, topology, settings } => {
            controller::put(state, name, *driver, address.as_ref(), topology, *settings)
        }
        Command::DeleteController { name, rules } => controller::delete(state, name, *rules),
        Command::LeadController { name, instance, after } => controller::lead(state, name, instance, *after),
        Command::LeadScheduler { instance, after } => controller::lead_scheduler(state, instance.as_ref(), *after),
        Command::PlanMaintenance { topology, links, nodes, starts_at, ends_at, note } => {
            let plan = MaintenancePlan { topology, links, nodes, time: (*starts_at, *ends_at), note: note.as_ref() };
            maintenance::plan(state, &plan, now, workspace)
        }
        Command::EndMaintenance { topology, id } => maintenance::end(state, topology, *id, now),
        Command::PutTenant { name, terms } => tenant::put(state, name, terms),
        Command::DeleteTenant { name } => tenant::delete(state, name),
    }
}

fn expire(state: &State, now: Millis) -> Result<Event, Refusal> {
    let due = state.deadlines.iter().take_while(|((at, _), ())| *at <= now);
    let ids: Vec<_> = due.map(|((_, id), ())| *id).take(EXPIRED_AT_ONCE_MAX).collect();
    if ids.is_empty() { Err(Refusal::NothingDue) } else { Ok(Event::Expired { ids }) }
}

#[cfg(test)]
mod tests;
