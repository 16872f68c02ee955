//! The settings of the scheduler and their bounds. What must stay true: [`SchedulerSettings::check`] passes for all settings
//! that reach a planner.

use super::LEVELS;
use crate::units::{PPM, Share};

/// The longest lease, drain time or interval: a day.
pub const DURATION_MAX_MS: u64 = 86_400_000;
/// The most aggregators at once, whatever the settings.
pub const AGGREGATORS_MAX: u32 = 100_000;
/// The most paths of a flow, whatever the settings.
pub const PATHS_MAX: usize = 8;
/// The largest weight of a level.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// How bandwidth is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DivisionPolicy {
    /// The paper's fixed policy: evenly between aggregators, by shares between levels, whatever the demand.
    Fixed,
    /// The paper's reactive policy: evenly, but an aggregator with a buffer above the threshold gets what the rest do not need.
    BufferAware,
    /// Weighted max-min fairness by demand; each level first has its share of every link.
    #[default]
    MaxMin,
}

/// The settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchedulerSettings {
    /// How bandwidth is divided.
    pub policy: DivisionPolicy,
    /// The part of each link that a level has before the other levels.
    pub shares: [Share; LEVELS],
    /// The weights by which levels divide the rest.
    pub weights: [u32; LEVELS],
    /// The part of a link's free bandwidth that may be given to aggregators.
    pub usable: Share,
    /// The time in which a backlog is to be sent, in ms.
    pub drain_ms: u64,
    /// The least demand of a flow with a subscriber, in bit/s.
    pub floor_bps: u64,
    /// A buffer filled to more than this is boosted.
    pub boost_above: Share,
    /// A boosted buffer filled to less than this is no longer.
    pub boost_below: Share,
    /// A rise by less than this part of what is granted is not signalled.
    pub raise_by: Share,
    /// A fall by less than this part of what is granted is not signalled, unless another flow needs the bandwidth.
    pub lower_by: Share,
    /// How long a report counts, in ms. After one lease without a report the boost is lost, after two the reservation.
    pub lease_ms: u64,
    /// Rates have `2^step_bits` steps to the doubling.
    pub step_bits: u32,
    /// The most aggregators at once.
    pub aggregators_max: u32,
    /// The most paths of a flow under [`DivisionPolicy::MaxMin`]; the policies of the paper have one.
    pub max_paths: u32,
    /// The most where a controller drives the switches: these divide a flow by connections, and one connection takes one path,
    /// whatever is reserved on the others.
    pub max_paths_on_switches: u32,
}

/// An invalid setting.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingsError {
    /// Shares above the whole.
    #[error("invalid shares: they sum to {sum_ppm} ppm, more than {PPM}")]
    SharesExceedWhole {
        /// Their sum.
        sum_ppm: u64,
    },
    /// A number out of its range.
    #[error("invalid {field}: {value} is not within {min} to {max}")]
    OutOfRange {
        /// The setting.
        field: &'static str,
        /// The value given.
        value: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// A boost that would end before it begins.
    #[error("invalid boost_below_ppm: {below_ppm} is above boost_above_ppm, {above_ppm}")]
    BoostInverted {
        /// Where it ends.
        below_ppm: u32,
        /// Where it begins.
        above_ppm: u32,
    },
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        let percent = |percent: u32| Share::from_ppm(percent * 10_000).unwrap_or(Share::NONE);
        Self {
            policy: DivisionPolicy::default(),
            // The paper prints 25/35/45, which is more than there is; its figures fit 25/35/40.
            shares: [percent(25), percent(35), percent(40)],
            weights: [25, 35, 40],
            usable: Share::WHOLE,
            drain_ms: 2_000,
            floor_bps: 8_000,
            boost_above: percent(50),
            boost_below: percent(10),
            raise_by: percent(3),
            lower_by: percent(10),
            lease_ms: 10_000,
            step_bits: 6,
            aggregators_max: AGGREGATORS_MAX,
            max_paths: 4,
            max_paths_on_switches: 1,
        }
    }
}

impl SchedulerSettings {
    /// The most paths of a flow under the policy.
    pub fn paths_max(&self) -> usize {
        match self.policy {
            DivisionPolicy::MaxMin => usize::try_from(self.max_paths).unwrap_or(PATHS_MAX).clamp(1, PATHS_MAX),
            DivisionPolicy::Fixed | DivisionPolicy::BufferAware => 1,
        }
    }

    /// How many paths of a flow are tried: the best are those that it has.
    pub fn candidates_max(&self) -> usize {
        match self.paths_max() {
            1 => 1,
            several => (several * 2).min(PATHS_MAX),
        }
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first setting out of its bounds.
    pub fn check(&self) -> Result<(), SettingsError> {
        let sum_ppm = self.shares.iter().map(|share| u64::from(share.as_ppm())).sum();
        if sum_ppm > u64::from(PPM) {
            return Err(SettingsError::SharesExceedWhole { sum_ppm });
        }
        for weight in self.weights {
            within("weights", u64::from(weight), 1, u64::from(WEIGHT_MAX))?;
        }
        within("drain_ms", self.drain_ms, 10, DURATION_MAX_MS)?;
        within("lease_ms", self.lease_ms, 10, DURATION_MAX_MS)?;
        within("floor_bps", self.floor_bps, 1, super::RATE_MAX_BPS)?;
        within("step_bits", u64::from(self.step_bits), 1, 20)?;
        within("aggregators_max", u64::from(self.aggregators_max), 1, u64::from(AGGREGATORS_MAX))?;
        within("max_paths", u64::from(self.max_paths), 1, PATHS_MAX as u64)?;
        within("max_paths_on_switches", u64::from(self.max_paths_on_switches), 1, PATHS_MAX as u64)?;
        if self.boost_below > self.boost_above {
            let (below_ppm, above_ppm) = (self.boost_below.as_ppm(), self.boost_above.as_ppm());
            return Err(SettingsError::BoostInverted { below_ppm, above_ppm });
        }
        Ok(())
    }
}

fn within(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), SettingsError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(SettingsError::OutOfRange { field, value, min, max }) }
}
