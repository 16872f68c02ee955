//! The load of a link: its capacity, and the sums of its flows at its level and one step above. What must stay true: the
//! sums are those over its members, in whatever order these moved.

use std::cmp::Reverse;

use super::FillQueue;
use crate::scheduler::log_steps::{FREE, Grid, LogStep};

/// The load of one link.
#[derive(Clone, Debug)]
pub(super) struct LinkLoad {
    pub(super) capacity: u128,
    /// The sum of its members, each up to the step that it counts.
    pub(super) above: u128,
    /// The sum of its members up to their bounds, which are somewhat higher.
    pub(super) most: u128,
    /// The weight of the members that count one step above its level: those that rise with it.
    pub(super) top: u64,
    /// The weight of the members that count up to its level.
    pub(super) brim: u64,
    /// What a step above its level costs for each weight.
    rise: u128,
    /// The same as in [`super::MaxMin`].
    level: LogStep,
    pub(super) is_queued: bool,
}

impl LinkLoad {
    pub(super) fn of(capacity: u128) -> Self {
        Self { capacity, above: 0, most: 0, top: 0, brim: 0, rise: 0, level: FREE, is_queued: false }
    }

    /// Sets another level, with no member counted at it yet.
    pub(super) fn set_level(&mut self, level: LogStep, grid: Grid) {
        (self.top, self.brim) = (0, 0);
        (self.level, self.rise) = (level, between(grid, level, level.saturating_add(1)));
    }

    pub(super) fn level(&self) -> LogStep {
        self.level
    }

    /// Counts a member up to a step.
    pub(super) fn count(&mut self, upto: LogStep, weight: u32) {
        if upto == self.level {
            self.brim += u64::from(weight);
        } else if upto.checked_sub(1) == Some(self.level) {
            self.top += u64::from(weight);
        }
    }

    /// Counts it no longer.
    pub(super) fn discount(&mut self, upto: LogStep, weight: u32) {
        if upto == self.level {
            self.brim = self.brim.saturating_sub(u64::from(weight));
        } else if upto.checked_sub(1) == Some(self.level) {
            self.top = self.top.saturating_sub(u64::from(weight));
        }
    }

    /// What it is charged at its level.
    fn at_level(&self) -> u128 {
        self.above.saturating_sub(u128::from(self.top) * self.rise)
    }

    /// Whether its level is too high.
    pub(super) fn is_over(&self) -> bool {
        self.at_level() > self.capacity
    }

    /// Whether its level is too high or too low.
    pub(super) fn is_wrong(&self) -> bool {
        self.is_over() || (self.level != FREE && self.above <= self.capacity)
    }

    pub(super) fn queue_up(&mut self, link: u32, queue: &mut FillQueue) {
        if !self.is_queued && self.is_wrong() {
            self.is_queued = true;
            queue.push(Reverse((0, link)));
        }
    }

    /// The level where a wrong one belongs, or at least a better one, as far as that can be told without asking the
    /// members: one step away.
    pub(super) fn next_level(&self, grid: Grid) -> Option<LogStep> {
        if self.level == FREE {
            return None;
        }
        if self.is_over() {
            let below = self.level.checked_sub(1)?;
            let less = (u128::from(self.top) + u128::from(self.brim)) * between(grid, below, self.level);
            return (self.at_level().saturating_sub(less) <= self.capacity).then_some(below);
        }
        // If all members that stop here would rise one step; other links may stop some of them.
        let next = self.level.checked_add(1)?;
        let more = u128::from(self.top) * between(grid, next, next.saturating_add(1));
        (self.top > 0 && self.above + more > self.capacity).then_some(next)
    }
}

/// What a rise from one step to another costs for each weight.
pub(super) fn between(grid: Grid, low: LogStep, high: LogStep) -> u128 {
    u128::from(grid.value(high).saturating_sub(grid.value(low)))
}
