//! Writing a batch. A batch of records alone is one statement and no more: its own transaction, one round trip. What
//! ended and the receipts go with the records in a transaction around them.

use sqlx::Connection;

use super::database::Database;
use super::draft::Draft;
use super::json::JsonText;
use super::{AppendError, JournalError, column, on_either, statement};

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

pub(super) async fn append(database: &Database, draft: &Draft) -> Result<(), AppendError> {
    on_either!(database, |connections| {
        let mut turn = connections.writer.turn().await;
        let connection = turn.connection().await?;
        let work = async {
            match draft.first() {
                Some(first) if draft.is_plain() => put_records!(draft, first, connection),
                first => {
                    let mut whole = connection.begin_with(connections.begin_write).await?;
                    if let Some(first) = first {
                        put_records!(draft, first, &mut *whole)?;
                    }
                    put_rows!(statement::PAST_PUT, draft.past_json(), &mut *whole);
                    put_rows!(statement::RECEIPT_PUT, draft.receipts_json(), &mut *whole);
                    Ok(whole.commit().await?)
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
