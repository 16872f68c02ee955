//! Moves that make way for requests, so that as much of their bandwidth as can be is admitted and nothing is displaced.
//! Requests that fit as things stand come first. For each of the others, allocations move off the links of a path that
//! lack bandwidth, each to another path with free bandwidth.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use kernel::Refusal;
use kernel::allocation::{Allocation, Demand};
use kernel::bam::SLOTS;
use kernel::command::Request;
use kernel::id::LinkIx;
use kernel::ledger_draft::LedgerDraft;
use kernel::ledger_entry::Claim;
use kernel::path::{BesideDemand, Constraints, Links, Metric, Query, WEIGHT_ONE, Workspace, shortest};
use kernel::state::Network;

use crate::flow_program::WantedFlow;
use crate::plan_draft::{AdmissionAttempt, PlanDraft, passing_by};

/// How many paths are tried for a request.
const PATHS_MAX: usize = 4;
/// How many allocations of a link are considered for a move.
const CANDIDATES_MAX: usize = 32;
/// A link that lacks bandwidth counts as so many that have it.
const LACK_WEIGHT: u32 = 16 * WEIGHT_ONE;

/// That no request is refused whatever moves.
///
/// # Errors
/// The first that is, with its place.
pub(crate) fn check_requests(draft: &PlanDraft<'_>, requests: &[Request]) -> Result<(), RefusedRequest> {
    let mut workspace = Workspace::default();
    for (place, request) in requests.iter().enumerate() {
        if let AdmissionAttempt::Refused(refusal) = draft.clone().admit(place, request, 0, &mut workspace)? {
            return Err(RefusedRequest { place: Some(place), refusal });
        }
    }
    Ok(())
}

/// Of several orders of the requests the one after which the most bandwidth is admitted.
pub(crate) fn admit_most<'a>(draft: &PlanDraft<'a>, requests: &[Request]) -> Result<PlanDraft<'a>, Refusal> {
    let mut workspace = Workspace::default();
    let all: u64 = requests.iter().fold(0, |sum, request| sum.saturating_add(request.bandwidth.as_bps()));
    let given: Vec<usize> = (0..requests.len()).collect();
    let (mut small, mut large) = (given.clone(), given.clone());
    let bandwidth = |place: &usize| requests.get(*place).map(|request| request.bandwidth);
    small.sort_by_key(bandwidth);
    large.sort_by_key(|place| Reverse(bandwidth(place)));
    let mut best: Option<(u64, PlanDraft<'a>)> = None;
    for order in [given, large, small] {
        let mut draft = draft.clone();
        let admitted = admit_in_order(&mut draft, requests, &order, &mut workspace)?;
        if best
            .as_ref()
            .is_none_or(|(most, of)| (admitted, Reverse(draft.steps.len())) > (*most, Reverse(of.steps.len())))
        {
            best = Some((admitted, draft));
        }
        if best.as_ref().is_some_and(|(most, draft)| *most == all || draft.is_cut_short) {
            break;
        }
    }
    Ok(best.map_or_else(|| draft.clone(), |(_, draft)| draft))
}

/// Why there is no plan: the refusal of a request, or of the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedRequest {
    /// The place of the request; `None`: it is not about one.
    pub place: Option<usize>,
    /// The reason.
    pub refusal: Refusal,
}

impl From<Refusal> for RefusedRequest {
    fn from(refusal: Refusal) -> Self {
        Self { place: None, refusal }
    }
}

/// What requests want of the network, where they can be known.
pub(crate) fn wanted_flows(draft: &PlanDraft<'_>, requests: &[Request]) -> Result<Vec<WantedFlow>, Refusal> {
    let network = draft.network()?;
    let flow = |request: &Request| {
        let (topology, model) = (network.topology(), network.model());
        let (ingress, egress) =
            (topology.node_named(request.ingress.as_str())?, topology.node_named(request.egress.as_str())?);
        // The bound asks only what is booked for a class, which is the same for all of its priorities.
        let slots = model.model.slots();
        let slot = slots.iter().find(|slot| slots.class_type(*slot) == request.class_type)?;
        Some(WantedFlow { ingress, egress, slot, bps: request.bandwidth.as_bps() })
    };
    Ok(requests.iter().filter_map(flow).collect())
}

fn admit_in_order(
    draft: &mut PlanDraft<'_>,
    requests: &[Request],
    order: &[usize],
    workspace: &mut Workspace,
) -> Result<u64, Refusal> {
    let (mut admitted_bps, mut open) = (0_u64, vec![]);
    for place in order {
        let Some(request) = requests.get(*place) else { continue };
        let after = admitted_bps.saturating_add(request.bandwidth.as_bps());
        match draft.admit(*place, request, after, workspace)? {
            AdmissionAttempt::Admitted => admitted_bps = after,
            AdmissionAttempt::Lacking(demand) => open.push((*place, request, demand)),
            AdmissionAttempt::Refused(_) => {}
        }
    }
    for (place, request, demand) in open {
        if !draft.may_go_on() {
            break;
        }
        let mut version = draft.clone();
        let after = admitted_bps.saturating_add(request.bandwidth.as_bps());
        if make_way(&mut version, &demand, admitted_bps, workspace)?
            && matches!(version.admit(place, request, after, workspace)?, AdmissionAttempt::Admitted)
        {
            *draft = version;
            admitted_bps = after;
        }
    }
    Ok(admitted_bps)
}

/// Clears one of several paths for a demand; false: nothing has been cleared for it.
fn make_way(
    draft: &mut PlanDraft<'_>,
    demand: &Demand,
    value: u64,
    workspace: &mut Workspace,
) -> Result<bool, Refusal> {
    let mut blocked = BTreeSet::new();
    for _ in 0..PATHS_MAX {
        let network = draft.network()?;
        let Some(claim) = claim_of(&network, demand) else { return Ok(false) };
        let Some(path) = path_with_moves(&network, demand, claim, &blocked, workspace) else { return Ok(false) };
        let mut version = draft.clone();
        match clear(&mut version, demand, claim, &path, value, workspace)? {
            None => {
                *draft = version;
                return Ok(true);
            }
            Some(link) => blocked.insert(link),
        };
        draft.is_cut_short |= version.is_cut_short;
    }
    Ok(false)
}

fn claim_of(network: &Network, demand: &Demand) -> Option<Claim> {
    let slot = |priority| network.model().model.slot(demand.class_type, priority);
    Some(Claim {
        slot: slot(demand.setup_priority)?,
        hold_slot: slot(demand.hold_priority)?,
        bandwidth: demand.bandwidth,
        span: network.span_of(demand)?,
        is_bidirectional: demand.attributes.is_bidirectional,
    })
}

fn query<'a>(demand: &'a Demand, unconstrained: &'a Constraints) -> Query<'a> {
    Query {
        ingress: demand.ingress,
        egress: demand.egress,
        bandwidth_bps: demand.bandwidth.as_bps(),
        metric: Metric::Congestion,
        constraints: demand.constraints.as_deref().unwrap_or(unconstrained),
    }
}

/// A path of links that have the bandwidth, or would if they were empty.
fn path_with_moves(
    network: &Network,
    demand: &Demand,
    claim: Claim,
    blocked: &BTreeSet<LinkIx>,
    workspace: &mut Workspace,
) -> Option<Vec<LinkIx>> {
    let draft = LedgerDraft::new(network.ledger());
    let links = ClearableLinks { network, free: passing_by(network, draft.free(claim)), claim, blocked };
    let unconstrained = Constraints::default();
    shortest(network.graph(), &links, &query(demand, &unconstrained), workspace).ok().map(|found| found.links)
}

struct ClearableLinks<'a, L> {
    network: &'a Network,
    free: L,
    claim: Claim,
    blocked: &'a BTreeSet<LinkIx>,
}

impl<L: Links> Links for ClearableLinks<'_, L> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        let free = self.free.room_bps(link);
        if free >= self.claim.bandwidth.as_bps() {
            return free;
        }
        if self.blocked.contains(&link) || !self.free.is_usable(link) {
            return 0;
        }
        let ledger = self.network.ledger();
        ledger.bounds(link).map_or(0, |bounds| bounds.free_bps(ledger.slots(), &[0; SLOTS], self.claim.slot))
    }

    fn weight(&self, link: LinkIx) -> u32 {
        if self.free.room_bps(link) >= self.claim.bandwidth.as_bps() { WEIGHT_ONE } else { LACK_WEIGHT }
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.free.is_usable(link)
    }
}

/// Moves allocations until the demand finds free bandwidth on every link of the path; else the link on which it does not.
fn clear(
    draft: &mut PlanDraft<'_>,
    demand: &Demand,
    claim: Claim,
    path: &[LinkIx],
    value: u64,
    workspace: &mut Workspace,
) -> Result<Option<LinkIx>, Refusal> {
    for link in path {
        loop {
            let lack = lack_bps(&draft.network()?, &claim, *link);
            if lack == 0 {
                break;
            }
            if !draft.may_go_on() || !move_one_off(draft, demand, &claim, path, *link, value, workspace)? {
                return Ok(Some(*link));
            }
        }
    }
    Ok(None)
}

fn lack_bps(network: &Network, claim: &Claim, link: LinkIx) -> u64 {
    claim.bandwidth.as_bps().saturating_sub(LedgerDraft::new(network.ledger()).free_for(link, claim))
}

/// Moves one allocation off a link, so that the demand lacks less there and not more on any other link of its path.
fn move_one_off(
    draft: &mut PlanDraft<'_>,
    demand: &Demand,
    claim: &Claim,
    path: &[LinkIx],
    link: LinkIx,
    value: u64,
    workspace: &mut Workspace,
) -> Result<bool, Refusal> {
    let network = draft.network()?;
    let lack = lack_bps(&network, claim, link);
    for allocation in candidates(draft, &network, link, lack) {
        let Some(around) = way_around(&network, &allocation, demand, path, workspace) else { continue };
        let mut version = draft.clone();
        if !version.move_to(&allocation, &around, |_| value, workspace)? {
            continue;
        }
        let after = version.network()?;
        let is_nearer = lack_bps(&after, claim, link) < lack;
        if is_nearer && path.iter().all(|link| lack_bps(&after, claim, *link) <= lack_bps(&network, claim, *link)) {
            *draft = version;
            return Ok(true);
        }
    }
    Ok(false)
}

/// First those with enough bandwidth alone, the least first; then the others, the most first. What a step of this plan has
/// moved or admitted stays.
fn candidates(draft: &PlanDraft<'_>, network: &Network, link: LinkIx, lack: u64) -> Vec<Arc<Allocation>> {
    let fixed: BTreeSet<_> = draft.steps.iter().map(|step| step.allocation.id).collect();
    let on_link = network.ledger().on_link(link).filter(|id| !fixed.contains(id));
    let mut found: Vec<Arc<Allocation>> = on_link.filter_map(|id| draft.state.allocation(id).cloned()).collect();
    found.sort_by_key(|one| match one.demand.bandwidth.as_bps() {
        bps if bps >= lack => (0, bps, one.id),
        bps => (1, u64::MAX - bps, one.id),
    });
    found.truncate(CANDIDATES_MAX);
    found
}

/// Another path for a standing allocation, with free bandwidth that the demand does not need.
fn way_around(
    network: &Network,
    allocation: &Arc<Allocation>,
    demand: &Demand,
    path: &[LinkIx],
    workspace: &mut Workspace,
) -> Option<Arc<[LinkIx]>> {
    let mut draft = LedgerDraft::new(network.ledger());
    draft.leave(&network.entry_of(allocation)?);
    let claim = network.claim_of(allocation)?;
    let links = BesideDemand {
        free: passing_by(network, draft.free_exact(claim)),
        path,
        needed_bps: demand.bandwidth.as_bps(),
    };
    let unconstrained = Constraints::default();
    shortest(network.graph(), &links, &query(&allocation.demand, &unconstrained), workspace)
        .ok()
        .map(|found| found.links.into())
        .filter(|found: &Arc<[LinkIx]>| *found != allocation.path)
}
