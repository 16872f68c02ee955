//! Writing a batch. A batch of records alone is one statement and no more: its own transaction, one round trip. What
//! ended and the receipts go with the records in a transaction around them. Who lost to another writer asks to write
//! [`Alone`], so that a slower one is not outrun for ever.

use sqlx::{Connection, Postgres, Sqlite};

use super::batch::RecordBatch;
use super::database::{Connections, Database, WriterGuard};
use super::json::JsonText;
use super::{AppendError, Journal, JournalError, column, on_either, statement};

/// The journal while nobody else can write to it; reading goes on. Dropped without [`Alone::append`], nothing happened.
pub struct ExclusiveWriter<'a> {
    turn: Either<'a>,
}

enum Either<'a> {
    Sqlite(LockedTransaction<'a, Sqlite>),
    Postgres(LockedTransaction<'a, Postgres>),
}

/// A connection with an open transaction that holds the lock. It is let go, and so undone, unless it was committed.
struct LockedTransaction<'a, DB: sqlx::Database> {
    turn: WriterGuard<'a, DB>,
    committed: bool,
}

/// Writes the records of a draft; a macro because the connection's type differs.
macro_rules! put_records {
    ($draft:expr, $first:expr, $connection:expr) => {{
        let query = sqlx::query(statement::APPEND).bind(JsonText($draft.records_json()));
        let done = query.bind(column($first.0.saturating_sub(1))?).execute($connection).await;
        judge(done.map(|done| done.rows_affected()), $draft.len())
    }};
}

/// Writes rows that came as one JSON object, if there are any.
macro_rules! put_rows {
    ($statement:expr, $rows:expr, $connection:expr) => {
        if let Some(rows) = $rows.map_err(JournalError::Unwritable)? {
            sqlx::query($statement).bind(JsonText(&rows)).execute($connection).await?;
        }
    };
}

/// Writes all of a draft.
macro_rules! put_whole {
    ($draft:expr, $first:expr, $connection:expr) => {
        if let Some(first) = $first {
            put_records!($draft, first, $connection)?;
        }
        put_rows!(statement::PAST_PUT, $draft.past_json(), $connection);
        put_rows!(statement::RECEIPT_PUT, $draft.receipts_json(), $connection);
    };
}

/// Writes all of a draft in the transaction of a claim, and ends it.
macro_rules! put_and_commit {
    ($claim:ident, $draft:expr) => {{
        let connection = $claim.turn.connection().await?;
        put_whole!($draft, $draft.first(), &mut *connection);
        sqlx::raw_sql(statement::COMMIT).execute(connection).await?;
        $claim.committed = true;
    }};
}

pub(super) async fn append(database: &Database, draft: &RecordBatch) -> Result<(), AppendError> {
    on_either!(database, |connections| {
        let mut turn = connections.writer.turn().await;
        let connection = turn.connection().await?;
        let work = async {
            match draft.first() {
                Some(first) if draft.is_plain() => put_records!(draft, first, connection),
                first => {
                    let mut whole = connection.begin_with(connections.begin_write).await?;
                    let put = async {
                        put_whole!(draft, first, &mut *whole);
                        Ok(())
                    };
                    match put.await {
                        Ok(()) => Ok(whole.commit().await?),
                        // At once: left to itself, it would wait for the connection's next use, and keep its locks.
                        Err(AppendError::Conflict) => whole
                            .rollback()
                            .await
                            .map_or_else(|error| Err(error.into()), |()| Err(AppendError::Conflict)),
                        failed => failed,
                    }
                }
            }
        };
        match work.await {
            // Nothing is wrong with the connection.
            Err(AppendError::Conflict) => Err(AppendError::Conflict),
            done => turn.ended(done),
        }
    })
}

impl Journal {
    /// Waits until nobody else writes, and holds them off. Between processes on one PostgreSQL the waiting is in order
    /// of arrival; reading is not held up.
    ///
    /// # Errors
    /// The database failed, or somebody else held it for too long.
    pub async fn alone(&self) -> Result<ExclusiveWriter<'_>, JournalError> {
        let turn = match &*self.database {
            Database::Sqlite(connections) => Either::Sqlite(claim(connections).await?),
            Database::Postgres(connections) => Either::Postgres(claim(connections).await?),
        };
        Ok(ExclusiveWriter { turn })
    }
}

impl ExclusiveWriter<'_> {
    /// Writes a batch, whole or not at all, and lets others write again. When this returns, it is on disk.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn append(self, draft: &RecordBatch) -> Result<(), AppendError> {
        match self.turn {
            Either::Sqlite(mut claim) => put_and_commit!(claim, draft),
            Either::Postgres(mut claim) => put_and_commit!(claim, draft),
        }
        Ok(())
    }
}

async fn claim<DB>(connections: &Connections<DB>) -> Result<LockedTransaction<'_, DB>, JournalError>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: sqlx::Executor<'c, Database = DB>,
{
    let mut claim = LockedTransaction { turn: connections.writer.turn().await, committed: false };
    sqlx::raw_sql(connections.begin_alone).execute(claim.turn.connection().await?).await?;
    Ok(claim)
}

impl<DB: sqlx::Database> Drop for LockedTransaction<'_, DB> {
    fn drop(&mut self) {
        if !self.committed {
            self.turn.let_go();
        }
    }
}

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
