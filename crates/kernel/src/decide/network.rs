//! Changes of the network itself: topologies, bandwidth models, links. Each names the allocations that it displaces and
//! their fates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bookings::settle;
use super::controller;
use super::reallocation::{Reallocation, displaced};
use super::resolve;
use super::restoration::restore;
use super::victims::displace_excess;
use crate::allocation::{Allocation, EndCause};
use crate::bam::Cause;
use crate::class::TeClass;
use crate::command::{Expected, LinkChange, ModelChange, OnMisfit};
use crate::event::{Displaced, DisplacedBy, Event, Fate};
use crate::id::{AllocationId, LinkIx, Name, Sequence};
use crate::path::{Graph, Workspace, are_disjoint};
use crate::policy::{BandwidthModel, te_class, under_model};
use crate::refusal::Refusal;
use crate::remap::Translation;
use crate::state::{Network, State, TOPOLOGIES_MAX};
use crate::topology::{Link, LinkState, Topology};
use crate::units::{Bandwidth, Millis};

pub(super) fn put_topology(
    state: &State,
    name: &Name,
    topology: &Arc<Topology>,
    expected: Expected,
    misfits: OnMisfit,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    topology.check_switches()?;
    controller::check_switches(state, name, topology)?;
    let put = |displaced| Event::TopologyPut { name: name.clone(), topology: Arc::clone(topology), displaced };
    let Some(network) = state.network(name.as_str()) else {
        if state.networks.len() >= TOPOLOGIES_MAX {
            return Err(Refusal::TooMany { what: "topologies", max: TOPOLOGIES_MAX });
        }
        return match expected {
            Expected::Unsaid => Ok(put(vec![])),
            Expected::Any | Expected::Revision(_) => Err(Refusal::StaleRevision { current: None }),
        };
    };
    check_revision(expected, network.revision)?;
    let displaced = into_new_revision(state, name, network, topology, workspace);
    if misfits == OnMisfit::Refuse && !displaced.is_empty() {
        return Err(Refusal::Misfits { misfits: displaced.iter().map(|gone| gone.id).collect() });
    }
    Ok(put(displaced))
}

/// An allocation whose path is still there is booked in the new revision's books; one whose path is not, or is overfull,
/// is restored or fails.
fn into_new_revision(
    state: &State,
    name: &Name,
    old: &Network,
    topology: &Arc<Topology>,
    workspace: &mut Workspace,
) -> Vec<Displaced> {
    if old.live() == 0 {
        return vec![];
    }
    let translation = Translation::between(&old.topology, topology);
    let mut new = Network::new(Arc::clone(topology), Arc::new(Graph::new(topology)), Arc::clone(&old.model));
    new.keep_maintenances(old);
    let (mut broken, mut lost, mut kept) = (vec![], vec![], vec![]);
    for allocation in living_in(state, name) {
        match translation.allocation(allocation).or_else(|| translation.ends_of(allocation)).map(Arc::new) {
            Some(moved) if is_sound(&moved, &new.graph, topology) => {
                if let Some(entry) = new.entry_of(&moved) {
                    new.ledger.enter(&entry);
                }
                kept.push(moved);
            }
            Some(moved) => broken.push(moved),
            None => {
                lost.push(displaced(allocation, DisplacedBy::Link, Fate::Ended(EndCause::Failed)));
            }
        }
    }
    let find = |id: AllocationId| kept.binary_search_by_key(&id, |kept| kept.id).ok().and_then(|at| kept.get(at));
    let mut books = Reallocation::new(&new, &new.graph, &find);
    broken.sort_by_cached_key(|allocation| books.rank(allocation));
    for allocation in &broken {
        books.add_pathless(allocation, DisplacedBy::Link);
    }
    for (link, _) in topology.links() {
        displace_excess(&mut books, link, DisplacedBy::Link);
    }
    restore(&mut books, workspace);
    let links = topology.links().map(|(link, _)| link).collect();
    settle(&mut books, links, |_| DisplacedBy::Link, workspace);
    let mut displaced = books.fates();
    displaced.extend(lost);
    displaced
}

/// Whether every link of its paths is in service or in maintenance, and the paths are what they have to be; there is no path
/// without links.
fn is_sound(allocation: &Allocation, graph: &Graph, topology: &Topology) -> bool {
    let is_up = |link: &LinkIx| topology.link(*link).is_some_and(|link| link.state != LinkState::Down);
    let has_other_direction =
        |link: &LinkIx| topology.link(*link).and_then(|link| link.twin).is_some_and(|twin| is_up(&twin));
    let is_bidirectional = allocation.demand.attributes.is_bidirectional;
    !allocation.path.is_empty()
        && allocation.links().iter().all(|link| is_up(link) && (!is_bidirectional || has_other_direction(link)))
        && keeps_constraints(allocation, topology)
        && is_protected_as_asked(allocation, graph)
}

/// Whether it has a backup path that shares bandwidth with others.
fn shares_bandwidth(allocation: &Allocation) -> bool {
    allocation.backup().is_some()
        && allocation.demand.attributes.booked_protection().is_some_and(|asked| asked.is_shared)
}

/// Whether the backup path, if there is one, shares nothing with the working path that it must not share.
fn is_protected_as_asked(allocation: &Allocation, graph: &Graph) -> bool {
    let (Some(protection), Some(backup)) = (allocation.demand.attributes.booked_protection(), allocation.backup())
    else {
        return true;
    };
    are_disjoint(graph, &allocation.path, backup, protection.disjointness)
}

/// Whether the paths keep the constraints that depend on attributes of their links: delay and administrative groups.
fn keeps_constraints(allocation: &Allocation, topology: &Topology) -> bool {
    let Some(constraints) = allocation.demand.constraints.as_deref() else { return true };
    let keeps = |path: &Arc<[LinkIx]>| {
        let links = || path.iter().filter_map(|link| topology.link(*link));
        let delay = links().fold(0_u64, |sum, link| sum.saturating_add(link.delay.0));
        constraints.max_delay.is_none_or(|most| delay <= most.0)
            && links().all(|link| constraints.include_any == 0 || link.admin_group & constraints.include_any != 0)
            && links().all(|link| link.admin_group & constraints.exclude_any == 0)
    };
    std::iter::once(&allocation.path).chain(allocation.backup()).all(keeps)
}

pub(super) fn delete_topology(state: &State, name: &Name, expected: Expected) -> Result<Event, Refusal> {
    let (_, network) = resolve::network(state, Some(name))?;
    if expected != Expected::Unsaid {
        check_revision(expected, network.revision)?;
    }
    if network.live() > 0 {
        return Err(Refusal::TopologyInUse { topology: name.clone(), live: network.live() });
    }
    Ok(Event::TopologyDeleted { name: name.clone() })
}

pub(super) fn set_model(
    state: &State,
    topology: &Name,
    model: &Arc<BandwidthModel>,
    expected: Expected,
    switch: ModelChange,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    let (_, old) = resolve::network(state, Some(topology))?;
    check_revision(expected, old.model_revision)?;
    check_overrides(old, topology, model)?;
    let mut new = Network::new(Arc::clone(&old.topology), Arc::clone(&old.graph), Arc::clone(model));
    new.keep_maintenances(old);
    let mut orphans = vec![];
    for allocation in living_in(state, topology) {
        match under_model(allocation, &old.model.model, &model.model).and_then(|adapted| new.entry_of(&adapted)) {
            Some(entry) => new.ledger.enter(&entry),
            None => orphans.push((allocation.id, te_class(&allocation.demand))),
        }
    }
    if !orphans.is_empty() {
        let (orphans, te_classes): (_, BTreeSet<TeClass>) = orphans.into_iter().unzip();
        return Err(Refusal::ClassesInUse { orphans, te_classes });
    }
    let find = |id| state.allocation(id);
    let mut books = Reallocation::new(&new, &new.graph, &find);
    if switch == ModelChange::Hard {
        for (link, _) in old.topology.links() {
            displace_excess(&mut books, link, DisplacedBy::Contention(Cause::Preempted));
        }
        let cause = |allocation: &Allocation| DisplacedBy::Contention(loan_called_in(old, model, allocation));
        books.set_causes(cause);
        restore(&mut books, workspace);
        settle(&mut books, old.topology.links().map(|(link, _)| link).collect(), cause, workspace);
    }
    Ok(Event::ModelSet { topology: topology.clone(), model: Arc::clone(model), displaced: books.fates() })
}

/// Which loan a change of model calls in: one from below (devolution) where the class could borrow from below before and
/// may no longer, else one from above (preemption). After the authors' hard switch: first LTH, then HTL.
fn loan_called_in(old: &Network, new: &BandwidthModel, allocation: &Allocation) -> Cause {
    let lent_up = |model: &BandwidthModel| -> u32 {
        let below = model.model.classes().iter().filter(|class| class.class_type < allocation.demand.class_type);
        below.map(|class| class.low_to_high.as_ppm()).sum()
    };
    if lent_up(new) < lent_up(&old.model) { Cause::Devolved } else { Cause::Preempted }
}

fn check_overrides(network: &Network, topology: &Name, model: &BandwidthModel) -> Result<(), Refusal> {
    let classes = |of: &crate::bam::Model| -> Vec<_> { of.classes().iter().map(|class| class.class_type).collect() };
    for (link, special) in &model.overrides {
        if network.topology.link_named(link.as_str()).is_none() {
            return Err(Refusal::UnknownLink { name: link.clone(), topology: topology.clone() });
        }
        if special.slots() != model.model.slots() || classes(special) != classes(&model.model) {
            return Err(Refusal::OverrideDiffers { link: link.clone() });
        }
    }
    Ok(())
}

pub(super) fn change_link(
    state: &State,
    topology_name: &Name,
    link_name: &Name,
    change: &LinkChange,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    let (_, network) = resolve::network(state, Some(topology_name))?;
    let unknown = || Refusal::UnknownLink { name: link_name.clone(), topology: topology_name.clone() };
    let ix = network.topology.link_named(link_name.as_str()).ok_or_else(unknown)?;
    let is_expected = |link: &Link| change.expected.is_none_or(|state| state == link.state);
    if !network.topology.link(ix).is_some_and(is_expected) {
        return Err(Refusal::NothingDue);
    }
    let links = changed_links(&network.topology, ix, change)?;
    let topology = with_links(&network.topology, &links)?;
    let graph = Graph::new(&topology);
    let find = |id| state.allocation(id);
    let mut books = Reallocation::new(network, &graph, &find);
    for (ix, link) in &links {
        books.draft.set_link(*ix, link, &network.model);
    }
    let down = links.iter().filter(|(_, link)| link.state == LinkState::Down).map(|(ix, _)| *ix);
    books.displace_all(&on_links(state, &books, down, |_| true), DisplacedBy::Link);
    for (ix, _) in &links {
        displace_excess(&mut books, *ix, DisplacedBy::Link);
    }
    restore(&mut books, workspace);
    let touched = books.draft.touched();
    let mut stranded = settle(&mut books, touched, |_| DisplacedBy::Link, workspace);
    let drained = |link: &Link| link.state == LinkState::Maintenance && change.state.is_some();
    let changed = links.iter().map(|(ix, link)| (*ix, drained(link)));
    let mut unfit = BTreeMap::new();
    // Whose working paths break together is another matter then.
    let has_other_risks = change.srlg.is_some();
    for (ix, is_drained) in changed {
        let is_unfit = |allocation: &Allocation| {
            (is_drained && !starts_later(allocation, change.until))
                || !keeps_constraints(allocation, &topology)
                || !is_protected_as_asked(allocation, &graph)
                || (has_other_risks && shares_bandwidth(allocation))
        };
        unfit.extend(on_links(state, &books, [ix], is_unfit).into_iter().map(|one| (books.rank(one), one)));
    }
    for allocation in unfit.into_values() {
        if !books.reroute_if_free(allocation, DisplacedBy::Link, workspace) {
            stranded.push(allocation.id);
        }
    }
    let is_reported = match change.state {
        Some(_) => change.is_reported,
        None => network.is_reported(link_name),
    };
    let (topology, displaced) = (topology_name.clone(), books.fates());
    Ok(Event::LinkChanged { topology, links, displaced, stranded, is_reported })
}

/// Whether it is a booking that starts when the change is over.
fn starts_later(allocation: &Allocation, until: Option<Millis>) -> bool {
    let starts_at = allocation.demand.attributes.starts_at;
    starts_at.zip(until).is_some_and(|(starts_at, until)| until <= starts_at)
}

fn with_links(topology: &Topology, links: &[(LinkIx, Link)]) -> Result<Topology, Refusal> {
    let mut changed = topology.clone();
    for (ix, link) in links {
        changed.replace_link(*ix, link.clone())?;
    }
    Ok(changed)
}

/// The allocations on links that have not left them, best class first, then oldest first.
pub(super) fn on_links<'a>(
    state: &'a State,
    books: &Reallocation<'_, '_>,
    links: impl IntoIterator<Item = LinkIx>,
    is_meant: impl Fn(&Allocation) -> bool,
) -> Vec<&'a Arc<Allocation>> {
    let ledger = &books.network.ledger;
    let on_link = |link| ledger.on_link(link).chain(ledger.booked_ahead(link));
    let ids = links.into_iter().flat_map(on_link).filter(|id| !books.draft.is_gone(*id));
    let mut ids: Vec<AllocationId> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let found = ids.into_iter().filter_map(|id| state.allocation(id)).filter(|allocation| is_meant(allocation));
    let mut found: Vec<_> = found.collect();
    found.sort_by_cached_key(|allocation| books.rank(allocation));
    found
}

/// The link as it will be, and its twin where the state changes: one fibre, one fate.
fn changed_links(topology: &Topology, ix: LinkIx, change: &LinkChange) -> Result<Vec<(LinkIx, Link)>, Refusal> {
    let mut links = vec![];
    if let Some(link) = topology.link(ix) {
        let mut changed = link.clone();
        let proportion = (link.max_reservable, link.capacity);
        changed.state = change.state.unwrap_or(changed.state);
        changed.is_avoided = change.is_avoided.unwrap_or(changed.is_avoided);
        changed.capacity = change.capacity.unwrap_or(changed.capacity);
        changed.max_reservable = match (change.max_reservable, change.capacity) {
            (Some(given), _) => given,
            (None, Some(capacity)) => in_proportion(proportion, capacity),
            (None, None) => changed.max_reservable,
        };
        changed.te_metric = change.te_metric.unwrap_or(changed.te_metric);
        changed.delay = change.delay.unwrap_or(changed.delay);
        changed.admin_group = change.admin_group.unwrap_or(changed.admin_group);
        if let Some(srlg) = &change.srlg {
            changed.srlg.clone_from(srlg);
        }
        changed.check()?;
        if let Some(twin) = link.twin
            && let Some(other) = topology.link(twin)
        {
            let state = change.state.unwrap_or(other.state);
            let is_avoided = change.is_avoided.unwrap_or(other.is_avoided);
            if (state, is_avoided) != (other.state, other.is_avoided) {
                links.push((twin, Link { state, is_avoided, ..other.clone() }));
            }
        }
        links.insert(0, (ix, changed));
    }
    Ok(links)
}

fn in_proportion((reservable, capacity): (Bandwidth, Bandwidth), new: Bandwidth) -> Bandwidth {
    let wide = u128::from(reservable.as_bps()) * u128::from(new.as_bps()) / u128::from(capacity.as_bps().max(1));
    Bandwidth::saturating_from_bps(u64::try_from(wide).unwrap_or(u64::MAX))
}

fn living_in<'a>(state: &'a State, name: &'a Name) -> impl Iterator<Item = &'a Arc<Allocation>> {
    state.allocations_after(None).filter(move |allocation| allocation.demand.topology == *name)
}

fn check_revision(expected: Expected, current: Sequence) -> Result<(), Refusal> {
    match expected {
        Expected::Any => Ok(()),
        Expected::Revision(revision) if revision == current => Ok(()),
        Expected::Revision(_) => Err(Refusal::StaleRevision { current: Some(current) }),
        Expected::Unsaid => Err(Refusal::RevisionNotSaid { current }),
    }
}
