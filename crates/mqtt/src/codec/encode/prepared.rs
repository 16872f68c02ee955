//! One PUBLISH for many subscribers: encoded once for each (version, QoS, retain), then copied into the buffer of every
//! client with its packet id written over. A prepared packet is filled again and again; it keeps its memory.

use bytes::BytesMut;

use super::super::{EncodeError, PacketId, Publish, Version};

/// The bit of DUP in the first byte (3.3.1.1).
const DUP: u8 = 0b1000;

/// A PUBLISH as bytes.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    bytes: BytesMut,
    packet_id_at: Option<usize>,
}

impl Prepared {
    /// Encodes this packet in place of the last one. Its packet id stands until another is written over it.
    pub fn fill(&mut self, publish: &Publish, version: Version) -> Result<(), EncodeError> {
        self.bytes.clear();
        let lengths = publish.lengths(version, u32::MAX)?;
        self.bytes.reserve(5 + usize::try_from(lengths.remaining).unwrap_or(0));
        self.packet_id_at = publish.write(version, &lengths, &mut self.bytes);
        Ok(())
    }

    /// The size of the packet: to be compared with the largest that the receiver takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it was never filled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends the packet as it is: for QoS 0.
    pub fn append(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.bytes);
    }

    /// Appends the packet with this packet id: for QoS 1 and 2. A packet of QoS 0 has none and stays as it is.
    pub fn append_as(&self, packet_id: PacketId, dup: bool, out: &mut BytesMut) {
        let from = out.len();
        out.extend_from_slice(&self.bytes);
        let Some(at) = self.packet_id_at else { return };
        if let Some(slot) = out.get_mut(from + at..from + at + 2) {
            slot.copy_from_slice(&packet_id.get().to_be_bytes());
        }
        if dup && let Some(first) = out.get_mut(from) {
            *first |= DUP;
        }
    }
}
