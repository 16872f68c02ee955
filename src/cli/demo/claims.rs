//! The summary of a run: the figures of each aggregator and level, and whether what PSIoT-Orch (Moraes, Reale, Martins)
//! reports was observed. Pure: from the samples of the run and nothing else.

use serde::Serialize;

use super::optimum::{OptimalLevel, jain_ppm, optimum};
use super::samples::{DemoEvent, DemoRun, Latency, LevelSample, Phase, Sample, at, mean, places};
use super::scenario::{AGGREGATORS, BACKGROUND_BPS, HEAVY, HEAVY_LEVEL, LINK_BPS};

/// A buffer with less than this part of its capacity is as good as empty, in parts per million.
pub const NEAR_EMPTY_PPM: u64 = 10_000;
/// A buffer with more than this part of its capacity has filled, in parts per million.
pub const FILLED_PPM: u64 = 500_000;
/// Sending this part of what is available counts as all of it, in parts per million.
pub const ALL_PPM: u64 = 900_000;
const MILLION: u64 = 1_000_000;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RunSummary {
    /// The policy by which bandwidth was divided.
    pub policy: String,
    /// The steps of the scenario and the lines of the live log.
    pub events: Vec<DemoEvent>,
    /// The buffer of each level of an aggregator.
    pub buffer_capacity_bytes: u64,
    /// Each aggregator and level.
    pub levels: Vec<LevelSummary>,
    /// What the background traffic left of the shared link, and what the aggregators sent.
    pub shared: SharedLink,
    /// Jain's index of what the levels sent over what the max-min fair optimum sends, in parts per million.
    pub jain_ppm: u64,
    /// What the paper reports, and whether it was observed.
    pub claims: Vec<PaperClaim>,
}

/// The figures of a level of an aggregator. Rates are means over the second half of the time with both clients and the
/// background traffic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LevelSummary {
    pub aggregator: String,
    /// The QoS level.
    pub qos_level: usize,
    /// What came in, once for each subscription, in bit/s.
    pub offered_bps: u64,
    /// What the orchestrator granted, in bit/s.
    pub granted_bps: u64,
    /// What was sent, in bit/s.
    pub sent_bps: u64,
    /// The most that waited, over the whole run.
    pub buffer_max_bytes: u64,
    /// What waited at the end.
    pub buffer_end_bytes: u64,
    /// Messages lost.
    pub dropped: u64,
    /// The same as a part of those lost and delivered, in parts per million.
    pub lost_ppm: u64,
    /// The latency of messages.
    pub latency: Latency,
    /// The same as the max-min fair optimum would have it.
    pub optimum: OptimalLevel,
}

/// The shared link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct SharedLink {
    /// What the background traffic left.
    pub left_bps: u64,
    /// What all aggregators together sent.
    pub sent_bps: u64,
    /// What they send under the max-min fair optimum.
    pub optimal_bps: u64,
}

/// A result of the paper.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PaperClaim {
    /// The name for programs.
    pub name: &'static str,
    /// The result in words.
    pub text: &'static str,
    /// The figures that were compared.
    pub figures: String,
    /// Whether it was observed.
    pub held: bool,
}

impl RunSummary {
    pub fn of(record: &DemoRun) -> Self {
        let optima = places().zip(optimum(record));
        let levels: Vec<_> = optima.map(|(place, optimum)| level(record, place, optimum)).collect();
        let shared = shared(record, &levels);
        Self {
            policy: record.policy.clone(),
            events: record.events.clone(),
            buffer_capacity_bytes: record.timeline.buffer_bytes,
            jain_ppm: jain_ppm(levels.iter().map(|level| (level.sent_bps, level.optimum.sent_bps))),
            claims: claims(record, &levels, shared),
            levels,
            shared,
        }
    }

    /// The level with the fourth topic.
    pub fn heavy(&self) -> Option<&LevelSummary> {
        self.levels.iter().find(|level| level.aggregator == AGGREGATORS[HEAVY].0 && level.qos_level == HEAVY_LEVEL)
    }

    /// What waited at most in any other aggregator.
    pub fn others_max_bytes(&self) -> u64 {
        let others = self.levels.iter().filter(|level| level.aggregator != AGGREGATORS[HEAVY].0);
        others.map(|level| level.buffer_max_bytes).max().unwrap_or(0)
    }

    /// Whether all of it was observed.
    pub fn held(&self) -> bool {
        self.claims.iter().all(|claim| claim.held)
    }
}

fn level(record: &DemoRun, place: (usize, usize), optimum: OptimalLevel) -> LevelSummary {
    let settled = |of: fn(LevelSample) -> u64| mean(record.settled(Phase::Client2), |sample| of(at(sample, place)));
    let last = record.samples.last().map(|sample| at(sample, place)).unwrap_or_default();
    let latency = record.latencies.get(place.0).and_then(|levels| levels.get(place.1)).copied().unwrap_or_default();
    let messages = u128::from(last.dropped) + u128::from(latency.messages);
    let lost_ppm = u128::from(last.dropped) * u128::from(MILLION) / messages.max(1);
    LevelSummary {
        aggregator: AGGREGATORS.get(place.0).map_or("", |(name, _)| *name).to_owned(),
        qos_level: place.1,
        offered_bps: settled(|level| level.offered_bps),
        granted_bps: settled(|level| level.granted_bps),
        sent_bps: settled(|level| level.sent_bps),
        buffer_max_bytes: fullest(record.samples.iter(), |other| other == place),
        buffer_end_bytes: last.buffer_bytes,
        dropped: last.dropped,
        lost_ppm: u64::try_from(lost_ppm).unwrap_or(MILLION),
        latency,
        optimum,
    }
}

/// What waited at most in any of some levels.
fn fullest<'a>(samples: impl Iterator<Item = &'a Sample>, of: impl Fn((usize, usize)) -> bool) -> u64 {
    let levels = samples.flat_map(|sample| places().map(move |place| (place, at(sample, place).buffer_bytes)));
    levels.filter(|(place, _)| of(*place)).map(|(_, bytes)| bytes).max().unwrap_or(0)
}

fn shared(record: &DemoRun, levels: &[LevelSummary]) -> SharedLink {
    let settled = || record.settled(Phase::Client2);
    let left = |sample: &Sample| LINK_BPS.saturating_sub(sample.background_bps);
    let sent = |sample: &Sample| places().map(|place| at(sample, place).sent_bps).fold(0, u64::saturating_add);
    let optimal_bps = levels.iter().map(|level| level.optimum.sent_bps).fold(0, u64::saturating_add);
    SharedLink { left_bps: mean(settled(), left), sent_bps: mean(settled(), sent), optimal_bps }
}

fn claims(record: &DemoRun, levels: &[LevelSummary], shared: SharedLink) -> Vec<PaperClaim> {
    let capacity = record.timeline.buffer_bytes;
    let near_empty = capacity * NEAR_EMPTY_PPM / MILLION;
    let both = || record.during(Phase::Client2).chain(record.during(Phase::Quiet));
    let others = |(aggregator, _): (usize, usize)| aggregator != HEAVY;
    let heavy = |place: (usize, usize)| place == (HEAVY, HEAVY_LEVEL);
    let alone = fullest(record.during(Phase::Client1), |_| true);
    let filled = fullest(both(), heavy);
    let spared = fullest(both(), others);
    let impaired = places().zip(levels).find(|(place, level)| others(*place) && is_impaired(level));
    let given = |phase| mean(record.settled(phase), |sample| at(sample, (HEAVY, HEAVY_LEVEL)).granted_bps);
    let (busy, quiet) = (given(Phase::Client2), given(Phase::Quiet));
    let claim = |name, text, figures, held| PaperClaim { name, text, figures, held };
    vec![
        claim(
            "near_empty_with_client_1",
            "with Client 1 alone every buffer stays near-empty",
            format!("at most {alone} bytes; near-empty is below {near_empty} of {capacity}"),
            seen(record, Phase::Client1) && alone < near_empty,
        ),
        claim(
            "ag1_fills_with_client_2",
            "after Client 2 Ag1's buffer fills",
            format!("at most {filled} bytes of {capacity}"),
            filled >= capacity * FILLED_PPM / MILLION,
        ),
        claim(
            "others_stay_near_empty",
            "the others' buffers stay near-empty",
            format!("at most {spared} bytes; near-empty is below {near_empty}"),
            seen(record, Phase::Client2) && spared < near_empty,
        ),
        claim(
            "as_much_as_can_be",
            "the orchestrator grants Ag1 as much as it can",
            format!("of the {} bit/s that the background traffic left, {} were sent", shared.left_bps, shared.sent_bps),
            shared.left_bps > 0 && shared.sent_bps >= shared.left_bps * ALL_PPM / MILLION,
        ),
        claim(
            "others_are_not_impaired",
            "without impairing the others: they send what they are offered and lose nothing",
            match impaired {
                None => "no level of another aggregator is sent less, or lost a message".to_owned(),
                Some((_, level)) => format!(
                    "{} sent {} of {} bit/s in level {} and lost {} messages",
                    level.aggregator, level.sent_bps, level.offered_bps, level.qos_level, level.dropped
                ),
            },
            seen(record, Phase::Client2) && impaired.is_none(),
        ),
        claim(
            "what_is_let_go_is_given",
            "what the background traffic releases is granted to Ag1",
            format!("{busy} bit/s while it ran, {quiet} bit/s after"),
            quiet >= busy.saturating_add(BACKGROUND_BPS * ALL_PPM / MILLION),
        ),
    ]
}

fn seen(record: &DemoRun, phase: Phase) -> bool {
    record.during(phase).next().is_some()
}

fn is_impaired(level: &LevelSummary) -> bool {
    level.dropped > 0 || level.sent_bps < level.offered_bps * ALL_PPM / MILLION
}
