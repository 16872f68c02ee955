//! Where the fields of a packet are written: first to a counter, which gives the lengths that stand in front of them,
//! then to the buffer. One function writes each packet, so that count and bytes cannot differ.

use bytes::{BufMut, BytesMut};

use super::text::TEXT_MAX_BYTES;

/// The destination of a packet's fields.
pub(super) trait ByteSink {
    fn bytes(&mut self, bytes: &[u8]);

    fn byte(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn two(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn four(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// A text or binary data with its length in two bytes.
    fn field(&mut self, bytes: &[u8]) {
        self.two(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        self.bytes(bytes);
    }

    /// A variable byte integer (1.5.5).
    fn variable(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.byte(u8::try_from(value & 0x7F).unwrap_or(0x7F) | 0x80);
            value >>= 7;
        }
        self.byte(u8::try_from(value).unwrap_or(0x7F));
    }
}

/// Counts the bytes of a packet without writing them.
#[derive(Default)]
pub(super) struct ByteCounter {
    pub(super) bytes: u64,
    /// Whether a field is longer than its length can say.
    pub(super) is_field_too_long: bool,
}

impl ByteSink for ByteCounter {
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
    }

    fn field(&mut self, bytes: &[u8]) {
        self.is_field_too_long |= bytes.len() > TEXT_MAX_BYTES;
        self.bytes += 2 + bytes.len() as u64;
    }
}

impl ByteSink for BytesMut {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn byte(&mut self, value: u8) {
        self.put_u8(value);
    }

    fn two(&mut self, value: u16) {
        self.put_u16(value);
    }
}

/// Writes properties behind their length.
pub(super) fn properties(out: &mut dyn ByteSink, write: &dyn Fn(&mut dyn ByteSink)) {
    let mut count = ByteCounter::default();
    write(&mut count);
    // A longer run of properties makes the packet too large, which is found when the whole is counted.
    out.variable(u32::try_from(count.bytes).unwrap_or(u32::MAX));
    write(out);
}
