//! What follows from an event. No policy: everything was decided. Events come from `decide` or from a journal, and a
//! journal's rows may be stale or damaged, so that an event that does not fit the state is an error, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::allocation::Allocation;
use super::controller::Controller;
use super::event::{Displaced, Event, Fate, Recorded};
use super::id::{AllocationId, LinkIx, Name, Sequence};
use super::ledger::Ledger;
use super::ledger_entry::LedgerEntry;
use super::path::Graph;
use super::policy::{BandwidthModel, under_model};
use super::remap::Translation;
use super::state::{Network, State};
use super::tenant::Usage;
use super::topology::{Link, LinkState, Topology, TopologyError};
use super::units::Millis;

/// Why an event cannot follow from this state.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyError {
    /// A gap or a repetition.
    #[error("event {found} does not follow event {after}", found = .found.0, after = .after.0)]
    OutOfSequence {
        /// The last event applied.
        after: Sequence,
        /// The one that came.
        found: Sequence,
    },
    /// It names an unknown topology.
    #[error("event {at} names topology '{name}', which does not exist", at = .at.0)]
    NoTopology {
        /// The event.
        at: Sequence,
        /// The topology.
        name: Name,
    },
    /// It names an allocation that does not live.
    #[error("event {at} names allocation {id}, which does not live", at = .at.0)]
    NoAllocation {
        /// The event.
        at: Sequence,
        /// The allocation.
        id: AllocationId,
    },
    /// An allocation's id, path or class does not fit the state.
    #[error("event {at} has an invalid allocation {id}: its id, path or class does not fit the state", at = .at.0)]
    BadAllocation {
        /// The event.
        at: Sequence,
        /// The allocation.
        id: AllocationId,
    },
    /// It names an unknown controller, or one that was put at another time.
    #[error("event {at} names controller '{name}', which does not fit the state", at = .at.0)]
    BadController {
        /// The event.
        at: Sequence,
        /// The controller.
        name: Name,
    },
    /// It names an unknown tenant, or one that was put at another time.
    #[error("event {at} names tenant '{name}', which does not fit the state", at = .at.0)]
    BadTenant {
        /// The event.
        at: Sequence,
        /// The tenant.
        name: Name,
    },
    /// A link that breaks a rule of topologies.
    #[error("event {at} has an invalid link: {error}", at = .at.0)]
    BadLink {
        /// The event.
        at: Sequence,
        /// The rule.
        error: TopologyError,
    },
}

/// What an event changed, as it was before.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// The allocations that it changed or ended.
    pub allocations: Vec<Arc<Allocation>>,
    /// The topology that it replaced, whose indices are those of their paths.
    pub topology: Option<Arc<Topology>>,
}

/// Makes `recorded` true.
///
/// # Errors
/// The event does not fit the state; then the state is as it was.
pub fn apply(state: &mut State, recorded: &Recorded) -> Result<Before, ApplyError> {
    let at = recorded.sequence;
    if at != state.sequence.next() {
        return Err(ApplyError::OutOfSequence { after: state.sequence, found: at });
    }
    let before = change(state, recorded)?;
    state.sequence = at;
    Ok(before)
}

/// Everything that can be wrong with an event is found before anything changes.
fn change(state: &mut State, recorded: &Recorded) -> Result<Before, ApplyError> {
    let (sequence, at) = (recorded.sequence, recorded.at);
    match &recorded.event {
        Event::TopologyPut { name, topology, displaced } => {
            put_topology(state, sequence, at, name, topology, displaced)
        }
        Event::TopologyDeleted { name } => {
            let network = state.networks.remove(name);
            let network = network.ok_or_else(|| ApplyError::NoTopology { at: sequence, name: name.clone() })?;
            Ok(Before { allocations: vec![], topology: Some(Arc::clone(&network.topology)) })
        }
        Event::ModelSet { topology, model, displaced } => set_model(state, sequence, at, topology, model, displaced),
        Event::LinkChanged { topology, links, displaced, stranded: _, is_reported } => {
            let changed = changed_topology(state, sequence, topology, links)?;
            let displaced = outcomes(state, recorded, displaced)?;
            change_links(state, sequence, topology, links, changed);
            note_reported(state, topology, links, *is_reported);
            Ok(displace(state, displaced, vec![]))
        }
        Event::Admitted { allocation, displaced } => {
            if allocation.id.0 != sequence.0 || !fits(state, allocation) {
                return Err(ApplyError::BadAllocation { at: sequence, id: allocation.id });
            }
            let displaced = outcomes(state, recorded, displaced)?;
            let before = displace(state, displaced, vec![]);
            book(state, Arc::clone(allocation));
            Ok(before)
        }
        Event::Denied { .. } => Ok(Before::default()),
        Event::Resized { allocation, displaced } | Event::Started { allocation, displaced } => {
            let old = living(state, sequence, allocation.id)?;
            let displaced = outcomes(state, recorded, displaced)?;
            if !fits(state, allocation) || displaced.iter().any(|(gone, _)| gone.id == allocation.id) {
                return Err(ApplyError::BadAllocation { at: sequence, id: allocation.id });
            }
            unbook(state, allocation.id, Ledger::leave);
            number_flow(state, &old, Some(allocation));
            let before = displace(state, displaced, vec![old]);
            book(state, Arc::clone(allocation));
            Ok(before)
        }
        Event::Released { id } | Event::StartFailed { id, .. } => end_all(state, sequence, &[*id]),
        Event::Expired { ids } => end_all(state, sequence, ids),
        Event::ControllerPut { controller } => {
            let name = controller.name.clone();
            let taken = state.controller_of(controller.topology.as_str()).is_some_and(|other| other.name != name);
            if controller.revision != sequence || taken {
                return Err(ApplyError::BadController { at: sequence, name });
            }
            let mut controller = Controller::clone(controller);
            controller.leader = state.controllers.get(&name).and_then(|old| old.leader.clone());
            state.controllers.insert(name, Arc::new(controller));
            Ok(Before::default())
        }
        Event::ControllerLed { name, leader } => {
            let bad = || ApplyError::BadController { at: sequence, name: name.clone() };
            let controller = state.controllers.get_mut(name).filter(|old| old.term() < leader.term).ok_or_else(bad)?;
            Arc::make_mut(controller).leader = Some(leader.clone());
            Ok(Before::default())
        }
        Event::ControllerDeleted { name } => {
            let old = state.controllers.remove(name);
            old.ok_or_else(|| ApplyError::BadController { at: sequence, name: name.clone() })?;
            Ok(Before::default())
        }
        Event::TenantPut { tenant } => {
            if tenant.revision != sequence {
                return Err(ApplyError::BadTenant { at: sequence, name: tenant.name.clone() });
            }
            state.tenants.insert(tenant.name.clone(), Arc::clone(tenant));
            Ok(Before::default())
        }
        Event::TenantDeleted { name } => {
            let old = state.tenants.remove(name);
            old.ok_or_else(|| ApplyError::BadTenant { at: sequence, name: name.clone() })?;
            Ok(Before::default())
        }
    }
}

fn living(state: &State, at: Sequence, id: AllocationId) -> Result<Arc<Allocation>, ApplyError> {
    state.allocations.get(&id).cloned().ok_or(ApplyError::NoAllocation { at, id })
}

fn end_all(state: &mut State, at: Sequence, ids: &[AllocationId]) -> Result<Before, ApplyError> {
    distinct(at, ids.iter().copied())?;
    let allocations = ids.iter().map(|id| living(state, at, *id)).collect::<Result<Vec<_>, _>>()?;
    for old in &allocations {
        unbook(state, old.id, Ledger::end);
        number_flow(state, old, None);
    }
    Ok(Before { allocations, topology: None })
}

fn distinct(at: Sequence, ids: impl ExactSizeIterator<Item = AllocationId>) -> Result<(), ApplyError> {
    if ids.len() < 2 {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(ApplyError::NoAllocation { at, id });
        }
    }
    Ok(())
}

/// A displaced allocation as it was, and, if it was rerouted, as it is.
type Outcome = (Arc<Allocation>, Option<Arc<Allocation>>);

fn outcomes(state: &State, recorded: &Recorded, displaced: &[Displaced]) -> Result<Vec<Outcome>, ApplyError> {
    let at = recorded.sequence;
    distinct(at, displaced.iter().map(|gone| gone.id))?;
    let outcome = |gone: &Displaced| {
        let old = living(state, at, gone.id)?;
        let Fate::Rerouted(path) = &gone.fate else { return Ok((old, None)) };
        let new = rerouted(&old, path, recorded.at);
        if !fits(state, &new) {
            return Err(ApplyError::BadAllocation { at, id: gone.id });
        }
        Ok((old, Some(Arc::new(new))))
    };
    displaced.iter().map(outcome).collect()
}

/// All displaced allocations leave their links first; then the rerouted ones are booked on their new paths.
fn displace(state: &mut State, displaced: Vec<Outcome>, mut allocations: Vec<Arc<Allocation>>) -> Before {
    for (old, new) in &displaced {
        unbook(state, old.id, if new.is_some() { Ledger::leave } else { Ledger::end });
        number_flow(state, old, new.as_deref());
    }
    for (old, new) in displaced {
        if let Some(new) = new {
            book(state, new);
        }
        allocations.push(old);
    }
    Before { allocations, topology: None }
}

fn rerouted(old: &Allocation, path: &Arc<[LinkIx]>, at: Millis) -> Allocation {
    Allocation { path: Arc::clone(path), updated_at: at, ..old.clone() }
}

fn put_topology(
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
    new.revision = sequence;
    new.model_revision = old.as_ref().map_or(sequence, |old| old.model_revision);
    if let Some(old) = &old {
        let is_still = |link: &&Name| {
            let link = topology.link_named(link.as_str()).and_then(|ix| topology.link(ix));
            link.is_some_and(|link| link.state != LinkState::Up)
        };
        new.reported = Arc::new(old.reported.iter().filter(is_still).cloned().collect());
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

fn set_model(
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
    new.revision = old.revision;
    new.reported = Arc::clone(&old.reported);
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
    let fates: BTreeMap<AllocationId, &Fate> = displaced.iter().map(|gone| (gone.id, &gone.fate)).collect();
    let before = living_in(state, name);
    let mut after = Vec::with_capacity(before.len());
    let mut entries = Vec::with_capacity(before.len());
    for old in &before {
        let bad = || ApplyError::BadAllocation { at: sequence, id: old.id };
        let new = match fates.get(&old.id) {
            Some(Fate::Ended(_)) => {
                after.push(None);
                continue;
            }
            Some(Fate::Rerouted(path)) => Arc::new(rerouted(&ends(old).ok_or_else(bad)?, path, at)),
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
                    number_flow(state, old, Some(&new));
                }
                state.count_usage(old, Usage::minus);
                state.count_usage(&new, Usage::plus);
                state.allocations.insert(old.id, new);
            }
            None => {
                drop(forget(state, old.id));
                number_flow(state, old, None);
            }
        }
    }
    Ok(before)
}

/// A topology with other values on some links, and its graph if path searches see a difference.
fn changed_topology(
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

fn change_links(
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

fn note_reported(state: &mut State, name: &Name, links: &[(LinkIx, Link)], is_reported: bool) {
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

/// Whether the allocation is one that its network can book.
fn fits(state: &State, allocation: &Allocation) -> bool {
    let network = state.networks.get(&allocation.demand.topology);
    network.is_some_and(|network| entry_that_fits(network, allocation).is_some())
}

/// The entry of an allocation that this network can book: a known class, a connected path from ingress to egress.
fn entry_that_fits(network: &Network, allocation: &Allocation) -> Option<LedgerEntry> {
    let mut at = allocation.demand.ingress;
    for link in allocation.path.iter() {
        at = network.topology.link(*link).filter(|link| link.from == at)?.to;
    }
    if at != allocation.demand.egress || allocation.path.is_empty() {
        return None;
    }
    network.entry_of(allocation)
}

/// Books many allocations of a snapshot; what follows from the books is worked out once.
pub(super) fn book_all(state: &mut State, allocations: Vec<Allocation>) -> Result<(), ApplyError> {
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

fn book(state: &mut State, allocation: Arc<Allocation>) {
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
        state.flow_numbers.assign(allocation.id);
    }
    state.allocations.insert(allocation.id, allocation);
}

/// The flow of an allocation has another number when its path is another, and none when it is over.
fn number_flow(state: &mut State, old: &Allocation, new: Option<&Allocation>) {
    match new.filter(|new| new.demand.attributes.flow.is_some()) {
        None => state.flow_numbers.give_back(old.id),
        Some(new) if new.path != old.path => state.flow_numbers.next_epoch(old.id),
        Some(_) => {}
    }
}

fn unbook(state: &mut State, id: AllocationId, take_out: impl Fn(&mut Ledger, &LedgerEntry)) {
    let Some(allocation) = forget(state, id) else { return };
    if let Some(network) = state.network_mut(&allocation.demand.topology)
        && let Some(entry) = network.entry_of(&allocation)
    {
        take_out(&mut network.ledger, &entry);
        let living = &mut network.living[allocation.demand.class_type.at()];
        *living = living.saturating_sub(1);
    }
}

fn forget(state: &mut State, id: AllocationId) -> Option<Arc<Allocation>> {
    let allocation = state.allocations.remove(&id)?;
    if let Some(at) = allocation.demand.attributes.ends_at() {
        state.deadlines.remove(&(at, id));
    }
    if let Some(at) = allocation.demand.attributes.starts_at {
        state.starts.remove(&(at, id));
    }
    state.count_usage(&allocation, Usage::minus);
    Some(allocation)
}
