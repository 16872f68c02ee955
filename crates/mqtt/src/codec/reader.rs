//! A cursor over the body of one packet. It never leaves the body: what is missing is named by the field that was read.

use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;

use super::{DecodeError, PacketId, PacketKind, text};

/// The cursor. Everything that it gives out is a slice of the packet.
pub(super) struct PacketReader<'a> {
    packet: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> PacketReader<'a> {
    /// Over all that follows `at`.
    pub(super) fn new(packet: &'a Bytes, at: usize) -> PacketReader<'a> {
        PacketReader { packet, at, end: packet.len() }
    }

    pub(super) fn remaining(&self) -> usize {
        self.end - self.at
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// A cursor over the next bytes, which this one passes over.
    pub(super) fn part(&mut self, length: usize, what: &'static str) -> Result<PacketReader<'a>, DecodeError> {
        let at = self.at;
        self.skip(length, what)?;
        Ok(PacketReader { packet: self.packet, at, end: self.at })
    }

    fn skip(&mut self, length: usize, what: &'static str) -> Result<(), DecodeError> {
        if self.remaining() < length {
            return Err(DecodeError::Truncated(what));
        }
        self.at += length;
        Ok(())
    }

    /// What stands between two places of the packet.
    pub(super) fn between(&self, from: usize, to: usize) -> Bytes {
        self.packet.slice(from..to)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let bytes = self.packet.get(self.at..self.end).and_then(|rest| rest.first_chunk::<N>());
        let bytes = *bytes.ok_or(DecodeError::Truncated(what))?;
        self.at += N;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    pub(super) fn two(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    pub(super) fn four(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// A variable byte integer (1.5.5) in as few bytes as it needs [MQTT-1.5.5-1].
    pub(super) fn variable(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte(what)?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(DecodeError::VariableInteger) } else { Ok(value) };
            }
        }
        Err(DecodeError::VariableInteger)
    }

    pub(super) fn packet_id(&mut self, kind: PacketKind) -> Result<PacketId, DecodeError> {
        NonZeroU16::new(self.two("packet id")?).ok_or(DecodeError::PacketIdZero(kind))
    }

    pub(super) fn binary(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let length = usize::from(self.two(what)?);
        let from = self.at;
        self.skip(length, what)?;
        Ok(self.packet.slice(from..self.at))
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<ByteString, DecodeError> {
        text::text(self.binary(what)?).map_err(|fault| DecodeError::Text { what, fault })
    }

    /// Passes over a text after a check.
    pub(super) fn skip_text(&mut self, what: &'static str) -> Result<(), DecodeError> {
        let length = usize::from(self.two(what)?);
        let from = self.at;
        self.skip(length, what)?;
        let bytes = self.packet.get(from..self.at).unwrap_or_default();
        text::check_bytes(bytes).map_err(|fault| DecodeError::Text { what, fault })
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        let rest = self.packet.slice(self.at..self.end);
        self.at = self.end;
        rest
    }
}
