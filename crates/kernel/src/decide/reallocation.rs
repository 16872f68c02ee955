//! The books of a network while a decision is made: the allocations that have left their paths, where each is now, and
//! what took its path. An allocation that was given a path in the same decision can be made to yield again.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::path_query::path_query;
use crate::allocation::{Allocation, EndCause, Route};
use crate::bam::{Cause, Slot};
use crate::calendar::Taking;
use crate::event::{Displaced, DisplacedBy, Fate};
use crate::id::{AllocationId, LinkIx};
use crate::ledger_draft::LedgerDraft;
use crate::ledger_entry::{Claim, LedgerEntry};
use crate::path::{self, FoundPath, Graph, NoPath, Query, Workspace};
use crate::state::Network;

/// Where allocations are found in the numbers of the topology that is decided about: the state, or a new revision's.
pub(super) type AllocationLookup<'a, 'b> = &'b dyn Fn(AllocationId) -> Option<&'a Arc<Allocation>>;

/// A network's books and those that have left their paths in them.
pub(super) struct Reallocation<'a, 'b> {
    pub(super) network: &'a Network,
    /// Of the links as they will be.
    pub(super) graph: &'b Graph,
    pub(super) draft: LedgerDraft<'a>,
    find: AllocationLookup<'a, 'b>,
    departures: Vec<Departure>,
    turns: usize,
    places: BTreeMap<AllocationId, usize>,
    /// The allocations that are on a link by this decision, ascending; there when it was first asked for, since most
    /// decisions need no victims.
    arrivals: OnceCell<Arrivals>,
}

type Arrivals = BTreeMap<(LinkIx, Slot), Vec<AllocationId>>;

/// An allocation that has left its path.
struct Departure {
    allocation: Arc<Allocation>,
    cause: DisplacedBy,
    /// Counts up as allocations leave; a move that is tried again leaves again.
    turn: usize,
    /// Where it goes now.
    route: Option<Route>,
}

impl<'a, 'b> Reallocation<'a, 'b> {
    pub(super) fn new(network: &'a Network, graph: &'b Graph, find: AllocationLookup<'a, 'b>) -> Self {
        Self {
            network,
            graph,
            draft: LedgerDraft::new(&network.ledger),
            find,
            departures: vec![],
            turns: 0,
            places: BTreeMap::new(),
            arrivals: OnceCell::new(),
        }
    }

    /// Adds an allocation that has no path in the books to begin with.
    pub(super) fn add_pathless(&mut self, allocation: &Arc<Allocation>, cause: DisplacedBy) {
        self.places.insert(allocation.id, self.departures.len());
        let (allocation, turn) = (Arc::clone(allocation), self.turns);
        self.departures.push(Departure { allocation, cause, turn, route: None });
    }

    /// Takes allocations off their paths, of which none has left it before: what is noted of them is sorted once.
    pub(super) fn displace_all(&mut self, allocations: &[&Arc<Allocation>], cause: DisplacedBy) {
        let first = self.departures.len();
        for allocation in allocations {
            self.turns += 1;
            let (allocation, turn) = (Arc::clone(allocation), self.turns);
            self.departures.push(Departure { allocation, cause, turn, route: None });
        }
        self.places.append(&mut (first..).zip(allocations).map(|(place, one)| (one.id, place)).collect());
        let entries = allocations.iter().filter_map(|allocation| self.network.entry_of(allocation));
        self.draft.leave_all(entries);
    }

    /// Takes an allocation off its path. The first cause counts, but for a move: who is moved may become a victim.
    pub(super) fn displace(&mut self, allocation: &Arc<Allocation>, cause: DisplacedBy) {
        let Some(entry) = self.network.entry_of(allocation) else { return };
        let place = self.places.get(&allocation.id).copied();
        self.turns += 1;
        let turn = self.turns;
        let Some(departure) = place.and_then(|place| self.departures.get_mut(place)) else {
            self.draft.leave(&entry);
            return self.add_pathless(allocation, cause);
        };
        if departure.cause == DisplacedBy::Relocation {
            (departure.cause, departure.turn) = (cause, turn);
        }
        let route = departure.route.take();
        let Some(left) = route.and_then(|route| self.entry_on(allocation, &route)) else { return };
        for link in left.links.iter() {
            if let Some(arrived) = self.arrivals.get_mut().and_then(|all| all.get_mut(&(*link, entry.slot)))
                && let Ok(at) = arrived.binary_search(&entry.id)
            {
                arrived.remove(at);
            }
        }
        self.draft.leave(&left);
    }

    /// Books a pathless allocation on a route.
    pub(super) fn place(&mut self, id: AllocationId, route: Route) {
        if let Some(entry) = self.note_arrival(id, route) {
            self.draft.enter(&entry);
        }
    }

    /// A pathless allocation has a route now; it is to be booked there, or is already. Its entry in the books.
    pub(super) fn note_arrival(&mut self, id: AllocationId, route: Route) -> Option<LedgerEntry> {
        let place = *self.places.get(&id)?;
        let departure = self.departures.get_mut(place)?;
        let Route { path, backup } = &route;
        let (allocation, network) = (&departure.allocation, self.network);
        let slot = network.slot_of(allocation)?;
        let entry = network.entry_on(id, &allocation.demand, slot, path, backup.as_ref())?;
        departure.route = Some(route);
        if let Some(arrivals) = self.arrivals.get_mut() {
            add_arrival(arrivals, &entry);
        }
        Some(entry)
    }

    /// The allocations in a slot of a link, newest first.
    pub(super) fn occupants(&self, link: LinkIx, slot: Slot) -> impl Iterator<Item = &Arc<Allocation>> {
        let standing = self.network.ledger.newest_first(link, slot).filter(|id| !self.draft.is_gone(*id));
        let arrivals = self.arrivals.get_or_init(|| self.all_arrivals());
        let arrived = arrivals.get(&(link, slot)).into_iter().flat_map(|ids| ids.iter().rev().copied());
        let (mut standing, mut arrived) = (standing.peekable(), arrived.peekable());
        let newest = std::iter::from_fn(move || match (arrived.peek(), standing.peek()) {
            (Some(one), Some(other)) if one < other => standing.next(),
            (Some(_), _) => arrived.next(),
            (None, _) => standing.next(),
        });
        newest.filter_map(|id| self.allocation(id))
    }

    fn all_arrivals(&self) -> Arrivals {
        let mut arrivals = Arrivals::new();
        for Departure { allocation, route, .. } in &self.departures {
            let entry = route.as_ref().and_then(|route| self.entry_on(allocation, route));
            if let Some(entry) = entry {
                add_arrival(&mut arrivals, &entry);
            }
        }
        arrivals
    }

    fn departed(&self, id: AllocationId) -> Option<&Arc<Allocation>> {
        self.departure(id).map(|departure| &departure.allocation)
    }

    fn departure(&self, id: AllocationId) -> Option<&Departure> {
        self.places.get(&id).and_then(|place| self.departures.get(*place))
    }

    /// Where an allocation goes now.
    pub(super) fn route_of(&self, allocation: &Allocation) -> Option<Route> {
        match self.departure(allocation.id) {
            Some(departure) => departure.route.clone(),
            None => Some(allocation.route()),
        }
    }

    /// An allocation on a route as the books know it.
    pub(super) fn entry_on(&self, allocation: &Allocation, Route { path, backup }: &Route) -> Option<LedgerEntry> {
        let slot = self.network.slot_of(allocation)?;
        self.network.entry_on(allocation.id, &allocation.demand, slot, path, backup.as_ref())
    }

    /// Whether an allocation goes where it goes outside of this decision.
    pub(super) fn has_stayed(&self, allocation: &Allocation) -> bool {
        self.route_of(allocation).is_some_and(|route| route == allocation.route())
    }

    /// The links on which an allocation is booked now by itself: not those where its backup path shares bandwidth.
    pub(super) fn links_of(&self, allocation: &Allocation) -> Arc<[LinkIx]> {
        let entry = self.route_of(allocation).and_then(|route| self.entry_on(allocation, &route));
        entry.map(|entry| entry.links).unwrap_or_default()
    }

    pub(super) fn displace_id(&mut self, id: AllocationId, cause: DisplacedBy) {
        if let Some(allocation) = self.allocation(id).cloned() {
            self.displace(&allocation, cause);
        }
    }

    pub(super) fn allocation(&self, id: AllocationId) -> Option<&Arc<Allocation>> {
        self.departed(id).or_else(|| (self.find)(id))
    }

    /// The allocations without a path: best class first, then oldest first.
    pub(super) fn pathless(&self) -> Vec<Arc<Allocation>> {
        let lost = self.departures.iter().filter(|departure| departure.route.is_none());
        let mut lost: Vec<_> = lost.map(|departure| Arc::clone(&departure.allocation)).collect();
        lost.sort_by_cached_key(|allocation| self.rank(allocation));
        lost
    }

    /// What is in force before what is scheduled; then best class first, then oldest first.
    pub(super) fn rank(&self, allocation: &Allocation) -> impl Ord + use<> {
        let rank = self.network.slot_of(allocation).map(|slot| self.network.ledger.slots().rank(slot));
        (rank.is_none(), allocation.is_scheduled(), rank, allocation.id)
    }

    /// The shortest path, past the switches that a controller has lost where there is one.
    pub(super) fn shortest(
        &self,
        claim: Claim,
        taking: Taking,
        query: &Query<'_>,
        workspace: &mut Workspace,
    ) -> Result<FoundPath, NoPath> {
        if let Some(links) = self.draft.preferred(claim, taking)
            && let Ok(found) = path::shortest(self.graph, &links, query, workspace)
        {
            return Ok(found);
        }
        match taking {
            Taking::Free => path::shortest(self.graph, &self.draft.free(claim), query, workspace),
            Taking::Reach => path::shortest(self.graph, &self.draft.reach(claim), query, workspace),
        }
    }

    /// Gives a pathless allocation a path that takes no bandwidth from any other; says whether there was one.
    pub(super) fn book_free_path(&mut self, allocation: &Allocation, workspace: &mut Workspace) -> bool {
        if self.switch_over(allocation, workspace) {
            return true;
        }
        let Some(claim) = self.network.claim_of(allocation) else { return false };
        let query = path_query(&self.network.model.policy, &allocation.demand);
        let Ok(found) = self.shortest(claim, Taking::Free, &query, workspace) else { return false };
        self.place(allocation.id, Route::single(found.links));
        true
    }

    /// Books a pathless allocation that was protected on its working path, and on its backup path where that is still one.
    /// Says whether the working path can carry it.
    pub(super) fn stay(&mut self, allocation: &Allocation, workspace: &mut Workspace) -> bool {
        let (Some(asked), Some(backup)) = (allocation.demand.attributes.booked_protection(), allocation.backup())
        else {
            return false;
        };
        let Some(claim) = self.network.claim_of(allocation) else { return false };
        if !self.can_carry(allocation, &allocation.path, &claim, workspace) {
            return false;
        }
        // Whether there is still room among those that share bandwidth is asked when they are recovered.
        let has_both = !asked.is_shared
            && path::are_disjoint(self.graph, &allocation.path, backup, asked.disjointness)
            && self.can_carry(allocation, backup, &claim, workspace);
        let route = if has_both { allocation.route() } else { Route::single(Arc::clone(&allocation.path)) };
        self.place(allocation.id, route);
        true
    }

    /// Books a pathless allocation that was protected on the one of its paths that can carry it. Says whether one can.
    pub(super) fn switch_over(&mut self, allocation: &Allocation, workspace: &mut Workspace) -> bool {
        if self.stay(allocation, workspace) {
            return true;
        }
        let (Some(backup), Some(claim)) = (allocation.backup(), self.network.claim_of(allocation)) else {
            return false;
        };
        self.make_backups_way(allocation, backup, &claim);
        let can_carry = self.can_carry(allocation, backup, &claim, workspace);
        if can_carry {
            self.place(allocation.id, Route::single(Arc::clone(backup)));
        }
        can_carry
    }

    fn can_carry(&self, allocation: &Allocation, path: &[LinkIx], claim: &Claim, workspace: &mut Workspace) -> bool {
        let has_room = |link: &LinkIx| self.draft.free_for(*link, claim) >= claim.bandwidth.as_bps();
        let query = path_query(&self.network.model.policy, &allocation.demand);
        path.iter().all(has_room) && path::obeys(self.graph, &query, path, workspace)
    }

    /// The bandwidth of a pool is there for one failure: where this one's backup path needs it, the others' are none any more.
    fn make_backups_way(&mut self, allocation: &Allocation, backup: &[LinkIx], claim: &Claim) {
        let slots = *self.network.ledger.slots();
        for link in backup {
            for slot in std::iter::once(claim.hold_slot).chain(slots.iter()) {
                if self.draft.free_for(*link, claim) >= claim.bandwidth.as_bps() {
                    break;
                }
                let pool = self.draft.pool(*link, slot);
                let others = pool.map_or_else(Vec::new, |pool| pool.members_but(Some(allocation.id)));
                let cause = self.departure(allocation.id).map_or(DisplacedBy::Link, |departure| departure.cause);
                self.drop_backups(&others, cause);
            }
        }
    }

    /// Takes their backup paths from allocations, which stay on their working paths.
    pub(super) fn drop_backups(&mut self, ids: &[AllocationId], cause: DisplacedBy) {
        for id in ids {
            let Some(allocation) = self.allocation(*id).cloned() else { continue };
            let Some(Route { path, .. }) = self.route_of(&allocation) else { continue };
            self.displace(&allocation, cause);
            self.place(*id, Route::single(path));
        }
    }

    /// Moves an allocation to another path with free bandwidth; where there is none it stays. Says whether it moved.
    pub(super) fn reroute_if_free(
        &mut self,
        allocation: &Arc<Allocation>,
        cause: DisplacedBy,
        workspace: &mut Workspace,
    ) -> bool {
        let old = self.route_of(allocation);
        self.displace(allocation, cause);
        let is_moved = self.book_free_path(allocation, workspace);
        if !is_moved && let Some(old) = old {
            self.place(allocation.id, old);
        }
        is_moved
    }

    /// Replaces the causes of those displaced so far.
    pub(super) fn set_causes(&mut self, cause: impl Fn(&Allocation) -> DisplacedBy) {
        for departure in &mut self.departures {
            departure.cause = cause(&departure.allocation);
        }
    }

    /// What became of each, in the order in which they left their paths. One that is back on its paths is not displaced.
    pub(super) fn fates(mut self) -> Vec<Displaced> {
        self.departures.sort_by_key(|departure| departure.turn);
        let fates = self.departures.into_iter().filter_map(|Departure { allocation, cause, route, .. }| {
            let fate = match route {
                Some(route) if route == allocation.route() => return None,
                Some(route) if route.path == allocation.path => Fate::Unprotected,
                Some(route) => Fate::Rerouted(route.path),
                None => Fate::Ended(end_by(cause)),
            };
            Some(displaced(&allocation, cause, fate))
        });
        fates.collect()
    }
}

/// A booking is on no link yet.
fn add_arrival(arrivals: &mut Arrivals, entry: &LedgerEntry) {
    if entry.span.start.is_some() {
        return;
    }
    for link in entry.links.iter() {
        let arrived = arrivals.entry((*link, entry.slot)).or_default();
        if let Err(at) = arrived.binary_search(&entry.id) {
            arrived.insert(at, entry.id);
        }
    }
}

pub(super) fn displaced(allocation: &Allocation, cause: DisplacedBy, fate: Fate) -> Displaced {
    Displaced { id: allocation.id, annotations: allocation.demand.attributes.annotations.clone(), cause, fate }
}

/// What broke its path made it fail; another demand or model preempted or devolved it.
fn end_by(cause: DisplacedBy) -> EndCause {
    match cause {
        DisplacedBy::Contention(Cause::Preempted) => EndCause::Preempted,
        DisplacedBy::Contention(Cause::Devolved) => EndCause::Devolved,
        DisplacedBy::Link | DisplacedBy::Relocation => EndCause::Failed,
    }
}
