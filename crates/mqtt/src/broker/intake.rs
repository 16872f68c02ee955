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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::watch;

    use super::*;
    use crate::settings::Settings;

    struct GatedIntake {
        topics: Mutex<Vec<String>>,
        asked: watch::Sender<bool>,
        is_open: watch::Sender<bool>,
    }

    impl Intake for GatedIntake {
        fn receive(&self, message: &Message) -> bool {
            self.topics.lock().unwrap().push(message.topic.to_string());
            true
        }

        fn kept(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
            self.asked.send_replace(true);
            let mut is_open = self.is_open.subscribe();
            Box::pin(async move { is_open.wait_for(|is_open| *is_open).await.map(drop).map_err(|_| StoreError::Shut) })
        }
    }

    /// The intake has a message, and the publisher no acknowledgement before the intake keeps it; QoS 0 waits for nothing.
    #[tokio::test]
    async fn acknowledgements_wait_for_the_intake() {
        let broker = Broker::embedded(Settings::default()).await.unwrap();
        let (asked, is_open) = (watch::Sender::new(false), watch::Sender::new(false));
        let intake = Arc::new(GatedIntake { topics: Mutex::default(), asked, is_open });
        broker.set_intake(Arc::clone(&intake) as Arc<dyn Intake>);
        let (mut device, stream) = tokio::io::duplex(1_024);
        broker.receive_from(stream, None);
        device.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01d").await.unwrap();
        let mut answer = [0; 4];
        device.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0]);
        // One of QoS 0, one of QoS 1 with the identifier 7.
        device.write_all(b"\x30\x04\0\x01ax\x32\x06\0\x01b\0\x07x").await.unwrap();
        intake.asked.subscribe().wait_for(|asked| *asked).await.unwrap();
        assert_eq!(*intake.topics.lock().unwrap(), ["a", "b"]);
        assert_eq!(device.read(&mut answer).now_or_never().map(|read| read.unwrap()), None);
        intake.is_open.send_replace(true);
        device.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0x40, 2, 0, 7]);
        drop(device);
        broker.stop().await;
    }
}
