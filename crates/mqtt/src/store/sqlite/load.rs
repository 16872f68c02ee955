//! The file read back into memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;
use futures_util::{Stream, StreamExt};
use sqlx::FromRow;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::super::memory::{Memory, StateRestore, StoredSession, WrittenWill};
use super::super::stored_form;
use super::segment::read_segment;
use crate::message::UnixMs;

/// What the file holds: the state, and the weight of each segment.
pub(super) struct Loaded {
    pub(super) memory: Memory,
    pub(super) segments: BTreeMap<u64, usize>,
}

/// Reads everything. A row that cannot be read is named in the log and left out; others notice nothing.
pub(super) async fn load(connection: &mut SqliteConnection, now_ms: UnixMs) -> Result<Loaded, sqlx::Error> {
    let last = sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) FROM segment").fetch_one(&mut *connection).await?;
    let mut restoration = StateRestore::new(unsigned(last));
    let rows = sqlx::query("SELECT birth, client, state FROM session").fetch(&mut *connection);
    each(rows, |(birth, client, state): (i64, String, Vec<u8>)| {
        let session = StoredSession { birth: unsigned(birth), client: client.as_str().into(), state };
        if !restoration.add_session(session) {
            warn_damaged("session", &client);
        }
    })
    .await?;
    let rows = sqlx::query("SELECT birth, filter, granted FROM subscription").fetch(&mut *connection);
    each(rows, |(birth, filter, granted): (i64, String, Vec<u8>)| match stored_form::read_granted(&granted) {
        Some(granted) => restoration.add_subscription(unsigned(birth), ByteString::from(filter), granted),
        None => warn_damaged("subscription", &filter),
    })
    .await?;
    let rows = sqlx::query("SELECT topic, message FROM retained").fetch(&mut *connection);
    each(rows, |(topic, message): (String, Vec<u8>)| match stored_form::read_message(&message) {
        Some(message) => restoration.add_retained(&message),
        None => warn_damaged("retained message", &topic),
    })
    .await?;
    let rows = sqlx::query("SELECT client, epoch, delay_s, due_at_ms, message FROM will").fetch(&mut *connection);
    each(rows, |(client, epoch, delay_s, due_at_ms, message): (String, i64, u32, Option<i64>, Vec<u8>)| {
        match stored_form::read_message(&message) {
            Some(message) => {
                let due_at_ms = due_at_ms.map(unsigned);
                let will = WrittenWill { epoch: unsigned(epoch), delay_s, due_at_ms, message };
                restoration.add_will(client.as_str().into(), will);
            }
            None => warn_damaged("will", &client),
        }
    })
    .await?;
    let rows = sqlx::query("SELECT number, share, message FROM orphaned").fetch(&mut *connection);
    each(rows, |(number, share, message): (i64, String, Vec<u8>)| match stored_form::read_message(&message) {
        Some(message) => restoration.add_orphaned(unsigned(number), Arc::from(share), message),
        None => warn_damaged("message of a shared subscription", &share),
    })
    .await?;
    let mut segments = BTreeMap::new();
    let rows = sqlx::query("SELECT id, weight_bytes, messages FROM segment").fetch(connection);
    each(rows, |(id, weight_bytes, messages): (i64, i64, Vec<u8>)| {
        segments.insert(unsigned(id), usize::try_from(weight_bytes).unwrap_or(0));
        let (messages, is_whole) = read_segment(&messages);
        if !is_whole {
            warn_damaged("segment", &id.to_string());
        }
        // Without a message that waits, the segment is released here.
        let Some(hold) = restoration.segment(unsigned(id)) else { return };
        for one in messages {
            restoration.add_message(&hold, &one.message, one.places, now_ms);
        }
    })
    .await?;
    Ok(Loaded { memory: restoration.finish(now_ms), segments })
}

/// A row with a cell that is not what its column holds is left out like any other that cannot be read.
async fn each<T: for<'r> FromRow<'r, SqliteRow>>(
    rows: impl Stream<Item = Result<SqliteRow, sqlx::Error>>,
    mut row: impl FnMut(T),
) -> Result<(), sqlx::Error> {
    let mut rows = std::pin::pin!(rows);
    while let Some(found) = rows.next().await {
        match T::from_row(&found?) {
            Ok(found) => row(found),
            Err(error) => tracing::error!(%error, "a row of the broker's file cannot be read; it is left out"),
        }
    }
    Ok(())
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn warn_damaged(what: &str, name: &str) {
    tracing::error!(what, name, "a row of the broker's file cannot be read; it is left out");
}
