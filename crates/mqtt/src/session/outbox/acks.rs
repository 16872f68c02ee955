//! Acknowledgements of the client, and what they mean for its window.

use super::Outbox;
use crate::codec::PacketId;
use crate::session::inflight::InflightSlot;

impl Outbox {
    /// Whether something was acknowledged by a packet that is not for its QoS, or not its turn: a protocol error
    /// [MQTT-4.3.2-2], [MQTT-4.3.3-4].
    pub(crate) fn has_protocol_error(&self) -> bool {
        self.is_confused
    }

    /// PUBACK came; the number it is for. `None`: it is for nothing that is open.
    pub(crate) fn puback(&mut self, id: PacketId) -> Option<u64> {
        let (seq, slot) = self.window.find(id)?;
        self.is_confused |= slot != InflightSlot::AtLeastOnce;
        self.shared.remove(&seq);
        (slot == InflightSlot::AtLeastOnce).then(|| self.window.advance(seq, InflightSlot::Over)).map(|()| seq)
    }

    /// PUBREC came; with an error the message is over [MQTT-4.3.3-4].
    pub(crate) fn pubrec(&mut self, id: PacketId, refused: bool) -> Option<u64> {
        let (seq, slot) = self.window.find(id)?;
        self.is_confused |= slot == InflightSlot::AtLeastOnce;
        match (slot, refused) {
            (InflightSlot::ExactlyOnce, true) => self.window.advance(seq, InflightSlot::Over),
            (InflightSlot::ExactlyOnce | InflightSlot::Released, false) => {
                self.window.advance(seq, InflightSlot::Released)
            }
            _ => return None,
        }
        Some(seq)
    }

    /// PUBCOMP came.
    pub(crate) fn pubcomp(&mut self, id: PacketId) -> Option<u64> {
        let (seq, slot) = self.window.find(id)?;
        self.is_confused |= slot != InflightSlot::Released;
        (slot == InflightSlot::Released).then(|| self.window.advance(seq, InflightSlot::Over)).map(|()| seq)
    }
}
