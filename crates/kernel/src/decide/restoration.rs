//! Restoration of allocations whose path broke: a link went down, shrank, or is not in the new revision. Best class first,
//! each is offered a path with free bandwidth, and then one on which it preempts as any demand of its class may. An
//! allocation that finds neither fails.

use std::sync::Arc;

use super::path_query::path_query;
use super::preemption::{
    AllocationLookup, DisplacedAllocation, best_first, book_free_path, fates_of_victims, make_room,
};
use crate::allocation::Allocation;
use crate::event::Displaced;
use crate::id::LinkIx;
use crate::ledger::{LedgerDraft, LedgerEntry};
use crate::path::{self, Workspace};
use crate::policy::Restoration;
use crate::state::Network;

/// The fates of the broken allocations and of the victims of those that were restored.
pub(super) fn restore(
    find: AllocationLookup<'_, '_>,
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    mut broken: Vec<DisplacedAllocation>,
    workspace: &mut Workspace,
) -> Vec<Displaced> {
    best_first(network, &mut broken);
    if network.model.policy.restoration == Restoration::None {
        return broken.iter().map(DisplacedAllocation::ended).collect();
    }
    let mut fates = vec![];
    for displaced in broken {
        if let Some(path) = book_free_path(network, draft, &displaced.allocation, workspace) {
            if path != displaced.allocation.path {
                fates.push(displaced.rerouted(path));
            }
            continue;
        }
        match book_path_with_victims(find, network, draft, &displaced.allocation, workspace) {
            Some((path, victims)) => {
                fates.push(displaced.rerouted(path));
                fates.extend(victims);
            }
            None => fates.push(displaced.ended()),
        }
    }
    fates
}

fn book_path_with_victims(
    find: AllocationLookup<'_, '_>,
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    allocation: &Allocation,
    workspace: &mut Workspace,
) -> Option<(Arc<[LinkIx]>, Vec<Displaced>)> {
    let demand = &allocation.demand;
    let entry = network.entry_of(allocation)?;
    let setup_slot = network.model.model.slot(demand.class_type, demand.setup_priority)?;
    let query = path_query(&network.model.policy, demand);
    let found = path::shortest(&network.graph, &draft.reach(setup_slot), &query, workspace).ok()?;
    let path: Arc<[LinkIx]> = found.links.into();
    let savepoint = draft.savepoint();
    match make_room(find, network, draft, &LedgerEntry { path: Arc::clone(&path), ..entry }, setup_slot) {
        Ok(victims) => Some((path, fates_of_victims(network, draft, victims, workspace))),
        Err(_) => {
            // An allocation restored before this one holds the bandwidth, and the ledger has it elsewhere: it stays.
            draft.roll_back(savepoint);
            None
        }
    }
}
