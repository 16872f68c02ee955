//! Following the journal: events of another writer on the same database are applied here too. The journal is read when an
//! append conflicts, and at intervals where the database is shared.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{App, Commit, reconcile};
use crate::journal::{JournalError, RecordDecodeError};
use kernel::{ApplyError, Fact, State, apply};

/// How many events are read at once.
const PAGE: u32 = 1_000;
/// How often the head of a shared journal is read.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// How long that may take.
const POLL_MAX: Duration = Duration::from_secs(1);

/// Why the journal could not be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record does not fit the state.
    #[error(transparent)]
    Decode(#[from] RecordDecodeError),
    /// An event does not follow from the state.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Polls the journal, where other processes may write.
pub(super) async fn run(app: App) {
    if !app.inner.journal.is_shared() {
        return;
    }
    let stop = app.stopping();
    loop {
        tokio::select! {
            () = sleep(POLL_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let Ok(head) = timeout(POLL_MAX, app.inner.journal.head()).await else { continue };
        match head {
            Ok(head) if head > app.head() => {
                let _turn = app.inner.turn.lock().await;
                if let Err(error) = catch_up(&app).await {
                    tracing::error!(%error, "the journal cannot be followed");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the journal cannot be read"),
        }
    }
}

/// Applies everything that the journal has and the committed state has not. The caller has the turn.
pub(super) async fn catch_up(app: &App) -> Result<(), FollowError> {
    loop {
        let mut state = State::clone(&app.state());
        let events = app.inner.journal.read_after(state.sequence(), PAGE).await?;
        if events.is_empty() {
            return Ok(());
        }
        let mut facts = Vec::with_capacity(events.len());
        for event in events {
            let recorded = event.decode(&state)?;
            apply(&mut state, &recorded)?;
            facts.push(Arc::new(Fact::of(recorded, &state).by(event.actor)));
        }
        let commit = Commit { facts: facts.into(), decided_in: Duration::ZERO, written_in: Duration::ZERO };
        app.publish(state, commit);
    }
}

impl App {
    /// Makes a commit visible: to readers of the state, and to subscribers.
    pub(super) fn publish(&self, state: State, commit: Commit) {
        if reconcile::is_about_controllers(&commit) {
            self.inner.controllers.add_new(&state);
        }
        self.inner.state.store(Arc::new(state));
        // There may be no subscriber.
        let _ = self.inner.commits.send(commit);
    }
}
