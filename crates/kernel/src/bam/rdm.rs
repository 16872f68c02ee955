//! The Russian dolls model: as a preset of G-BAM every class lends all it has downwards; in its RFC 4127 form the
//! constraints nest: BCw bounds the sum of all classes from w up.

use super::mam::held;
use super::{Booked, LinkBounds, Overrun, SLOTS, Slots, VictimOrder, worst_over};
use crate::class::Priority;
use crate::units::Share;

/// (high to low, low to high).
pub(super) const LOANS: (Share, Share) = (Share::WHOLE, Share::NONE);

/// BCw: the private shares of class `w` and of all above it (RFC 4127 §4). BC0 is the whole link.
pub(super) fn nested(bounds: &LinkBounds, w: usize) -> u64 {
    bounds.private.iter().skip(w).fold(0, |sum, share| sum.saturating_add(*share))
}

/// RFC 4127 §4: the least over `w = c, c-1, …, 0` of `BCw - Σ_{q≤p} Σ_{b≥w} Reserved(CTb, q)`. Every doll is tested, not
/// only the innermost and the outermost.
pub(super) fn unreserved(bounds: &LinkBounds, slots: &Slots, booked: &Booked, class: usize, priority: Priority) -> u64 {
    let dolls = (0..=class).map(|w| nested(bounds, w).saturating_sub(held(slots, booked, |c| c >= w, priority)));
    dolls.min().unwrap_or(0)
}

/// The inner doll is mended first, since what leaves it also leaves the outer ones. Recomputed after every removal.
pub(super) fn next_victim(
    bounds: &LinkBounds,
    slots: &Slots,
    booked: &Booked,
    class: usize,
    setup: Priority,
    order: VictimOrder,
) -> Option<Overrun> {
    let over = |w| worst_over(slots, booked, nested(bounds, w), |c| c >= w, Some(setup), order);
    (0..=class).rev().find_map(over)
}

pub(super) fn next_excess(bounds: &LinkBounds, slots: &Slots, booked: &Booked, order: VictimOrder) -> Option<Overrun> {
    let over = |w| worst_over(slots, booked, nested(bounds, w), |c| c >= w, None, order);
    (0..SLOTS).rev().find_map(over)
}
