//! The choice of those that yield. The bandwidth model says which slot gives up bandwidth next, and how much; the victim
//! policy chooses among the allocations of that slot. A first choice is made greedily; whoever turns out not to be needed
//! stays; then a bounded search looks for less.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reallocation::Reallocation;
use crate::bam::{Booked, Cause, LinkBounds, Overrun, Slot, VictimOrder, VictimPolicy};
use crate::id::{AllocationId, LinkIx};
use crate::ledger_entry::LedgerEntry;
use crate::policy::Policy;

/// How hard a set of victims is looked for.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// How many of the newest allocations of a slot on a link are looked at, unless they are not enough.
    pub(super) candidates_max: usize,
    /// How many sets of victims are looked at.
    pub(super) explored_max: u32,
}

/// The part of what is left of the search that one branch may use: a quarter.
const BRANCH_PART: u32 = 4;

/// Who yields, and by what right the bandwidth is taken.
pub(super) struct Yielding {
    pub(super) who: Yields,
    pub(super) cause: Cause,
}

#[derive(Clone)]
pub(super) enum Yields {
    /// One, with all that it has booked.
    Allocation(AllocationId),
    /// All that share bandwidth of a slot on a link, with their backup paths alone.
    Backups(Vec<AllocationId>),
}

struct Candidate {
    /// Of backup paths, the first.
    id: AllocationId,
    who: Yields,
    slot: Slot,
    bandwidth_bps: u64,
    /// By place on the path: what it has booked there.
    booked: Vec<(usize, u64)>,
    taken: bool,
}

/// A choice on the links of a path.
pub(super) struct Choice<'a, 'b, 'c> {
    books: &'c Reallocation<'a, 'b>,
    policy: Policy,
    effort: Effort,
    /// The slot for which room is made; none where a link is held to narrower bounds.
    asker: Option<Slot>,
    /// The allocation for which room is made.
    pub(super) asking: Option<AllocationId>,
    path: &'c [LinkIx],
    bounds: Vec<&'c LinkBounds>,
    booked: Vec<Booked>,
    /// By place on the path: bandwidth that is enough in any case.
    pub(super) enough: Vec<u64>,
    candidates: Vec<Candidate>,
    places: BTreeMap<AllocationId, usize>,
    pools: BTreeMap<(usize, Slot), Arc<[usize]>>,
    best: Option<(Score, Vec<(usize, Cause)>)>,
}

/// Less is better. Bandwidth before number, or number before bandwidth, as the policy says.
type Score = (u64, u64);

impl<'a, 'b, 'c> Choice<'a, 'b, 'c> {
    pub(super) fn new(
        books: &'c Reallocation<'a, 'b>,
        path: &'c [LinkIx],
        asker: Option<Slot>,
        policy: Policy,
        effort: Effort,
    ) -> Self {
        let (bounds, booked) = path.iter().filter_map(|link| books.draft.book(*link)).unzip();
        Self {
            books,
            policy,
            effort,
            asker,
            asking: None,
            path,
            bounds,
            booked,
            enough: vec![u64::MAX; path.len()],
            candidates: vec![],
            places: BTreeMap::new(),
            pools: BTreeMap::new(),
            best: None,
        }
    }

    pub(super) fn booked_by(&self, link: LinkIx, entry: &LedgerEntry) -> u64 {
        let bounds = self.books.draft.book(link).map(|(bounds, _)| bounds);
        bounds.map_or(u64::MAX, |bounds| bounds.booked(self.books.network.ledger.slots(), entry.slot, entry.bandwidth))
    }

    /// Those that yield; `None` if all that may are not enough.
    pub(super) fn run(&mut self) -> Option<Vec<Yielding>> {
        let overruns = (0..self.path.len()).filter_map(|at| self.overrun(at));
        let Some(least_bps) = overruns.map(|overrun| overrun.excess).max() else { return Some(vec![]) };
        let first = self.greedy()?;
        self.keep_if_better(first);
        let is_searched = self.policy.victim_policy != VictimPolicy::Newest;
        if is_searched && !self.is_least(least_bps) {
            self.explore(&mut vec![], None, self.effort.explored_max);
        }
        let (_, chosen) = self.best.take()?;
        Some(
            chosen
                .into_iter()
                .filter_map(|(at, cause)| {
                    let who = self.candidates.get(at)?.who.clone();
                    Some(Yielding { who, cause })
                })
                .collect(),
        )
    }

    /// Less than the widest overrun cannot be enough, where nothing is overbooked.
    fn is_least(&self, least_bps: u64) -> bool {
        let best = self.best.as_ref().map(|((bandwidth_bps, _), _)| *bandwidth_bps);
        self.policy.victim_policy == VictimPolicy::LeastBandwidth && best == Some(least_bps)
    }

    fn overrun(&self, at: usize) -> Option<Overrun> {
        let (bounds, booked) = (self.bounds.get(at)?, self.booked.get(at)?);
        let slots = self.books.network.ledger.slots();
        match self.asker {
            Some(asker) => bounds.next_victim(slots, booked, asker, self.policy.victim_order),
            None => bounds.next_excess(slots, booked, self.policy.victim_order),
        }
    }

    fn first_overrun(&self) -> Option<(usize, Overrun)> {
        (0..self.path.len()).find_map(|at| Some((at, self.overrun(at)?)))
    }

    /// Link by link: the allocation that comes nearest to what is left to give up. The victims stay taken.
    fn greedy(&mut self) -> Option<Vec<(usize, Cause)>> {
        let mut chosen = vec![];
        for at in 0..self.path.len() {
            while let Some(overrun) = self.overrun(at) {
                let pool = self.pool(at, overrun.slot);
                let Some(nearest) = self.nearest(&pool, at, overrun.excess) else {
                    if self.asker.is_none() {
                        break;
                    }
                    return None;
                };
                self.take(nearest);
                chosen.push((nearest, overrun.cause));
            }
        }
        Some(chosen)
    }

    /// Backup paths before any working path. Then the least candidate that is enough alone, else the largest; under [`VictimPolicy::Newest`] the newest.
    fn nearest(&self, pool: &[usize], at: usize, excess: u64) -> Option<usize> {
        let is_free = |place: &&usize| self.candidates.get(**place).is_some_and(|candidate| !candidate.taken);
        let is_backup = |place: &&usize| {
            self.candidates.get(**place).is_some_and(|candidate| matches!(candidate.who, Yields::Backups(_)))
        };
        if let backups @ Some(_) = pool.iter().filter(is_free).find(is_backup) {
            return backups.copied();
        }
        if self.policy.victim_policy == VictimPolicy::Newest {
            return pool.iter().find(is_free).copied();
        }
        let enough = pool.partition_point(|place| self.booked_at(*place, at) >= excess);
        let least = pool.get(..enough)?.iter().rev().find(is_free).map(|place| self.booked_at(*place, at));
        match least {
            Some(least) => pool.iter().filter(is_free).find(|place| self.booked_at(**place, at) == least).copied(),
            None => pool.get(enough..)?.iter().find(is_free).copied(),
        }
    }

    fn booked_at(&self, place: usize, at: usize) -> u64 {
        let booked = self.candidates.get(place).map(|candidate| &candidate.booked);
        booked.and_then(|booked| booked.iter().find(|(on, _)| *on == at)).map_or(0, |(_, bps)| *bps)
    }

    /// What may yield in a slot of a link, in the order of the policy: the most bandwidth first and of equals the newest, or
    /// the newest first.
    fn pool(&mut self, at: usize, slot: Slot) -> Arc<[usize]> {
        if let Some(known) = self.pools.get(&(at, slot)) {
            return Arc::clone(known);
        }
        let (mut found, mut sum) = (vec![], 0_u64);
        let is_newest = self.policy.victim_policy == VictimPolicy::Newest;
        let least = if is_newest { 0 } else { self.effort.candidates_max };
        let (books, enough) = (self.books, self.enough.get(at).copied().unwrap_or(u64::MAX));
        let Some(link) = self.path.get(at) else { return Arc::from([]) };
        for allocation in books.occupants(*link, slot) {
            if found.len() >= least && sum >= enough {
                break;
            }
            let place =
                self.candidate(allocation.id, slot, allocation.demand.bandwidth.as_bps(), &books.links_of(allocation));
            sum = sum.saturating_add(self.booked_at(place, at));
            found.push(place);
        }
        found.extend(self.backups(at, *link, slot));
        if !is_newest {
            // Stable: of equals the newest stays first.
            found.sort_by_key(|place| std::cmp::Reverse(self.booked_at(*place, at)));
        }
        let pool: Arc<[usize]> = found.into();
        self.pools.insert((at, slot), Arc::clone(&pool));
        pool
    }

    /// The backup paths that share bandwidth of a slot on a link, but for that of the asker, as one candidate.
    fn backups(&mut self, at: usize, link: LinkIx, slot: Slot) -> Option<usize> {
        let pool = self.books.draft.pool(link, slot)?;
        let (ids, freed) = (pool.members_but(self.asking), pool.booked().saturating_sub(pool.amount_of(self.asking)));
        let (id, place) = (*ids.first()?, self.candidates.len());
        let (who, booked) = (Yields::Backups(ids), vec![(at, freed)]);
        self.candidates.push(Candidate { id, who, slot, bandwidth_bps: 0, booked, taken: false });
        Some(place)
    }

    fn candidate(&mut self, id: AllocationId, slot: Slot, bandwidth_bps: u64, path: &[LinkIx]) -> usize {
        if let Some(place) = self.places.get(&id) {
            return *place;
        }
        let slots = self.books.network.ledger.slots();
        let bandwidth = crate::units::Bandwidth::saturating_from_bps(bandwidth_bps);
        let shared = self.path.iter().zip(&self.bounds).enumerate().filter(|(_, (link, _))| path.contains(link));
        let booked = shared.map(|(at, (_, bounds))| (at, bounds.booked(slots, slot, bandwidth))).collect();
        let place = self.candidates.len();
        let who = Yields::Allocation(id);
        self.candidates.push(Candidate { id, who, slot, bandwidth_bps, booked, taken: false });
        self.places.insert(id, place);
        place
    }

    fn take(&mut self, place: usize) {
        self.turn(place, true, u64::saturating_sub);
    }

    fn give_back(&mut self, place: usize) {
        self.turn(place, false, u64::saturating_add);
    }

    fn turn(&mut self, place: usize, taken: bool, change: impl Fn(u64, u64) -> u64) {
        let Some(candidate) = self.candidates.get_mut(place) else { return };
        candidate.taken = taken;
        for (at, bps) in &candidate.booked {
            if let Some(booked) = self.booked.get_mut(*at) {
                booked[candidate.slot.at()] = change(booked[candidate.slot.at()], *bps);
            }
        }
    }

    /// Gives back what is not needed (reverse delete), notes the rest if it is the least so far, and gives that back too.
    fn keep_if_better(&mut self, chosen: Vec<(usize, Cause)>) {
        let mut order: Vec<usize> = chosen.iter().map(|(place, _)| *place).collect();
        let by_age = self.policy.victim_policy == VictimPolicy::Newest;
        order.sort_by_key(|place| {
            self.candidates
                .get(*place)
                .map(|one| if by_age { (0, one.id) } else { (u64::MAX - one.bandwidth_bps, one.id) })
        });
        // BAMSim gives nothing back: its choice is taken as it is, so that traces can be compared.
        let is_bamsim = by_age && self.policy.victim_order == VictimOrder::LowestFirst;
        for place in order.iter().filter(|_| !is_bamsim) {
            self.give_back(*place);
            let on = self.candidates.get(*place).map(|candidate| candidate.booked.clone()).unwrap_or_default();
            if on.iter().any(|(at, _)| self.overrun(*at).is_some()) {
                self.take(*place);
            }
        }
        let is_taken = |place: usize| self.candidates.get(place).is_some_and(|candidate| candidate.taken);
        let needed: Vec<_> = chosen.into_iter().filter(|(place, _)| is_taken(*place)).collect();
        let score = self.score(&needed);
        for place in order {
            if self.candidates.get(place).is_some_and(|candidate| candidate.taken) {
                self.give_back(place);
            }
        }
        if self.best.as_ref().is_none_or(|(best, _)| score < *best) {
            self.best = Some((score, needed));
        }
    }

    fn score(&self, chosen: &[(usize, Cause)]) -> Score {
        let bandwidths = chosen.iter().filter_map(|(place, _)| Some(self.candidates.get(*place)?.bandwidth_bps));
        let bandwidth_bps = bandwidths.fold(0, u64::saturating_add);
        let number = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
        if self.policy.victim_policy == VictimPolicy::Fewest {
            (number, bandwidth_bps)
        } else {
            (bandwidth_bps, number)
        }
    }

    /// Looks for less, depth first: at the first link that is still overfull, each candidate that is enough alone, the least
    /// first, then each that is not, the largest first. `after` is the last place in the pool that was tried above, so that
    /// no set is met in two orders. Returns how many sets it looked at.
    fn explore(&mut self, chosen: &mut Vec<(usize, Cause)>, after: Option<(usize, Slot, usize)>, most: u32) -> u32 {
        let Some((at, overrun)) = self.first_overrun() else {
            let taken = chosen.clone();
            self.keep_if_better(taken.clone());
            taken.into_iter().for_each(|(place, _)| self.take(place));
            return 1;
        };
        let pool = self.pool(at, overrun.slot);
        let begin = after.filter(|(on, slot, _)| (*on, *slot) == (at, overrun.slot)).map_or(0, |(_, _, last)| last + 1);
        let mut explored = 1;
        for (last, place, is_enough) in self.branches(&pool, begin, at, overrun.excess) {
            if explored >= most {
                break;
            }
            chosen.push((place, overrun.cause));
            if self.may_be_better(chosen, is_enough) {
                self.take(place);
                let share = ((most - explored) / BRANCH_PART).max(1);
                explored += self.explore(chosen, Some((at, overrun.slot, last)), share);
                self.give_back(place);
            }
            chosen.pop();
        }
        explored
    }

    /// (place in the pool, candidate, whether it is enough alone). Of candidates that are alike, the newest only.
    fn branches(&self, pool: &[usize], begin: usize, at: usize, excess: u64) -> Vec<(usize, usize, bool)> {
        let mut found: Vec<(usize, usize, bool)> = vec![];
        let mut before: Option<&Candidate> = None;
        for (last, place) in pool.iter().enumerate().skip(begin) {
            let Some(candidate) = self.candidates.get(*place).filter(|candidate| !candidate.taken) else { continue };
            let is_alike = before.is_some_and(|before| before.booked == candidate.booked);
            if !is_alike {
                found.push((last, *place, self.booked_at(*place, at) >= excess));
            }
            before = Some(candidate);
        }
        let enough = found.partition_point(|(_, _, is_enough)| *is_enough);
        if let Some(enough) = found.get_mut(..enough) {
            enough.reverse();
        }
        found
    }

    /// A set that is not enough needs one more victim at least.
    fn may_be_better(&self, chosen: &[(usize, Cause)], is_enough: bool) -> bool {
        let Some((best, _)) = &self.best else { return true };
        let score = self.score(chosen);
        if is_enough { score < *best } else { (score.0 + 1, score.1 + 1) <= *best }
    }
}
