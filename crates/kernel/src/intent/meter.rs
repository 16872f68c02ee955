//! Meters, which police the packets that enter a path.

use super::id_ranges::MeterId;
use crate::units::Bandwidth;

/// A meter: drops what is above the rate. A meter has no cookie; ours are those with an id of our range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Meter {
    /// Its id.
    pub id: MeterId,
    /// The rate, in kbit/s.
    pub rate_kbps: u32,
    /// The burst, in kbit. One second's worth of the rate, else TCP starves.
    pub burst_kbit: u32,
}

/// Two full packets of Ethernet (1,500 bytes, with header, VLAN tag and label), in kilobits: under a smaller burst none of
/// that size ever passes.
const BURST_MIN_KBIT: u32 = 25;

impl Meter {
    /// The meter for a bandwidth: kilobits rounded up, and a burst of one second, or TCP starves under it.
    pub fn new(id: MeterId, bandwidth: Bandwidth) -> Self {
        let rate_kbps = u32::try_from(bandwidth.as_bps().div_ceil(1_000)).unwrap_or(u32::MAX);
        Self { id, rate_kbps, burst_kbit: rate_kbps.max(BURST_MIN_KBIT) }
    }

    /// Whether its burst is the one that this service gives for its rate.
    pub fn is_of_our_form(&self) -> bool {
        self.rate_kbps > 0 && self.burst_kbit == self.rate_kbps.max(BURST_MIN_KBIT)
    }
}
