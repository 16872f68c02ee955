//! A change of an allocation: bandwidth, constraints, times and protection are judged as one, at every instant of the time that
//! it is then booked for. What must stay true: a change that is denied leaves the allocation as it was, and none ever is its own
//! victim.

use std::sync::Arc;

use super::admit::{Admission, RouteAndFates, check, denial};
use super::attributes::{annotate, changed, check_auto_bandwidth};
use super::path_query::path_query;
use super::protection::{backup_beside, fits_beside};
use super::reallocation::Reallocation;
use super::resolve;
use super::tenant::{check_quotas, check_route};
use crate::allocation::{Allocation, Demand, Recovery, Route};
use crate::calendar::Taking;
use crate::command::AllocationChange;
use crate::event::{Denial, Event};
use crate::id::{AllocationId, LinkIx};
use crate::ledger_draft::LedgerDraft;
use crate::path::{self, Workspace};
use crate::refusal::Refusal;
use crate::state::State;
use crate::units::Millis;

/// Make-before-break: the new reservation shares the old one's bandwidth where the paths share links (RFC 3209 §2.5).
pub(super) fn change(
    state: &State,
    id: AllocationId,
    change: &AllocationChange,
    now: Millis,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    let AllocationChange { annotations, .. } = change;
    if *change == (AllocationChange { annotations: annotations.clone(), ..AllocationChange::default() }) {
        return annotate(state, id, annotations, now);
    }
    let old = resolve::allocation(state, id)?;
    // One whose time is over is not there any more, though it may not have expired yet.
    if old.demand.attributes.ends_at().is_some_and(|at| at <= now) {
        return Err(Refusal::UnknownAllocation(id));
    }
    let (name, network) = resolve::network(state, Some(&old.demand.topology))?;
    let constraints = match &change.constraints {
        Some(named) => resolve::constraints(named, &network.topology, name, old.demand.ingress)?,
        None => old.demand.constraints.clone(),
    };
    let bandwidth = change.bandwidth.unwrap_or(old.demand.bandwidth);
    let attributes = changed(&old.demand.attributes, change, now)?;
    let demand = Demand { bandwidth, constraints, attributes, ..old.demand.clone() };
    check(&demand, network)?;
    check_auto_bandwidth(state, &demand, Some(old))?;
    check_quotas(state, &demand, Some(old))?;
    let (setup, hold) = (demand.setup_priority, demand.hold_priority);
    let priorities = resolve::priorities(network, name, demand.class_type, Some(setup), Some(hold))?;
    let moves_max = network.model.policy.relocation.max_moves;
    let admission = Admission { state, network, id, demand: &demand, priorities, moves_max };
    let decided = match change.protection {
        // The backup path that it lacks is asked for anew.
        Some(Some(_)) if old.is_unprotected() => admission.in_place_of(&without_protection(old), workspace),
        _ => admission.in_place_of(old, workspace),
    };
    Ok(match decided {
        Ok((route, displaced)) => {
            check_route(state, &demand, &route, Some(old))?;
            let changed = Allocation { updated_at: now, ..on_route(old, demand, route) };
            Event::Resized { allocation: Arc::new(changed), displaced }
        }
        Err(denial) => Event::Denied { of: Some(id), demand: Box::new(demand), denial },
    })
}

fn without_protection(old: &Allocation) -> Allocation {
    let mut bare = old.clone();
    bare.demand.attributes.protection = None;
    bare
}

/// The allocation with its demand as it is now on a route. On its own working path it still knows where its traffic is to return
/// to, if it is protected at all.
pub(super) fn on_route(old: &Allocation, demand: Demand, Route { path, backup }: Route) -> Allocation {
    let returns = demand.attributes.protection.is_some_and(|asked| asked.is_revertive) && path == old.path;
    let recovery = Recovery::of(backup, old.reverts_to().filter(|_| returns).cloned());
    Allocation { demand, path, recovery, ..old.clone() }
}

impl Admission<'_> {
    /// The same paths if that may be; for less bandwidth and less time they always may. What has lost its backup path is not
    /// refused for want of one.
    pub(super) fn in_place_of(&self, old: &Allocation, workspace: &mut Workspace) -> Result<RouteAndFates, Denial> {
        let (network, claim) = (self.network, self.claim());
        let query = path_query(&network.model.policy, self.demand);
        let find = |id| self.state.allocation(id);
        let books_without = || {
            let mut books = Reallocation::new(network, &network.graph, &find);
            if let Some(entry) = network.entry_of(old) {
                books.draft.leave(&entry);
            }
            books
        };
        let mut books = books_without();
        if let Some(route) = self.on_paths_of(old, &books.draft, workspace) {
            return Ok((route, vec![]));
        }
        if let Some(protection) = self.demand.attributes.booked_protection() {
            let decided = self.protected(books_without(), protection, workspace);
            match decided {
                Err(_) if !protection.is_best_effort && !old.is_unprotected() => return decided,
                Err(_) if self.has_room_on_path_of(old, &books.draft) => {
                    return Ok((Route::single(Arc::clone(&old.path)), vec![]));
                }
                Err(_) => {}
                Ok(_) => return decided,
            }
        }
        if let Ok(found) = books.shortest(claim, Taking::Free, &query, workspace) {
            return Ok((Route::single(found.links), vec![]));
        }
        match books.shortest(claim, Taking::Reach, &query, workspace) {
            Ok(found) => self.with_victims(books, Route::single(found.links), workspace),
            Err(_) => {
                let denial = denial(network, &books.draft.reach_exact(claim), &query, workspace);
                match self.path_by_moves(&mut books, &denial, workspace) {
                    Some(links) => self.with_victims(books, Route::single(links), workspace),
                    None => Err(denial),
                }
            }
        }
    }

    /// The working path as it is, with the backup path where that still is one, or with another beside it, if they have the
    /// bandwidth freely.
    fn on_paths_of(&self, old: &Allocation, draft: &LedgerDraft<'_>, workspace: &mut Workspace) -> Option<Route> {
        let (network, claim) = (self.network, self.claim());
        let (before, asked) = (old.demand.attributes.booked_protection(), self.demand.attributes.booked_protection());
        if !self.has_room_on_path_of(old, draft) {
            return None;
        }
        let route = |backup| Some(Route { path: Arc::clone(&old.path), backup });
        let Some(asked) = asked else { return route(None) };
        let is_no_more =
            self.asks_no_more_than(&old.demand) && before.is_some_and(|before| before.is_shared == asked.is_shared);
        let backup = old.backup().filter(|backup| {
            path::are_disjoint(&network.graph, &old.path, backup, asked.disjointness)
                && (is_no_more || fits_beside(network, draft, &claim, (&old.path, asked), backup))
        });
        match backup {
            Some(backup) => route(Some(Arc::clone(backup))),
            None if old.is_unprotected() => route(None),
            // With another bandwidth at another time the best pair of paths may be another.
            None if before == Some(asked) => None,
            None => route(Some(backup_beside((network, draft), claim, self.demand, (&old.path, asked), workspace)?)),
        }
    }

    fn has_room_on_path_of(&self, old: &Allocation, draft: &LedgerDraft<'_>) -> bool {
        let claim = self.claim();
        let is_free = |link: &LinkIx| self.demand.bandwidth.as_bps() <= draft.free_for(*link, &claim);
        old.demand.constraints == self.demand.constraints
            && (self.asks_no_more_than(&old.demand) || old.path.iter().all(is_free))
    }

    /// No more bandwidth, from the same start, for no longer. With a later start others may have come between.
    fn asks_no_more_than(&self, old: &Demand) -> bool {
        let end = |demand: &Demand| demand.attributes.expires_at.map_or(u64::MAX, |at| at.0);
        self.demand.bandwidth <= old.bandwidth
            && self.demand.attributes.starts_at == old.attributes.starts_at
            && end(self.demand) <= end(old)
    }
}
