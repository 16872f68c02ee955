//! When a request could be had: found by deciding on it at every instant at which the answer may change.

use std::collections::BTreeSet;

use super::admit::{Admission, resolve_demand};
use super::headroom::HeadroomSearch;
use crate::command::Request;
use crate::id::AllocationId;
use crate::path::Workspace;
use crate::refusal::Refusal;
use crate::state::State;
use crate::units::{Bandwidth, Millis};

/// The most instants at which a request is decided.
pub const INSTANTS_MAX: usize = 2_000;

/// When a request could be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Availability {
    /// From and to, in order: the request would be admitted wherever it lies within one.
    pub windows: Vec<(Millis, Millis)>,
    /// The most that would be admitted for the whole time that was asked about; zero: nothing.
    pub largest: Bandwidth,
    /// Starts up to here were looked at, where the answer changes too often to look at all.
    pub until: Option<Millis>,
}

/// When a request could be had for `duration` between two instants, without moves of other allocations. Its own times do
/// not matter.
///
/// # Errors
/// As for the request; and if there is no such time in the future.
pub fn availability(
    state: &State,
    request: &Request,
    (from, to): (Millis, Millis),
    duration: Millis,
    now: Millis,
    workspace: &mut Workspace,
) -> Result<Availability, Refusal> {
    let from = from.max(Millis(now.0.saturating_add(1)));
    let invalid = |field, why| Err(Refusal::ImpossibleTime { field, why });
    if duration.0 == 0 {
        return invalid("duration_ms", "it must be above zero");
    }
    if to <= from {
        return invalid("window.to", "it is not after the beginning of the window, or not in the future");
    }
    let Some(last) = to.0.checked_sub(duration.0).filter(|last| *last >= from.0).map(Millis) else {
        return invalid("duration_ms", "it is longer than the window");
    };
    let (network, mut demand, priorities) = resolve_demand(state, request, now)?;
    let mut instants = BTreeSet::from([from]);
    // A start counts for those that overlap it; what is there at its own start counts in any case.
    for (at, is_start) in network.ledger.links().flat_map(|link| network.ledger.changes(link)) {
        let reached = Millis(at.0.saturating_add(1).saturating_sub(duration.0));
        let passed = Millis(at.0.saturating_add(1));
        let changes = if is_start { [at, reached, passed] } else { [at; 3] };
        instants.extend(changes.into_iter().filter(|change| from < *change && *change <= last));
    }
    for planned in network.maintenances() {
        let reached = Millis(planned.starts_at.0.saturating_add(1).saturating_sub(duration.0));
        instants.extend([reached, planned.ends_at].into_iter().filter(|change| from < *change && *change <= last));
    }
    let until = instants.iter().nth(INSTANTS_MAX).map(|next| Millis(next.0 - 1));
    let ends = instants.iter().skip(1).map(|next| Millis(next.0 - 1)).chain([last]);
    let mut windows: Vec<(Millis, Millis)> = vec![];
    let mut is_open = false;
    for (start, end) in instants.iter().zip(ends).take(INSTANTS_MAX) {
        let expires_at = |start: Millis| Millis(start.0.saturating_add(duration.0));
        demand.attributes.starts_at = Some(*start);
        demand.attributes.expires_at = Some(expires_at(*start));
        let id = AllocationId(state.sequence().next().0);
        let admission = Admission { state, network, id, demand: &demand, priorities, moves_max: 0 };
        let fits = admission.of_new_without_moves(workspace).is_ok();
        match windows.last_mut() {
            Some(window) if fits && is_open => window.1 = expires_at(end),
            _ if fits => windows.push((*start, expires_at(end))),
            _ => {}
        }
        is_open = fits;
    }
    demand.attributes.starts_at = Some(from);
    demand.attributes.expires_at = Some(to);
    let mut search = HeadroomSearch { state, network, demand, priorities, moves_max: 0, workspace };
    let largest = Bandwidth::saturating_from_bps(search.largest_without_moves(|_| true));
    Ok(Availability { windows, largest, until })
}
