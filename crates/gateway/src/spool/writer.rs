//! The one writer of the spool: it takes what has changed, writes that in one transaction, and says so. What changes
//! meanwhile is the next cut. While SQLite refuses (a full disk, mostly) it tries again, and nothing is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::super::buffer::SubscriptionId;
use super::super::clock::SinceStart;
use super::super::core::{GatewayCore, SpoolCut};
use super::super::limits::{SPOOL_RETRY_PAUSE, SPOOL_SEGMENT_BYTES, SPOOL_SLACK_BYTES, SPOOL_UNASKED_PAUSE};
use super::super::message::TopicMessage;
use super::changes::MessagePlaces;
use super::file::{SpoolError, SpoolFile, StoredTerms};
use super::segment::write_message;
use super::segment_index::{MovedSegments, SegmentIndex, SpooledSegment};
use super::segment_lease::{ReleasedSegments, SegmentLease};

/// Rows of one statement.
const ROWS: usize = 64;

/// What the spool is.
#[derive(Debug, Default)]
struct SpoolState {
    asked: Notify,
    changed: Notify,
    closing: CancellationToken,
    is_available: AtomicBool,
    bytes: AtomicU64,
}

/// The spool, as the rest of the gateway knows it.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    state: Arc<SpoolState>,
    /// The number of the last cut in the file.
    written: watch::Receiver<u64>,
}

impl Spool {
    /// Reads the file into the core, and returns the spool with its writer.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn load(
        mut file: SpoolFile,
        now: SinceStart,
        core: &mut GatewayCore,
    ) -> Result<(Self, SpoolWriter), SpoolError> {
        let released = ReleasedSegments::default();
        let index = file.load(now, core, &released).await?;
        core.enable_spool();
        let state = Arc::new(SpoolState { is_available: AtomicBool::new(true), ..SpoolState::default() });
        state.bytes.store(index.bytes, Ordering::Relaxed);
        let (sender, written) = watch::channel(0);
        let spool = Self { state: Arc::clone(&state), written };
        let SpoolFile { connection, next_id, .. } = file;
        let slack_bytes = SPOOL_SLACK_BYTES;
        Ok((spool, SpoolWriter { connection, state, written: sender, released, index, next_id, slack_bytes }))
    }

    /// Something changed that somebody waits for: messages leave when they are written.
    pub(crate) fn ask(&self) {
        self.state.asked.notify_one();
    }

    /// Something changed that nobody waits for.
    pub(crate) fn notify_change(&self) {
        self.state.changed.notify_one();
    }

    /// Waits until a cut is in the file; `false`: it never will be.
    pub(crate) async fn wait_for(&self, cut: u64) -> bool {
        if *self.written.borrow() >= cut {
            return true;
        }
        self.ask();
        let mut written = self.written.clone();
        written.wait_for(|written| *written >= cut).await.is_ok()
    }

    /// Has the writer write the last changes and end.
    pub(crate) fn close(&self) {
        self.state.closing.cancel();
    }

    /// The bytes of messages in the file, and whether it takes writes.
    pub(crate) fn status(&self) -> (u64, bool) {
        (self.state.bytes.load(Ordering::Relaxed), self.state.is_available.load(Ordering::Relaxed))
    }
}

/// The core, as the writer knows it.
pub(crate) trait SpooledCore: Send + Sync {
    /// What changed since the last cut, if anything did, and the bytes that buffers hold.
    fn take_cut(&self) -> (Option<SpoolCut>, u64);

    /// A cut is written; its lanes, each with the number of its next message then.
    fn release_written(&self, lanes: &[(SubscriptionId, u64)]);
}

/// The writer, with the only connection to the file.
pub(crate) struct SpoolWriter {
    connection: SqliteConnection,
    state: Arc<SpoolState>,
    written: watch::Sender<u64>,
    released: ReleasedSegments,
    index: SegmentIndex,
    /// The id of the next subscription, as it is in the file.
    next_id: u64,
    /// What segments may have beyond twice what buffers hold.
    pub(super) slack_bytes: u64,
}

impl SpoolWriter {
    /// Writes what changed in `core` until the spool is closed.
    pub(crate) async fn run(mut self, core: impl SpooledCore) {
        loop {
            self.wait().await;
            let is_closing = self.state.closing.is_cancelled();
            match self.write_changes(&core).await {
                Some(true) => {}
                None if !is_closing => {}
                None | Some(false) => break,
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the spool is not closed well");
        }
    }

    /// Writes what changed; `None`: nothing did. `false`: it is given up because the spool is closed.
    pub(super) async fn write_changes(&mut self, core: &impl SpooledCore) -> Option<bool> {
        let (cut, held_bytes) = core.take_cut();
        if cut.is_none() && self.released.is_empty() {
            return None;
        }
        let next_sequences = |cut: &SpoolCut| cut.lanes.iter().map(|(id, state)| (*id, state.next_sequence)).collect();
        let lanes: Vec<_> = cut.as_ref().map(next_sequences).unwrap_or_default();
        let moved = self.index.oldest_beyond(held_bytes.saturating_mul(2).saturating_add(self.slack_bytes));
        let is_written = self.write(cut, moved).await;
        if is_written {
            core.release_written(&lanes);
        }
        Some(is_written)
    }

    #[cfg(test)]
    pub(super) fn segment_bytes(&self) -> u64 {
        self.index.bytes
    }

    /// Until somebody waits for a cut, or something has been unwritten for a while.
    async fn wait(&self) {
        let unasked = async {
            self.state.changed.notified().await;
            tokio::time::sleep(SPOOL_UNASKED_PAUSE).await;
        };
        tokio::select! {
            () = self.state.asked.notified() => {}
            () = self.state.closing.cancelled() => {}
            () = unasked => {}
        }
    }

    /// Writes a cut, and old messages anew, until that is done; `false`: it is given up because the spool is closed.
    async fn write(&mut self, cut: Option<SpoolCut>, moved: MovedSegments) -> bool {
        let number = cut.as_ref().map(|cut| cut.number);
        let rows = SpoolRows::new(cut, moved, self.index.last_id, &self.released, self.next_id);
        while let Err(error) = rows.write(&mut self.connection).await {
            if self.state.is_available.swap(false, Ordering::Relaxed) {
                tracing::error!(%error, "the spool takes no writes; acknowledgements wait");
            }
            tokio::select! {
                () = self.state.closing.cancelled() => return false,
                () = tokio::time::sleep(SPOOL_RETRY_PAUSE) => {}
            }
        }
        self.state.is_available.store(true, Ordering::Relaxed);
        for id in &rows.released {
            self.index.remove(*id);
        }
        self.next_id = rows.cut.as_ref().map_or(self.next_id, |cut| cut.next_id);
        for (hold, bytes, messages) in rows.segments {
            for (message, _) in &messages {
                message.hold_segment(&hold);
            }
            let messages = messages.into_iter().map(|(message, places)| (Arc::downgrade(&message), places)).collect();
            self.index.insert(SpooledSegment { id: hold.id, bytes: bytes.len(), messages });
        }
        self.state.bytes.store(self.index.bytes, Ordering::Relaxed);
        if let Some(number) = number {
            self.written.send_replace(number);
        }
        true
    }
}

type NewSegment = (Arc<SegmentLease>, Vec<u8>, Vec<(Arc<TopicMessage>, MessagePlaces)>);

/// A cut as rows.
struct SpoolRows {
    segments: Vec<NewSegment>,
    released: Vec<u64>,
    lanes: Vec<(i64, String)>,
    created: Vec<(i64, String)>,
    /// Whether subscriptions were made, even if they are over already: their ids are not given again.
    is_new_id: bool,
    cut: Option<SpoolCut>,
}

impl SpoolRows {
    fn new(
        mut cut: Option<SpoolCut>,
        moved: MovedSegments,
        last_id: u64,
        released: &ReleasedSegments,
        next_id: u64,
    ) -> Self {
        let messages = cut.as_mut().map(|cut| std::mem::take(&mut cut.messages)).unwrap_or_default();
        let mut segments: Vec<NewSegment> = vec![];
        for (message, places) in moved.messages.into_iter().chain(messages) {
            if segments.last().is_none_or(|(_, bytes, _)| bytes.len() >= SPOOL_SEGMENT_BYTES) {
                let id = last_id + 1 + segments.len() as u64;
                let bytes = Vec::with_capacity(SPOOL_SEGMENT_BYTES + SPOOL_SEGMENT_BYTES / 4);
                segments.push((SegmentLease::new(id, released), bytes, vec![]));
            }
            if let Some((_, bytes, messages)) = segments.last_mut() {
                write_message(&message, &places, bytes);
                messages.push((message, places));
            }
        }
        // Plain numbers and texts always render.
        let lanes = cut.iter().flat_map(|cut| &cut.lanes);
        let lanes = lanes.map(|(id, state)| (signed(id.0), serde_json::to_string(state).unwrap_or_default()));
        let created = cut.iter().flat_map(|cut| &cut.created);
        let terms = |terms: &_| serde_json::to_string(&StoredTerms::of(Clone::clone(terms))).unwrap_or_default();
        let created = created.map(|(id, of)| (signed(id.0), terms(of)));
        let released = released.take().into_iter().chain(moved.ids).collect();
        let (lanes, created) = (lanes.collect(), created.collect());
        let is_new_id = cut.as_ref().is_some_and(|cut| cut.next_id != next_id);
        Self { segments, released, lanes, created, is_new_id, cut }
    }

    /// Writes everything in one transaction. What was written before a failure is taken back.
    async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        self.write_segments(&mut transaction).await?;
        put_rows(&mut transaction, RowTable::Lane, &self.lanes).await?;
        put_rows(&mut transaction, RowTable::Subscription, &self.created).await?;
        if let Some(cut) = &self.cut {
            write_topics(&mut transaction, cut).await?;
            write_others(&mut transaction, cut, self.is_new_id).await?;
        }
        transaction.commit().await
    }

    async fn write_segments(&self, to: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for (hold, bytes, _) in &self.segments {
            let query = sqlx::query("INSERT OR REPLACE INTO segment (id, messages) VALUES (?, ?)");
            query.bind(signed(hold.id)).bind(&bytes[..]).execute(&mut *to).await?;
        }
        for id in &self.released {
            sqlx::query("DELETE FROM segment WHERE id = ?").bind(signed(*id)).execute(&mut *to).await?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum RowTable {
    Lane,
    Subscription,
}

/// Puts rows of a number and a text, many in one statement.
async fn put_rows(to: &mut SqliteConnection, table: RowTable, rows: &[(i64, String)]) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(ROWS) {
        let mut query = sqlx::QueryBuilder::new(match table {
            RowTable::Lane => "INSERT OR REPLACE INTO lane (id, state) ",
            RowTable::Subscription => "INSERT OR REPLACE INTO subscription (id, terms) ",
        });
        query.push_values(rows, |mut row, (id, text)| {
            row.push_bind(*id).push_bind(text.as_str());
        });
        query.build().execute(&mut *to).await?;
    }
    Ok(())
}

async fn write_topics(to: &mut SqliteConnection, cut: &SpoolCut) -> Result<(), sqlx::Error> {
    match &cut.forgotten {
        None => {
            sqlx::query("DELETE FROM topic").execute(&mut *to).await?;
        }
        Some(names) => {
            for name in names {
                sqlx::query("DELETE FROM topic WHERE name = ?").bind(&**name).execute(&mut *to).await?;
            }
        }
    }
    for values in cut.topics.chunks(ROWS) {
        let mut query = sqlx::QueryBuilder::new("INSERT OR REPLACE INTO topic (name, at_ms, messages, payload) ");
        query.push_values(values, |mut row, value| {
            row.push_bind(&*value.topic)
                .push_bind(signed(value.at_ms))
                .push_bind(signed(value.messages))
                .push_bind(&value.payload[..]);
        });
        query.build().execute(&mut *to).await?;
    }
    Ok(())
}

async fn write_others(to: &mut SqliteConnection, cut: &SpoolCut, is_new_id: bool) -> Result<(), sqlx::Error> {
    for id in &cut.ended {
        for text in ["DELETE FROM subscription WHERE id = ?", "DELETE FROM lane WHERE id = ?"] {
            sqlx::query(text).bind(signed(id.0)).execute(&mut *to).await?;
        }
    }
    // Plain texts always render.
    let policies = cut.policies.as_ref().map(|policies| serde_json::to_string(policies).unwrap_or_default());
    if let Some(policies) = policies {
        let query = sqlx::query("INSERT OR REPLACE INTO gateway (name, value) VALUES ('policies', ?)");
        query.bind(policies).execute(&mut *to).await?;
    }
    if is_new_id {
        let query = sqlx::query("INSERT OR REPLACE INTO gateway (name, value) VALUES ('next_id', ?)");
        query.bind(cut.next_id.to_string()).execute(&mut *to).await?;
    }
    Ok(())
}

/// SQLite's integers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
