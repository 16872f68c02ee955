//! From a controller as it is configured to a driver that speaks with it.

use std::sync::Arc;

use super::{Driver, DriverError, Faults, Simulated};
use crate::kernel::controller::{Controller, DriverKind};
use crate::kernel::topology::Topology;

/// The driver for a controller. A simulated network is made of what the topology says.
///
/// # Errors
/// The address cannot be used, or this build has no such driver.
pub fn connect(controller: &Controller, topology: Option<&Topology>) -> Result<Arc<dyn Driver>, DriverError> {
    match controller.driver {
        DriverKind::Simulated => {
            let network = topology.map(|topology| Simulated::of(topology, Faults::default()));
            Ok(Arc::new(network.unwrap_or_default()))
        }
        DriverKind::Ryu => Err(DriverError::Unsupported { what: "be spoken to as ryu" }),
        DriverKind::Onos => Err(DriverError::Unsupported { what: "be spoken to as onos" }),
    }
}
