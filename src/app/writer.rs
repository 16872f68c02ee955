//! The single writer: a batch of waiting submissions is decided and applied in order on a version of the state, appended to
//! the journal in one transaction, published and answered. If the append fails, the batch did not happen: the version is
//! dropped. If another writer was faster, its events are applied and the batch is decided again, this time with other
//! writers locked out: a slower writer would otherwise lose every race for as long as the faster one is busy. Where others
//! have just written, they are locked out from the beginning, so that no batch is decided in vain, and whatever comes while
//! the lock is awaited is in the batch. What is refused is not appended, so that on a shared database it is refused only once
//! the journal's head shows that the state is the newest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::Instrument;

use super::ended::ended;
use super::what_if::{contradiction, outcomes};
use super::{
    App, Atomicity, BATCH_MAX, CommandOutcome, Commit, QueuedSubmission, SPANS, Submission, SubmissionKey, SubmitError,
    follower,
};
use crate::journal::{AppendError, ChainDigest, ChainHead, ExclusiveWriter, JournalError, Receipt, RecordBatch};
use kernel::fact::Actor;
use kernel::path::Workspace;
use kernel::units::Millis;
use kernel::{Command, Fact, Recorded, State, apply, decide};

/// How often a batch is decided again because another writer was faster, before it is refused as busy. The second attempt
/// has the journal to itself, so that more than one conflict means a defect.
const CONFLICTS_MAX: u32 = 4;
/// How long another writer is expected to write again.
const OTHERS_EXPECTED: Duration = Duration::from_secs(1);

/// Runs until the queue is closed or the service stops; what is waiting then is still answered.
pub(super) async fn run(app: App, mut queue: mpsc::Receiver<QueuedSubmission>) {
    let (workspace, batch) = (Workspace::default(), RecordBatch::new());
    let mut writer = Writer { app: app.clone(), workspace, batch, others_expected_until: None };
    let mut waiting = Vec::with_capacity(BATCH_MAX);
    let stop = app.stopping();
    loop {
        tokio::select! {
            biased;
            received = queue.recv_many(&mut waiting, BATCH_MAX) => {
                if received == 0 {
                    return;
                }
                gather(&mut queue, &mut waiting).await;
                let span = tracing::info_span!(target: SPANS, "batch", submissions = waiting.len());
                writer.commit_batch(&mut queue, &mut waiting).instrument(span).await;
            }
            () = stop.cancelled() => {
                queue.close();
            }
        }
    }
}

/// Adds the submissions of tasks that are ready to run, so that one commit serves them all. Nothing waits for a submission
/// that is not there yet: when a turn around the runtime brings nothing new, the batch is closed.
async fn gather(queue: &mut mpsc::Receiver<QueuedSubmission>, waiting: &mut Vec<QueuedSubmission>) {
    loop {
        let before = waiting.len();
        tokio::task::yield_now().await;
        take_ready(queue, waiting);
        if waiting.len() == before || waiting.len() == BATCH_MAX {
            return;
        }
    }
}

fn take_ready(queue: &mut mpsc::Receiver<QueuedSubmission>, waiting: &mut Vec<QueuedSubmission>) {
    while waiting.len() < BATCH_MAX
        && let Ok(queued) = queue.try_recv()
    {
        waiting.push(queued);
    }
}

/// The writer, with the memory that it uses again for every batch.
struct Writer {
    app: App,
    workspace: Workspace,
    batch: RecordBatch,
    /// Until when others are locked out from the beginning.
    others_expected_until: Option<Instant>,
}

impl Writer {
    /// Decides a batch on a version of the state, which is published once the batch is in the journal, and dropped if it
    /// cannot be.
    async fn commit_batch(
        &mut self,
        queue: &mut mpsc::Receiver<QueuedSubmission>,
        waiting: &mut Vec<QueuedSubmission>,
    ) {
        let app = self.app.clone();
        let mut turn = app.inner.turn.lock().await;
        let mut exclusive: Option<ExclusiveWriter<'_>> = None;
        if self.others_expected_until.is_some_and(|until| Instant::now() < until) {
            exclusive = self.lock_others_out(&app, &mut turn, waiting).await;
            if exclusive.is_none() {
                return;
            }
            take_ready(queue, waiting);
        }
        // The requester has disconnected, or given up, before anything was decided.
        waiting.retain(|queued| !queued.answer.is_closed() && !queued.settled.swap(true, Ordering::AcqRel));
        for _ in 0..CONFLICTS_MAX {
            let started = Instant::now();
            let mut state = State::clone(&app.state());
            self.batch.clear_after(*turn);
            self.decide_all(&mut state, waiting);
            let decided_in = started.elapsed();
            let appended = match exclusive.take() {
                Some(exclusive) if self.batch.is_empty() => {
                    exclusive.release().await;
                    return answer(waiting);
                }
                None if self.batch.is_empty() => match self.confirm(*turn, waiting).await {
                    Ok(()) => return answer(waiting),
                    refused => refused,
                },
                Some(exclusive) => exclusive.append(&self.batch).await,
                None => app.inner.journal.append(&self.batch).await,
            };
            match appended {
                Ok(()) => {
                    let written_in = started.elapsed().saturating_sub(decided_in);
                    *turn = self.batch.digest();
                    let facts = committed_facts(waiting);
                    app.publish(state, Commit { facts, decided_in, written_in, replaces_all: false });
                    return answer(waiting);
                }
                Err(AppendError::Conflict) => {
                    self.others_expected_until = Some(Instant::now() + OTHERS_EXPECTED);
                    exclusive = self.lock_others_out(&app, &mut turn, waiting).await;
                    if exclusive.is_none() {
                        return;
                    }
                }
                Err(AppendError::KeyTaken) => {
                    if let Err(error) = self.give_back_taken_keys(waiting).await {
                        return self.refuse_for(waiting, error, SubmitError::Journal);
                    }
                }
                Err(AppendError::Failed(error)) => return self.refuse_for(waiting, *error, SubmitError::Journal),
                Err(AppendError::Unknown(error)) => {
                    return self.refuse_for(waiting, *error, SubmitError::OutcomeUnknown);
                }
            }
        }
        // It had the journal to itself, and was told of nothing new.
        tracing::error!("the journal takes no events: 'watermaster journal verify' says whether it is damaged");
        refuse(waiting, || SubmitError::Busy);
    }

    /// That nothing is refused by a state that is not the newest: without an event no append says so. A conflict, where another
    /// has written.
    async fn confirm(&self, digest: ChainDigest, waiting: &[QueuedSubmission]) -> Result<(), AppendError> {
        let is_refused = |queued: &QueuedSubmission| match &queued.outcomes {
            Ok(outcomes) => outcomes.iter().any(CommandOutcome::is_err),
            Err(_) => true,
        };
        let journal = &self.app.inner.journal;
        if !journal.is_shared() || !waiting.iter().any(is_refused) {
            return Ok(());
        }
        let head = journal.chain_head().await.map_err(|error| AppendError::Failed(Box::new(error)))?;
        if head == (ChainHead { sequence: self.app.head(), digest }) { Ok(()) } else { Err(AppendError::Conflict) }
    }

    /// The journal without other writers, all that they have written taken in; `None`: it cannot be had, and whoever waited
    /// is refused.
    async fn lock_others_out<'a>(
        &mut self,
        app: &'a App,
        turn: &mut ChainDigest,
        waiting: &mut Vec<QueuedSubmission>,
    ) -> Option<ExclusiveWriter<'a>> {
        let exclusive = match app.inner.journal.lock().await {
            Ok(exclusive) => exclusive,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be locked against other writers");
                refuse(waiting, || SubmitError::Busy);
                return None;
            }
        };
        let before = app.head();
        if let Err(error) = follower::catch_up(app, turn).await {
            tracing::error!(%error, "the journal cannot be followed");
            refuse(waiting, || SubmitError::Busy);
            return None;
        }
        if app.head() != before {
            self.others_expected_until = Some(Instant::now() + OTHERS_EXPECTED);
        }
        Some(exclusive)
    }

    fn refuse_for(
        &self,
        waiting: &mut Vec<QueuedSubmission>,
        error: JournalError,
        told: impl Fn(Arc<JournalError>) -> SubmitError,
    ) {
        tracing::error!(%error, "a batch could not be appended to the journal");
        let error = Arc::new(error);
        refuse(waiting, || told(Arc::clone(&error)));
    }

    /// Takes the submissions out of the batch whose keys were used before.
    async fn give_back_taken_keys(&self, waiting: &mut Vec<QueuedSubmission>) -> Result<(), JournalError> {
        let mut taken = BTreeSet::new();
        for key in waiting.iter().filter_map(|queued| queued.submission.key.as_ref()) {
            if self.app.inner.journal.receipt(&key.key).await?.is_some() {
                taken.insert(key.key.clone());
            }
        }
        for queued in std::mem::take(waiting) {
            match &queued.submission.key {
                Some(key) if taken.contains(&key.key) => {
                    let _ = queued.answer.send(Err(SubmitError::KeyTaken));
                }
                _ => waiting.push(queued),
            }
        }
        Ok(())
    }

    fn decide_all(&mut self, state: &mut State, waiting: &mut [QueuedSubmission]) {
        let now = self.app.now();
        for queued in waiting {
            queued.outcomes = self.decide_one(state, &queued.submission, now);
        }
    }

    /// Each command sees the effects of those before it. What happens as a whole or not at all is tried on a version of its
    /// own first.
    fn decide_one(
        &mut self,
        state: &mut State,
        submission: &Submission,
        now: Millis,
    ) -> Result<Vec<CommandOutcome>, SubmitError> {
        if submission.atomicity == Atomicity::AllOrNone {
            outcomes(&mut state.clone(), submission, now, &mut self.workspace)?;
        }
        let first = state.sequence().next();
        let commands = submission.commands.iter();
        let outcomes: Vec<_> =
            commands.map(|command| self.decide_and_apply(state, command, submission.actor.as_ref(), now)).collect();
        let count = u32::try_from(outcomes.iter().flatten().count()).unwrap_or(u32::MAX);
        if let Some(SubmissionKey { key, fingerprint, refusals }) = submission.key.clone()
            && (count > 0 || refusals.is_some())
        {
            let refusals = refusals.map(|write| write(&outcomes));
            self.batch.push_receipt(Receipt { key, fingerprint, first, count, at: now, refusals });
        }
        Ok(outcomes)
    }

    fn decide_and_apply(
        &mut self,
        state: &mut State,
        command: &Command,
        actor: Option<&Arc<Actor>>,
        at: Millis,
    ) -> CommandOutcome {
        let event = decide(state, command, at, &mut self.workspace)?;
        let recorded = Recorded { sequence: state.sequence().next(), at, event };
        let before = apply(state, &recorded).map_err(|error| contradiction(&error))?;
        let fact = Fact::of(recorded, state).by(actor.cloned());
        self.batch.push(&fact, &ended(state, &fact, &before)).map_err(|error| contradiction(&error))?;
        Ok(Arc::new(fact))
    }
}

fn committed_facts(waiting: &[QueuedSubmission]) -> Arc<[Arc<Fact>]> {
    waiting.iter().flat_map(|queued| queued.outcomes.iter().flatten().flatten().cloned()).collect()
}

fn answer(waiting: &mut Vec<QueuedSubmission>) {
    for queued in waiting.drain(..) {
        // The requester may have disconnected; the decision stands.
        let _ = queued.answer.send(queued.outcomes);
    }
}

fn refuse(waiting: &mut Vec<QueuedSubmission>, error: impl Fn() -> SubmitError) {
    for queued in waiting.drain(..) {
        let _ = queued.answer.send(Err(error()));
    }
}
