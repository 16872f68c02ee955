//! A bandwidth model as it is configured, and what it comes to on a link. What must stay true: a [`Model`] is valid.

use super::{BookRule, LinkBounds, ModelKind, SLOTS, Slot, Slots, atcs, mam, rdm};
use crate::class::{ClassType, Priority, TeClass};
use crate::units::{Bandwidth, Overbooking, PPM, Share, scale};

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

/// A bandwidth model: which, for which classes, and with which TE-classes if any. Always valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    kind: ModelKind,
    classes: Vec<ClassConfig>,
    te_classes: Vec<TeClass>,
    pub(super) slots: Slots,
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
            let upto = scale(bounds.total, sum_ppm, PPM);
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
