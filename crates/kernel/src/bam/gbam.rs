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

/// The most that each class may have beside what the others use: its share, or, where that is more,
/// `LIMIT(c) = BC_c + Σ_{i<c} av(LTH_i) + Σ_{i>c} av(HTL_i) - Σ_{i>c} max(0, u_i - BC_i)`.
pub(super) fn limits(bounds: &LinkBounds, used: &Booked) -> Booked {
    let mut limits = bounds.private;
    let mut lower = 0_u64;
    for class in 0..bounds.classes {
        limits[class] = limits[class].saturating_add(lower);
        lower = lower.saturating_add(left(bounds, used[class], class, bounds.low_to_high[class]));
    }
    // A class above all that have a share has what these lend upwards.
    limits[bounds.classes..].fill(lower);
    let (mut higher, mut excess) = (0_u64, 0_u64);
    for class in (0..bounds.classes).rev() {
        limits[class] = limits[class].saturating_add(higher).saturating_sub(excess).max(bounds.private[class]);
        higher = higher.saturating_add(left(bounds, used[class], class, bounds.high_to_low[class]));
        excess = excess.saturating_add(used[class].saturating_sub(bounds.private[class]));
    }
    limits
}

/// What the class may still have with victims.
pub(super) fn reach(used: &Booked, limits: &Booked, class: usize) -> u64 {
    limits[class].saturating_sub(used[class])
}

/// What the class may still have without victims: as long as every borrower's limit stays above its usage.
pub(super) fn free(bounds: &LinkBounds, used: &Booked, limits: &Booked, class: usize) -> u64 {
    let mut top = limits[class];
    for other in 0..bounds.classes {
        if other == class || used[other] <= bounds.private[other] {
            continue;
        }
        let slack = i128::from(limits[other]) - i128::from(used[other]);
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

/// Devolution (from classes above the asker) comes before preemption (from those below): it may make that unnecessary.
/// A class has to give up what it is over its limit, which its own usage does not move. One within its limit stays so
/// while victims are taken out, so that a call after every removal is one pass.
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
    let limits = limits(bounds, used);
    let overrun = |class: usize| {
        let excess = used[class].saturating_sub(limits[class]);
        (excess > 0).then(|| Overrun { slot: Slot(u8::try_from(class).unwrap_or(0)), cause, excess })
    };
    match order {
        VictimOrder::HighestFirst => range.rev().find_map(overrun),
        VictimOrder::LowestFirst => range.find_map(overrun),
    }
}
