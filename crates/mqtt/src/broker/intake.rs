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
    use crate::limits::PACKETS_PER_WAKE;
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
        // What follows is given to the intake meanwhile; a message that it does not keep is acknowledged in its turn.
        device.write_all(b"\x32\x06\0\x01c\0\x08x\x32\x06\0\x01$\0\x09x\xc0\0").await.unwrap();
        device.read_exact(&mut answer[..2]).await.unwrap();
        assert_eq!(answer[..2], [0xd0, 0], "PINGRESP");
        assert_eq!(*intake.topics.lock().unwrap(), ["a", "b", "c"]);
        intake.is_open.send_replace(true);
        let mut answers = [0; 12];
        device.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, [0x40, 2, 0, 7, 0x40, 2, 0, 8, 0x40, 2, 0, 9]);
        drop(device);
        broker.stop().await;
    }

    /// Of a device whose messages are not kept no more are read than two batches have.
    #[tokio::test]
    async fn a_device_is_held_back_while_nothing_is_kept() {
        let broker = Broker::embedded(Settings::default()).await.unwrap();
        let (asked, is_open) = (watch::Sender::new(false), watch::Sender::new(false));
        let intake = Arc::new(GatedIntake { topics: Mutex::default(), asked, is_open });
        broker.set_intake(Arc::clone(&intake) as Arc<dyn Intake>);
        let (mut device, stream) = tokio::io::duplex(64);
        broker.receive_from(stream, None);
        device.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01d").await.unwrap();
        device.read_exact(&mut [0; 4]).await.unwrap();
        let messages = 4 * PACKETS_PER_WAKE;
        let (mut reader, mut writer) = tokio::io::split(device);
        let writing = async {
            for number in 1..=u16::try_from(messages).unwrap() {
                let [high, low] = number.to_be_bytes();
                writer.write_all(&[0x32, 6, 0, 1, b'b', high, low, b'x']).await.unwrap();
            }
        };
        let mut answers = vec![0; 4 * messages];
        let reading = async {
            let received = || intake.topics.lock().unwrap().len();
            // Nothing more comes in once as many packets were handled as may be.
            let mut before = (usize::MAX, 0);
            while before != (received(), 100) {
                before = (received(), if before.0 == received() { before.1 + 1 } else { 0 });
                tokio::task::yield_now().await;
            }
            assert!((PACKETS_PER_WAKE..2 * PACKETS_PER_WAKE).contains(&received()), "{}", received());
            intake.is_open.send_replace(true);
            reader.read_exact(&mut answers).await.unwrap();
        };
        tokio::join!(writing, reading);
        let numbers = answers.chunks(4).map(|answer| u16::from_be_bytes([answer[2], answer[3]]));
        assert!(numbers.eq(1..=u16::try_from(messages).unwrap()), "in order");
        broker.stop().await;
    }
}
