//! From the journal to the state it says: the newest complete snapshot, then every event after it. One task fetches rows, a
//! second one, on a thread of its own, reads them, and a third one turns what was read into state.

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::chain::ChainDigest;
use super::column::column;
use super::error::{JournalError, SnapshotError};
use super::snapshot::{PartReader, ReadPart, SnapshotHead, SnapshotHeadRow};
use super::stored_event::{JournalRow, StoredEvent};
use super::{Journal, on_either, statement};
use kernel::apply::apply;
use kernel::state::State;

/// How many events are fetched at once.
const ROWS_AT_ONCE: i64 = 2_000;
/// How many chunks may wait to be read, and how many to become state.
const CHUNKS_WAITING: usize = 2;

/// How far is read.
#[derive(Clone, Copy)]
enum ReadScope {
    All,
    SnapshotAlone,
}

/// What is fetched at once.
enum FetchedChunk {
    Part(SnapshotHead, i64, String),
    Rows(Vec<JournalRow>),
}

/// The same, read.
enum ReadChunk {
    Part(Result<ReadPart, JournalError>),
    Events(Vec<Result<StoredEvent, JournalError>>),
}

impl Journal {
    /// The state that the journal says.
    ///
    /// # Errors
    /// The database failed, a row is damaged, or an event does not fit the ones before it.
    pub async fn restore(&self) -> Result<State, JournalError> {
        Ok(self.restore_with_digest().await?.0)
    }

    /// As [`Journal::restore`], with the digest of the last event. A row that is not the one that was written is told in the
    /// log, and so is a snapshot that is damaged: the one before it is read then, or every event.
    ///
    /// # Errors
    /// As [`Journal::restore`].
    pub async fn restore_with_digest(&self) -> Result<(State, ChainDigest), JournalError> {
        self.read_or_fall_back().await
    }

    /// The state of the newest complete snapshot, and the digest of its event; an empty one if there is none.
    ///
    /// # Errors
    /// The database failed, or the snapshot is damaged.
    pub async fn read_snapshot(&self) -> Result<(State, ChainDigest), JournalError> {
        self.read_since(ReadScope::SnapshotAlone, i64::MAX).await
    }

    /// The events between the newest snapshot, if that is damaged, and the one before may not be kept any more.
    async fn read_or_fall_back(&self) -> Result<(State, ChainDigest), JournalError> {
        let damage = match self.read_since(ReadScope::All, i64::MAX).await {
            Err(JournalError::BadSnapshot { at, part, error }) => (at, part, error),
            other => return other,
        };
        let (at, part, error) = damage;
        tracing::error!(event = at.0, part, %error, "the snapshot is damaged: the one before it, or every event, is read instead");
        let mut before = at;
        loop {
            match self.read_since(ReadScope::All, column(before.0)?).await {
                Ok((state, digest)) if state.sequence() >= at => return Ok((state, digest)),
                Err(JournalError::BadSnapshot { at: older, .. }) if older < before => before = older,
                Ok(_) | Err(JournalError::BadSnapshot { .. } | JournalError::Contradiction(_)) => {
                    return Err(JournalError::BadSnapshot { at, part, error });
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// The state by the newest snapshot before an event.
    async fn read_since(&self, scope: ReadScope, before: i64) -> Result<(State, ChainDigest), JournalError> {
        let (chunks, waiting) = channel(CHUNKS_WAITING);
        let (read, to_enter) = channel(CHUNKS_WAITING);
        let reading = tokio::task::spawn_blocking(move || read_chunks(waiting, &read));
        let building = tokio::task::spawn_blocking(move || build(to_enter));
        let fetched = self.fetch_all(scope, before, chunks).await;
        reading.await?;
        let built = building.await?;
        fetched?;
        built
    }

    /// Fetches everything in one state of the database. If the builder has stopped with an error, so does this.
    async fn fetch_all(&self, scope: ReadScope, before: i64, chunks: Sender<FetchedChunk>) -> Result<(), JournalError> {
        on_either!(&*self.database, |connections| {
            let mut guard = connections.reader().await;
            let connection = guard.connection().await?;
            sqlx::raw_sql(connections.begin_read).execute(&mut *connection).await?;
            let head: Option<SnapshotHeadRow> =
                sqlx::query_as(statement::SNAPSHOT_HEAD).bind(before).fetch_optional(&mut *connection).await?;
            let mut after = 0;
            if let Some(head) = head.map(SnapshotHead::from) {
                after = head.sequence;
                for part in 0..head.parts {
                    let query = sqlx::query_scalar(statement::SNAPSHOT_PART).bind(head.sequence).bind(part);
                    let body: Option<String> = query.fetch_optional(&mut *connection).await?;
                    let body = body.ok_or_else(|| head.bad(part, SnapshotError::Missing))?;
                    if chunks.send(FetchedChunk::Part(head.clone(), part, body)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            loop {
                let query = sqlx::query_as(statement::READ_AFTER).bind(after).bind(ROWS_AT_ONCE);
                let rows: Vec<JournalRow> = match scope {
                    ReadScope::All => query.fetch_all(&mut *connection).await?,
                    ReadScope::SnapshotAlone => vec![],
                };
                let Some(last) = rows.last() else {
                    sqlx::raw_sql(statement::COMMIT).execute(&mut *connection).await?;
                    guard.keep();
                    return Ok(());
                };
                after = last.0;
                if chunks.send(FetchedChunk::Rows(rows)).await.is_err() {
                    return Ok(());
                }
            }
        })
    }
}

/// What cannot be read is told in its turn.
fn read_chunks(mut waiting: Receiver<FetchedChunk>, read: &Sender<ReadChunk>) {
    let mut parts = PartReader::default();
    while let Some(chunk) = waiting.blocking_recv() {
        let chunk = match chunk {
            FetchedChunk::Part(head, part, body) => ReadChunk::Part(parts.read(head, part, &body)),
            FetchedChunk::Rows(rows) => ReadChunk::Events(rows.iter().map(StoredEvent::parse).collect()),
        };
        if read.blocking_send(chunk).is_err() {
            return;
        }
    }
}

fn build(mut waiting: Receiver<ReadChunk>) -> Result<(State, ChainDigest), JournalError> {
    let mut state = State::default();
    let (mut digest, mut is_whole) = (ChainDigest::default(), true);
    while let Some(chunk) = waiting.blocking_recv() {
        match chunk {
            ReadChunk::Part(part) => {
                let part = part?;
                digest = part.digest();
                part.enter(&mut state)?;
            }
            ReadChunk::Events(events) => {
                for stored in events {
                    let stored = stored?;
                    if !stored.follows(digest) && std::mem::take(&mut is_whole) {
                        let event = stored.sequence.0;
                        tracing::error!(event, "the event is not the one that was written: see 'journal verify'");
                    }
                    digest = stored.head().digest;
                    follow(&mut state, &stored)?;
                }
            }
        }
    }
    Ok((state, digest))
}

fn follow(state: &mut State, stored: &StoredEvent) -> Result<(), JournalError> {
    let recorded = stored.decode(state).map_err(|error| JournalError::Decode { at: stored.sequence, error })?;
    drop(apply(state, &recorded)?);
    Ok(())
}
