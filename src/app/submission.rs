//! What is given to the writer to be decided, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::journal::JournalError;
use kernel::fact::Actor;
use kernel::{Command, Fact, Refusal};

/// Something to be decided: one command, or several in one transaction.
#[derive(Debug)]
pub struct Submission {
    /// What, in order. Each sees what those before it did.
    pub commands: Vec<Command>,
    /// Whether one command depends on the others.
    pub atomicity: Atomicity,
    /// Whether it is to happen.
    pub mode: Mode,
    /// To be remembered with what happened, so that a repetition can be answered alike.
    pub key: Option<SubmissionKey>,
    /// Who has it decided.
    pub actor: Option<Arc<Actor>>,
}

impl Submission {
    /// One command that is to happen, without a key.
    pub fn of(command: Command) -> Self {
        Self { commands: vec![command], atomicity: Atomicity::EachAlone, mode: Mode::Commit, key: None, actor: None }
    }
}

/// What becomes of the other commands of a submission when one is refused or denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Atomicity {
    /// They are decided all the same.
    #[default]
    EachAlone,
    /// None of them happens: [`SubmitError::Withdrawn`].
    AllOrNone,
}

/// Whether the effects of a submission stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// They stay.
    Commit,
    /// They happen to a version of the state that is dropped: the answer says what would happen. The same code decides it.
    DryRun,
}

/// An idempotency key.
#[derive(Clone, Debug)]
pub struct SubmissionKey {
    /// What the client calls its request.
    pub key: String,
    /// A digest of the request, so that another request under the same key is noticed.
    pub fingerprint: String,
    /// How refused commands are remembered, so that a repetition is answered alike; absent: only what happened is.
    pub refusals: Option<fn(&[CommandOutcome]) -> String>,
}

/// What became of one command.
pub type CommandOutcome = Result<Arc<Fact>, Refusal>;

/// Why a submission was not decided. Nothing of it happened, but for [`SubmitError::OutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; try again shortly.
    #[error("too many requests are waiting to be decided")]
    Busy,
    /// It waited too long for its turn.
    #[error("the request had no turn within {} ms", waited.as_millis())]
    Late {
        /// How long it waited.
        waited: Duration,
    },
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// The journal could not be written.
    #[error("the decision could not be stored: {0}")]
    Journal(Arc<JournalError>),
    /// The connection to the journal was lost on the way, and the journal cannot be asked: it happened or not.
    #[error("it is not known whether the decision was stored: {0}")]
    OutcomeUnknown(Arc<JournalError>),
    /// Its idempotency key was used before, by a request at another replica: that one's answer counts.
    #[error("the idempotency key was used before")]
    KeyTaken,
    /// It was to happen as a whole, and one of its commands was refused or denied.
    #[error("command {index} was refused or denied, and the others depend on it")]
    Withdrawn {
        /// The place of that command in the submission, counted from 0.
        index: usize,
        /// What was decided about it.
        outcome: Box<CommandOutcome>,
    },
}

/// A submission on its way to the writer.
pub(super) struct QueuedSubmission {
    pub(super) submission: Submission,
    /// One for each command of the submission, in the same order, once it is decided.
    pub(super) outcomes: Result<Vec<CommandOutcome>, SubmitError>,
    /// Set once, by the writer that begins with it or by the requester that gives it up.
    pub(super) settled: Arc<AtomicBool>,
    pub(super) answer: oneshot::Sender<Result<Vec<CommandOutcome>, SubmitError>>,
}
