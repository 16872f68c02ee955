//! Preemption and devolution: which allocations lose their bandwidth to an entry, and where they go instead. A victim
//! leaves every link of its path before the next link is looked at, and is offered another path that takes no bandwidth
//! from any other allocation; without one it is over.

use std::sync::Arc;

use super::path_query::path_query;
use crate::allocation::{Allocation, EndCause};
use crate::bam::{Cause, Slot};
use crate::event::{Denial, Displaced, DisplacedBy, Fate, PathObstacle};
use crate::id::{AllocationId, LinkIx};
use crate::ledger::{LedgerDraft, LedgerEntry};
use crate::path::{self, Workspace};
use crate::policy::Restoration;
use crate::state::Network;

/// Where allocations are found in the numbers of the topology that is decided about: the state, or a new revision's.
pub(super) type AllocationLookup<'a, 'b> = &'b dyn Fn(AllocationId) -> Option<&'a Arc<Allocation>>;

/// An allocation that a draft has taken off every link of its path.
#[derive(Clone)]
pub(super) struct DisplacedAllocation {
    pub(super) allocation: Arc<Allocation>,
    pub(super) cause: DisplacedBy,
}

impl DisplacedAllocation {
    pub(super) fn new(allocation: &Arc<Allocation>, cause: DisplacedBy) -> Self {
        Self { allocation: Arc::clone(allocation), cause }
    }

    /// Its end: what broke its path made it fail; another demand or model preempted or devolved it.
    pub(super) fn ended(&self) -> Displaced {
        let cause = match self.cause {
            DisplacedBy::Contention(Cause::Preempted) => EndCause::Preempted,
            DisplacedBy::Contention(Cause::Devolved) => EndCause::Devolved,
            DisplacedBy::Link => EndCause::Failed,
        };
        self.displaced(Fate::Ended(cause))
    }

    pub(super) fn rerouted(&self, path: Arc<[LinkIx]>) -> Displaced {
        self.displaced(Fate::Rerouted(path))
    }

    fn displaced(&self, fate: Fate) -> Displaced {
        let annotations = self.allocation.demand.attributes.annotations.clone();
        Displaced { id: self.allocation.id, annotations, cause: self.cause, fate }
    }
}

/// Books the entry link by link; `setup_slot` is the slot with which it may preempt.
///
/// # Errors
/// A link stays overfull although no allocation is left on it that the entry may preempt.
pub(super) fn make_room<'a>(
    find: AllocationLookup<'a, '_>,
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    entry: &LedgerEntry,
    setup_slot: Slot,
) -> Result<Vec<DisplacedAllocation>, Denial> {
    let mut victims = vec![];
    for link in entry.path.iter() {
        draft.enter_on(*link, entry);
        while let Some((id, cause)) = draft.next_victim(*link, setup_slot, network.model.policy.victim_order) {
            let known = id.and_then(find).and_then(|victim| Some((victim, network.entry_of(victim)?)));
            let Some((victim, entry)) = known else { return Err(Denial::NoPath(PathObstacle::SearchLimit)) };
            draft.leave(&entry);
            victims.push(DisplacedAllocation::new(victim, DisplacedBy::Contention(cause)));
        }
    }
    Ok(victims)
}

/// Best class first, then oldest first: the order in which displaced allocations are offered other paths.
pub(super) fn best_first(network: &Network, displaced: &mut [DisplacedAllocation]) {
    let slots = network.ledger.slots();
    displaced.sort_by_key(|displaced| {
        let rank = network.slot_of(&displaced.allocation).map(|slot| slots.rank(slot));
        (rank.is_none(), rank, displaced.allocation.id)
    });
}

/// The fates of victims, in the order in which they lost their bandwidth. A victim that finds its old path free again is
/// none.
pub(super) fn fates_of_victims(
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    victims: Vec<DisplacedAllocation>,
    workspace: &mut Workspace,
) -> Vec<Displaced> {
    let mut fates: Vec<Displaced> = victims.iter().map(DisplacedAllocation::ended).collect();
    if network.model.policy.restoration == Restoration::None {
        return fates;
    }
    let mut ordered = victims;
    best_first(network, &mut ordered);
    for victim in ordered {
        let Some(path) = book_free_path(network, draft, &victim.allocation, workspace) else { continue };
        let Some(at) = fates.iter().position(|displaced| displaced.id == victim.allocation.id) else { continue };
        if path == victim.allocation.path {
            fates.remove(at);
        } else if let Some(displaced) = fates.get_mut(at) {
            displaced.fate = Fate::Rerouted(path);
        }
    }
    fates
}

/// A path for the allocation that takes no bandwidth from any other; booked in the draft if there is one.
pub(super) fn book_free_path(
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    allocation: &Allocation,
    workspace: &mut Workspace,
) -> Option<Arc<[LinkIx]>> {
    let entry = network.entry_of(allocation)?;
    let query = path_query(&network.model.policy, &allocation.demand);
    let found = path::shortest(&network.graph, &draft.free(entry.slot), &query, workspace).ok()?;
    let path: Arc<[LinkIx]> = found.links.into();
    draft.enter(&LedgerEntry { path: Arc::clone(&path), ..entry });
    Some(path)
}
