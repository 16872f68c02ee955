//! Work that no request asks for: expiring and starting allocations, writing snapshots, deleting what is old.

use std::time::Duration;

use tokio::time::sleep;

use super::planned_maintenance;
use super::{App, JournalError, RECEIPT_KEPT, Retention, SNAPSHOT_EVERY, SNAPSHOT_EVERY_MIN, SubmitError};
use kernel::Command;
use kernel::id::Sequence;
use kernel::units::Millis;

/// The longest sleep: an allocation with a nearer deadline or start may be admitted meanwhile.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How many scheduled allocations one commit starts.
const STARTS_AT_ONCE_MAX: usize = 256;
/// How often snapshots and old keys are looked at.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(5);

/// Expires allocations and starts those that were booked for now.
pub(super) async fn keep_time(app: App) {
    let stop = app.stopping();
    while !stop.is_cancelled() {
        let now = app.now();
        let (end, start, starts) =
            app.read(|state| (state.next_deadline(), state.next_start(), state.due_starts(now, STARTS_AT_ONCE_MAX)));
        let due = match end {
            Some(end) if end <= now => vec![Command::Expire],
            // Links whose maintenance is over are in service again before a booking starts on them.
            _ if starts > 0 => {
                let mut due = planned_maintenance::due(&app.state(), now, 0);
                // What is due beyond one turn comes first.
                if due.len() < planned_maintenance::LINKS_AT_ONCE_MAX {
                    due.extend(vec![Command::Start; starts]);
                }
                due
            }
            _ => vec![],
        };
        let wait = if due.is_empty() {
            let next = end.into_iter().chain(start).min();
            next.map_or(SLEEP_MAX, |Millis(at_ms)| SLEEP_MAX.min(Duration::from_millis(at_ms - now.0)))
        } else {
            match app.submit_due(due).await {
                Ok(outcomes) if outcomes.iter().any(Result::is_ok) => continue,
                Ok(_) => SLEEP_MAX,
                Err(SubmitError::Stopping) => return,
                Err(error) => {
                    tracing::warn!(%error, "due allocations could not be expired or started yet");
                    SLEEP_MAX
                }
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Writes snapshots, deletes old keys, and what need not be kept any longer.
pub(super) async fn housekeeping(app: App, retention: Retention) {
    let stop = app.stopping();
    let mut trusted = None;
    loop {
        tokio::select! {
            () = sleep(HOUSEKEEPING_EVERY) => {}
            () = stop.cancelled() => return,
        }
        match is_snapshot_due(&app, &retention).await {
            Ok(true) => snapshot(&app).await,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "it is not known whether a snapshot is due"),
        }
        let oldest = Millis(app.now().0.saturating_sub(millis(RECEIPT_KEPT)));
        if let Err(error) = app.inner.journal.forget_receipts_before(oldest).await {
            tracing::warn!(%error, "old idempotency keys could not be deleted");
        }
        if let Err(error) = trim(&app, &retention, &mut trusted).await {
            tracing::warn!(%error, "old events and ended allocations could not be deleted");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether there are enough events since the newest snapshot, or it keeps old ones from being deleted.
async fn is_snapshot_due(app: &App, retention: &Retention) -> Result<bool, JournalError> {
    let journal = &app.inner.journal;
    let newest = journal.snapshot_sequence().await?.unwrap_or(Sequence(0));
    let since = app.head().0.saturating_sub(newest.0);
    let every = retention.events.map_or(SNAPSHOT_EVERY, |kept| kept.clamp(SNAPSHOT_EVERY_MIN, SNAPSHOT_EVERY));
    if since >= every {
        return Ok(true);
    }
    let Some(age) = retention.event_age.filter(|_| since > 0) else { return Ok(false) };
    let at = journal.snapshot_at().await?.unwrap_or(Millis(0));
    Ok(at.0.saturating_add(millis(age)) <= app.now().0)
}

/// Deletes what need not be kept, in steps between which others write, and gives the space back. `trusted` is the event of
/// the last snapshot that was read back whole: nothing after it is deleted.
async fn trim(app: &App, retention: &Retention, trusted: &mut Option<Sequence>) -> Result<(), JournalError> {
    let (journal, stop) = (&app.inner.journal, app.stopping());
    if retention.limits_events()
        && let newest @ Some(_) = journal.snapshot_sequence().await?
    {
        if *trusted != newest {
            match journal.read_snapshot().await {
                Ok((state, _)) => *trusted = Some(state.sequence()),
                Err(damage @ JournalError::BadSnapshot { .. }) => {
                    tracing::error!(error = %damage, "the newest snapshot is damaged: another one is written");
                    if let Some(damaged) = newest {
                        journal.forget_snapshot(damaged).await?;
                    }
                    snapshot(app).await;
                }
                Err(error) => return Err(error),
            }
        }
        // A start may have to fall back to the one before it.
        let snapshot = journal.oldest_snapshot().await?.into_iter().chain(*trusted).min().unwrap_or(Sequence(0));
        while !stop.is_cancelled() && journal.forget_some_events(retention, app.now(), snapshot).await? > 0 {}
    }
    while !stop.is_cancelled() && journal.forget_some_past(retention, app.now()).await? > 0 {}
    while !stop.is_cancelled() && journal.forget_some_link_history(retention, app.now()).await? > 0 {}
    while !stop.is_cancelled() && journal.shrink_some().await? {}
    Ok(())
}

/// Writes a snapshot of the committed state.
pub(super) async fn snapshot(app: &App) {
    let (state, digest) = {
        let turn = app.inner.turn.lock().await;
        (app.state(), *turn)
    };
    let sequence = state.sequence();
    match app.inner.journal.write_snapshot_on(&state, digest).await {
        Ok(()) => tracing::info!(sequence = sequence.0, "wrote a snapshot"),
        Err(error) => tracing::warn!(%error, "a snapshot could not be written; the journal is complete without it"),
    }
}
