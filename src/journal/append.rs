//! Writing a batch. A batch of records alone is one statement: its own transaction, one round trip. Ended allocations and
//! receipts go with the records in a transaction around them. A writer that lost a conflict takes [`Journal::lock`], so
//! that a faster one does not win every race. A connection that breaks on the way leaves open what became of the batch: then
//! the database is asked.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Postgres, Sqlite};

use super::batch::RecordBatch;
use super::column::column;
use super::database::{Backend, ConnectionGuard, Connections, Database, SessionSetup, within};
use super::error::{AppendError, JournalError};
use super::json::JsonText;
use super::{Journal, statement};
use kernel::id::Sequence;

/// How long it may take to find out what became of a batch.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// The journal while no other writer can append; readers go on. Dropped without [`ExclusiveWriter::append`], nothing
/// happened.
pub struct ExclusiveWriter<'a> {
    locked: LockedConnection<'a>,
}

enum LockedConnection<'a> {
    Sqlite(LockedTransaction<'a, Sqlite>),
    Postgres(LockedTransaction<'a, Postgres>),
}

/// A connection with an open transaction that holds the lock. Unless committed, the connection is closed with it, which
/// rolls it back.
struct LockedTransaction<'a, DB: sqlx::Database> {
    connections: &'a Connections<DB>,
    guard: ConnectionGuard<'a, DB>,
}

pub(super) async fn append(database: &Database, batch: &RecordBatch) -> Result<(), AppendError> {
    match database {
        Database::Sqlite(connections) => append_to(connections, batch).await,
        Database::Postgres(connections) => append_to(connections, batch).await,
    }
}

async fn append_to<DB: sqlx::Database>(connections: &Connections<DB>, batch: &RecordBatch) -> Result<(), AppendError>
where
    DB::Connection: WriterConnection,
{
    let mut guard = connections.writer.lock().await;
    // Nothing was sent yet: what fails here did not happen.
    within(connections.deadline, async { guard.connection().await.map(drop) }).await?;
    let backend = guard.backend();
    let connection = guard.connection().await?;
    let done = within(connections.deadline, async {
        match batch.is_records_only() {
            true => connection.put_records(batch).await,
            false => append_in_transaction(connection, connections.begin_write, batch).await,
        }
    });
    let done = done.await;
    finish(&mut guard, backend, batch, done).await
}

/// Keeps the connection if all is well with it. If it broke, finds out what became of the batch.
async fn finish<DB: sqlx::Database>(
    guard: &mut ConnectionGuard<'_, DB>,
    backend: Option<Backend>,
    batch: &RecordBatch,
    done: Result<(), AppendError>,
) -> Result<(), AppendError>
where
    DB::Connection: WriterConnection,
{
    let error = match done {
        Ok(()) | Err(AppendError::Conflict | AppendError::KeyTaken) => {
            guard.keep();
            return done;
        }
        Err(AppendError::Failed(error) | AppendError::Unknown(error)) => error,
    };
    guard.close();
    let Some(first) = batch.first().filter(|_| !error.is_definite()) else { return Err(AppendError::Failed(error)) };
    let asked = within(SETTLE_MAX, async {
        let connection = guard.connection().await?;
        // Bytes may still be on their way to the old session: with it gone, nothing can come after the answer.
        connection.end_session(backend).await?;
        connection.has_batch(first, batch.id()).await
    });
    let asked = asked.await;
    match guard.keep_if_done(asked) {
        Ok(true) => {
            tracing::warn!(%error, first = first.0, "the connection broke, but the batch is in the journal");
            Ok(())
        }
        Ok(false) => Err(AppendError::Failed(error)),
        Err(since) => {
            tracing::warn!(error = %since, "the journal could not be asked what became of a batch");
            Err(AppendError::Unknown(error))
        }
    }
}

async fn append_in_transaction(
    connection: &mut impl WriterConnection,
    begin: &'static str,
    batch: &RecordBatch,
) -> Result<(), AppendError> {
    connection.run(begin).await?;
    match put_whole(connection, batch).await {
        Ok(()) => connection.run(statement::COMMIT).await?,
        Err(refused @ (AppendError::Conflict | AppendError::KeyTaken)) => {
            connection.run(statement::ROLLBACK).await?;
            return Err(refused);
        }
        failed => return failed,
    }
    Ok(())
}

async fn put_whole(connection: &mut impl WriterConnection, batch: &RecordBatch) -> Result<(), AppendError> {
    connection.put_records(batch).await?;
    if let Some(rows) = batch.past_json().map_err(JournalError::Unwritable)? {
        connection.put_rows(statement::PAST_PUT, &rows).await?;
    }
    if let Some(rows) = batch.receipts_json().map_err(JournalError::Unwritable)? {
        let written = connection.put_rows(statement::RECEIPT_PUT, &rows).await?;
        if written < batch.receipt_count() {
            return Err(AppendError::KeyTaken);
        }
    }
    Ok(())
}

impl Journal {
    /// Waits for the lock that keeps every other writer out. Between processes on one PostgreSQL the waiting is in order
    /// of arrival; readers do not wait.
    ///
    /// # Errors
    /// The database failed, or another writer held the lock for too long.
    pub async fn lock(&self) -> Result<ExclusiveWriter<'_>, JournalError> {
        let locked = match &*self.database {
            Database::Sqlite(connections) => LockedConnection::Sqlite(LockedTransaction::begin(connections).await?),
            Database::Postgres(connections) => LockedConnection::Postgres(LockedTransaction::begin(connections).await?),
        };
        Ok(ExclusiveWriter { locked })
    }
}

impl ExclusiveWriter<'_> {
    /// Releases the lock; nothing is written. If that fails, the lock ends with the connection.
    pub async fn release(self) {
        let released = match self.locked {
            LockedConnection::Sqlite(transaction) => transaction.release().await,
            LockedConnection::Postgres(transaction) => transaction.release().await,
        };
        if let Err(error) = released {
            tracing::debug!(%error, "the lock of the journal ended with its connection");
        }
    }

    /// Writes a batch, whole or not at all, and releases the lock. When this returns, it is on disk.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn append(self, batch: &RecordBatch) -> Result<(), AppendError> {
        match self.locked {
            LockedConnection::Sqlite(transaction) => transaction.commit(batch).await,
            LockedConnection::Postgres(transaction) => transaction.commit(batch).await,
        }
    }
}

impl<'a, DB: sqlx::Database> LockedTransaction<'a, DB>
where
    DB::Connection: WriterConnection,
{
    async fn begin(connections: &'a Connections<DB>) -> Result<Self, JournalError> {
        let mut guard = connections.writer.lock().await;
        within(connections.deadline, async {
            Ok::<_, JournalError>(guard.connection().await?.run(connections.begin_exclusive).await?)
        })
        .await?;
        Ok(Self { connections, guard })
    }

    async fn release(mut self) -> Result<(), JournalError> {
        let connection = self.guard.connection().await?;
        let done = within(self.connections.deadline, async { Ok(connection.run(statement::ROLLBACK).await?) }).await;
        self.guard.keep_if_done(done)
    }

    async fn commit(mut self, batch: &RecordBatch) -> Result<(), AppendError> {
        let backend = self.guard.backend();
        let connection = self.guard.connection().await?;
        let done = within(self.connections.deadline, async {
            put_whole(connection, batch).await?;
            Ok(connection.run(statement::COMMIT).await?)
        });
        let done = done.await;
        match done {
            // The transaction is still open: it ends with the connection.
            Err(refused @ (AppendError::Conflict | AppendError::KeyTaken)) => Err(refused),
            done => finish(&mut self.guard, backend, batch, done).await,
        }
    }
}

/// A connection that batches are written on. sqlx's queries are typed by their database, so that the same three lines
/// stand for each.
trait WriterConnection: SessionSetup + Send {
    /// Runs a statement without parameters.
    fn run(&mut self, sql: &'static str) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Writes rows that come as one JSON object; how many were written.
    fn put_rows(&mut self, sql: &'static str, rows: &str) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Writes the records of a batch, if it has any.
    fn put_records(&mut self, batch: &RecordBatch) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Ends an earlier session of this program, if the server still has it.
    fn end_session(&mut self, backend: Option<Backend>) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Whether an event came with a batch.
    fn has_batch(&mut self, first: Sequence, id: i64) -> impl Future<Output = Result<bool, JournalError>> + Send;
}

macro_rules! impl_writer_connection {
    ($($connection:ty)*) => { $(
        impl WriterConnection for $connection {
            async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
                sqlx::raw_sql(sql).execute(self).await.map(drop)
            }

            async fn put_rows(&mut self, sql: &'static str, rows: &str) -> Result<u64, sqlx::Error> {
                sqlx::query(sql).bind(JsonText(rows)).execute(self).await.map(|done| done.rows_affected())
            }

            async fn put_records(&mut self, batch: &RecordBatch) -> Result<(), AppendError> {
                let Some(first) = batch.first() else { return Ok(()) };
                let query = sqlx::query(statement::APPEND).bind(JsonText(batch.records_json()));
                let query = query.bind(column(first.0.saturating_sub(1))?).bind(batch.id());
                let done = query.bind(batch.stands_on().to_string()).execute(self).await;
                judge(done.map(|done| done.rows_affected()), batch.len())
            }

            async fn end_session(&mut self, backend: Option<Backend>) -> Result<(), JournalError> {
                let Some((pid, began)) = backend else { return Ok(()) };
                let query = sqlx::query_scalar(statement::BACKEND_END_POSTGRES).bind(pid).bind(began);
                match query.fetch_optional(self).await? {
                    Some(false) => Err(JournalError::NoAnswer { waited: SETTLE_MAX }),
                    Some(true) | None => Ok(()),
                }
            }

            async fn has_batch(&mut self, first: Sequence, id: i64) -> Result<bool, JournalError> {
                let query = sqlx::query_scalar(statement::HAS_BATCH).bind(column(first.0)?).bind(id);
                let found: i64 = query.fetch_one(self).await?;
                Ok(found > 0)
            }
        }
    )* };
}

impl_writer_connection! { SqliteConnection PgConnection }

/// A batch that does not follow the last event writes nothing; one that lost a race breaks the primary key.
fn judge(done: Result<u64, sqlx::Error>, wanted: u64) -> Result<(), AppendError> {
    match done {
        Ok(written) if written == wanted => Ok(()),
        Ok(_) => Err(AppendError::Conflict),
        Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
            Err(AppendError::Conflict)
        }
        Err(error) => Err(error.into()),
    }
}
