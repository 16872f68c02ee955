//! What the bookings will do if nothing else happens: they are started on a version of the state that is thrown away. So it is
//! foreseen by the code that will decide.

use std::collections::BTreeMap;

use super::allocation::EndCause;
use super::apply::apply;
use super::command::Command;
use super::decide::decide;
use super::event::{Event, Fate, Recorded};
use super::id::AllocationId;
use super::path::Workspace;
use super::preemption_notice::{NOTICES_MAX, PreemptionNotice};
use super::state::State;
use super::units::Millis;

/// The most ends and starts that are looked ahead.
const STEPS_MAX: usize = 2_000;

/// The allocations that bookings which start by `until` will preempt or devolve, the nearest 2,000 ends and starts being
/// looked at. Maintenance that begins meanwhile is left out.
pub fn foresee(state: &State, until: Millis, workspace: &mut Workspace) -> BTreeMap<AllocationId, PreemptionNotice> {
    let mut future = state.clone();
    let mut found = BTreeMap::new();
    for _ in 0..STEPS_MAX {
        let (end, start) = (future.next_deadline(), future.next_start());
        let Some(next) = start.filter(|start| *start <= until).map(|start| end.map_or(start, |end| end.min(start)))
        else {
            break;
        };
        let Ok(event) = decide(&future, &Command::Start, next, workspace) else { break };
        if let Event::Started { allocation, displaced } = &event {
            let is_ended = |fate: &Fate| matches!(fate, Fate::Ended(EndCause::Preempted | EndCause::Devolved));
            let notice = PreemptionNotice { at: next, by: allocation.id };
            let gone = displaced.iter().filter(|gone| is_ended(&gone.fate));
            found.extend(gone.map(|gone| (gone.id, notice)).take(NOTICES_MAX - found.len()));
        }
        let recorded = Recorded { sequence: future.sequence().next(), at: next, event };
        if apply(&mut future, &recorded).is_err() {
            break;
        }
    }
    found
}
