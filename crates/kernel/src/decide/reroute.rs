//! A move of one allocation to a path that is given. It takes no bandwidth from any other, and obeys what the allocation's
//! own path has to obey; a backup path stays, and the path must stay clear of it.

use std::sync::Arc;

use super::path_query::path_query;
use super::protection::fits_beside;
use super::resolve;
use super::tenant::check_route;
use crate::allocation::{Allocation, Recovery, Route};
use crate::event::{Binding, Denial, Event, PathObstacle};
use crate::id::{AllocationId, LinkIx, Name};
use crate::ledger_draft::LedgerDraft;
use crate::path::{self, Workspace};
use crate::refusal::Refusal;
use crate::state::State;
use crate::units::{Bandwidth, Millis};

/// Make-before-break: where the paths share links, the bandwidth is held once (RFC 3209 §2.5).
pub(super) fn reroute(
    state: &State,
    id: AllocationId,
    path: &[Name],
    now: Millis,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    let old = resolve::allocation(state, id)?;
    let (topology, network) = resolve::network(state, Some(&old.demand.topology))?;
    let link = |name: &Name| {
        let unknown = || Refusal::UnknownLink { name: name.clone(), topology: topology.clone() };
        network.topology.link_named(name.as_str()).ok_or_else(unknown)
    };
    let path = path.iter().map(link).collect::<Result<Arc<[LinkIx]>, _>>()?;
    let denied = |denial| Ok(Event::Denied { of: Some(id), demand: Box::new(old.demand.clone()), denial });
    let query = path_query(&network.model.policy, &old.demand);
    if !path::obeys(&network.graph, &query, &path, workspace) {
        return denied(Denial::NoPath(PathObstacle::Route));
    }
    if let (Some(protection), Some(backup)) = (old.demand.attributes.booked_protection(), old.backup())
        && !path::are_disjoint(&network.graph, &path, backup, protection.disjointness)
    {
        return denied(Denial::NoPath(PathObstacle::Route));
    }
    let (Some(entry), Some(claim)) = (network.entry_of(old), network.claim_of(old)) else {
        return denied(Denial::NoPath(PathObstacle::Route));
    };
    let mut draft = LedgerDraft::new(&network.ledger);
    draft.leave(&entry);
    if let (Some(asked), Some(backup)) = (old.demand.attributes.booked_protection(), old.backup())
        && !fits_beside(network, &draft, &claim, (&path, asked), backup)
    {
        return denied(Denial::NoPath(PathObstacle::Route));
    }
    let rooms = || path.iter().map(|link| (*link, draft.free_for(*link, &claim)));
    let bandwidth_bps = old.demand.bandwidth.as_bps();
    let binding = rooms()
        .filter(|(_, room)| *room < bandwidth_bps)
        .map(|(link, room)| Binding { link, available: Bandwidth::saturating_from_bps(room) });
    let binding: Vec<Binding> = binding.collect();
    if !binding.is_empty() {
        let least = rooms().map(|(_, room)| room).min().unwrap_or(0);
        let largest_admissible = Bandwidth::saturating_from_bps(least);
        return denied(Denial::InsufficientBandwidth { binding, largest_admissible });
    }
    let route = Route { path, backup: old.backup().cloned() };
    check_route(state, &old.demand, &route, Some(old))?;
    let Route { path, backup } = route;
    let recovery = Recovery::of(backup, None);
    let moved = Allocation { path, recovery, updated_at: now, ..Allocation::clone(old) };
    Ok(Event::Resized { allocation: Arc::new(moved), displaced: vec![] })
}
