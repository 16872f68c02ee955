//! Packets → bytes, appended to the buffer of a client. Nothing is written when a packet cannot be said. What the
//! standard lets go first goes first: reason strings and user properties of answers, where the whole would be larger
//! than the receiver takes (3.2.2.3.9 and its like).

mod body;
mod prepared;
mod publish;
pub use prepared::Prepared;

use bytes::BytesMut;

use super::byte_sink::{ByteCounter, ByteSink};
use super::{Ack, EncodeError, Packet, PacketKind, REMAINING_LENGTH_MAX, Reason, Version};
use body::Detail;

impl Packet {
    /// Appends the packet, unless it is larger than `max_bytes`.
    pub fn encode(&self, version: Version, max_bytes: u32, out: &mut BytesMut) -> Result<(), EncodeError> {
        match self {
            Packet::Publish(publish) => publish.encode(version, max_bytes, out),
            Packet::Puback(ack) => ack.encode(PacketKind::Puback, version, max_bytes, out),
            Packet::Pubrec(ack) => ack.encode(PacketKind::Pubrec, version, max_bytes, out),
            Packet::Pubrel(ack) => ack.encode(PacketKind::Pubrel, version, max_bytes, out),
            Packet::Pubcomp(ack) => ack.encode(PacketKind::Pubcomp, version, max_bytes, out),
            Packet::Auth(_) if version == Version::V3 => Err(EncodeError::NotInVersion(PacketKind::Auth)),
            _ => {
                let first = first_byte(self.kind());
                sized(first, max_bytes, out, &|detail, sink| body::write(self, version, detail, sink))
            }
        }
    }
}

impl Ack {
    /// Appends the acknowledgement as a packet of this kind.
    pub fn encode(
        &self,
        kind: PacketKind,
        version: Version,
        max_bytes: u32,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let first = first_byte(kind);
        let is_short = self.reason == Reason::Success && self.reason_string.is_none() && self.user.is_empty();
        if (is_short || version == Version::V3) && max_bytes >= 4 {
            let [high, low] = self.packet_id.get().to_be_bytes();
            out.extend_from_slice(&[first, 2, high, low]);
            return Ok(());
        }
        sized(first, max_bytes, out, &|detail, sink| body::ack(self, version, detail, sink))
    }
}

/// Type and flags (2.1.3).
fn first_byte(kind: PacketKind) -> u8 {
    let flags = match kind {
        PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe => 0b0010,
        _ => 0,
    };
    (kind as u8) << 4 | flags
}

/// Writes with all detail if that fits, else without.
fn sized(
    first: u8,
    max_bytes: u32,
    out: &mut BytesMut,
    write: &dyn Fn(Detail, &mut dyn ByteSink),
) -> Result<(), EncodeError> {
    match framed(first, max_bytes, out, &|sink| write(Detail::Full, sink)) {
        Err(EncodeError::PacketTooLarge { .. }) => framed(first, max_bytes, out, &|sink| write(Detail::Terse, sink)),
        done => done,
    }
}

/// Counts a body, judges its size, and writes it behind its fixed header.
fn framed(first: u8, max_bytes: u32, out: &mut BytesMut, write: &dyn Fn(&mut dyn ByteSink)) -> Result<(), EncodeError> {
    let mut count = ByteCounter::default();
    write(&mut count);
    if count.is_field_too_long {
        return Err(EncodeError::FieldTooLong);
    }
    let remaining = remaining_length(count.bytes, max_bytes)?;
    let before = out.len();
    out.reserve(5 + usize::try_from(remaining).unwrap_or(0));
    out.byte(first);
    out.variable(remaining);
    let at = out.len();
    write(out);
    debug_assert_eq!(out.len() - at, usize::try_from(remaining).unwrap_or(0), "{:?}", out.get(before..));
    Ok(())
}

/// The Remaining Length of a body, if the packet is within its limits.
fn remaining_length(body_bytes: u64, max_bytes: u32) -> Result<u32, EncodeError> {
    let length_bytes = match body_bytes {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x001F_FFFF => 3,
        _ => 4,
    };
    let size_bytes = 1 + length_bytes + body_bytes;
    let too_large = EncodeError::PacketTooLarge { size_bytes, max_bytes };
    if size_bytes > u64::from(max_bytes) || body_bytes > u64::from(REMAINING_LENGTH_MAX) {
        return Err(too_large);
    }
    u32::try_from(body_bytes).map_err(|_| too_large)
}
