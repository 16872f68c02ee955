//! Protection: two paths that do not share their fate, both booked (RFC 4427). When one fails the other carries the traffic
//! at once, and nothing has to be found; a new backup path, and the return to the first path, come after.

use std::sync::Arc;

use super::path_query::path_query;
use super::reallocation::Reallocation;
use super::resolve;
use super::tenant::check_route;
use crate::allocation::{Allocation, Demand, Protection, Recovery, Route};
use crate::calendar::Taking;
use crate::event::{Binding, Denial, Event};
use crate::id::{AllocationId, LinkIx};
use crate::ledger_draft::LedgerDraft;
use crate::ledger_entry::Claim;
use crate::path::{self, Disjointness, Links, NoPath, Query, Workspace};
use crate::refusal::Refusal;
use crate::shared_pool::{Risk, risks_of};
use crate::state::{Network, State};
use crate::units::{Bandwidth, Millis};

/// How many working paths are tried for a backup path that shares bandwidth.
const WORKING_TRIED: usize = 4;

/// A pair of paths that has the bandwidth: freely, or with all that may be taken for it.
pub(super) fn pair_of(
    books: &Reallocation<'_, '_>,
    claim: Claim,
    query: &Query<'_>,
    (asked, taking): (Protection, Taking),
    workspace: &mut Workspace,
) -> Result<Route, NoPath> {
    if let Some(links) = books.draft.preferred(claim, taking) {
        let pair = match asked.is_shared {
            true => sharing_pair(books, claim, &links, query, asked, workspace),
            false => pair_on(books, &links, query, asked.disjointness, workspace),
        };
        if pair.is_ok() {
            return pair;
        }
    }
    match taking {
        Taking::Free if asked.is_shared => {
            sharing_pair(books, claim, &books.draft.free_exact(claim), query, asked, workspace)
        }
        Taking::Reach if asked.is_shared => {
            sharing_pair(books, claim, &books.draft.reach_exact(claim), query, asked, workspace)
        }
        Taking::Free => pair_on(books, &books.draft.free(claim), query, asked.disjointness, workspace),
        Taking::Reach => pair_on(books, &books.draft.reach(claim), query, asked.disjointness, workspace),
    }
}

/// The pair of paths of least cost on these links, the cheaper as the working path.
fn pair_on(
    books: &Reallocation<'_, '_>,
    links: &impl Links,
    query: &Query<'_>,
    disjointness: Disjointness,
    workspace: &mut Workspace,
) -> Result<Route, NoPath> {
    let (working, backup) = path::disjoint_pair(books.graph, links, query, disjointness, workspace)?;
    Ok(Route { path: working.links.into(), backup: Some(backup.links.into()) })
}

/// One of the best working paths, with the cheapest backup path beside it: what others have booked for other failures counts
/// as room.
fn sharing_pair(
    books: &Reallocation<'_, '_>,
    claim: Claim,
    links: &impl Links,
    query: &Query<'_>,
    asked: Protection,
    workspace: &mut Workspace,
) -> Result<Route, NoPath> {
    for working in path::k_shortest(books.graph, links, query, WORKING_TRIED, workspace)? {
        let risks = risks_of(&working.links, &books.network.topology);
        let shared = Sharing { links, draft: &books.draft, claim, risks: &risks };
        let around = (working.links.as_slice(), asked.disjointness);
        if let Ok(backup) = path::disjoint_from(books.graph, &shared, query, around, workspace) {
            return Ok(Route { path: working.links.into(), backup: Some(backup.links.into()) });
        }
    }
    // Without anything that could be shared, the best pair need not have the best working path.
    pair_on(books, links, query, asked.disjointness, workspace)
}

/// Links as a backup path sees them that shares bandwidth: what is booked for failures that do not break its working path is
/// room for it.
struct Sharing<'a, L> {
    links: &'a L,
    draft: &'a LedgerDraft<'a>,
    claim: Claim,
    risks: &'a [Risk],
}

impl<L: Links> Links for Sharing<'_, L> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        if !self.links.is_usable(link) {
            return 0;
        }
        self.links.room_bps(link).saturating_add(self.draft.reusable_bps(link, &self.claim, self.risks))
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.links.weight(link)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.links.is_usable(link)
    }
}

/// Whether a backup path has the bandwidth of a claim beside a working path that is out of the draft.
pub(super) fn fits_beside(
    network: &Network,
    draft: &LedgerDraft<'_>,
    claim: &Claim,
    (path, asked): (&[LinkIx], Protection),
    backup: &[LinkIx],
) -> bool {
    let risks = if asked.is_shared { risks_of(path, &network.topology) } else { Arc::from([]) };
    let reusable = |link: LinkIx| match asked.is_shared {
        true => draft.reusable_bps(link, claim, &risks),
        false => 0,
    };
    let has_room = |link: &LinkIx| {
        let free_bps = draft.free_for(*link, claim);
        free_bps > 0 && free_bps.saturating_add(reusable(*link)) >= claim.bandwidth.as_bps()
    };
    backup.iter().all(has_room)
}

/// Why there is no pair of paths where there is one path, `working`. Where bandwidth is shared, more may be admitted than is
/// said to be.
pub(super) fn no_backup(
    books: &Reallocation<'_, '_>,
    claim: Claim,
    query: &Query<'_>,
    (working, asked): (&[LinkIx], Protection),
    workspace: &mut Workspace,
) -> Denial {
    let (reach, disjointness) = (books.draft.reach_exact(claim), asked.disjointness);
    let mut pair = |bandwidth_bps: u64| {
        pair_of(books, claim, &Query { bandwidth_bps, ..*query }, (asked, Taking::Reach), workspace).ok()
    };
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
    let protection =
        old.demand.attributes.booked_protection().filter(|_| old.is_recovering()).ok_or(Refusal::NothingDue)?;
    let recovering = Recovering::new(network, old, protection);
    let recovered = recovering.and_then(|recovering| recovering.run(may_return, workspace));
    let (path, recovery) = recovered.ok_or(Refusal::NothingDue)?;
    let allocation = Allocation { path, recovery, updated_at: now, ..Allocation::clone(old) };
    // What it asked for beyond its working path is within the quota, or waits until there is room.
    check_route(state, &old.demand, &allocation.route(), Some(old)).map_err(|_| Refusal::NothingDue)?;
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
        let around = (&**first, self.protection);
        let stands_by = path::are_disjoint(&self.network.graph, first, &self.old.path, self.protection.disjointness)
            && fits_beside(self.network, &self.draft, &self.claim, around, &self.old.path);
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
        let books = (self.network, &self.draft);
        backup_beside(books, self.claim, &self.old.demand, (path, self.protection), workspace)
    }
}

/// A backup path on free bandwidth for a working path of a demand that is out of the draft.
pub(super) fn backup_beside(
    (network, draft): (&Network, &LedgerDraft<'_>),
    claim: Claim,
    demand: &Demand,
    (path, protection): (&[LinkIx], Protection),
    workspace: &mut Workspace,
) -> Option<Arc<[LinkIx]>> {
    let query = path_query(&network.model.policy, demand);
    let around = (path, protection.disjointness);
    let found = if protection.is_shared {
        let (links, risks) = (draft.free_exact(claim), risks_of(path, &network.topology));
        let shared = Sharing { links: &links, draft, claim, risks: &risks };
        path::disjoint_from(&network.graph, &shared, &query, around, workspace)
    } else {
        path::disjoint_from(&network.graph, &draft.free(claim), &query, around, workspace)
    };
    Some(found.ok()?.links.into())
}
