//! Work that no request asks for: expiring allocations, writing snapshots, deleting old idempotency keys.

use std::time::Duration;

use tokio::time::sleep;

use super::{App, Mode, RECEIPT_KEPT, SNAPSHOT_EVERY, SubmitError};
use kernel::Command;
use kernel::id::Sequence;
use kernel::units::Millis;

/// The longest sleep: an allocation with a nearer deadline may be admitted meanwhile.
const SLEEP_MAX: Duration = Duration::from_millis(250);
/// How often snapshots and old keys are looked at.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(5);

/// Expires allocations.
pub(super) async fn expire(app: App) {
    let stop = app.stopping();
    while !stop.is_cancelled() {
        let next = app.read(|state| state.next_deadline());
        let now = app.now();
        let wait = match next {
            Some(Millis(due_ms)) if due_ms <= now.0 => {
                match app.submit_one(Command::Expire, Mode::Commit, None).await {
                    Ok(_) => continue,
                    Err(SubmitError::Stopping) => return,
                    Err(error) => {
                        tracing::warn!(%error, "due allocations could not be expired yet");
                        SLEEP_MAX
                    }
                }
            }
            Some(Millis(due_ms)) => SLEEP_MAX.min(Duration::from_millis(due_ms - now.0)),
            None => SLEEP_MAX,
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Writes snapshots and deletes old keys.
pub(super) async fn housekeeping(app: App) {
    let stop = app.stopping();
    let mut last = app.inner.journal.snapshot_sequence().await.ok().flatten().unwrap_or(Sequence(0));
    loop {
        tokio::select! {
            () = sleep(HOUSEKEEPING_EVERY) => {}
            () = stop.cancelled() => return,
        }
        if app.head().0.saturating_sub(last.0) >= SNAPSHOT_EVERY {
            last = app.head();
            snapshot(&app).await;
        }
        let kept_ms = u64::try_from(RECEIPT_KEPT.as_millis()).unwrap_or(u64::MAX);
        let oldest = Millis(app.now().0.saturating_sub(kept_ms));
        if let Err(error) = app.inner.journal.forget_receipts_before(oldest).await {
            tracing::warn!(%error, "old idempotency keys could not be deleted");
        }
    }
}

/// Writes a snapshot of the committed state.
pub(super) async fn snapshot(app: &App) {
    let state = app.state();
    let sequence = state.sequence();
    match app.inner.journal.write_snapshot(&state).await {
        Ok(()) => tracing::info!(sequence = sequence.0, "wrote a snapshot"),
        Err(error) => tracing::warn!(%error, "a snapshot could not be written; the journal is complete without it"),
    }
}
