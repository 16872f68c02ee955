//! `replay` against published figures: the birth-death traffic of RFC 4128 on one link of fifteen units, whose stationary
//! probabilities are known to five digits.

use api::bandwidth_model::BandwidthModelDocument;
use formats::bandwidth_model::model_of;
use formats::trace::TraceRequest;
use watermaster::cli::replay::engine::Replay;
use watermaster::cli::replay::summary::{Decision, ReplayOutcome, ReplaySummary};

use std::collections::BTreeMap;

use crate::kernel::network;

const UNIT_BPS: u64 = 1_000_000;
/// Mean holding time: one unit of time in RFC 4128.
const HOLD_MS: f64 = 1_000_000.0;
/// Offered load in erlangs: CT0 and CT1 have 3.5, CT2 (RFC 4128's class 1) has 2.7.
const LOADS: [f64; 3] = [3.5, 3.5, 2.7];
const REQUESTS: usize = 400_000;

struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// Uniform in (0, 1].
    fn uniform(&mut self) -> f64 {
        (self.bits() as f64 + 1.0) / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().ln()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times are positive and small")]
fn simulate(model: &str, seed: u64) -> ReplaySummary {
    let document: BandwidthModelDocument = serde_json::from_str(model).unwrap();
    let mut replay = Replay::new(network(&[("a-b", 15 * UNIT_BPS)]), model_of(&document).unwrap().0, 1_000).unwrap();
    let mut random = Random(seed);
    let total: f64 = LOADS.iter().sum();
    let mut t_ms = 0.0;
    for at in 0..REQUESTS {
        t_ms += random.exponential(HOLD_MS / total);
        let mut pick = random.uniform() * total;
        let class = LOADS.iter().position(|load| {
            pick -= load;
            pick <= 0.0
        });
        let request = TraceRequest {
            t_ms: t_ms as u64,
            id: at.to_string(),
            ingress: "a".to_owned(),
            egress: "b".to_owned(),
            class_type: u8::try_from(class.unwrap_or(2)).unwrap(),
            bandwidth_bps: UNIT_BPS,
            hold_ms: Some(random.exponential(HOLD_MS) as u64),
            setup_priority: None,
            hold_priority: None,
        };
        let decision = replay.feed(&request).unwrap();
        assert_eq!(decision.outcome == ReplayOutcome::Denied, decision.reason.is_some());
    }
    replay.finish().unwrap().0
}

/// Blocked and preempted, each per request of the class.
fn rates(summary: &ReplaySummary, class: usize) -> (f64, f64) {
    let counts = &summary.classes[class];
    (counts.blocked as f64 / counts.requests as f64, counts.preempted as f64 / counts.requests as f64)
}

fn near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 0.004, "{what}: {found} against {expected}");
}

#[test]
fn rdm_blocks_and_preempts_as_rfc_4128_computes() {
    // BC = (6, 11, 15): private shares of 4, 5 and 6 units, the first rounded so that the nested constraints hold.
    let summary = simulate(
        r#"{"model":"rdm","restoration":"none","classes":[{"class_type":0,"share_ppm":266666},
            {"class_type":1,"share_ppm":333334},{"class_type":2,"share_ppm":400000}]}"#,
        88_172_645_463_325_252,
    );
    for (class, blocked, preempted) in [(2, 0.03692, 0.0), (1, 0.02296, 0.01217), (0, 0.02402, 0.02691)] {
        let found = rates(&summary, class);
        near(found.0, blocked, &format!("CT{class} blocked"));
        near(found.1, preempted, &format!("CT{class} preempted"));
    }
}

#[test]
fn atcs_carries_what_complete_sharing_carries() {
    let summary = simulate(
        r#"{"model":"atcs","restoration":"none","classes":[{"class_type":0,"share_ppm":266666},
            {"class_type":1,"share_ppm":333334},{"class_type":2,"share_ppm":400000}]}"#,
        1_181_783_497_276_652_981,
    );
    near(summary.utilisation_ppm as f64 / 1e6, 0.62669, "utilisation under Erlang-B complete sharing");
}

/// Requests of all sizes between all nodes of a ring with a chord, more than it can carry.
fn mixed_requests(count: u64) -> impl Iterator<Item = TraceRequest> {
    let mut random = Random(4_101_842_887_655_102_017);
    let mut below = move |most: u64| random.bits() % most;
    (0..count).map(move |at| {
        let from = below(5);
        let to = (from + 1 + below(4)) % 5;
        let node = |at: u64| NODES[usize::try_from(at).unwrap()].to_owned();
        TraceRequest {
            t_ms: at * 10,
            id: at.to_string(),
            ingress: node(from),
            egress: node(to),
            class_type: u8::try_from(below(3)).unwrap(),
            bandwidth_bps: 1 + below(40),
            hold_ms: Some(1 + below(1_500)),
            setup_priority: None,
            hold_priority: None,
        }
    })
}

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn ring(model: &str) -> Replay {
    let links = ["a-b", "b-c", "c-d", "d-e", "e-a", "b-a", "c-b", "d-c", "e-d", "a-e", "a-c", "c-a"];
    let document: BandwidthModelDocument = serde_json::from_str(model).unwrap();
    Replay::new(network(&links.map(|link| (link, 200))), model_of(&document).unwrap().0, 1_000).unwrap()
}

/// What the decisions say is all that is needed to know where every living request is.
#[test]
fn the_books_can_be_built_again_from_the_decisions() {
    let mut replay = ring(r#"{"model":"atcs"}"#);
    let mut living: BTreeMap<String, (u64, u64, Vec<String>)> = BTreeMap::new();
    let (mut moved, mut rerouted, mut now_ms) = (0, 0, 0);
    for request in mixed_requests(4_000) {
        now_ms = request.t_ms;
        let Decision { id, outcome, path, preempted, devolved, rerouted: new, moved: away, .. } =
            replay.feed(&request).unwrap();
        preempted.iter().chain(&devolved).for_each(|gone| drop(living.remove(gone).unwrap()));
        (moved, rerouted) = (moved + away.len(), rerouted + new.len());
        for other in new.into_iter().chain(away) {
            living.get_mut(&other.id).unwrap().2 = other.path;
        }
        if outcome == ReplayOutcome::Admitted {
            living.insert(id, (now_ms + request.hold_ms.unwrap(), request.bandwidth_bps, path));
        }
        living.retain(|_, (until_ms, ..)| *until_ms > now_ms + 10);
    }
    assert!(moved > 0 && rerouted > 0, "{moved} moved, {rerouted} rerouted");
    let last = TraceRequest { t_ms: now_ms + 10, bandwidth_bps: 1_000_000, ..mixed_requests(1).next().unwrap() };
    assert_eq!(replay.feed(&last).unwrap().outcome, ReplayOutcome::Denied);
    let (_, net) = replay.state().networks().next().unwrap();
    let name = |link: &kernel::id::LinkIx| net.topology().link(*link).unwrap().name.to_string();
    let booked = replay
        .state()
        .allocations_after(None)
        .map(|allocation| (allocation.demand.bandwidth.as_bps(), allocation.path.iter().map(name).collect::<Vec<_>>()));
    let mut booked: Vec<_> = booked.collect();
    let mut told: Vec<_> = living.into_values().map(|(_, bandwidth, path)| (bandwidth, path)).collect();
    booked.sort();
    told.sort();
    assert_eq!(told, booked);
}

/// What leaves for others is hardly more than has to; the newest would be much more.
#[test]
fn little_more_is_evicted_than_is_needed() {
    let ratio_ppm = |model: &str| {
        let mut replay = ring(model);
        mixed_requests(4_000).for_each(|request| drop(replay.feed(&request).unwrap()));
        replay.finish().unwrap().0.evicted_to_needed_ppm.unwrap()
    };
    for kind in ["rdm", "atcs"] {
        let least = ratio_ppm(&format!(r#"{{"model":"{kind}","restoration":"none"}}"#));
        assert!((1_000_000..=1_050_000).contains(&least), "{kind}: {least}");
        let newest = ratio_ppm(&format!(r#"{{"model":"{kind}","restoration":"none","victim_policy":"newest"}}"#));
        assert!(newest > least, "{kind}: {newest}");
    }
}

/// The files of the tutorial: all is decided, and every outcome is there to be looked at.
#[test]
fn the_sample_trace_shows_what_replay_shows() {
    let read = |path: &str| std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let nsfnet = formats::read(&read("topologies/nsfnet.json"), &formats::ReadOptions::default()).unwrap();
    let model: BandwidthModelDocument = serde_json::from_slice(&read("examples/replay/model.json")).unwrap();
    let mut replay = Replay::new(nsfnet.topology, model_of(&model).unwrap().0, 1_000).unwrap();
    let trace = String::from_utf8(read("examples/replay/trace.jsonl")).unwrap();
    for line in trace.lines() {
        replay.feed(&serde_json::from_str(line).unwrap()).unwrap();
    }
    let (summary, _) = replay.finish().unwrap();
    assert_eq!((summary.requests, summary.invalid), (300, 0));
    assert!(summary.blocked > 0 && summary.preempted > 0, "{summary:?}");
}

#[test]
fn a_request_that_cannot_be_decided_is_invalid_and_counts_nowhere_else() {
    let mut replay = ring(r#"{"model":"mam"}"#);
    let good = mixed_requests(1).next().unwrap();
    let unknown = TraceRequest { egress: "nowhere".to_owned(), ..good.clone() };
    let decision = replay.feed(&unknown).unwrap();
    assert_eq!(decision.outcome, ReplayOutcome::Invalid);
    assert!(decision.reason.unwrap().contains("nowhere"));
    assert_eq!(replay.feed(&good).unwrap().outcome, ReplayOutcome::Admitted);
    let (summary, _) = replay.finish().unwrap();
    assert_eq!((summary.invalid, summary.requests, summary.blocked), (1, 1, 0));
}
