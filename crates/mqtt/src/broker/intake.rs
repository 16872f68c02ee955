//! A receiver inside this process that takes every message at the door, before the acknowledgement.

use std::pin::Pin;

use super::Broker;
use crate::message::Message;
use crate::store::StoreError;

/// Takes what clients of a replica publish. Unlike a [`LocalClient`](super::LocalClient) it has no queue in which messages
/// wait, and acknowledgements wait for it.
pub trait Intake: Send + Sync {
    /// A message was published under a topic that does not begin with `$`. Returns whether its acknowledgement has to wait
    /// for [`Intake::kept`]. It is called by the publisher's connection, and so must not block.
    ///
    /// After a crash a message of QoS 2 that was not acknowledged may come again.
    fn receive(&self, message: &Message) -> bool;

    /// Resolves once all that was received before is kept.
    ///
    /// # Errors
    /// It will not be kept: the publisher is disconnected without an acknowledgement.
    fn kept(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;
}

impl Broker {
    /// Gives the intake every message from now on. There is one: a second is ignored.
    pub fn set_intake(&self, intake: std::sync::Arc<dyn Intake>) {
        let _ = self.replica.intake.set(intake);
    }
}
