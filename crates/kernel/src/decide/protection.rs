//! Protection: two paths that do not share their fate, both booked (RFC 4427). When one fails the other carries the traffic
//! at once, and nothing has to be found; a new backup path, and the return to the first path, come after.

use std::sync::Arc;

use super::path_query::path_query;
use super::reallocation::Reallocation;
use super::resolve;
use crate::allocation::{Allocation, Protection, Recovery, Route};
use crate::event::{Binding, Denial, Event};
use crate::id::{AllocationId, LinkIx};
use crate::ledger_draft::LedgerDraft;
use crate::ledger_entry::Claim;
use crate::path::{self, Disjointness, Links, NoPath, Query, Workspace};
use crate::refusal::Refusal;
use crate::state::{Network, State};
use crate::units::{Bandwidth, Millis};

/// The pair of paths of least cost on these links, the cheaper as the working path.
pub(super) fn pair_on(
    books: &Reallocation<'_, '_>,
    links: &impl Links,
    query: &Query<'_>,
    disjointness: Disjointness,
    workspace: &mut Workspace,
) -> Result<Route, NoPath> {
    let (working, backup) = path::disjoint_pair(books.graph, links, query, disjointness, workspace)?;
    Ok(Route { path: working.links.into(), backup: Some(backup.links.into()) })
}

/// Why there is no pair of paths where there is one path, `working`.
pub(super) fn no_backup(
    books: &Reallocation<'_, '_>,
    claim: Claim,
    query: &Query<'_>,
    (working, disjointness): (&[LinkIx], Disjointness),
    workspace: &mut Workspace,
) -> Denial {
    let reach = books.draft.reach_exact(claim);
    let mut pair =
        |bandwidth_bps: u64| pair_on(books, &reach, &Query { bandwidth_bps, ..*query }, disjointness, workspace).ok();
    let available = |link: LinkIx| Bandwidth::saturating_from_bps(reach.room_bps(link));
    let Some(without_bandwidth) = pair(0) else {
        let binding = unavoidable(books, &reach, query, (working, disjointness), workspace);
        let binding = binding.into_iter().map(|link| Binding { link, available: available(link) }).collect();
        return Denial::NoBackup { disjointness, binding, largest_admissible: Bandwidth::ZERO };
    };
    let mut rooms: Vec<u64> = books.network.topology.links().map(|(link, _)| reach.room_bps(link)).collect();
    rooms.retain(|room| *room > 0 && *room < query.bandwidth_bps);
    rooms.sort_unstable();
    rooms.dedup();
    let found = rooms.partition_point(|room| pair(*room).is_some());
    let largest = found.checked_sub(1).and_then(|last| rooms.get(last)).copied().unwrap_or(0);
    let links = without_bandwidth.links();
    let narrow = links.iter().filter(|link| reach.room_bps(**link) < query.bandwidth_bps);
    Denial::NoBackup {
        disjointness,
        binding: narrow.map(|link| Binding { link: *link, available: available(*link) }).collect(),
        largest_admissible: Bandwidth::saturating_from_bps(largest),
    }
}

/// The links of a path that every other path shares, or shares the fate of.
fn unavoidable(
    books: &Reallocation<'_, '_>,
    links: &impl Links,
    query: &Query<'_>,
    (path, disjointness): (&[LinkIx], Disjointness),
    workspace: &mut Workspace,
) -> Vec<LinkIx> {
    let query = Query { bandwidth_bps: 0, ..*query };
    // A node is avoided by who avoids the links into it and out of it.
    let length = if disjointness == Disjointness::Node { 2 } else { 1 };
    let mut found = vec![];
    for part in path.windows(length.min(path.len().max(1))) {
        let around = path::disjoint_from(books.graph, links, &query, (part, disjointness), workspace);
        if around == Err(NoPath::None) {
            found.extend(part.first());
        }
    }
    found
}

/// A backup path for an allocation that has none, or the return of its traffic to the path that had failed. What it takes
/// is free: nothing is taken from any other allocation.
pub(super) fn recover(
    state: &State,
    id: AllocationId,
    may_return: bool,
    now: Millis,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    let old = resolve::allocation(state, id)?;
    let (_, network) = resolve::network(state, Some(&old.demand.topology))?;
    let protection = old.demand.attributes.protection.filter(|_| old.is_recovering()).ok_or(Refusal::NothingDue)?;
    let recovering = Recovering::new(network, old, protection);
    let recovered = recovering.and_then(|recovering| recovering.run(may_return, workspace));
    let (path, recovery) = recovered.ok_or(Refusal::NothingDue)?;
    let allocation = Allocation { path, recovery, updated_at: now, ..Allocation::clone(old) };
    Ok(Event::Recovered { allocation: Arc::new(allocation) })
}

struct Recovering<'a> {
    network: &'a Network,
    old: &'a Allocation,
    protection: Protection,
    draft: LedgerDraft<'a>,
    claim: Claim,
}

type Recovered = (Arc<[LinkIx]>, Option<Box<Recovery>>);

impl<'a> Recovering<'a> {
    fn new(network: &'a Network, old: &'a Allocation, protection: Protection) -> Option<Self> {
        let (entry, claim) = (network.entry_of(old)?, network.claim_of(old)?);
        let mut draft = LedgerDraft::new(&network.ledger);
        draft.leave(&entry);
        Some(Self { network, old, protection, draft, claim })
    }

    fn run(&self, may_return: bool, workspace: &mut Workspace) -> Option<Recovered> {
        let returned = if may_return { self.returned(workspace) } else { None };
        returned.or_else(|| {
            if self.old.backup().is_some() {
                return None;
            }
            let backup = self.backup_of(&self.old.path, workspace)?;
            Some((Arc::clone(&self.old.path), Recovery::of(Some(backup), self.old.reverts_to().cloned())))
        })
    }

    /// On the path that had failed, with the one that carried it meanwhile as its backup, or another.
    fn returned(&self, workspace: &mut Workspace) -> Option<Recovered> {
        let first = self.old.reverts_to().filter(|first| self.is_free(first, workspace))?;
        let stands_by = path::are_disjoint(&self.network.graph, first, &self.old.path, self.protection.disjointness)
            && self.is_free(&self.old.path, workspace);
        let backup = match stands_by {
            true => Some(Arc::clone(&self.old.path)),
            false => self.backup_of(first, workspace),
        };
        // Unprotected as before is no worse; less protected would be.
        (backup.is_some() || self.old.backup().is_none()).then(|| (Arc::clone(first), Recovery::of(backup, None)))
    }

    fn is_free(&self, path: &[LinkIx], workspace: &mut Workspace) -> bool {
        let query = path_query(&self.network.model.policy, &self.old.demand);
        path.iter().all(|link| self.draft.free_for(*link, &self.claim) >= query.bandwidth_bps)
            && path::obeys(&self.network.graph, &query, path, workspace)
    }

    fn backup_of(&self, path: &[LinkIx], workspace: &mut Workspace) -> Option<Arc<[LinkIx]>> {
        let query = path_query(&self.network.model.policy, &self.old.demand);
        let around = (path, self.protection.disjointness);
        let found =
            path::disjoint_from(&self.network.graph, &self.draft.free(self.claim), &query, around, workspace).ok()?;
        Some(found.links.into())
    }
}
