//! Memory: what happened, durable and in order, on SQLite or PostgreSQL. Events are stored in names, so that they stay
//! readable whatever becomes of a topology. Nothing here interprets an event beyond storing it, knows what time it is, or
//! tries again: a writer that loses a conflict gets an error.
//!
//! The door: [`Journal`] appends a [`RecordBatch`] of the kernel's facts and reads facts, ended allocations and receipts
//! back; [`Journal::restore`] builds the state that the journal says. Beside the events stand samples of links, which no state
//! needs. The stored form of all of these is private.

mod access_token;
mod append;
mod batch;
mod chain;
mod database;
mod replica;
mod restore;
mod retention;
mod snapshot;
mod snapshot_allocations;
mod history;
mod link_history;
mod stored_event;
mod encode;
mod decode;
mod record;
mod demand_record;
mod constraints_record;
mod flow_record;
mod topology_record;
mod maintenance_record;
mod notice_record;
mod model_record;
mod annotation_record;
mod rule_settings_record;
mod tenant_record;
mod protection_record;
mod auto_bandwidth_record;
mod lookup;
pub mod scalars;
mod statement;
mod json;
mod column;
mod url;
mod error;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kernel::Fact;
use kernel::id::{AllocationId, Name, Sequence};
use kernel::units::Millis;

use column::{column, number};
use database::{Database, within};
use history::{Bind, HistoryRow};
use stored_event::JournalRow;

pub use access_token::{AccessTokenRecord, TOKENS_MAX, TokenDigest};
pub use annotation_record::AnnotationFilter;
pub use append::ExclusiveWriter;
pub use batch::{Receipt, RecordBatch};
pub use chain::{ChainDigest, ChainHead};
pub use error::{AppendError, BatchError, JournalError, RecordDecodeError, RecordEncodeError, SnapshotError};
pub use history::{Past, PastFilter};
pub use link_history::{LinkSampling, SampleChange, SampleResolution, SampledLink, SampledTopology};
pub use replica::Heartbeat;
pub use retention::{EVENTS_FORGOTTEN_AT_ONCE, LinkHistoryAges, Retention};
pub use stored_event::StoredEvent;
pub use url::{DatabaseUrl, DatabaseUrlError, FileClaim};

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

/// A query on a connection that reads.
macro_rules! on_reader {
    ($journal:expr, |$connection:ident| $body:expr) => {
        on_either!(&*$journal.database, |connections| {
            let mut guard =
                within(connections.deadline, async { Ok::<_, JournalError>(connections.reader().await) }).await?;
            let done = within(connections.deadline, async {
                let $connection = guard.connection().await?;
                Ok::<_, JournalError>($body)
            });
            let done = done.await;
            guard.keep_if_done(done)?
        })
    };
}

use on_reader;

/// A statement on the connection for snapshots and housekeeping.
macro_rules! on_bulk {
    ($journal:expr, |$connection:ident| $body:expr) => {
        on_either!(&*$journal.database, |connections| {
            let mut guard = connections.bulk.lock().await;
            let done = within(BULK_MAX, async {
                let $connection = guard.connection().await?;
                Ok::<_, JournalError>($body)
            });
            let done = done.await;
            guard.keep_if_done(done)?
        })
    };
}
use on_bulk;

/// How long a statement of a snapshot or of housekeeping may take.
const BULK_MAX: Duration = Duration::from_secs(60);

/// How long a statement may take on PostgreSQL, unless said otherwise.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(5);

/// A journal. Cheap to clone: all clones speak to the same database.
#[derive(Clone)]
pub struct Journal {
    database: Arc<Database>,
}

impl Journal {
    /// Opens a journal, and makes it if it is not there.
    ///
    /// # Errors
    /// The database cannot be reached, made or brought up to date.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, JournalError> {
        Self::open_within(url, DEADLINE_DEFAULT).await
    }

    /// As [`Journal::open`]; a statement on PostgreSQL may take as long as `deadline`.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub async fn open_within(url: &DatabaseUrl, deadline: Duration) -> Result<Self, JournalError> {
        Ok(Self { database: Arc::new(Database::open(url, deadline).await?) })
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

    /// The events after `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn facts_after(&self, after: Sequence, limit: u32) -> Result<Vec<Fact>, JournalError> {
        self.read_after(after, limit).await?.into_iter().map(StoredEvent::into_fact).collect()
    }

    /// The events after `after` that somebody of this name had decided, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn facts_by(&self, actor: &Name, after: Sequence, limit: u32) -> Result<Vec<Fact>, JournalError> {
        let (after, actor) = (column(after.0)?, stored_event::framed(actor));
        let rows: Vec<JournalRow> = on_reader!(self, |connection| {
            let query = sqlx::query_as(statement::READ_AFTER_BY).bind(after).bind(i64::from(limit)).bind(actor);
            query.fetch_all(connection).await?
        });
        rows.iter().map(|row| StoredEvent::parse(row)?.into_fact()).collect()
    }

    /// The events before `before`, of somebody of this name if there is one, newest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn facts_before(
        &self,
        actor: Option<&Name>,
        before: Sequence,
        limit: u32,
    ) -> Result<Vec<Fact>, JournalError> {
        let before = column(before.0)?;
        let rows: Vec<JournalRow> = on_reader!(self, |connection| match actor {
            Some(actor) => {
                let query = sqlx::query_as(statement::READ_BEFORE_BY).bind(before).bind(i64::from(limit));
                query.bind(stored_event::framed(actor)).fetch_all(connection).await?
            }
            None => {
                let query = sqlx::query_as(statement::READ_BEFORE).bind(before).bind(i64::from(limit));
                query.fetch_all(connection).await?
            }
        });
        rows.iter().map(|row| StoredEvent::parse(row)?.into_fact()).collect()
    }

    /// The events after `after`, oldest first, at most `limit`, for a state that follows the journal.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn read_after(&self, after: Sequence, limit: u32) -> Result<Vec<StoredEvent>, JournalError> {
        let after = column(after.0)?;
        let rows: Vec<JournalRow> = on_reader!(self, |connection| {
            let query = sqlx::query_as(statement::READ_AFTER).bind(after).bind(i64::from(limit));
            query.fetch_all(connection).await?
        });
        rows.iter().map(StoredEvent::parse).collect()
    }

    /// The last event's number; 0 if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn head(&self) -> Result<Sequence, JournalError> {
        let last: i64 =
            on_reader!(self, |connection| sqlx::query_scalar(statement::HEAD).fetch_one(connection).await?);
        Ok(Sequence(number("journal", last, last)?))
    }

    /// The last event and its digest; all zero if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn chain_head(&self) -> Result<ChainHead, JournalError> {
        type Row = Option<(i64, Option<String>)>;
        let mut row: Row =
            on_reader!(self, |connection| sqlx::query_as(statement::CHAIN_HEAD).fetch_optional(connection).await?);
        if row.is_none() {
            row = on_reader!(self, |connection| {
                sqlx::query_as(statement::SNAPSHOT_CHAIN_HEAD).fetch_optional(connection).await?
            });
        }
        let (last, digest) = row.unwrap_or((0, None));
        let sequence = Sequence(number("journal", last, last)?);
        Ok(ChainHead { sequence, digest: ChainDigest::of_column(digest.as_ref()) })
    }

    /// When the last event happened, if any is there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn last_event_at(&self) -> Result<Option<Millis>, JournalError> {
        let at: Option<i64> =
            on_reader!(self, |connection| sqlx::query_scalar(statement::LAST_AT).fetch_optional(connection).await?);
        at.map(|at| Ok(Millis(number("journal", 0, at)?))).transpose()
    }

    /// The digest of an event that is there, or that a snapshot stands for; all zero if it has none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn digest_at(&self, sequence: Sequence) -> Result<ChainDigest, JournalError> {
        let at = column(sequence.0)?;
        let digest: Option<String> = on_reader!(self, |connection| {
            sqlx::query_scalar(statement::DIGEST_AT).bind(at).fetch_one(connection).await?
        });
        Ok(ChainDigest::of_column(digest.as_ref()))
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
        let rows: Vec<HistoryRow> = on_reader!(self, |connection| {
            // Assembled from constants only; what came from outside is bound.
            let query = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(after).bind(i64::from(limit));
            let query = binds.into_iter().fold(query, |query, bind| match bind {
                Bind::Text(text) => query.bind(text),
                Bind::Number(number) => query.bind(number),
            });
            query.fetch_all(connection).await?
        });
        rows.iter().map(Past::parse).collect()
    }

    /// One allocation that is over.
    ///
    /// # Errors
    /// The database failed, or the row is damaged.
    pub async fn past_one(&self, id: AllocationId) -> Result<Option<Past>, JournalError> {
        let Ok(id) = column(id.0) else { return Ok(None) };
        let row: Option<HistoryRow> = on_reader!(self, |connection| {
            sqlx::query_as(statement::PAST_ONE).bind(id).fetch_optional(connection).await?
        });
        row.as_ref().map(Past::parse).transpose()
    }

    /// What was answered to a request with this key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn receipt(&self, key: &str) -> Result<Option<Receipt>, JournalError> {
        type Row = (String, i64, i64, i64, Option<String>);
        let row: Option<Row> = on_reader!(self, |connection| {
            sqlx::query_as(statement::RECEIPT_GET).bind(&*scalars::escaped(key)).fetch_optional(connection).await?
        });
        let Some((fingerprint, first, count, at, refusals)) = row else { return Ok(None) };
        let impossible = |value| JournalError::Impossible { table: "receipt", row: first, value };
        Ok(Some(Receipt {
            key: key.to_owned(),
            fingerprint,
            first: Sequence(number("receipt", first, first)?),
            count: u32::try_from(count).map_err(|_| impossible(count))?,
            at: Millis(number("receipt", first, at)?),
            refusals,
        }))
    }

    /// Forgets the receipts from before `at`; how many there were.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_receipts_before(&self, at: Millis) -> Result<u64, JournalError> {
        let at = column(at.0)?;
        Ok(on_bulk!(self, |connection| {
            sqlx::query(statement::RECEIPTS_FORGET).bind(at).execute(connection).await?.rows_affected()
        }))
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
        let newest: Option<i64> = on_reader!(self, |connection| {
            sqlx::query_scalar(statement::SNAPSHOT_NEWEST).fetch_one(connection).await?
        });
        newest.map(|newest| Ok(Sequence(number("snapshot_head", newest, newest)?))).transpose()
    }

    /// The event of the oldest snapshot that is kept.
    ///
    /// # Errors
    /// The database failed.
    pub async fn oldest_snapshot(&self) -> Result<Option<Sequence>, JournalError> {
        let oldest: Option<i64> = on_reader!(self, |connection| {
            sqlx::query_scalar(statement::SNAPSHOT_OLDEST).fetch_one(connection).await?
        });
        oldest.map(|oldest| Ok(Sequence(number("snapshot_head", oldest, oldest)?))).transpose()
    }

    /// Has a snapshot count no more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_snapshot(&self, at: Sequence) -> Result<(), JournalError> {
        let at = column(at.0)?;
        on_bulk!(self, |connection| {
            sqlx::query(statement::SNAPSHOT_HEAD_FORGET).bind(at).execute(connection).await?;
        });
        Ok(())
    }

    /// Whether the database takes writes; asked on a connection of its own.
    ///
    /// # Errors
    /// It does not, or not within `deadline`.
    pub async fn probe(&self, deadline: Duration) -> Result<(), JournalError> {
        let writable: bool = on_either!(&*self.database, |connections| {
            let mut guard = connections.probe.lock().await;
            let done = within(deadline, async {
                let connection = guard.connection().await?;
                Ok::<_, JournalError>(sqlx::query_scalar(connections.probe_text).fetch_one(connection).await?)
            });
            let done = done.await;
            guard.keep_if_done(done)?
        });
        if writable { Ok(()) } else { Err(JournalError::ReadOnly) }
    }

    /// Lets go of the database. Afterwards nothing works any more.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
