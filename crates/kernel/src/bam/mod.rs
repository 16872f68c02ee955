//! Bandwidth allocation models. One question: may this demand enter this link's book, and with which victims?
//!
//! A link's book counts what is booked in each [`Slot`]. Where the class type is the only priority, a slot is a class
//! type and the four models are presets of G-BAM (`gbam`); where TE-classes are configured (RFC 4124), a slot is a
//! TE-class and MAM and RDM take their RFC forms (`mam`, `rdm`). What must stay true: a book that held its model's
//! bounds holds them after every admitted demand whose victims were taken out.

mod model;
pub use model::{ClassConfig, Model, ModelError};

mod atcs;
mod gbam;
mod mam;
mod rdm;

use super::class::{CLASS_TYPES, ClassType, Priority};
use super::units::{Bandwidth, Overbooking};

/// How many slots a book has.
pub const SLOTS: usize = CLASS_TYPES;

/// What is booked on one link, by slot, in bit/s after overbooking.
pub type Booked = [u64; SLOTS];

/// A column of a link's book: a class type, or a TE-class where TE-classes are configured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u8);

impl Slot {
    /// The slot at an index below [`SLOTS`].
    pub(crate) const fn new(at: u8) -> Self {
        Self(at)
    }

    /// As an index into [`Booked`].
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// The four models.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ModelKind {
    /// Maximum allocation model, RFC 4125: each class has its own share and no more.
    Mam,
    /// Russian dolls model, RFC 4127: a class may use what the classes above it do not, until they take it back.
    Rdm,
    /// Generalised model: each class lends a configured part downwards and upwards.
    Gbam,
    /// AllocTC-Sharing: everything unused may be borrowed, in both directions.
    Atcs,
}

/// The order in which classes lose bandwidth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VictimOrder {
    /// Higher classes first: takes the fewest victims, since what a higher class gives back also counts for the lower.
    #[default]
    HighestFirst,
    /// Lower classes first, as the BAMSim simulator does.
    LowestFirst,
}

/// Why an LSP loses its bandwidth to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// A higher class (or a better setup priority) takes back what was lent downwards.
    Preempted,
    /// A lower class takes back what it lent upwards.
    Devolved,
}

/// How victims are chosen among the allocations of a slot that has to give up bandwidth (RFC 4829 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VictimPolicy {
    /// Those that together have the least bandwidth that is enough.
    #[default]
    LeastBandwidth,
    /// The newest first. With [`VictimOrder::LowestFirst`] this is the choice of the BAMSim simulator to the letter.
    Newest,
    /// The fewest that are enough.
    Fewest,
}

/// A slot that has to give up bandwidth for a book to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overrun {
    /// The slot.
    pub slot: Slot,
    /// By what right the bandwidth is taken.
    pub cause: Cause,
    /// How much has to go, in booked bit/s; more than the slot holds where other slots have to give up the rest.
    pub excess: u64,
}

/// What the slots stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slots {
    count: u8,
    by_priority: bool,
    class_of: [u8; SLOTS],
    priority_of: [u8; SLOTS],
}

impl Slots {
    /// All slots.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Slot> + use<> {
        (0..self.count).map(Slot)
    }

    /// How many slots there are.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The class type of a slot.
    pub fn class_type(&self, slot: Slot) -> ClassType {
        ClassType::new(self.class_of[slot.at()]).unwrap_or(ClassType::LOWEST)
    }

    /// The priority of a slot. Where the class is the priority, that is what it stands for: CT7 is 0, CT0 is 7.
    pub fn priority(&self, slot: Slot) -> Priority {
        Priority::new(self.priority_of[slot.at()]).unwrap_or(Priority::WORST)
    }

    /// Best first: what is restored before what.
    pub fn rank(&self, slot: Slot) -> (u8, u8) {
        (self.priority_of[slot.at()], u8::MAX - self.class_of[slot.at()])
    }

    fn class_at(&self, slot: usize) -> usize {
        usize::from(self.class_of[slot])
    }
}

/// Which rule a book is held to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BookRule {
    /// G-BAM and its presets: slots are class types.
    Loans,
    /// RFC 4125: slots are TE-classes.
    MaximumAllocation,
    /// RFC 4127: slots are TE-classes.
    RussianDolls,
}

/// A model brought down to one link: every share in bit/s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkBounds {
    rule: BookRule,
    total: u64,
    /// One more than the highest configured class type.
    classes: usize,
    private: [u64; SLOTS],
    high_to_low: [u64; SLOTS],
    low_to_high: [u64; SLOTS],
    overbooking: [Overbooking; SLOTS],
}

impl LinkBounds {
    /// The maximum reservable bandwidth.
    pub fn total_bps(&self) -> u64 {
        self.total
    }

    /// What a reservation takes from the book.
    pub fn booked(&self, slots: &Slots, slot: Slot, bandwidth: Bandwidth) -> u64 {
        self.overbooking[slots.class_at(slot.at())].booked(bandwidth.as_bps())
    }

    /// What a reservation in a class type, by its number, takes from the book.
    pub(crate) fn booked_in(&self, class: usize, bandwidth: Bandwidth) -> u64 {
        self.overbooking[class].booked(bandwidth.as_bps())
    }

    /// The most that each class type may have in the book beside what the others use: its share, or what it may borrow to.
    pub(crate) fn limits(&self, used: &Booked) -> Booked {
        gbam::limits(self, used)
    }

    /// The private share of a class type, in booked bit/s.
    pub fn private_bps(&self, class_type: ClassType) -> u64 {
        self.private[class_type.at()]
    }

    /// The bandwidth constraint of a class type as its RFC writes it: BCc under MAM; under RDM the nested sum of this
    /// class and those above it; under G-BAM the most the class could ever have, its share and all loans to it.
    pub fn constraint_bps(&self, kind: ModelKind, class_type: ClassType) -> u64 {
        match kind {
            ModelKind::Mam => self.private_bps(class_type),
            ModelKind::Rdm => rdm::nested(self, class_type.at()),
            ModelKind::Gbam | ModelKind::Atcs => self.limits(&[0; SLOTS])[class_type.at()],
        }
    }

    /// The bandwidth that the slot may still reserve without victims, in bit/s.
    pub fn free_bps(&self, slots: &Slots, booked: &Booked, slot: Slot) -> u64 {
        let class = slots.class_at(slot.at());
        self.reservable(
            class,
            match self.rule {
                BookRule::Loans => gbam::free(self, booked, &self.limits(booked), class),
                BookRule::MaximumAllocation => mam::unreserved(self, slots, booked, class, Priority::WORST),
                BookRule::RussianDolls => rdm::unreserved(self, slots, booked, class, Priority::WORST),
            },
        )
    }

    /// The bandwidth that the slot may still reserve with every victim that it may take, in bit/s: the unreserved bandwidth
    /// of the TE-class (RFC 4124).
    pub fn reach_bps(&self, slots: &Slots, booked: &Booked, slot: Slot) -> u64 {
        self.reservable(slots.class_at(slot.at()), self.reach_in_book(slots, booked, slot))
    }

    fn reach_in_book(&self, slots: &Slots, booked: &Booked, slot: Slot) -> u64 {
        let class = slots.class_at(slot.at());
        let priority = slots.priority(slot);
        match self.rule {
            BookRule::Loans => gbam::reach(booked, &self.limits(booked), class),
            BookRule::MaximumAllocation => mam::unreserved(self, slots, booked, class, priority),
            BookRule::RussianDolls => rdm::unreserved(self, slots, booked, class, priority),
        }
    }

    /// What each slot may still reserve without victims, and with every victim that it may take, in bit/s.
    pub(crate) fn free_and_reach_bps(&self, slots: &Slots, booked: &Booked) -> (Booked, Booked) {
        let (mut free, mut reach) = ([0; SLOTS], [0; SLOTS]);
        let limits = (self.rule == BookRule::Loans).then(|| self.limits(booked));
        for slot in slots.iter() {
            let (at, class) = (slot.at(), slots.class_at(slot.at()));
            (free[at], reach[at]) = match &limits {
                Some(limits) => (
                    self.reservable(class, gbam::free(self, booked, limits, class)),
                    self.reservable(class, gbam::reach(booked, limits, class)),
                ),
                None => (self.free_bps(slots, booked, slot), self.reach_bps(slots, booked, slot)),
            };
        }
        (free, reach)
    }

    /// Whether what is booked for the slot has reach in every book that holds no more than this with it, whichever slots
    /// that is in: reach falls by no more than usage grows, so it is enough that an empty book has so much.
    pub(crate) fn has_reach_within(&self, slots: &Slots, booked_in_all: u64, slot: Slot) -> bool {
        self.reach_in_book(slots, &[0; SLOTS], slot) >= booked_in_all
    }

    /// No reservation is larger than [`Bandwidth::MAX`], however overbooked a class is.
    pub(crate) fn reservable(&self, class: usize, booked: u64) -> u64 {
        self.overbooking[class].reservable(booked).min(Bandwidth::MAX.as_bps())
    }

    /// The slot of the next victims so that the book holds, given that it already counts the demand of `asker`; `None` when
    /// it holds. To be called again after every removal.
    pub fn next_victim(&self, slots: &Slots, booked: &Booked, asker: Slot, order: VictimOrder) -> Option<Overrun> {
        let class = slots.class_at(asker.at());
        match self.rule {
            BookRule::Loans => gbam::next_victim(self, booked, class, order),
            BookRule::MaximumAllocation => mam::next_victim(self, slots, booked, class, slots.priority(asker), order),
            BookRule::RussianDolls => rdm::next_victim(self, slots, booked, class, slots.priority(asker), order),
        }
    }

    /// The slot of the next allocation to take out so that a book holds that was filled under other bounds; `None` when it
    /// holds.
    pub fn next_excess(&self, slots: &Slots, booked: &Booked, order: VictimOrder) -> Option<Overrun> {
        match self.rule {
            BookRule::Loans => gbam::next_excess(self, booked, order),
            BookRule::MaximumAllocation => mam::next_excess(self, slots, booked, order),
            BookRule::RussianDolls => rdm::next_excess(self, slots, booked, order),
        }
    }

    /// Borrowed and lent, in bit/s: what `class_type` has beyond its private share, and what of its share other classes use.
    pub fn loans_bps(&self, slots: &Slots, booked: &Booked, class_type: ClassType) -> (u64, u64) {
        let used = by_class(slots, booked);
        let own = used[class_type.at()];
        let private = self.private[class_type.at()];
        let borrowed = own.saturating_sub(private);
        let all_borrowed: u64 = (0..SLOTS).map(|c| used[c].saturating_sub(self.private[c])).sum();
        let spare: u64 = (0..SLOTS).map(|c| self.private[c].saturating_sub(used[c])).sum();
        // Loans come out of all spare shares alike; the lender of each bit is not recorded, so it is taken in proportion.
        let own_spare = private.saturating_sub(own);
        let lent = if spare == 0 {
            0
        } else {
            u64::try_from(u128::from(all_borrowed) * u128::from(own_spare) / u128::from(spare)).unwrap_or(u64::MAX)
        };
        (borrowed, lent.min(own_spare))
    }
}

/// Sums the slots of each class type.
pub fn by_class(slots: &Slots, booked: &Booked) -> [u64; CLASS_TYPES] {
    let mut sums = [0_u64; CLASS_TYPES];
    for slot in slots.iter() {
        let sum = &mut sums[slots.class_at(slot.at())];
        *sum = sum.saturating_add(booked[slot.at()]);
    }
    sums
}

/// Where `classes` hold more than `constraint`: the slot of the worst hold priority among theirs that may be preempted at
/// `setup`; within one priority the class by `order` (RFC 4124 leaves the choice to us).
fn worst_over(
    slots: &Slots,
    booked: &Booked,
    constraint: u64,
    classes: impl Fn(usize) -> bool,
    setup: Option<Priority>,
    order: VictimOrder,
) -> Option<Overrun> {
    let excess = mam::held(slots, booked, &classes, Priority::WORST).saturating_sub(constraint);
    if excess == 0 {
        return None;
    }
    let candidates = slots.iter().filter(|slot| {
        booked[slot.at()] > 0
            && classes(slots.class_at(slot.at()))
            && setup.is_none_or(|setup| slots.priority(*slot) > setup)
    });
    let worst = candidates.max_by_key(|slot| {
        let class = slots.class_of[slot.at()];
        let preference = if order == VictimOrder::HighestFirst { class } else { u8::MAX - class };
        (slots.priority_of[slot.at()], preference)
    });
    worst.map(|slot| Overrun { slot, cause: Cause::Preempted, excess })
}

#[cfg(test)]
mod tests;
