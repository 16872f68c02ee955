//! What follows from marks in a row, of which a link's book can be told without looking at each: how much they change it and
//! the most that is in it meanwhile, by slot and in all. What must stay true: at no mark is more than a summary says.

use super::bam::{Booked, SLOTS};
use super::mark::{MarkKey, SlotPairs};
use super::packed_marks::PackedMarks;

/// What follows from some marks in a row.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) first: MarkKey,
    pub(crate) last: MarkKey,
    /// By slot, up to the last that has any.
    pub(crate) slots: Box<[SlotSum]>,
    /// Of all slots together.
    pub(crate) all: SlotSum,
    /// Of what starts.
    pub(crate) pairs: SlotPairs,
    /// Of what starts at the last instant.
    pub(crate) last_pairs: SlotPairs,
}

/// How some marks in a row change a sum.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct SlotSum {
    /// All of them.
    pub(crate) change: i128,
    /// The most by which the first of them do: at no mark is more in the sum.
    pub(crate) peak: i128,
}

impl SlotSum {
    /// These, and what comes after; `is_first`: nothing came before.
    fn add(&mut self, next: Self, is_first: bool) {
        let peak = self.change + next.peak;
        self.peak = if is_first { peak } else { self.peak.max(peak) };
        self.change += next.change;
    }
}

impl Summary {
    /// A book after the marks.
    pub(crate) fn after(&self, booked: &Booked) -> Booked {
        self.changed(booked, |sums| sums.change)
    }

    /// The most that is in each slot at any of the marks.
    pub(crate) fn peak(&self, booked: &Booked) -> Booked {
        self.changed(booked, |sums| sums.peak)
    }

    /// The most that is in all slots together at any of the marks.
    pub(crate) fn peak_of_all(&self, booked: &Booked) -> u64 {
        moved(sum_of(booked), self.all.peak)
    }

    fn changed(&self, booked: &Booked, change: impl Fn(&SlotSum) -> i128) -> Booked {
        let mut booked = *booked;
        for (own, sums) in booked.iter_mut().zip(&self.slots) {
            *own = moved(*own, change(sums));
        }
        booked
    }
}

/// What is in all slots of a book together.
pub(crate) fn sum_of(booked: &Booked) -> u64 {
    booked.iter().fold(0, |sum, own| sum.saturating_add(*own))
}

fn moved(own: u64, change: i128) -> u64 {
    u64::try_from((i128::from(own) + change).max(0)).unwrap_or(u64::MAX)
}

/// A summary in the making.
#[derive(Default)]
pub(crate) struct SummaryDraft {
    ends: Option<(MarkKey, MarkKey)>,
    slots: [SlotSum; SLOTS],
    all: SlotSum,
    pairs: SlotPairs,
    last_pairs: SlotPairs,
}

impl SummaryDraft {
    /// Those of a leaf, before which is nothing.
    pub(crate) fn add_leaf(&mut self, marks: &PackedMarks) {
        let Some(((first, _), (last, _))) = marks.get(0).zip(marks.iter().next_back()) else { return };
        for (number, mark) in marks.marks().enumerate() {
            let sums = SlotSum { change: mark.change(), peak: mark.change() };
            // The sums of the other slots stay what they are, and so do their peaks.
            self.slots[mark.slot.at()].add(sums, number == 0);
            self.all.add(sums, number == 0);
            self.pairs = self.pairs.with(mark.pair());
        }
        let at_last = marks.iter().rev().take_while(|(key, _)| key.at == last.at);
        self.last_pairs = at_last.fold(SlotPairs::default(), |pairs, (_, mark)| pairs.with(mark.pair()));
        self.ends = Some((first, last));
    }

    pub(crate) fn add(&mut self, next: &Summary) {
        let is_first = self.ends.is_none();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            slot.add(next.slots.get(at).copied().unwrap_or_default(), is_first);
        }
        self.all.add(next.all, is_first);
        self.add_pairs(next.first, next.last, next.pairs, next.last_pairs);
    }

    fn add_pairs(&mut self, first: MarkKey, last: MarkKey, pairs: SlotPairs, last_pairs: SlotPairs) {
        let is_same = self.ends.is_some_and(|(_, before)| before.at == first.at && first.at == last.at);
        self.last_pairs = if is_same { self.last_pairs.with(last_pairs) } else { last_pairs };
        self.pairs = self.pairs.with(pairs);
        self.ends = Some((self.ends.map_or(first, |(first, _)| first), last));
    }

    /// None without marks.
    pub(crate) fn finish(self) -> Option<Summary> {
        let (first, last) = self.ends?;
        let used = self.slots.iter().rposition(|sums| *sums != SlotSum::default()).map_or(0, |last| last + 1);
        let slots = self.slots.iter().take(used).copied().collect();
        Some(Summary { first, last, slots, all: self.all, pairs: self.pairs, last_pairs: self.last_pairs })
    }
}
