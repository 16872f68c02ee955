//! Notice ahead: allocations that a booking will preempt at its start know it beforehand. What is foreseen is worked out beside the
//! writer, on a version of the state, and comes back as a command; it does not matter which instance looks, or how often.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{App, SubmitError};
use kernel::id::{AllocationId, Name};
use kernel::path::Workspace;
use kernel::preemption_notice::PreemptionNotice;
use kernel::units::Millis;
use kernel::{Command, State, foresee};

/// How far it is looked ahead: a week.
const AHEAD_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// The shortest time from one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The longest time from one look to the next: what is a week ahead comes nearer without an event.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// A look that takes long is made so much less often than it takes.
const REST_FACTOR: u32 = 20;

/// Gives notice, and lifts it, as soon as what is foreseen is another.
pub(super) async fn keep_notices(app: App) {
    let stop = app.stopping();
    let (mut looked_at, mut wait) = (None, LOOK_EVERY);
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        wait = LOOK_EVERY;
        let (state, began) = (app.state(), Instant::now());
        let is_known = looked_at.is_some_and(|(sequence, at): (_, Instant)| {
            sequence == state.sequence() && at.elapsed() < LOOK_AT_LEAST_EVERY
        });
        let until = Millis(app.now().0.saturating_add(AHEAD_MS));
        let has_none = state.next_start().is_none_or(|start| start > until) && state.notices().count() == 0;
        if is_known || has_none {
            continue;
        }
        looked_at = Some((state.sequence(), began));
        let looked = tokio::task::spawn_blocking(move || due(&state, until)).await;
        wait = wait.max(began.elapsed() * REST_FACTOR);
        let commands = looked.unwrap_or_else(|error| {
            tracing::warn!(%error, "no preemption was foreseen");
            vec![]
        });
        if commands.is_empty() {
            continue;
        }
        match app.submit_due(commands).await {
            Ok(_) => {}
            Err(SubmitError::Stopping) => return,
            Err(error) => {
                tracing::warn!(%error, "allocations have no notice of their preemption yet");
                looked_at = None;
            }
        }
    }
}

type Changes = Vec<(AllocationId, Option<PreemptionNotice>)>;

/// What is foreseen and has no notice, and what has notice and is not foreseen, by topology.
fn due(state: &State, until: Millis) -> Vec<Command> {
    let foreseen = foresee(state, until, &mut Workspace::default());
    let standing = state.notices();
    let ids: BTreeSet<AllocationId> = standing.iter().map(|(id, _)| id).chain(foreseen.keys().copied()).collect();
    let mut changes: BTreeMap<&Name, Changes> = BTreeMap::new();
    for id in ids.into_iter().filter(|id| standing.of(*id) != foreseen.get(id).copied()) {
        if let Some(allocation) = state.allocation(id) {
            changes.entry(&allocation.demand.topology).or_default().push((id, foreseen.get(&id).copied()));
        }
    }
    let commands = changes.into_iter();
    commands.map(|(topology, notices)| Command::GiveNotice { topology: topology.clone(), notices }).collect()
}
