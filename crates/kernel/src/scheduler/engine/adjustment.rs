//! Adjustments: small changes of rates wait for each other and are made together, once a second at most, like those of an LSP
//! with automatic bandwidth (RFC 8733 §4.2); large ones are made at once. Were each flow to wait for itself, then where links are
//! full one flow's rise would be another's fall in every moment: made together, the rises have what the falls leave.
//!
//! What must stay true: what is postponed is made in the next adjustment, whatever is wanted meanwhile.

use std::collections::BTreeSet;

use super::Dispatcher;
use crate::scheduler::PathKey;
use crate::scheduler::hysteresis::{Move, next_move};
use crate::units::Millis;

/// The least time from one adjustment to the next.
const ADJUSTMENT_MS: u64 = 1_000;

/// The changes that wait, and when they are made.
#[derive(Default)]
pub(super) struct Adjustment {
    postponed: BTreeSet<PathKey>,
    /// It goes on until there is no command left.
    is_open: bool,
    /// The end of the last one.
    closed_at: Option<Millis>,
}

impl Adjustment {
    /// Begins an adjustment, whether it is due or not.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    pub(super) fn close(&mut self, now: Millis) {
        if std::mem::take(&mut self.is_open) {
            self.closed_at = Some(now);
        }
    }

    pub(super) fn withdraw(&mut self, key: PathKey) {
        self.postponed.remove(&key);
    }

    /// When what waits is made; `None`: nothing waits.
    pub(super) fn due_at(&self) -> Option<Millis> {
        let at = self.closed_at.map_or(Millis(0), |at| Millis(at.0.saturating_add(ADJUSTMENT_MS)));
        (!self.postponed.is_empty()).then_some(at)
    }

    pub(super) fn shift(&mut self, shifted: impl Fn(Millis) -> Millis) {
        self.closed_at = self.closed_at.map(shifted);
    }
}

impl Dispatcher {
    /// Begins the adjustment that is due.
    pub(super) fn adjust_when_due(&mut self, now: Millis) {
        if self.adjustment.due_at().is_some_and(|at| at <= now) {
            self.adjustment.open();
        }
        if self.adjustment.is_open {
            self.pending.append(&mut self.adjustment.postponed);
        }
    }

    /// Leaves pending what is to be requested now: in an adjustment all that the hysteresis does not keep, and else what
    /// belongs to a large change of its flow.
    pub(super) fn sort_pending(&mut self) {
        let mut flows_at_once = BTreeSet::new();
        for key in std::mem::take(&mut self.pending) {
            let Some((known, path)) = self.known_path(key) else { continue };
            let what = next_move(path.granted(), path.aim(), &self.settings);
            let is_asked = !matches!(what, Move::Keep | Move::LowerIfNeeded);
            let waits = is_asked && !self.adjustment.is_open && known.changes_little(key.flow);
            self.adjustment.withdraw(key);
            if waits {
                self.adjustment.postponed.insert(key);
            } else if is_asked {
                flows_at_once.insert(key.flow);
                self.pending.insert(key);
            }
        }
        for flow in flows_at_once {
            let (first, last) = (PathKey { flow, path: 0 }, PathKey { flow, path: u8::MAX });
            let rest: Vec<_> = self.adjustment.postponed.range(first..=last).copied().collect();
            self.pending.extend(rest);
        }
    }
}
