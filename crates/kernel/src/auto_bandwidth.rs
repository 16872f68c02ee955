//! Auto-bandwidth (RFC 8733): the reservation of an allocation follows the traffic that is measured on it. [`AutoBandwidth`]
//! says how far and how often; [`RateAdjuster`] takes samples with their times and answers with the bandwidth that is wanted.
//!
//! What must stay true: what is wanted is never outside the minimum and the maximum, and never what is reserved already; a
//! reservation that was refused is not asked for again before the adjustment interval is over.

use super::units::{Bandwidth, Millis};

/// The longest interval, of samples and of adjustments: a week (RFC 8733 §5.2.1).
pub const INTERVAL_MAX: Millis = Millis(604_800_000);
/// The shortest interval, for counters of switches lag by up to a second.
pub const INTERVAL_MIN: Millis = Millis(1_000);
/// The most allocations with auto-bandwidth at once: each costs its controller a question a sample.
pub const AUTO_BANDWIDTHS_MAX: usize = 10_000;

/// How the bandwidth of an allocation follows its traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AutoBandwidth {
    /// Over how long each sample is an average (RFC 8733 §5.2.1).
    pub sample_interval: Millis,
    /// How often the bandwidth is adjusted (RFC 8733 §5.2.2).
    pub adjustment_interval: Millis,
    /// The least that is ever wanted (RFC 8733 §5.2.4); above zero.
    pub minimum: Bandwidth,
    /// The most that is ever wanted (RFC 8733 §5.2.4).
    pub maximum: Bandwidth,
    /// From which difference on the bandwidth is adjusted (RFC 8733 §5.2.3).
    pub adjustment_threshold: RateThreshold,
    /// When it grows before the interval is over (RFC 8733 §5.2.5); `None`: never.
    pub overflow: Option<EarlyAdjustment>,
    /// When it shrinks before the interval is over (RFC 8733 §5.2.5); `None`: never.
    pub underflow: Option<EarlyAdjustment>,
}

/// A difference from the reserved bandwidth that counts: both parts are met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateThreshold {
    /// In percent of the reserved bandwidth.
    pub percent: u8,
    /// The least difference, whatever the percentage.
    pub least: Bandwidth,
}

/// An adjustment before the interval is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EarlyAdjustment {
    /// After so many consecutive samples, at least one.
    pub count: u8,
    /// That differ so much from the reserved bandwidth.
    pub threshold: RateThreshold,
}

/// A setting that is not to be had: its name in the interface, and the reason.
pub type AutoBandwidthFault = (&'static str, &'static str);

impl AutoBandwidth {
    /// Checks the settings, and that a bandwidth is one that they may lead to.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self, reserved: Bandwidth) -> Result<(), AutoBandwidthFault> {
        let in_range = |interval: Millis| (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval);
        let rules = [
            (in_range(self.sample_interval), "auto_bandwidth.sample_interval_ms", "it is 1,000 to 604,800,000"),
            (in_range(self.adjustment_interval), "auto_bandwidth.adjustment_interval_ms", "it is 1,000 to 604,800,000"),
            (
                self.sample_interval <= self.adjustment_interval,
                "auto_bandwidth.adjustment_interval_ms",
                "it is shorter than sample_interval_ms",
            ),
            (!self.minimum.is_zero(), "auto_bandwidth.minimum_bandwidth_bps", "it must be above zero"),
            (
                self.minimum <= self.maximum,
                "auto_bandwidth.maximum_bandwidth_bps",
                "it is less than minimum_bandwidth_bps",
            ),
            (
                (self.minimum..=self.maximum).contains(&reserved),
                "bandwidth_bps",
                "it is not within minimum_bandwidth_bps and maximum_bandwidth_bps of its auto_bandwidth",
            ),
        ];
        rules.into_iter().find(|(holds, ..)| !holds).map_or(Ok(()), |(_, field, why)| Err((field, why)))
    }
}

impl RateThreshold {
    fn is_met(self, difference: Bandwidth, reserved: Bandwidth) -> bool {
        let (difference, reserved) = (u128::from(difference.as_bps()), u128::from(reserved.as_bps()));
        let least = u128::from(self.least.as_bps());
        // A difference of nothing meets no threshold, not even one of nothing.
        difference > 0 && difference >= least && difference * 100 >= reserved * u128::from(self.percent)
    }
}

/// The consecutive samples that differ so much.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct SampleRun {
    count: u8,
    /// The largest of them.
    largest: Bandwidth,
}

impl SampleRun {
    fn add(&mut self, sample: Bandwidth, differs: bool) {
        *self = match differs {
            true => Self { count: self.count.saturating_add(1), largest: self.largest.max(sample) },
            false => Self::default(),
        };
    }

    fn is_long(self, early: Option<EarlyAdjustment>) -> bool {
        early.is_some_and(|early| self.count >= early.count)
    }
}

/// Follows the traffic of one allocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateAdjuster {
    settings: AutoBandwidth,
    reserved: Bandwidth,
    began: Millis,
    /// The largest sample of the interval (`MaxAvgBw` of RFC 8733); `None`: there is no sample yet.
    max_average: Option<Bandwidth>,
    overflow: SampleRun,
    underflow: SampleRun,
    /// Whether the interval has to be over before anything else is wanted.
    is_held_off: bool,
}

impl RateAdjuster {
    /// Begins an adjustment interval for what is reserved.
    pub fn new(settings: AutoBandwidth, reserved: Bandwidth, now: Millis) -> Self {
        let (overflow, underflow) = (SampleRun::default(), SampleRun::default());
        Self { settings, reserved, began: now, max_average: None, overflow, underflow, is_held_off: false }
    }

    /// How the bandwidth follows the traffic.
    pub fn settings(&self) -> &AutoBandwidth {
        &self.settings
    }

    /// What is taken to be reserved.
    pub fn reserved(&self) -> Bandwidth {
        self.reserved
    }

    /// The largest sample of this interval.
    pub fn max_average(&self) -> Option<Bandwidth> {
        self.max_average
    }

    /// When the adjustment interval is over.
    pub fn adjusts_at(&self) -> Millis {
        Millis(self.began.0.saturating_add(self.settings.adjustment_interval.0))
    }

    /// Takes an average rate over the sample interval that ends now; answers with the bandwidth that is wanted, if it is
    /// another than what is reserved. Then a new adjustment interval begins.
    pub fn add_sample(&mut self, now: Millis, average: Bandwidth) -> Option<Bandwidth> {
        let AutoBandwidth { minimum, maximum, adjustment_threshold, overflow, underflow, .. } = self.settings;
        let reserved = self.reserved;
        let max_average = self.max_average.map_or(average, |before| before.max(average));
        self.max_average = Some(max_average);
        let is_met = |early: Option<EarlyAdjustment>, difference| {
            early.is_some_and(|early| early.threshold.is_met(difference, reserved))
        };
        self.overflow.add(average, is_met(overflow, average.saturating_sub(reserved)));
        self.underflow.add(average, is_met(underflow, reserved.saturating_sub(average)));
        let within = |rate: Bandwidth| rate.clamp(minimum, maximum.max(minimum));
        let wanted = if now >= self.adjusts_at() {
            let wanted = within(max_average);
            let difference = wanted.saturating_sub(reserved).max(reserved.saturating_sub(wanted));
            *self = Self::new(self.settings, reserved, now);
            Some(wanted).filter(|_| adjustment_threshold.is_met(difference, reserved))
        } else if self.is_held_off {
            None
        } else if self.overflow.is_long(overflow) {
            Some(within(max_average)).filter(|wanted| *wanted > reserved)
        } else if self.underflow.is_long(underflow) {
            // What came before the run is past: the interval's largest sample would keep it from shrinking.
            Some(within(self.underflow.largest)).filter(|wanted| *wanted < reserved)
        } else {
            None
        };
        if wanted.is_some() {
            *self = Self::new(self.settings, reserved, now);
        }
        wanted
    }

    /// Another bandwidth is reserved, for whatever reason: an adjustment interval begins.
    pub fn on_reserved(&mut self, now: Millis, reserved: Bandwidth) {
        *self = Self::new(self.settings, reserved, now);
    }

    /// What was wanted is refused: nothing more is wanted until the interval is over.
    pub fn on_refused(&mut self) {
        self.is_held_off = true;
    }
}

#[cfg(test)]
mod tests;
