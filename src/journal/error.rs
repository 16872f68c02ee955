//! What can go wrong with a journal.

use std::path::PathBuf;
use std::time::Duration;

use kernel::apply::ApplyError;
use kernel::bam::ModelError;
use kernel::controller::ControllerAddressError;
use kernel::id::{AllocationId, LinkIx, Name, NodeIx, Sequence};
use kernel::intent::NumberingError;
use kernel::topology::TopologyError;

/// Why the journal could not do something.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder of the database cannot be made.
    #[error("the folder '{}' cannot be used: {error}", folder.display())]
    Folder {
        folder: PathBuf,
        /// What the file system answered.
        #[source]
        error: std::io::Error,
    },
    /// The database refused, or the connection to it broke.
    #[error("{cause}: {0}", cause = cause_of(.0))]
    Database(#[from] sqlx::Error),
    /// The database was silent.
    #[error("the database did not answer within {} ms", waited.as_millis())]
    NoAnswer {
        /// For how long.
        waited: Duration,
    },
    /// The database answers, but takes no writes.
    #[error("the database is read-only: it is a standby, or was set so")]
    ReadOnly,
    /// Another service has the database's file.
    #[error("another service uses '{}': stop it, or give this one a folder of its own", path.display())]
    InUse { path: PathBuf },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// The tables could not be brought up to date.
    #[error("{cause}: {0}", cause = migration_cause(.0))]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Something has no JSON form.
    #[error("the rows cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
    /// A number that no column takes.
    #[error("{0} does not fit in 63 bits")]
    TooLarge(u64),
    /// A row that cannot be parsed.
    #[error("row {row} of {table} is damaged", row = .row)]
    Damaged {
        table: &'static str,
        /// The row's key.
        row: i64,
        /// Where it is damaged.
        #[source]
        error: serde_json::Error,
    },
    /// A row with a number that its column cannot have.
    #[error("row {row} of {table} has the impossible number {value}")]
    Impossible {
        table: &'static str,
        /// The row's key.
        row: i64,
        value: i64,
    },
    /// A record that does not fit what came before it.
    #[error("event {at} does not fit the events before it", at = .at.0)]
    Decode {
        /// The event's number.
        at: Sequence,
        /// What does not fit.
        #[source]
        error: RecordDecodeError,
    },
    /// An event that cannot follow from what came before it.
    #[error("the journal contradicts itself")]
    Contradiction(#[from] ApplyError),
    /// A snapshot of a state that does not fit together.
    #[error("the state cannot be written as a snapshot")]
    Snapshot(#[from] RecordEncodeError),
    /// A stored snapshot that does not fit together.
    #[error("the snapshot at event {at} is damaged in part {part}", at = .at.0)]
    BadSnapshot {
        /// The last event in the snapshot.
        at: Sequence,
        /// The part, from 0.
        part: i64,
        /// How it is damaged.
        #[source]
        error: Box<SnapshotError>,
    },
    /// The journal has another event than the state stands on, or none.
    #[error("the journal has another event {at}, or none", at = .at.0)]
    OtherEvents { at: Sequence },
    /// The task that was to do the work is gone.
    #[error("the work was cancelled")]
    Cancelled(#[from] tokio::task::JoinError),
}

/// Why a batch is not in the journal.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another writer appended first, or the batch does not follow the last event: read on and decide again.
    #[error("the batch does not follow the last event")]
    Conflict,
    /// An idempotency key of the batch is taken: by another replica, or by this one before. Nothing was written.
    #[error("an idempotency key of the batch is taken")]
    KeyTaken,
    /// The append failed; nothing was written.
    #[error(transparent)]
    Failed(Box<JournalError>),
    /// The connection was lost, and the database could not be asked since: the batch may be in the journal or not.
    #[error("it is not known whether the batch was written: {0}")]
    Unknown(Box<JournalError>),
}

impl From<JournalError> for AppendError {
    fn from(error: JournalError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<sqlx::Error> for AppendError {
    fn from(error: sqlx::Error) -> Self {
        JournalError::Database(error).into()
    }
}

/// Why an event does not go into a batch. The batch is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The event is not of this state.
    #[error(transparent)]
    Encode(#[from] RecordEncodeError),
    /// The event does not follow the one before it.
    #[error("event {found} does not follow event {after}", found = .found.0, after = .after.0)]
    OutOfSequence {
        /// The one before.
        after: Sequence,
        /// The one that came.
        found: Sequence,
    },
    /// The record has no JSON form.
    #[error("the event cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Why an event has no stored form: its numbers have no names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordEncodeError {
    /// The snapshot lacks the allocation's topology.
    #[error("unknown topology '{0}'")]
    NoTopology(Name),
    /// The topology lacks the node.
    #[error("topology '{topology}' has no node number {node}", node = .node.0)]
    NoNode {
        topology: Name,
        /// The node's number.
        node: NodeIx,
    },
    /// The topology lacks the link.
    #[error("topology '{topology}' has no link number {link}", link = .link.0)]
    NoLink {
        topology: Name,
        /// The link's number.
        link: LinkIx,
    },
}

/// Why a record is no event of this state.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordDecodeError {
    /// The state lacks the topology.
    #[error("unknown topology '{0}'")]
    UnknownTopology(Name),
    /// The topology lacks the node.
    #[error("topology '{topology}' has no node '{node}'")]
    UnknownNode { topology: Name, node: Name },
    /// The topology lacks the link.
    #[error("topology '{topology}' has no link '{link}'")]
    UnknownLink { topology: Name, link: Name },
    /// A number that its field cannot have.
    #[error("invalid {field}: {value} is out of range")]
    OutOfRange { field: &'static str, value: u64 },
    /// A rerouted allocation without its new path.
    #[error("allocation {0} is rerouted, but its record has no path")]
    NoPath(AllocationId),
    /// The nodes and links make no topology.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A controller's address is no URL of HTTP.
    #[error(transparent)]
    Address(#[from] ControllerAddressError),
    /// The numbers of a controller's rules are none that a switch has.
    #[error(transparent)]
    Numbering(#[from] NumberingError),
    /// The classes make no bandwidth model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl RecordDecodeError {
    pub(super) fn out_of_range(field: &'static str, value: impl Into<u64>) -> Self {
        Self::OutOfRange { field, value: value.into() }
    }
}

/// Why a snapshot is no state.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A part that is not there.
    #[error("the part is missing")]
    Missing,
    /// A part that cannot be parsed.
    #[error("the part is not valid JSON of its form")]
    Unreadable(#[from] serde_json::Error),
    /// A record that does not fit.
    #[error("the part does not fit the parts before it")]
    Decode(#[from] RecordDecodeError),
    /// A reference to a number that stands for nothing.
    #[error("the part refers to number {0}, which stands for nothing")]
    NoNumber(u32),
    /// An allocation that does not fit.
    #[error("the part contradicts the parts before it")]
    Contradiction(#[from] ApplyError),
    /// Parts that are not those that were written.
    #[error("the parts up to this one are not the ones that were written: their digest does not match")]
    Checksum,
    /// Another number of allocations than the head says.
    #[error("the snapshot has {found} allocations instead of {wanted}")]
    Count {
        found: usize,
        /// How many the head says.
        wanted: i64,
    },
}

/// What is wrong, in words of an operator. The first two characters of a code of PostgreSQL are its class; codes of SQLite
/// are numbers.
fn cause_of(error: &sqlx::Error) -> &'static str {
    let code = error.as_database_error().and_then(|error| error.code());
    match (error, code.as_deref()) {
        (sqlx::Error::Io(_), _) => "the database cannot be reached",
        (sqlx::Error::Tls(_), _) => "the database's TLS cannot be used",
        (_, Some("28P01" | "28000")) => "the database refuses the user or the password",
        (_, Some("3D000")) => "the server has no database of this name",
        (_, Some("53300")) => "the database takes no further connection",
        (_, Some("53100" | "13")) => "the disk is full",
        (_, Some("25006" | "8" | "1032" | "264" | "776")) => "the database is read-only",
        (_, Some("26000" | "42P05" | "08P01")) => {
            "prepared statements do not last: a pooler in transaction mode cannot be used, one in session mode can"
        }
        (_, Some("42501")) => "the user lacks a right in the database",
        (_, Some("57014" | "55P03" | "5" | "517")) => "the database took too long",
        (_, Some(code)) if code.starts_with("57P") => "the database is starting or stopping",
        (_, Some("14")) => "the database's file cannot be opened",
        (_, Some("26")) => "the file is no SQLite database",
        (_, Some("11")) => "the database's file is damaged",
        _ => "the journal's database failed",
    }
}

fn migration_cause(error: &sqlx::migrate::MigrateError) -> &'static str {
    match error {
        sqlx::migrate::MigrateError::VersionMissing(_) | sqlx::migrate::MigrateError::VersionTooNew(..) => {
            "the database was written by a newer version"
        }
        sqlx::migrate::MigrateError::Execute(error) => cause_of(error),
        _ => "the journal's tables could not be migrated",
    }
}

impl JournalError {
    /// Whether it is known that what failed did not happen: the database said so, or it was never asked.
    pub(super) fn is_definite(&self) -> bool {
        match self {
            Self::Database(error) => error.as_database_error().is_some_and(|error| {
                // A server that stops, or a connection that breaks, may have committed before.
                !error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
            }),
            Self::NoAnswer { .. } => false,
            _ => true,
        }
    }
}
