//! From names to indices: what a request refers to, or the refusal that says which name is unknown.

use std::sync::Arc;

use crate::allocation::Allocation;
use crate::bam::Slot;
use crate::class::{ClassType, Priority, TeClass};
use crate::command::{HopKind, NamedConstraints, NamedHop};
use crate::id::{AllocationId, Name, NodeIx};
use crate::path::{Constraints, Hop, RouteHop};
use crate::refusal::Refusal;
use crate::state::{Network, State};
use crate::topology::Topology;

/// The network named, or the only one.
///
/// # Errors
/// [`Refusal::UnknownTopology`], [`Refusal::TopologyNotNamed`].
pub fn network<'a>(state: &'a State, name: Option<&Name>) -> Result<(&'a Name, &'a Network), Refusal> {
    match name {
        Some(name) => {
            let found = state.networks.get_key_value(name).map(|(name, network)| (name, &**network));
            found.ok_or_else(|| Refusal::UnknownTopology(name.clone()))
        }
        None => match state.networks().next() {
            Some(only) if state.networks.len() == 1 => Ok(only),
            _ => Err(Refusal::TopologyNotNamed { count: state.networks.len() }),
        },
    }
}

/// The network named; else the only one; else the only one that has both ends.
///
/// # Errors
/// As [`network`].
pub fn network_between<'a>(
    state: &'a State,
    name: Option<&Name>,
    ingress: &Name,
    egress: &Name,
) -> Result<(&'a Name, &'a Network), Refusal> {
    let found = network(state, name);
    if !matches!(found, Err(Refusal::TopologyNotNamed { .. })) {
        return found;
    }
    let has = |network: &Network, node: &Name| network.topology.node_named(node.as_str()).is_some();
    let mut both = state.networks().filter(|(_, network)| has(network, ingress) && has(network, egress));
    match (both.next(), both.next()) {
        (Some(only), None) => Ok(only),
        _ => found,
    }
}

/// The living allocation of this id.
///
/// # Errors
/// [`Refusal::UnknownAllocation`].
pub(super) fn allocation(state: &State, id: AllocationId) -> Result<&Arc<Allocation>, Refusal> {
    state.allocation(id).ok_or(Refusal::UnknownAllocation(id))
}

pub(super) fn node(
    topology: &Topology,
    topology_name: &Name,
    field: &'static str,
    name: &Name,
) -> Result<NodeIx, Refusal> {
    topology.node_named(name.as_str()).ok_or_else(|| Refusal::UnknownNode {
        field,
        names: [name.clone()].into(),
        topology: topology_name.clone(),
    })
}

/// The priorities of a demand, and the slot of the books that each makes with its class type.
#[derive(Clone, Copy)]
pub(super) struct Priorities {
    pub(super) setup: Priority,
    pub(super) hold: Priority,
    pub(super) setup_slot: Slot,
    pub(super) hold_slot: Slot,
}

/// RFC 4124 §6: both the setup and the hold priority make a TE-class with the class type, and hold is not worse.
pub(super) fn priorities(
    network: &Network,
    topology: &Name,
    class_type: ClassType,
    setup: Option<Priority>,
    hold: Option<Priority>,
) -> Result<Priorities, Refusal> {
    let model = &network.model.model;
    if !model.has_class(class_type) {
        return Err(Refusal::UnknownClassType { class_type, topology: topology.clone() });
    }
    let setup = setup.or_else(|| hold.map(|hold| hold.max(model.default_priority(class_type))));
    let setup = setup.unwrap_or_else(|| model.default_priority(class_type));
    let hold = hold.unwrap_or(setup);
    if hold > setup {
        return Err(Refusal::HoldWorseThanSetup { setup, hold });
    }
    let slot = |field, priority| {
        let is_known = model.has_te_class(TeClass { class_type, priority });
        model.slot(class_type, priority).filter(|_| is_known).ok_or_else(|| Refusal::UnknownTeClass {
            field,
            te_class: TeClass { class_type, priority },
            topology: topology.clone(),
        })
    };
    Ok(Priorities { setup, hold, setup_slot: slot("setup_priority", setup)?, hold_slot: slot("hold_priority", hold)? })
}

/// The constraints with their names resolved; `None` where nothing is constrained.
///
/// # Errors
/// [`Refusal::UnknownHop`].
pub fn constraints(
    named: &NamedConstraints,
    topology: &Topology,
    topology_name: &Name,
    ingress: NodeIx,
) -> Result<Option<Box<Constraints>>, Refusal> {
    if *named == NamedConstraints::default() {
        return Ok(None);
    }
    let resolve = |field, hop: &NamedHop| hop_named(topology, topology_name, field, hop);
    let all = |field, hops: &[NamedHop]| hops.iter().map(|hop| resolve(field, hop)).collect::<Result<Vec<_>, _>>();
    let mut route = Vec::with_capacity(named.route.len());
    for step in &named.route {
        route.push(RouteHop { hop: resolve("route", &step.hop)?, strict: step.looseness == HopKind::Strict });
    }
    // An explicit route may begin with the node it starts from, which takes itself off it (RFC 3209 §4.3.4.1).
    if route.first().is_some_and(|first| first.hop == Hop::Node(ingress)) {
        route.remove(0);
    }
    Ok(Some(Box::new(Constraints {
        metric: named.metric,
        max_hops: named.max_hops,
        max_delay: named.max_delay,
        include: all("include", &named.include)?,
        exclude: all("exclude", &named.exclude)?,
        include_any: named.include_any,
        exclude_any: named.exclude_any,
        route,
    })))
}

fn hop_named(topology: &Topology, name: &Name, field: &'static str, hop: &NamedHop) -> Result<Hop, Refusal> {
    let (text, found) = match hop {
        NamedHop::Node(node) => (node, topology.node_named(node.as_str()).map(Hop::Node)),
        NamedHop::Link(link) => (link, topology.link_named(link.as_str()).map(Hop::Link)),
        NamedHop::Either(either) => {
            let node = topology.node_named(either.as_str()).map(Hop::Node);
            (either, node.or_else(|| topology.link_named(either.as_str()).map(Hop::Link)))
        }
    };
    found.ok_or_else(|| Refusal::UnknownHop { field, name: text.clone(), topology: name.clone() })
}
