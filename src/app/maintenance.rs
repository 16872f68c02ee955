//! What has to be done although nobody asks: ending what is due, snapshots, forgetting old idempotency keys.

use std::time::Duration;

use tokio::time::sleep;

use super::{App, Mode, RECEIPT_KEPT, SNAPSHOT_EVERY, SubmitError};
use kernel::Command;
use kernel::id::Sequence;
use kernel::units::Millis;

/// How long the ticker sleeps at most: an allocation with a nearer deadline may have come meanwhile.
const GLANCE: Duration = Duration::from_millis(250);
/// How often the house is kept.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// Ends what is due.
pub(super) async fn expire(app: App) {
    let stop = app.stopping();
    while !stop.is_cancelled() {
        let next = app.read(|state| state.next_deadline()).await;
        let now = app.now();
        let wait = match next {
            Some(Millis(due_ms)) if due_ms <= now.0 => {
                match app.submit_one(Command::Expire, Mode::Commit, None).await {
                    Ok(_) => continue,
                    Err(SubmitError::Stopping) => return,
                    Err(error) => {
                        tracing::warn!(%error, "what is due could not be ended yet");
                        GLANCE
                    }
                }
            }
            Some(Millis(due_ms)) => GLANCE.min(Duration::from_millis(due_ms - now.0)),
            None => GLANCE,
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Writes snapshots and forgets old keys.
pub(super) async fn keep_house(app: App) {
    let stop = app.stopping();
    let mut last = app.inner.journal.snapshot_sequence().await.ok().flatten().unwrap_or(Sequence(0));
    loop {
        tokio::select! {
            () = sleep(HOUSEKEEPING) => {}
            () = stop.cancelled() => return,
        }
        if app.head().0.saturating_sub(last.0) >= SNAPSHOT_EVERY {
            last = app.head();
            snapshot(&app).await;
        }
        let kept_ms = u64::try_from(RECEIPT_KEPT.as_millis()).unwrap_or(u64::MAX);
        let oldest = Millis(app.now().0.saturating_sub(kept_ms));
        if let Err(error) = app.inner.journal.forget_receipts_before(oldest).await {
            tracing::warn!(%error, "old idempotency keys could not be forgotten");
        }
    }
}

/// Writes a snapshot of what is committed; the state is only held while it is laid out flat.
pub(super) async fn snapshot(app: &App) {
    let frozen = app.read(|state| state.snapshot()).await;
    let sequence = frozen.sequence;
    match app.inner.journal.write_snapshot(&frozen).await {
        Ok(()) => tracing::info!(sequence = sequence.0, "wrote a snapshot"),
        Err(error) => tracing::warn!(%error, "a snapshot could not be written; the journal is complete without it"),
    }
}
