use proptest::prelude::*;

use super::*;

fn bps(bps: u64) -> Bandwidth {
    Bandwidth::from_bps(bps).unwrap()
}

fn early(count: u8, percent: u8) -> Option<EarlyAdjustment> {
    Some(EarlyAdjustment { count, threshold: RateThreshold { percent, least: Bandwidth::ZERO } })
}

const EVERY_TEN_SECONDS: fn() -> AutoBandwidth = || AutoBandwidth {
    sample_interval: Millis(1_000),
    adjustment_interval: Millis(10_000),
    minimum: bps(100),
    maximum: bps(1_000),
    adjustment_threshold: RateThreshold { percent: 10, least: bps(20) },
    overflow: early(3, 10),
    underflow: early(3, 50),
};

/// What is wanted after each of these samples, one a second.
fn run(adjuster: &mut RateAdjuster, from: u64, samples: &[u64]) -> Vec<Option<u64>> {
    let ms = (from..).map(|second| Millis(second * 1_000));
    let wanted = samples.iter().zip(ms).map(|(rate, at)| adjuster.add_sample(at, bps(*rate)));
    wanted.map(|wanted| wanted.map(Bandwidth::as_bps)).collect()
}

#[test]
fn at_the_end_of_an_interval_the_largest_sample_counts() {
    let mut adjuster = RateAdjuster::new(EVERY_TEN_SECONDS(), bps(500), Millis(0));
    let wanted = run(&mut adjuster, 1, &[400, 480, 530, 400, 400, 400, 400, 400, 400, 400]);
    assert_eq!(wanted, [None; 10], "530 is 6 % above 500");
    let wanted = run(&mut adjuster, 11, &[400, 440, 300, 400, 400, 400, 400, 400, 400, 10]);
    assert_eq!(wanted[9], Some(440));
    assert_eq!(wanted[..9], [None; 9]);
    adjuster.on_reserved(Millis(20_000), bps(440));
    let wanted = run(&mut adjuster, 21, &[0, 0]);
    assert_eq!(wanted, [None; 2]);
    assert_eq!(run(&mut adjuster, 23, &[0]), [Some(100)], "the third in a row; never below the minimum");
}

#[test]
fn overflow_grows_early_and_a_refusal_waits_for_the_interval() {
    let mut adjuster = RateAdjuster::new(EVERY_TEN_SECONDS(), bps(500), Millis(0));
    let wanted = run(&mut adjuster, 1, &[600, 600, 500, 700, 650, 5_000]);
    assert_eq!(wanted, [None, None, None, None, None, Some(1_000)], "never above the maximum");
    adjuster.on_refused();
    assert_eq!(adjuster.adjusts_at(), Millis(16_000));
    let wanted = run(&mut adjuster, 7, &[900; 10]);
    assert_eq!(wanted[..9], [None; 9]);
    assert_eq!(wanted[9], Some(900));
}

#[test]
fn settings_that_are_not_to_be_had_are_named() {
    let good = EVERY_TEN_SECONDS();
    assert_eq!(good.check(bps(500)), Ok(()));
    let field = |settings: AutoBandwidth, reserved| settings.check(bps(reserved)).unwrap_err().0;
    let zero = Millis(0);
    for (settings, reserved, named) in [
        (AutoBandwidth { sample_interval: zero, ..good }, 500, "auto_bandwidth.sample_interval_ms"),
        (
            AutoBandwidth { adjustment_interval: Millis(INTERVAL_MAX.0 + 1), ..good },
            500,
            "auto_bandwidth.adjustment_interval_ms",
        ),
        (AutoBandwidth { sample_interval: Millis(10_001), ..good }, 500, "auto_bandwidth.adjustment_interval_ms"),
        (AutoBandwidth { minimum: bps(0), ..good }, 500, "auto_bandwidth.minimum_bandwidth_bps"),
        (AutoBandwidth { minimum: bps(1_001), ..good }, 500, "auto_bandwidth.maximum_bandwidth_bps"),
        (good, 99, "bandwidth_bps"),
        (good, 1_001, "bandwidth_bps"),
    ] {
        assert_eq!(field(settings, reserved), named);
    }
}

/// What happened since the interval began, kept whole and looked through from the beginning each time.
struct NaiveAdjuster {
    settings: AutoBandwidth,
    reserved: u64,
    began: u64,
    samples: Vec<u64>,
    is_held_off: bool,
}

impl NaiveAdjuster {
    fn meets(&self, threshold: RateThreshold, difference: u64) -> bool {
        let has_percent = difference * 100 >= self.reserved * u64::from(threshold.percent);
        difference > 0 && has_percent && difference >= threshold.least.as_bps()
    }

    fn last_are(&self, early: Option<EarlyAdjustment>, difference: impl Fn(u64) -> u64) -> bool {
        let Some(early) = early else { return false };
        let count = usize::from(early.count);
        self.samples.len() >= count
            && self.samples.iter().rev().take(count).all(|rate| self.meets(early.threshold, difference(*rate)))
    }

    fn add_sample(&mut self, now: u64, rate: u64) -> Option<u64> {
        let AutoBandwidth { minimum, maximum, adjustment_threshold, overflow, underflow, .. } = self.settings;
        self.samples.push(rate);
        let within = |rate: u64| rate.max(minimum.as_bps()).min(maximum.as_bps());
        let reserved = self.reserved;
        let largest = within(*self.samples.iter().max().unwrap());
        let wanted = if now - self.began >= self.settings.adjustment_interval.0 {
            let wanted = Some(largest).filter(|wanted| self.meets(adjustment_threshold, wanted.abs_diff(reserved)));
            (self.began, self.is_held_off) = (now, false);
            self.samples.clear();
            wanted
        } else if self.is_held_off {
            None
        } else if self.last_are(overflow, |rate| rate.saturating_sub(reserved)) {
            Some(largest).filter(|wanted| *wanted > reserved)
        } else if self.last_are(underflow, |rate| reserved.saturating_sub(rate)) {
            let below = |rate: &&u64| self.meets(underflow.unwrap().threshold, reserved.saturating_sub(**rate));
            let run = self.samples.iter().rev().take_while(below).max().unwrap();
            Some(within(*run)).filter(|wanted| *wanted < reserved)
        } else {
            None
        };
        if wanted.is_some() {
            (self.began, self.is_held_off) = (now, false);
            self.samples.clear();
        }
        wanted
    }
}

/// What becomes of what is wanted.
#[derive(Clone, Copy, Debug)]
enum Decision {
    Granted,
    Refused,
    Undecided,
}

fn threshold() -> impl Strategy<Value = RateThreshold> {
    (0_u8..200, 0_u64..300).prop_map(|(percent, least)| RateThreshold { percent, least: bps(least) })
}

fn early_adjustment() -> impl Strategy<Value = Option<EarlyAdjustment>> {
    prop::option::of((1_u8..5, threshold()).prop_map(|(count, threshold)| EarlyAdjustment { count, threshold }))
}

prop_compose! {
    fn settings()(minimum in 1_u64..1_000, more in 0_u64..1_000, interval in 1_000_u64..20_000,
        adjustment_threshold in threshold(), overflow in early_adjustment(), underflow in early_adjustment())
        -> AutoBandwidth {
        AutoBandwidth {
            sample_interval: Millis(1_000), adjustment_interval: Millis(interval), minimum: bps(minimum),
            maximum: bps(minimum + more), adjustment_threshold, overflow, underflow,
        }
    }
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![Just(Decision::Granted), Just(Decision::Refused), Just(Decision::Undecided)]
}

proptest! {
    #![proptest_config(crate::property_cases(1_024))]

    #[test]
    fn what_is_wanted_is_what_a_naive_reference_wants(
        settings in settings(),
        first in 0_u64..1_000,
        samples in prop::collection::vec((500_u64..2_000, 0_u64..3_000, decision()), 1..100),
    ) {
        let reserved = (settings.minimum.as_bps() + first).min(settings.maximum.as_bps());
        prop_assert_eq!(settings.check(bps(reserved)), Ok(()));
        let mut adjuster = RateAdjuster::new(settings, bps(reserved), Millis(0));
        let mut naive = NaiveAdjuster { settings, reserved, began: 0, samples: vec![], is_held_off: false };
        let mut now = 0;
        for (after, rate, decision) in samples {
            now += after;
            let wanted = adjuster.add_sample(Millis(now), bps(rate));
            prop_assert_eq!(wanted.map(Bandwidth::as_bps), naive.add_sample(now, rate));
            let Some(wanted) = wanted else { continue };
            prop_assert!((settings.minimum..=settings.maximum).contains(&wanted) && wanted != adjuster.reserved());
            match decision {
                Decision::Granted => {
                    adjuster.on_reserved(Millis(now), wanted);
                    naive.reserved = wanted.as_bps();
                }
                Decision::Refused => {
                    adjuster.on_refused();
                    naive.is_held_off = true;
                }
                Decision::Undecided => {}
            }
        }
    }
}
