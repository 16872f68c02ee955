//! An allocation enters the state or leaves it: the books of its links, and what is counted and numbered beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outcome::ApplyError;
use crate::allocation::{Allocation, Recovery};
use crate::event::DisplacedBy;
use crate::id::{AllocationId, LinkIx, Name};
use crate::intent::FLOWS_MAX;
use crate::ledger::Ledger;
use crate::ledger_entry::LedgerEntry;
use crate::state::{Network, State};
use crate::tenant::Usage;
use crate::units::Millis;

/// Whether the allocation is one that its network can book.
pub(super) fn fits(state: &State, allocation: &Allocation) -> bool {
    let network = state.networks.get(&allocation.demand.topology);
    network.is_some_and(|network| entry_that_fits(network, allocation).is_some())
}

/// The entry of an allocation that this network can book: a known class, a connected path from ingress to egress.
pub(super) fn entry_that_fits(network: &Network, allocation: &Allocation) -> Option<LedgerEntry> {
    let is_connected = |path: &Arc<[LinkIx]>| {
        let is_bidirectional = allocation.demand.attributes.is_bidirectional;
        let next = |at, link: &LinkIx| {
            let link = network.topology.link(*link).filter(|link| link.from == at)?;
            (!is_bidirectional || link.twin.is_some()).then_some(link.to)
        };
        !path.is_empty() && path.iter().try_fold(allocation.demand.ingress, next) == Some(allocation.demand.egress)
    };
    if !std::iter::once(&allocation.path).chain(allocation.backup()).all(is_connected) {
        return None;
    }
    network.entry_of(allocation)
}

/// Books many allocations of a snapshot; what follows from the books is worked out once.
pub(crate) fn book_all(state: &mut State, allocations: Vec<Allocation>) -> Result<(), ApplyError> {
    let mut entries: BTreeMap<Name, Vec<LedgerEntry>> = BTreeMap::new();
    for allocation in allocations {
        let bad = ApplyError::BadAllocation { at: state.sequence, id: allocation.id };
        if state.allocations.contains_key(&allocation.id) || allocation.id.0 > state.sequence.0 {
            return Err(bad);
        }
        let Some(network) = state.network_mut(&allocation.demand.topology) else { return Err(bad) };
        let Some(entry) = entry_that_fits(network, &allocation) else { return Err(bad) };
        network.living[allocation.demand.class_type.at()] += 1;
        entries.entry(allocation.demand.topology.clone()).or_default().push(entry);
        remember(state, Arc::new(allocation));
    }
    for (name, entries) in entries {
        if let Some(network) = state.network_mut(&name) {
            network.ledger.enter_all(entries);
        }
    }
    Ok(())
}

pub(super) fn book(state: &mut State, allocation: Arc<Allocation>) {
    if let Some(network) = state.network_mut(&allocation.demand.topology)
        && let Some(entry) = network.entry_of(&allocation)
    {
        network.ledger.enter(&entry);
        network.living[allocation.demand.class_type.at()] += 1;
    }
    remember(state, allocation);
}

fn remember(state: &mut State, allocation: Arc<Allocation>) {
    if let Some(at) = allocation.demand.attributes.ends_at() {
        state.deadlines.insert((at, allocation.id), ());
    }
    if let Some(at) = allocation.demand.attributes.starts_at {
        state.starts.insert((at, allocation.id), ());
    }
    state.count_usage(&allocation, Usage::plus);
    if allocation.demand.attributes.flow.is_some() {
        let topology = &allocation.demand.topology;
        state.flow_numbers.assign(allocation.id, topology, flows_max(state, topology));
    }
    note_recovering(state, &allocation);
    if allocation.demand.attributes.auto_bandwidth.is_some() {
        state.auto_bandwidth.insert(allocation.id, ());
    }
    state.allocations.insert(allocation.id, allocation);
}

/// Lists an allocation for whose protection something is to be done, and no other.
pub(super) fn note_recovering(state: &mut State, allocation: &Allocation) {
    if allocation.is_recovering() {
        state.recovering.insert(allocation.id, ());
    } else if state.recovering.contains_key(&allocation.id) {
        state.recovering.remove(&allocation.id);
    }
}

/// The flow of an allocation has another number when its path is another, and none when it is over; nor has it notice then.
pub(super) fn note_fate(state: &mut State, old: &Allocation, new: Option<&Allocation>) {
    if new.is_none() {
        state.notices.set(old.id, None);
    }
    match new.filter(|new| new.demand.attributes.flow.is_some()) {
        None => {
            let max = flows_max(state, &old.demand.topology);
            state.flow_numbers.release(old.id, &old.demand.topology, max);
        }
        Some(new) if new.path != old.path => state.flow_numbers.next_epoch(old.id),
        Some(_) => {}
    }
}

/// How many flows of a topology can have numbers.
fn flows_max(state: &State, topology: &Name) -> u32 {
    let controller = state.controller_of(topology.as_str());
    controller.map_or(FLOWS_MAX, |controller| controller.settings.numbering.flows_max())
}

/// A topology has another controller, or none: its flows have the numbers of that.
pub(super) fn renumber_flows(state: &mut State, topology: &Name) {
    let max = flows_max(state, topology);
    state.flow_numbers.set_bound(topology, max);
}

pub(super) fn unbook(state: &mut State, id: AllocationId, take_out: impl Fn(&mut Ledger, &LedgerEntry)) {
    let Some(allocation) = forget(state, id) else { return };
    if let Some(network) = state.network_mut(&allocation.demand.topology)
        && let Some(entry) = network.entry_of(&allocation)
    {
        take_out(&mut network.ledger, &entry);
        let living = &mut network.living[allocation.demand.class_type.at()];
        *living = living.saturating_sub(1);
    }
}

pub(super) fn forget(state: &mut State, id: AllocationId) -> Option<Arc<Allocation>> {
    let allocation = state.allocations.remove(&id)?;
    if let Some(at) = allocation.demand.attributes.ends_at() {
        state.deadlines.remove(&(at, id));
    }
    if let Some(at) = allocation.demand.attributes.starts_at {
        state.starts.remove(&(at, id));
    }
    if state.recovering.contains_key(&id) {
        state.recovering.remove(&id);
    }
    if allocation.demand.attributes.auto_bandwidth.is_some() {
        state.auto_bandwidth.remove(&id);
    }
    state.count_usage(&allocation, Usage::minus);
    Some(allocation)
}

/// The allocation on another path, without a backup path. Where it is to return to a path that failed, it knows which.
pub(super) fn rerouted(old: &Allocation, path: &Arc<[LinkIx]>, cause: DisplacedBy, at: Millis) -> Allocation {
    let is_revertive = old.demand.attributes.protection.is_some_and(|protection| protection.is_revertive);
    let reverts_to = match cause {
        DisplacedBy::Link if is_revertive => Some(old.reverts_to().unwrap_or(&old.path)),
        DisplacedBy::Link | DisplacedBy::Contention(_) | DisplacedBy::Relocation => old.reverts_to(),
    };
    let reverts_to = reverts_to.filter(|first| *first != path && !first.is_empty()).cloned();
    Allocation { path: Arc::clone(path), recovery: Recovery::of(None, reverts_to), updated_at: at, ..old.clone() }
}
