//! Why a file cannot be read or written. Every import error has a [`SourcePosition`]: a line, an element, or both.

use kernel::id::NameError;
use kernel::topology::TopologyError;

use super::Format;
use super::source_position::{SourcePosition, excerpt};

/// Why a gzip stream cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GzipError {
    /// The stream is broken.
    #[error("invalid gzip: {0}")]
    Broken(String),
    /// More than allowed came out of it.
    #[error("invalid gzip: it holds more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{}'", excerpt(name))).collect();
    if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
}

/// Why a file is not a valid topology.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImportError {
    /// Over [`super::INPUT_MAX_BYTES`].
    #[error("invalid file: it has {bytes} bytes, the limit is {max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Neither UTF-8, nor UTF-16 with a byte order mark, nor in the encoding that an XML declaration names.
    #[error("{at}: this byte is not {encoding} text")]
    NotText {
        /// The first bad byte, where it is known.
        at: SourcePosition,
        /// The encoding.
        encoding: &'static str,
    },
    /// Compressed, and not well.
    #[error("{0}")]
    Gzip(#[from] GzipError),
    /// Several networks, none of which was chosen.
    #[error("the file has several networks: choose one of {} as the network", quoted(names))]
    SeveralNetworks {
        /// Their names, the first of them.
        names: Vec<String>,
    },
    /// No network of the name that was chosen.
    #[error("the file has no network '{network}': its networks are {}", quoted(names))]
    UnknownNetwork {
        /// The name.
        network: String,
        /// The names that there are, the first of them.
        names: Vec<String>,
    },
    /// No format could be recognised.
    #[error("{at}: the file does not begin like any known topology format: name the format")]
    UnknownFormat {
        /// The first character that is not blank.
        at: SourcePosition,
    },
    /// A text format's grammar is broken.
    #[error("{at}: expected {expected}, found '{found}'")]
    Syntax {
        /// The position of the fault.
        at: SourcePosition,
        /// What the grammar expects.
        expected: &'static str,
        /// The beginning of the text found.
        found: String,
    },
    /// The XML is not well formed.
    #[error("{at}: {problem}")]
    Xml {
        /// The position of the fault.
        at: SourcePosition,
        /// The XML parser's error.
        problem: Box<quick_xml::Error>,
    },
    /// The JSON is not well formed or not of the right shape.
    #[error("{at}: {problem}")]
    Json {
        /// The position of the fault.
        at: SourcePosition,
        /// The JSON parser's error, without its own position.
        problem: String,
    },
    /// An entity that is neither predefined nor a character number.
    #[error("{at}: invalid XML: the entity '&{name};' is not accepted")]
    Entity {
        /// The position of the fault.
        at: SourcePosition,
        /// Its name.
        name: String,
    },
    /// Brackets or elements within each other beyond [`super::DEPTH_MAX`].
    #[error("{at}: invalid nesting: it is deeper than {max}")]
    TooDeep {
        /// The position at which the limit is exceeded.
        at: SourcePosition,
        /// The limit.
        max: usize,
    },
    /// More elements than a limit allows.
    #[error("{at}: too many {what}: the limit is {max}")]
    TooMany {
        /// The position at which the limit is exceeded.
        at: SourcePosition,
        /// The plural noun: `nodes`, `links`.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A missing member.
    #[error("{at}: '{field}' is missing")]
    Missing {
        /// The element that lacks it.
        at: SourcePosition,
        /// The member.
        field: &'static str,
    },
    /// An invalid value.
    #[error("{at}: invalid {field}: it must be {expected}, not '{found}'")]
    Value {
        /// The position of the fault.
        at: SourcePosition,
        /// The field.
        field: &'static str,
        /// The valid values, in words.
        expected: &'static str,
        /// The beginning of the value.
        found: String,
    },
    /// A link ends at a node that the file does not have.
    #[error("{at}: the file has no node '{node}'")]
    UnknownNode {
        /// The link.
        at: SourcePosition,
        /// The node it names.
        node: String,
    },
    /// A link names a twin that the file does not have.
    #[error("{at}: the file has no link '{link}'")]
    UnknownTwin {
        /// The link.
        at: SourcePosition,
        /// The twin it names.
        link: String,
    },
    /// Two nodes with one id.
    #[error("{at}: duplicate node id '{id}'")]
    DuplicateId {
        /// The second one.
        at: SourcePosition,
        /// The id.
        id: String,
    },
    /// An id that is not a valid [`kernel::id::Name`].
    #[error("{at}: {source}")]
    BadName {
        /// The node or link.
        at: SourcePosition,
        /// The fault of the name.
        source: NameError,
    },
    /// A link without a capacity, under [`super::MissingCapacity::Error`].
    #[error("{at}: the link does not have a readable capacity")]
    NoCapacity {
        /// The link.
        at: SourcePosition,
    },
    /// Well formed, but not a topology.
    #[error("{at}: {source}")]
    Topology {
        /// The node or link.
        at: SourcePosition,
        /// The kernel's error.
        source: Box<TopologyError>,
    },
}

impl ImportError {
    /// The position of the fault.
    pub fn place(&self) -> SourcePosition {
        match self {
            Self::TooLarge { .. } => SourcePosition::line(1),
            Self::Gzip(_) | Self::SeveralNetworks { .. } | Self::UnknownNetwork { .. } => {
                SourcePosition::element("the file")
            }
            Self::NotText { at, .. }
            | Self::UnknownFormat { at }
            | Self::Syntax { at, .. }
            | Self::Xml { at, .. }
            | Self::Json { at, .. }
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
    #[error("{format} is only read: write native, graphml, node-link or rfc8345")]
    ReadOnly {
        /// The format asked for.
        format: Format,
    },
}
