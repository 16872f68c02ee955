//! The section `[scheduler]`: what it may hold, and the settings that follow.

use serde::{Deserialize, Serialize};

use kernel::scheduler::settings::SettingsError;
use kernel::scheduler::{self, SchedulerSettings};
use kernel::units::{PPM, Share};

/// How the QoS scheduler works. Every key is optional. Lists have a place for each level: insensitive, sensitive,
/// priority.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerConfig {
    /// `max_min`, `buffer_aware` or `fixed`.
    pub policy: Option<SchedulerPolicyWord>,
    /// The topology in which the aggregators are; absent: the only one that has their node.
    pub topology: Option<String>,
    /// How often it acts, in milliseconds; absent or 0: on each report.
    pub interval_ms: Option<u64>,
    /// The part of each link that is a level's own while it needs it, in parts per million.
    pub share_ppm: Option<[u32; scheduler::LEVELS]>,
    /// How the levels divide the part that is no level's own.
    pub weights: Option<[u32; scheduler::LEVELS]>,
    /// The part of a link's free bandwidth that may be given to aggregators, in parts per million.
    pub usable_ppm: Option<u32>,
    /// In what time a backlog is to be sent.
    pub drain_ms: Option<u64>,
    /// The least that is asked for where there is a subscriber.
    pub floor_bps: Option<u64>,
    /// A buffer filled to more than this is boosted.
    pub boost_above_ppm: Option<u32>,
    /// A boosted buffer filled to less than this is no longer.
    pub boost_below_ppm: Option<u32>,
    /// A rise by less than this part of what is granted is not signalled.
    pub raise_by_ppm: Option<u32>,
    /// A fall by less than this part of what is granted is not signalled, unless another aggregator needs it.
    pub lower_by_ppm: Option<u32>,
    /// How long a report counts.
    pub lease_ms: Option<u64>,
    /// The most aggregators at once: 1,000 where reports are taken from anybody, 100,000 where whoever sends one has to say who
    /// it is.
    pub aggregators_max: Option<u32>,
    /// The most paths over which the traffic of an aggregator to a node is split under `max_min`, 1 to 8; 4 by default.
    pub max_paths: Option<u32>,
    /// The same where a controller drives the switches, which divide traffic by connections: one that comes in a single
    /// connection takes one path, and more than is reserved there. 1 by default.
    pub max_paths_on_switches: Option<u32>,
}

/// The most aggregators at once where whoever reaches a door may invent them.
pub(super) const UNNAMED_AGGREGATORS_MAX: u32 = 1_000;

/// How bandwidth is divided between aggregators.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerPolicyWord {
    /// Weighted max-min fair by what is needed.
    #[value(alias = "max_min")]
    MaxMin,
    /// Evenly; aggregators with a full buffer get what the rest does not need.
    #[value(alias = "buffer_aware")]
    BufferAware,
    /// Evenly.
    Fixed,
}

impl From<SchedulerPolicyWord> for scheduler::DivisionPolicy {
    fn from(word: SchedulerPolicyWord) -> Self {
        match word {
            SchedulerPolicyWord::MaxMin => Self::MaxMin,
            SchedulerPolicyWord::BufferAware => Self::BufferAware,
            SchedulerPolicyWord::Fixed => Self::Fixed,
        }
    }
}

impl From<scheduler::DivisionPolicy> for SchedulerPolicyWord {
    fn from(policy: scheduler::DivisionPolicy) -> Self {
        match policy {
            scheduler::DivisionPolicy::MaxMin => Self::MaxMin,
            scheduler::DivisionPolicy::BufferAware => Self::BufferAware,
            scheduler::DivisionPolicy::Fixed => Self::Fixed,
        }
    }
}

impl SchedulerConfig {
    /// These settings, and those of `other` where these have none.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self {
            policy: self.policy.or(other.policy),
            topology: self.topology.or(other.topology),
            interval_ms: self.interval_ms.or(other.interval_ms),
            share_ppm: self.share_ppm.or(other.share_ppm),
            weights: self.weights.or(other.weights),
            usable_ppm: self.usable_ppm.or(other.usable_ppm),
            drain_ms: self.drain_ms.or(other.drain_ms),
            floor_bps: self.floor_bps.or(other.floor_bps),
            boost_above_ppm: self.boost_above_ppm.or(other.boost_above_ppm),
            boost_below_ppm: self.boost_below_ppm.or(other.boost_below_ppm),
            raise_by_ppm: self.raise_by_ppm.or(other.raise_by_ppm),
            lower_by_ppm: self.lower_by_ppm.or(other.lower_by_ppm),
            lease_ms: self.lease_ms.or(other.lease_ms),
            aggregators_max: self.aggregators_max.or(other.aggregators_max),
            max_paths: self.max_paths.or(other.max_paths),
            max_paths_on_switches: self.max_paths_on_switches.or(other.max_paths_on_switches),
        }
    }

    /// The same settings, with what is in force where there was none.
    pub(super) fn filled(self, settings: &SchedulerSettings) -> Self {
        let in_force = Self {
            policy: Some(settings.policy.into()),
            topology: None,
            interval_ms: Some(0),
            share_ppm: Some(settings.shares.map(Share::as_ppm)),
            weights: Some(settings.weights),
            usable_ppm: Some(settings.usable.as_ppm()),
            drain_ms: Some(settings.drain_ms),
            floor_bps: Some(settings.floor_bps),
            boost_above_ppm: Some(settings.boost_above.as_ppm()),
            boost_below_ppm: Some(settings.boost_below.as_ppm()),
            raise_by_ppm: Some(settings.raise_by.as_ppm()),
            lower_by_ppm: Some(settings.lower_by.as_ppm()),
            lease_ms: Some(settings.lease_ms),
            aggregators_max: Some(settings.aggregators_max),
            max_paths: Some(settings.max_paths),
            max_paths_on_switches: Some(settings.max_paths_on_switches),
        };
        self.over(in_force)
    }

    /// The settings in force, with the defaults filled in.
    ///
    /// # Errors
    /// The first number that is out of its range.
    pub fn settings(&self) -> Result<SchedulerSettings, SettingsError> {
        let usual = SchedulerSettings::default();
        let share = |field, given: Option<u32>, usual: Share| match given {
            Some(ppm) => Share::from_ppm(ppm).ok_or(SettingsError::OutOfRange {
                field,
                value: u64::from(ppm),
                min: 0,
                max: u64::from(PPM),
            }),
            None => Ok(usual),
        };
        let mut shares = usual.shares;
        for (level, given) in shares.iter_mut().zip(self.share_ppm.into_iter().flatten()) {
            *level = share("share_ppm", Some(given), *level)?;
        }
        let settings = SchedulerSettings {
            policy: self.policy.map_or(usual.policy, Into::into),
            shares,
            weights: self.weights.unwrap_or(usual.weights),
            usable: share("usable_ppm", self.usable_ppm, usual.usable)?,
            drain_ms: self.drain_ms.unwrap_or(usual.drain_ms),
            floor_bps: self.floor_bps.unwrap_or(usual.floor_bps),
            boost_above: share("boost_above_ppm", self.boost_above_ppm, usual.boost_above)?,
            boost_below: share("boost_below_ppm", self.boost_below_ppm, usual.boost_below)?,
            raise_by: share("raise_by_ppm", self.raise_by_ppm, usual.raise_by)?,
            lower_by: share("lower_by_ppm", self.lower_by_ppm, usual.lower_by)?,
            lease_ms: self.lease_ms.unwrap_or(usual.lease_ms),
            step_bits: usual.step_bits,
            aggregators_max: self.aggregators_max.unwrap_or(usual.aggregators_max),
            max_paths: self.max_paths.unwrap_or(usual.max_paths),
            max_paths_on_switches: self.max_paths_on_switches.unwrap_or(usual.max_paths_on_switches),
        };
        settings.check()?;
        Ok(settings)
    }
}
