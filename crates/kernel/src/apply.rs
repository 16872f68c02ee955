//! What follows from an event. No policy: everything was decided. Events come from `decide` or from a journal, and a
//! journal's rows may be stale or damaged, so that an event that does not fit the state is an error.
//! Every change can be undone, for a batch that could not be written down.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::allocation::Allocation;
use super::controller::Controller;
use super::event::{Displaced, Event, Fate, Recorded};
use super::id::{AllocationId, LinkIx, Name, Sequence};
use super::ledger::{Ledger, LedgerEntry};
use super::path::Graph;
use super::policy::BandwidthModel;
use super::remap::Translation;
use super::state::{Network, State};
use super::topology::{Link, Topology, TopologyError};
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
    /// A link that breaks a rule of topologies.
    #[error("event {at} has an invalid link: {error}", at = .at.0)]
    BadLink {
        /// The event.
        at: Sequence,
        /// The rule.
        error: TopologyError,
    },
}

/// What it takes to take one event back.
pub struct Undo {
    sequence: Sequence,
    network: NetworkUndo,
    /// The allocation that the event admitted.
    born: Option<AllocationId>,
    /// The allocations that the event changed or ended, as they were.
    before: Vec<Arc<Allocation>>,
    /// The controller of that name as it was, if one was touched.
    controller: Option<(Name, Option<Arc<Controller>>)>,
}

enum NetworkUndo {
    Same,
    /// The network as it was, books and all, or none.
    Whole(Name, Option<Box<Network>>),
    Links {
        name: Name,
        topology: Arc<Topology>,
        graph: Arc<Graph>,
        revision: Sequence,
        links: Vec<LinkIx>,
    },
}

impl Undo {
    /// The allocations that the event changed or ended, as they were before it.
    pub fn before(&self) -> &[Arc<Allocation>] {
        &self.before
    }

    /// The topology that they were in, if the event replaced it; its indices are those of their paths.
    pub fn topology(&self) -> Option<&Arc<Topology>> {
        match &self.network {
            NetworkUndo::Whole(_, Some(network)) => Some(&network.topology),
            _ => None,
        }
    }
}

/// Makes `recorded` true.
///
/// # Errors
/// The event does not fit the state; then the state is as it was.
pub fn apply(state: &mut State, recorded: &Recorded) -> Result<Undo, ApplyError> {
    let at = recorded.sequence;
    if at != state.sequence.next() {
        return Err(ApplyError::OutOfSequence { after: state.sequence, found: at });
    }
    let mut undo =
        Undo { sequence: state.sequence, network: NetworkUndo::Same, born: None, before: vec![], controller: None };
    let done = change(state, recorded, &mut undo);
    if let Err(error) = done {
        revert(state, undo);
        return Err(error);
    }
    state.sequence = at;
    Ok(undo)
}

/// Makes the state what it was before the last event applied.
pub fn revert(state: &mut State, undo: Undo) {
    let whole = matches!(undo.network, NetworkUndo::Whole(..));
    let touched = undo.before.iter().map(|old| old.id).chain(undo.born);
    for id in touched.collect::<Vec<_>>() {
        if whole { drop(forget(state, id)) } else { unbook(state, id, Ledger::leave) }
    }
    match undo.network {
        NetworkUndo::Same => {}
        NetworkUndo::Whole(name, Some(network)) => {
            state.networks.insert(name, *network);
        }
        NetworkUndo::Whole(name, None) => {
            state.networks.remove(&name);
        }
        NetworkUndo::Links { name, topology, graph, revision, links } => {
            if let Some(network) = state.networks.get_mut(&name) {
                network.topology = topology;
                network.graph = graph;
                network.revision = revision;
                hold_links(network, &links);
            }
        }
    }
    for old in undo.before {
        if whole { remember(state, old) } else { book(state, old) }
    }
    if let Some((name, old)) = undo.controller {
        match old {
            Some(old) => state.controllers.insert(name, old),
            None => state.controllers.remove(&name),
        };
    }
    state.sequence = undo.sequence;
}

fn change(state: &mut State, recorded: &Recorded, undo: &mut Undo) -> Result<(), ApplyError> {
    let (sequence, at) = (recorded.sequence, recorded.at);
    match &recorded.event {
        Event::TopologyPut { name, topology, displaced } => {
            put_topology(state, sequence, at, name, topology, displaced, undo)
        }
        Event::TopologyDeleted { name } => {
            let network = state.networks.remove(name);
            let network = network.ok_or_else(|| ApplyError::NoTopology { at: sequence, name: name.clone() })?;
            undo.network = NetworkUndo::Whole(name.clone(), Some(Box::new(network)));
            Ok(())
        }
        Event::ModelSet { topology, model, displaced } => {
            set_model(state, sequence, at, topology, model, displaced, undo)
        }
        Event::LinkChanged { topology, links, displaced, stranded: _ } => {
            change_links(state, sequence, topology, links, undo)?;
            displace(state, sequence, at, displaced, undo)
        }
        Event::Admitted { allocation, displaced } => {
            let fresh = allocation.id.0 == sequence.0;
            if !fresh || !fits(state, allocation) {
                return Err(ApplyError::BadAllocation { at: sequence, id: allocation.id });
            }
            displace(state, sequence, at, displaced, undo)?;
            undo.born = Some(allocation.id);
            book(state, Arc::clone(allocation));
            Ok(())
        }
        Event::Denied { .. } => Ok(()),
        Event::Resized { allocation, displaced } => {
            if !fits(state, allocation) {
                return Err(ApplyError::BadAllocation { at: sequence, id: allocation.id });
            }
            lift(state, sequence, allocation.id, undo)?;
            displace(state, sequence, at, displaced, undo)?;
            book(state, Arc::clone(allocation));
            Ok(())
        }
        Event::Released { id } => end(state, sequence, *id, undo),
        Event::Expired { ids } => ids.iter().try_for_each(|id| end(state, sequence, *id, undo)),
        Event::ControllerPut { controller } => {
            let name = controller.name.clone();
            let taken = state.controller_of(controller.topology.as_str()).is_some_and(|other| other.name != name);
            if controller.revision != sequence || taken {
                return Err(ApplyError::BadController { at: sequence, name });
            }
            let old = state.controllers.insert(name.clone(), Arc::clone(controller));
            undo.controller = Some((name, old));
            Ok(())
        }
        Event::ControllerDeleted { name } => {
            let old = state.controllers.remove(name);
            let old = old.ok_or_else(|| ApplyError::BadController { at: sequence, name: name.clone() })?;
            undo.controller = Some((name.clone(), Some(old)));
            Ok(())
        }
    }
}

fn living(state: &State, at: Sequence, id: AllocationId) -> Result<Arc<Allocation>, ApplyError> {
    state.allocations.get(&id).cloned().ok_or(ApplyError::NoAllocation { at, id })
}

fn end(state: &mut State, at: Sequence, id: AllocationId, undo: &mut Undo) -> Result<(), ApplyError> {
    undo.before.push(living(state, at, id)?);
    unbook(state, id, Ledger::end);
    Ok(())
}

/// Takes an allocation off its links, to be booked on others.
fn lift(state: &mut State, at: Sequence, id: AllocationId, undo: &mut Undo) -> Result<(), ApplyError> {
    undo.before.push(living(state, at, id)?);
    unbook(state, id, Ledger::leave);
    Ok(())
}

/// All displaced allocations leave their links first; then the rerouted ones are booked on their new paths.
fn displace(
    state: &mut State,
    sequence: Sequence,
    at: Millis,
    displaced: &[Displaced],
    undo: &mut Undo,
) -> Result<(), ApplyError> {
    let first = undo.before.len();
    for gone in displaced {
        match gone.fate {
            Fate::Rerouted(_) => lift(state, sequence, gone.id, undo)?,
            Fate::Ended(_) => end(state, sequence, gone.id, undo)?,
        }
    }
    for (gone, place) in displaced.iter().zip(first..) {
        let (Fate::Rerouted(way), Some(old)) = (&gone.fate, undo.before.get(place)) else { continue };
        let moved = rerouted(old, way, at);
        if !fits(state, &moved) {
            return Err(ApplyError::BadAllocation { at: sequence, id: gone.id });
        }
        book(state, Arc::new(moved));
    }
    Ok(())
}

fn rerouted(old: &Allocation, way: &Arc<[LinkIx]>, at: Millis) -> Allocation {
    Allocation { path: Arc::clone(way), updated_at: at, ..old.clone() }
}

fn put_topology(
    state: &mut State,
    sequence: Sequence,
    at: Millis,
    name: &Name,
    topology: &Arc<Topology>,
    displaced: &[Displaced],
    undo: &mut Undo,
) -> Result<(), ApplyError> {
    let old = state.networks.remove(name);
    let model = match &old {
        Some(old) => Arc::clone(&old.model),
        None => Arc::new(
            BandwidthModel::standard().map_err(|_| ApplyError::NoTopology { at: sequence, name: name.clone() })?,
        ),
    };
    let mut new = Network::new(Arc::clone(topology), Arc::new(Graph::new(topology)), model);
    new.revision = sequence;
    new.model_revision = old.as_ref().map_or(sequence, |old| old.model_revision);
    let translation = old.as_ref().map(|old| Translation::between(&old.topology, topology));
    let guests = living_in(state, name);
    undo.network = NetworkUndo::Whole(name.clone(), old.map(Box::new));
    undo.before = guests;
    state.networks.insert(name.clone(), new);
    let Some(translation) = translation else { return Ok(()) };
    rebook(state, sequence, at, displaced, undo, |old| translation.allocation(old), |old| translation.ends_of(old))
}

fn set_model(
    state: &mut State,
    sequence: Sequence,
    at: Millis,
    name: &Name,
    model: &Arc<BandwidthModel>,
    displaced: &[Displaced],
    undo: &mut Undo,
) -> Result<(), ApplyError> {
    let missing = || ApplyError::NoTopology { at: sequence, name: name.clone() };
    let old = state.networks.remove(name).ok_or_else(missing)?;
    let mut new = Network::new(Arc::clone(&old.topology), Arc::clone(&old.graph), Arc::clone(model));
    new.revision = old.revision;
    new.model_revision = sequence;
    undo.before = living_in(state, name);
    undo.network = NetworkUndo::Whole(name.clone(), Some(Box::new(old)));
    state.networks.insert(name.clone(), new);
    rebook(state, sequence, at, displaced, undo, |old| Some(old.clone()), |old| Some(old.clone()))
}

/// Books every allocation of a network in its new books: the displaced ones as the event says, the rest where they were.
fn rebook(
    state: &mut State,
    sequence: Sequence,
    at: Millis,
    displaced: &[Displaced],
    undo: &Undo,
    keep: impl Fn(&Allocation) -> Option<Allocation>,
    ends: impl Fn(&Allocation) -> Option<Allocation>,
) -> Result<(), ApplyError> {
    let mut fates: Vec<(AllocationId, &Fate)> = displaced.iter().map(|gone| (gone.id, &gone.fate)).collect();
    fates.sort_unstable_by_key(|(id, _)| *id);
    for old in &undo.before {
        let bad = || ApplyError::BadAllocation { at: sequence, id: old.id };
        forget(state, old.id);
        let fate = fates.binary_search_by_key(&old.id, |(id, _)| *id).ok().and_then(|place| fates.get(place));
        let new = match fate {
            Some((_, Fate::Ended(_))) => continue,
            Some((_, Fate::Rerouted(way))) => rerouted(&ends(old).ok_or_else(bad)?, way, at),
            None => keep(old).ok_or_else(bad)?,
        };
        if !fits(state, &new) {
            return Err(bad());
        }
        book(state, Arc::new(new));
    }
    Ok(())
}

fn change_links(
    state: &mut State,
    sequence: Sequence,
    name: &Name,
    links: &[(LinkIx, Link)],
    undo: &mut Undo,
) -> Result<(), ApplyError> {
    let missing = || ApplyError::NoTopology { at: sequence, name: name.clone() };
    let network = state.networks.get_mut(name).ok_or_else(missing)?;
    undo.network = NetworkUndo::Links {
        name: name.clone(),
        topology: Arc::clone(&network.topology),
        graph: Arc::clone(&network.graph),
        revision: network.revision,
        links: links.iter().map(|(ix, _)| *ix).collect(),
    };
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
    network.topology = Arc::new(topology);
    if paths_differ {
        network.graph = Arc::new(Graph::new(&network.topology));
    }
    network.revision = sequence;
    hold_links(network, &links.iter().map(|(ix, _)| *ix).collect::<Vec<_>>());
    Ok(())
}

fn hold_links(network: &mut Network, links: &[LinkIx]) {
    let topology = Arc::clone(&network.topology);
    for ix in links {
        if let Some(link) = topology.link(*ix) {
            network.ledger.set_link(*ix, link, &network.model);
        }
    }
}

fn living_in(state: &State, name: &Name) -> Vec<Arc<Allocation>> {
    state.allocations.values().filter(|allocation| allocation.demand.topology == *name).cloned().collect()
}

/// Whether the allocation is one that this network can book: a known class, a connected path from ingress to egress.
fn fits(state: &State, allocation: &Allocation) -> bool {
    let Some(network) = state.networks.get(&allocation.demand.topology) else { return false };
    let mut at = allocation.demand.ingress;
    for link in allocation.path.iter() {
        match network.topology.link(*link) {
            Some(link) if link.from == at => at = link.to,
            _ => return false,
        }
    }
    at == allocation.demand.egress && !allocation.path.is_empty() && network.slot_of(allocation).is_some()
}

/// Books many allocations of a snapshot; what follows from the books is worked out once.
pub(super) fn book_all(state: &mut State, allocations: Vec<Allocation>) -> Result<(), ApplyError> {
    let mut entries: BTreeMap<Name, Vec<LedgerEntry>> = BTreeMap::new();
    for allocation in allocations {
        let known = state.allocations.contains_key(&allocation.id) || allocation.id.0 > state.sequence.0;
        if known || !fits(state, &allocation) {
            return Err(ApplyError::BadAllocation { at: state.sequence, id: allocation.id });
        }
        if let Some(network) = state.networks.get_mut(&allocation.demand.topology)
            && let Some(entry) = network.entry_of(&allocation)
        {
            network.living[allocation.demand.class_type.at()] += 1;
            entries.entry(allocation.demand.topology.clone()).or_default().push(entry);
        }
        remember(state, Arc::new(allocation));
    }
    for (name, entries) in entries {
        if let Some(network) = state.networks.get_mut(&name) {
            network.ledger.enter_all(entries);
        }
    }
    Ok(())
}

fn book(state: &mut State, allocation: Arc<Allocation>) {
    if let Some(network) = state.networks.get_mut(&allocation.demand.topology)
        && let Some(entry) = network.entry_of(&allocation)
    {
        network.ledger.enter(&entry);
        network.living[allocation.demand.class_type.at()] += 1;
    }
    remember(state, allocation);
}

fn remember(state: &mut State, allocation: Arc<Allocation>) {
    if let Some(at) = allocation.demand.attributes.expires_at {
        state.deadlines.insert((at, allocation.id));
    }
    state.allocations.insert(allocation.id, allocation);
}

fn unbook(state: &mut State, id: AllocationId, take_out: impl Fn(&mut Ledger, &LedgerEntry)) {
    let Some(allocation) = forget(state, id) else { return };
    if let Some(network) = state.networks.get_mut(&allocation.demand.topology)
        && let Some(entry) = network.entry_of(&allocation)
    {
        take_out(&mut network.ledger, &entry);
        let living = &mut network.living[allocation.demand.class_type.at()];
        *living = living.saturating_sub(1);
    }
}

fn forget(state: &mut State, id: AllocationId) -> Option<Arc<Allocation>> {
    let allocation = state.allocations.remove(&id)?;
    if let Some(at) = allocation.demand.attributes.expires_at {
        state.deadlines.remove(&(at, id));
    }
    Some(allocation)
}
