//! What would happen: decided on the committed state outside the writer's turn, in a version that is dropped. However long
//! it takes, nothing waits for it but its requester.

use std::sync::Arc;

use super::{App, CommandOutcome, SubmitError};
use kernel::path::Workspace;
use kernel::{Command, Fact, Recorded, Refusal, State, apply, decide};

/// How many are worked out at once; more wait, in order. A few, so that the writer finds a free core.
pub(super) const AT_ONCE_MAX: usize = 2;

impl App {
    /// Works something out on the committed state, on a thread where it may take its time.
    ///
    /// # Errors
    /// The service is stopping.
    pub async fn work_out<R: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        let _permit = self.inner.what_ifs.acquire().await.map_err(|_| SubmitError::Stopping)?;
        let state = self.state();
        let worked_out = tokio::task::spawn_blocking(move || look(&state)).await;
        worked_out.map_err(|error| {
            tracing::error!(%error, "a what-if failed");
            SubmitError::Stopping
        })
    }

    /// What would become of commands, each of which sees what those before it did.
    pub(super) async fn dry_run(&self, commands: Vec<Command>) -> Result<Vec<CommandOutcome>, SubmitError> {
        let at = self.now();
        let decide_each = move |state: &State| {
            let (mut version, mut workspace) = (state.clone(), Workspace::default());
            let outcome = |command: &Command| {
                let event = decide(&version, command, at, &mut workspace)?;
                let recorded = Recorded { sequence: version.sequence().next(), at, event };
                apply(&mut version, &recorded).map_err(|error| contradiction(&error))?;
                Ok(Arc::new(Fact::of(recorded, &version)))
            };
            commands.iter().map(outcome).collect()
        };
        self.work_out(decide_each).await
    }
}

/// An event that was decided on a state can be applied to it and stored. If not, that is a defect, and leaves no trace.
pub(super) fn contradiction(error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, "the kernel contradicts itself");
    Refusal::Contradiction
}
