//! Maintenance that is planned: which bookings get other paths in the books because of it, and which allocations have none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::network::on_links;
use super::reallocation::Reallocation;
use super::resolve;
use crate::allocation::Allocation;
use crate::annotation::Annotation;
use crate::event::{DisplacedBy, Event};
use crate::id::{AllocationId, LinkIx, Name, Sequence};
use crate::maintenance::{MAINTENANCE_LINKS_MAX, MAINTENANCES_MAX, Maintenance};
use crate::path::Workspace;
use crate::refusal::Refusal;
use crate::state::{Network, State};
use crate::topology::{Link, LinkState};
use crate::units::Millis;

/// What is to be planned, in names.
pub(super) struct MaintenancePlan<'a> {
    pub(super) topology: &'a Name,
    pub(super) links: &'a [Name],
    pub(super) nodes: &'a [Name],
    pub(super) time: (Millis, Millis),
    pub(super) note: Option<&'a Annotation>,
}

/// Bookings on its links move in the books at once, best class first, where there is room for them elsewhere. What is in force
/// stays until it begins.
pub(super) fn plan(
    state: &State,
    request: &MaintenancePlan<'_>,
    now: Millis,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    let (topology, network) = resolve::network(state, Some(request.topology))?;
    let links = links_of(network, request)?;
    let (starts_at, ends_at) = request.time;
    let impossible = |why| Err(Refusal::ImpossibleTime { field: "ends_at", why });
    if ends_at <= now {
        return impossible("it is not in the future");
    }
    if ends_at <= starts_at {
        return impossible("it is not after starts_at");
    }
    if network.maintenances().len() >= MAINTENANCES_MAX {
        return Err(Refusal::TooMany { what: "maintenances of a topology", max: MAINTENANCES_MAX });
    }
    let maintenance =
        Arc::new(Maintenance { id: state.sequence().next(), links, starts_at, ends_at, note: request.note.cloned() });
    let mut planned = network.clone();
    planned.plan_maintenance(&maintenance);
    let find = |id| state.allocation(id);
    let mut books = Reallocation::new(&planned, &planned.graph, &find);
    let stay = move_bookings(state, &mut books, &maintenance, workspace);
    let stranded = stay.iter().map(|booking| booking.id).collect();
    let displaced = books.fates();
    Ok(Event::MaintenancePlanned { topology: topology.clone(), maintenance, displaced, stranded })
}

/// The links, of nodes all that begin or end there, and the other direction of each.
fn links_of(network: &Network, request: &MaintenancePlan<'_>) -> Result<Arc<[Name]>, Refusal> {
    let topology = &network.topology;
    let mut links: BTreeSet<LinkIx> = BTreeSet::new();
    for name in request.links {
        let unknown = || Refusal::UnknownLink { name: name.clone(), topology: request.topology.clone() };
        links.insert(topology.link_named(name.as_str()).ok_or_else(unknown)?);
    }
    for name in request.nodes {
        let node = resolve::node(topology, request.topology, "nodes", name)?;
        links.extend(topology.links().filter(|(_, link)| link.from == node || link.to == node).map(|(ix, _)| ix));
    }
    let twins: Vec<LinkIx> = links.iter().filter_map(|ix| topology.link(*ix)?.twin).collect();
    links.extend(twins);
    if links.len() > MAINTENANCE_LINKS_MAX {
        return Err(Refusal::TooMany { what: "links of a maintenance", max: MAINTENANCE_LINKS_MAX });
    }
    Ok(links.into_iter().filter_map(|ix| topology.link(ix)).map(|link| link.name.clone()).collect())
}

/// Those that are met and could not move, best class first.
fn move_bookings<'a>(
    state: &'a State,
    books: &mut Reallocation<'_, '_>,
    maintenance: &Maintenance,
    workspace: &mut Workspace,
) -> Vec<&'a Arc<Allocation>> {
    let links: Vec<LinkIx> = named(books.network, maintenance).map(|(ix, _)| ix).collect();
    let is_met = |allocation: &Allocation| allocation.is_scheduled() && maintenance.meets(allocation);
    let mut stay = on_links(state, books, links, is_met);
    stay.retain(|booking| !books.reroute_if_free(booking, DisplacedBy::Link, workspace));
    stay
}

/// The allocations that would stay on the links for want of another path if the maintenance were now, by their numbers. It may
/// be planned, or not yet. No decision waits for this: with many allocations on the links it takes long.
pub fn stranded_by(
    state: &State,
    network: &Network,
    maintenance: &Maintenance,
    workspace: &mut Workspace,
) -> Vec<AllocationId> {
    let mut planned = network.clone();
    planned.plan_maintenance(&Arc::new(maintenance.clone()));
    let network = &planned;
    let find = |id| state.allocation(id);
    let mut books = Reallocation::new(network, &network.graph, &find);
    let mut stranded: BTreeSet<AllocationId> =
        move_bookings(state, &mut books, maintenance, workspace).iter().map(|one| one.id).collect();
    let links: BTreeMap<LinkIx, &Link> = named(network, maintenance).collect();
    for (ix, link) in &links {
        let drained = Link { state: LinkState::Maintenance, ..Link::clone(link) };
        books.draft.set_link(*ix, &drained, &network.model);
    }
    let is_met = |allocation: &Allocation| !allocation.is_scheduled() && maintenance.meets(allocation);
    for allocation in on_links(state, &books, links.keys().copied(), is_met) {
        if !books.reroute_if_free(allocation, DisplacedBy::Link, workspace) {
            stranded.insert(allocation.id);
        }
    }
    stranded.into_iter().collect()
}

fn named<'a>(network: &'a Network, maintenance: &'a Maintenance) -> impl Iterator<Item = (LinkIx, &'a Link)> {
    maintenance.links.iter().filter_map(|name| {
        let ix = network.topology.link_named(name.as_str())?;
        Some((ix, network.topology.link(ix)?))
    })
}

/// Maintenance for which a link is out of service is over now; it is forgotten when that link is in service again.
pub(super) fn end(state: &State, topology_name: &Name, id: Sequence, now: Millis) -> Result<Event, Refusal> {
    let (topology, network) = resolve::network(state, Some(topology_name))?;
    let unknown = || Refusal::UnknownMaintenance { id, topology: topology.clone() };
    let maintenance = network.maintenance(id).ok_or_else(unknown)?;
    let is_of_another = |link: &Link| {
        let mut others = network.maintenances().filter(|other| other.id != id && now < other.ends_at);
        others.any(|other| other.links.contains(&link.name))
    };
    let mut drained = named(network, maintenance).filter(|(_, link)| link.state == LinkState::Maintenance);
    match (drained.any(|(_, link)| !is_of_another(link)), maintenance.ends_at <= now) {
        (false, _) => return Ok(Event::MaintenanceEnded { topology: topology.clone(), id }),
        (true, true) => return Err(unknown()),
        (true, false) => {}
    }
    let maintenance = Arc::new(Maintenance { ends_at: now, ..Maintenance::clone(maintenance) });
    let (displaced, stranded) = (vec![], vec![]);
    Ok(Event::MaintenancePlanned { topology: topology.clone(), maintenance, displaced, stranded })
}
