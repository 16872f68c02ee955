//! The one writer of the file: it takes what has changed, writes that in one transaction, and says so. What changes
//! meanwhile is the next group. While SQLite refuses (a full disk, mostly) it tries again, and nothing is acknowledged.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::watch;

use super::super::memory::{Cut, Memory, OpenSegment};
use super::super::stored_form;
use super::WriterSignals;
use super::segment::{read_segment, write_segment};

/// Between two tries while SQLite refuses.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Segments that are written anew after one group, at most.
const CLEANED_SEGMENTS: usize = 64;
/// Rows of one statement.
const ROWS: usize = 64;

const SESSION_PUT: &str = "INSERT OR REPLACE INTO session (birth, client, state) VALUES (?, ?, ?)";
static SESSION_PUT_MANY: LazyLock<String> =
    LazyLock::new(|| format!("{SESSION_PUT}{}", ", (?, ?, ?)".repeat(ROWS - 1)));
const SUBSCRIPTION_PUT: &str = "INSERT OR REPLACE INTO subscription (birth, filter, granted) VALUES (?, ?, ?)";
const SUBSCRIPTION_DELETE: &str = "DELETE FROM subscription WHERE birth = ? AND filter = ?";
const SESSION_DELETE: &str = "DELETE FROM session WHERE birth = ?";
const SESSION_SUBSCRIPTIONS_DELETE: &str = "DELETE FROM subscription WHERE birth = ?";
const RETAINED_PUT: &str = "INSERT OR REPLACE INTO retained (topic, expires_at_ms, message) VALUES (?, ?, ?)";
const RETAINED_DELETE: &str = "DELETE FROM retained WHERE topic = ?";
const RETAINED_DELETE_EXPIRED: &str = "DELETE FROM retained WHERE expires_at_ms <= ?";
const WILL_PUT: &str =
    "INSERT OR REPLACE INTO will (client, epoch, delay_s, due_at_ms, message) VALUES (?, ?, ?, ?, ?)";
const WILL_DELETE: &str = "DELETE FROM will WHERE client = ?";
const ORPHANED_PUT: &str = "INSERT OR REPLACE INTO orphaned (number, share, message) VALUES (?, ?, ?)";
const ORPHANED_DELETE: &str = "DELETE FROM orphaned WHERE number = ?";
const SEGMENT_PUT: &str = "INSERT OR REPLACE INTO segment (id, weight_bytes, messages) VALUES (?, ?, ?)";
const SEGMENT_DELETE: &str = "DELETE FROM segment WHERE id = ?";
const SEGMENT_READ: &str = "SELECT messages FROM segment WHERE id = ?";

/// The writer, with the only connection to the file.
pub(super) struct FileWriter {
    pub(super) memory: Memory,
    pub(super) connection: SqliteConnection,
    pub(super) signals: WriterSignals,
    /// The number of the last cut that is in the file.
    pub(super) written: watch::Sender<u64>,
    /// The segments in the file, with their weight.
    pub(super) segments: BTreeMap<u64, usize>,
    /// What they weigh in all.
    pub(super) weight_bytes: usize,
    /// What segments may weigh beyond twice what queues hold, before what is left of the oldest is written anew.
    pub(super) slack_bytes: usize,
}

impl FileWriter {
    /// Writes until the store is closed.
    pub(super) async fn run(mut self) {
        loop {
            let is_closing = self.signals.closing.is_cancelled();
            let cut = self.memory.lock().take_cut();
            match cut {
                Some(cut) => {
                    if !self.write_until_done(cut).await {
                        break;
                    }
                    self.clean().await;
                }
                None if is_closing => break,
                None => tokio::select! {
                    () = self.signals.changed.notified() => {}
                    () = self.signals.closing.cancelled() => {}
                },
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the broker's file is not closed well");
        }
    }

    /// Returns `false` if it is given up because the store is closed.
    async fn write_until_done(&mut self, cut: Cut) -> bool {
        let number = cut.number;
        let rows = CutRows::from(cut);
        while let Err(error) = rows.write(&mut self.connection).await {
            self.signals.is_available.store(false, Ordering::Relaxed);
            tracing::error!(%error, "the broker's file takes no writes; acknowledgements wait");
            if self.signals.closing.is_cancelled() {
                return false;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        self.signals.is_available.store(true, Ordering::Relaxed);
        for segment in &rows.segments {
            self.segments.insert(segment.id, segment.weight_bytes);
            self.weight_bytes += segment.weight_bytes;
        }
        for id in &rows.cut.released_segments {
            self.weight_bytes -= self.segments.remove(id).unwrap_or(0);
        }
        self.written.send_replace(number);
        true
    }

    /// Has what is left of the oldest segments written anew if most of what segments hold is over; the next
    /// cut deletes them.
    async fn clean(&mut self) {
        let mut weight_bytes = self.weight_bytes;
        let most = self.memory.lock().queued_bytes() * 2 + self.slack_bytes;
        let oldest: Vec<_> = self
            .segments
            .iter()
            .take_while(|(_, weight)| {
                let is_too_much = weight_bytes > most;
                weight_bytes = weight_bytes.saturating_sub(**weight);
                is_too_much
            })
            .map(|(id, _)| *id)
            .take(CLEANED_SEGMENTS)
            .collect();
        for id in oldest {
            let read = sqlx::query_scalar(SEGMENT_READ).bind(signed(id)).fetch_optional(&mut self.connection).await;
            match read {
                Ok(bytes) => {
                    let bytes: Vec<u8> = bytes.unwrap_or_default();
                    let (messages, _) = read_segment(&bytes);
                    self.memory.lock().move_segment(id, messages);
                }
                // The next cut tries again.
                Err(error) => tracing::warn!(%error, segment = id, "a segment cannot be read"),
            }
        }
    }
}

/// A cut with its messages encoded.
struct CutRows {
    cut: Cut,
    segments: Vec<SegmentRow>,
}

struct SegmentRow {
    id: u64,
    weight_bytes: usize,
    messages: Vec<u8>,
}

impl From<Cut> for CutRows {
    fn from(mut cut: Cut) -> Self {
        let row = |segment: OpenSegment| SegmentRow {
            id: segment.hold.id(),
            weight_bytes: segment.weight_bytes,
            messages: write_segment(&segment.messages),
        };
        let segments = std::mem::take(&mut cut.segments).into_iter().map(row).collect();
        Self { cut, segments }
    }
}

impl CutRows {
    /// Writes everything in one transaction. What was written before a failure is taken back.
    async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        self.write_messages(&mut transaction).await?;
        self.write_sessions(&mut transaction).await?;
        self.write_others(&mut transaction).await?;
        transaction.commit().await
    }

    async fn write_messages(&self, to: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for SegmentRow { id, weight_bytes, messages } in &self.segments {
            let weight_bytes = i64::try_from(*weight_bytes).unwrap_or(i64::MAX);
            sqlx::query(SEGMENT_PUT).bind(signed(*id)).bind(weight_bytes).bind(&messages[..]).execute(&mut *to).await?;
        }
        for id in &self.cut.released_segments {
            sqlx::query(SEGMENT_DELETE).bind(signed(*id)).execute(&mut *to).await?;
        }
        Ok(())
    }

    async fn write_sessions(&self, to: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for birth in &self.cut.ended {
            sqlx::query(SESSION_DELETE).bind(signed(*birth)).execute(&mut *to).await?;
            sqlx::query(SESSION_SUBSCRIPTIONS_DELETE).bind(signed(*birth)).execute(&mut *to).await?;
        }
        for sessions in self.cut.sessions.chunks(ROWS) {
            // Many rows in one statement, so that many clients at a time cost little each.
            let (size, text) =
                if sessions.len() == ROWS { (ROWS, SESSION_PUT_MANY.as_str()) } else { (1, SESSION_PUT) };
            for sessions in sessions.chunks(size) {
                let mut query = sqlx::query(text);
                for session in sessions {
                    query = query.bind(signed(session.birth)).bind(&*session.client).bind(&session.state[..]);
                }
                query.execute(&mut *to).await?;
            }
        }
        for subscription in &self.cut.subscriptions {
            let (birth, filter) = (signed(subscription.birth), &*subscription.filter);
            let query = match &subscription.granted {
                Some(granted) => {
                    sqlx::query(SUBSCRIPTION_PUT).bind(birth).bind(filter).bind(stored_form::write_granted(granted))
                }
                None => sqlx::query(SUBSCRIPTION_DELETE).bind(birth).bind(filter),
            };
            query.execute(&mut *to).await?;
        }
        Ok(())
    }

    async fn write_others(&self, to: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if let Some(now_ms) = self.cut.retained_expired_ms {
            sqlx::query(RETAINED_DELETE_EXPIRED).bind(signed(now_ms)).execute(&mut *to).await?;
        }
        for message in &self.cut.retained {
            let query = match message.payload.is_empty() {
                true => sqlx::query(RETAINED_DELETE).bind(&*message.topic),
                false => sqlx::query(RETAINED_PUT)
                    .bind(&*message.topic)
                    .bind(message.expires_at_ms.map(signed))
                    .bind(stored_form::write_message(message)),
            };
            query.execute(&mut *to).await?;
        }
        for (client, will) in &self.cut.wills {
            let query = match will {
                None => sqlx::query(WILL_DELETE).bind(&**client),
                Some(will) => sqlx::query(WILL_PUT)
                    .bind(&**client)
                    .bind(signed(will.epoch))
                    .bind(will.delay_s)
                    .bind(will.due_at_ms.map(signed))
                    .bind(stored_form::write_message(&will.message)),
            };
            query.execute(&mut *to).await?;
        }
        for (number, orphaned) in &self.cut.orphaned {
            let query = match orphaned {
                None => sqlx::query(ORPHANED_DELETE).bind(signed(*number)),
                Some(orphaned) => sqlx::query(ORPHANED_PUT)
                    .bind(signed(*number))
                    .bind(&*orphaned.share)
                    .bind(stored_form::write_message(&orphaned.message)),
            };
            query.execute(&mut *to).await?;
        }
        Ok(())
    }
}

/// SQLite's integers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
