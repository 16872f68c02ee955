//! The books of a network: for every link what is booked, by slot, the allocations on it, and, kept up to date with every
//! entry, how much more each slot may have there and how congested the link is.
//! What must stay true: what was entered can be taken out again, to the bit.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bam::{Booked, LinkBounds, SLOTS, Slot, Slots};
use super::calendar::Calendar;
use super::congestion_weight::congestion_weight;
use super::id::{AllocationId, LinkIx};
use super::ledger_entry::{LedgerEntry, Span};
use super::link_members::{LiveSet, Roster, is_stale};
use super::maintenance::Closures;
use super::path::{Links, WEIGHT_ONE};
use super::policy::BandwidthModel;
use super::shared_pool::SharedPools;
use super::topology::{Link, LinkState, Topology};
use super::units::Millis;

/// How many links share a page: a version copies the pages that it writes and another version holds.
const PAGE_LINKS: usize = 16;

/// The books of some links, and their bounds.
#[derive(Clone)]
struct BookPage {
    books: [Book; PAGE_LINKS],
    /// Of its links alone: the last page may have fewer.
    bounds: Arc<Vec<LinkBounds>>,
}

/// The figures of all links, by slot and link, since path searches read little else: links out of one node are neighbours
/// here. A version copies them whole, which is little beside a path search.
#[derive(Clone)]
struct FigureTable {
    free_bps: Vec<Vec<u64>>,
    reach_bps: Vec<Vec<u64>>,
    weight: Vec<u32>,
    usable: Vec<bool>,
}

/// One link's book.
#[derive(Clone)]
struct Book {
    booked: Booked,
    /// How many allocations are on the link, by slot.
    living: [u32; SLOTS],
    /// How many ids are in its rosters: the absent ones too.
    listed: [u32; SLOTS],
    rosters: Arc<[Roster; SLOTS]>,
    /// The backup paths that share bandwidth here, if any do.
    pools: Option<Arc<SharedPools>>,
}

/// The books of all links, in pages that versions share.
#[derive(Clone)]
pub struct Ledger {
    slots: Slots,
    living: LiveSet,
    pages: Vec<Arc<BookPage>>,
    figures: Arc<FigureTable>,
    /// By link, its other direction.
    twins: Arc<[Option<LinkIx>]>,
    pub(crate) calendar: Calendar,
    pub(crate) closures: Arc<Closures>,
    /// The links that new paths pass by where they can.
    avoided: Arc<BTreeSet<LinkIx>>,
}

impl Ledger {
    /// Empty books for a topology under a model.
    pub fn new(topology: &Topology, model: &BandwidthModel) -> Self {
        let slots = *model.model.slots();
        let links: Vec<&Link> = topology.links().map(|(_, link)| link).collect();
        let empty =
            Book { booked: [0; SLOTS], living: [0; SLOTS], listed: [0; SLOTS], rosters: Arc::default(), pools: None };
        let pages = links.chunks(PAGE_LINKS).map(|links| Arc::new(BookPage::new(links, model, &empty)));
        let mut figures = FigureTable {
            free_bps: vec![vec![0; links.len()]; slots.count()],
            reach_bps: vec![vec![0; links.len()]; slots.count()],
            weight: vec![WEIGHT_ONE; links.len()],
            usable: links.iter().map(|link| link.state == LinkState::Up).collect(),
        };
        let pages: Vec<_> = pages.collect();
        for link in (0..).map(LinkIx).take(links.len()) {
            figures.refresh(link, &slots, &pages);
        }
        Self {
            slots,
            living: LiveSet::default(),
            pages,
            figures: Arc::new(figures),
            twins: links.iter().map(|link| link.twin).collect(),
            calendar: Calendar::default(),
            closures: Arc::default(),
            avoided: Arc::new(topology.links().filter(|(_, link)| link.is_avoided).map(|(ix, _)| ix).collect()),
        }
    }

    /// What the slots stand for.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The other direction of a link.
    pub(crate) fn twin(&self, link: LinkIx) -> Option<LinkIx> {
        self.twins.get(link.at()).copied().flatten()
    }

    /// The bounds of a link.
    pub fn bounds(&self, link: LinkIx) -> Option<&LinkBounds> {
        self.page(link)?.bounds.get(place(link))
    }

    /// What is booked on a link, by slot.
    pub fn booked(&self, link: LinkIx) -> Booked {
        self.book(link).map_or([0; SLOTS], |book| book.booked)
    }

    /// The bandwidth that a slot may still have on a link without victims, in bit/s.
    pub fn free_bps(&self, link: LinkIx, slot: Slot) -> u64 {
        figure(&self.figures.free_bps, slot, link)
    }

    /// The bandwidth that a slot may still have on a link with every victim that it may take, in bit/s.
    pub fn reach_bps(&self, link: LinkIx, slot: Slot) -> u64 {
        figure(&self.figures.reach_bps, slot, link)
    }

    /// The allocations on a link in a slot, newest first.
    pub fn newest_first(&self, link: LinkIx, slot: Slot) -> impl Iterator<Item = AllocationId> + '_ {
        self.book(link).into_iter().flat_map(move |book| book.rosters[slot.at()].newest_first(&self.living))
    }

    /// The allocations on a link, with those whose backup paths share bandwidth there, in no promised order.
    pub fn on_link(&self, link: LinkIx) -> impl Iterator<Item = AllocationId> + '_ {
        let sharing = self.pools(link).into_iter().flat_map(SharedPools::members);
        self.slots.iter().flat_map(move |slot| self.newest_first(link, slot)).chain(sharing)
    }

    /// The backup paths that share bandwidth on a link.
    pub(crate) fn pools(&self, link: LinkIx) -> Option<&SharedPools> {
        self.shared_pools(link).map(|pools| &**pools)
    }

    pub(crate) fn shared_pools(&self, link: LinkIx) -> Option<&Arc<SharedPools>> {
        self.book(link)?.pools.as_ref()
    }

    /// The bookings on a link, by their starts.
    pub fn booked_ahead(&self, link: LinkIx) -> impl Iterator<Item = AllocationId> + '_ {
        self.calendar.on_link(link)
    }

    /// The instants from `from` on at which the book of a link changes by itself, each with whether a booking starts then.
    pub fn changes(&self, link: LinkIx, from: Millis) -> impl Iterator<Item = (Millis, bool)> + '_ {
        self.calendar.changes(link, from)
    }

    /// How many bookings there are.
    pub fn bookings(&self) -> usize {
        self.calendar.bookings()
    }

    /// How many are on a link.
    pub fn count_on(&self, link: LinkIx) -> usize {
        let sharing = self.pools(link).map_or(0, |pools| pools.members().count());
        self.book(link).map_or(0, |book| book.living.iter().map(|count| *count as usize).sum::<usize>() + sharing)
    }

    /// The links as a path search without victims sees them.
    pub fn free(&self, slot: Slot) -> impl Links + '_ {
        LedgerView::of(&self.figures, &self.figures.free_bps, slot)
    }

    /// The links as a path search with victims sees them.
    pub fn reach(&self, slot: Slot) -> impl Links + '_ {
        LedgerView::of(&self.figures, &self.figures.reach_bps, slot)
    }

    /// Whether both ledgers have the same book of a link.
    pub fn same_page(&self, other: &Self, link: LinkIx) -> bool {
        let on = |ledger: &Self, slot| ledger.newest_first(link, slot).collect::<Vec<_>>();
        let figures = |ledger: &Self, slot| (ledger.free_bps(link, slot), ledger.reach_bps(link, slot));
        match (self.book(link), other.book(link)) {
            (Some(one), Some(two)) => {
                (self.bounds(link), self.is_usable(link), one.booked)
                    == (other.bounds(link), other.is_usable(link), two.booked)
                    && one.living == two.living
                    && one.pools == two.pools
                    && self.calendar.marks(link) == other.calendar.marks(link)
                    && self.weight(link) == other.weight(link)
                    && self.slots.iter().all(|slot| figures(self, slot) == figures(other, slot))
                    && self.slots.iter().all(|slot| on(self, slot) == on(other, slot))
            }
            (None, None) => true,
            _ => false,
        }
    }

    fn page(&self, link: LinkIx) -> Option<&BookPage> {
        self.pages.get(link.at() / PAGE_LINKS).map(|page| &**page)
    }

    fn page_mut(&mut self, link: LinkIx) -> Option<&mut BookPage> {
        self.pages.get_mut(link.at() / PAGE_LINKS).map(Arc::make_mut)
    }

    fn book(&self, link: LinkIx) -> Option<&Book> {
        self.page(link).map(|page| &page.books[place(link)])
    }

    /// The links that new paths pass by where they can: a controller has lost a switch at their end.
    pub fn avoided(&self) -> &BTreeSet<LinkIx> {
        &self.avoided
    }

    pub(crate) fn is_usable(&self, link: LinkIx) -> bool {
        self.figures.usable.get(link.at()).copied().unwrap_or(false)
    }

    pub(crate) fn weight(&self, link: LinkIx) -> u32 {
        self.figures.weight.get(link.at()).copied().unwrap_or(WEIGHT_ONE)
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = LinkIx> + use<> {
        (0..).map(LinkIx).take(self.figures.weight.len())
    }

    /// Enters a reservation on every link of its paths.
    pub(crate) fn enter(&mut self, entry: &LedgerEntry) {
        self.enter_unfigured(entry);
        self.refresh(entry.all_links());
    }

    /// Enters many reservations; what follows from them is worked out once.
    pub(crate) fn enter_all(&mut self, entries: impl IntoIterator<Item = LedgerEntry>) {
        for entry in entries {
            self.enter_unfigured(&entry);
        }
        self.refresh(self.links());
    }

    fn enter_unfigured(&mut self, entry: &LedgerEntry) {
        let slots = self.slots;
        if entry.span != Span::default() {
            let mut calendar = std::mem::take(&mut self.calendar);
            calendar.enter(entry, |link| self.page(link).map_or(0, |page| page.amount(place(link), &slots, entry)));
            self.calendar = calendar;
        }
        if entry.span.start.is_some() {
            return;
        }
        self.living.add(entry.id);
        for link in entry.links.iter() {
            if let Some(page) = self.page_mut(*link) {
                page.enter(place(*link), &slots, entry);
            }
        }
        for link in entry.shared.iter().flat_map(|shared| shared.links.iter()) {
            if let Some(page) = self.page_mut(*link) {
                page.share(place(*link), &slots, entry);
            }
        }
    }

    /// Takes a reservation out; the allocation lives on and may be entered on another path.
    pub(crate) fn leave(&mut self, entry: &LedgerEntry) {
        let slot = entry.slot.at();
        self.remove(entry, |book, _| {
            let was_listed = Arc::make_mut(&mut book.rosters)[slot].leave(entry.id);
            book.listed[slot] = book.listed[slot].saturating_sub(u32::from(was_listed));
        });
    }

    /// Takes a reservation out for good: the allocation is over.
    pub(crate) fn end(&mut self, entry: &LedgerEntry) {
        let slot = entry.slot.at();
        self.remove(entry, |book, living| {
            if is_stale(book.listed[slot] as usize, book.living[slot] as usize) {
                let left = Arc::make_mut(&mut book.rosters)[slot].clean_up(living);
                book.listed[slot] = u32::try_from(left).unwrap_or(u32::MAX);
            }
        });
    }

    fn remove(&mut self, entry: &LedgerEntry, strike: impl Fn(&mut Book, &LiveSet)) {
        let slots = self.slots;
        if entry.span != Span::default() {
            self.calendar.leave(entry);
        }
        if entry.span.start.is_some() {
            return;
        }
        self.living.remove(entry.id);
        for link in entry.links.iter() {
            let Some(page) = self.pages.get_mut(link.at() / PAGE_LINKS).map(Arc::make_mut) else { continue };
            page.leave(place(*link), &slots, entry);
            strike(&mut page.books[place(*link)], &self.living);
        }
        for link in entry.shared.iter().flat_map(|shared| shared.links.iter()) {
            if let Some(page) = self.page_mut(*link) {
                page.share_no_more(place(*link), entry);
            }
        }
        self.refresh(entry.all_links());
    }

    /// Holds one link to what `link` now says.
    pub(crate) fn set_link(&mut self, ix: LinkIx, link: &Link, model: &BandwidthModel) {
        let Some(page) = self.page_mut(ix) else { return };
        if let Some(bounds) = Arc::make_mut(&mut page.bounds).get_mut(place(ix)) {
            *bounds = bounds_of(link, model);
        }
        if let Some(usable) = Arc::make_mut(&mut self.figures).usable.get_mut(ix.at()) {
            *usable = link.state == LinkState::Up;
        }
        if link.is_avoided != self.avoided.contains(&ix) {
            let avoided = Arc::make_mut(&mut self.avoided);
            let _ = if link.is_avoided { avoided.insert(ix) } else { avoided.remove(&ix) };
        }
        self.refresh([ix]);
    }

    fn refresh(&mut self, links: impl IntoIterator<Item = LinkIx>) {
        let figures = Arc::make_mut(&mut self.figures);
        for link in links {
            figures.refresh(link, &self.slots, &self.pages);
        }
    }
}

/// Where a link stands on its page.
fn place(link: LinkIx) -> usize {
    link.at() % PAGE_LINKS
}

impl BookPage {
    fn new(links: &[&Link], model: &BandwidthModel, empty: &Book) -> Self {
        let bounds = Arc::new(links.iter().map(|link| bounds_of(link, model)).collect());
        Self { books: std::array::from_fn(|_| empty.clone()), bounds }
    }

    fn enter(&mut self, at: usize, slots: &Slots, entry: &LedgerEntry) {
        let (amount, slot) = (self.amount(at, slots, entry), entry.slot.at());
        let book = &mut self.books[at];
        book.booked[slot] = book.booked[slot].saturating_add(amount);
        book.living[slot] += 1;
        book.listed[slot] += u32::from(Arc::make_mut(&mut book.rosters)[slot].join(entry.id));
    }

    fn leave(&mut self, at: usize, slots: &Slots, entry: &LedgerEntry) {
        let (amount, slot) = (self.amount(at, slots, entry), entry.slot.at());
        let book = &mut self.books[at];
        debug_assert!(book.booked[slot] >= amount, "a book gives back only what it took");
        book.booked[slot] = book.booked[slot].saturating_sub(amount);
        book.living[slot] = book.living[slot].saturating_sub(1);
    }

    fn share(&mut self, at: usize, slots: &Slots, entry: &LedgerEntry) {
        let Some(member) = entry.member(self.amount(at, slots, entry)) else { return };
        let (book, slot) = (&mut self.books[at], entry.slot);
        let more = Arc::make_mut(book.pools.get_or_insert_default()).add(slot, entry.id, member);
        book.booked[slot.at()] = book.booked[slot.at()].saturating_add(more);
    }

    fn share_no_more(&mut self, at: usize, entry: &LedgerEntry) {
        let (book, slot) = (&mut self.books[at], entry.slot);
        let Some(pools) = &mut book.pools else { return };
        let less = Arc::make_mut(pools).remove(slot, entry.id);
        book.booked[slot.at()] = book.booked[slot.at()].saturating_sub(less);
        if pools.members().next().is_none() {
            book.pools = None;
        }
    }

    fn amount(&self, at: usize, slots: &Slots, entry: &LedgerEntry) -> u64 {
        self.bounds.get(at).map_or(0, |bounds| bounds.booked(slots, entry.slot, entry.bandwidth))
    }
}

impl FigureTable {
    fn refresh(&mut self, link: LinkIx, slots: &Slots, pages: &[Arc<BookPage>]) {
        let Some(page) = pages.get(link.at() / PAGE_LINKS) else { return };
        let (Some(bounds), Some(usable)) = (page.bounds.get(place(link)), self.usable.get(link.at())) else { return };
        let booked = &page.books[place(link)].booked;
        let (free, reach) = if *usable { bounds.free_and_reach_bps(slots, booked) } else { Default::default() };
        for slot in slots.iter() {
            self.free_bps[slot.at()][link.at()] = free[slot.at()];
            self.reach_bps[slot.at()][link.at()] = reach[slot.at()];
        }
        self.weight[link.at()] = congestion_weight(bounds, booked);
    }
}

impl PartialEq for Ledger {
    /// The figures follow from the books.
    fn eq(&self, other: &Self) -> bool {
        self.slots == other.slots
            && self.closures == other.closures
            && self.figures.weight.len() == other.figures.weight.len()
            && self.links().all(|link| self.same_page(other, link))
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.links().map(|link| self.booked(link))).finish()
    }
}

fn figure(figures: &[Vec<u64>], slot: Slot, link: LinkIx) -> u64 {
    figures.get(slot.at()).and_then(|of_slot| of_slot.get(link.at())).copied().unwrap_or(0)
}

/// What a model allows on a link.
pub(crate) fn bounds_of(link: &Link, model: &BandwidthModel) -> LinkBounds {
    model.of_link(&link.name).bounds(link.max_reservable)
}

struct LedgerView<'a> {
    room_bps: &'a [u64],
    weight: &'a [u32],
    usable: &'a [bool],
}

impl<'a> LedgerView<'a> {
    fn of(figures: &'a FigureTable, room_bps: &'a [Vec<u64>], slot: Slot) -> Self {
        let room_bps = room_bps.get(slot.at()).map_or(&[][..], Vec::as_slice);
        Self { room_bps, weight: &figures.weight, usable: &figures.usable }
    }
}

impl Links for LedgerView<'_> {
    fn room_bps(&self, link: LinkIx) -> u64 {
        self.room_bps.get(link.at()).copied().unwrap_or(0)
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.weight.get(link.at()).copied().unwrap_or(WEIGHT_ONE)
    }

    fn is_usable(&self, link: LinkIx) -> bool {
        self.usable.get(link.at()).copied().unwrap_or(false)
    }
}
