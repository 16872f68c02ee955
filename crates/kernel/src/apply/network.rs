//! A network gets another topology, another bandwidth model or other links.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::booking::{entry_that_fits, forget, note_fate, note_recovering, rerouted};
use super::outcome::{ApplyError, Before};
use crate::allocation::Allocation;
use crate::event::{Displaced, Fate};
use crate::id::{AllocationId, LinkIx, Name, Sequence};
use crate::path::Graph;
use crate::policy::{BandwidthModel, under_model};
use crate::remap::Translation;
use crate::state::{Network, State};
use crate::tenant::Usage;
use crate::topology::{Link, LinkState, Topology};
use crate::units::Millis;

pub(super) fn put_topology(
    state: &mut State,
    sequence: Sequence,
    at: Millis,
    name: &Name,
    topology: &Arc<Topology>,
    displaced: &[Displaced],
) -> Result<Before, ApplyError> {
    let old = state.networks.get(name).cloned();
    let model = match &old {
        Some(old) => Arc::clone(&old.model),
        None => Arc::new(
            BandwidthModel::standard().map_err(|_| ApplyError::NoTopology { at: sequence, name: name.clone() })?,
        ),
    };
    let mut new = Network::new(Arc::clone(topology), Arc::new(Graph::new(topology)), model);
    new.created = old.as_ref().map_or(sequence, |old| old.created);
    new.revision = sequence;
    new.model_revision = old.as_ref().map_or(sequence, |old| old.model_revision);
    if let Some(old) = &old {
        let is_still = |link: &&Name| {
            let link = topology.link_named(link.as_str()).and_then(|ix| topology.link(ix));
            link.is_some_and(|link| link.state != LinkState::Up)
        };
        new.reported = Arc::new(old.reported.iter().filter(is_still).cloned().collect());
        new.keep_maintenances(old);
    }
    let Some(old) = old else {
        state.networks.insert(name.clone(), Arc::new(new));
        return Ok(Before::default());
    };
    let translation = Translation::between(&old.topology, topology);
    let keep = |old: &Arc<Allocation>| translation.allocation(old).map(Arc::new);
    let allocations =
        replace_network(state, sequence, at, (name, new), displaced, keep, |old| translation.ends_of(old))?;
    Ok(Before { allocations, topology: Some(Arc::clone(&old.topology)) })
}

pub(super) fn set_model(
    state: &mut State,
    sequence: Sequence,
    at: Millis,
    name: &Name,
    model: &Arc<BandwidthModel>,
    displaced: &[Displaced],
) -> Result<Before, ApplyError> {
    let missing = || ApplyError::NoTopology { at: sequence, name: name.clone() };
    let old = state.networks.get(name).ok_or_else(missing)?;
    let mut new = Network::new(Arc::clone(&old.topology), Arc::clone(&old.graph), Arc::clone(model));
    (new.created, new.revision) = (old.created, old.revision);
    new.reported = Arc::clone(&old.reported);
    new.keep_maintenances(old);
    new.model_revision = sequence;
    let (topology, before) = (Some(Arc::clone(&old.topology)), old.model.model.clone());
    let adapted = |old: &Allocation| under_model(old, &before, &model.model).unwrap_or_else(|| old.clone());
    let keep = |old: &Arc<Allocation>| Some(Arc::new(adapted(old)));
    let ends = |old: &Allocation| Some(adapted(old));
    let allocations = replace_network(state, sequence, at, (name, new), displaced, keep, ends)?;
    Ok(Before { allocations, topology })
}

/// Books every allocation of a network in its new books: the displaced ones as the event says, the rest where they were.
/// The allocations as they were.
fn replace_network(
    state: &mut State,
    sequence: Sequence,
    at: Millis,
    (name, mut network): (&Name, Network),
    displaced: &[Displaced],
    keep: impl Fn(&Arc<Allocation>) -> Option<Arc<Allocation>>,
    ends: impl Fn(&Allocation) -> Option<Allocation>,
) -> Result<Vec<Arc<Allocation>>, ApplyError> {
    let fates: BTreeMap<AllocationId, &Displaced> = displaced.iter().map(|gone| (gone.id, gone)).collect();
    let before = living_in(state, name);
    let mut after = Vec::with_capacity(before.len());
    let mut entries = Vec::with_capacity(before.len());
    for old in &before {
        let bad = || ApplyError::BadAllocation { at: sequence, id: old.id };
        let new = match fates.get(&old.id).map(|gone| (&gone.fate, gone.cause)) {
            Some((Fate::Ended(_), _)) => {
                after.push(None);
                continue;
            }
            Some((Fate::Rerouted(path), cause)) => Arc::new(rerouted(&ends(old).ok_or_else(bad)?, path, cause, at)),
            Some((Fate::Unprotected, _)) => {
                let kept = keep(old).ok_or_else(bad)?;
                Arc::new(Allocation { updated_at: at, ..kept.without_backup() })
            }
            None => keep(old).ok_or_else(bad)?,
        };
        entries.push(entry_that_fits(&network, &new).ok_or_else(bad)?);
        network.living[new.demand.class_type.at()] += 1;
        after.push(Some(new));
    }
    network.ledger.enter_all(entries);
    state.networks.insert(name.clone(), Arc::new(network));
    for (old, new) in before.iter().zip(after) {
        match new {
            Some(new) => {
                // Without a fate it is on the same links, whatever their indices are.
                if fates.contains_key(&old.id) {
                    note_fate(state, old, Some(&new));
                }
                state.count_usage(old, Usage::minus);
                state.count_usage(&new, Usage::plus);
                note_recovering(state, &new);
                state.allocations.insert(old.id, new);
            }
            None => {
                drop(forget(state, old.id));
                note_fate(state, old, None);
            }
        }
    }
    Ok(before)
}

/// A topology with other values on some links, and its graph if path searches see a difference.
pub(super) fn changed_topology(
    state: &State,
    sequence: Sequence,
    name: &Name,
    links: &[(LinkIx, Link)],
) -> Result<(Topology, Option<Graph>), ApplyError> {
    let missing = || ApplyError::NoTopology { at: sequence, name: name.clone() };
    let network = state.networks.get(name).ok_or_else(missing)?;
    let mut topology = Topology::clone(&network.topology);
    let mut paths_differ = false;
    for (ix, link) in links {
        let old = topology.replace_link(*ix, link.clone());
        let old = old.map_err(|error| ApplyError::BadLink { at: sequence, error })?;
        paths_differ |= old.te_metric != link.te_metric
            || old.delay != link.delay
            || old.admin_group != link.admin_group
            || old.srlg != link.srlg;
    }
    let graph = paths_differ.then(|| Graph::new(&topology));
    Ok((topology, graph))
}

pub(super) fn change_links(
    state: &mut State,
    sequence: Sequence,
    name: &Name,
    links: &[(LinkIx, Link)],
    (topology, graph): (Topology, Option<Graph>),
) {
    let Some(network) = state.network_mut(name) else { return };
    network.topology = Arc::new(topology);
    if let Some(graph) = graph {
        network.graph = Arc::new(graph);
    }
    network.revision = sequence;
    for (ix, _) in links {
        if let Some(link) = network.topology.link(*ix) {
            network.ledger.set_link(*ix, link, &network.model);
        }
    }
}

pub(super) fn record_reported(state: &mut State, name: &Name, links: &[(LinkIx, Link)], is_reported: bool) {
    let Some(network) = state.network_mut(name) else { return };
    for (_, link) in links {
        let is_new = is_reported && link.state != LinkState::Up;
        if is_new == network.reported.contains(&link.name) {
            continue;
        }
        let reported = Arc::make_mut(&mut network.reported);
        if is_new {
            reported.insert(link.name.clone())
        } else {
            reported.remove(&link.name)
        };
    }
}

fn living_in(state: &State, name: &Name) -> Vec<Arc<Allocation>> {
    state.allocations.values().filter(|allocation| allocation.demand.topology == *name).cloned().collect()
}
