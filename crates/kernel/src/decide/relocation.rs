//! Moves before a denial: standing allocations of the same or a lower class take other paths, make-before-break, so that a
//! demand fits that no victims would make fit. Each move has free bandwidth on every link of its new path before the old
//! one is left, and keeps to the constraints of the allocation that is moved; an explicit route therefore pins it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::path_query::path_query;
use super::reallocation::Reallocation;
use crate::allocation::{Allocation, Demand, Route};
use crate::bam::{SLOTS, Slot};
use crate::event::DisplacedBy;
use crate::id::{LinkIx, NodeIx};
use crate::ledger_entry::Claim;
use crate::path::{self, BesideDemand, Links, Metric, Query, WEIGHT_ONE, Workspace};
use crate::policy::Restoration;
use crate::units::Bandwidth;

/// How many paths are tried for a demand.
const PATHS_MAX: usize = 3;
/// How many of the newest allocations of a slot on a link are considered for a move.
const CANDIDATES_MAX: usize = 16;
/// How many searches for other paths one denial may cost.
const SEARCHES_MAX: usize = 32;
/// A link that lacks bandwidth counts as so many that have it.
const LACK_WEIGHT: u32 = 16 * WEIGHT_ONE;

/// Moves what it takes and returns the path on which the demand is within reach then. `None`: nothing has moved.
pub(super) fn make_way(
    books: &mut Reallocation<'_, '_>,
    demand: &Demand,
    claim: Claim,
    moves_max: u8,
    workspace: &mut Workspace,
) -> Option<Vec<LinkIx>> {
    let policy = books.network.model.policy;
    // What moves now need not stand where it does when a booking starts.
    if policy.restoration == Restoration::None || moves_max == 0 || claim.span.start.is_some() {
        return None;
    }
    let mut relocation =
        Relocating { demand, claim, moves_max: usize::from(moves_max), searches_left: SEARCHES_MAX, stuck: vec![] };
    let query = Query { metric: Metric::Congestion, ..path_query(&policy, demand) };
    let mut blocked = BTreeSet::new();
    for _ in 0..PATHS_MAX {
        let found = {
            let reach = books.draft.reach(claim);
            let links = WithMoves { books, demand, slot: claim.slot, reach, blocked: &blocked };
            path::shortest(books.graph, &links, &query, workspace).ok()?
        };
        match relocation.clear(books, &found.links, workspace) {
            Ok(()) => return Some(found.links),
            Err(link) => blocked.insert(link),
        };
    }
    None
}

struct Relocating<'a> {
    demand: &'a Demand,
    claim: Claim,
    moves_max: usize,
    searches_left: usize,
    /// Between these ends so much bandwidth of a slot found no other path.
    stuck: Vec<(NodeIx, NodeIx, Slot, u64)>,
}

impl Relocating<'_> {
    /// Moves allocations until the demand is within reach on every link of the path; else takes all back and names the link
    /// on which it is not.
    fn clear(
        &mut self,
        books: &mut Reallocation<'_, '_>,
        path: &[LinkIx],
        workspace: &mut Workspace,
    ) -> Result<(), LinkIx> {
        let mut moved: Vec<Arc<Allocation>> = vec![];
        for link in path {
            while self.lack(books, *link) > 0 {
                let moves_left = self.moves_max - moved.len();
                let one = if moves_left > 0 { self.move_one(books, path, *link, moves_left, workspace) } else { None };
                let Some(one) = one else {
                    for allocation in moved.iter().rev() {
                        books.displace(allocation, DisplacedBy::Relocation);
                        books.place(allocation.id, allocation.route());
                    }
                    return Err(*link);
                };
                moved.push(one);
            }
        }
        Ok(())
    }

    fn lack(&self, books: &Reallocation<'_, '_>, link: LinkIx) -> u64 {
        self.demand.bandwidth.as_bps().saturating_sub(books.draft.reach_for(link, &self.claim))
    }

    /// Moves one allocation off a link, so that the demand comes nearer there and not farther on any other link of its path.
    fn move_one(
        &mut self,
        books: &mut Reallocation<'_, '_>,
        path: &[LinkIx],
        link: LinkIx,
        moves_left: usize,
        workspace: &mut Workspace,
    ) -> Option<Arc<Allocation>> {
        let lacks: Vec<u64> = path.iter().map(|link| self.lack(books, *link)).collect();
        let lack = self.lack(books, link);
        for allocation in self.candidates(books, link, lack) {
            if self.searches_left == 0 {
                return None;
            }
            books.displace(&allocation, DisplacedBy::Relocation);
            let rest = self.lack(books, link);
            let is_useful = rest < lack && (rest == 0 || moves_left > 1);
            if is_useful && let Some(way) = self.way_around(books, path, &allocation, workspace) {
                books.place(allocation.id, Route::single(way));
                let nearer = |(link, before): (&LinkIx, &u64)| self.lack(books, *link) <= *before;
                if path.iter().zip(&lacks).all(nearer) {
                    return Some(allocation);
                }
                books.displace(&allocation, DisplacedBy::Relocation);
            }
            books.place(allocation.id, allocation.route());
        }
        None
    }

    /// The allocations on a link that may be moved: of the same or a lower class, not moved yet, with no backup path that
    /// its own would have to stay clear of. First those with enough
    /// bandwidth alone, the least first; then the others, the most first.
    fn candidates(&self, books: &Reallocation<'_, '_>, link: LinkIx, lack: u64) -> Vec<Arc<Allocation>> {
        let slots = books.network.ledger.slots();
        let lower = slots.iter().filter(|slot| slots.class_type(*slot) <= self.demand.class_type);
        let standing = lower.flat_map(|slot| books.occupants(link, slot).take(CANDIDATES_MAX));
        let mut found: Vec<_> =
            standing.filter(|one| one.recovery.is_none() && books.has_stayed(one)).cloned().collect();
        found.sort_by_key(|allocation| match allocation.demand.bandwidth.as_bps() {
            bandwidth if bandwidth >= lack => (0, bandwidth),
            bandwidth => (1, u64::MAX - bandwidth),
        });
        found
    }

    /// Another path for a displaced allocation, with free bandwidth that the demand does not need.
    fn way_around(
        &mut self,
        books: &Reallocation<'_, '_>,
        path: &[LinkIx],
        allocation: &Allocation,
        workspace: &mut Workspace,
    ) -> Option<Vec<LinkIx>> {
        let claim = books.network.claim_of(allocation)?;
        let slot = claim.slot;
        let Demand { ingress, egress, bandwidth, constraints, .. } = &allocation.demand;
        let is_stuck = |(from, to, of, least): &(NodeIx, NodeIx, Slot, u64)| {
            (from, to, *of) == (ingress, egress, slot) && *least <= bandwidth.as_bps()
        };
        if self.stuck.iter().any(is_stuck) {
            return None;
        }
        self.searches_left -= 1;
        let needed_bps = self.demand.bandwidth.as_bps();
        let both = Bandwidth::saturating_from_bps(bandwidth.as_bps().saturating_add(needed_bps));
        let free = books.draft.free(Claim { bandwidth: both, ..claim });
        let mut needed = path.to_vec();
        if self.claim.is_bidirectional || claim.is_bidirectional {
            needed.extend(path.iter().filter_map(|link| books.network.ledger.twin(*link)));
        }
        let links = BesideDemand { free, path: &needed, needed_bps };
        let query = path_query(&books.network.model.policy, &allocation.demand);
        let found = path::shortest(books.graph, &links, &query, workspace);
        if found.is_err() && constraints.is_none() {
            self.stuck.push((*ingress, *egress, slot, bandwidth.as_bps()));
        }
        Some(found.ok()?.links)
    }
}

/// The links on which moves could bring a demand within reach: all that would take it if they were empty.
struct WithMoves<'a, 'b, 'c, L> {
    books: &'c Reallocation<'a, 'b>,
    demand: &'c Demand,
    slot: Slot,
    reach: L,
    blocked: &'c BTreeSet<LinkIx>,
}

impl<L: Links> Links for WithMoves<'_, '_, '_, L> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        let reach = self.reach.room_bps(link);
        if reach >= self.demand.bandwidth.as_bps() {
            return reach;
        }
        if self.blocked.contains(&link) || !self.reach.is_usable(link) {
            return 0;
        }
        let slots = self.books.network.ledger.slots();
        let book = self.books.draft.book(link);
        book.map_or(0, |(bounds, _)| bounds.reach_bps(slots, &[0; SLOTS], self.slot))
    }

    fn weight(&self, link: LinkIx) -> u32 {
        if self.reach.room_bps(link) >= self.demand.bandwidth.as_bps() { WEIGHT_ONE } else { LACK_WEIGHT }
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.reach.is_usable(link)
    }
}
