//! What the books of links will be: for each link that has any, marks in order of time at which a booking's bandwidth enters,
//! or a booking's or a living allocation's leaves. What must stay true: a link without marks has no entry, so that nothing is
//! held, and nothing looked at, where nobody books ahead and nothing ends by itself.

use super::bam::{Booked, LinkBounds, Slot, Slots};
use super::id::{AllocationId, LinkIx};
use super::ledger_entry::{Claim, LedgerEntry};
use super::persistent_map::PersistentMap;
use super::units::{Bandwidth, Millis};

/// From whom a claim may take bandwidth.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// From nobody.
    Free,
    /// From whom the bandwidth model lets it.
    Reach,
}

/// The place of a mark: what ends at an instant ends before anything starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct MarkKey {
    pub(crate) at: Millis,
    is_start: bool,
    pub(crate) id: AllocationId,
}

/// What changes in a link's book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    slot: Slot,
    booked: u64,
    /// Of a start: with which slot, and how much, is to be had then.
    starting: Option<(Slot, Bandwidth)>,
}

pub(crate) type Marks = PersistentMap<MarkKey, Mark>;

/// The marks of all links that have any.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Calendar {
    links: PersistentMap<LinkIx, Marks>,
    bookings: usize,
}

impl Calendar {
    /// How many bookings there are.
    pub(crate) fn bookings(&self) -> usize {
        self.bookings
    }

    pub(crate) fn marks(&self, link: LinkIx) -> Option<&Marks> {
        self.links.get(&link)
    }

    /// The bookings on a link, by their starts.
    pub(crate) fn on_link(&self, link: LinkIx) -> impl Iterator<Item = AllocationId> + '_ {
        let marks = self.marks(link).into_iter().flat_map(PersistentMap::iter);
        marks.filter(|(key, _)| key.is_start).map(|(key, _)| key.id)
    }

    /// The instants at which the book of a link changes by itself, each with whether a booking starts then.
    pub(crate) fn changes(&self, link: LinkIx) -> impl Iterator<Item = (Millis, bool)> + '_ {
        let marks = self.marks(link).into_iter().flat_map(PersistentMap::iter);
        marks.map(|(key, _)| (key.at, key.is_start))
    }

    /// Adds the marks of an entry; `booked` is what it takes on a link.
    pub(crate) fn enter(&mut self, entry: &LedgerEntry, booked: impl Fn(LinkIx) -> u64) {
        self.bookings += usize::from(entry.span.start.is_some());
        for link in entry.path.iter() {
            for (key, mark) in marks_of(entry, booked(*link)) {
                match self.links.get_mut(link) {
                    Some(marks) => drop(marks.insert(key, mark)),
                    None => {
                        let mut marks = Marks::default();
                        marks.insert(key, mark);
                        self.links.insert(*link, marks);
                    }
                }
            }
        }
    }

    /// Takes the marks of an entry out.
    pub(crate) fn leave(&mut self, entry: &LedgerEntry) {
        self.bookings -= usize::from(entry.span.start.is_some()).min(self.bookings);
        for link in entry.path.iter() {
            let Some(marks) = self.links.get_mut(link) else { continue };
            for (key, _) in marks_of(entry, 0) {
                marks.remove(&key);
            }
            if marks.len() == 0 {
                self.links.remove(link);
            }
        }
    }
}

/// The marks that an entry makes on a link on which it takes `booked`.
pub(crate) fn marks_of(entry: &LedgerEntry, booked: u64) -> impl Iterator<Item = (MarkKey, Mark)> + use<> {
    let LedgerEntry { id, slot, bandwidth, span, .. } = *entry;
    let start = span.start.map(|start| {
        let key = MarkKey { at: start.at, is_start: true, id };
        (key, Mark { slot, booked, starting: Some((start.setup_slot, bandwidth)) })
    });
    let end = span.ends_at.map(|at| (MarkKey { at, is_start: false, id }, Mark { slot, booked, starting: None }));
    start.into_iter().chain(end)
}

/// A link's book from now on.
pub(crate) struct LinkCourse<'a> {
    pub(crate) bounds: &'a LinkBounds,
    pub(crate) slots: &'a Slots,
    /// Of now.
    pub(crate) booked: Booked,
    pub(crate) marks: Vec<(MarkKey, Mark)>,
}

impl LinkCourse<'_> {
    /// What a claim may have in the time to come, at most what it claims. Nothing is said about now.
    pub(crate) fn room_bps(&self, claim: &Claim, taking: Taking) -> u64 {
        let most = claim.bandwidth.as_bps();
        let mut room = most;
        let mut booked = self.booked;
        let mut own_start = claim.span.start.map(|start| start.at);
        for (at, marks) in instants(&self.marks) {
            if claim.span.ends_at.is_some_and(|end| end <= at) || room == 0 {
                break;
            }
            if own_start.is_some_and(|start| start < at) {
                room = room.min(self.available_bps(&booked, claim.slot, taking));
                own_start = None;
            }
            pass(&mut booked, marks);
            if !claim.span.has_start(at) {
                continue;
            }
            for mark in starts(marks) {
                room = room.min(self.beside_bps(&booked, mark, claim, taking, room));
            }
        }
        if own_start.is_some() {
            room = room.min(self.available_bps(&booked, claim.slot, taking));
        }
        room
    }

    fn available_bps(&self, booked: &Booked, slot: Slot, taking: Taking) -> u64 {
        match taking {
            Taking::Free => self.bounds.free_bps(self.slots, booked, slot),
            Taking::Reach => self.bounds.reach_bps(self.slots, booked, slot),
        }
    }

    /// What a claim may have, at most `most`, beside a booking that starts: as much as keeps it, or as the claim may take
    /// from it. One that is not kept anyway, after a soft change of model, is no bound.
    fn beside_bps(&self, booked: &Booked, starting: &Mark, claim: &Claim, taking: Taking, most: u64) -> u64 {
        let is_kept = |bps: u64| {
            let mut booked = *booked;
            let sum = &mut booked[claim.hold_slot.at()];
            let bandwidth = Bandwidth::saturating_from_bps(bps);
            *sum = sum.saturating_add(self.bounds.booked(self.slots, claim.hold_slot, bandwidth));
            self.is_kept(&booked, starting)
        };
        if is_kept(most) || !is_kept(0) {
            return most;
        }
        let by_right = match taking {
            Taking::Free => 0,
            Taking::Reach => self.bounds.reach_bps(self.slots, booked, claim.slot).min(most),
        };
        let (mut kept, mut harmed) = (by_right, most);
        while harmed - kept > 1 {
            let middle = kept.midpoint(harmed);
            if is_kept(middle) {
                kept = middle;
            } else {
                harmed = middle;
            }
        }
        kept
    }

    /// Whether a booking can take its bandwidth at its start, of whose book this is with all that start then.
    fn is_kept(&self, booked: &Booked, starting: &Mark) -> bool {
        let Some((setup_slot, bandwidth)) = starting.starting else { return true };
        let mut others = *booked;
        let own = &mut others[starting.slot.at()];
        *own = own.saturating_sub(starting.booked);
        self.bounds.reach_bps(self.slots, &others, setup_slot) >= bandwidth.as_bps()
    }

    /// The bookings of the first instant at which any is not kept.
    pub(crate) fn first_not_kept(&self) -> Vec<AllocationId> {
        let mut booked = self.booked;
        for (_, marks) in instants(&self.marks) {
            pass(&mut booked, marks);
            let is_lost = |(_, mark): &&(MarkKey, Mark)| mark.starting.is_some() && !self.is_kept(&booked, mark);
            let lost: Vec<_> = marks.iter().filter(is_lost).map(|(key, _)| key.id).collect();
            if !lost.is_empty() {
                return lost;
            }
        }
        vec![]
    }
}

fn instants(marks: &[(MarkKey, Mark)]) -> impl Iterator<Item = (Millis, &[(MarkKey, Mark)])> {
    let same = |(one, _): &(MarkKey, Mark), (other, _): &(MarkKey, Mark)| one.at == other.at;
    marks.chunk_by(same).filter_map(|marks| Some((marks.first()?.0.at, marks)))
}

fn starts(marks: &[(MarkKey, Mark)]) -> impl Iterator<Item = &Mark> {
    marks.iter().map(|(_, mark)| mark).filter(|mark| mark.starting.is_some())
}

/// The book after the marks of an instant.
fn pass(booked: &mut Booked, marks: &[(MarkKey, Mark)]) {
    for (key, mark) in marks {
        let sum = &mut booked[mark.slot.at()];
        *sum = if key.is_start { sum.saturating_add(mark.booked) } else { sum.saturating_sub(mark.booked) };
    }
}
