//! The chain of events: each row has a digest over the digest of the row before it and its own bytes, so that whoever knows
//! the last one knows whether all before it are still the same. Rows from before there was a chain have none.

use std::fmt;

use sha2::{Digest, Sha256};

use kernel::id::Sequence;

/// The digest of an event's row and all before it: SHA-256 (FIPS 180-4), written as 64 hexadecimal digits. All zero before
/// the first event, and for rows from before there was a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainDigest([u8; 32]);

/// The digest of a row alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowDigest([u8; 32]);

/// An event with the digest of the chain up to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainHead {
    pub sequence: Sequence,
    pub digest: ChainDigest,
}

impl RowDigest {
    /// Of a row as it is stored; `actor` is empty where there is none.
    pub(super) fn of(sequence: u64, at_ms: u64, actor: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(sequence.to_be_bytes());
        hash.update(at_ms.to_be_bytes());
        hash.update((actor.len() as u64).to_be_bytes());
        hash.update(actor);
        hash.update(body);
        Self(hash.finalize().into())
    }

    /// The chain with this row after `before`.
    pub(super) fn after(self, before: ChainDigest) -> ChainDigest {
        let mut hash = Sha256::new();
        hash.update(before.0);
        hash.update(self.0);
        ChainDigest(hash.finalize().into())
    }
}

impl ChainDigest {
    /// From its column: 64 digits, as they are written. What is no digest is none that any event has.
    pub(super) fn read(text: &str) -> Self {
        let mut bytes = [u8::MAX; 32];
        if text.len() != 64 || !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Self(bytes);
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).unwrap_or(u8::MAX);
        }
        Self(bytes)
    }

    pub(super) fn of_column(text: Option<&String>) -> Self {
        text.map_or(Self::default(), |text| Self::read(text))
    }
}

/// The checksum of a snapshot's parts, taken in their order: SHA-256 over the length and the bytes of each.
#[derive(Clone, Default)]
pub(super) struct PartsDigest(Sha256);

impl PartsDigest {
    pub(super) fn add(&mut self, part: &str) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// Of the parts so far, as its column has it.
    pub(super) fn text(&self) -> String {
        ChainDigest(self.0.clone().finalize().into()).to_string()
    }
}

impl fmt::Display for ChainDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.0.chunks_exact(8).try_for_each(|bytes| write!(f, "{:016x}", word(bytes)))
    }
}
