//! Admission: a path for a demand, and the victims it takes. First a path with free bandwidth; then one on which other
//! allocations are preempted or devolved; else the denial names the links that lack bandwidth. No victim is decided before
//! every link of the path can take the demand.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::attributes::{check_auto_bandwidth, with_times};
use super::bookings::displace_not_kept;
use super::path_query::{fewest_hops, path_query};
use super::protection::{no_backup, pair_of};
use super::reallocation::Reallocation;
use super::relocation::make_way;
use super::resolve::{self, Priorities};
use super::restoration::reroute_victims;
use super::tenant::{check_quotas, check_route};
use super::victims::{self, make_room};
use crate::allocation::{Allocation, Demand, Owner, Protection, Recovery, Route};
use crate::bam::Cause;
use crate::calendar::Taking;
use crate::command::Request;
use crate::event::{Binding, Denial, Displaced, DisplacedBy, Event, Fate, PathObstacle};
use crate::id::{AllocationId, LinkIx};
use crate::intent::impossible_flow;
use crate::ledger_draft::LedgerDraft;
use crate::ledger_entry::Claim;
use crate::path::{self, Everything, Links, NoPath, Query, Reason, WEIGHT_ONE, Workspace};
use crate::policy::{PathChoice, Policy};
use crate::refusal::Refusal;
use crate::state::{ALLOCATIONS_MAX, BOOKINGS_MAX, Network, State};
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
    if request.attributes.expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::AlreadyExpired);
    }
    let (network, demand, priorities) = resolve_demand(state, request, now)?;
    if demand.attributes.starts_at.is_some() && network.ledger.bookings() >= BOOKINGS_MAX {
        return Err(Refusal::TooMany { what: "scheduled allocations of a topology", max: BOOKINGS_MAX });
    }
    check_auto_bandwidth(state, &demand, None)?;
    check_quotas(state, &demand, None)?;
    if let Some((field, why)) = impossible_flow(&demand, &network.topology) {
        return Err(Refusal::ImpossibleFlow { field, why });
    }
    let id = AllocationId(state.sequence().next().0);
    let moves_max = request.moves_max.unwrap_or(network.model.policy.relocation.max_moves);
    let admission = Admission { state, network, id, demand: &demand, priorities, moves_max };
    Ok(match admission.of_new(workspace) {
        Ok((route, displaced)) => {
            check_route(state, &demand, &route, None)?;
            let Route { path, backup } = route;
            let recovery = Recovery::of(backup, None);
            let allocation = Allocation { id, demand, path, recovery, created_at: now, updated_at: now };
            Event::Admitted { allocation: Arc::new(allocation), displaced }
        }
        Err(denial) => Event::Denied { of: None, demand: Box::new(demand), denial },
    })
}

/// The demand of a request, in the network that it is about.
pub(super) fn resolve_demand<'a>(
    state: &'a State,
    request: &Request,
    now: Millis,
) -> Result<(&'a Network, Demand, Priorities), Refusal> {
    let (name, network) =
        resolve::network_between(state, request.topology.as_ref(), &request.ingress, &request.egress)?;
    let ingress = resolve::node(&network.topology, name, "ingress", &request.ingress)?;
    let priorities =
        resolve::priorities(network, name, request.class_type, request.setup_priority, request.hold_priority)?;
    let mut attributes = with_times(request, now)?;
    if let (Owner::Scheduler, Some(aggregator)) = (attributes.owner, &attributes.aggregator) {
        attributes.tenant = state.tenant_of(aggregator).map(|tenant| tenant.name.clone());
    }
    let demand = Demand {
        topology: name.clone(),
        ingress,
        egress: resolve::node(&network.topology, name, "egress", &request.egress)?,
        class_type: request.class_type,
        setup_priority: priorities.setup,
        hold_priority: priorities.hold,
        bandwidth: request.bandwidth,
        constraints: resolve::constraints(&request.constraints, &network.topology, name, ingress)?,
        attributes,
    };
    check(&demand, network)?;
    Ok((network, demand, priorities))
}

/// The least bandwidth of other allocations that had to go for `admitted` to enter the books of `before`, after the moves
/// among `displaced`: as far as a long search finds it.
pub fn least_sufficient_bps(before: &State, admitted: &Allocation, displaced: &[Displaced]) -> Option<u64> {
    let network = before.network(admitted.demand.topology.as_str())?;
    let setup_slot = network.model.model.slot(admitted.demand.class_type, admitted.demand.setup_priority)?;
    let find = |id| before.allocation(id);
    let mut books = Reallocation::new(network, &network.graph, &find);
    for moved in displaced.iter().filter(|gone| gone.cause == DisplacedBy::Relocation) {
        if let (Some(allocation), Fate::Rerouted(path)) = (before.allocation(moved.id), &moved.fate) {
            books.displace(allocation, moved.cause);
            books.place(moved.id, Route::single(Arc::clone(path)));
        }
    }
    Some(victims::least_sufficient_bps(&mut books, &network.entry_of(admitted)?, setup_slot))
}

pub(super) fn check(demand: &Demand, network: &Network) -> Result<(), Refusal> {
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

/// A demand before the books of its network.
pub(super) struct Admission<'a> {
    pub(super) state: &'a State,
    pub(super) network: &'a Network,
    pub(super) id: AllocationId,
    pub(super) demand: &'a Demand,
    pub(super) priorities: Priorities,
    pub(super) moves_max: u8,
}

pub(super) type RouteAndFates = (Route, Vec<Displaced>);

impl Admission<'_> {
    pub(super) fn of_new(&self, workspace: &mut Workspace) -> Result<RouteAndFates, Denial> {
        let network = self.network;
        if let Some(protection) = self.demand.attributes.booked_protection() {
            let find = |id| self.state.allocation(id);
            match self.protected(Reallocation::new(network, &network.graph, &find), protection, workspace) {
                Err(_) if protection.is_best_effort => {}
                decided => return decided,
            }
        }
        match self.of_new_without_moves(workspace) {
            Ok(admitted) => return Ok(admitted),
            Err(Some(denial)) => return Err(denial),
            Err(None) => {}
        }
        let query = path_query(&network.model.policy, self.demand);
        let find = |id| self.state.allocation(id);
        let mut books = Reallocation::new(network, &network.graph, &find);
        let denial = denial(network, &books.draft.reach_exact(self.claim()), &query, workspace);
        let reach = network.ledger.reach(self.priorities.setup_slot);
        match self.path_by_moves(&mut books, &denial, workspace) {
            Some(links) if check_price(network, &query, &reach, &links, workspace).is_ok() => {
                self.with_victims(books, Route::single(links), workspace)
            }
            _ => Err(self.within_price(denial, &query, workspace)),
        }
    }

    /// What is asked of each link of a path.
    pub(super) fn claim(&self) -> Claim {
        let Priorities { setup_slot, hold_slot, .. } = self.priorities;
        let span = self.network.span_of(self.demand).unwrap_or_default();
        let is_bidirectional = self.demand.attributes.is_bidirectional;
        Claim { slot: setup_slot, hold_slot, bandwidth: self.demand.bandwidth, span, is_bidirectional }
    }

    /// `Err(None)`: no path has the bandwidth, whichever victims the demand takes.
    pub(super) fn of_new_without_moves(&self, workspace: &mut Workspace) -> Result<RouteAndFates, Option<Denial>> {
        let (network, claim) = (self.network, self.claim());
        if !network.ledger.avoided().is_empty()
            && let Some(admitted) = self.past_lost_switches(workspace)
        {
            return Ok(admitted);
        }
        let has_no_future =
            network.ledger.bookings() == 0 && (claim.span.ends_at.is_none() || network.ledger.closures.is_empty());
        let is_now = claim.span.start.is_none() && has_no_future && !claim.is_bidirectional;
        // The common case first, on the ledger itself: a demand that needs no victim, where nothing is booked ahead.
        if is_now && let Some(links) = self.free_path(&network.ledger.free(claim.slot), workspace)? {
            return Ok((Route::single(links), vec![]));
        }
        let find = |id| self.state.allocation(id);
        let books = Reallocation::new(network, &network.graph, &find);
        if !is_now && let Some(links) = self.free_path(&books.draft.free(claim), workspace)? {
            return Ok((Route::single(links), vec![]));
        }
        let links = match is_now {
            true => self.path_on(&network.ledger.reach(claim.slot), workspace),
            false => self.path_on(&books.draft.reach(claim), workspace),
        };
        Ok(self.with_victims(books, Route::single(links?.ok_or(None)?), workspace)?)
    }

    /// On a path past the switches that a controller has lost, with the victims that it takes.
    fn past_lost_switches(&self, workspace: &mut Workspace) -> Option<RouteAndFates> {
        let (claim, find) = (self.claim(), |id| self.state.allocation(id));
        let books = Reallocation::new(self.network, &self.network.graph, &find);
        if let Some(links) = self.free_path(&books.draft.preferred(claim, Taking::Free)?, workspace).ok()? {
            return Some((Route::single(links), vec![]));
        }
        let links = self.path_on(&books.draft.preferred(claim, Taking::Reach)?, workspace).ok()??;
        self.with_victims(books, Route::single(links), workspace).ok()
    }

    /// On two paths with free bandwidth, or on two on which it takes victims.
    pub(super) fn protected(
        &self,
        books: Reallocation<'_, '_>,
        protection: Protection,
        workspace: &mut Workspace,
    ) -> Result<RouteAndFates, Denial> {
        let (claim, query) = (self.claim(), path_query(&self.network.model.policy, self.demand));
        if self.network.model.policy.path_choice == PathChoice::AvoidVictims
            && let Ok(route) = pair_of(&books, claim, &query, (protection, Taking::Free), workspace)
        {
            check_price(self.network, &query, &books.draft.free(claim), &route.path, workspace)?;
            return Ok((route, vec![]));
        }
        let pair = pair_of(&books, claim, &query, (protection, Taking::Reach), workspace);
        if let Ok(route) = pair {
            check_price(self.network, &query, &books.draft.reach(claim), &route.path, workspace)?;
            return self.with_victims(books, route, workspace);
        }
        Err(match path::shortest(books.graph, &books.draft.reach(claim), &query, workspace) {
            Ok(found) => no_backup(&books, claim, &query, (&found.links, protection), workspace),
            Err(_) => denial(self.network, &books.draft.reach_exact(claim), &query, workspace),
        })
    }

    fn free_path(&self, links: &impl Links, workspace: &mut Workspace) -> Result<Option<Vec<LinkIx>>, Denial> {
        match self.network.model.policy.path_choice {
            PathChoice::AvoidVictims => self.path_on(links, workspace),
            PathChoice::FewestHops => Ok(None),
        }
    }

    fn path_on(&self, links: &impl Links, workspace: &mut Workspace) -> Result<Option<Vec<LinkIx>>, Denial> {
        let query = path_query(&self.network.model.policy, self.demand);
        let Ok(found) = path::shortest(&self.network.graph, links, &query, workspace) else { return Ok(None) };
        check_price(self.network, &query, links, &found.links, workspace)?;
        Ok(Some(found.links))
    }

    /// Only for want of bandwidth.
    pub(super) fn path_by_moves(
        &self,
        books: &mut Reallocation<'_, '_>,
        denial: &Denial,
        workspace: &mut Workspace,
    ) -> Option<Vec<LinkIx>> {
        let lacks_bandwidth = matches!(denial, Denial::InsufficientBandwidth { .. });
        if lacks_bandwidth { make_way(books, self.demand, self.claim(), self.moves_max, workspace) } else { None }
    }

    /// What is said to be admissible is so at the policy's price, too.
    fn within_price(&self, denial: Denial, query: &Query<'_>, workspace: &mut Workspace) -> Denial {
        let (Denial::InsufficientBandwidth { binding, largest_admissible }, Some(_)) =
            (&denial, self.network.model.policy.refuse_above_percent)
        else {
            return denial;
        };
        let (draft, claim) = (LedgerDraft::new(&self.network.ledger), self.claim());
        let links = self.network.topology.links().map(|(link, _)| link);
        let rooms = links.flat_map(|link| [draft.free_for(link, &claim), draft.reach_for(link, &claim)]);
        let rooms: BTreeSet<u64> = rooms.filter(|room| *room > 0 && *room <= largest_admissible.as_bps()).collect();
        let rooms: Vec<u64> = rooms.into_iter().collect();
        let mut is_paid = |bandwidth_bps: u64| self.is_paid(&draft, &Query { bandwidth_bps, ..*query }, workspace);
        // The more bandwidth, the fewer links and the dearer the path: but for a free detour that is dearer than victims.
        let paid = rooms.partition_point(|room| is_paid(*room));
        let largest = paid.checked_sub(1).and_then(|last| rooms.get(last)).copied().filter(|room| is_paid(*room));
        Denial::InsufficientBandwidth {
            binding: binding.clone(),
            largest_admissible: Bandwidth::saturating_from_bps(largest.unwrap_or(0)),
        }
    }

    fn is_paid(&self, draft: &LedgerDraft<'_>, query: &Query<'_>, workspace: &mut Workspace) -> bool {
        let (network, claim) = (self.network, self.claim());
        let (free, reach) = (draft.free_exact(claim), draft.reach_exact(claim));
        let found = match network.model.policy.path_choice {
            PathChoice::AvoidVictims => path::shortest(&network.graph, &free, query, workspace),
            PathChoice::FewestHops => Err(NoPath::None),
        };
        let found = found.or_else(|_| path::shortest(&network.graph, &reach, query, workspace));
        found.is_ok_and(|found| check_price(network, query, &reach, &found.links, workspace).is_ok())
    }

    pub(super) fn with_victims(
        &self,
        mut books: Reallocation<'_, '_>,
        route: Route,
        workspace: &mut Workspace,
    ) -> Result<RouteAndFates, Denial> {
        let Route { path, backup } = &route;
        let entry = self.network.entry_on(self.id, self.demand, self.priorities.hold_slot, path, backup.as_ref());
        let Some(entry) = entry else { return Err(Denial::NoPath(PathObstacle::SearchLimit)) };
        // Paths on which the demand is within reach have victims enough.
        if !make_room(&mut books, &entry, self.priorities.setup_slot) {
            return Err(Denial::NoPath(PathObstacle::SearchLimit));
        }
        reroute_victims(&mut books, workspace);
        let touched = books.draft.touched();
        let taken_by = |booking: &Allocation| match booking.demand.class_type > self.demand.class_type {
            true => DisplacedBy::Contention(Cause::Devolved),
            false => DisplacedBy::Contention(Cause::Preempted),
        };
        displace_not_kept(&mut books, touched, taken_by, workspace);
        Ok((route, books.fates()))
    }
}

/// Admission by price: under overload a path may cost no more than so many empty links for each of the hops it has to
/// make at least. Scaled by hops, so that long paths are not refused for being long.
fn check_price(
    network: &Network,
    query: &Query<'_>,
    links: &impl Links,
    path: &[LinkIx],
    workspace: &mut Workspace,
) -> Result<(), Denial> {
    let Policy { refuse_above_percent: Some(limit_percent), .. } = network.model.policy else { return Ok(()) };
    if !query.metric.grows_with_load() {
        return Ok(());
    }
    let Ok(shortest) = path::shortest(&network.graph, &Everything, &fewest_hops(query), workspace) else {
        return Ok(());
    };
    let fewest = u64::try_from(shortest.links.len()).unwrap_or(u64::MAX).max(1);
    let cost: u64 = path.iter().map(|link| u64::from(links.weight(*link))).sum();
    let cost_percent = cost.saturating_mul(100) / u64::from(WEIGHT_ONE) / fewest;
    if cost_percent <= u64::from(limit_percent) {
        return Ok(());
    }
    Err(Denial::TooCongested { cost_percent, limit_percent })
}

pub(super) fn denial(network: &Network, links: &impl Links, query: &Query<'_>, workspace: &mut Workspace) -> Denial {
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
