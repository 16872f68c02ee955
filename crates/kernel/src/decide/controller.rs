//! Which controllers there are.

use crate::controller::{CONTROLLERS_MAX, Controller, ControllerAddress, DriverKind};
use crate::event::Event;
use crate::id::Name;
use crate::refusal::Refusal;
use crate::state::State;

pub(super) fn put(
    state: &State,
    name: &Name,
    driver: DriverKind,
    address: Option<&ControllerAddress>,
    topology: &Name,
) -> Result<Event, Refusal> {
    if state.controller(name.as_str()).is_none() && state.controllers.len() >= CONTROLLERS_MAX {
        return Err(Refusal::TooMany { what: "controllers", max: CONTROLLERS_MAX });
    }
    match (driver, address) {
        (DriverKind::Ryu | DriverKind::Onos, None) => return Err(Refusal::AddressMissing),
        (DriverKind::Simulated, Some(_)) => return Err(Refusal::AddressUnused),
        _ => {}
    }
    if let Some(other) = state.controller_of(topology.as_str()).filter(|other| other.name != *name) {
        return Err(Refusal::TopologyControlled { topology: topology.clone(), by: other.name.clone() });
    }
    let controller = Controller {
        name: name.clone(),
        driver,
        address: address.cloned(),
        topology: topology.clone(),
        revision: state.sequence().next(),
    };
    Ok(Event::ControllerPut { controller: controller.into() })
}

pub(super) fn delete(state: &State, name: &Name) -> Result<Event, Refusal> {
    match state.controller(name.as_str()) {
        Some(_) => Ok(Event::ControllerDeleted { name: name.clone() }),
        None => Err(Refusal::UnknownController(name.clone())),
    }
}
