//! Bytes → packets. The fixed header is judged as soon as it is there, so that nothing is buffered for a packet that
//! would be refused; the body is read once it is whole, and must end where its header says.

mod acknowledgement;
mod connect;
mod publish;
mod session_end;
mod subscribe;

use bytes::{Bytes, BytesMut};

use super::property::Allowed;
use super::property_id::REASON_STRING;
use super::reader::PacketReader;
use super::{DecodeError, Packet, PacketKind, REMAINING_LENGTH_MAX, Reason, Version};

/// The properties of packets that have only a reason string and user properties.
const REASON_ONLY: Allowed = Allowed::new(&[REASON_STRING]);

/// Which side of a connection is reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerRole {
    Server,
    Client,
}

/// Reads the packets of one connection, one after another. It remembers only the version, the side and the largest
/// packet that it takes.
#[derive(Clone, Debug)]
pub struct Decoder {
    side: PeerRole,
    version: Option<Version>,
    is_3_1: bool,
    packet_max_bytes: u32,
}

/// A fixed header that was read and judged.
struct FixedHeader {
    kind: PacketKind,
    flags: u8,
    /// Where the body begins.
    body_at: usize,
    /// Where the packet ends.
    end: usize,
    /// Whether the Remaining Length has no more bytes than it needs.
    is_minimal: bool,
}

impl Decoder {
    /// For a server: the first packet must be CONNECT, which says the version of the rest.
    #[must_use]
    pub fn server(packet_max_bytes: u32) -> Decoder {
        Decoder { side: PeerRole::Server, version: None, is_3_1: false, packet_max_bytes }
    }

    /// For a client that speaks this version.
    #[must_use]
    pub fn client(version: Version, packet_max_bytes: u32) -> Decoder {
        Decoder { side: PeerRole::Client, version: Some(version), is_3_1: false, packet_max_bytes }
    }

    /// The version of the connection, as soon as a CONNECT has said it: also when the rest of that CONNECT was wrong, so
    /// that it can be answered in its own words.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Whether the CONNECT was of MQTT 3.1, which is read as 3.1.1 and whose CONNACK says nothing of sessions.
    #[must_use]
    pub fn is_3_1(&self) -> bool {
        self.is_3_1
    }

    /// Takes the first packet off the buffer; `None` if it is not whole yet. After an error the connection is lost.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(head) = self.head(buffer)? else { return Ok(None) };
        if buffer.len() < head.end {
            return Ok(None);
        }
        let packet = buffer.split_to(head.end).freeze();
        self.body(&head, &packet).map(Some)
    }

    /// The fixed header (2.1), if it is there.
    fn head(&self, buffer: &[u8]) -> Result<Option<FixedHeader>, DecodeError> {
        let Some((&first, rest)) = buffer.split_first() else { return Ok(None) };
        let kind = self.kind(first >> 4)?;
        let flags = first & 0x0F;
        check_flags(kind, if self.is_3_1 { without_dup(kind, flags) } else { flags })?;
        let mut remaining = 0_u32;
        for (count, shift) in [(1, 0), (2, 7), (3, 14), (4, 21)] {
            let Some(&byte) = rest.get(count - 1) else { return Ok(None) };
            remaining |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let is_minimal = byte != 0 || count == 1;
                return self.sized(kind, flags, 1 + count, remaining, is_minimal).map(Some);
            }
        }
        Err(DecodeError::VariableInteger)
    }

    fn sized(
        &self,
        kind: PacketKind,
        flags: u8,
        body_at: usize,
        remaining: u32,
        is_minimal: bool,
    ) -> Result<FixedHeader, DecodeError> {
        debug_assert!(remaining <= REMAINING_LENGTH_MAX);
        let size_bytes = remaining + u32::try_from(body_at).unwrap_or(u32::MAX);
        if size_bytes > self.packet_max_bytes {
            return Err(DecodeError::PacketTooLarge { size_bytes, max_bytes: self.packet_max_bytes });
        }
        if !is_minimal && self.version == Some(Version::V5) {
            return Err(DecodeError::VariableInteger);
        }
        let end = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        Ok(FixedHeader { kind, flags, body_at, end, is_minimal })
    }

    /// The packet's type, if it may come now and from there.
    fn kind(&self, number: u8) -> Result<PacketKind, DecodeError> {
        let kind = match number {
            1 => PacketKind::Connect,
            2 => PacketKind::Connack,
            3 => PacketKind::Publish,
            4 => PacketKind::Puback,
            5 => PacketKind::Pubrec,
            6 => PacketKind::Pubrel,
            7 => PacketKind::Pubcomp,
            8 => PacketKind::Subscribe,
            9 => PacketKind::Suback,
            10 => PacketKind::Unsubscribe,
            11 => PacketKind::Unsuback,
            12 => PacketKind::Pingreq,
            13 => PacketKind::Pingresp,
            14 => PacketKind::Disconnect,
            15 if self.version != Some(Version::V3) => PacketKind::Auth,
            reserved => return Err(DecodeError::ReservedKind(reserved)),
        };
        if self.version.is_none() && kind != PacketKind::Connect {
            return Err(DecodeError::NotConnect(kind));
        }
        let is_wrong = match kind {
            PacketKind::Connack | PacketKind::Suback | PacketKind::Unsuback | PacketKind::Pingresp => {
                self.side == PeerRole::Server
            }
            PacketKind::Connect | PacketKind::Subscribe | PacketKind::Unsubscribe | PacketKind::Pingreq => {
                self.side == PeerRole::Client
            }
            PacketKind::Disconnect => self.side == PeerRole::Client && self.version == Some(Version::V3),
            _ => false,
        };
        if is_wrong { Err(DecodeError::WrongDirection(kind)) } else { Ok(kind) }
    }

    /// What follows the fixed header: all of it, and nothing else.
    fn body(&mut self, head: &FixedHeader, bytes: &Bytes) -> Result<Packet, DecodeError> {
        let mut reader = PacketReader::new(bytes, head.body_at);
        let kind = head.kind;
        if kind == PacketKind::Connect {
            return self.connect(head, &mut reader);
        }
        let Some(version) = self.version else { return Err(DecodeError::NotConnect(kind)) };
        let packet = match kind {
            PacketKind::Publish => Packet::Publish(publish::publish(&mut reader, head.flags, version, self.side)?),
            PacketKind::Puback => Packet::Puback(acknowledgement::ack(&mut reader, kind, version)?),
            PacketKind::Pubrec => Packet::Pubrec(acknowledgement::ack(&mut reader, kind, version)?),
            PacketKind::Pubrel => Packet::Pubrel(acknowledgement::ack(&mut reader, kind, version)?),
            PacketKind::Pubcomp => Packet::Pubcomp(acknowledgement::ack(&mut reader, kind, version)?),
            PacketKind::Subscribe => Packet::Subscribe(subscribe::subscribe(&mut reader, version)?),
            PacketKind::Unsubscribe => Packet::Unsubscribe(subscribe::unsubscribe(&mut reader, version)?),
            PacketKind::Connack => Packet::Connack(Box::new(connect::connack(&mut reader, version)?)),
            PacketKind::Suback => Packet::Suback(subscribe::suback(&mut reader, version)?),
            PacketKind::Unsuback => Packet::Unsuback(subscribe::unsuback(&mut reader, version)?),
            PacketKind::Disconnect => Packet::Disconnect(session_end::disconnect(&mut reader, version, self.side)?),
            PacketKind::Auth => Packet::Auth(session_end::auth(&mut reader)?),
            PacketKind::Pingreq => Packet::Pingreq,
            PacketKind::Pingresp => Packet::Pingresp,
            PacketKind::Connect => return Err(DecodeError::WrongDirection(kind)),
        };
        ended(kind, &reader)?;
        Ok(packet)
    }
}

impl Decoder {
    fn connect(&mut self, head: &FixedHeader, reader: &mut PacketReader<'_>) -> Result<Packet, DecodeError> {
        let level = connect::level(reader)?;
        // A second CONNECT is for the session to refuse [MQTT-3.1.0-2]; it does not change the version.
        self.version.get_or_insert(level.version());
        self.is_3_1 = level == connect::ProtocolLevel::Three;
        if level == connect::ProtocolLevel::Five && !head.is_minimal {
            return Err(DecodeError::VariableInteger);
        }
        if level != connect::ProtocolLevel::Three && head.flags != 0 {
            return Err(DecodeError::FixedHeaderFlags { kind: head.kind, flags: head.flags });
        }
        let connect = connect::connect(reader, level)?;
        ended(PacketKind::Connect, reader)?;
        Ok(Packet::Connect(Box::new(connect)))
    }
}

fn ended(kind: PacketKind, reader: &PacketReader<'_>) -> Result<(), DecodeError> {
    if reader.remaining() == 0 { Ok(()) } else { Err(DecodeError::TrailingBytes(kind)) }
}

/// The flags of the fixed header (2.1.3): those of PUBLISH carry DUP, QoS and RETAIN, all other packets have fixed ones. Those of
/// CONNECT are checked when its version is known.
fn check_flags(kind: PacketKind, flags: u8) -> Result<(), DecodeError> {
    match kind {
        PacketKind::Publish if flags & 0b0110 == 0b0110 => Err(DecodeError::Qos),
        PacketKind::Publish if flags & 0b1110 == 0b1000 => Err(DecodeError::DupAtMostOnce),
        PacketKind::Publish | PacketKind::Connect => Ok(()),
        PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe if flags == 0b0010 => Ok(()),
        PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe => {
            Err(DecodeError::FixedHeaderFlags { kind, flags })
        }
        _ if flags == 0 => Ok(()),
        _ => Err(DecodeError::FixedHeaderFlags { kind, flags }),
    }
}

/// In 3.1 (3.6, 3.8, 3.10) these say that they are sent again.
fn without_dup(kind: PacketKind, flags: u8) -> u8 {
    match kind {
        PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe => flags & !0b1000,
        _ => flags,
    }
}

fn reason(kind: PacketKind, code: u8) -> Result<Reason, DecodeError> {
    Reason::new(kind, code).ok_or(DecodeError::Reason { kind, code })
}
