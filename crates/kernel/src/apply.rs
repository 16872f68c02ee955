//! What follows from an event. No policy: everything was decided. Events come from `decide` or from a journal, and a
//! journal's rows may be stale or damaged, so that an event that does not fit the state is an error, and changes nothing.

mod booking;
mod network;
mod outcome;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) use self::booking::book_all;
use self::booking::{book, fits, note_fate, renumber_flows, rerouted, unbook};
use self::network::{change_links, changed_topology, put_topology, record_reported, set_model};
pub use self::outcome::{ApplyError, Before};
use super::allocation::Allocation;
use super::controller::Controller;
use super::event::{Displaced, Event, Fate, Recorded};
use super::id::{AllocationId, Sequence};
use super::ledger::Ledger;
use super::state::State;
use super::topology::Link;

/// Makes `recorded` true.
///
/// # Errors
/// The event does not fit the state; then the state is as it was.
pub fn apply(state: &mut State, recorded: &Recorded) -> Result<Before, ApplyError> {
    let at = recorded.sequence;
    if at != state.sequence.next() {
        return Err(ApplyError::OutOfSequence { after: state.sequence, found: at });
    }
    let before = change(state, recorded)?;
    state.sequence = at;
    Ok(before)
}

/// Everything that can be wrong with an event is found before anything changes.
fn change(state: &mut State, recorded: &Recorded) -> Result<Before, ApplyError> {
    let (sequence, at) = (recorded.sequence, recorded.at);
    match &recorded.event {
        Event::TopologyPut { name, topology, displaced } => {
            put_topology(state, sequence, at, name, topology, displaced)
        }
        Event::TopologyDeleted { name } => {
            let network = state.networks.remove(name);
            let network = network.ok_or_else(|| ApplyError::NoTopology { at: sequence, name: name.clone() })?;
            Ok(Before { allocations: vec![], topology: Some(Arc::clone(&network.topology)) })
        }
        Event::ModelSet { topology, model, displaced } => set_model(state, sequence, at, topology, model, displaced),
        Event::LinkChanged { topology, links, displaced, stranded: _, is_reported } => {
            let changed = changed_topology(state, sequence, topology, links)?;
            let displaced = outcomes(state, recorded, displaced)?;
            change_links(state, sequence, topology, links, changed);
            record_reported(state, topology, links, *is_reported);
            Ok(displace(state, displaced, vec![]))
        }
        Event::Admitted { allocation, displaced } => {
            if allocation.id.0 != sequence.0 || !fits(state, allocation) {
                return Err(ApplyError::BadAllocation { at: sequence, id: allocation.id });
            }
            let displaced = outcomes(state, recorded, displaced)?;
            let before = displace(state, displaced, vec![]);
            book(state, Arc::clone(allocation));
            Ok(before)
        }
        Event::Denied { .. } => Ok(Before::default()),
        Event::PreemptionForeseen { topology: _, notices } => {
            distinct(sequence, notices.iter().map(|(id, _)| *id))?;
            notices.iter().try_for_each(|(id, _)| living(state, sequence, *id).map(drop))?;
            notices.iter().for_each(|(id, notice)| state.notices.set(*id, *notice));
            Ok(Before::default())
        }
        Event::Recovered { allocation } => {
            let old = living(state, sequence, allocation.id)?;
            if !fits(state, allocation) {
                return Err(ApplyError::BadAllocation { at: sequence, id: allocation.id });
            }
            unbook(state, allocation.id, Ledger::leave);
            note_fate(state, &old, Some(allocation));
            book(state, Arc::clone(allocation));
            Ok(Before { allocations: vec![old], topology: None })
        }
        Event::Resized { allocation, displaced } | Event::Started { allocation, displaced } => {
            let old = living(state, sequence, allocation.id)?;
            let displaced = outcomes(state, recorded, displaced)?;
            if !fits(state, allocation) || displaced.iter().any(|(gone, _)| gone.id == allocation.id) {
                return Err(ApplyError::BadAllocation { at: sequence, id: allocation.id });
            }
            unbook(state, allocation.id, Ledger::leave);
            note_fate(state, &old, Some(allocation));
            let before = displace(state, displaced, vec![old]);
            book(state, Arc::clone(allocation));
            Ok(before)
        }
        Event::Released { id } | Event::StartFailed { id, .. } => end_all(state, sequence, &[*id]),
        Event::Expired { ids } => end_all(state, sequence, ids),
        Event::ControllerPut { controller } => {
            let name = controller.name.clone();
            let taken = state.controller_of(controller.topology.as_str()).is_some_and(|other| other.name != name);
            if controller.revision != sequence || taken {
                return Err(ApplyError::BadController { at: sequence, name });
            }
            let mut controller = Controller::clone(controller);
            controller.leader = state.controllers.get(&name).and_then(|old| old.leader.clone());
            let topology = controller.topology.clone();
            let before = state.controllers.insert(name, Arc::new(controller));
            renumber_flows(state, &topology);
            if let Some(before) = before.filter(|before| before.topology != topology) {
                renumber_flows(state, &before.topology);
            }
            Ok(Before::default())
        }
        Event::ControllerLed { name, leader } => {
            let bad = || ApplyError::BadController { at: sequence, name: name.clone() };
            let controller = state.controllers.get_mut(name).filter(|old| old.term() < leader.term).ok_or_else(bad)?;
            Arc::make_mut(controller).leader = Some(leader.clone());
            Ok(Before::default())
        }
        Event::SchedulerLed { lead } => {
            if lead.term <= state.scheduler.term {
                return Err(ApplyError::OldTerm { at: sequence, term: lead.term });
            }
            state.scheduler = lead.clone();
            Ok(Before::default())
        }
        Event::ControllerDeleted { name } => {
            let old = state.controllers.remove(name);
            let old = old.ok_or_else(|| ApplyError::BadController { at: sequence, name: name.clone() })?;
            renumber_flows(state, &old.topology);
            // None says any more which switches it has lost.
            let network = state.network(old.topology.as_str());
            let avoided = network.into_iter().flat_map(|network| network.topology().links());
            let avoided = avoided.filter(|(_, link)| link.is_avoided);
            let links: Vec<_> = avoided.map(|(ix, link)| (ix, Link { is_avoided: false, ..link.clone() })).collect();
            if !links.is_empty() {
                let changed = changed_topology(state, sequence, &old.topology, &links)?;
                change_links(state, sequence, &old.topology, &links, changed);
            }
            Ok(Before::default())
        }
        Event::MaintenancePlanned { topology, maintenance, displaced, stranded: _ } => {
            let network = state.network(topology.as_str());
            let network = network.ok_or_else(|| ApplyError::NoTopology { at: sequence, name: topology.clone() })?;
            let is_known = network.maintenance(maintenance.id).is_some();
            if maintenance.id != sequence && !is_known {
                return Err(ApplyError::NoMaintenance { at: sequence, id: maintenance.id });
            }
            let displaced = outcomes(state, recorded, displaced)?;
            if let Some(network) = state.network_mut(topology) {
                network.plan_maintenance(maintenance);
            }
            Ok(displace(state, displaced, vec![]))
        }
        Event::MaintenanceEnded { topology, id } => {
            let ended = state.network_mut(topology).and_then(|network| network.end_maintenance(*id));
            ended.map(|_| Before::default()).ok_or(ApplyError::NoMaintenance { at: sequence, id: *id })
        }
        Event::TenantPut { tenant } => {
            let others = state.aggregator_of_another(&tenant.name, &tenant.terms.aggregators);
            if tenant.revision != sequence || others.is_some() {
                return Err(ApplyError::BadTenant { at: sequence, name: tenant.name.clone() });
            }
            state.insert_tenant(Arc::clone(tenant));
            Ok(Before::default())
        }
        Event::TenantDeleted { name } => {
            let old = state.remove_tenant(name);
            old.ok_or_else(|| ApplyError::BadTenant { at: sequence, name: name.clone() })?;
            Ok(Before::default())
        }
    }
}

fn living(state: &State, at: Sequence, id: AllocationId) -> Result<Arc<Allocation>, ApplyError> {
    state.allocations.get(&id).cloned().ok_or(ApplyError::NoAllocation { at, id })
}

fn end_all(state: &mut State, at: Sequence, ids: &[AllocationId]) -> Result<Before, ApplyError> {
    distinct(at, ids.iter().copied())?;
    let allocations = ids.iter().map(|id| living(state, at, *id)).collect::<Result<Vec<_>, _>>()?;
    for old in &allocations {
        unbook(state, old.id, Ledger::end);
        note_fate(state, old, None);
    }
    Ok(Before { allocations, topology: None })
}

fn distinct(at: Sequence, ids: impl ExactSizeIterator<Item = AllocationId>) -> Result<(), ApplyError> {
    if ids.len() < 2 {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(ApplyError::NoAllocation { at, id });
        }
    }
    Ok(())
}

/// A displaced allocation as it was, and, if it was rerouted, as it is.
type Outcome = (Arc<Allocation>, Option<Arc<Allocation>>);

fn outcomes(state: &State, recorded: &Recorded, displaced: &[Displaced]) -> Result<Vec<Outcome>, ApplyError> {
    let at = recorded.sequence;
    distinct(at, displaced.iter().map(|gone| gone.id))?;
    let outcome = |gone: &Displaced| {
        let old = living(state, at, gone.id)?;
        let new = match &gone.fate {
            Fate::Rerouted(path) => rerouted(&old, path, gone.cause, recorded.at),
            Fate::Unprotected => Allocation { updated_at: recorded.at, ..old.without_backup() },
            Fate::Ended(_) => return Ok((old, None)),
        };
        if !fits(state, &new) {
            return Err(ApplyError::BadAllocation { at, id: gone.id });
        }
        Ok((old, Some(Arc::new(new))))
    };
    displaced.iter().map(outcome).collect()
}

/// All displaced allocations leave their links first; then the rerouted ones are booked on their new paths.
fn displace(state: &mut State, displaced: Vec<Outcome>, mut allocations: Vec<Arc<Allocation>>) -> Before {
    for (old, new) in &displaced {
        unbook(state, old.id, if new.is_some() { Ledger::leave } else { Ledger::end });
        note_fate(state, old, new.as_deref());
    }
    for (old, new) in displaced {
        if let Some(new) = new {
            book(state, new);
        }
        allocations.push(old);
    }
    Before { allocations, topology: None }
}
