//! Following the journal: what another writer on the same database committed is applied here too. It is read when an
//! append conflicts, and now and then where the database is shared.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{App, Commit, reconcile};
use crate::journal::{JournalError, RecordDecodeError, decode};
use kernel::{ApplyError, State, apply};

/// How many events are read at once.
const PAGE: u32 = 1_000;
/// How often the tail of a shared journal is looked at.
const GLANCE: Duration = Duration::from_millis(500);

/// Why the journal could not be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A row does not make sense.
    #[error(transparent)]
    Decode(#[from] RecordDecodeError),
    /// A row does not follow from the state.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Looks now and then, where others may write.
pub(super) async fn run(app: App) {
    if !app.inner.journal.is_shared() {
        return;
    }
    let stop = app.stopping();
    loop {
        tokio::select! {
            () = sleep(GLANCE) => {}
            () = stop.cancelled() => return,
        }
        match app.inner.journal.head().await {
            Ok(head) if head > app.head() => {
                let mut state = app.inner.state.write().await;
                if let Err(error) = catch_up(&app, &mut state).await {
                    tracing::error!(%error, "the journal cannot be followed");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the journal cannot be read"),
        }
    }
}

/// Applies everything that the journal has and this state has not.
pub(super) async fn catch_up(app: &App, state: &mut State) -> Result<(), FollowError> {
    loop {
        let facts = app.inner.journal.read_after(state.sequence(), PAGE).await?;
        if facts.is_empty() {
            return Ok(());
        }
        for fact in &facts {
            let recorded = decode(&fact.record, fact.sequence, fact.at, state)?;
            apply(state, &recorded)?;
        }
        app.publish(
            state,
            Commit {
                facts: facts.into_iter().map(Arc::new).collect(),
                decided_in: Duration::ZERO,
                written_in: Duration::ZERO,
            },
        );
    }
}

impl App {
    /// Tells everybody who listens.
    pub(super) fn publish(&self, state: &State, commit: Commit) {
        self.inner.head.store(state.sequence().0, std::sync::atomic::Ordering::Release);
        if reconcile::is_about_controllers(&commit) {
            self.inner.boards.keep_up_with(state);
        }
        // Nobody listening is no fault.
        let _ = self.inner.commits.send(commit);
    }
}
