//! The division of flows among their paths, where the plan does not find it anew with each change.

use super::Dispatcher;
use crate::units::Millis;

/// In a large network flows are divided among their paths anew so often at most, unless many of them have changed.
pub const REBALANCE_MS: u64 = 10_000;

impl Dispatcher {
    /// Divides flows anew for what is asked for now, where they are not and the time has come.
    pub(super) fn rebalance_when_due(&mut self, now: Millis) {
        match self.next_rebalance() {
            Some(at) if at > now => return,
            Some(_) => {
                let unbalanced = self.nets.values_mut().filter(|net| net.planner.is_unbalanced());
                unbalanced.for_each(|net| net.planner.rebalance());
            }
            None => {}
        }
        self.balanced_at = now;
    }

    /// When flows are next divided anew; `None`: they are divided for what is asked for.
    pub(super) fn next_rebalance(&self) -> Option<Millis> {
        let is_unbalanced = self.nets.values().any(|net| net.planner.is_unbalanced());
        is_unbalanced.then(|| Millis(self.balanced_at.0.saturating_add(REBALANCE_MS)))
    }
}
