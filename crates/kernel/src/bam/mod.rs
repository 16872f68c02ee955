//! Bandwidth allocation models. One question: may this demand enter this link's book, and with which victims?
//!
//! A link's book counts what is booked in each [`Slot`]. Where the class type is the only priority, a slot is a class
//! type and the four models are presets of G-BAM (`gbam`); where TE-classes are configured (RFC 4124), a slot is a
//! TE-class and MAM and RDM take their RFC forms (`mam`, `rdm`). What must stay true: a book that held its model's
//! bounds holds them after every admitted demand whose victims were taken out.

mod atcs;
mod gbam;
mod mam;
mod rdm;

use super::class::{CLASS_TYPES, ClassType, Priority, TeClass};
use super::units::{Bandwidth, Overbooking, PPM, Share};

/// How many slots a book has.
pub const SLOTS: usize = CLASS_TYPES;

/// What is booked on one link, by slot, in bit/s after overbooking.
pub type Booked = [u64; SLOTS];

/// A column of a link's book: a class type, or a TE-class where TE-classes are configured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u8);

impl Slot {
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

/// What one class type may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClassConfig {
    /// The class type.
    pub class_type: ClassType,
    /// Its private share of the maximum reservable bandwidth; over all classes they sum to the whole.
    pub share: Share,
    /// The part of its share that it lends to lower classes (HTL). Presets override it.
    pub high_to_low: Share,
    /// The part of its share that it lends to higher classes (LTH). Presets override it.
    pub low_to_high: Share,
    /// Local overbooking multiplier.
    pub overbooking: Overbooking,
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

/// A bandwidth model: which, for which classes, and with which TE-classes if any. Always valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    kind: ModelKind,
    classes: Vec<ClassConfig>,
    te_classes: Vec<TeClass>,
    slots: Slots,
    /// The constraints sum to more than the link, so that the aggregate has to be tested as well.
    exceeds: bool,
}

/// Why a configuration makes no [`Model`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ModelError {
    /// No class at all.
    #[error("invalid bandwidth model: it needs at least one class")]
    NoClasses,
    /// One class type twice.
    #[error("invalid bandwidth model: class type {0} is configured twice")]
    DuplicateClass(ClassType),
    /// The shares do not make a whole. Only MAM's may sum to more (RFC 4125 §3).
    #[error("invalid private shares: they sum to {sum_ppm} ppm, not {PPM}")]
    SharesNotWhole {
        /// Their sum.
        sum_ppm: u64,
    },
    /// Over eight TE-classes.
    #[error("invalid TE-classes: there are {count}, the limit is {SLOTS}")]
    TooManyTeClasses {
        /// The number of TE-classes.
        count: usize,
    },
    /// One TE-class twice.
    #[error("invalid TE-classes: {0} is configured twice")]
    DuplicateTeClass(TeClass),
    /// A TE-class of a class type that has no configuration.
    #[error("invalid TE-classes: {0} names a class type that is not configured")]
    TeClassWithoutClass(TeClass),
    /// A class type without any TE-class, where TE-classes are used.
    #[error("invalid TE-classes: {0} has none, so that nothing could be reserved in it")]
    ClassWithoutTeClass(ClassType),
    /// TE-classes under a model in which the class alone is the priority, saying something else.
    #[error(
        "invalid TE-classes: under G-BAM and ATCS each class has one TE-class, a higher class one of better priority, unlike {0}"
    )]
    TeClassesNotByClass(TeClass),
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

impl Model {
    /// Checks and completes: presets fix the loans.
    ///
    /// # Errors
    /// The first fault, with the class at fault.
    pub fn new(kind: ModelKind, mut classes: Vec<ClassConfig>, te_classes: Vec<TeClass>) -> Result<Self, ModelError> {
        if classes.is_empty() {
            return Err(ModelError::NoClasses);
        }
        classes.sort_by_key(|class| class.class_type);
        if let Some([class, _]) = classes.array_windows().find(|[one, two]| one.class_type == two.class_type) {
            return Err(ModelError::DuplicateClass(class.class_type));
        }
        let sum_ppm: u64 = classes.iter().map(|class| u64::from(class.share.as_ppm())).sum();
        let exceeds = sum_ppm > u64::from(PPM) && kind == ModelKind::Mam;
        if sum_ppm != u64::from(PPM) && !exceeds {
            return Err(ModelError::SharesNotWhole { sum_ppm });
        }
        preset(kind, &mut classes);
        let slots = slots(kind, &classes, &te_classes)?;
        Ok(Self { kind, classes, te_classes, slots, exceeds })
    }

    /// Which model.
    pub fn kind(&self) -> ModelKind {
        self.kind
    }

    /// The classes, ascending.
    pub fn classes(&self) -> &[ClassConfig] {
        &self.classes
    }

    /// The TE-classes as configured; none where the class is the priority.
    pub fn te_classes(&self) -> &[TeClass] {
        &self.te_classes
    }

    /// What the slots stand for.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Whether the class type is configured.
    pub fn has_class(&self, class_type: ClassType) -> bool {
        self.classes.iter().any(|class| class.class_type == class_type)
    }

    /// The slot of a class type at a priority; where the class is the priority, the priority does not matter.
    pub fn slot(&self, class_type: ClassType, priority: Priority) -> Option<Slot> {
        self.slots.iter().find(|slot| {
            self.slots.class_type(*slot) == class_type
                && (!self.slots.by_priority || self.slots.priority(*slot) == priority)
                && self.has_class(class_type)
        })
    }

    /// Whether a request may name this priority for this class type (RFC 4124 §6.1).
    pub fn has_te_class(&self, te_class: TeClass) -> bool {
        if self.te_classes.is_empty() {
            self.has_class(te_class.class_type)
        } else {
            self.te_classes.contains(&te_class)
        }
    }

    /// The TE-class that stands for one of the model before: itself, or the default of its class type for what was the
    /// default there; `None` where it has no counterpart.
    pub fn counterpart(&self, before: &Self, te_class: TeClass) -> Option<TeClass> {
        let TeClass { class_type, priority } = te_class;
        if self.has_te_class(te_class) {
            return Some(te_class);
        }
        let was_default = self.has_class(class_type) && priority == before.default_priority(class_type);
        was_default.then(|| TeClass { class_type, priority: self.default_priority(class_type) })
    }

    /// The priority a request of this class has when it names none: the worst that is configured.
    pub fn default_priority(&self, class_type: ClassType) -> Priority {
        let of_class = self.slots.iter().filter(|slot| self.slots.class_type(*slot) == class_type);
        of_class.map(|slot| self.slots.priority(slot)).max().unwrap_or(Priority::WORST)
    }

    /// The bounds of a link of which `max_reservable` may be reserved.
    pub fn bounds(&self, max_reservable: Bandwidth) -> LinkBounds {
        let mut bounds = LinkBounds {
            rule: self.rule(),
            total: max_reservable.as_bps(),
            classes: self.classes.last().map_or(0, |class| class.class_type.at() + 1),
            private: [0; SLOTS],
            high_to_low: [0; SLOTS],
            low_to_high: [0; SLOTS],
            overbooking: [Overbooking::NONE; SLOTS],
        };
        // Shares are cut from the running sum, so that no bit is lost to rounding and they sum to the whole.
        let mut sum_ppm = 0;
        let mut cut = 0;
        for class in &self.classes {
            sum_ppm += class.share.as_ppm();
            let upto = super::units::scale(bounds.total, sum_ppm, PPM);
            let at = class.class_type.at();
            bounds.private[at] = if self.exceeds { class.share.of(bounds.total) } else { upto - cut };
            bounds.high_to_low[at] = class.high_to_low.of(bounds.private[at]);
            bounds.low_to_high[at] = class.low_to_high.of(bounds.private[at]);
            bounds.overbooking[at] = class.overbooking;
            cut = upto;
        }
        bounds
    }

    fn rule(&self) -> BookRule {
        match (self.kind, self.slots.by_priority || self.exceeds) {
            (ModelKind::Mam, true) => BookRule::MaximumAllocation,
            (ModelKind::Rdm, true) => BookRule::RussianDolls,
            _ => BookRule::Loans,
        }
    }
}

fn preset(kind: ModelKind, classes: &mut [ClassConfig]) {
    let lowest = classes.first().map(|class| class.class_type);
    let highest = classes.last().map(|class| class.class_type);
    for class in classes {
        if let Some((high_to_low, low_to_high)) = match kind {
            ModelKind::Mam => Some(mam::LOANS),
            ModelKind::Rdm => Some(rdm::LOANS),
            ModelKind::Atcs => Some(atcs::LOANS),
            ModelKind::Gbam => None,
        } {
            class.high_to_low = high_to_low;
            class.low_to_high = low_to_high;
        }
        // No class is below the lowest to lend to, and none above the highest.
        if Some(class.class_type) == lowest {
            class.high_to_low = Share::NONE;
        }
        if Some(class.class_type) == highest {
            class.low_to_high = Share::NONE;
        }
    }
}

fn slots(kind: ModelKind, classes: &[ClassConfig], te_classes: &[TeClass]) -> Result<Slots, ModelError> {
    if te_classes.is_empty() {
        return Ok(class_slots(classes));
    }
    if te_classes.len() > SLOTS {
        return Err(ModelError::TooManyTeClasses { count: te_classes.len() });
    }
    check_te_classes(classes, te_classes)?;
    // TE-classes that only restate the order of the classes change nothing, under any model.
    let restated = by_class_only(classes, te_classes);
    if restated.is_ok() || matches!(kind, ModelKind::Gbam | ModelKind::Atcs) {
        return restated;
    }
    let mut slots = Slots { count: 0, by_priority: true, class_of: [0; SLOTS], priority_of: [0; SLOTS] };
    for (at, te_class) in te_classes.iter().enumerate() {
        slots.class_of[at] = te_class.class_type.number();
        slots.priority_of[at] = te_class.priority.number();
        slots.count += 1;
    }
    Ok(slots)
}

fn check_te_classes(classes: &[ClassConfig], te_classes: &[TeClass]) -> Result<(), ModelError> {
    for (at, te_class) in te_classes.iter().enumerate() {
        if te_classes.iter().take(at).any(|earlier| earlier == te_class) {
            return Err(ModelError::DuplicateTeClass(*te_class));
        }
        if !classes.iter().any(|class| class.class_type == te_class.class_type) {
            return Err(ModelError::TeClassWithoutClass(*te_class));
        }
    }
    let bare = classes.iter().find(|class| !te_classes.iter().any(|te| te.class_type == class.class_type));
    bare.map_or(Ok(()), |class| Err(ModelError::ClassWithoutTeClass(class.class_type)))
}

/// G-BAM has no priorities within a class: TE-classes may only restate that higher classes are better.
fn by_class_only(classes: &[ClassConfig], te_classes: &[TeClass]) -> Result<Slots, ModelError> {
    let mut sorted = te_classes.to_vec();
    sorted.sort_unstable();
    for [lower, higher] in sorted.array_windows() {
        if lower.class_type == higher.class_type || lower.priority <= higher.priority {
            return Err(ModelError::TeClassesNotByClass(*higher));
        }
    }
    let mut slots = class_slots(classes);
    for te_class in te_classes {
        slots.priority_of[te_class.class_type.at()] = te_class.priority.number();
    }
    Ok(slots)
}

/// A slot for each class type up to the highest configured one.
fn class_slots(classes: &[ClassConfig]) -> Slots {
    let highest = classes.last().map_or(0, |class| class.class_type.number());
    let class_of = std::array::from_fn(|at| u8::try_from(at).unwrap_or(0));
    Slots { count: highest + 1, by_priority: false, class_of, priority_of: class_of.map(|class: u8| 7 - class) }
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
            ModelKind::Gbam | ModelKind::Atcs => gbam::limit(self, &[0; SLOTS], class_type.at()),
        }
    }

    /// The bandwidth that the slot may still reserve without victims, in bit/s.
    pub fn free_bps(&self, slots: &Slots, booked: &Booked, slot: Slot) -> u64 {
        let class = slots.class_at(slot.at());
        self.reservable(
            class,
            match self.rule {
                BookRule::Loans => gbam::free(self, booked, class),
                BookRule::MaximumAllocation => mam::unreserved(self, slots, booked, class, Priority::WORST),
                BookRule::RussianDolls => rdm::unreserved(self, slots, booked, class, Priority::WORST),
            },
        )
    }

    /// The bandwidth that the slot may still reserve with every victim that it may take, in bit/s: the unreserved bandwidth
    /// of the TE-class (RFC 4124).
    pub fn reach_bps(&self, slots: &Slots, booked: &Booked, slot: Slot) -> u64 {
        let class = slots.class_at(slot.at());
        let priority = slots.priority(slot);
        self.reservable(
            class,
            match self.rule {
                BookRule::Loans => gbam::reach(self, booked, class),
                BookRule::MaximumAllocation => mam::unreserved(self, slots, booked, class, priority),
                BookRule::RussianDolls => rdm::unreserved(self, slots, booked, class, priority),
            },
        )
    }

    /// No reservation is larger than [`Bandwidth::MAX`], however overbooked a class is.
    fn reservable(&self, class: usize, booked: u64) -> u64 {
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
