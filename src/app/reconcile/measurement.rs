//! What is measured through a controller: soft, as all that is known of one.

use std::sync::Arc;

use kernel::units::Millis;

/// What is known of a link through its controller.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkReport {
    /// What it was last measured to carry.
    pub load: Option<Load>,
    /// Why it cannot carry packets, as the controller sees it.
    pub problem: Option<Arc<str>>,
}

/// For how long the load of a link is believed that is not measured any more.
const LOAD_KEPT_MS: u64 = 10_000;

/// What a link was measured to carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// In bit/s, over all traffic.
    pub carried_bps: u64,
    /// When it was measured.
    pub at: Millis,
}

impl Load {
    /// Whether it was measured lately.
    pub fn is_fresh(&self, now: Millis) -> bool {
        now.0.saturating_sub(self.at.0) < LOAD_KEPT_MS
    }
}

/// What is measured for the auto-bandwidth of an allocation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrafficReport {
    /// The last sample.
    pub measured: Option<Load>,
    /// The largest sample of the adjustment interval, in bit/s.
    pub max_average_bps: Option<u64>,
    /// When the adjustment interval is over.
    pub adjusts_at: Option<Millis>,
    /// Why nothing is measured, or the bandwidth is not what was wanted last.
    pub reason: Option<Arc<str>>,
}

impl TrafficReport {
    pub(super) fn nothing(reason: &str) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }
}
