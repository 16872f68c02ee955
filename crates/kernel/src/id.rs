//! Names and numbers that identify things. A number in the journal's sequence identifies the event that has it, and so
//! the thing which that event created: an [`AllocationId`] is the sequence number of its admission.

use std::fmt;
use std::sync::Arc;

/// The longest [`Name`], in bytes.
pub const NAME_MAX_BYTES: usize = 255;

/// A name given from outside: of a topology, node, link or aggregator. Never empty, no control characters, at most
/// [`NAME_MAX_BYTES`] bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no valid [`Name`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// An empty text.
    #[error("invalid name: it is empty")]
    Empty,
    /// Over [`NAME_MAX_BYTES`].
    #[error("invalid name: it has {bytes} bytes, the limit is {NAME_MAX_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Tabs, line ends, NUL and the like.
    #[error("invalid name: it contains the control character U+{code_point:04X}")]
    ControlCharacter {
        /// The first such character.
        code_point: u32,
    },
    /// A name that is a segment of paths, and that clients take for the segment before it (RFC 3986 section 5.2.4).
    #[error("invalid name: '.' and '..' are no segments of a path")]
    DotSegment,
}

impl Name {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_MAX_BYTES {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(NameError::ControlCharacter { code_point: u32::from(c) });
        }
        Ok(Self(Arc::from(text)))
    }

    /// Checks `text` as the name of what is found by a path: clients would never ask for `.` or `..`.
    pub fn in_path(text: &str) -> Result<Self, NameError> {
        if matches!(text, "." | "..") {
            return Err(NameError::DotSegment);
        }
        Self::new(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The place of an event in the journal; the first event has number 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The number of the event after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// An allocation, by the sequence number of its admission. Larger is newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AllocationId(pub u64);

impl fmt::Display for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A node of one topology, by its place in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeIx(pub u32);

/// A directed link of one topology, by its place in it. Links are numbered in the order of their tail nodes, so that
/// the links out of a node are neighbours in every array that is indexed by link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkIx(pub u32);

impl NodeIx {
    /// As an index.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

impl LinkIx {
    /// As an index.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_would_hurt_later() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new("a\nb"), Err(NameError::ControlCharacter { code_point: 10 }));
        assert_eq!(Name::new(&"x".repeat(256)), Err(NameError::TooLong { bytes: 256 }));
        assert_eq!(Name::in_path(".."), Err(NameError::DotSegment));
        assert!(Name::in_path("...").is_ok() && Name::in_path("a.b").is_ok());
        assert_eq!(Name::new("São Paulo").unwrap().as_str(), "São Paulo");
    }
}
