//! What becomes of those who have to leave: best first, each is offered another path that disturbs nobody; who finds none
//! is over. An LSP whose link broke may besides make others yield, as any demand of its class may.

use std::sync::Arc;

use super::admit::{AllocationLookup, Requester, make_room, metric};
use crate::allocation::{Allocation, EndCause};
use crate::bam::Cause;
use crate::event::{Displaced, DisplacedBy, Fate};
use crate::id::LinkIx;
use crate::ledger::{LedgerDraft, LedgerEntry};
use crate::path::{self, Constraints, Links, Query, Workspace};
use crate::policy::Restoration;
use crate::state::Network;

/// Somebody who has left every link of their path in a draft.
#[derive(Clone)]
pub(super) struct DisplacedAllocation {
    pub(super) allocation: Arc<Allocation>,
    pub(super) cause: DisplacedBy,
}

impl DisplacedAllocation {
    pub(super) fn yielding(allocation: &Arc<Allocation>, cause: Cause) -> Self {
        Self { allocation: Arc::clone(allocation), cause: DisplacedBy::Yielding(cause) }
    }

    fn ended(&self) -> Displaced {
        let cause = match self.cause {
            DisplacedBy::Yielding(Cause::Preempted) => EndCause::Preempted,
            DisplacedBy::Yielding(Cause::Devolved) => EndCause::Devolved,
            DisplacedBy::Link => EndCause::Failed,
        };
        Displaced { id: self.allocation.id, cause: self.cause, fate: Fate::Ended(cause) }
    }
}

/// Best class first, then oldest first.
pub(super) fn best_first(network: &Network, leavers: &mut [DisplacedAllocation]) {
    let slots = network.ledger.slots();
    leavers.sort_by_key(|leaver| {
        let rank = network.slot_of(&leaver.allocation).map(|slot| slots.rank(slot));
        (rank.is_none(), rank, leaver.allocation.id)
    });
}

/// Settles those who yielded. Told in the order in which they left.
pub(super) fn settle(
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    leavers: Vec<DisplacedAllocation>,
    workspace: &mut Workspace,
) -> Vec<Displaced> {
    let mut displaced: Vec<Displaced> = leavers.iter().map(DisplacedAllocation::ended).collect();
    if network.model.policy.restoration == Restoration::None {
        return displaced;
    }
    let mut ordered = leavers;
    best_first(network, &mut ordered);
    for leaver in ordered {
        let Some(way) = elsewhere(network, draft, &leaver, workspace) else { continue };
        let stays = way == leaver.allocation.path;
        if let Some(place) = displaced.iter().position(|gone| gone.id == leaver.allocation.id) {
            if stays {
                displaced.remove(place);
            } else if let Some(told) = displaced.get_mut(place) {
                told.fate = Fate::Rerouted(way);
            }
        }
    }
    displaced
}

/// Restores those whose link broke, best first. Whoever finds no free path may make others yield.
pub(super) fn restore(
    find: AllocationLookup<'_, '_>,
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    mut leavers: Vec<DisplacedAllocation>,
    workspace: &mut Workspace,
) -> Vec<Displaced> {
    best_first(network, &mut leavers);
    let mut displaced = vec![];
    for leaver in leavers {
        if network.model.policy.restoration == Restoration::None {
            displaced.push(leaver.ended());
            continue;
        }
        if let Some(way) = elsewhere(network, draft, &leaver, workspace) {
            if way != leaver.allocation.path {
                displaced.push(Displaced { fate: Fate::Rerouted(way), ..leaver.ended() });
            }
            continue;
        }
        match over_others(find, network, draft, &leaver, workspace) {
            Some((way, others)) => {
                displaced.push(Displaced { fate: Fate::Rerouted(way), ..leaver.ended() });
                displaced.extend(others);
            }
            None => displaced.push(leaver.ended()),
        }
    }
    displaced
}

/// Another path that disturbs nobody; booked if found.
pub(super) fn elsewhere(
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    leaver: &DisplacedAllocation,
    workspace: &mut Workspace,
) -> Option<Arc<[LinkIx]>> {
    let entry = network.entry_of(&leaver.allocation)?;
    let way: Arc<[LinkIx]> = search(network, &draft.free(entry.slot), &leaver.allocation, workspace)?.into();
    draft.enter(&LedgerEntry { path: Arc::clone(&way), ..entry });
    Some(way)
}

fn over_others(
    find: AllocationLookup<'_, '_>,
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    leaver: &DisplacedAllocation,
    workspace: &mut Workspace,
) -> Option<(Arc<[LinkIx]>, Vec<Displaced>)> {
    let held_in = network.slot_of(&leaver.allocation)?;
    let asks_in = network.model.model.slot(leaver.allocation.class_type, leaver.allocation.setup_priority)?;
    let asker = Requester { id: leaver.allocation.id, asks_in, held_in };
    let way: Arc<[LinkIx]> = search(network, &draft.reach(asks_in), &leaver.allocation, workspace)?.into();
    let bandwidth = leaver.allocation.bandwidth;
    let entry = LedgerEntry { id: asker.id, slot: held_in, bandwidth, path: Arc::clone(&way) };
    let mark = draft.mark();
    match make_room(find, network, draft, &entry, asks_in) {
        Ok(others) => Some((way, settle(network, draft, others, workspace))),
        Err(_) => {
            // Somebody restored a moment ago stands in the way: they stay.
            draft.back_to(mark);
            None
        }
    }
}

fn search(
    network: &Network,
    links: &impl Links,
    allocation: &Allocation,
    workspace: &mut Workspace,
) -> Option<Vec<LinkIx>> {
    let unconstrained = Constraints::default();
    let constraints = allocation.constraints.as_deref().unwrap_or(&unconstrained);
    let query = Query {
        ingress: allocation.ingress,
        egress: allocation.egress,
        bandwidth_bps: allocation.bandwidth.as_bps(),
        metric: metric(&network.model.policy, constraints),
        constraints,
    };
    path::shortest(&network.graph, links, &query, workspace).ok().map(|found| found.links)
}
