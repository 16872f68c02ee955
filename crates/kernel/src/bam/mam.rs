//! The maximum allocation model: as a preset of G-BAM no class lends; in its RFC 4125 form each class has its own
//! constraint, and TE-classes with a better priority preempt within it and within the aggregate.

use super::{Booked, LinkBounds, Overrun, Slots, VictimOrder, worst_over};
use crate::class::Priority;
use crate::units::Share;

/// (high to low, low to high).
pub(super) const LOANS: (Share, Share) = (Share::NONE, Share::NONE);

/// RFC 4125 §4.1: `min(BCc - Σ_{q≤p} Reserved(CTc, q), Max - Σ_{q≤p} Σ_b Reserved(CTb, q))`.
pub(super) fn unreserved(bounds: &LinkBounds, slots: &Slots, booked: &Booked, class: usize, priority: Priority) -> u64 {
    let own = held(slots, booked, |c| c == class, priority);
    let all = held(slots, booked, |_| true, priority);
    bounds.private[class].saturating_sub(own).min(bounds.total.saturating_sub(all))
}

/// The narrower constraint is mended first, since what leaves it also leaves the aggregate.
pub(super) fn next_victim(
    bounds: &LinkBounds,
    slots: &Slots,
    booked: &Booked,
    class: usize,
    setup: Priority,
    order: VictimOrder,
) -> Option<Overrun> {
    worst_over(slots, booked, bounds.private[class], |c| c == class, Some(setup), order)
        .or_else(|| worst_over(slots, booked, bounds.total, |_| true, Some(setup), order))
}

/// Every class constraint, then the aggregate.
pub(super) fn next_excess(bounds: &LinkBounds, slots: &Slots, booked: &Booked, order: VictimOrder) -> Option<Overrun> {
    (0..super::SLOTS)
        .find_map(|class| worst_over(slots, booked, bounds.private[class], |c| c == class, None, order))
        .or_else(|| worst_over(slots, booked, bounds.total, |_| true, None, order))
}

/// What is held at `priority` or better in the classes asked for.
pub(super) fn held(slots: &Slots, booked: &Booked, within: impl Fn(usize) -> bool, priority: Priority) -> u64 {
    let counted = slots.iter().filter(|slot| within(slots.class_at(slot.at())) && slots.priority(*slot) <= priority);
    counted.fold(0_u64, |sum, slot| sum.saturating_add(booked[slot.at()]))
}
