//! Admission: a path for a demand, and who yields for it. First a path that disturbs nobody; then one on which others
//! yield; else the denial says which links lack how much. Nothing is decided on one link of a path before all can take it.

use std::sync::Arc;

use super::preemption::{self, DisplacedAllocation};
use super::{living, resolve};
use crate::allocation::{Allocation, LspState};
use crate::bam::Slot;
use crate::command::{NamedConstraints, Request};
use crate::event::{Binding, Demand, Denial, Displaced, Event, PathObstacle};
use crate::id::{AllocationId, LinkIx};
use crate::ledger::{LedgerDraft, LedgerEntry};
use crate::path::{self, Constraints, Links, Metric, Query, Reason, WEIGHT_ONE, Workspace};
use crate::policy::{PathChoice, Policy};
use crate::refusal::Refusal;
use crate::state::{ALLOCATIONS_MAX, Network, State};
use crate::units::{Bandwidth, Millis};

pub(super) fn allocate(
    state: &State,
    request: &Request,
    now: Millis,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    if state.allocation_count() >= ALLOCATIONS_MAX {
        return Err(Refusal::TooMany { what: "allocations", max: ALLOCATIONS_MAX });
    }
    let (name, network) =
        resolve::network_between(state, request.topology.as_ref(), &request.ingress, &request.egress)?;
    if request.expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::AlreadyExpired);
    }
    let ingress = resolve::node(&network.topology, name, "ingress", &request.ingress)?;
    let standing = resolve::standing(network, name, request.class_type, request.setup_priority, request.hold_priority)?;
    let demand = Demand {
        of: None,
        topology: name.clone(),
        ingress,
        egress: resolve::node(&network.topology, name, "egress", &request.egress)?,
        class_type: request.class_type,
        setup_priority: standing.setup,
        hold_priority: standing.hold,
        bandwidth: request.bandwidth,
        aggregator: request.aggregator.clone(),
        expires_at: request.expires_at,
        constraints: resolve::constraints(&request.constraints, &network.topology, name, ingress)?,
        flow: request.flow.clone(),
    };
    check(&demand, network)?;
    let id = AllocationId(state.sequence().next().0);
    let asker = Requester { id, asks_in: standing.asks_in, held_in: standing.held_in };
    Ok(match admit(state, network, &demand, asker, None, workspace) {
        Ok((path, displaced)) => Event::Admitted { allocation: Arc::new(allocation(demand, id, path, now)), displaced },
        Err(denial) => Event::Denied { demand: Box::new(demand), denial },
    })
}

/// Make-before-break: the new reservation shares the old one's bandwidth where the paths share links (RFC 3209 §2.5), and
/// the allocation is never its own victim.
pub(super) fn resize(
    state: &State,
    id: AllocationId,
    bandwidth: Option<Bandwidth>,
    constraints: Option<&NamedConstraints>,
    now: Millis,
    workspace: &mut Workspace,
) -> Result<Event, Refusal> {
    let old = living(state, id)?;
    let (name, network) = resolve::network(state, Some(&old.topology))?;
    let constraints = match constraints {
        Some(named) => resolve::constraints(named, &network.topology, name, old.ingress)?,
        None => old.constraints.clone(),
    };
    let demand = Demand {
        of: Some(id),
        topology: name.clone(),
        ingress: old.ingress,
        egress: old.egress,
        class_type: old.class_type,
        setup_priority: old.setup_priority,
        hold_priority: old.hold_priority,
        bandwidth: bandwidth.unwrap_or(old.bandwidth),
        aggregator: old.aggregator.clone(),
        expires_at: old.expires_at,
        constraints,
        flow: old.flow.clone(),
    };
    check(&demand, network)?;
    let standing = resolve::standing(network, name, old.class_type, Some(old.setup_priority), Some(old.hold_priority))?;
    let asker = Requester { id, asks_in: standing.asks_in, held_in: standing.held_in };
    Ok(match admit(state, network, &demand, asker, Some(old), workspace) {
        Ok((path, displaced)) => {
            let mut changed = Allocation::clone(old);
            changed.bandwidth = demand.bandwidth;
            changed.constraints = demand.constraints;
            changed.path = path;
            changed.updated_at = now;
            Event::Resized { allocation: Arc::new(changed), displaced }
        }
        Err(denial) => Event::Denied { demand: Box::new(demand), denial },
    })
}

fn check(demand: &Demand, network: &Network) -> Result<(), Refusal> {
    if demand.bandwidth.is_zero() {
        return Err(Refusal::NoBandwidth);
    }
    if demand.ingress == demand.egress
        && let Some(node) = network.topology.node(demand.ingress)
    {
        return Err(Refusal::SameEnds(node.name.clone()));
    }
    Ok(())
}

fn allocation(demand: Demand, id: AllocationId, path: Arc<[LinkIx]>, now: Millis) -> Allocation {
    Allocation {
        id,
        topology: demand.topology,
        ingress: demand.ingress,
        egress: demand.egress,
        class_type: demand.class_type,
        setup_priority: demand.setup_priority,
        hold_priority: demand.hold_priority,
        bandwidth: demand.bandwidth,
        aggregator: demand.aggregator,
        expires_at: demand.expires_at,
        constraints: demand.constraints,
        flow: demand.flow,
        path,
        state: LspState::Active,
        created_at: now,
        updated_at: now,
    }
}

/// Who asks, and in which columns of the books.
#[derive(Clone, Copy)]
pub(super) struct Requester {
    pub(super) id: AllocationId,
    pub(super) asks_in: Slot,
    pub(super) held_in: Slot,
}

type Admission = (Arc<[LinkIx]>, Vec<Displaced>);

fn admit(
    state: &State,
    network: &Network,
    demand: &Demand,
    asker: Requester,
    old: Option<&Arc<Allocation>>,
    workspace: &mut Workspace,
) -> Result<Admission, Denial> {
    let policy = &network.model.policy;
    let unconstrained = Constraints::default();
    let constraints = demand.constraints.as_deref().unwrap_or(&unconstrained);
    let query = Query {
        ingress: demand.ingress,
        egress: demand.egress,
        bandwidth_bps: demand.bandwidth.as_bps(),
        metric: metric(policy, constraints),
        constraints,
    };
    let Some(old) = old else {
        // The common case first, on the ledger itself: somebody new for whom nobody has to yield.
        if policy.path_choice == PathChoice::AvoidVictims {
            let free = network.ledger.free(asker.asks_in);
            if let Ok(found) = path::shortest(&network.graph, &free, &query, workspace) {
                affordable(network, policy, &query, &free, &found.links, workspace)?;
                return Ok((found.links.into(), vec![]));
            }
        }
        let reach = network.ledger.reach(asker.asks_in);
        let Ok(found) = path::shortest(&network.graph, &reach, &query, workspace) else {
            return Err(why(network, &reach, &query, workspace));
        };
        affordable(network, policy, &query, &reach, &found.links, workspace)?;
        return with_victims(state, network, LedgerDraft::new(&network.ledger), demand, asker, found.links, workspace);
    };

    let mut draft = LedgerDraft::new(&network.ledger);
    if let Some(entry) = network.entry_of(old) {
        draft.leave(&entry);
    }
    let same_route = old.constraints == demand.constraints;
    if same_route && keeps_path(&draft, demand, asker, old) {
        return Ok((Arc::clone(&old.path), vec![]));
    }
    let found = path::shortest(&network.graph, &draft.free(asker.asks_in), &query, workspace);
    if let Ok(found) = found {
        return Ok((found.links.into(), vec![]));
    }
    let found = path::shortest(&network.graph, &draft.reach(asker.asks_in), &query, workspace);
    match found {
        Ok(found) => with_victims(state, network, draft, demand, asker, found.links, workspace),
        Err(_) => Err(why(network, &draft.reach(asker.asks_in), &query, workspace)),
    }
}

/// Less than before always has room where it is; more has, if every link of the path has.
fn keeps_path(draft: &LedgerDraft<'_>, demand: &Demand, asker: Requester, old: &Allocation) -> bool {
    demand.bandwidth <= old.bandwidth
        || old.path.iter().all(|link| demand.bandwidth.as_bps() <= draft.free_bps(*link, asker.asks_in))
}

fn with_victims(
    state: &State,
    network: &Network,
    mut draft: LedgerDraft<'_>,
    demand: &Demand,
    asker: Requester,
    links: Vec<LinkIx>,
    workspace: &mut Workspace,
) -> Result<Admission, Denial> {
    let path: Arc<[LinkIx]> = links.into();
    let entry = LedgerEntry { id: asker.id, slot: asker.held_in, bandwidth: demand.bandwidth, path: Arc::clone(&path) };
    let leavers = make_room(&|id| state.allocation(id), network, &mut draft, &entry, asker.asks_in)?;
    Ok((path, preemption::settle(network, &mut draft, leavers, workspace)))
}

/// Where allocations are found in the numbers of the topology that is decided about: the state, or a new revision's.
pub(super) type AllocationLookup<'a, 'b> = &'b dyn Fn(AllocationId) -> Option<&'a Arc<Allocation>>;

/// Books the entry link by link; on each, who has to yield leaves all its links at once before the next is looked at.
pub(super) fn make_room<'a>(
    find: AllocationLookup<'a, '_>,
    network: &Network,
    draft: &mut LedgerDraft<'_>,
    entry: &LedgerEntry,
    asks_in: Slot,
) -> Result<Vec<DisplacedAllocation>, Denial> {
    let mut leavers = vec![];
    for link in entry.path.iter() {
        draft.enter_on(*link, entry);
        while let Some((victim, cause)) = draft.next_victim(*link, asks_in, network.model.policy.victim_order) {
            let victim = victim.and_then(find);
            let known = victim.and_then(|victim| Some((victim, network.entry_of(victim)?)));
            let Some((victim, entry)) = known else { return Err(Denial::NoPath(PathObstacle::SearchLimit)) };
            draft.leave(&entry);
            leavers.push(DisplacedAllocation::yielding(victim, cause));
        }
    }
    Ok(leavers)
}

/// What a path minimises: the policy of fewest hops overrules, else the request says, else the topology's policy.
pub fn metric(policy: &Policy, constraints: &Constraints) -> Metric {
    match policy.path_choice {
        PathChoice::FewestHops => Metric::Hops,
        PathChoice::AvoidVictims => constraints.metric.unwrap_or(policy.path_metric),
    }
}

/// Admission by price: under overload a path may cost no more than so many empty links for each of the hops it has to
/// make at least. Scaled by hops, so that long ways are not refused for being long.
fn affordable(
    network: &Network,
    policy: &Policy,
    query: &Query<'_>,
    links: &impl Links,
    path: &[LinkIx],
    workspace: &mut Workspace,
) -> Result<(), Denial> {
    let Some(limit_percent) = policy.refuse_above_percent else { return Ok(()) };
    if query.metric != Metric::Congestion {
        return Ok(());
    }
    let unconstrained = Constraints::default();
    let shortest = Query { metric: Metric::Hops, constraints: &unconstrained, ..*query };
    let Ok(shortest) = path::shortest(&network.graph, &Empty, &shortest, workspace) else { return Ok(()) };
    let fewest = u64::try_from(shortest.links.len()).unwrap_or(u64::MAX).max(1);
    let cost: u64 = path.iter().map(|link| u64::from(links.weight(*link))).sum();
    let cost_percent = cost.saturating_mul(100) / u64::from(WEIGHT_ONE) / fewest;
    if cost_percent <= u64::from(limit_percent) {
        return Ok(());
    }
    Err(Denial::TooCongested { cost_percent, limit_percent })
}

/// The network as if nothing were reserved and everything up.
struct Empty;

impl Links for Empty {
    fn room_bps(&self, _: LinkIx) -> u64 {
        u64::MAX
    }

    fn weight(&self, _: LinkIx) -> u32 {
        WEIGHT_ONE
    }

    fn is_usable(&self, _: LinkIx) -> bool {
        true
    }
}

fn why(network: &Network, links: &impl Links, query: &Query<'_>, workspace: &mut Workspace) -> Denial {
    Denial::from(path::explain(&network.graph, links, query, workspace))
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self::NoPath(match reason {
            Reason::Bandwidth { binding, largest_admissible_bps } => {
                let binding = binding.into_iter().map(|(link, available_bps)| Binding {
                    link,
                    available: Bandwidth::saturating_from_bps(available_bps),
                });
                return Self::InsufficientBandwidth {
                    binding: binding.collect(),
                    largest_admissible: Bandwidth::saturating_from_bps(largest_admissible_bps),
                };
            }
            Reason::Disconnected => PathObstacle::Disconnected,
            Reason::LinksDown => PathObstacle::LinksDown,
            Reason::Excluded => PathObstacle::Excluded,
            Reason::AdminGroup => PathObstacle::AdminGroup,
            Reason::Include => PathObstacle::Route,
            Reason::MaxHops { least } => PathObstacle::MaxHops { least },
            Reason::MaxDelay { least } => PathObstacle::MaxDelay { least },
            Reason::SearchLimit => PathObstacle::SearchLimit,
        })
    }
}
