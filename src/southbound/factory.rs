//! From a controller as it is configured to a driver that speaks with it.

use std::sync::Arc;

use super::onos::Onos;
use super::ryu::Ryu;
use super::{Credentials, Driver, DriverError, Simulated, Unreachable};
use kernel::controller::{Controller, ControllerAddress, DriverKind};
use kernel::topology::Topology;

/// The driver for a controller. A simulated network is made of what the topology says. Credentials are for those that ask
/// for some.
///
/// # Errors
/// The address cannot be used.
pub fn connect(
    controller: &Controller,
    topology: Option<&Topology>,
    credentials: Option<&Credentials>,
) -> Result<Arc<dyn Driver>, DriverError> {
    let nowhere = DriverError::Unreachable { why: Unreachable::BadAddress };
    let address = controller.address.as_ref().map(ControllerAddress::as_str).ok_or(nowhere);
    Ok(match controller.driver {
        DriverKind::Ryu => Arc::new(Ryu::new(address?)?),
        DriverKind::Onos => Arc::new(Onos::new(address?, credentials.cloned())?),
        DriverKind::Simulated => Arc::new(topology.map(Simulated::of).unwrap_or_default()),
    })
}
