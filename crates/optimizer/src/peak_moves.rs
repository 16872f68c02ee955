//! Moves off the fullest links. From the fullest link, or from the next where that has none to give, one
//! allocation after the other takes a path every link of which stays emptier than that one was: so the figures of the links,
//! the worst first, become better from move to move, and the search ends. How full a link is may be its utilisation, or how
//! little of it is free.

use std::cmp::Reverse;
use std::sync::Arc;

use kernel::Refusal;
use kernel::allocation::Allocation;
use kernel::id::LinkIx;
use kernel::ledger_draft::LedgerDraft;
use kernel::path::{Constraints, Links, Metric, Query, Workspace, shortest};
use kernel::state::Network;
use kernel::topology::LinkState;

use crate::objective::{BookedLink, headrooms, max_ppm};
use crate::plan_draft::{PlanDraft, passing_by};

/// How many allocations of a link are considered for a move: those with the most bandwidth.
const CANDIDATES_MAX: usize = 64;
/// How many of the fullest links are tried: what moves off the second may make way for what is on the first.
const LINKS_MAX: usize = 16;

/// How it is told which of two links is fuller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fullness {
    /// By booked bandwidth as a part of what may be reserved.
    Utilisation,
    /// By free bandwidth, in bit/s.
    Headroom,
}

impl Fullness {
    /// The more, the fuller.
    fn of(self, link: BookedLink) -> u64 {
        match self {
            Self::Utilisation => link.ppm(),
            Self::Headroom => u64::MAX - link.free_bps(),
        }
    }

    /// The most that a link of this size may have booked to be emptier than `full` is.
    fn below(self, full: BookedLink, reservable_bps: u64) -> u64 {
        match self {
            Self::Utilisation => {
                let wide = u128::from(full.booked_bps) * u128::from(reservable_bps);
                let most = wide.saturating_sub(1) / u128::from(full.reservable_bps.max(1));
                u64::try_from(most).unwrap_or(u64::MAX)
            }
            Self::Headroom => reservable_bps.saturating_sub(full.free_bps().saturating_add(1)),
        }
    }

    /// The value of the objective.
    fn value(self, network: &Network) -> u64 {
        match self {
            Self::Utilisation => max_ppm(network),
            Self::Headroom => headrooms(network).first().copied().unwrap_or(0),
        }
    }
}

/// Lowers the maximum utilisation.
pub(crate) fn lower_max_utilisation(draft: &mut PlanDraft<'_>) -> Result<(), Refusal> {
    let mut lowest_ppm = max_ppm(&draft.network()?);
    let mut useful = draft.clone();
    while draft.may_go_on() && move_off_fullest(draft, Fullness::Utilisation)? {
        let now_ppm = draft.steps.last().map_or(0, |step| step.max_ppm);
        if now_ppm < lowest_ppm {
            lowest_ppm = now_ppm;
            useful = draft.clone();
        }
    }
    // What came after the last move that made the fullest link emptier was for nothing.
    useful.is_cut_short = draft.is_cut_short;
    *draft = useful;
    Ok(())
}

/// Raises the smallest free bandwidth of a link, then the next smallest, and so on.
pub(crate) fn raise_headroom(draft: &mut PlanDraft<'_>) -> Result<(), Refusal> {
    while draft.may_go_on() && move_off_fullest(draft, Fullness::Headroom)? {}
    Ok(())
}

/// Makes the best move off the fullest link that has one; false: none has.
fn move_off_fullest(draft: &mut PlanDraft<'_>, fullness: Fullness) -> Result<bool, Refusal> {
    let (network, mut workspace) = (draft.network()?, Workspace::default());
    let loads = BookedLink::all(&network);
    let links = network.topology().links().filter(|(_, link)| link.state != LinkState::Down);
    let mut links: Vec<(LinkIx, BookedLink)> =
        links.filter_map(|(ix, _)| Some((ix, *loads.get(ix.at())?))).filter(|(_, load)| load.booked_bps > 0).collect();
    // Stable: of equals the first in the topology stays first.
    links.sort_by_key(|(_, load)| Reverse(fullness.of(*load)));
    for (link, _) in links.into_iter().take(LINKS_MAX) {
        let best = best_move(draft, &network, link, &loads, fullness, &mut workspace);
        let Some((_, allocation, path)) = best else { continue };
        if draft.move_to(&allocation, &path, |network| fullness.value(network), &mut workspace)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How full the fullest link is that it leaves, what moves, and where to.
type CandidateMove = (u64, Arc<Allocation>, Arc<[LinkIx]>);

/// Of the allocations on a link with the most bandwidth, the one whose move leaves the emptiest links behind.
fn best_move(
    draft: &PlanDraft<'_>,
    network: &Network,
    link: LinkIx,
    loads: &[BookedLink],
    fullness: Fullness,
    workspace: &mut Workspace,
) -> Option<CandidateMove> {
    let on_link = network.ledger().on_link(link).filter_map(|id| draft.state.allocation(id));
    let mut candidates: Vec<&Arc<Allocation>> = on_link.collect();
    candidates.sort_by_key(|one| (Reverse(one.demand.bandwidth), one.id));
    let mut best: Option<CandidateMove> = None;
    for allocation in candidates.into_iter().take(CANDIDATES_MAX) {
        let emptier = emptier_path(network, allocation, link, loads, fullness, workspace);
        let Some((path, worst)) = emptier else { continue };
        if best.as_ref().is_none_or(|(least, ..)| worst < *least) {
            best = Some((worst, Arc::clone(allocation), path));
        }
    }
    best
}

/// A path around the fullest link on which every link stays emptier than that one was, and how full the
/// fullest of those links and of that one is after the move.
fn emptier_path(
    network: &Network,
    allocation: &Allocation,
    fullest: LinkIx,
    loads: &[BookedLink],
    fullness: Fullness,
    workspace: &mut Workspace,
) -> Option<(Arc<[LinkIx]>, u64)> {
    let entry = network.entry_of(allocation)?;
    let slots = network.ledger().slots();
    let mut draft = LedgerDraft::new(network.ledger());
    draft.leave(&entry);
    let full = loads.get(fullest.at())?;
    let after = |link: LinkIx, booked_bps: u64| {
        let reservable_bps = loads.get(link.at()).map_or(0, |load| load.reservable_bps);
        BookedLink { booked_bps, reservable_bps }
    };
    let booked = |link: LinkIx| {
        draft.book(link).map_or(0, |(_, booked)| booked.iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps)))
    };
    let takes = |link: LinkIx| {
        let bounds = network.ledger().bounds(link);
        bounds.map_or(u64::MAX, |bounds| bounds.booked(slots, entry.slot, entry.bandwidth))
    };
    let is_emptier = |link: LinkIx| {
        let reservable_bps = loads.get(link.at()).map_or(0, |load| load.reservable_bps);
        booked(link).saturating_add(takes(link)) <= fullness.below(*full, reservable_bps)
    };
    let links = EmptierLinks {
        free: passing_by(network, draft.free(network.claim_of(allocation)?)),
        is_emptier: |link| link != fullest && is_emptier(link),
    };
    let unconstrained = Constraints::default();
    let constraints = allocation.demand.constraints.as_deref().unwrap_or(&unconstrained);
    let query = Query {
        ingress: allocation.demand.ingress,
        egress: allocation.demand.egress,
        bandwidth_bps: allocation.demand.bandwidth.as_bps(),
        metric: Metric::Congestion,
        constraints,
    };
    let found = shortest(network.graph(), &links, &query, workspace).ok()?;
    let on_path = found.links.iter().map(|link| after(*link, booked(*link).saturating_add(takes(*link))));
    let worst = on_path.chain([after(fullest, booked(fullest))]).map(|link| fullness.of(link)).max()?;
    Some((found.links.into(), worst))
}

/// Free links that stay emptier than the fullest.
struct EmptierLinks<L, E> {
    free: L,
    is_emptier: E,
}

impl<L: Links, E: Fn(LinkIx) -> bool> Links for EmptierLinks<L, E> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        if (self.is_emptier)(link) { self.free.room_bps(link) } else { 0 }
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.free.weight(link)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.free.is_usable(link)
    }
}
