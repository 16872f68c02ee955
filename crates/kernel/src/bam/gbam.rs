//! The generalised bandwidth allocation model, where the class is the priority. Each class has a private share, of which
//! it lends a part to lower classes (high to low, HTL) and a part to higher ones (low to high, LTH); the two pools
//! overlap. A class may always fill its own share, whichever class borrowed it; beyond that it may borrow up to a limit that
//! follows the usage. A class at or under its share is never devolved. After Reale, Bezerra and Martins' G-BAM.

use super::{Booked, Cause, LinkBounds, Overrun, Slot, VictimOrder};

/// What is left of a pool once usage has grown past what the class keeps to itself. `PRIV = BC - max(HTL, LTH)`.
fn left(bounds: &LinkBounds, used: u64, class: usize, pool: u64) -> u64 {
    let kept = kept(bounds, class);
    if used <= kept { pool } else { pool.saturating_sub(used - kept) }
}

fn kept(bounds: &LinkBounds, class: usize) -> u64 {
    bounds.private[class] - bounds.high_to_low[class].max(bounds.low_to_high[class])
}

/// `LIMIT(c) = BC_c + Σ_{i<c} av(LTH_i) + Σ_{i>c} av(HTL_i) - Σ_{i>c} max(0, u_i - BC_i)`, not below zero.
pub(super) fn limit(bounds: &LinkBounds, used: &Booked, class: usize) -> u64 {
    let lower = (0..class).map(|c| left(bounds, used[c], c, bounds.low_to_high[c]));
    let higher = (class + 1..bounds.classes).map(|c| left(bounds, used[c], c, bounds.high_to_low[c]));
    let excess = (class + 1..bounds.classes).map(|c| used[c].saturating_sub(bounds.private[c]));
    let plus = lower.chain(higher).fold(bounds.private[class], u64::saturating_add);
    plus.saturating_sub(excess.fold(0, u64::saturating_add))
}

/// What the class may still have with victims: up to its share or its limit, whichever is more.
pub(super) fn reach(bounds: &LinkBounds, used: &Booked, class: usize) -> u64 {
    bounds.private[class].max(limit(bounds, used, class)).saturating_sub(used[class])
}

/// What the class may still have without victims: as long as every borrower's limit stays above its usage.
pub(super) fn free(bounds: &LinkBounds, used: &Booked, class: usize) -> u64 {
    let mut top = bounds.private[class].max(limit(bounds, used, class));
    for other in 0..bounds.classes {
        if other == class || used[other] <= bounds.private[other] {
            continue;
        }
        let slack = i128::from(limit(bounds, used, other)) - i128::from(used[other]);
        if slack < 0 {
            return 0;
        }
        let highest = if other < class {
            top_above_lower(bounds, used[class], class, slack)
        } else {
            top_below_higher(bounds, used[class], class, slack)
        };
        top = top.min(highest);
    }
    top.saturating_sub(used[class])
}

/// The usage of `class` at which a lower borrower's limit has fallen by `slack`. As usage grows that limit falls while the
/// HTL pool is drawn down, rests, and falls again once the class itself borrows.
fn top_above_lower(bounds: &LinkBounds, used: u64, class: usize, slack: i128) -> u64 {
    let pool = bounds.high_to_low[class];
    let now = i128::from(used.saturating_sub(bounds.private[class])) - i128::from(left(bounds, used, class, pool));
    let then = now + slack;
    let from = if then >= 0 { bounds.private[class] } else { kept(bounds, class).saturating_add(pool) };
    u64::try_from(i128::from(from) + then).unwrap_or(0)
}

/// The usage of `class` at which a higher borrower's limit has fallen by `slack`: only the LTH pool counts for it.
fn top_below_higher(bounds: &LinkBounds, used: u64, class: usize, slack: i128) -> u64 {
    let pool = bounds.low_to_high[class];
    let then = slack - i128::from(left(bounds, used, class, pool));
    if then >= 0 {
        return u64::MAX;
    }
    u64::try_from(i128::from(kept(bounds, class)) + i128::from(pool) + then).unwrap_or(0)
}

/// What the class has to give up: it is over its share and over its limit, which its own usage does not move.
fn excess(bounds: &LinkBounds, used: &Booked, class: usize) -> u64 {
    if used[class] <= bounds.private[class] {
        return 0;
    }
    used[class].saturating_sub(limit(bounds, used, class).max(bounds.private[class]))
}

/// Devolution (from classes above the asker) comes before preemption (from those below): it may make that unnecessary.
/// A class within its limit stays so while victims are taken out, so that a call after every removal is one pass.
pub(super) fn next_victim(bounds: &LinkBounds, used: &Booked, asker: usize, order: VictimOrder) -> Option<Overrun> {
    first_over(bounds, used, asker + 1..bounds.classes, order, Cause::Devolved)
        .or_else(|| first_over(bounds, used, 0..asker, order, Cause::Preempted))
}

pub(super) fn next_excess(bounds: &LinkBounds, used: &Booked, order: VictimOrder) -> Option<Overrun> {
    first_over(bounds, used, 0..bounds.classes, order, Cause::Preempted)
}

fn first_over(
    bounds: &LinkBounds,
    used: &Booked,
    mut range: std::ops::Range<usize>,
    order: VictimOrder,
    cause: Cause,
) -> Option<Overrun> {
    let overrun = |class: usize| {
        let excess = excess(bounds, used, class);
        (excess > 0).then(|| Overrun { slot: Slot(u8::try_from(class).unwrap_or(0)), cause, excess })
    };
    match order {
        VictimOrder::HighestFirst => range.rev().find_map(overrun),
        VictimOrder::LowestFirst => range.find_map(overrun),
    }
}
