//! Protection after a failure: allocations that lost their backup paths get others, and the traffic of revertive ones
//! returns, as soon as the network has room for it. What became of the network shows in its journal: where that has nothing
//! new, nothing is looked for again.

use std::time::Duration;

use tokio::time::sleep;

use super::{App, SubmitError};
use kernel::allocation::Allocation;
use kernel::id::{AllocationId, Sequence};
use kernel::path::Workspace;
use kernel::units::Millis;
use kernel::{Command, State, decide};

/// How often it is looked whether anything can be done.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many allocations are looked at before others have the processor.
const LOOKED_AT_ONCE_MAX: usize = 256;

/// Finds backup paths, and lets traffic return to a path that has been left for `wait_to_restore` at least, so that a link
/// that comes and goes does not take the traffic with it (RFC 4427 §4.11).
pub(super) async fn keep_protected(app: App, wait_to_restore: Duration) {
    let stop = app.stopping();
    let mut round = Round::default();
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let state = app.state();
        if round.is_over && round.began_at == state.sequence() {
            continue;
        }
        let now = app.now();
        let looked = tokio::task::spawn_blocking(move || round.look(&state, now, wait_to_restore));
        let commands;
        (round, commands) = match looked.await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "protection was not looked after");
                (Round::default(), vec![])
            }
        };
        if commands.is_empty() {
            continue;
        }
        match app.submit_due(commands).await {
            Ok(_) => {}
            Err(SubmitError::Stopping) => return,
            Err(error) => {
                tracing::warn!(%error, "allocations could not be protected again yet");
                round = Round::default();
            }
        }
    }
}

/// One look at all allocations for whose protection something is to be done.
#[derive(Default)]
struct Round {
    /// The last event before it.
    began_at: Sequence,
    after: Option<AllocationId>,
    /// One has to wait before its traffic returns.
    has_to_wait: bool,
    is_over: bool,
}

impl Round {
    /// The next few: what can be done for them.
    fn look(mut self, state: &State, now: Millis, wait_to_restore: Duration) -> (Self, Vec<Command>) {
        if self.is_over || self.after.is_none() {
            self = Self { began_at: state.sequence(), ..Self::default() };
        }
        let (mut workspace, mut commands) = (Workspace::default(), vec![]);
        let ids: Vec<_> = state.recovering_after(self.after).take(LOOKED_AT_ONCE_MAX).collect();
        for id in &ids {
            let Some(allocation) = state.allocation(*id) else { continue };
            let has_to_wait = has_to_wait(allocation, now, wait_to_restore);
            self.has_to_wait |= has_to_wait;
            let command = Command::Recover { id: *id, may_return: !has_to_wait };
            if decide(state, &command, now, &mut workspace).is_ok() {
                commands.push(command);
            }
        }
        self.after = ids.last().copied();
        // A round in which one has to wait is followed by another.
        self.is_over = ids.len() < LOOKED_AT_ONCE_MAX && !self.has_to_wait;
        if ids.len() < LOOKED_AT_ONCE_MAX {
            self.after = None;
        }
        (self, commands)
    }
}

/// Whether its traffic left a path so lately that it does not return yet.
fn has_to_wait(allocation: &Allocation, now: Millis, wait_to_restore: Duration) -> bool {
    let wait_ms = u64::try_from(wait_to_restore.as_millis()).unwrap_or(u64::MAX);
    allocation.reverts_to().is_some() && now.0 < allocation.updated_at.0.saturating_add(wait_ms)
}
