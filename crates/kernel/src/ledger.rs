//! The books of a network: for every link what is booked, by slot, the allocations on it, and, kept up to date with every
//! entry, how much more each slot may have there and how congested the link is. A [`LedgerDraft`] is a set of changes on
//! top of a ledger that has not happened yet. What must stay true: what was entered can be taken out again, to the bit.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bam::{Booked, Cause, LinkBounds, SLOTS, Slot, Slots, VictimOrder};
use super::id::{AllocationId, LinkIx};
use super::link_members::{LiveSet, Roster};
use super::path::{Links, WEIGHT_ONE};
use super::policy::BandwidthModel;
use super::topology::{Link, LinkState, Topology};
use super::units::Bandwidth;

/// One entry: an allocation's bandwidth on each link of its path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerEntry {
    /// The allocation.
    pub id: AllocationId,
    /// The column of the books: that of its hold priority.
    pub slot: Slot,
    /// Booked on every link of the path.
    pub bandwidth: Bandwidth,
    /// The links.
    pub path: Arc<[LinkIx]>,
}

/// One link's book.
#[derive(Clone)]
struct Book {
    bounds: LinkBounds,
    usable: bool,
    booked: Booked,
    rosters: [Roster; SLOTS],
}

/// What follows from a book and is looked at by path searches.
#[derive(Clone, Copy)]
struct Figures {
    free_bps: [u64; SLOTS],
    reach_bps: [u64; SLOTS],
    weight: u32,
}

/// The books of all links. The figures stand in arrays of their own, by slot and link, since path searches read little
/// else: links out of one node are neighbours there.
#[derive(Clone)]
pub struct Ledger {
    slots: Slots,
    living: LiveSet,
    books: Vec<Book>,
    free_bps: Vec<Vec<u64>>,
    reach_bps: Vec<Vec<u64>>,
    weight: Vec<u32>,
}

impl Ledger {
    /// Empty books for a topology under a model.
    pub fn new(topology: &Topology, model: &BandwidthModel) -> Self {
        let slots = *model.model.slots();
        let mut ledger = Self {
            slots,
            living: LiveSet::default(),
            books: Vec::with_capacity(topology.link_count()),
            free_bps: vec![vec![0; topology.link_count()]; slots.count()],
            reach_bps: vec![vec![0; topology.link_count()]; slots.count()],
            weight: vec![WEIGHT_ONE; topology.link_count()],
        };
        for (_, link) in topology.links() {
            ledger.books.push(Book {
                bounds: bounds_of(link, model),
                usable: link.state == LinkState::Up,
                booked: [0; SLOTS],
                rosters: Default::default(),
            });
        }
        for (ix, _) in topology.links() {
            ledger.refresh(ix);
        }
        ledger
    }

    /// What the slots stand for.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The bounds of a link.
    pub fn bounds(&self, link: LinkIx) -> Option<&LinkBounds> {
        self.books.get(link.at()).map(|book| &book.bounds)
    }

    /// What is booked on a link, by slot.
    pub fn booked(&self, link: LinkIx) -> Booked {
        self.books.get(link.at()).map_or([0; SLOTS], |book| book.booked)
    }

    /// The bandwidth that a slot may still have on a link without victims, in bit/s.
    pub fn free_bps(&self, link: LinkIx, slot: Slot) -> u64 {
        figure(&self.free_bps, slot, link)
    }

    /// The bandwidth that a slot may still have on a link with every victim that it may take, in bit/s.
    pub fn reach_bps(&self, link: LinkIx, slot: Slot) -> u64 {
        figure(&self.reach_bps, slot, link)
    }

    /// The allocations on a link in a slot, newest first.
    pub fn newest_first(&self, link: LinkIx, slot: Slot) -> impl Iterator<Item = AllocationId> + '_ {
        self.books.get(link.at()).into_iter().flat_map(move |book| book.rosters[slot.at()].newest_first(&self.living))
    }

    /// The allocations on a link, in no promised order.
    pub fn on_link(&self, link: LinkIx) -> impl Iterator<Item = AllocationId> + '_ {
        self.slots.iter().flat_map(move |slot| self.newest_first(link, slot))
    }

    /// How many are on a link.
    pub fn count_on(&self, link: LinkIx) -> usize {
        self.books.get(link.at()).map_or(0, |book| book.rosters.iter().map(Roster::len).sum())
    }

    /// The links as a path search without victims sees them.
    pub fn free(&self, slot: Slot) -> impl Links + '_ {
        LedgerView { ledger: self, room_bps: self.free_bps.get(slot.at()).map_or(&[], Vec::as_slice) }
    }

    /// The links as a path search with victims sees them.
    pub fn reach(&self, slot: Slot) -> impl Links + '_ {
        LedgerView { ledger: self, room_bps: self.reach_bps.get(slot.at()).map_or(&[], Vec::as_slice) }
    }

    /// Whether both ledgers have the same book of a link.
    pub fn same_page(&self, other: &Self, link: LinkIx) -> bool {
        let on = |ledger: &Self, slot| ledger.newest_first(link, slot).collect::<Vec<_>>();
        let figures = |ledger: &Self, slot| (ledger.free_bps(link, slot), ledger.reach_bps(link, slot));
        match (self.books.get(link.at()), other.books.get(link.at())) {
            (Some(one), Some(two)) => {
                (&one.bounds, one.usable, one.booked) == (&two.bounds, two.usable, two.booked)
                    && self.count_on(link) == other.count_on(link)
                    && self.weight.get(link.at()) == other.weight.get(link.at())
                    && self.slots.iter().all(|slot| figures(self, slot) == figures(other, slot))
                    && self.slots.iter().all(|slot| on(self, slot) == on(other, slot))
            }
            (None, None) => true,
            _ => false,
        }
    }

    /// Enters a reservation on every link of its path.
    pub(crate) fn enter(&mut self, entry: &LedgerEntry) {
        self.enter_unfigured(entry);
        for link in entry.path.iter() {
            self.refresh(*link);
        }
    }

    /// Enters many reservations; what follows from them is worked out once.
    pub(crate) fn enter_all(&mut self, entries: impl IntoIterator<Item = LedgerEntry>) {
        for entry in entries {
            self.enter_unfigured(&entry);
        }
        for link in (0..).map(LinkIx).take(self.books.len()) {
            self.refresh(link);
        }
    }

    fn enter_unfigured(&mut self, entry: &LedgerEntry) {
        self.living.add(entry.id);
        for link in entry.path.iter() {
            let Some(book) = self.books.get_mut(link.at()) else { continue };
            let amount = book.bounds.booked(&self.slots, entry.slot, entry.bandwidth);
            book.booked[entry.slot.at()] = book.booked[entry.slot.at()].saturating_add(amount);
            book.rosters[entry.slot.at()].join(entry.id);
        }
    }

    /// Takes a reservation out; the allocation lives on and may be entered on another path.
    pub(crate) fn leave(&mut self, entry: &LedgerEntry) {
        self.living.remove(entry.id);
        self.remove(entry, |roster, _| roster.leave(entry.id));
    }

    /// Takes a reservation out for good: the allocation is over.
    pub(crate) fn end(&mut self, entry: &LedgerEntry) {
        self.living.remove(entry.id);
        self.remove(entry, Roster::count_absent);
    }

    fn remove(&mut self, entry: &LedgerEntry, strike: impl Fn(&mut Roster, &LiveSet)) {
        for link in entry.path.iter() {
            let Some(book) = self.books.get_mut(link.at()) else { continue };
            let amount = book.bounds.booked(&self.slots, entry.slot, entry.bandwidth);
            debug_assert!(book.booked[entry.slot.at()] >= amount, "a book gives back only what it took");
            book.booked[entry.slot.at()] = book.booked[entry.slot.at()].saturating_sub(amount);
            strike(&mut book.rosters[entry.slot.at()], &self.living);
            self.refresh(*link);
        }
    }

    /// Holds one link to what `link` now says.
    pub(crate) fn set_link(&mut self, ix: LinkIx, link: &Link, model: &BandwidthModel) {
        if let Some(book) = self.books.get_mut(ix.at()) {
            book.bounds = bounds_of(link, model);
            book.usable = link.state == LinkState::Up;
            self.refresh(ix);
        }
    }

    fn refresh(&mut self, link: LinkIx) {
        let Some(book) = self.books.get(link.at()) else { return };
        for slot in self.slots.iter() {
            let (free, reach) = room(&book.bounds, &self.slots, &book.booked, slot, book.usable);
            self.free_bps[slot.at()][link.at()] = free;
            self.reach_bps[slot.at()][link.at()] = reach;
        }
        self.weight[link.at()] = congestion_weight(&book.bounds, &book.booked);
    }
}

impl PartialEq for Ledger {
    /// The figures follow from the books.
    fn eq(&self, other: &Self) -> bool {
        let links = (0..).map(LinkIx).take(self.books.len());
        self.slots == other.slots
            && self.books.len() == other.books.len()
            && links.into_iter().all(|link| self.same_page(other, link))
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.books.iter().map(|book| book.booked)).finish()
    }
}

fn figure(figures: &[Vec<u64>], slot: Slot, link: LinkIx) -> u64 {
    figures.get(slot.at()).and_then(|of_slot| of_slot.get(link.at())).copied().unwrap_or(0)
}

fn bounds_of(link: &Link, model: &BandwidthModel) -> LinkBounds {
    model.of_link(&link.name).bounds(link.max_reservable)
}

fn room(bounds: &LinkBounds, slots: &Slots, booked: &Booked, slot: Slot, usable: bool) -> (u64, u64) {
    if usable { (bounds.free_bps(slots, booked, slot), bounds.reach_bps(slots, booked, slot)) } else { (0, 0) }
}

/// How many steps of utilisation the congestion table has.
const WEIGHT_STEPS: usize = 256;

/// `1024 * 64^(i/256)`: the exponential that makes a full link 64 times as long as an empty one, as integers.
const WEIGHTS: [u32; WEIGHT_STEPS + 1] = weights();

/// 64^(1/256) = 2^(6/256) in units of 2^-40, rounded.
const WEIGHT_RATIO_Q40: u128 = 1_117_519_775_464;

#[expect(clippy::cast_possible_truncation, reason = "the largest value is 65,536")]
const fn weights() -> [u32; WEIGHT_STEPS + 1] {
    let mut table = [WEIGHT_ONE; WEIGHT_STEPS + 1];
    let mut exact_q40 = (WEIGHT_ONE as u128) << 40;
    let mut step = 1;
    while step <= WEIGHT_STEPS {
        exact_q40 = (exact_q40 * WEIGHT_RATIO_Q40) >> 40;
        table[step] = ((exact_q40 + (1 << 39)) >> 40) as u32;
        step += 1;
    }
    table
}

/// The congestion factor of a link by its utilisation, in 1/1024 (after Awerbuch, Azar and Plotkin, FOCS 1993).
fn congestion_weight(bounds: &LinkBounds, booked: &Booked) -> u32 {
    let used = booked.iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps));
    if used == 0 || bounds.total_bps() == 0 {
        return WEIGHT_ONE;
    }
    let step = u128::from(used) * WEIGHT_STEPS as u128 / u128::from(bounds.total_bps());
    WEIGHTS[usize::try_from(step).unwrap_or(WEIGHT_STEPS).min(WEIGHT_STEPS)]
}

struct LedgerView<'a> {
    ledger: &'a Ledger,
    room_bps: &'a [u64],
}

impl Links for LedgerView<'_> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        self.room_bps.get(link.at()).copied().unwrap_or(0)
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.ledger.weight.get(link.at()).copied().unwrap_or(WEIGHT_ONE)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.ledger.books.get(link.at()).is_some_and(|book| book.usable)
    }
}

/// A ledger as it would be after some changes.
pub struct LedgerDraft<'a> {
    ledger: &'a Ledger,
    /// For each link its place in `pages`, or [`UNTOUCHED`].
    page_of: Vec<u32>,
    pages: Vec<LedgerPage>,
    /// Allocations that are off the path that the ledger has.
    gone: BTreeSet<AllocationId>,
}

const UNTOUCHED: u32 = u32::MAX;

#[derive(Clone)]
struct LedgerPage {
    bounds: LinkBounds,
    usable: bool,
    booked: Booked,
    figures: Figures,
}

/// A draft as it was at one moment.
pub struct Savepoint {
    page_of: Vec<u32>,
    pages: Vec<LedgerPage>,
    gone: BTreeSet<AllocationId>,
}

impl<'a> LedgerDraft<'a> {
    /// The draft as it is now, to roll back to.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint { page_of: self.page_of.clone(), pages: self.pages.clone(), gone: self.gone.clone() }
    }

    /// Makes the draft what it was at the savepoint.
    pub fn roll_back(&mut self, savepoint: Savepoint) {
        (self.page_of, self.pages, self.gone) = (savepoint.page_of, savepoint.pages, savepoint.gone);
    }

    /// No changes yet.
    pub fn new(ledger: &'a Ledger) -> Self {
        Self { ledger, page_of: vec![UNTOUCHED; ledger.books.len()], pages: vec![], gone: BTreeSet::new() }
    }

    /// Books an entry; a later [`LedgerDraft::next_victim`] will not choose it.
    pub fn enter(&mut self, entry: &LedgerEntry) {
        for link in entry.path.iter() {
            self.enter_on(*link, entry);
        }
    }

    /// Books an entry on one link of its path.
    pub fn enter_on(&mut self, link: LinkIx, entry: &LedgerEntry) {
        self.turn(link, |slots, page| {
            let amount = page.bounds.booked(slots, entry.slot, entry.bandwidth);
            page.booked[entry.slot.at()] = page.booked[entry.slot.at()].saturating_add(amount);
        });
    }

    /// Takes an entry out.
    pub fn leave(&mut self, entry: &LedgerEntry) {
        self.gone.insert(entry.id);
        for link in entry.path.iter() {
            self.turn(*link, |slots, page| {
                let amount = page.bounds.booked(slots, entry.slot, entry.bandwidth);
                page.booked[entry.slot.at()] = page.booked[entry.slot.at()].saturating_sub(amount);
            });
        }
    }

    /// Holds one link to what `link` says.
    pub fn set_link(&mut self, ix: LinkIx, link: &Link, model: &BandwidthModel) {
        let bounds = bounds_of(link, model);
        self.turn(ix, |_, page| {
            page.bounds = bounds;
            page.usable = link.state == LinkState::Up;
        });
    }

    /// The newest allocation to preempt or devolve on `link` so that its book holds with the demand of `asker` in it.
    /// `Some(None)`: the slot is overfull by an entry of this draft, which cannot be a victim.
    pub fn next_victim(&self, link: LinkIx, asker: Slot, order: VictimOrder) -> Option<(Option<AllocationId>, Cause)> {
        let (bounds, _, booked) = self.look(link)?;
        let (slot, cause) = bounds.next_victim(&self.ledger.slots, &booked, asker, order)?;
        Some((self.newest(link, slot), cause))
    }

    /// The newest allocation to take off `link` so that its book holds its bounds.
    pub fn next_excess(&self, link: LinkIx, order: VictimOrder) -> Option<Option<AllocationId>> {
        let (bounds, _, booked) = self.look(link)?;
        let slot = bounds.next_excess(&self.ledger.slots, &booked, order)?;
        Some(self.newest(link, slot))
    }

    /// Whether this allocation is no longer where the ledger has it.
    pub fn is_gone(&self, id: AllocationId) -> bool {
        self.gone.contains(&id)
    }

    /// The bandwidth that a slot may still have on a link without victims, in bit/s.
    pub fn free_bps(&self, link: LinkIx, slot: Slot) -> u64 {
        self.page(link).map_or_else(|| self.ledger.free_bps(link, slot), |page| page.figures.free_bps[slot.at()])
    }

    /// The bandwidth that a slot may still have on a link with every victim that it may take, in bit/s.
    pub fn reach_bps(&self, link: LinkIx, slot: Slot) -> u64 {
        self.page(link).map_or_else(|| self.ledger.reach_bps(link, slot), |page| page.figures.reach_bps[slot.at()])
    }

    /// The links as a path search without victims sees them.
    pub fn free(&self, slot: Slot) -> impl Links + '_ {
        DraftView { draft: self, room: move |draft: &LedgerDraft<'_>, link| draft.free_bps(link, slot) }
    }

    /// The links as a path search with victims sees them.
    pub fn reach(&self, slot: Slot) -> impl Links + '_ {
        DraftView { draft: self, room: move |draft: &LedgerDraft<'_>, link| draft.reach_bps(link, slot) }
    }

    fn newest(&self, link: LinkIx, slot: Slot) -> Option<AllocationId> {
        self.ledger.newest_first(link, slot).find(|id| !self.gone.contains(id))
    }

    fn page(&self, link: LinkIx) -> Option<&LedgerPage> {
        self.pages.get(*self.page_of.get(link.at())? as usize)
    }

    fn look(&self, link: LinkIx) -> Option<(&LinkBounds, bool, Booked)> {
        match self.page(link) {
            Some(page) => Some((&page.bounds, page.usable, page.booked)),
            None => self.ledger.books.get(link.at()).map(|book| (&book.bounds, book.usable, book.booked)),
        }
    }

    fn turn(&mut self, link: LinkIx, change: impl FnOnce(&Slots, &mut LedgerPage)) {
        let slots = self.ledger.slots;
        let Some(book) = self.ledger.books.get(link.at()) else { return };
        let Some(place) = self.page_of.get_mut(link.at()) else { return };
        if *place == UNTOUCHED {
            *place = u32::try_from(self.pages.len()).unwrap_or(UNTOUCHED);
            let figures = Figures { free_bps: [0; SLOTS], reach_bps: [0; SLOTS], weight: WEIGHT_ONE };
            self.pages.push(LedgerPage {
                bounds: book.bounds.clone(),
                usable: book.usable,
                booked: book.booked,
                figures,
            });
        }
        let Some(page) = self.pages.get_mut(*place as usize) else { return };
        change(&slots, page);
        for slot in slots.iter() {
            let (free, reach) = room(&page.bounds, &slots, &page.booked, slot, page.usable);
            page.figures.free_bps[slot.at()] = free;
            page.figures.reach_bps[slot.at()] = reach;
        }
        page.figures.weight = congestion_weight(&page.bounds, &page.booked);
    }
}

struct DraftView<'a, F> {
    draft: &'a LedgerDraft<'a>,
    room: F,
}

impl<F: Fn(&LedgerDraft<'_>, LinkIx) -> u64> Links for DraftView<'_, F> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        (self.room)(self.draft, link)
    }

    fn weight(&self, link: LinkIx) -> u32 {
        let on_page = self.draft.page(link).map(|page| page.figures.weight);
        on_page.or_else(|| self.draft.ledger.weight.get(link.at()).copied()).unwrap_or(WEIGHT_ONE)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.draft.look(link).is_some_and(|(_, usable, _)| usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_congestion_table_runs_from_one_to_sixty_four() {
        assert_eq!(WEIGHTS[0], WEIGHT_ONE);
        assert_eq!(WEIGHTS[128], 8 * WEIGHT_ONE);
        assert_eq!(WEIGHTS[256], 64 * WEIGHT_ONE);
        assert!(WEIGHTS.is_sorted());
    }
}
