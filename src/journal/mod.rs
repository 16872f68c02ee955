//! Memory: what happened, durable and in order, on SQLite or PostgreSQL. Events are stored in names, so that they stay
//! readable whatever becomes of a topology. Nothing here interprets an event beyond writing it down and reading it
//! back, knows what time it is, or tries again: a conflict between writers is told to the one who lost.
//!
//! The door: [`Journal`] appends a [`Draft`] and reads records back; [`encode()`] and [`decode()`] stand between events
//! and records; [`Journal::restore`] builds the state that the journal says.

mod append;
mod database;
mod decode;
mod batch;
mod encode;
mod json;
mod history;
pub mod record;
mod restore;
mod snapshot;
mod statement;
pub mod stored_model;
pub mod stored_topology;
mod url;
pub mod scalars;

use std::path::PathBuf;
use std::sync::Arc;

use kernel::apply::ApplyError;
use kernel::id::{AllocationId, Sequence};
use kernel::units::Millis;

use database::Database;
use history::Bind;

pub use append::ExclusiveWriter;
pub use batch::{DraftError, Receipt, RecordBatch};
pub use decode::{RecordDecodeError, decode};
pub use encode::{RecordEncodeError, allocation_record, denial_record, encode};
pub use history::{Past, PastFilter};
pub use record::EventRecord;
pub use snapshot::SnapshotError;
pub use url::{DatabaseUrl, DatabaseUrlError};

/// The same code for either database: the types differ, the texts do not.
macro_rules! on_either {
    ($database:expr, |$connections:ident| $body:expr) => {
        match $database {
            $crate::journal::database::Database::Sqlite($connections) => $body,
            $crate::journal::database::Database::Postgres($connections) => $body,
        }
    };
}
use on_either;

/// A journal. Cheap to clone: all clones speak to the same database.
#[derive(Clone)]
pub struct Journal {
    database: Arc<Database>,
}

/// A record with its place and time.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredRecord {
    /// Its place.
    pub sequence: Sequence,
    /// When it was decided.
    pub at: Millis,
    /// What happened.
    pub record: EventRecord,
}

/// Why the journal could not do something.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder of the database cannot be made.
    #[error("the folder '{}' cannot be made", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// The database says no.
    #[error("the journal's database failed")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the journal's tables could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Something has no JSON form.
    #[error("what is to be stored cannot be written down")]
    Unwritable(#[source] serde_json::Error),
    /// A number that no column takes.
    #[error("{0} does not fit in 63 bits")]
    TooLarge(u64),
    /// A row that cannot be read.
    #[error("row {row} of {table} is damaged", row = .row)]
    Damaged {
        /// Of which table.
        table: &'static str,
        /// By its key.
        row: i64,
        /// Where it is damaged.
        #[source]
        error: serde_json::Error,
    },
    /// A row with a number that cannot be.
    #[error("row {row} of {table} has the impossible number {value}")]
    Impossible {
        /// Of which table.
        table: &'static str,
        /// By its key.
        row: i64,
        /// The number.
        value: i64,
    },
    /// A record that does not fit what came before it.
    #[error("event {at} cannot be understood", at = .at.0)]
    Decode {
        /// Which.
        at: Sequence,
        /// Why not.
        #[source]
        error: RecordDecodeError,
    },
    /// An event that cannot follow from what came before it.
    #[error("the journal contradicts itself")]
    Contradiction(#[from] ApplyError),
    /// A snapshot that cannot be taken.
    #[error("the state cannot be laid out")]
    Snapshot(#[from] RecordEncodeError),
    /// A snapshot that does not fit together.
    #[error("the snapshot at event {at} is damaged in part {part}", at = .at.0)]
    BadSnapshot {
        /// At which event.
        at: Sequence,
        /// Which part.
        part: i64,
        /// How.
        #[source]
        error: Box<SnapshotError>,
    },
    /// The task that was to do the work is gone.
    #[error("the work was given up")]
    GivenUp(#[from] tokio::task::JoinError),
}

/// Why a batch is not in the journal.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else wrote there first, or the batch does not follow the last event: read on and decide again.
    #[error("the batch does not follow the last event")]
    Conflict,
    /// It failed. If the connection broke, the batch may be there nevertheless; the journal's head tells.
    #[error(transparent)]
    Failed(Box<JournalError>),
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

impl Journal {
    /// Opens a journal, and makes it if it is not there.
    ///
    /// # Errors
    /// The database cannot be reached, made or brought up to date.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, JournalError> {
        Ok(Self { database: Arc::new(Database::open(url).await?) })
    }

    /// Writes a batch, whole or not at all. When this returns, it is on disk.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] if the batch's first event is not the one after the last.
    pub async fn append(&self, draft: &RecordBatch) -> Result<(), AppendError> {
        if draft.is_empty() {
            return Ok(());
        }
        append::append(&self.database, draft).await
    }

    /// The records after `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn read_after(&self, after: Sequence, limit: u32) -> Result<Vec<StoredRecord>, JournalError> {
        let rows: Vec<JournalRow> = on_either!(&*self.database, |connections| {
            let query = sqlx::query_as(statement::READ_AFTER).bind(column(after.0)?).bind(i64::from(limit));
            query.fetch_all(&connections.readers).await?
        });
        rows.iter().map(StoredRecord::read).collect()
    }

    /// The last event's number; 0 if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn head(&self) -> Result<Sequence, JournalError> {
        let last: i64 = on_either!(&*self.database, |connections| {
            sqlx::query_scalar(statement::HEAD).fetch_one(&connections.readers).await?
        });
        Ok(Sequence(number("journal", last, last)?))
    }

    /// Allocations that are over, by number, after `after`, at most `limit`.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn past(
        &self,
        filter: &PastFilter,
        after: Option<AllocationId>,
        limit: u32,
    ) -> Result<Vec<Past>, JournalError> {
        let after = after.map_or(Ok(0), |id| column(id.0))?;
        let (text, binds) = filter.listing();
        let rows: Vec<history::HistoryRow> = on_either!(&*self.database, |connections| {
            // Assembled from constants only; what came from outside is bound.
            let query = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(after).bind(i64::from(limit));
            let query = binds.into_iter().fold(query, |query, bind| match bind {
                Bind::Text(text) => query.bind(text),
                Bind::Number(number) => query.bind(number),
            });
            query.fetch_all(&connections.readers).await?
        });
        rows.iter().map(Past::read).collect()
    }

    /// One allocation that is over.
    ///
    /// # Errors
    /// The database failed, or the row is damaged.
    pub async fn past_one(&self, id: AllocationId) -> Result<Option<Past>, JournalError> {
        let Ok(id) = column(id.0) else { return Ok(None) };
        let row: Option<history::HistoryRow> = on_either!(&*self.database, |connections| {
            sqlx::query_as(statement::PAST_ONE).bind(id).fetch_optional(&connections.readers).await?
        });
        row.as_ref().map(Past::read).transpose()
    }

    /// What was answered to a request with this key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn receipt(&self, key: &str) -> Result<Option<Receipt>, JournalError> {
        let row: Option<(String, i64, i64, i64)> = on_either!(&*self.database, |connections| {
            sqlx::query_as(statement::RECEIPT_GET)
                .bind(&*scalars::escaped(key))
                .fetch_optional(&connections.readers)
                .await?
        });
        let Some((fingerprint, first, count, at)) = row else { return Ok(None) };
        let impossible = |value| JournalError::Impossible { table: "receipt", row: first, value };
        Ok(Some(Receipt {
            key: key.to_owned(),
            fingerprint,
            first: Sequence(number("receipt", first, first)?),
            count: u32::try_from(count).map_err(|_| impossible(count))?,
            at: Millis(number("receipt", first, at)?),
        }))
    }

    /// Forgets the receipts from before `at`; how many there were.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_receipts_before(&self, at: Millis) -> Result<u64, JournalError> {
        on_either!(&*self.database, |connections| {
            let mut turn = connections.bulk.turn().await;
            let query = sqlx::query(statement::RECEIPTS_FORGET).bind(column(at.0)?);
            let done = query.execute(turn.connection().await?).await;
            Ok(turn.ended(done)?.rows_affected())
        })
    }

    /// Whether other processes may write to it too.
    pub fn is_shared(&self) -> bool {
        matches!(*self.database, Database::Postgres(_))
    }

    /// The event of the newest complete snapshot.
    ///
    /// # Errors
    /// The database failed.
    pub async fn snapshot_sequence(&self) -> Result<Option<Sequence>, JournalError> {
        let newest: Option<i64> = on_either!(&*self.database, |connections| {
            sqlx::query_scalar(statement::SNAPSHOT_NEWEST).fetch_one(&connections.readers).await?
        });
        newest.map(|newest| Ok(Sequence(number("snapshot_head", newest, newest)?))).transpose()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), JournalError> {
        on_either!(&*self.database, |connections| {
            sqlx::query(statement::PING).execute(&connections.readers).await?;
        });
        Ok(())
    }

    /// Lets go of the database. Afterwards nothing works any more.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

type JournalRow = (i64, i64, String);

impl StoredRecord {
    fn read((row, at_ms, body): &JournalRow) -> Result<Self, JournalError> {
        let record =
            serde_json::from_str(body).map_err(|error| JournalError::Damaged { table: "journal", row: *row, error })?;
        let sequence = Sequence(number("journal", *row, *row)?);
        Ok(Self { sequence, at: Millis(number("journal", *row, *at_ms)?), record })
    }
}

/// A number on its way into a column.
fn column(number: u64) -> Result<i64, JournalError> {
    i64::try_from(number).map_err(|_| JournalError::TooLarge(number))
}

/// A number on its way out of a column.
fn number(table: &'static str, row: i64, value: i64) -> Result<u64, JournalError> {
    u64::try_from(value).map_err(|_| JournalError::Impossible { table, row, value })
}
