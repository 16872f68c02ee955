//! When a request could be had: found by deciding on it at every instant at which the answer may change.

use std::collections::BTreeSet;

use super::admit::{Admission, resolve_demand};
use super::headroom::HeadroomSearch;
use super::resolve::Priorities;
use crate::allocation::Demand;
use crate::command::Request;
use crate::id::{AllocationId, LinkIx};
use crate::ledger_draft::LedgerDraft;
use crate::ledger_entry::{Claim, Span, Start};
use crate::path::Workspace;
use crate::refusal::Refusal;
use crate::state::{Network, State};
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
    let (network, demand, priorities) = resolve_demand(state, request, now)?;
    let times = Times { last, duration };
    let mut starts = Starts { state, network, demand, priorities, times };
    let mut windows: Vec<(Millis, Millis)> = vec![];
    let (mut next, mut decided) = (Some(from), 0);
    while let Some(start) = next.filter(|_| decided < INSTANTS_MAX) {
        let (fits, until) = starts.decide(start, workspace);
        let end = times.end_of(until);
        match windows.last_mut() {
            Some(window) if fits && window.1 == times.end_of(Millis(start.0.saturating_sub(1))) => window.1 = end,
            _ if fits => windows.push((start, end)),
            _ => {}
        }
        next = (until < last).then(|| Millis(until.0.saturating_add(1)));
        decided += 1;
    }
    let mut demand = starts.demand;
    demand.attributes.starts_at = Some(from);
    demand.attributes.expires_at = Some(to);
    let mut search = HeadroomSearch { state, network, demand, priorities, moves_max: 0, workspace };
    let largest = Bandwidth::saturating_from_bps(search.largest_without_moves(|_| true));
    Ok(Availability { windows, largest, until: next.map(|next| Millis(next.0 - 1)) })
}

/// The starts that are asked about.
#[derive(Clone, Copy)]
struct Times {
    last: Millis,
    duration: Millis,
}

impl Times {
    /// The end of what starts then.
    fn end_of(&self, start: Millis) -> Millis {
        Millis(start.0.saturating_add(self.duration.0))
    }

    /// The start from which on it overlaps what starts then.
    fn reaching(&self, at: Millis) -> Millis {
        Millis(at.0.saturating_add(1).saturating_sub(self.duration.0))
    }
}

struct Starts<'a> {
    state: &'a State,
    network: &'a Network,
    demand: Demand,
    priorities: Priorities,
    times: Times,
}

impl Starts<'_> {
    /// Whether the demand could start then, and the last start of which that is known, too.
    fn decide(&mut self, start: Millis, workspace: &mut Workspace) -> (bool, Millis) {
        self.demand.attributes.starts_at = Some(start);
        self.demand.attributes.expires_at = Some(self.times.end_of(start));
        let admission = Admission {
            state: self.state,
            network: self.network,
            id: AllocationId(self.state.sequence().next().0),
            demand: &self.demand,
            priorities: self.priorities,
            moves_max: 0,
        };
        let decided = admission.of_new_without_moves(workspace);
        // A path that is free can be had whatever becomes of others; but its price depends on them.
        let is_free = self.network.model.policy.refuse_above_percent.is_none();
        let until = match &decided {
            Ok((route, displaced)) if is_free && displaced.is_empty() => {
                self.free_until(start, &admission.claim(), &route.path)
            }
            _ => None,
        };
        (decided.is_ok(), until.unwrap_or_else(|| self.unchanged_until(start)))
    }

    /// The last start up to which all books are as they are for this one.
    fn unchanged_until(&self, start: Millis) -> Millis {
        let (times, ledger) = (self.times, &self.network.ledger);
        let next = Millis(start.0.saturating_add(1));
        let first_start = |link, from| ledger.changes(link, from).find(|(_, is_start)| *is_start).map(|(at, _)| at);
        let changes = ledger.links().flat_map(|link| {
            let own = ledger.changes(link, next).next().map(|(at, _)| at);
            let passed = ledger.changes(link, start).take_while(|(at, _)| *at == start).any(|(_, is_start)| is_start);
            let reached = first_start(link, times.end_of(start)).map(|at| times.reaching(at));
            [own, passed.then_some(next), reached]
        });
        let maintenances = self.network.maintenances();
        let closed = maintenances.flat_map(|planned| [times.reaching(planned.starts_at), planned.ends_at].map(Some));
        let changes = changes.chain(closed).flatten().filter(|at| *at > start);
        changes.min().map_or(times.last, |at| Millis(at.0 - 1)).min(times.last)
    }

    /// The last start up to which a path that is free for one stays free. What ends, and what is passed, only adds to it.
    fn free_until(&self, start: Millis, claim: &Claim, path: &[LinkIx]) -> Option<Millis> {
        let (times, draft) = (self.times, LedgerDraft::new(&self.network.ledger));
        let end = times.end_of(times.last);
        let setup_slot = claim.span.start?.setup_slot;
        let back = path.iter().filter(|_| claim.is_bidirectional).filter_map(|link| draft.twin(*link));
        let one_way = Claim { is_bidirectional: false, ..*claim };
        let mut later: BTreeSet<(Millis, LinkIx)> = BTreeSet::new();
        let mut add = |at: Millis, link: LinkIx| {
            later.extend(
                [at, times.reaching(at)].into_iter().filter(|at| start < *at && *at <= times.last).map(|at| (at, link)),
            );
        };
        for link in path.iter().copied().chain(back) {
            if !draft.is_roomy(link, (start, end), &one_way) {
                let starts = self.network.ledger.changes(link, start).take_while(|(at, _)| *at <= end);
                starts.filter(|(_, is_start)| *is_start).for_each(|(at, _)| add(at, link));
            }
            self.network.maintenances().for_each(|planned| add(planned.starts_at, link));
        }
        let is_free = |(at, link): &(Millis, LinkIx)| {
            let span = Span { start: Some(Start { at: *at, setup_slot }), ends_at: Some(times.end_of(*at)) };
            draft.free_for(*link, &Claim { span, ..one_way }) >= claim.bandwidth.as_bps()
        };
        Some(later.iter().find(|start| !is_free(start)).map_or(times.last, |(at, _)| Millis(at.0 - 1)))
    }
}
