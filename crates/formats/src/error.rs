//! Why a file cannot be read or written. Every import error knows its [`Place`]: a line, an element, or both.

use kernel::id::NameError;
use kernel::topology::TopologyError;

use super::Format;
use super::source_position::SourcePosition;

/// Why a file is no topology.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImportError {
    /// Over [`super::INPUT_MAX_BYTES`].
    #[error("the file has {bytes} bytes, more than the {max} that are read")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// The most that is read.
        max: usize,
    },
    /// Not UTF-8 (nor, for XML that declares it, ISO-8859-1).
    #[error("{at}: this byte is not UTF-8 text")]
    NotText {
        /// The first bad byte.
        at: SourcePosition,
    },
    /// No format could be recognised.
    #[error("{at}: no known topology format begins like this; name the format")]
    UnknownFormat {
        /// The first character that is not blank.
        at: SourcePosition,
    },
    /// A text format's grammar is broken.
    #[error("{at}: expected {expected}, found '{found}'")]
    Syntax {
        /// Where.
        at: SourcePosition,
        /// What belongs there.
        expected: &'static str,
        /// The beginning of what is there.
        found: String,
    },
    /// The XML is not well formed.
    #[error("{at}: {problem}")]
    Xml {
        /// Where.
        at: SourcePosition,
        /// The XML parser's words.
        problem: Box<quick_xml::Error>,
    },
    /// The JSON is not well formed or not of the right shape.
    #[error("{at}: {problem}")]
    Json {
        /// Where.
        at: SourcePosition,
        /// The JSON parser's words, without its own idea of the place.
        problem: String,
    },
    /// A document type definition: refused, since it may define entities.
    #[error("{at}: a DOCTYPE is not accepted")]
    Doctype {
        /// Where.
        at: SourcePosition,
    },
    /// An entity that is neither predefined nor a character number.
    #[error("{at}: the entity '&{name};' is not accepted")]
    Entity {
        /// Where.
        at: SourcePosition,
        /// Its name.
        name: String,
    },
    /// Brackets or elements within each other beyond [`super::DEPTH_MAX`].
    #[error("{at}: nested deeper than {max}")]
    TooDeep {
        /// Where it becomes too deep.
        at: SourcePosition,
        /// The most that is read.
        max: usize,
    },
    /// Too much of something.
    #[error("{at}: more than {max} {what}")]
    TooMany {
        /// Where the limit is passed.
        at: SourcePosition,
        /// Of what.
        what: &'static str,
        /// The most that is read.
        max: usize,
    },
    /// Something that must be there is not.
    #[error("{at}: '{field}' is missing")]
    Missing {
        /// Where it should be.
        at: SourcePosition,
        /// What is missing.
        field: &'static str,
    },
    /// A value that cannot be.
    #[error("{at}: '{field}' must be {expected}, not '{found}'")]
    Value {
        /// Where.
        at: SourcePosition,
        /// Which field.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
        /// The beginning of what it is.
        found: String,
    },
    /// A link ends at a node that the file does not have.
    #[error("{at}: there is no node '{node}'")]
    UnknownNode {
        /// Which link.
        at: SourcePosition,
        /// The node it names.
        node: String,
    },
    /// A link names a twin that the file does not have.
    #[error("{at}: there is no link '{link}'")]
    UnknownTwin {
        /// Which link.
        at: SourcePosition,
        /// The twin it names.
        link: String,
    },
    /// Two nodes with one id.
    #[error("{at}: the id '{id}' is taken by another node")]
    DuplicateId {
        /// The second of them.
        at: SourcePosition,
        /// The id.
        id: String,
    },
    /// An id that is no [`kernel::id::Name`].
    #[error("{at}: {source}")]
    BadName {
        /// Which node or link.
        at: SourcePosition,
        /// What is wrong with it.
        source: NameError,
    },
    /// A link without a capacity, under [`super::MissingCapacity::Error`].
    #[error("{at}: the link has no capacity that can be read")]
    NoCapacity {
        /// Which link.
        at: SourcePosition,
    },
    /// Well formed, but not a topology.
    #[error("{at}: {source}")]
    Topology {
        /// Which node or link.
        at: SourcePosition,
        /// What the kernel says.
        source: Box<TopologyError>,
    },
}

impl ImportError {
    /// Where the fault is.
    pub fn place(&self) -> SourcePosition {
        match self {
            Self::TooLarge { .. } => SourcePosition::line(1),
            Self::NotText { at }
            | Self::UnknownFormat { at }
            | Self::Syntax { at, .. }
            | Self::Xml { at, .. }
            | Self::Json { at, .. }
            | Self::Doctype { at }
            | Self::Entity { at, .. }
            | Self::TooDeep { at, .. }
            | Self::TooMany { at, .. }
            | Self::Missing { at, .. }
            | Self::Value { at, .. }
            | Self::UnknownNode { at, .. }
            | Self::UnknownTwin { at, .. }
            | Self::DuplicateId { at, .. }
            | Self::BadName { at, .. }
            | Self::NoCapacity { at }
            | Self::Topology { at, .. } => at.clone(),
        }
    }

    /// The line of the fault, where it has one.
    pub fn line(&self) -> Option<usize> {
        self.place().line
    }
}

/// Why a topology cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExportError {
    /// The format is only read.
    #[error("topologies are not written as {format}; try native, graphml, node-link or rfc8345")]
    ReadOnly {
        /// The format asked for.
        format: Format,
    },
}
