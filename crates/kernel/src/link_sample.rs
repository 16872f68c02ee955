//! What a link had at an instant, and what many instants come to: the mean and the maximum of a period. What must stay true:
//! merging samples of periods gives what sampling the whole period would have given, but for the rounding of means. What was
//! measured is a mean over the samples that know it, each for as long as its own period.

use std::collections::BTreeMap;

use crate::bam::by_class;
use crate::class::ClassType;
use crate::id::LinkIx;
use crate::state::Network;
use crate::topology::LinkState;
use crate::units::{Bandwidth, Millis};

/// A bandwidth within a period, in bit/s. Of an instant both are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BandwidthRange {
    /// The mean over the period, rounded down.
    pub mean_bps: u64,
    /// The most at any of its instants.
    pub max_bps: u64,
}

/// A link at an instant, or within a period.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkSample {
    /// The worst state within the period: down before maintenance before up.
    pub state: LinkState,
    /// The capacity at the end.
    pub capacity: Bandwidth,
    /// The maximum reservable bandwidth at the end.
    pub max_reservable: Bandwidth,
    /// What was reserved in all.
    pub reserved: BandwidthRange,
    /// What was reserved by class type; a class type that is absent had nothing.
    pub classes: BTreeMap<ClassType, BandwidthRange>,
    /// What switches counted over all traffic; `None` where nothing was counted.
    pub measured: Option<BandwidthRange>,
}

impl BandwidthRange {
    /// Of an instant.
    pub fn at_once(bps: u64) -> Self {
        Self { mean_bps: bps, max_bps: bps }
    }
}

impl LinkSample {
    /// A link as the books have it; `None` if the network has no such link.
    pub fn of(network: &Network, ix: LinkIx) -> Option<Self> {
        let (ledger, link) = (network.ledger(), network.topology().link(ix)?);
        let sums = by_class(ledger.slots(), &ledger.booked(ix));
        let held = sums.iter().zip(0_u8..).filter(|(bps, _)| **bps > 0);
        Some(Self {
            state: link.state,
            capacity: link.capacity,
            max_reservable: link.max_reservable,
            reserved: BandwidthRange::at_once(sums.iter().fold(0_u64, |sum, bps| sum.saturating_add(*bps))),
            classes: held
                .filter_map(|(bps, number)| Some((ClassType::new(number)?, BandwidthRange::at_once(*bps))))
                .collect(),
            measured: None,
        })
    }

    /// One sample for several, each with how long it counts, in the order of time; `None` for none. One that counts for no
    /// time has no part in the mean.
    pub fn merged<'a>(samples: impl IntoIterator<Item = (&'a Self, Millis)>) -> Option<Self> {
        let mut samples = samples.into_iter();
        let (first, lasts) = samples.next()?;
        let mut merged = first.clone();
        let mut sums: BTreeMap<Option<ClassType>, u128> = BTreeMap::new();
        let mut whole = u128::from(lasts.0);
        let mut measured = MeasuredSum::default();
        first.add_to(&mut sums, lasts);
        measured.add(first.measured, lasts);
        for (sample, lasts) in samples {
            whole = whole.saturating_add(u128::from(lasts.0));
            sample.add_to(&mut sums, lasts);
            measured.add(sample.measured, lasts);
            if severity(sample.state) > severity(merged.state) {
                merged.state = sample.state;
            }
            (merged.capacity, merged.max_reservable) = (sample.capacity, sample.max_reservable);
            merged.reserved.max_bps = merged.reserved.max_bps.max(sample.reserved.max_bps);
            for (class_type, range) in &sample.classes {
                let most = &mut merged.classes.entry(*class_type).or_default().max_bps;
                *most = (*most).max(range.max_bps);
            }
        }
        if whole > 0 {
            let mean = |key| sums.get(&key).map_or(0, |sum| u64::try_from(sum / whole).unwrap_or(u64::MAX));
            merged.reserved.mean_bps = mean(None);
            merged.classes.iter_mut().for_each(|(class_type, range)| range.mean_bps = mean(Some(*class_type)));
        }
        merged.measured = measured.range();
        Some(merged)
    }

    /// Adds bandwidth times time to the sums: in all under `None`, and by class type.
    fn add_to(&self, sums: &mut BTreeMap<Option<ClassType>, u128>, lasts: Millis) {
        let classes = self.classes.iter().map(|(class_type, range)| (Some(*class_type), range));
        for (key, range) in classes.chain([(None, &self.reserved)]) {
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add(u128::from(range.mean_bps).saturating_mul(u128::from(lasts.0)));
        }
    }
}

/// What was measured over the samples that know it.
#[derive(Default)]
struct MeasuredSum {
    /// Bandwidth times time.
    sum: u128,
    /// Over how long it is known, in milliseconds.
    known_ms: u128,
    max_bps: u64,
}

impl MeasuredSum {
    fn add(&mut self, measured: Option<BandwidthRange>, lasts: Millis) {
        let Some(range) = measured else { return };
        self.known_ms = self.known_ms.saturating_add(u128::from(lasts.0));
        let product = u128::from(range.mean_bps).saturating_mul(u128::from(lasts.0));
        self.sum = self.sum.saturating_add(product);
        self.max_bps = self.max_bps.max(range.max_bps);
    }

    fn range(&self) -> Option<BandwidthRange> {
        let mean = self.sum.checked_div(self.known_ms)?;
        Some(BandwidthRange { mean_bps: u64::try_from(mean).unwrap_or(u64::MAX), max_bps: self.max_bps })
    }
}

fn severity(state: LinkState) -> u8 {
    match state {
        LinkState::Up => 0,
        LinkState::Maintenance => 1,
        LinkState::Down => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(state: LinkState, classes: &[(u8, u64)]) -> LinkSample {
        let class = |(number, bps): &(u8, u64)| (ClassType::new(*number).unwrap(), BandwidthRange::at_once(*bps));
        LinkSample {
            state,
            capacity: Bandwidth::saturating_from_bps(100),
            max_reservable: Bandwidth::saturating_from_bps(100),
            reserved: BandwidthRange::at_once(classes.iter().map(|(_, bps)| bps).sum()),
            classes: classes.iter().map(class).collect(),
            measured: None,
        }
    }

    #[test]
    fn what_was_measured_is_the_mean_of_the_samples_that_know_it() {
        let known = |bps| LinkSample { measured: Some(BandwidthRange::at_once(bps)), ..sample(LinkState::Up, &[]) };
        let samples = [known(10), sample(LinkState::Up, &[]), known(40)];
        let merged = LinkSample::merged(samples.iter().zip([Millis(2), Millis(7), Millis(1)])).unwrap();
        assert_eq!(merged.measured, Some(BandwidthRange { mean_bps: 20, max_bps: 40 }));
        let unknown = LinkSample::merged(samples[1..2].iter().zip([Millis(7)])).unwrap();
        assert_eq!(unknown.measured, None, "unknown is not nothing");
    }

    #[test]
    fn a_period_has_the_mean_by_time_the_maximum_and_the_worst_state() {
        let samples = [
            sample(LinkState::Up, &[(0, 10), (2, 40)]),
            sample(LinkState::Down, &[]),
            sample(LinkState::Maintenance, &[(0, 30)]),
        ];
        let merged = LinkSample::merged(samples.iter().zip([Millis(2), Millis(1), Millis(1)])).unwrap();
        assert_eq!((merged.state, merged.reserved), (LinkState::Down, BandwidthRange { mean_bps: 32, max_bps: 50 }));
        let of = |number| merged.classes[&ClassType::new(number).unwrap()];
        assert_eq!(of(0), BandwidthRange { mean_bps: 12, max_bps: 30 });
        assert_eq!(of(2), BandwidthRange { mean_bps: 20, max_bps: 40 });
        assert_eq!(LinkSample::merged([]), None);
    }

    #[test]
    fn merging_twice_is_merging_once() {
        let samples: Vec<_> = (0..12).map(|at| sample(LinkState::Up, &[(1, at * 12)])).collect();
        let minute = |sample| (sample, Millis(60_000));
        let once = LinkSample::merged(samples.iter().map(minute)).unwrap();
        let quarters: Vec<_> =
            samples.chunks(4).map(|part| LinkSample::merged(part.iter().map(minute)).unwrap()).collect();
        assert_eq!(LinkSample::merged(quarters.iter().map(minute)), Some(once));
    }
}
