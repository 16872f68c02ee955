//! Which controllers there are.

use std::collections::BTreeSet;

use crate::controller::{
    CONTROLLERS_MAX, Controller, ControllerAddress, DriverKind, Leader, RulesOnDelete, SchedulerTerm,
};
use crate::event::Event;
use crate::id::Name;
use crate::intent::RuleSettings;
use crate::refusal::Refusal;
use crate::state::State;
use crate::topology::Topology;

pub(super) fn put(
    state: &State,
    name: &Name,
    driver: DriverKind,
    address: Option<&ControllerAddress>,
    topology: &Name,
    settings: RuleSettings,
) -> Result<Event, Refusal> {
    match state.controller(name.as_str()) {
        None if state.controllers.len() >= CONTROLLERS_MAX => {
            return Err(Refusal::TooMany { what: "controllers", max: CONTROLLERS_MAX });
        }
        // What was written with other numbers would be taken for another program's, and stay.
        Some(old) if old.settings.numbering != settings.numbering => {
            return Err(Refusal::NumberingFixed { controller: name.clone() });
        }
        _ => {}
    }
    match (driver, address) {
        (DriverKind::Ryu | DriverKind::Onos, None) => return Err(Refusal::AddressMissing),
        (DriverKind::Simulated, Some(_)) => return Err(Refusal::AddressUnused),
        _ => {}
    }
    if let Some(other) = state.controller_of(topology.as_str()).filter(|other| other.name != *name) {
        return Err(Refusal::TopologyControlled { topology: topology.clone(), by: other.name.clone() });
    }
    let is_shared = |other: &Controller| address.is_some() && other.address.as_ref() == address;
    if let Some(other) = others(state, name).find(|other| is_shared(other)) {
        return Err(Refusal::SwitchesShared { what: "this address".to_owned(), by: other.name.clone() });
    }
    if let Some(network) = state.network(topology.as_str()).filter(|_| driver != DriverKind::Simulated) {
        check_free(state, name, network.topology())?;
    }
    let controller = Controller {
        name: name.clone(),
        driver,
        address: address.cloned(),
        topology: topology.clone(),
        settings,
        is_closing: false,
        leader: None,
        revision: state.sequence().next(),
    };
    Ok(Event::ControllerPut { controller: controller.into() })
}

/// One instance at a time writes to the switches: a term ends when another one begins.
pub(super) fn lead(state: &State, name: &Name, instance: &Name, after: u64) -> Result<Event, Refusal> {
    let controller = state.controller(name.as_str()).ok_or_else(|| Refusal::UnknownController(name.clone()))?;
    let term = controller.term();
    if term != after {
        return Err(Refusal::TermOver { of: format!("controller '{name}'"), after, term });
    }
    let leader = Leader { instance: instance.clone(), term: term.saturating_add(1) };
    Ok(Event::ControllerLed { name: name.clone(), leader })
}

/// One instance at a time schedules.
pub(super) fn lead_scheduler(state: &State, instance: Option<&Name>, after: u64) -> Result<Event, Refusal> {
    let term = state.scheduler().term;
    if term != after {
        return Err(Refusal::TermOver { of: "the scheduler".to_owned(), after, term });
    }
    Ok(Event::SchedulerLed { lead: SchedulerTerm { term: term.saturating_add(1), instance: instance.cloned() } })
}

/// A topology that is reached through a controller takes no switch of another controller.
pub(super) fn check_switches(state: &State, name: &Name, topology: &Topology) -> Result<(), Refusal> {
    match state.controller_of(name.as_str()).filter(|controller| controller.driver != DriverKind::Simulated) {
        Some(controller) => check_free(state, &controller.name, topology),
        None => Ok(()),
    }
}

/// No switch of `topology` is reached through another controller than `name`. Simulated switches are in memory.
fn check_free(state: &State, name: &Name, topology: &Topology) -> Result<(), Refusal> {
    let dpids = |topology: &Topology| {
        topology.nodes().filter_map(|(_, node)| Some(node.switch.as_ref()?.dpid)).collect::<BTreeSet<_>>()
    };
    let ours = dpids(topology);
    for other in others(state, name).filter(|other| other.driver != DriverKind::Simulated) {
        let theirs = state.network(other.topology.as_str()).map(|network| dpids(network.topology()));
        if let Some(dpid) = ours.intersection(&theirs.unwrap_or_default()).next() {
            return Err(Refusal::SwitchesShared { what: format!("switch {dpid:016x}"), by: other.name.clone() });
        }
    }
    Ok(())
}

fn others<'a>(state: &'a State, name: &'a Name) -> impl Iterator<Item = &'a Controller> {
    state.controllers().map(|controller| &**controller).filter(move |other| other.name != *name)
}

pub(super) fn delete(state: &State, name: &Name, rules: RulesOnDelete) -> Result<Event, Refusal> {
    let controller = state.controller(name.as_str()).ok_or_else(|| Refusal::UnknownController(name.clone()))?;
    match rules {
        RulesOnDelete::Leave => return Ok(Event::ControllerDeleted { name: name.clone() }),
        RulesOnDelete::Removed(of) if of == controller.revision => {
            return Ok(Event::ControllerDeleted { name: name.clone() });
        }
        RulesOnDelete::Removed(_) => return Err(Refusal::UnknownController(name.clone())),
        RulesOnDelete::Remove => {}
    }
    let revision = state.sequence().next();
    let closing = Controller { is_closing: true, leader: None, revision, ..Controller::clone(controller) };
    Ok(Event::ControllerPut { controller: closing.into() })
}
