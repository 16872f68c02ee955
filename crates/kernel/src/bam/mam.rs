//! The maximum allocation model: as a preset of G-BAM no class lends; in its RFC 4125 form each class has its own
//! constraint, and TE-classes with a better priority preempt within it and within the aggregate.

use super::{Booked, Cause, LinkBounds, Slot, Slots, VictimOrder, worst_held};
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
) -> Option<(Slot, Cause)> {
    violated(bounds, slots, booked, class, Some(setup), order)
        .or_else(|| aggregate(bounds, slots, booked, Some(setup), order))
        .map(|slot| (slot, Cause::Preempted))
}

/// Every class constraint, then the aggregate.
pub(super) fn next_excess(bounds: &LinkBounds, slots: &Slots, booked: &Booked, order: VictimOrder) -> Option<Slot> {
    (0..super::SLOTS)
        .find_map(|class| violated(bounds, slots, booked, class, None, order))
        .or_else(|| aggregate(bounds, slots, booked, None, order))
}

fn violated(
    bounds: &LinkBounds,
    slots: &Slots,
    booked: &Booked,
    class: usize,
    setup: Option<Priority>,
    order: VictimOrder,
) -> Option<Slot> {
    let over = held(slots, booked, |c| c == class, Priority::WORST) > bounds.private[class];
    over.then(|| worst_held(slots, booked, |c| c == class, setup, order)).flatten()
}

fn aggregate(
    bounds: &LinkBounds,
    slots: &Slots,
    booked: &Booked,
    setup: Option<Priority>,
    order: VictimOrder,
) -> Option<Slot> {
    let over = held(slots, booked, |_| true, Priority::WORST) > bounds.total;
    over.then(|| worst_held(slots, booked, |_| true, setup, order)).flatten()
}

/// What is held at `priority` or better in the classes asked for.
pub(super) fn held(slots: &Slots, booked: &Booked, within: impl Fn(usize) -> bool, priority: Priority) -> u64 {
    let counted = slots.iter().filter(|slot| within(slots.class_at(slot.at())) && slots.priority(*slot) <= priority);
    counted.fold(0_u64, |sum, slot| sum.saturating_add(booked[slot.at()]))
}
