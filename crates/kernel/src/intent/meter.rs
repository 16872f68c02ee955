//! Meters, which police the packets that enter a path.

use super::switch_ids::MeterId;
use crate::units::Bandwidth;

/// A meter: drops what is above the rate. A meter has no cookie; this service's are those with an id of its range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Meter {
    /// Its id.
    pub id: MeterId,
    /// The rate, in kbit/s.
    pub rate_kbps: u32,
    /// The burst, in kbit.
    pub burst_kbit: u32,
}

/// How much meters let through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MeterSettings {
    /// The burst, as the time in which the rate brings as much, in milliseconds.
    pub burst_ms: u32,
    /// The size of the packets for which a reservation holds their labels too, in bytes; none if labels are beside it.
    pub packet_bytes: Option<u16>,
}

/// The longest burst, in milliseconds.
pub const BURST_MAX_MS: u32 = 10_000;

impl Default for MeterSettings {
    /// A burst of one second, below which TCP starves; labels beside the reservation.
    fn default() -> Self {
        Self { burst_ms: 1_000, packet_bytes: None }
    }
}

/// Two full packets of Ethernet (1,500 bytes, with header, VLAN tag and label), in kilobits: under a smaller burst none of
/// that size ever passes.
const BURST_MIN_KBIT: u32 = 25;
/// What the label adds to a packet (RFC 3032 §2.1), in bytes.
const LABEL_BYTES: u64 = 4;

impl Meter {
    /// The meter for a bandwidth: kilobits rounded up, without what the labels take if the reservation holds them too.
    pub fn new(id: MeterId, bandwidth: Bandwidth, settings: &MeterSettings) -> Self {
        let bits = u128::from(bandwidth.as_bps());
        let unlabelled = settings.packet_bytes.map_or(bits, |bytes| {
            let bytes = u64::from(bytes);
            bits * u128::from(bytes) / u128::from(bytes + LABEL_BYTES)
        });
        let rate_kbps = u32::try_from(unlabelled.div_ceil(1_000)).unwrap_or(u32::MAX);
        Self { id, rate_kbps, burst_kbit: burst_kbit(rate_kbps, settings.burst_ms) }
    }

    /// Whether its burst is the one that this service gives for its rate.
    pub fn is_of_our_form(&self, settings: &MeterSettings) -> bool {
        self.rate_kbps > 0 && self.burst_kbit == burst_kbit(self.rate_kbps, settings.burst_ms)
    }
}

fn burst_kbit(rate_kbps: u32, burst_ms: u32) -> u32 {
    let burst = u64::from(rate_kbps) * u64::from(burst_ms) / 1_000;
    u32::try_from(burst).unwrap_or(u32::MAX).max(BURST_MIN_KBIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_lets_two_packets_through_and_a_burst_above() {
        let meter = |bps, settings: &MeterSettings| {
            let meter = Meter::new(MeterId(1), Bandwidth::saturating_from_bps(bps), settings);
            assert!(meter.is_of_our_form(settings));
            (meter.rate_kbps, meter.burst_kbit)
        };
        let usual = MeterSettings::default();
        assert_eq!(meter(1, &usual), (1, 25));
        assert_eq!(meter(1_000_001, &usual), (1_001, 1_001));
        let short = MeterSettings { burst_ms: 50, ..usual };
        assert_eq!((meter(400_000, &short), meter(1_000_000, &short)), ((400, 25), (1_000, 50)));
        let longest = MeterSettings { burst_ms: BURST_MAX_MS, ..usual };
        assert_eq!(meter(u64::from(u32::MAX) * 1_000, &longest), (u32::MAX, u32::MAX));
    }

    #[test]
    fn a_reservation_may_hold_the_labels_of_its_packets() {
        let rate = |packet_bytes| {
            let settings = MeterSettings { packet_bytes, ..MeterSettings::default() };
            Meter::new(MeterId(1), Bandwidth::saturating_from_bps(100_000_000), &settings).rate_kbps
        };
        assert_eq!([None, Some(100), Some(1_500)].map(rate), [100_000, 96_154, 99_735]);
    }
}
