//! Changes of the network itself: topologies, bandwidth models, links. Each names the allocations that it displaces and
//! their fates.

use std::sync::Arc;

use super::preemption::{DisplacedAllocation, best_first, book_free_path, fates_of_victims};
use super::resolve;
use super::restoration::restore;
use crate::allocation::Allocation;
use crate::bam::Cause;
use crate::command::{Expected, LinkChange, ModelChange, OnMisfit};
use crate::event::{Displaced, DisplacedBy, Event};
use crate::id::{AllocationId, LinkIx, Name, Sequence};
use crate::ledger::LedgerDraft;
use crate::path::{Graph, Workspace};
use crate::policy::BandwidthModel;
use crate::refusal::Refusal;
use crate::remap::Translation;
use crate::state::{Network, State, TOPOLOGIES_MAX};
use crate::topology::{Link, LinkState, Topology};
use crate::units::Bandwidth;

pub(super) fn put_topology(
    state: &State,
    name: &Name,
    topology: &Arc<Topology>,
    expected: Expected,
    misfits: OnMisfit,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
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
    let (mut broken, mut lost, mut moved) = (vec![], vec![], vec![]);
    for allocation in living_in(state, name) {
        match translation.allocation(allocation) {
            Some(kept) if path_is_up(&kept, topology) => {
                if let Some(entry) = new.entry_of(&kept) {
                    new.ledger.enter(&entry);
                }
                moved.push(Arc::new(kept));
            }
            Some(kept) => broken.push(DisplacedAllocation::new(&Arc::new(kept), DisplacedBy::Link)),
            None => match translation.ends_of(allocation) {
                Some(pathless) => broken.push(DisplacedAllocation::new(&Arc::new(pathless), DisplacedBy::Link)),
                None => lost.push(DisplacedAllocation::new(allocation, DisplacedBy::Link).ended()),
            },
        }
    }
    let find = |id: AllocationId| moved.binary_search_by_key(&id, |kept| kept.id).ok().and_then(|at| moved.get(at));
    let mut draft = LedgerDraft::new(&new.ledger);
    broken.extend(displace_excess(&new, &mut draft, all_links(topology), DisplacedBy::Link, find));
    let mut displaced = restore(&find, &new, &mut draft, broken, workspace);
    displaced.extend(lost);
    displaced
}

fn path_is_up(allocation: &Allocation, topology: &Topology) -> bool {
    allocation.path.iter().all(|link| topology.link(*link).is_some_and(|link| link.state != LinkState::Down))
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
    let mut orphans = vec![];
    for allocation in living_in(state, topology) {
        match (
            new.entry_of(allocation),
            model.model.slot(allocation.demand.class_type, allocation.demand.setup_priority),
        ) {
            (Some(entry), Some(_)) => new.ledger.enter(&entry),
            _ => orphans.push(allocation.id),
        }
    }
    if !orphans.is_empty() {
        return Err(Refusal::ClassesInUse { orphans });
    }
    let displaced = match switch {
        ModelChange::Soft => vec![],
        ModelChange::Hard => {
            let cause = DisplacedBy::Contention(Cause::Preempted);
            let mut draft = LedgerDraft::new(&new.ledger);
            let find = |id| state.allocation(id);
            let mut victims = displace_excess(&new, &mut draft, all_links(&old.topology), cause, find);
            for victim in &mut victims {
                victim.cause = DisplacedBy::Contention(loan_called_in(old, model, &victim.allocation));
            }
            fates_of_victims(&new, &mut draft, victims, workspace)
        }
    };
    Ok(Event::ModelSet { topology: topology.clone(), model: Arc::clone(model), displaced })
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
    let links = changed_links(&network.topology, ix, change)?;
    let mut draft = LedgerDraft::new(&network.ledger);
    for (ix, link) in &links {
        draft.set_link(*ix, link, &network.model);
    }
    let mut broken = vec![];
    for (ix, _) in links.iter().filter(|(_, link)| link.state == LinkState::Down) {
        displace_all(state, network, &mut draft, *ix, &mut broken);
    }
    let find = |id| state.allocation(id);
    let changed = links.iter().map(|(ix, _)| *ix);
    broken.extend(displace_excess(network, &mut draft, changed, DisplacedBy::Link, find));
    let mut displaced = restore(&find, network, &mut draft, broken, workspace);
    let mut stranded = vec![];
    for (ix, _) in links.iter().filter(|(_, link)| link.state == LinkState::Maintenance) {
        drain(state, network, &mut draft, *ix, workspace, &mut displaced, &mut stranded);
    }
    Ok(Event::LinkChanged { topology: topology_name.clone(), links, displaced, stranded })
}

/// The link as it will be, and its twin where the state changes: one fibre, one fate.
fn changed_links(topology: &Topology, ix: LinkIx, change: &LinkChange) -> Result<Vec<(LinkIx, Link)>, Refusal> {
    let mut links = vec![];
    if let Some(link) = topology.link(ix) {
        let mut changed = link.clone();
        let proportion = (link.max_reservable, link.capacity);
        changed.state = change.state.unwrap_or(changed.state);
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
        if let (Some(state), Some(twin)) = (change.state, link.twin)
            && let Some(other) = topology.link(twin)
            && other.state != state
        {
            links.push((twin, Link { state, ..other.clone() }));
        }
        links.insert(0, (ix, changed));
    }
    Ok(links)
}

fn in_proportion((reservable, capacity): (Bandwidth, Bandwidth), new: Bandwidth) -> Bandwidth {
    let wide = u128::from(reservable.as_bps()) * u128::from(new.as_bps()) / u128::from(capacity.as_bps().max(1));
    Bandwidth::saturating_from_bps(u64::try_from(wide).unwrap_or(u64::MAX))
}

/// Takes every allocation off a link.
fn displace_all(
    state: &State,
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    ix: LinkIx,
    broken: &mut Vec<DisplacedAllocation>,
) {
    let mut on_it: Vec<AllocationId> = network.ledger.on_link(ix).filter(|id| !draft.is_gone(*id)).collect();
    on_it.sort_unstable();
    for allocation in on_it.into_iter().filter_map(|id| state.allocation(id)) {
        if let Some(entry) = network.entry_of(allocation) {
            draft.leave(&entry);
            broken.push(DisplacedAllocation::new(allocation, DisplacedBy::Link));
        }
    }
}

/// Reroutes every allocation on a link in maintenance that has another path; one without stays, and is named.
fn drain(
    state: &State,
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    ix: LinkIx,
    workspace: &mut Workspace,
    displaced: &mut Vec<Displaced>,
    stranded: &mut Vec<AllocationId>,
) {
    let on_it = network.ledger.on_link(ix).filter(|id| !draft.is_gone(*id)).filter_map(|id| state.allocation(id));
    let mut drained: Vec<DisplacedAllocation> =
        on_it.map(|allocation| DisplacedAllocation::new(allocation, DisplacedBy::Link)).collect();
    best_first(network, &mut drained);
    for one in drained {
        let Some(entry) = network.entry_of(&one.allocation) else { continue };
        draft.leave(&entry);
        match book_free_path(network, draft, &one.allocation, workspace) {
            Some(path) => displaced.push(one.rerouted(path)),
            None => {
                draft.enter(&entry);
                stranded.push(entry.id);
            }
        }
    }
}

/// Takes the newest allocations off every overfull link until all books hold.
fn displace_excess<'a>(
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    links: impl Iterator<Item = LinkIx>,
    cause: DisplacedBy,
    find: impl Fn(AllocationId) -> Option<&'a Arc<Allocation>>,
) -> Vec<DisplacedAllocation> {
    let mut displaced = vec![];
    for link in links {
        while let Some(Some(id)) = draft.next_excess(link, network.model.policy.victim_order) {
            let Some(allocation) = find(id) else { break };
            let Some(entry) = network.entry_of(allocation) else { break };
            draft.leave(&entry);
            displaced.push(DisplacedAllocation::new(allocation, cause));
        }
    }
    displaced
}

fn living_in<'a>(state: &'a State, name: &'a Name) -> impl Iterator<Item = &'a Arc<Allocation>> {
    state.allocations_after(None).filter(move |allocation| allocation.demand.topology == *name)
}

fn all_links(topology: &Topology) -> impl Iterator<Item = LinkIx> + '_ {
    topology.links().map(|(ix, _)| ix)
}

fn check_revision(expected: Expected, current: Sequence) -> Result<(), Refusal> {
    match expected {
        Expected::Any => Ok(()),
        Expected::Revision(revision) if revision == current => Ok(()),
        Expected::Revision(_) => Err(Refusal::StaleRevision { current: Some(current) }),
        Expected::Unsaid => Err(Refusal::RevisionNotSaid { current }),
    }
}
