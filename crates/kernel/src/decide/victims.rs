//! Which allocations yield: enough of those whose slots have to give up bandwidth on the links of a path, and none that
//! need not.

use super::path_query::path_query;
use super::reallocation::Reallocation;
use super::victim_choice::{Choice, Effort, Yielding, Yields};
use crate::allocation::{Allocation, Route};
use crate::bam::{Slot, VictimPolicy};
use crate::calendar::Taking;
use crate::event::DisplacedBy;
use crate::id::LinkIx;
use crate::ledger_entry::LedgerEntry;
use crate::path::Workspace;
use crate::policy::Policy;

/// For a decision.
const BOUNDED: Effort = Effort { candidates_max: 128, explored_max: 256 };
/// For what a decision is compared with.
const THOROUGH: Effort = Effort { candidates_max: usize::MAX, explored_max: 1 << 14 };

/// Books an entry and takes the bandwidth that it lacks from other allocations; `setup_slot` is the slot with which it may.
/// Says whether that is enough; if not, nothing has changed. A booking takes nothing before it starts.
pub(super) fn make_room(books: &mut Reallocation<'_, '_>, entry: &LedgerEntry, setup_slot: Slot) -> bool {
    books.draft.enter(entry);
    if entry.span.start.is_some() {
        return true;
    }
    let Some(victims) = of_entry(books, entry, setup_slot, books.network.model.policy, BOUNDED) else {
        books.draft.leave(entry);
        return false;
    };
    for Yielding { who, cause } in victims {
        yield_to(books, &who, DisplacedBy::Contention(cause));
    }
    true
}

fn yield_to(books: &mut Reallocation<'_, '_>, who: &Yields, cause: DisplacedBy) {
    match who {
        Yields::Allocation(id) => books.displace_id(*id, cause),
        Yields::Backups(ids) => books.drop_backups(ids, cause),
    }
}

/// Gives a pathless allocation a path on which it takes bandwidth from others as at its admission. Says whether there was
/// one.
pub(super) fn book_path_with_victims(
    books: &mut Reallocation<'_, '_>,
    allocation: &Allocation,
    workspace: &mut Workspace,
) -> bool {
    let (model, demand) = (&books.network.model.model, &allocation.demand);
    let Some(entry) = books.network.entry_of(allocation) else { return false };
    let Some(setup_slot) = model.slot(demand.class_type, demand.setup_priority) else { return false };
    let query = path_query(&books.network.model.policy, demand);
    let Ok(found) = books.shortest(entry.claim(setup_slot), Taking::Reach, &query, workspace) else {
        return false;
    };
    let route = Route::single(found.links);
    let Some(entry) = books.entry_on(allocation, &route) else { return false };
    let is_booked = make_room(books, &entry, setup_slot);
    if is_booked {
        books.note_arrival(allocation.id, route);
    }
    is_booked
}

/// Takes allocations off a link until its book holds.
pub(super) fn displace_excess(books: &mut Reallocation<'_, '_>, link: LinkIx, cause: DisplacedBy) {
    if books.draft.next_excess(link, books.network.model.policy.victim_order).is_none() {
        return;
    }
    let effort = Effort { candidates_max: usize::MAX, explored_max: 0 };
    let victims = Choice::new(books, &[link], None, books.network.model.policy, effort).run().unwrap_or_default();
    for Yielding { who, .. } in victims {
        yield_to(books, &who, cause);
    }
}

/// The least bandwidth of allocations whose end would make room for the entry, as far as a long search finds it.
pub(super) fn least_sufficient_bps(books: &mut Reallocation<'_, '_>, entry: &LedgerEntry, setup_slot: Slot) -> u64 {
    books.draft.enter(entry);
    let policy = Policy { victim_policy: VictimPolicy::LeastBandwidth, ..books.network.model.policy };
    let victims = of_entry(books, entry, setup_slot, policy, THOROUGH).unwrap_or_default();
    books.draft.leave(entry);
    let allocations = victims.iter().filter_map(|Yielding { who, .. }| match who {
        Yields::Allocation(id) => books.allocation(*id),
        Yields::Backups(_) => None,
    });
    allocations.fold(0, |sum, allocation| sum.saturating_add(allocation.demand.bandwidth.as_bps()))
}

/// Those that yield to `entry`, which is booked in the draft already; `None` if no victims are enough.
fn of_entry(
    books: &Reallocation<'_, '_>,
    entry: &LedgerEntry,
    setup_slot: Slot,
    policy: Policy,
    effort: Effort,
) -> Option<Vec<Yielding>> {
    let links: Vec<LinkIx> = entry.all_links().collect();
    let mut choice = Choice::new(books, &links, Some(setup_slot), policy, effort);
    choice.enough = links.iter().map(|link| choice.booked_by(*link, entry)).collect();
    choice.asking = Some(entry.id);
    let all = Effort { candidates_max: usize::MAX, ..effort };
    choice.run().or_else(|| {
        let mut choice = Choice::new(books, &links, Some(setup_slot), policy, all);
        choice.asking = Some(entry.id);
        choice.run()
    })
}
