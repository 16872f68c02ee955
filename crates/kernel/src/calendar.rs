//! What the books of links will be: for each link that has any, marks in order of time at which a booking's bandwidth enters,
//! or a booking's or a living allocation's leaves. What must stay true: a link without marks has no entry, so that nothing is
//! held, and nothing looked at, where nobody books ahead and nothing ends by itself.

use super::bam::{Booked, LinkBounds, Slots};
use super::id::{AllocationId, LinkIx};
use super::ledger_entry::{Claim, LedgerEntry, Span};
use super::mark::{Mark, MarkKey, SlotPairs};
use super::mark_summary::{Summary, sum_of};
use super::mark_tree::{MarkTree, Node, NodeBody};
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

/// How exactly it is asked what a claim may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// Whether it is enough: what is not may be said to be nothing.
    Enough,
    /// To the bit/s.
    Exact,
}

/// The marks of all links that have any.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Calendar {
    links: PersistentMap<LinkIx, MarkTree>,
    bookings: usize,
}

impl Calendar {
    /// How many bookings there are.
    pub(crate) fn bookings(&self) -> usize {
        self.bookings
    }

    pub(crate) fn marks(&self, link: LinkIx) -> Option<&MarkTree> {
        self.links.get(&link)
    }

    /// The bookings on a link, by their starts.
    pub(crate) fn on_link(&self, link: LinkIx) -> impl Iterator<Item = AllocationId> + '_ {
        let marks = self.marks(link).into_iter().flat_map(MarkTree::iter);
        marks.filter(|(key, _)| key.is_start).map(|(key, _)| key.id)
    }

    /// The instants from `from` on at which the book of a link changes by itself, each with whether a booking starts then.
    pub(crate) fn changes(&self, link: LinkIx, from: Millis) -> impl Iterator<Item = (Millis, bool)> + '_ {
        let first = MarkKey { at: from, is_start: false, id: AllocationId(0) };
        let marks = self.marks(link).into_iter().flat_map(move |marks| marks.iter_from(first));
        marks.map(|(key, _)| (key.at, key.is_start))
    }

    /// Adds the marks of an entry; `booked` is what it takes on a link.
    pub(crate) fn enter(&mut self, entry: &LedgerEntry, booked: impl Fn(LinkIx) -> u64) {
        self.bookings += usize::from(entry.span.start.is_some());
        for link in entry.links.iter() {
            let own: Vec<_> = marks_of(entry, booked(*link)).collect();
            if own.is_empty() {
                continue;
            }
            if !self.links.contains_key(link) {
                self.links.insert(*link, MarkTree::default());
            }
            if let Some(marks) = self.links.get_mut(link) {
                marks.insert(&own);
            }
        }
    }

    /// Takes the marks of an entry out.
    pub(crate) fn leave(&mut self, entry: &LedgerEntry) {
        self.bookings -= usize::from(entry.span.start.is_some()).min(self.bookings);
        for link in entry.links.iter() {
            let Some(marks) = self.links.get_mut(link) else { continue };
            for (key, _) in marks_of(entry, 0) {
                marks.remove(key);
            }
            if marks.root().is_none() {
                self.links.remove(link);
            }
        }
    }
}

/// The marks that an entry makes on a link on which it takes `booked`.
pub(crate) fn marks_of(entry: &LedgerEntry, booked: u64) -> impl Iterator<Item = (MarkKey, Mark)> + use<> {
    let LedgerEntry { id, slot, span, .. } = *entry;
    let mark = move |setup_slot| Mark { slot, booked, setup_slot };
    let start = span.start.map(|start| (MarkKey { at: start.at, is_start: true, id }, mark(Some(start.setup_slot))));
    let end = span.ends_at.map(|at| (MarkKey { at, is_start: false, id }, mark(None)));
    start.into_iter().chain(end)
}

/// A link's book from now on.
pub(crate) struct LinkCourse<'a> {
    pub(crate) bounds: &'a LinkBounds,
    pub(crate) slots: &'a Slots,
    /// Of now.
    pub(crate) booked: Booked,
    pub(crate) marks: Option<&'a MarkTree>,
}

impl LinkCourse<'_> {
    /// What a claim may have in the time to come, at most what it claims. Nothing is said about now.
    pub(crate) fn room_bps(&self, claim: &Claim, taking: Taking, precision: Precision) -> u64 {
        let root = self.marks.and_then(MarkTree::root);
        let peak = root.map_or(0, |root| root.summary.peak_of_all(&self.booked)).max(sum_of(&self.booked));
        if self.has_room_beside(peak, claim) {
            return claim.bandwidth.as_bps();
        }
        let question = Question::Room { claim, taking, precision, room: claim.bandwidth.as_bps() };
        let mut sweep = Sweep::new(self, claim.span, question);
        sweep.run();
        match sweep.question {
            Question::Room { room, .. } => room,
            Question::Kept { .. } => 0,
        }
    }

    /// Whether every slot might have so much more at any instant from one to another, whoever has what is booked: more is
    /// never said than is so.
    pub(crate) fn is_roomy(&self, (from, to): (Millis, Millis), claim: &Claim) -> bool {
        let peak = self.marks.map_or_else(|| sum_of(&self.booked), |marks| marks.peak_of_all(&self.booked, from, to));
        self.has_room_beside(peak, claim)
    }

    /// Whether nothing has to yield to a claim, nor is kept from starting by it, where no more is booked in all.
    fn has_room_beside(&self, in_all: u64, claim: &Claim) -> bool {
        let in_all = in_all.saturating_add(self.bounds.booked(self.slots, claim.hold_slot, claim.bandwidth));
        self.slots.iter().all(|slot| self.bounds.has_reach_within(self.slots, in_all, slot))
    }

    /// The bookings of the first instant at which any is not kept.
    pub(crate) fn first_not_kept(&self) -> Vec<AllocationId> {
        let mut sweep = Sweep::new(self, Span::default(), Question::Kept { lost: None });
        sweep.run();
        let (Question::Kept { lost: Some((at, pairs)) }, Some(marks)) = (sweep.question, self.marks) else {
            return vec![];
        };
        let starting = marks.iter_from(MarkKey { at, is_start: true, id: AllocationId(0) });
        let at_once = starting.take_while(|(key, _)| key.at == at).filter(|(_, mark)| pairs.has(mark.pair()));
        at_once.map(|(key, _)| key.id).collect()
    }

    /// Whether bookings of this pair can take their bandwidth at their start, of whose book this is with all that start
    /// then. It does not depend on how much they are: what their slot may have grows as much as they are taken out.
    fn is_kept(&self, booked: &Booked, pair: SlotPairs) -> bool {
        let (hold, setup) = pair.slots();
        let slot = |at: usize| self.slots.iter().find(|slot| slot.at() == at);
        let (Some(hold), Some(setup)) = (slot(hold), slot(setup)) else { return true };
        let mut others = *booked;
        let own = &mut others[hold.at()];
        *own = own.saturating_sub(self.bounds.booked(self.slots, hold, LEAST));
        self.bounds.reach_bps(self.slots, &others, setup) >= LEAST.as_bps()
    }

    /// Whether they can, whichever slots have what is booked in all.
    fn is_kept_beside(&self, in_all: u64, pair: SlotPairs) -> bool {
        let setup = self.slots.iter().find(|slot| slot.at() == pair.slots().1);
        setup.is_none_or(|setup| self.bounds.has_reach_within(self.slots, in_all, setup))
    }

    fn with(&self, booked: &Booked, claim: &Claim, bps: u64) -> Booked {
        let mut booked = *booked;
        let sum = &mut booked[claim.hold_slot.at()];
        let bandwidth = Bandwidth::saturating_from_bps(bps);
        *sum = sum.saturating_add(self.bounds.booked(self.slots, claim.hold_slot, bandwidth));
        booked
    }

    /// What a claim may have, at most `most`, beside bookings that start: as much as keeps them, or as the claim may take
    /// from them. Those that are not kept anyway, after a soft change of model, are no bound.
    fn beside_bps(
        &self,
        booked: &Booked,
        pair: SlotPairs,
        claim: &Claim,
        (taking, precision): (Taking, Precision),
        most: u64,
    ) -> u64 {
        let is_kept = |bps: u64| self.is_kept(&self.with(booked, claim, bps), pair);
        if is_kept(most) || !is_kept(0) {
            return most;
        }
        let by_right = match taking {
            Taking::Free => 0,
            Taking::Reach => self.bounds.reach_bps(self.slots, booked, claim.slot).min(most),
        };
        if precision == Precision::Enough && by_right < most {
            return 0;
        }
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
}

const LEAST: Bandwidth = Bandwidth::saturating_from_bps(1);

/// What is asked of the time to come.
enum Question<'a> {
    /// How much a claim may have.
    Room { claim: &'a Claim, taking: Taking, precision: Precision, room: u64 },
    /// When bookings first are not kept, and which pairs of slots are theirs.
    Kept { lost: Option<(Millis, SlotPairs)> },
}

/// Goes along a link's book from instant to instant, and passes over nodes of which the summary says that nothing in them
/// matters.
struct Sweep<'a> {
    course: &'a LinkCourse<'a>,
    span: Span,
    /// The start of the span is still ahead.
    is_before: bool,
    question: Question<'a>,
    booked: Booked,
    /// The instant up to which the book has come, and what starts then and has not been looked at.
    at: Millis,
    starting: SlotPairs,
    /// By a summary, what starts is kept as long as nothing else starts at the same instant.
    is_known_kept: bool,
}

impl<'a> Sweep<'a> {
    fn new(course: &'a LinkCourse<'a>, span: Span, question: Question<'a>) -> Self {
        let (is_before, booked, starting) = (span.start.is_some(), course.booked, SlotPairs::default());
        Self { course, span, is_before, question, booked, at: Millis(0), starting, is_known_kept: false }
    }

    fn run(&mut self) {
        if let Some(root) = self.course.marks.and_then(MarkTree::root) {
            self.visit(root);
        }
        self.look();
        self.pass_own_start();
    }

    fn is_done(&self, at: Millis) -> bool {
        let is_answered = match self.question {
            Question::Room { room, .. } => room == 0,
            Question::Kept { lost } => lost.is_some(),
        };
        is_answered || self.span.ends_at.is_some_and(|end| end <= at)
    }

    fn visit(&mut self, node: &Node) {
        self.advance(node.summary.first.at);
        if self.is_done(node.summary.first.at) {
            return;
        }
        let summary = &node.summary;
        let is_before = self.span.start.is_some_and(|start| summary.last.at < start.at);
        if is_before || (!self.is_before && self.starting.is_empty() && self.keeps_all(summary)) {
            self.booked = summary.after(&self.booked);
            self.at = summary.last.at;
            self.starting = if is_before { SlotPairs::default() } else { summary.last_pairs };
            self.is_known_kept = true;
            return;
        }
        match &node.body {
            NodeBody::Inner(children) => children.iter().for_each(|child| self.visit(child)),
            NodeBody::Leaf(marks) => {
                for (key, mark) in marks.iter() {
                    self.advance(key.at);
                    if self.is_done(key.at) {
                        return;
                    }
                    let sum = &mut self.booked[mark.slot.at()];
                    *sum = if key.is_start { sum.saturating_add(mark.booked) } else { sum.saturating_sub(mark.booked) };
                    if self.span.has_start(key.at) {
                        self.starting = self.starting.with(mark.pair());
                        self.is_known_kept = false;
                    }
                }
            }
        }
    }

    /// Comes to an instant: what started before is looked at.
    fn advance(&mut self, to: Millis) {
        if self.at < to {
            self.look();
            if self.span.start.is_some_and(|start| start.at < to) {
                self.pass_own_start();
            }
            self.at = to;
        }
    }

    /// Whether all that start below a node are kept beside the claim, whatever the order of the other marks.
    fn keeps_all(&self, summary: &Summary) -> bool {
        let LinkCourse { bounds, slots, .. } = self.course;
        let (more, in_all) = match self.question {
            Question::Room { claim, room, .. } => {
                let bandwidth = Bandwidth::saturating_from_bps(room);
                (Some((claim, room)), bounds.booked(slots, claim.hold_slot, bandwidth))
            }
            Question::Kept { .. } => (None, 0),
        };
        let in_all = summary.peak_of_all(&self.booked).saturating_add(in_all);
        if summary.pairs.each().all(|pair| self.course.is_kept_beside(in_all, pair)) {
            return true;
        }
        let peak = summary.peak(&self.booked);
        let peak = more.map_or(peak, |(claim, room)| self.course.with(&peak, claim, room));
        summary.pairs.each().all(|pair| self.course.is_kept(&peak, pair))
    }

    fn look(&mut self) {
        let starting = std::mem::take(&mut self.starting);
        if std::mem::take(&mut self.is_known_kept) {
            return;
        }
        for pair in starting.each() {
            match &mut self.question {
                Question::Room { claim, taking, precision, room } => {
                    *room = self.course.beside_bps(&self.booked, pair, claim, (*taking, *precision), *room);
                }
                Question::Kept { lost } => {
                    if !self.course.is_kept(&self.booked, pair) {
                        let others = lost.map_or(SlotPairs::default(), |(_, pairs)| pairs);
                        *lost = Some((self.at, others.with(pair)));
                    }
                }
            }
        }
    }

    fn pass_own_start(&mut self) {
        if let (true, Question::Room { claim, taking, room, .. }) = (self.is_before, &mut self.question) {
            let LinkCourse { bounds, slots, .. } = self.course;
            *room = (*room).min(match taking {
                Taking::Free => bounds.free_bps(slots, &self.booked, claim.slot),
                Taking::Reach => bounds.reach_bps(slots, &self.booked, claim.slot),
            });
        }
        self.is_before = false;
    }
}
