//! The store in a SQLite file: for one process whose sessions outlive it. Memory has the working copy and answers; a
//! [`FileWriter`] writes what changed, many operations in one transaction, and an operation is answered once
//! what it changed, and all before it, is in the file. So the file is always one state that memory had, and nothing leaves
//! that a crash could take back: a message is delivered after it is written.
//!
//! The file is read once, when the process starts. Only one process has it, by a lock beside it.

mod file;
mod load;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use file::{SqliteAddress, SqliteError, Synchronous, open_sqlite_file};

use super::memory::{Memory, MemoryStore};
use super::{
    ClaimedSession, DueWork, Notice, Queued, RoutingSnapshot, SessionClaim, SessionHolder, SessionStatus, Store,
    StoreError, StoreFuture, StoreOp, StoreOutcome,
};
use crate::message::{ClientId, ReplicaId, UnixMs, unix_ms};
use file::FileLock;
use writer::FileWriter;

/// What the segments of messages may weigh beyond twice what queues hold, in bytes.
const SLACK_BYTES: usize = 64 * 1024 * 1024;

/// A file with everything that a broker keeps; all replicas of the process may share it.
#[derive(Clone, Debug)]
pub struct Sqlite {
    memory: Memory,
    signals: WriterSignals,
    written: watch::Receiver<u64>,
    _lock: Arc<FileLock>,
}

/// What the writer is told, and what it tells of itself.
#[derive(Clone, Debug, Default)]
struct WriterSignals {
    changed: Arc<Notify>,
    closing: CancellationToken,
    is_available: Arc<AtomicBool>,
}

/// A replica's handle.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    memory: MemoryStore,
    file: Sqlite,
}

impl Sqlite {
    /// Opens the file, which is made if it is not there, and reads it.
    ///
    /// # Errors
    /// Another process has it, its form is another, or SQLite cannot open or read it.
    pub async fn open(address: &SqliteAddress) -> Result<Self, SqliteError> {
        Self::open_with(address, SLACK_BYTES).await
    }

    async fn open_with(address: &SqliteAddress, slack_bytes: usize) -> Result<Self, SqliteError> {
        let lock = FileLock::take(&address.path)?;
        let mut connection = file::open(address).await?;
        let load::Loaded { memory, segments } = load::load(&mut connection, unix_ms()).await?;
        let signals = WriterSignals { is_available: Arc::new(AtomicBool::new(true)), ..WriterSignals::default() };
        let weight_bytes = segments.values().fold(0_usize, |sum, weight| sum.saturating_add(*weight));
        let (sender, written) = watch::channel(0);
        let writer = FileWriter {
            memory: memory.clone(),
            connection,
            signals: signals.clone(),
            written: sender,
            segments,
            weight_bytes,
            slack_bytes,
        };
        tokio::spawn(writer.run());
        Ok(Self { memory, signals, written, _lock: Arc::new(lock) })
    }

    /// A new replica's handle.
    pub(crate) fn replica(&self) -> SqliteStore {
        SqliteStore { memory: self.memory.replica(), file: self.clone() }
    }

    /// Waits until everything up to now is in the file.
    async fn written(&self) -> Result<(), StoreError> {
        let cut = self.memory.lock().current_cut();
        if *self.written.borrow() >= cut {
            return Ok(());
        }
        self.signals.changed.notify_one();
        let mut written = self.written.clone();
        written.wait_for(|written| *written >= cut).await.map_err(|_| StoreError::Shut)?;
        Ok(())
    }
}

/// Whether something that a client is told rests on the operation. A receiver that acknowledges is told nothing: at worst it
/// is sent the message, or the release of it, again.
fn is_promised(op: &StoreOp) -> bool {
    !matches!(op, StoreOp::Ack { .. } | StoreOp::Complete { .. })
}

impl Store for SqliteStore {
    fn replica(&self) -> ReplicaId {
        self.memory.replica()
    }

    fn join(&self, now_ms: UnixMs) -> StoreFuture<'_, RoutingSnapshot> {
        self.memory.join(now_ms)
    }

    fn notices(&self) -> StoreFuture<'_, Vec<Notice>> {
        Box::pin(async move {
            let heard = self.memory.notices().await?;
            self.file.written().await?;
            Ok(heard)
        })
    }

    fn claim(&self, claim: SessionClaim) -> StoreFuture<'_, Option<ClaimedSession>> {
        Box::pin(async move {
            let claimed = self.memory.claim(claim).await?;
            if claimed.is_some() {
                self.file.written().await?;
            }
            Ok(claimed)
        })
    }

    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<'_, Vec<StoreOutcome>> {
        Box::pin(async move {
            let is_promised = batch.iter().any(is_promised);
            let outcomes = self.memory.commit(batch).await?;
            if is_promised {
                self.file.written().await?;
            } else {
                self.file.signals.changed.notify_one();
            }
            Ok(outcomes)
        })
    }

    fn load(&self, holder: SessionHolder, after: u64, count: usize) -> StoreFuture<'_, Vec<Queued>> {
        Box::pin(async move {
            let found = self.memory.load(holder, after, count).await?;
            self.file.written().await?;
            Ok(found)
        })
    }

    fn sweep(&self, now_ms: UnixMs) -> StoreFuture<'_, DueWork> {
        Box::pin(async move {
            let due = self.memory.sweep(now_ms).await?;
            self.file.written().await?;
            Ok(due)
        })
    }

    fn look_up(&self, client: ClientId) -> StoreFuture<'_, Option<SessionStatus>> {
        self.memory.look_up(client)
    }

    /// The last replica closes the file.
    fn leave(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.memory.leave().await?;
            if self.file.memory.lock().has_replicas() {
                return self.file.written().await;
            }
            self.file.signals.closing.cancel();
            // The writer ends when all is written.
            let mut written = self.file.written.clone();
            while written.changed().await.is_ok() {}
            Ok(())
        })
    }

    fn is_available(&self) -> bool {
        self.file.signals.is_available.load(Ordering::Relaxed) && self.file.written.has_changed().is_ok()
    }
}
