//! The single writer: takes what is waiting, decides and applies it in order, writes it down in one transaction, then
//! answers. If it cannot be written down, it did not happen: everything is taken back. If another writer was faster, what
//! it wrote is applied and everything is decided again, this time with the others held off: a writer that is a little
//! slower would else be outrun for as long as the faster one is busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::Instrument;

use super::{
    App, BATCH_MAX, CommandOutcome, Commit, Fact, Mode, QueuedSubmission, SPANS, Submission, SubmitError, follower,
};
use crate::journal::{
    AppendError, DraftError, EventRecord, ExclusiveWriter, Past, Receipt, RecordBatch, RecordEncodeError, encode,
};
use kernel::allocation::EndCause;
use kernel::event::{Displaced, Event, Fate};
use kernel::id::AllocationId;
use kernel::path::Workspace;
use kernel::units::Millis;
use kernel::{Command, Recorded, Refusal, State, Undo, apply, decide, revert};

/// How often a batch is decided again because another writer was faster, before its senders are told to try again. The
/// second time nobody else can write, so that more than one conflict means that something is wrong.
const CONFLICTS_MAX: u32 = 4;

/// Runs until the queue is closed or the service stops; what is waiting then is still answered.
pub(super) async fn run(app: App, mut jobs: mpsc::Receiver<QueuedSubmission>) {
    let mut desk = Writer { app: app.clone(), workspace: Workspace::default(), batch: RecordBatch::new() };
    let mut waiting = Vec::with_capacity(BATCH_MAX);
    let stop = app.stopping();
    loop {
        tokio::select! {
            biased;
            taken = jobs.recv_many(&mut waiting, BATCH_MAX) => {
                if taken == 0 {
                    return;
                }
                gather(&mut jobs, &mut waiting).await;
                let span = tracing::info_span!(target: SPANS, "batch", submissions = waiting.len());
                desk.settle(&mut waiting).instrument(span).await;
            }
            () = stop.cancelled() => {
                jobs.close();
            }
        }
    }
}

/// Takes in what those are about to submit who can already run, so that one commit serves them all. Nobody waits for what
/// is not there yet: when a turn around the table brings nothing new, the batch is closed.
async fn gather(jobs: &mut mpsc::Receiver<QueuedSubmission>, waiting: &mut Vec<QueuedSubmission>) {
    loop {
        let before = waiting.len();
        tokio::task::yield_now().await;
        while waiting.len() < BATCH_MAX
            && let Ok(job) = jobs.try_recv()
        {
            waiting.push(job);
        }
        if waiting.len() == before || waiting.len() == BATCH_MAX {
            return;
        }
    }
}

/// What the writer works with.
struct Writer {
    app: App,
    workspace: Workspace,
    batch: RecordBatch,
}

/// What was decided for one submission.
struct Decided {
    outcomes: Vec<CommandOutcome>,
}

impl Writer {
    async fn settle(&mut self, waiting: &mut Vec<QueuedSubmission>) {
        let app = self.app.clone();
        let mut state = app.inner.state.write().await;
        let mut alone: Option<ExclusiveWriter<'_>> = None;
        for _ in 0..CONFLICTS_MAX {
            let started = Instant::now();
            let mut undos = vec![];
            let decided = self.decide_all(&mut state, waiting, &mut undos);
            let decided_in = started.elapsed();
            if self.batch.is_empty() {
                drop(state);
                return answer(waiting, decided);
            }
            let appended = match alone.take() {
                Some(alone) => alone.append(&self.batch).await,
                None => app.inner.journal.append(&self.batch).await,
            };
            match appended {
                Ok(()) => {
                    let written_in = started.elapsed().saturating_sub(decided_in);
                    self.publish(&state, &decided, waiting, decided_in, written_in);
                    drop(state);
                    return answer(waiting, decided);
                }
                Err(AppendError::Conflict) => {
                    take_all_back(&mut state, undos);
                    alone = match app.inner.journal.alone().await {
                        Ok(alone) => Some(alone),
                        Err(error) => {
                            tracing::error!(%error, "other writers cannot be held off");
                            return refuse(waiting, || SubmitError::Busy);
                        }
                    };
                    if let Err(error) = follower::catch_up(&app, &mut state).await {
                        tracing::error!(%error, "the journal cannot be followed");
                        return refuse(waiting, || SubmitError::Busy);
                    }
                }
                Err(AppendError::Failed(error)) => {
                    take_all_back(&mut state, undos);
                    tracing::error!(%error, "a batch could not be written down and was taken back");
                    let error = Arc::new(*error);
                    return refuse(waiting, || SubmitError::Journal(Arc::clone(&error)));
                }
            }
        }
        refuse(waiting, || SubmitError::Busy);
    }

    fn decide_all(&mut self, state: &mut State, waiting: &[QueuedSubmission], undos: &mut Vec<Undo>) -> Vec<Decided> {
        self.batch.clear();
        let now = self.app.now();
        waiting.iter().map(|job| self.decide_one(state, &job.submission, now, undos)).collect()
    }

    /// Each command sees what those before it did; of a dry run nothing stays.
    fn decide_one(
        &mut self,
        state: &mut State,
        submission: &Submission,
        now: Millis,
        undos: &mut Vec<Undo>,
    ) -> Decided {
        let mut own = vec![];
        let mut outcomes = Vec::with_capacity(submission.commands.len());
        let first = state.sequence().next();
        for command in &submission.commands {
            outcomes.push(self.carry_out(state, command, now, submission.mode, &mut own));
        }
        match submission.mode {
            Mode::DryRun => take_all_back(state, own),
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
        Decided { outcomes }
    }

    fn carry_out(
        &mut self,
        state: &mut State,
        command: &Command,
        at: Millis,
        mode: Mode,
        undos: &mut Vec<Undo>,
    ) -> CommandOutcome {
        let event = decide(state, command, at, &mut self.workspace)?;
        let recorded = Recorded { sequence: state.sequence().next(), at, event };
        // What was decided on a state can be applied to it and written down. If not, that is a defect, and nothing of it
        // may stay.
        let undo = apply(state, &recorded).map_err(|error| contradiction(&error))?;
        match self.put_down(state, &recorded, &undo, mode) {
            Ok(record) => {
                undos.push(undo);
                Ok(Arc::new(Fact { sequence: recorded.sequence, at, record }))
            }
            Err(error) => {
                revert(state, undo);
                Err(contradiction(&error))
            }
        }
    }

    /// The stored form; on its way to the journal unless it is a dry run.
    fn put_down(
        &mut self,
        state: &State,
        recorded: &Recorded,
        undo: &Undo,
        mode: Mode,
    ) -> Result<EventRecord, DraftError> {
        let record = encode(recorded, state)?;
        if mode == Mode::Commit {
            let ended = ended(state, recorded, undo)?;
            self.batch.push_record(recorded.sequence, recorded.at, &record)?;
            ended.into_iter().for_each(|past| self.batch.push_past(past));
        }
        Ok(record)
    }

    fn publish(
        &self,
        state: &State,
        decided: &[Decided],
        waiting: &[QueuedSubmission],
        decided_in: Duration,
        written_in: Duration,
    ) {
        let committed = waiting.iter().zip(decided).filter(|(job, _)| job.submission.mode == Mode::Commit);
        let facts = committed.flat_map(|(_, decided)| decided.outcomes.iter().flatten().cloned());
        self.app.publish(state, Commit { facts: facts.collect(), decided_in, written_in });
    }
}

fn take_all_back(state: &mut State, undos: Vec<Undo>) {
    for undo in undos.into_iter().rev() {
        revert(state, undo);
    }
}

fn answer(waiting: &mut Vec<QueuedSubmission>, decided: Vec<Decided>) {
    for (job, decided) in waiting.drain(..).zip(decided) {
        // Whoever asked may have gone: what was decided stands.
        let _ = job.answer.send(Ok(decided.outcomes));
    }
}

fn refuse(waiting: &mut Vec<QueuedSubmission>, error: impl Fn() -> SubmitError) {
    for job in waiting.drain(..) {
        let _ = job.answer.send(Err(error()));
    }
}

fn contradiction(error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, "the kernel contradicts itself");
    Refusal::Contradiction
}

/// Those whose life ended with an event, as they were.
fn ended(state: &State, recorded: &Recorded, undo: &Undo) -> Result<Vec<Past>, RecordEncodeError> {
    let causes: Vec<(AllocationId, EndCause)> = match &recorded.event {
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
        | Event::ControllerDeleted { .. } => return Ok(vec![]),
    };
    let past = causes.into_iter().filter_map(|(id, cause)| {
        let allocation = undo.before().iter().find(|old| old.id == id)?;
        let topology =
            undo.topology().or_else(|| Some(state.network(allocation.demand.topology.as_str())?.topology()))?;
        Some(Past::of(allocation, topology, cause, recorded.at, recorded.sequence))
    });
    past.collect()
}

fn end_of(gone: &Displaced) -> Option<(AllocationId, EndCause)> {
    match gone.fate {
        Fate::Ended(cause) => Some((gone.id, cause)),
        Fate::Rerouted(_) => None,
    }
}
