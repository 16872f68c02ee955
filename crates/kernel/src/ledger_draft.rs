//! A set of changes on top of a ledger that has not happened yet. What must stay true: links that no change touches read as
//! in the ledger.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bam::{Booked, LinkBounds, Overrun, SLOTS, Slot, Slots, VictimOrder};
use super::calendar::{LinkCourse, Precision, Taking, marks_of};
use super::congestion_weight::congestion_weight;
use super::id::{AllocationId, LinkIx};
use super::ledger::{Ledger, bounds_of};
use super::ledger_entry::{Claim, LedgerEntry, Span};
use super::mark_tree::MarkTree;
use super::path::{Links, PassingBy};
use super::policy::BandwidthModel;
use super::shared_pool::{Risk, SharedPool, SharedPools};
use super::topology::{Link, LinkState};
use super::units::Millis;

/// A ledger as it would be after some changes.
pub struct LedgerDraft<'a> {
    ledger: &'a Ledger,
    /// For each link its place in `pages`, or [`UNTOUCHED`].
    page_of: Vec<u32>,
    pages: Vec<LedgerPage>,
    /// Allocations that are off the path that the ledger has.
    gone: BTreeSet<AllocationId>,
    /// Of the links whose calendar is not the ledger's.
    marks: BTreeMap<LinkIx, MarkTree>,
    has_new_bookings: bool,
}

const UNTOUCHED: u32 = u32::MAX;

/// A link as the changes leave it.
struct LedgerPage {
    bounds: LinkBounds,
    usable: bool,
    booked: Booked,
    pools: Option<Arc<SharedPools>>,
    figures: Figures,
}

/// What follows from a book and is looked at by path searches, worked out when it is first looked at: many entries change
/// a book between two searches, and a search looks at one slot.
#[derive(Default)]
struct Figures {
    /// A bit for each figure that is worked out: free by slot, reach by slot, and the weight.
    known: Cell<u32>,
    free_bps: [Cell<u64>; SLOTS],
    reach_bps: [Cell<u64>; SLOTS],
    weight: Cell<u32>,
}

const WEIGHT_BIT: usize = 2 * SLOTS;

impl Figures {
    fn known_or<T: Copy>(&self, bit: usize, figure: &Cell<T>, work_out: impl FnOnce() -> T) -> T {
        let known = self.known.get();
        if known >> bit & 1 == 0 {
            figure.set(work_out());
            self.known.set(known | 1 << bit);
        }
        figure.get()
    }
}

impl<'a> LedgerDraft<'a> {
    /// No changes yet.
    pub fn new(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            page_of: vec![UNTOUCHED; ledger.links().count()],
            pages: vec![],
            gone: BTreeSet::new(),
            marks: BTreeMap::new(),
            has_new_bookings: false,
        }
    }

    /// Books an entry.
    pub fn enter(&mut self, entry: &LedgerEntry) {
        self.mark(entry, true);
        self.has_new_bookings |= entry.span.start.is_some();
        if entry.span.start.is_some() {
            return;
        }
        for link in entry.links.iter() {
            self.change(*link, |slots, page| {
                let amount = page.bounds.booked(slots, entry.slot, entry.bandwidth);
                page.booked[entry.slot.at()] = page.booked[entry.slot.at()].saturating_add(amount);
            });
        }
        for link in entry.shared.iter().flat_map(|shared| shared.links.iter()) {
            self.change(*link, |slots, page| {
                let amount = page.bounds.booked(slots, entry.slot, entry.bandwidth);
                let Some(member) = entry.member(amount) else { return };
                let more = Arc::make_mut(page.pools.get_or_insert_default()).add(entry.slot, entry.id, member);
                page.booked[entry.slot.at()] = page.booked[entry.slot.at()].saturating_add(more);
            });
        }
    }

    /// Takes an entry out.
    pub fn leave(&mut self, entry: &LedgerEntry) {
        self.gone.insert(entry.id);
        self.unbook(entry);
    }

    /// Takes many entries out.
    pub fn leave_all(&mut self, entries: impl IntoIterator<Item = LedgerEntry>) {
        let leave = |entry: LedgerEntry| {
            self.unbook(&entry);
            entry.id
        };
        let mut gone: BTreeSet<AllocationId> = entries.into_iter().map(leave).collect();
        self.gone.append(&mut gone);
    }

    fn unbook(&mut self, entry: &LedgerEntry) {
        self.mark(entry, false);
        if entry.span.start.is_some() {
            return;
        }
        for link in entry.links.iter() {
            self.change(*link, |slots, page| {
                let amount = page.bounds.booked(slots, entry.slot, entry.bandwidth);
                page.booked[entry.slot.at()] = page.booked[entry.slot.at()].saturating_sub(amount);
            });
        }
        for link in entry.shared.iter().flat_map(|shared| shared.links.iter()) {
            self.change(*link, |_, page| {
                let Some(pools) = &mut page.pools else { return };
                let less = Arc::make_mut(pools).remove(entry.slot, entry.id);
                page.booked[entry.slot.at()] = page.booked[entry.slot.at()].saturating_sub(less);
            });
        }
    }

    fn mark(&mut self, entry: &LedgerEntry, is_there: bool) {
        if entry.span == Span::default() {
            return;
        }
        for link in entry.links.iter() {
            let bounds = self.look(*link).map(|(bounds, ..)| bounds);
            let booked = bounds.map_or(0, |bounds| bounds.booked(self.ledger.slots(), entry.slot, entry.bandwidth));
            let standing = || self.ledger.calendar.marks(*link).cloned().unwrap_or_default();
            let marks = self.marks.entry(*link).or_insert_with(standing);
            let own: Vec<_> = marks_of(entry, booked).collect();
            match is_there {
                true => marks.insert(&own),
                false => own.iter().for_each(|(key, _)| marks.remove(*key)),
            }
        }
    }

    /// Holds one link to what `link` says.
    pub fn set_link(&mut self, ix: LinkIx, link: &Link, model: &BandwidthModel) {
        let bounds = bounds_of(link, model);
        self.change(ix, |_, page| {
            page.bounds = bounds;
            page.usable = link.state == LinkState::Up;
        });
    }

    /// What a link is held to and what is booked on it.
    pub fn book(&self, link: LinkIx) -> Option<(&LinkBounds, Booked)> {
        self.look(link).map(|(bounds, _, booked)| (bounds, booked))
    }

    /// The slot that has to give up bandwidth on `link` so that its book holds its bounds.
    pub fn next_excess(&self, link: LinkIx, order: VictimOrder) -> Option<Overrun> {
        let (bounds, booked) = self.book(link)?;
        bounds.next_excess(self.ledger.slots(), &booked, order)
    }

    /// Whether this allocation is no longer where the ledger has it.
    pub fn is_gone(&self, id: AllocationId) -> bool {
        self.gone.contains(&id)
    }

    /// The bandwidth that a slot may still have on a link without victims, in bit/s.
    pub fn free_bps(&self, link: LinkIx, slot: Slot) -> u64 {
        let Some(page) = self.page(link) else { return self.ledger.free_bps(link, slot) };
        if !page.usable {
            return 0;
        }
        let free = || page.bounds.free_bps(self.ledger.slots(), &page.booked, slot);
        page.figures.known_or(slot.at(), &page.figures.free_bps[slot.at()], free)
    }

    /// The bandwidth that a slot may still have on a link with every victim that it may take, in bit/s.
    pub fn reach_bps(&self, link: LinkIx, slot: Slot) -> u64 {
        let Some(page) = self.page(link) else { return self.ledger.reach_bps(link, slot) };
        if !page.usable {
            return 0;
        }
        let reach = || page.bounds.reach_bps(self.ledger.slots(), &page.booked, slot);
        page.figures.known_or(SLOTS + slot.at(), &page.figures.reach_bps[slot.at()], reach)
    }

    /// Whether anything is booked ahead.
    pub fn has_bookings(&self) -> bool {
        self.has_new_bookings || self.ledger.bookings() > 0
    }

    /// What a claim may have on a link without taking it from any other allocation or booking, at most what it claims, in
    /// bit/s.
    pub fn free_for(&self, link: LinkIx, claim: &Claim) -> u64 {
        self.room_for(link, claim, Taking::Free, Precision::Exact)
    }

    /// What a claim may have on a link with all that it may take from others, at most what it claims, in bit/s.
    pub fn reach_for(&self, link: LinkIx, claim: &Claim) -> u64 {
        self.room_for(link, claim, Taking::Reach, Precision::Exact)
    }

    fn room_for(&self, link: LinkIx, claim: &Claim, taking: Taking, precision: Precision) -> u64 {
        let room = self.room_one_way(link, claim, taking, precision);
        if !claim.is_bidirectional || room == 0 {
            return room;
        }
        self.ledger.twin(link).map_or(0, |twin| room.min(self.room_one_way(twin, claim, taking, precision)))
    }

    fn room_one_way(&self, link: LinkIx, claim: &Claim, taking: Taking, precision: Precision) -> u64 {
        if self.ledger.closures.close(link, claim.span) {
            return 0;
        }
        let now = match (claim.span.start, taking) {
            (None, Taking::Free) => self.free_bps(link, claim.slot),
            (None, Taking::Reach) => self.reach_bps(link, claim.slot),
            (Some(_), _) if self.look(link).is_some_and(|(_, usable, _)| usable) => u64::MAX,
            (Some(_), _) => 0,
        };
        if now == 0 || (claim.span.start.is_none() && !self.has_bookings()) {
            return now;
        }
        self.course(link).map_or(0, |course| now.min(course.room_bps(claim, taking, precision)))
    }

    /// Whether a claim surely has room on a link whenever it starts between two instants, if its time is over by the second.
    pub(crate) fn is_roomy(&self, link: LinkIx, times: (Millis, Millis), claim: &Claim) -> bool {
        self.course(link).is_some_and(|course| course.is_roomy(times, claim))
    }

    /// The other direction of a link.
    pub(crate) fn twin(&self, link: LinkIx) -> Option<LinkIx> {
        self.ledger.twin(link)
    }

    /// The backup paths that share bandwidth of a slot on a link.
    pub(crate) fn pool(&self, link: LinkIx, slot: Slot) -> Option<&SharedPool> {
        let pools = match self.page(link) {
            Some(page) => page.pools.as_deref(),
            None => self.ledger.pools(link),
        };
        pools?.pool(slot)
    }

    /// What of the bandwidth of a pool on a link is not needed in any of these failures, in bit/s; of a bidirectional claim,
    /// in either direction.
    pub(crate) fn reusable_bps(&self, link: LinkIx, claim: &Claim, risks: &[Risk]) -> u64 {
        let one_way = |link| self.pool(link, claim.hold_slot).map_or(0, |pool| pool.reusable(risks));
        let back = if claim.is_bidirectional { self.ledger.twin(link).map_or(0, one_way) } else { u64::MAX };
        one_way(link).min(back)
    }

    /// The bookings on a link of the first instant at which any cannot take its bandwidth.
    pub(crate) fn first_not_kept(&self, link: LinkIx) -> Vec<AllocationId> {
        self.course(link).map_or_else(Vec::new, |course| course.first_not_kept())
    }

    /// The links that changes touch.
    pub(crate) fn touched(&self) -> BTreeSet<LinkIx> {
        let links = self.ledger.links().zip(&self.page_of).filter(|(_, place)| **place != UNTOUCHED);
        links.map(|(link, _)| link).chain(self.marks.keys().copied()).collect()
    }

    fn course(&self, link: LinkIx) -> Option<LinkCourse<'_>> {
        let (bounds, booked) = self.book(link)?;
        let marks = self.marks.get(&link).or_else(|| self.ledger.calendar.marks(link));
        Some(LinkCourse { bounds, slots: self.ledger.slots(), booked, marks })
    }

    /// The links as a path search without victims sees them. What is not enough for the claim may be said to be nothing.
    pub fn free(&self, claim: Claim) -> impl Links + '_ {
        DraftView::new(self, claim, Taking::Free, Precision::Enough)
    }

    /// The links as a path search with victims sees them. What is not enough for the claim may be said to be nothing.
    pub fn reach(&self, claim: Claim) -> impl Links + '_ {
        DraftView::new(self, claim, Taking::Reach, Precision::Enough)
    }

    /// As [`LedgerDraft::free`], to the bit/s.
    pub fn free_exact(&self, claim: Claim) -> impl Links + '_ {
        DraftView::new(self, claim, Taking::Free, Precision::Exact)
    }

    /// As [`LedgerDraft::reach`], to the bit/s.
    pub fn reach_exact(&self, claim: Claim) -> impl Links + '_ {
        DraftView::new(self, claim, Taking::Reach, Precision::Exact)
    }

    /// The links that new paths need not pass by, as a path search sees them; none where no link is to be passed by.
    pub(crate) fn preferred(&self, claim: Claim, taking: Taking) -> Option<impl Links + '_> {
        let avoided = Some(self.ledger.avoided()).filter(|avoided| !avoided.is_empty())?;
        Some(PassingBy { links: DraftView::new(self, claim, taking, Precision::Exact), avoided })
    }

    fn page(&self, link: LinkIx) -> Option<&LedgerPage> {
        self.pages.get(*self.page_of.get(link.at())? as usize)
    }

    fn look(&self, link: LinkIx) -> Option<(&LinkBounds, bool, Booked)> {
        match self.page(link) {
            Some(page) => Some((&page.bounds, page.usable, page.booked)),
            None => Some((self.ledger.bounds(link)?, self.ledger.is_usable(link), self.ledger.booked(link))),
        }
    }

    fn change(&mut self, link: LinkIx, change: impl FnOnce(&Slots, &mut LedgerPage)) {
        let Some(place) = self.page_of.get_mut(link.at()) else { return };
        if *place == UNTOUCHED {
            let Some(bounds) = self.ledger.bounds(link) else { return };
            *place = u32::try_from(self.pages.len()).unwrap_or(UNTOUCHED);
            self.pages.push(LedgerPage {
                bounds: bounds.clone(),
                usable: self.ledger.is_usable(link),
                booked: self.ledger.booked(link),
                pools: self.ledger.shared_pools(link).cloned(),
                figures: Figures::default(),
            });
        }
        let Some(page) = self.pages.get_mut(*place as usize) else { return };
        change(self.ledger.slots(), page);
        page.figures.known.set(0);
    }
}

struct DraftView<'a> {
    draft: &'a LedgerDraft<'a>,
    claim: Claim,
    taking: Taking,
    precision: Precision,
    /// By link, the rooms that were looked at where that takes long: among bookings. Several searches ask for one.
    known: Vec<Cell<Option<u64>>>,
}

impl<'a> DraftView<'a> {
    fn new(draft: &'a LedgerDraft<'a>, claim: Claim, taking: Taking, precision: Precision) -> Self {
        let is_long = draft.has_bookings() || claim.span.start.is_some();
        let known = if is_long { vec![Cell::new(None); draft.page_of.len()] } else { vec![] };
        Self { draft, claim, taking, precision, known }
    }
}

impl Links for DraftView<'_> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        let known = self.known.get(link.at());
        if let Some(room) = known.and_then(Cell::get) {
            return room;
        }
        let room = self.draft.room_for(link, &self.claim, self.taking, self.precision);
        if let Some(known) = known {
            known.set(Some(room));
        }
        room
    }

    fn weight(&self, link: LinkIx) -> u32 {
        let Some(page) = self.draft.page(link) else { return self.draft.ledger.weight(link) };
        page.figures.known_or(WEIGHT_BIT, &page.figures.weight, || congestion_weight(&page.bounds, &page.booked))
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        let is_usable = |link| self.draft.look(link).is_some_and(|(_, usable, _)| usable);
        is_usable(link) && (!self.claim.is_bidirectional || self.draft.twin(link).is_none_or(is_usable))
    }
}
