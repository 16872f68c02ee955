//! What aggregators had lately, in steps of seconds. It is in memory alone: gone with the process, and where another instance
//! schedules. What must stay true: it is bounded, in time for each aggregator and in the number of aggregators.

use std::collections::{BTreeMap, VecDeque};

use kernel::id::Name;
use kernel::scheduler::LEVELS;
use kernel::scheduler::engine::AggregatorView;
use kernel::scheduler::report::LevelReport;
use kernel::units::{Bandwidth, Millis, PPM};

/// How long the step of a point is.
pub const PAST_STEP: Millis = Millis(5_000);
/// How many points of an aggregator are kept: a quarter of an hour.
pub const PAST_POINTS_MAX: usize = 180;
/// How many aggregators have a past. Another one has none until one of them is forgotten.
pub const PAST_AGGREGATORS_MAX: usize = 2_000;

/// An aggregator within a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PastPoint {
    /// When the step begins.
    pub at: Millis,
    /// By level.
    pub levels: [PastLevel; LEVELS],
}

/// A level of an aggregator within a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PastLevel {
    /// The most that was in the buffer, in parts per million of its size.
    pub buffer_ppm: u64,
    /// The last rate that was granted.
    pub rate: Bandwidth,
}

/// The points of each aggregator, the oldest first.
#[derive(Default)]
pub(super) struct AggregatorPasts(BTreeMap<Name, VecDeque<PastPoint>>);

impl AggregatorPasts {
    pub(super) fn record(&mut self, view: &AggregatorView) {
        if !self.0.contains_key(&view.id) && self.0.len() >= PAST_AGGREGATORS_MAX {
            return;
        }
        let points = self.0.entry(view.id.clone()).or_default();
        let mut point = point(view);
        match points.back_mut() {
            Some(last) if last.at >= point.at => {
                for (level, before) in point.levels.iter_mut().zip(&last.levels) {
                    level.buffer_ppm = level.buffer_ppm.max(before.buffer_ppm);
                }
                last.levels = point.levels;
            }
            _ => {
                let oldest = point.at.0.saturating_sub(PAST_STEP.0 * (PAST_POINTS_MAX as u64 - 1));
                while points.front().is_some_and(|first| first.at.0 < oldest) {
                    points.pop_front();
                }
                points.push_back(point);
            }
        }
    }

    pub(super) fn forget(&mut self, id: &Name) {
        self.0.remove(id);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn points(&self, id: &Name) -> Vec<PastPoint> {
        self.0.get(id).into_iter().flatten().copied().collect()
    }
}

fn point(view: &AggregatorView) -> PastPoint {
    let at = view.heard_at.max(view.rates.at);
    let mut levels = [PastLevel { buffer_ppm: 0, rate: Bandwidth::default() }; LEVELS];
    for (level, (report, granted)) in levels.iter_mut().zip(view.metadata.levels.iter().zip(&view.rates.levels)) {
        *level = PastLevel { buffer_ppm: buffer_ppm(report), rate: granted.rate };
    }
    PastPoint { at: Millis(at.0 - at.0 % PAST_STEP.0), levels }
}

fn buffer_ppm(report: &LevelReport) -> u64 {
    let share = u128::from(report.buffer_bytes) * u128::from(PPM) / u128::from(report.buffer_capacity_bytes.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::scheduler::engine::GrantedRates;
    use kernel::scheduler::hysteresis::LeaseState;
    use kernel::scheduler::report::{Metadata, Presence};

    use super::*;

    fn named(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn view(id: &str, at: u64, buffer_bytes: u64, bps: u64) -> AggregatorView {
        let mut levels = [LevelReport::default(); LEVELS];
        levels[1] = LevelReport { buffer_bytes, buffer_capacity_bytes: 1_000, ..LevelReport::default() };
        let node = named("a");
        let presence = Presence::default();
        let mut rates =
            GrantedRates { sequence: 1, at: Millis(at), instance: None, lease_ms: 5_000, levels: Default::default() };
        rates.levels[1].rate = Bandwidth::saturating_from_bps(bps);
        AggregatorView {
            id: named(id),
            topology: named("net"),
            metadata: Arc::new(Metadata { node, at: Millis(at), presence, levels, topics: vec![] }),
            heard_at: Millis(at),
            standing: LeaseState::Fresh,
            demand: Default::default(),
            boosted: Default::default(),
            rates: Arc::new(rates),
            max_paths: 1,
        }
    }

    #[test]
    fn a_step_has_the_fullest_buffer_and_the_last_rate_and_old_steps_go() {
        let mut pasts = AggregatorPasts::default();
        pasts.record(&view("one", 5_001, 900, 7));
        pasts.record(&view("one", 9_999, 100, 8));
        pasts.record(&view("one", 10_000, 200, 9));
        let told = |pasts: &AggregatorPasts| {
            let points = pasts.points(&named("one")).into_iter();
            points.map(|one| (one.at.0, one.levels[1].buffer_ppm, one.levels[1].rate.as_bps())).collect::<Vec<_>>()
        };
        assert_eq!(told(&pasts), [(5_000, 900_000, 8), (10_000, 200_000, 9)]);
        for step in 3..PAST_POINTS_MAX as u64 + 10 {
            pasts.record(&view("one", step * PAST_STEP.0, 0, 1));
        }
        assert_eq!((told(&pasts).len(), told(&pasts)[0].0), (PAST_POINTS_MAX, 10 * PAST_STEP.0));
        pasts.forget(&named("one"));
        assert!(told(&pasts).is_empty());
        // An aggregator that reports once a minute has the same quarter of an hour.
        for minute in 1..60 {
            pasts.record(&view("one", minute * 60_000, 0, 1));
        }
        let (first, last) = (told(&pasts)[0].0, told(&pasts).last().unwrap().0);
        assert!(
            last - first < PAST_POINTS_MAX as u64 * PAST_STEP.0 && last - first >= 14 * 60_000,
            "{first} to {last}"
        );
    }

    #[test]
    fn only_so_many_aggregators_have_a_past() {
        let mut pasts = AggregatorPasts::default();
        for number in 0..=PAST_AGGREGATORS_MAX {
            pasts.record(&view(&number.to_string(), 5_000, 0, 1));
        }
        assert_eq!(pasts.0.len(), PAST_AGGREGATORS_MAX);
        assert!(pasts.points(&named(&PAST_AGGREGATORS_MAX.to_string())).is_empty());
    }
}
