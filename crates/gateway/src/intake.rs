//! What the broker gives the gateway: every message at the door, so that none is lost between the two, and acknowledgements
//! wait for the spool.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use mqtt::{Intake, Message, StoreError};

use super::clock::wall_ms;
use super::runtime::Runtime;

/// Gives messages of devices to the core.
pub(super) struct DeviceIntake(pub(super) Arc<Runtime>);

impl Intake for DeviceIntake {
    fn receive(&self, message: &Message) -> bool {
        // A copy: what is kept keeps no read buffer of the broker alive.
        let payload = Bytes::copy_from_slice(&message.payload);
        self.0.update(|core, now| core.offer(now, wall_ms(), &message.topic, payload));
        if let Some(spool) = &self.0.spool {
            spool.ask();
        }
        self.0.spool.is_some()
    }

    fn kept(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async { if self.0.kept().await { Ok(()) } else { Err(StoreError::Shut) } })
    }
}
