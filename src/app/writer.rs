//! The single writer: a batch of waiting submissions is decided and applied in order, appended to the journal in one
//! transaction, and answered. If the append fails, the batch did not happen: everything is undone. If another writer was
//! faster, its events are applied and the batch is decided again, this time with other writers locked out: a slower writer
//! would otherwise lose every race for as long as the faster one is busy.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tracing::Instrument;

use super::{App, BATCH_MAX, CommandOutcome, Commit, Mode, QueuedSubmission, SPANS, Submission, SubmitError, follower};
use crate::journal::{AppendError, ExclusiveWriter, Past, Receipt, RecordBatch};
use kernel::allocation::EndCause;
use kernel::event::{Displaced, Event, Fate};
use kernel::id::AllocationId;
use kernel::path::Workspace;
use kernel::units::Millis;
use kernel::{Command, Fact, Names, Recorded, Refusal, State, Undo, apply, decide, revert};

/// How often a batch is decided again because another writer was faster, before it is refused as busy. The second attempt
/// has the journal to itself, so that more than one conflict means a defect.
const CONFLICTS_MAX: u32 = 4;

/// Runs until the queue is closed or the service stops; what is waiting then is still answered.
pub(super) async fn run(app: App, mut queue: mpsc::Receiver<QueuedSubmission>) {
    let mut writer = Writer { app: app.clone(), workspace: Workspace::default(), batch: RecordBatch::new() };
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
                writer.commit_batch(&mut waiting).instrument(span).await;
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
        while waiting.len() < BATCH_MAX
            && let Ok(queued) = queue.try_recv()
        {
            waiting.push(queued);
        }
        if waiting.len() == before || waiting.len() == BATCH_MAX {
            return;
        }
    }
}

/// The writer, with the memory that it uses again for every batch.
struct Writer {
    app: App,
    workspace: Workspace,
    batch: RecordBatch,
}

impl Writer {
    async fn commit_batch(&mut self, waiting: &mut Vec<QueuedSubmission>) {
        let app = self.app.clone();
        let mut state = app.inner.state.write().await;
        let mut exclusive: Option<ExclusiveWriter<'_>> = None;
        for _ in 0..CONFLICTS_MAX {
            let started = Instant::now();
            let mut undos = vec![];
            self.decide_all(&mut state, waiting, &mut undos);
            let decided_in = started.elapsed();
            if self.batch.is_empty() {
                drop(state);
                return answer(waiting);
            }
            let appended = match exclusive.take() {
                Some(exclusive) => exclusive.append(&self.batch).await,
                None => app.inner.journal.append(&self.batch).await,
            };
            match appended {
                Ok(()) => {
                    let written_in = started.elapsed().saturating_sub(decided_in);
                    app.publish(&state, Commit { facts: committed_facts(waiting), decided_in, written_in });
                    drop(state);
                    return answer(waiting);
                }
                Err(AppendError::Conflict) => {
                    undo_all(&mut state, undos);
                    exclusive = match app.inner.journal.lock().await {
                        Ok(exclusive) => Some(exclusive),
                        Err(error) => {
                            tracing::error!(%error, "the journal cannot be locked against other writers");
                            return refuse(waiting, || SubmitError::Busy);
                        }
                    };
                    if let Err(error) = follower::catch_up(&app, &mut state).await {
                        tracing::error!(%error, "the journal cannot be followed");
                        return refuse(waiting, || SubmitError::Busy);
                    }
                }
                Err(AppendError::Failed(error)) => {
                    undo_all(&mut state, undos);
                    tracing::error!(%error, "a batch could not be appended to the journal and was undone");
                    let error = Arc::new(*error);
                    return refuse(waiting, || SubmitError::Journal(Arc::clone(&error)));
                }
            }
        }
        refuse(waiting, || SubmitError::Busy);
    }

    fn decide_all(&mut self, state: &mut State, waiting: &mut [QueuedSubmission], undos: &mut Vec<Undo>) {
        self.batch.clear();
        let now = self.app.now();
        for queued in waiting {
            queued.outcomes = self.decide_one(state, &queued.submission, now, undos);
        }
    }

    /// Each command sees the effects of those before it; the effects of a dry run are undone.
    fn decide_one(
        &mut self,
        state: &mut State,
        submission: &Submission,
        now: Millis,
        undos: &mut Vec<Undo>,
    ) -> Vec<CommandOutcome> {
        let mut own = vec![];
        let mut outcomes = Vec::with_capacity(submission.commands.len());
        let first = state.sequence().next();
        for command in &submission.commands {
            outcomes.push(self.decide_and_apply(state, command, now, submission.mode, &mut own));
        }
        match submission.mode {
            Mode::DryRun => undo_all(state, own),
            Mode::Commit => {
                let count = u32::try_from(own.len()).unwrap_or(u32::MAX);
                if let Some(key) = submission.key.clone().filter(|_| count > 0) {
                    self.batch.push_receipt(Receipt {
                        key: key.key,
                        fingerprint: key.fingerprint,
                        first,
                        count,
                        at: now,
                    });
                }
                undos.append(&mut own);
            }
        }
        outcomes
    }

    fn decide_and_apply(
        &mut self,
        state: &mut State,
        command: &Command,
        at: Millis,
        mode: Mode,
        undos: &mut Vec<Undo>,
    ) -> CommandOutcome {
        let event = decide(state, command, at, &mut self.workspace)?;
        let recorded = Recorded { sequence: state.sequence().next(), at, event };
        // An event that was decided on a state can be applied to it and stored. If not, that is a defect, and the event
        // must leave no trace.
        let undo = apply(state, &recorded).map_err(|error| contradiction(&error))?;
        let fact = Fact::of(recorded, state);
        if mode == Mode::Commit
            && let Err(error) = self.batch.push(&fact, &ended(state, &fact, &undo))
        {
            revert(state, undo);
            return Err(contradiction(&error));
        }
        undos.push(undo);
        Ok(Arc::new(fact))
    }
}

fn committed_facts(waiting: &[QueuedSubmission]) -> Arc<[Arc<Fact>]> {
    let committed = waiting.iter().filter(|queued| queued.submission.mode == Mode::Commit);
    committed.flat_map(|queued| queued.outcomes.iter().flatten().cloned()).collect()
}

fn undo_all(state: &mut State, undos: Vec<Undo>) {
    for undo in undos.into_iter().rev() {
        revert(state, undo);
    }
}

fn answer(waiting: &mut Vec<QueuedSubmission>) {
    for queued in waiting.drain(..) {
        // The requester may have disconnected; the decision stands.
        let _ = queued.answer.send(Ok(queued.outcomes));
    }
}

fn refuse(waiting: &mut Vec<QueuedSubmission>, error: impl Fn() -> SubmitError) {
    for queued in waiting.drain(..) {
        let _ = queued.answer.send(Err(error()));
    }
}

fn contradiction(error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, "the kernel contradicts itself");
    Refusal::Contradiction
}

/// The allocations that an event ended, as they were.
fn ended(state: &State, fact: &Fact, undo: &Undo) -> Vec<Past> {
    let causes: Vec<(AllocationId, EndCause)> = match &fact.event {
        Event::Released { id } => vec![(*id, EndCause::Released)],
        Event::Expired { ids } => ids.iter().map(|id| (*id, EndCause::Expired)).collect(),
        Event::Admitted { displaced, .. }
        | Event::Resized { displaced, .. }
        | Event::LinkChanged { displaced, .. }
        | Event::ModelSet { displaced, .. }
        | Event::TopologyPut { displaced, .. } => displaced.iter().filter_map(end_of).collect(),
        Event::Denied { .. }
        | Event::TopologyDeleted { .. }
        | Event::ControllerPut { .. }
        | Event::ControllerDeleted { .. } => return vec![],
    };
    let past = causes.into_iter().filter_map(|(id, cause)| {
        let allocation = undo.before().iter().find(|old| old.id == id)?;
        let topology =
            undo.topology().or_else(|| Some(state.network(allocation.demand.topology.as_str())?.topology()))?;
        Some(Past {
            allocation: Arc::clone(allocation),
            names: Names::of(topology),
            cause,
            ended_at: fact.at,
            ended_by: fact.sequence,
        })
    });
    past.collect()
}

fn end_of(gone: &Displaced) -> Option<(AllocationId, EndCause)> {
    match gone.fate {
        Fate::Ended(cause) => Some((gone.id, cause)),
        Fate::Rerouted(_) => None,
    }
}
