//! Writing a batch. A batch of records alone is one statement: its own transaction, one round trip. Ended allocations and
//! receipts go with the records in a transaction around them. A writer that lost a conflict takes [`Journal::lock`], so
//! that a faster one does not win every race.

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Postgres, Sqlite};

use super::batch::RecordBatch;
use super::column::column;
use super::database::{Connections, Database, WriterGuard};
use super::error::{AppendError, JournalError};
use super::json::JsonText;
use super::{Journal, statement};

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
    guard: WriterGuard<'a, DB>,
    is_committed: bool,
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
    let connection = guard.connection().await?;
    let done = match batch.is_records_only() {
        true => connection.put_records(batch).await,
        false => append_in_transaction(connection, connections.begin_write, batch).await,
    };
    match done {
        // Nothing is wrong with the connection.
        Err(AppendError::Conflict) => Err(AppendError::Conflict),
        done => guard.close_if_failed(done),
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
        Err(AppendError::Conflict) => {
            connection.run(statement::ROLLBACK).await?;
            return Err(AppendError::Conflict);
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
        connection.put_rows(statement::RECEIPT_PUT, &rows).await?;
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
        let mut transaction = Self { guard: connections.writer.lock().await, is_committed: false };
        transaction.guard.connection().await?.run(connections.begin_exclusive).await?;
        Ok(transaction)
    }

    async fn commit(mut self, batch: &RecordBatch) -> Result<(), AppendError> {
        let connection = self.guard.connection().await?;
        put_whole(connection, batch).await?;
        connection.run(statement::COMMIT).await?;
        self.is_committed = true;
        Ok(())
    }
}

impl<DB: sqlx::Database> Drop for LockedTransaction<'_, DB> {
    fn drop(&mut self) {
        if !self.is_committed {
            self.guard.close();
        }
    }
}

/// A connection that batches are written on. sqlx's queries are typed by their database, so that the same three lines
/// stand for each.
trait WriterConnection: Send {
    /// Runs a statement without parameters.
    fn run(&mut self, sql: &'static str) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Writes rows that come as one JSON object.
    fn put_rows(&mut self, sql: &'static str, rows: &str) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Writes the records of a batch, if it has any.
    fn put_records(&mut self, batch: &RecordBatch) -> impl Future<Output = Result<(), AppendError>> + Send;
}

macro_rules! impl_writer_connection {
    ($($connection:ty)*) => { $(
        impl WriterConnection for $connection {
            async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
                sqlx::raw_sql(sql).execute(self).await.map(drop)
            }

            async fn put_rows(&mut self, sql: &'static str, rows: &str) -> Result<(), sqlx::Error> {
                sqlx::query(sql).bind(JsonText(rows)).execute(self).await.map(drop)
            }

            async fn put_records(&mut self, batch: &RecordBatch) -> Result<(), AppendError> {
                let Some(first) = batch.first() else { return Ok(()) };
                let query = sqlx::query(statement::APPEND).bind(JsonText(batch.records_json()));
                let done = query.bind(column(first.0.saturating_sub(1))?).execute(self).await;
                judge(done.map(|done| done.rows_affected()), batch.len())
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
