//! Numbers whose unit stands in their own text (`2.5 ms`), in the name of their attribute (`delay_ms`, `delayMs`,
//! `Delay [ms]`, or `delayms` where a tool drops what is no letter) or in an attribute of the graph (`delay_unit`).

use super::capacity;
use super::decimal::Decimal;

/// What a quantity measures, and so which units it can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dimension {
    /// In bit/s.
    Rate,
    /// In nanoseconds.
    Delay,
    /// In metres.
    Distance,
}

/// Each dimension with the names that attributes of it begin with, in canonical form; longer names come first.
const NAMES: [(Dimension, &[&str]); 3] = [
    (
        Dimension::Rate,
        &["linkcapacity", "linkbandwidth", "linkspeed", "maxbandwidth", "capacity", "bandwidth", "speed", "bw"],
    ),
    (Dimension::Delay, &["propagationdelay", "linkdelay", "delay", "latency"]),
    (Dimension::Distance, &["linklength", "distance", "length", "dist"]),
];

/// A quantity as a file gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Quantity {
    pub(super) dimension: Dimension,
    /// The name of its attribute, as it is written.
    pub(super) name: String,
    /// The unit that is part of the name.
    pub(super) unit: Option<Unit>,
    pub(super) text: String,
}

/// A unit, in bit/s, nanoseconds or metres.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unit {
    pub(super) size: u64,
    /// Written with a capital B, as if in bytes: read as bits all the same.
    pub(super) capital_b: bool,
}

impl Quantity {
    /// The quantity that an attribute is, if its name (also in canonical form) says so.
    pub(super) fn of(name: &str, canonical: &str, text: &str) -> Option<Self> {
        let (dimension, rest) = NAMES.iter().find_map(|(dimension, bases)| {
            bases.iter().find_map(|base| Some((*dimension, canonical.strip_prefix(base)?)))
        })?;
        let unit = match rest {
            "" => None,
            // The Topology Zoo's LinkSpeedRaw.
            "raw" if dimension == Dimension::Rate => Some(Unit { size: 1, capital_b: false }),
            rest => Some(Unit { capital_b: says_bytes(name), ..Unit::named(dimension, rest)? }),
        };
        Some(Self { dimension, name: name.to_owned(), unit, text: text.to_owned() })
    }

    /// The number in the smallest unit, rounded, where the text or the name has a unit, or else with that of the graph;
    /// `None` if it is no such number or beyond 64 bits.
    pub(super) fn value(&self, of_graph: Option<Unit>) -> Option<u64> {
        if let Some(number) = Decimal::parse(&self.text) {
            return number.times(self.unit.or(of_graph)?.size)?.scaled_u64(0);
        }
        let letters = self.text.find(|c: char| c.is_alphabetic())?;
        let (number, unit) = self.text.split_at(letters);
        Decimal::parse(number.trim())?.times(Unit::named(self.dimension, unit.trim())?.size)?.scaled_u64(0)
    }

    /// Whether it is a mere number without a unit.
    pub(super) fn is_bare(&self) -> bool {
        self.unit.is_none() && Decimal::parse(&self.text).is_some()
    }
}

impl Unit {
    /// A unit by its name.
    pub(super) fn named(dimension: Dimension, name: &str) -> Option<Self> {
        if !name.chars().all(|c| c.is_alphabetic() || matches!(c, '/' | ' ')) {
            return None;
        }
        if dimension == Dimension::Rate {
            let rate = capacity::parse(&format!("1 {name}"))?;
            return Some(Self { size: rate.bandwidth.as_bps(), capital_b: rate.capital_b });
        }
        let size = match (dimension, name.to_lowercase().as_str()) {
            (Dimension::Delay, "ns" | "nsec" | "nanoseconds") => 1,
            (Dimension::Delay, "us" | "µs" | "μs" | "usec" | "microseconds") => 1_000,
            (Dimension::Delay, "ms" | "msec" | "milliseconds") => 1_000_000,
            (Dimension::Delay, "s" | "sec" | "seconds") => 1_000_000_000,
            (Dimension::Distance, "m" | "meters" | "metres") => 1,
            (Dimension::Distance, "km" | "kilometers" | "kilometres") => 1_000,
            (Dimension::Distance, "mi" | "miles") => 1_609,
            _ => return None,
        };
        Some(Self { size, capital_b: false })
    }
}

/// Whether a name such as `capacity_MBps` writes bytes; `capacityBps` and `CAPACITY_MBPS` do not.
fn says_bytes(name: &str) -> bool {
    name.as_bytes().windows(3).any(|letters| matches!(letters, [b'k' | b'K' | b'M' | b'G' | b'T', b'B', b'p' | b'/']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::canonical;

    fn value(name: &str, text: &str) -> Option<u64> {
        Quantity::of(name, &canonical(name), text)?.value(None)
    }

    #[test]
    fn units_in_names_survive_other_tools() {
        for name in
            ["capacity_mbps", "capacityMbps", "capacitymbps", "Capacity (Mbit/s)", "bandwidth [Mb/s]", "bw-mbps"]
        {
            assert_eq!(value(name, "2.5"), Some(2_500_000), "{name}");
        }
        for name in ["capacity_bps", "capacitybps", "capacityBps", "LinkSpeedRaw", "capacity.bps"] {
            assert_eq!(value(name, "1e9"), Some(1_000_000_000), "{name}");
        }
        for name in ["delay_ms", "delayms", "latency (ms)", "Delay [ms]", "propagation_delay_ms"] {
            assert_eq!(value(name, "1.25"), Some(1_250_000), "{name}");
        }
        assert_eq!(
            (value("delay_us", "3"), value("delay_µs", "3"), value("delay_ns", "3")),
            (Some(3_000), Some(3_000), Some(3))
        );
        assert_eq!((value("dist_km", "1.5"), value("length_m", "7")), (Some(1_500), Some(7)));
        for name in ["capacity", "capacity_from", "capacity_10g", "delayed", "delay_variation_ms", "length_of_name"] {
            assert_eq!(value(name, "1"), None, "{name}");
        }
    }

    #[test]
    fn a_unit_in_the_text_goes_before_that_of_the_name() {
        assert_eq!(value("delay", "2.5ms"), Some(2_500_000));
        assert_eq!(value("delay_ms", "3 us"), Some(3_000));
        assert_eq!(value("delay", "1 fortnight"), None);
        let bare = Quantity::of("delay", "delay", "3").unwrap();
        assert_eq!((bare.is_bare(), bare.value(Unit::named(Dimension::Delay, "ms"))), (true, Some(3_000_000)));
    }

    #[test]
    fn bytes_are_told_by_their_capital() {
        let is = |name: &str| Quantity::of(name, &canonical(name), "1").unwrap().unit.unwrap().capital_b;
        assert!(is("capacity_MBps") && is("bw (GB/s)"));
        assert!(!is("capacityBps") && !is("CAPACITY_MBPS") && !is("capacity_mbps"));
    }
}
