//! Following the journal: events of another writer on the same database are applied here too. The journal is read when an
//! append conflicts, and at intervals where the database is shared. Each event has to follow the one before by its digest: if
//! the database lost events that this replica has (a restore, a failover to a standby that lacked them), the replica discards
//! its state and takes what the database has.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{App, Commit, reconcile};
use crate::journal::{ChainDigest, ChainHead, JournalError, RecordDecodeError};
use kernel::id::Sequence;
use kernel::{ApplyError, Fact, State, apply};

/// How many events are read at once.
const PAGE: u32 = 1_000;
/// How often the head of a shared journal is read.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// How long that may take.
const POLL_MAX: Duration = Duration::from_secs(1);
/// How long it may take to read the whole journal anew.
const REPLAY_MAX: Duration = Duration::from_secs(60);

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

/// Polls the journal, where other processes may write, and says that this one lives.
pub(super) async fn run(app: App) {
    if !app.inner.journal.is_shared() {
        return;
    }
    let (stop, leadership) = (app.stopping(), &app.inner.leadership);
    loop {
        let sent = Instant::now();
        let beat = app.inner.journal.beat(leadership.instance(), POLL_MAX).await;
        if let Ok(beat) = &beat {
            app.inner.clock.follow_database(beat.database_time, sent.into_std());
        }
        let is_up_to_date = follow(&app).await;
        match beat {
            Ok(beat) if is_up_to_date => leadership.confirm(sent, beat.ages),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the database does not take a heartbeat"),
        }
        tokio::select! {
            () = sleep(POLL_EVERY) => {}
            () = stop.cancelled() => break,
        }
    }
    if let Err(error) = app.inner.journal.end_beats(leadership.instance(), POLL_MAX).await {
        tracing::debug!(%error, "the database was not told that this instance ends");
    }
}

/// Takes in what others wrote; whether the state has everything that the database had when this began.
async fn follow(app: &App) -> bool {
    let before = app.head();
    let Ok(found) = timeout(POLL_MAX, app.inner.journal.chain_head()).await else { return false };
    let head = match found {
        Ok(head) => head,
        Err(error) => {
            tracing::warn!(%error, "the journal cannot be read");
            return false;
        }
    };
    if is_elsewhere(app, before, head) {
        let mut turn = app.inner.turn.lock().await;
        if let Err(error) = catch_up(app, &mut turn).await {
            tracing::error!(%error, "the journal cannot be followed");
            return false;
        }
    }
    app.head() >= head.sequence
}

/// Whether the database's last event is not ours. `before` was our last one when it was asked. While the writer is at work,
/// it finds out itself.
fn is_elsewhere(app: &App, before: Sequence, found: ChainHead) -> bool {
    let Ok(turn) = app.inner.turn.try_lock() else { return found.sequence > app.head() };
    let own = app.head();
    found.sequence > own || found.sequence < before || (found.sequence == own && found.digest != *turn)
}

/// Applies everything that the journal has and the committed state has not. The caller has the turn, `digest` being that of
/// the state's last event.
pub(super) async fn catch_up(app: &App, digest: &mut ChainDigest) -> Result<(), FollowError> {
    loop {
        let mut state = State::clone(&app.state());
        let events = app.inner.journal.read_after(state.sequence(), PAGE).await?;
        if events.is_empty() {
            let head = app.inner.journal.chain_head().await?;
            if head.sequence > state.sequence() {
                continue;
            }
            if head == (ChainHead { sequence: state.sequence(), digest: *digest }) {
                return Ok(());
            }
            return discard(app, digest).await;
        }
        let is_last = events.len() < PAGE as usize;
        let mut facts = Vec::with_capacity(events.len());
        let mut last = *digest;
        for event in events {
            if event.sequence != state.sequence().next() || !event.follows(last) {
                return discard(app, digest).await;
            }
            last = event.head().digest;
            let recorded = event.decode(&state)?;
            apply(&mut state, &recorded)?;
            facts.push(Arc::new(Fact::of(recorded, &state).by(event.actor)));
        }
        let (decided_in, written_in) = (Duration::ZERO, Duration::ZERO);
        *digest = last;
        app.publish(state, Commit { facts: facts.into(), decided_in, written_in, replaces_all: false });
        if is_last {
            return Ok(());
        }
    }
}

/// Takes the state that the database has in the place of our own.
async fn discard(app: &App, digest: &mut ChainDigest) -> Result<(), FollowError> {
    let journal = &app.inner.journal;
    let had = app.head();
    let is_behind = journal.first_sequence().await? > had.next();
    let restored = timeout(REPLAY_MAX, journal.restore_with_digest()).await;
    let (state, found) = restored.unwrap_or(Err(JournalError::NoAnswer { waited: REPLAY_MAX }))?;
    let has = state.sequence().0;
    match is_behind {
        true => {
            tracing::warn!(had = had.0, has, "the events to be followed are not kept any more: began with a snapshot")
        }
        false => tracing::error!(
            had = had.0,
            has,
            "the database does not have the events any more that this replica has (restored, or failed over to a standby that \
             lacked them), or one was changed: what the replica had is discarded, and what the database has is served"
        ),
    }
    *digest = found;
    let (decided_in, written_in) = (Duration::ZERO, Duration::ZERO);
    app.publish(state, Commit { facts: Arc::new([]), decided_in, written_in, replaces_all: true });
    Ok(())
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
