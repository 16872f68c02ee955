//! From a controller as it is configured to a driver that speaks with it.

use std::sync::Arc;

use api::outbound::OutboundNetworks;

use super::onos::Onos;
use super::ryu::Ryu;
use super::{Credentials, Driver, DriverError, Simulated, Unreachable};
use kernel::controller::{Controller, ControllerAddress, DriverKind};
use kernel::topology::Topology;

/// How controllers are reached.
#[derive(Clone, Debug, Default)]
pub struct ControllerAccess {
    /// For controllers that ask for a user.
    pub credentials: Option<Credentials>,
    /// The networks that controllers may be in.
    pub networks: OutboundNetworks,
}

/// The driver for a controller. A simulated network is made of what the topology says.
///
/// # Errors
/// The address cannot be used.
pub fn connect(
    controller: &Controller,
    topology: Option<&Topology>,
    access: &ControllerAccess,
) -> Result<Arc<dyn Driver>, DriverError> {
    let nowhere = DriverError::Unreachable { why: Unreachable::BadAddress };
    let address = controller.address.as_ref().map(ControllerAddress::as_str).ok_or(nowhere);
    let ControllerAccess { credentials, networks } = access;
    let numbering = controller.settings.numbering;
    Ok(match controller.driver {
        DriverKind::Ryu => Arc::new(Ryu::new(address?, networks, numbering)?),
        DriverKind::Onos => Arc::new(Onos::new(address?, credentials.clone(), networks, numbering)?),
        DriverKind::Simulated => Arc::new(topology.map(Simulated::of).unwrap_or_default()),
    })
}
