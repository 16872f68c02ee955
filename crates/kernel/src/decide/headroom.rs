//! How much more a demand could have: the largest bandwidths that would be admitted, found by deciding on them.

use super::admit::{Admission, RouteAndFates, resolve_demand};
use super::path_query::path_query;
use super::resolve::Priorities;
use crate::allocation::Demand;
use crate::bam::SLOTS;
use crate::class::Priority;
use crate::command::Request;
use crate::event::DisplacedBy;
use crate::id::{AllocationId, LinkIx};
use crate::ledger_draft::LedgerDraft;
use crate::ledger_entry::Claim;
use crate::path::{self, Links, WEIGHT_ONE, Workspace};
use crate::policy::PathChoice;
use crate::refusal::Refusal;
use crate::state::{Network, State};
use crate::units::{Bandwidth, Millis};

/// The largest bandwidths that would be admitted, each to the bit/s: one bit/s more would not be. Zero: nothing would.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headroom {
    /// Without any effect on other allocations.
    pub free: Bandwidth,
    /// With other allocations moved, make-before-break, but none preempted or devolved. Moves are looked for with bounded
    /// effort, so that a bandwidth above it may be admitted too, though not the next one.
    pub with_moves: Bandwidth,
    /// With other allocations moved, preempted or devolved.
    pub with_preemption: Bandwidth,
    /// The setup priority that was decided with.
    pub setup_priority: Priority,
}

/// The largest bandwidths that would be admitted of a request; its own bandwidth, which is not zero, does not matter.
///
/// # Errors
/// As for the request: unknown names, classes or priorities, the same node twice.
pub fn headroom(state: &State, request: &Request, workspace: &mut Workspace) -> Result<Headroom, Refusal> {
    let (network, demand, priorities) = resolve_demand(state, request, Millis(0))?;
    let moves_max = request.moves_max.unwrap_or(network.model.policy.relocation.max_moves);
    let mut search = HeadroomSearch { state, network, demand, priorities, moves_max, workspace };
    let free = search.largest_without_moves(|(_, displaced)| displaced.is_empty());
    let plain = search.largest_without_moves(|_| true);
    let above = search.with_all_links_empty();
    let any = search.boundary(plain, above, |_| true);
    let with_moves =
        search.boundary(free, any, |(_, displaced)| displaced.iter().all(|gone| gone.cause == DisplacedBy::Relocation));
    Ok(Headroom {
        free: Bandwidth::saturating_from_bps(free),
        with_moves: Bandwidth::saturating_from_bps(with_moves),
        with_preemption: Bandwidth::saturating_from_bps(any),
        setup_priority: priorities.setup,
    })
}

pub(super) struct HeadroomSearch<'a, 'w> {
    pub(super) state: &'a State,
    pub(super) network: &'a Network,
    pub(super) demand: Demand,
    pub(super) priorities: Priorities,
    pub(super) moves_max: u8,
    pub(super) workspace: &'w mut Workspace,
}

impl HeadroomSearch<'_, '_> {
    /// The largest bandwidth that is admitted without moves so that `is_good`. What is decided changes only where a link
    /// drops out, with victims or without.
    pub(super) fn largest_without_moves(&mut self, is_good: impl Fn(&RouteAndFates) -> bool) -> u64 {
        let (ledger, claim) = (&self.network.ledger, self.any_bandwidth());
        let draft = LedgerDraft::new(ledger);
        let rooms = ledger.links().flat_map(|link| [draft.free_for(link, &claim), draft.reach_for(link, &claim)]);
        let mut rooms: Vec<u64> = rooms.filter(|room| *room > 0).collect();
        rooms.sort_unstable();
        rooms.dedup();
        let has_path = rooms.partition_point(|room| self.has_path(&draft, *room));
        rooms.truncate(has_path);
        let policy = self.network.model.policy;
        let mut is_admitted = |room: &u64| self.decide(*room, Moves::Without).is_some_and(|one| is_good(&one));
        // By fewest hops, or at a price, less bandwidth may be worse: it takes another path.
        let found = if policy.path_choice == PathChoice::AvoidVictims && policy.refuse_above_percent.is_none() {
            rooms.partition_point(is_admitted).checked_sub(1)
        } else {
            rooms.iter().rposition(&mut is_admitted)
        };
        found.and_then(|at| rooms.get(at)).copied().unwrap_or(0)
    }

    fn any_bandwidth(&self) -> Claim {
        let Priorities { setup_slot, hold_slot, .. } = self.priorities;
        let span = self.network.span_of(&self.demand).unwrap_or_default();
        let is_bidirectional = self.demand.attributes.is_bidirectional;
        Claim { slot: setup_slot, hold_slot, bandwidth: Bandwidth::MAX, span, is_bidirectional }
    }

    fn has_path(&mut self, draft: &LedgerDraft<'_>, bandwidth_bps: u64) -> bool {
        let query = path::Query { bandwidth_bps, ..path_query(&self.network.model.policy, &self.demand) };
        let reach = draft.reach_exact(self.any_bandwidth());
        path::shortest(&self.network.graph, &reach, &query, self.workspace).is_ok()
    }

    /// What the demand could have if there were no other allocation: no move makes more room.
    fn with_all_links_empty(&mut self) -> u64 {
        let empty = EmptyLinks { network: self.network, priorities: self.priorities };
        let mut rooms: Vec<u64> = self.network.ledger.links().map(|link| empty.room_bps(link)).collect();
        rooms.sort_unstable();
        rooms.dedup();
        let query = path_query(&self.network.model.policy, &self.demand);
        let largest = rooms.partition_point(|bandwidth_bps| {
            let query = path::Query { bandwidth_bps: *bandwidth_bps, ..query };
            *bandwidth_bps == 0 || path::shortest(&self.network.graph, &empty, &query, self.workspace).is_ok()
        });
        largest.checked_sub(1).and_then(|at| rooms.get(at)).copied().unwrap_or(0)
    }

    /// The largest bandwidth from `least`, at which it is so, to `most` that is admitted so that `is_good`, as far as a
    /// bisection finds it.
    fn boundary(&mut self, least: u64, most: u64, is_good: impl Fn(&RouteAndFates) -> bool) -> u64 {
        let mut is_admitted = |bps: u64| self.decide(bps, Moves::With).is_some_and(|one| is_good(&one));
        if most <= least || is_admitted(most) {
            return most.max(least);
        }
        let (mut admitted, mut denied) = (least, most);
        while denied - admitted > 1 {
            let middle = admitted.midpoint(denied);
            if is_admitted(middle) {
                admitted = middle;
            } else {
                denied = middle;
            }
        }
        admitted
    }

    fn decide(&mut self, bandwidth_bps: u64, moves: Moves) -> Option<RouteAndFates> {
        self.demand.bandwidth = Bandwidth::saturating_from_bps(bandwidth_bps);
        let admission = Admission {
            state: self.state,
            network: self.network,
            id: AllocationId(self.state.sequence().next().0),
            demand: &self.demand,
            priorities: self.priorities,
            moves_max: self.moves_max,
        };
        match moves {
            Moves::With => admission.of_new(self.workspace).ok(),
            Moves::Without => admission.of_new_without_moves(self.workspace).ok(),
        }
    }
}

/// Whether other allocations may be moved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moves {
    With,
    Without,
}

/// The links in service, with nothing booked on them.
struct EmptyLinks<'a> {
    network: &'a Network,
    priorities: Priorities,
}

impl Links for EmptyLinks<'_> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        let ledger = &self.network.ledger;
        let bounds = ledger.bounds(link).filter(|_| ledger.is_usable(link));
        bounds.map_or(0, |bounds| bounds.reach_bps(ledger.slots(), &[0; SLOTS], self.priorities.setup_slot))
    }

    fn weight(&self, _: LinkIx) -> u32 {
        WEIGHT_ONE
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.network.ledger.is_usable(link)
    }
}
