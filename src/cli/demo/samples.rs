//! A run as it was recorded: samples of every aggregator and of the shared link, and the events. Pure. What must stay true:
//! every figure was read from a running process.

use std::ops::Range;

use serde::Serialize;

use super::scenario::{AGGREGATORS, ScenarioAction, Timeline};
use api::qos_level::{LEVELS, PerLevel};

/// A level of an aggregator at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LevelSample {
    /// What comes in, once for each subscription, as the gateway measures it.
    pub offered_bps: u64,
    /// What the orchestrator grants.
    pub granted_bps: u64,
    /// What the gateway sends.
    pub sent_bps: u64,
    /// What waits in its buffer.
    pub buffer_bytes: u64,
    /// Messages lost so far.
    pub dropped: u64,
}

/// All figures at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// By aggregator and level.
    pub aggregators: [PerLevel<LevelSample>; AGGREGATORS.len()],
    /// What the background traffic has reserved on the shared link.
    pub background_bps: u64,
}

/// A step of the scenario, or a line of the live log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DemoEvent {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// In words.
    pub text: String,
    /// Whether it is a step.
    pub is_step: bool,
}

/// The latency of an aggregator's messages in a level, from the consumers' summaries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Latency {
    /// The number of messages.
    pub messages: u64,
    /// The mean latency.
    pub mean_ms: u64,
    /// The greatest latency.
    pub max_ms: u64,
}

/// A run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DemoRun {
    /// The policy by which bandwidth was divided.
    pub policy: String,
    pub timeline: Timeline,
    /// In the order of time.
    pub samples: Vec<Sample>,
    /// In the order of time.
    pub events: Vec<DemoEvent>,
    /// By aggregator and level.
    pub latencies: [PerLevel<Latency>; AGGREGATORS.len()],
}

/// A part of the scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// With the first client.
    Client1,
    /// With both clients and the background traffic.
    Client2,
    /// With both clients and the links to themselves.
    Quiet,
}

impl Latency {
    /// The latency of both sets of messages together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let messages = self.messages.saturating_add(other.messages);
        let sum = |one: Self| u128::from(one.messages) * u128::from(one.mean_ms);
        let mean_ms = (sum(self) + sum(other)) / u128::from(messages.max(1));
        Self { messages, mean_ms: u64::try_from(mean_ms).unwrap_or(u64::MAX), max_ms: self.max_ms.max(other.max_ms) }
    }
}

impl DemoRun {
    pub fn during(&self, phase: Phase) -> impl Iterator<Item = &Sample> {
        let span = self.span(phase);
        self.samples.iter().filter(move |sample| span.contains(&sample.at_ms))
    }

    /// The samples of its second half, after rates have settled.
    pub fn settled(&self, phase: Phase) -> impl Iterator<Item = &Sample> {
        let Range { start, end } = self.span(phase);
        let span = start + (end - start) / 2..end;
        self.samples.iter().filter(move |sample| span.contains(&sample.at_ms))
    }

    fn span(&self, phase: Phase) -> Range<u64> {
        let at = |step| self.timeline.at_ms(step);
        match phase {
            Phase::Client1 => at(ScenarioAction::Client1)..at(ScenarioAction::Client2),
            Phase::Client2 => at(ScenarioAction::Client2)..at(ScenarioAction::Quiet),
            Phase::Quiet => at(ScenarioAction::Quiet)..at(ScenarioAction::End) + 1,
        }
    }
}

/// The mean of something over samples; zero if there are none.
pub fn mean<'a>(samples: impl Iterator<Item = &'a Sample>, of: impl Fn(&Sample) -> u64) -> u64 {
    let (sum, count) = samples.fold((0_u128, 0_u128), |(sum, count), sample| (sum + u128::from(of(sample)), count + 1));
    u64::try_from(sum / count.max(1)).unwrap_or(u64::MAX)
}

/// An aggregator's level at a moment.
pub fn at(sample: &Sample, (aggregator, level): (usize, usize)) -> LevelSample {
    sample.aggregators.get(aggregator).and_then(|levels| levels.get(level)).copied().unwrap_or_default()
}

/// Every aggregator and level, as indices.
pub fn places() -> impl Iterator<Item = (usize, usize)> {
    (0..AGGREGATORS.len()).flat_map(|aggregator| (0..LEVELS).map(move |level| (aggregator, level)))
}
