//! Moves that lower the maximum utilisation. From the fullest link, or from the next where that has none to give, one
//! allocation after the other takes a path every link of which stays emptier than that one was: so the utilisations, the
//! highest first, become less from move to move, and the search ends. Every move is decided
//! by the kernel on the version in which the moves before it have happened: no step takes bandwidth that is not free.

use std::sync::Arc;

use crate::utilisation_bound::utilisation_bound_ppm;
use crate::worst_loads::utilisation_ppm;
use kernel::allocation::Allocation;
use kernel::id::{LinkIx, Name};
use kernel::ledger_draft::LedgerDraft;
use kernel::path::{Constraints, Links, Metric, Query, Workspace, shortest};
use kernel::state::Network;
use kernel::topology::LinkState;
use kernel::units::Millis;
use kernel::{Command, Event, Recorded, Refusal, State, apply, decide};

/// How many allocations of a link are considered for a move: those with the most bandwidth.
const CANDIDATES_MAX: usize = 64;
/// How many of the fullest links are tried: what moves off the second may make way for what is on the first.
const LINKS_MAX: usize = 16;

/// An ordered plan: what moves where, and what that does to the links.
#[derive(Clone, PartialEq, Debug)]
pub struct OptimizationPlan {
    /// In the order in which they are to be made.
    pub moves: Vec<PlannedMove>,
    /// By link: its utilisation before and after all moves, in parts per million of its maximum reservable bandwidth.
    pub links: Vec<(u64, u64)>,
    /// No routing of the same allocations, split over as many paths as it likes, has a lower maximum utilisation than this,
    /// in parts per million.
    pub bound_ppm: u64,
    /// Whether the search ended for want of time, and not because no move lowers the fullest link.
    pub is_cut_short: bool,
}

/// One move.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedMove {
    /// The allocation as it is before.
    pub allocation: Arc<Allocation>,
    /// Its new path.
    pub path: Arc<[LinkIx]>,
    /// The maximum utilisation after this move, in parts per million.
    pub max_ppm: u64,
}

impl OptimizationPlan {
    /// The maximum utilisation before and after, in parts per million.
    pub fn max_ppm(&self) -> (u64, u64) {
        self.links.iter().fold((0, 0), |most, link| (most.0.max(link.0), most.1.max(link.1)))
    }

    /// The moves as commands.
    ///
    /// # Errors
    /// [`Refusal::UnknownTopology`], where the topology has other links now.
    pub fn commands(&self, network: &Network, topology: &Name) -> Result<Vec<Command>, Refusal> {
        let command = |step: &PlannedMove| reroute(network, topology, &step.allocation, &step.path);
        self.moves.iter().map(command).collect()
    }
}

/// Lowers the maximum utilisation by at most so many moves. `has_time` is asked before each of them.
///
/// # Errors
/// [`Refusal::UnknownTopology`].
pub fn lower_max_utilisation(
    state: &State,
    topology: &Name,
    moves_max: usize,
    has_time: impl Fn() -> bool,
) -> Result<OptimizationPlan, Refusal> {
    let find = |state: &State| {
        state.network(topology.as_str()).cloned().ok_or_else(|| Refusal::UnknownTopology(topology.clone()))
    };
    let before = find(state)?;
    let bound_ppm = utilisation_bound_ppm(state, topology, &before, &has_time);
    let (mut version, mut workspace) = (state.clone(), Workspace::default());
    let (mut moves, mut is_cut_short): (Vec<PlannedMove>, bool) = (vec![], false);
    let mut useful = (0, state.clone());
    let mut lowest_ppm = loads(&before).into_iter().map(BookedLink::ppm).max().unwrap_or(0);
    while moves.len() < moves_max {
        if !has_time() {
            is_cut_short = true;
            break;
        }
        let network = find(&version)?;
        let Some(step) = next_move(&version, &network, topology, &mut workspace)? else { break };
        version = step.1;
        let is_lower = step.0.max_ppm < lowest_ppm;
        moves.push(step.0);
        if is_lower {
            lowest_ppm = moves.last().map_or(0, |step| step.max_ppm);
            useful = (moves.len(), version.clone());
        }
    }
    // What came after the last move that made the fullest link emptier was for nothing.
    let (useful_moves, useful_version) = useful;
    moves.truncate(useful_moves);
    let links =
        loads(&before).into_iter().zip(loads(&find(&useful_version)?)).map(|(one, other)| (one.ppm(), other.ppm()));
    Ok(OptimizationPlan { moves, links: links.collect(), bound_ppm, is_cut_short })
}

/// A link's booked and reservable bandwidth.
#[derive(Clone, Copy)]
struct BookedLink {
    booked_bps: u64,
    reservable_bps: u64,
}

impl BookedLink {
    fn of(network: &Network, link: LinkIx) -> Self {
        let booked = network.ledger().booked(link).iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps));
        let reservable_bps = network.topology().link(link).map_or(0, |link| link.max_reservable.as_bps());
        Self { booked_bps: booked, reservable_bps }
    }

    fn ppm(self) -> u64 {
        utilisation_ppm(self.booked_bps, self.reservable_bps)
    }

    /// The most that a link of this size may have booked to be emptier than `self` is.
    fn below(self, reservable_bps: u64) -> u64 {
        let wide = u128::from(self.booked_bps) * u128::from(reservable_bps);
        let most = wide.saturating_sub(1) / u128::from(self.reservable_bps.max(1));
        u64::try_from(most).unwrap_or(u64::MAX)
    }
}

fn loads(network: &Network) -> Vec<BookedLink> {
    network.topology().links().map(|(link, _)| BookedLink::of(network, link)).collect()
}

/// The highest utilisation that it leaves, what moves, and where to.
type CandidateMove<'a> = (u64, &'a Arc<Allocation>, Arc<[LinkIx]>);

/// The best move off the fullest link that has one, and the version after it.
fn next_move(
    state: &State,
    network: &Network,
    topology: &Name,
    workspace: &mut Workspace,
) -> Result<Option<(PlannedMove, State)>, Refusal> {
    let loads = loads(network);
    let links = network.topology().links().filter(|(_, link)| link.state != LinkState::Down);
    let mut links: Vec<LinkIx> = links.map(|(ix, _)| ix).collect();
    // Stable: of equals the first in the topology stays first.
    links.sort_by_key(|link| std::cmp::Reverse(loads.get(link.at()).map_or(0, |load| load.ppm())));
    for link in links.into_iter().take(LINKS_MAX) {
        let Some((_, allocation, path)) = best_move(state, network, link, &loads, workspace) else { continue };
        let event = decide(state, &reroute(network, topology, allocation, &path)?, Millis(0), workspace)?;
        if matches!(event, Event::Denied { .. }) {
            continue;
        }
        let mut version = state.clone();
        let recorded = Recorded { sequence: state.sequence().next(), at: Millis(0), event };
        if apply(&mut version, &recorded).is_err() {
            continue;
        }
        let after = version.network(topology.as_str()).map(self::loads).unwrap_or_default();
        let max_ppm = after.into_iter().map(BookedLink::ppm).max().unwrap_or(0);
        return Ok(Some((PlannedMove { allocation: Arc::clone(allocation), path, max_ppm }, version)));
    }
    Ok(None)
}

/// Of the allocations on a link with the most bandwidth, the one whose move leaves the lowest utilisation behind.
fn best_move<'a>(
    state: &'a State,
    network: &Network,
    link: LinkIx,
    loads: &[BookedLink],
    workspace: &mut Workspace,
) -> Option<CandidateMove<'a>> {
    let on_link = network.ledger().on_link(link).filter_map(|id| state.allocation(id));
    let mut candidates: Vec<&Arc<Allocation>> = on_link.collect();
    candidates.sort_by_key(|one| (std::cmp::Reverse(one.demand.bandwidth), one.id));
    let mut best: Option<CandidateMove<'_>> = None;
    for allocation in candidates.into_iter().take(CANDIDATES_MAX) {
        let Some((path, worst_ppm)) = emptier_path(network, allocation, link, loads, workspace) else { continue };
        if best.as_ref().is_none_or(|(least, ..)| worst_ppm < *least) {
            best = Some((worst_ppm, allocation, path));
        }
    }
    best
}

fn reroute(network: &Network, topology: &Name, allocation: &Allocation, path: &[LinkIx]) -> Result<Command, Refusal> {
    let name = |link: &LinkIx| network.topology().link(*link).map(|link| link.name.clone());
    let path = path.iter().map(name).collect::<Option<Vec<Name>>>();
    let path = path.ok_or_else(|| Refusal::UnknownTopology(topology.clone()))?;
    Ok(Command::Reroute { id: allocation.id, path })
}

/// A path around the fullest link on which every link stays emptier than that one was, and the highest utilisation of
/// those links and the fullest one after the move.
fn emptier_path(
    network: &Network,
    allocation: &Allocation,
    fullest: LinkIx,
    loads: &[BookedLink],
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
        booked(link).saturating_add(takes(link)) <= full.below(reservable_bps)
    };
    let links = EmptierLinks {
        free: draft.free(network.claim_of(allocation)?),
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
    let on_path = found.links.iter().map(|link| after(*link, booked(*link).saturating_add(takes(*link))).ppm());
    let worst = on_path.chain([after(fullest, booked(fullest)).ppm()]).max()?;
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
