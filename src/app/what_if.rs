//! What would happen: decided on the committed state outside the writer's turn, in a version that is dropped. However long
//! it takes, nothing waits for it but its requester.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{App, Atomicity, CommandOutcome, Submission, SubmitError};
use kernel::event::Event;
use kernel::path::Workspace;
use kernel::units::Millis;
use kernel::{Command, Fact, Recorded, Refusal, State, apply, decide};

/// How many are worked out at once; more wait, in order. A few, so that the writer finds a free core.
pub(super) const AT_ONCE_MAX: usize = 2;
/// How many studies are worked out at once: they take seconds, and dry runs do not wait for them.
pub(super) const STUDIES_AT_ONCE_MAX: usize = 1;

impl App {
    /// Works something out on the committed state, on a thread where it may take its time.
    ///
    /// # Errors
    /// The service is stopping.
    pub async fn work_out<R: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        let permit = Arc::clone(&self.inner.what_ifs).acquire_owned().await.map_err(|_| SubmitError::Stopping)?;
        self.apart(permit, look).await
    }

    /// Works out a study: as [`App::work_out`], but for seconds, and one at a time. `look` is to hold a deadline of its own.
    ///
    /// # Errors
    /// The turn of this one did not come, or the service is stopping.
    pub async fn study<R: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        let waited = self.inner.deadline;
        let permit = tokio::time::timeout(waited, Arc::clone(&self.inner.studies).acquire_owned()).await;
        let permit = permit.map_err(|_| SubmitError::Late { waited })?.map_err(|_| SubmitError::Stopping)?;
        self.apart(permit, look).await
    }

    /// The turn is over when the work is, also where nobody waits for it any more.
    async fn apart<R: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        look: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        let state = self.state();
        let worked_out = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            look(&state)
        })
        .await;
        worked_out.map_err(|error| {
            tracing::error!(%error, "a what-if failed");
            SubmitError::Stopping
        })
    }

    /// What would become of a submission.
    pub(super) async fn dry_run(&self, submission: Submission) -> Result<Vec<CommandOutcome>, SubmitError> {
        let at = self.now();
        let decide_each = move |state: &State| outcomes(&mut state.clone(), &submission, at, &mut Workspace::default());
        self.work_out(decide_each).await?
    }
}

/// What becomes of a submission on a version of the state: each command sees what those before it did.
pub(super) fn outcomes(
    version: &mut State,
    submission: &Submission,
    at: Millis,
    workspace: &mut Workspace,
) -> Result<Vec<CommandOutcome>, SubmitError> {
    let mut outcome = |command: &Command| {
        let event = decide(version, command, at, workspace)?;
        let recorded = Recorded { sequence: version.sequence().next(), at, event };
        apply(version, &recorded).map_err(|error| contradiction(&error))?;
        Ok(Arc::new(Fact::of(recorded, version)))
    };
    let mut outcomes = Vec::with_capacity(submission.commands.len());
    for (index, command) in submission.commands.iter().enumerate() {
        let outcome = outcome(command);
        if submission.atomicity == Atomicity::AllOrNone && !happens(&outcome) {
            return Err(SubmitError::Withdrawn { index, outcome: Box::new(outcome) });
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Whether something was decided to happen, and not denied.
fn happens(outcome: &CommandOutcome) -> bool {
    outcome.as_ref().is_ok_and(|fact| !matches!(fact.event, Event::Denied { .. }))
}

/// An event that was decided on a state can be applied to it and stored. If not, that is a defect, and leaves no trace.
pub(super) fn contradiction(error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, "the kernel contradicts itself");
    Refusal::Contradiction
}
