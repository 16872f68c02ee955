//! The demo as far as it is pure: the timeline, the scenario as the parts read it, the figure and the verdict from data,
//! what is told. What runs is in `tests/real/demo.rs`.

use std::collections::BTreeSet;

use gateway::consumer::SubscriptionSpec;
use gateway::generator::SourceSpec;
use proptest::prelude::*;
use watermaster::cli::demo::backbone;
use watermaster::cli::demo::claims::RunSummary;
use watermaster::cli::demo::figure;
use watermaster::cli::demo::live_log::LiveLog;
use watermaster::cli::demo::optimum::{jain_ppm, optimum, progressive_filling};
use watermaster::cli::demo::samples::{DemoEvent, DemoRun, Latency, LevelSample, Sample, places};
use watermaster::cli::demo::scenario::{
    AGGREGATORS, BACKGROUND_BPS, HEAVY, HEAVY_LEVEL, HEAVY_TIMES, LINK_BPS, ScenarioAction, Tempo, Timeline, WithHeavy,
    sources, subscriptions, topology,
};
use watermaster::cli::demo::text;

#[test]
fn the_timeline_is_the_same_at_every_tempo() {
    let (full, fast) = (Timeline::new(Tempo::Full), Timeline::new(Tempo::Fast));
    let order = |timeline: &Timeline| timeline.steps.iter().map(|(_, step)| *step).collect::<Vec<_>>();
    assert_eq!(
        order(&full),
        [
            ScenarioAction::Background,
            ScenarioAction::Client1,
            ScenarioAction::Client2,
            ScenarioAction::Quiet,
            ScenarioAction::End
        ]
    );
    assert_eq!(order(&full), order(&fast));
    assert!(full.steps.is_sorted_by_key(|(at_ms, _)| *at_ms));
    let factor = full.buffer_bytes / fast.buffer_bytes;
    for ((slow_ms, _), (fast_ms, _)) in full.steps.iter().zip(&fast.steps) {
        assert_eq!(*slow_ms, fast_ms * factor);
    }
    assert!(fast.at_ms(ScenarioAction::End) <= 16_000, "with starting and stopping it is under 20 s");
    assert!(!ScenarioAction::Client2.words().is_empty());
}

#[test]
fn the_parts_can_read_the_scenario() {
    let network = formats::read(topology().to_string().as_bytes(), &formats::ReadOptions::default()).unwrap();
    assert!(network.report.warnings.is_empty(), "{:?}", network.report.warnings);
    for (_, node) in AGGREGATORS {
        assert!(network.topology.node_named(node).is_some());
    }
    let mut offered_bps = vec![];
    for aggregator in 0..AGGREGATORS.len() {
        let specs: Vec<SourceSpec> = sources(aggregator).iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(specs.len(), if aggregator == HEAVY { 4 } else { 3 });
        offered_bps.extend(specs.iter().map(|spec| spec.rate_bps));
    }
    let (most, least) = (offered_bps.iter().max().unwrap(), offered_bps.iter().min().unwrap());
    assert_eq!(*most, least * HEAVY_TIMES);
    assert!(*most > LINK_BPS, "the fourth topic alone is more than a link");
    // Both clients, all aggregators, every ordinary topic, and what the generators hold: it fits with room to spare.
    assert!(2 * 9 * least + BACKGROUND_BPS < LINK_BPS * 6 / 10);

    let gateways: Vec<String> = (1..=3).map(|port| format!("http://127.0.0.1:{port}")).collect();
    let read = |with| {
        subscriptions(with, &gateways).iter().map(|text| text.parse::<SubscriptionSpec>().unwrap()).collect::<Vec<_>>()
    };
    let (first, second) = (read(WithHeavy::No), read(WithHeavy::Yes));
    assert_eq!((first.len(), second.len()), (9, 10));
    let offered: BTreeSet<String> =
        (0..3).flat_map(sources).map(|text| text.parse::<SourceSpec>().unwrap().topic).collect();
    assert_eq!(second.iter().map(|wish| wish.topic.clone()).collect::<BTreeSet<_>>(), offered);
}

#[test]
fn the_backbone_is_the_same_at_every_run_and_within_its_network() {
    let requests = backbone::requests();
    assert_eq!(requests, backbone::requests());
    assert!((200..=1_000).contains(&requests.len()), "one batch: {}", requests.len());
    let nodes = include_str!("../../topologies/nsfnet.json");
    let network = formats::read(nodes.as_bytes(), &formats::ReadOptions::default()).unwrap().topology;
    for request in &requests {
        assert!(network.node_named(&request.ingress).is_some() && network.node_named(&request.egress).is_some());
        assert_ne!(request.ingress, request.egress);
    }
    let classes: BTreeSet<_> = requests.iter().filter_map(|request| request.class_type).collect();
    assert_eq!(classes, BTreeSet::from([0, 1, 2]));
}

/// A run as the paper has it: who is heavy fills, gets what is left, and more when the background falls silent.
fn run() -> DemoRun {
    let timeline = Timeline::new(Tempo::Full);
    let at = |step| timeline.at_ms(step);
    let sample = |at_ms: u64| {
        let mut aggregators = [[LevelSample::default(); 3]; 3];
        for (aggregator, level) in places() {
            let clients =
                u64::from(at_ms >= at(ScenarioAction::Client1)) + u64::from(at_ms >= at(ScenarioAction::Client2));
            let bps = 100_000 * clients;
            aggregators[aggregator][level] = LevelSample {
                offered_bps: bps,
                granted_bps: bps,
                sent_bps: bps,
                buffer_bytes: 1_000 * clients,
                dropped: 0,
            };
        }
        let background_bps = if at_ms < at(ScenarioAction::Quiet) { BACKGROUND_BPS } else { 0 };
        if at_ms >= at(ScenarioAction::Client2) {
            let left = LINK_BPS - background_bps - 8 * 200_000;
            let waits = (at_ms - at(ScenarioAction::Client2)) * 600;
            aggregators[HEAVY][HEAVY_LEVEL] = LevelSample {
                offered_bps: 10_200_000,
                granted_bps: left,
                sent_bps: left,
                buffer_bytes: waits.min(timeline.buffer_bytes),
                dropped: waits.saturating_sub(timeline.buffer_bytes) / 5_000,
            };
        }
        Sample { at_ms, aggregators, background_bps }
    };
    let samples = (0..=at(ScenarioAction::End)).step_by(250).map(sample).collect();
    let steps =
        timeline.steps.iter().map(|(at_ms, step)| DemoEvent { at_ms: *at_ms, text: step.words(), is_step: true });
    let events = steps.collect();
    let latency = Latency { messages: 10, mean_ms: 5, max_ms: 9 };
    DemoRun { policy: "max_min".to_owned(), events, samples, latencies: [[latency; 3]; 3], timeline }
}

#[test]
fn the_figure_has_every_line_every_mark_and_no_script() {
    let record = run();
    let svg = figure::svg(&record);
    assert!(svg.len() < 200_000, "{} bytes", svg.len());
    assert_eq!(svg.matches("stroke-width=\"2\"").count(), 3 * 2 * 3, "a line for each aggregator, panel and level");
    assert_eq!(svg.matches("stroke=\"#555\"").count(), 3 * 2 * 5, "each step in each panel");
    for (name, _) in AGGREGATORS {
        assert!(svg.contains(&format!(">{name}<")));
    }
    for step in &record.events {
        assert!(svg.contains(&step.text), "{}", step.text);
    }
    assert!(
        !svg.contains("<script") && svg.matches("http://").count() == 1,
        "its namespace, and nothing to be fetched"
    );
    // Nothing at all is a picture too.
    let empty = DemoRun { samples: vec![], events: vec![], ..record };
    assert!(figure::svg(&empty).ends_with("</svg>\n"));
}

#[test]
fn the_verdict_is_found_in_the_numbers() {
    let record = run();
    let summary = RunSummary::of(&record);
    assert!(summary.held(), "{:#?}", summary.claims);
    assert_eq!(summary.levels.len(), 9);
    let heavy = summary.heavy().unwrap();
    assert_eq!((heavy.granted_bps, heavy.buffer_max_bytes), (4_400_000, summary.buffer_capacity_bytes));
    assert_eq!(summary.others_max_bytes(), 2_000);
    assert_eq!((summary.shared.left_bps, summary.shared.sent_bps), (6_000_000, 6_000_000));

    let failing = |spoil: &dyn Fn(&mut Sample)| {
        let mut record = run();
        record.samples.iter_mut().for_each(spoil);
        let claims = RunSummary::of(&record).claims;
        claims.into_iter().filter(|claim| !claim.held).map(|claim| claim.name).collect::<Vec<_>>()
    };
    assert_eq!(failing(&|sample| sample.aggregators[1][2].dropped = 1), ["others_are_not_impaired"]);
    assert_eq!(failing(&|sample| sample.aggregators[2][0].sent_bps /= 2), ["others_are_not_impaired"]);
    let idle = |sample: &mut Sample| sample.aggregators[HEAVY][HEAVY_LEVEL].sent_bps /= 2;
    assert_eq!(failing(&idle), ["as_much_as_can_be"]);
    assert_eq!(failing(&|sample| sample.aggregators[0][0].buffer_bytes = 0), ["ag1_fills_with_client_2"]);
    assert!(failing(&|sample| sample.aggregators[2][1].buffer_bytes = 1_000_000).contains(&"others_stay_near_empty"));
    // A run that saw nothing shows nothing.
    let empty = RunSummary::of(&DemoRun { samples: vec![], ..record });
    assert!(empty.claims.iter().all(|claim| !claim.held), "{:?}", empty.claims);
}

proptest! {
    /// What certifies that shares are max-min fair (Bertsekas and Gallager, Data Networks, §6.5.2): all is used that is asked
    /// for, and whoever gets less than asked for gets as much as anybody.
    #[test]
    fn shares_are_max_min_fair(demands in prop::collection::vec(0_u64..1_000_000, 0..12), room in 0_u64..8_000_000) {
        let shares = progressive_filling(&demands, room);
        prop_assert_eq!(shares.iter().sum::<u64>(), room.min(demands.iter().sum()));
        let most = shares.iter().copied().max().unwrap_or(0);
        for (share, demand) in shares.iter().zip(&demands) {
            // Bits are whole.
            prop_assert!(share == demand || (share < demand && share + 1 >= most), "{shares:?} of {demands:?}");
        }
    }
}

#[test]
fn the_optimum_is_what_a_perfect_run_had() {
    let record = run();
    let summary = RunSummary::of(&record);
    let optimum = optimum(&record);
    let heavy = optimum[places().position(|place| place == (HEAVY, HEAVY_LEVEL)).unwrap()];
    // 20 s at 4.4 and 20 s at 6.4 Mbit/s of 40 s at 10.2; the 8 MB are full after 11 s, and drain in 10 to 15 s.
    assert_eq!(heavy.sent_bps, 4_400_000);
    let (sent, lost) = (20 * 4_400 + 20 * 6_400, 40 * 10_200 - 20 * 4_400 - 20 * 6_400 - 64_000);
    assert!(heavy.lost_ppm.abs_diff(lost * 1_000_000 / (sent + lost)) < 2_000, "{heavy:?}");
    assert!((9_000..12_000).contains(&heavy.latency_ms), "{heavy:?}");
    for (place, level) in places().zip(&optimum).filter(|(place, _)| *place != (HEAVY, HEAVY_LEVEL)) {
        assert_eq!((level.sent_bps, level.lost_ppm, level.latency_ms), (200_000, 0, 0), "{place:?}");
    }
    assert_eq!((summary.jain_ppm, summary.shared.optimal_bps), (1_000_000, 6_000_000));
    let mut half = record;
    half.samples.iter_mut().for_each(|sample| sample.aggregators[HEAVY][HEAVY_LEVEL].sent_bps /= 2);
    // Eight that got all and one that got half: 8.5^2 / (9 * 8.25).
    assert_eq!(RunSummary::of(&half).jain_ppm, 973_063);
    assert_eq!(jain_ppm([(7, 7), (0, 7), (3, 0)].into_iter()), 500_000);
    assert_eq!(jain_ppm(std::iter::empty()), 0);
}

#[test]
fn what_is_told_is_what_changed() {
    let record = run();
    let mut log = LiveLog::new(record.timeline.buffer_bytes);
    let told: Vec<String> = record.samples.iter().flat_map(|sample| log.observe(sample)).collect();
    assert!(told.len() < 40, "{told:#?}");
    let said = |text: &str| told.iter().filter(|line| line.contains(text)).count();
    assert_eq!((said("is half full"), said("is full")), (1, 1));
    assert_eq!(said("gives Ag1 6.40 Mbit/s, 200 kbit/s and 200 kbit/s in levels 0, 1 and 2"), 1, "{told:#?}");
}

#[test]
fn the_end_is_told_in_a_table() {
    let summary = RunSummary::of(&run());
    let text = text::summary(&summary);
    assert!(text.contains("Ag1  0 insensitive  10.2 Mbit/s  4.40 Mbit/s"), "{text}");
    assert!(
        text.contains("100.0 % was used, 100.0 % under the optimum. Jain's index of sent over optimum: 1.000"),
        "{text}"
    );
    assert!(text.contains("at most 2000 bytes") && !text.contains("NOT OBSERVED"), "{text}");
    let all = text::comparison(&[summary.clone(), summary]);
    assert_eq!((all.matches("max_min").count(), all.matches("the optimum").count()), (2, 1), "{all}");
}
