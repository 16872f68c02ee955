//! What the congestion metric is worth: the load that a network carries at 1 % blocked bandwidth, against the TE metric on
//! the same arrivals, by bisection. Poisson arrivals, exponential holding times, 100 to 1,000 Mbit/s on links of 10 Gbit/s
//! or what the map says, gravity demands. Also the accepted bandwidth under 30 % overload with and without the refusal
//! threshold. `cargo bench --bench routing`.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench prints and stops"
)]

#[expect(dead_code, reason = "shared with other benches")]
mod networks;

use api::bandwidth_model::BandwidthModelDocument;
use formats::bandwidth_model::model_of;
use formats::trace::TraceRequest;
use kernel::topology::Topology;
use networks::Draw;
use watermaster::cli::replay::engine::{Replay, ReplayOutcome};

const REQUESTS: usize = 8_000;
const SEEDS: [u64; 3] = [11, 22, 33];
const HOLD_MS: f64 = 1_000_000.0;
const SIZES_MBPS: [u64; 4] = [100, 200, 400, 1_000];

fn main() {
    let geant = formats::read(include_bytes!("../topologies/geant.json"), &Default::default());
    let fifty = networks::Network::generate("fifty", 50, 50, 88, (800, 900)).topology();
    println!("load carried at 1 % blocked bandwidth ({REQUESTS} requests, {} seeds), TE metric = 1", SEEDS.len());
    for (name, topology) in
        [("GEANT-like, 40 nodes", uniform(&geant.expect("a good file").topology)), ("generated, 50 nodes", fifty)]
    {
        let te = load_at_one_percent(&topology, "te", None);
        let congestion = load_at_one_percent(&topology, "congestion", None);
        let hops = load_at_one_percent(&topology, "hops", None);
        println!("{name:>22}: te 1.00, hops {:.2}, congestion {:.2}", hops / te, congestion / te);
        let overload = load_at(&topology, "te", 0.30);
        let accepted = |metric, threshold| 1.0 - blocked(&topology, metric, threshold, overload);
        let base = accepted("te", None);
        println!(
            "{:>22}  accepted at the load where te blocks 30 %: te 1.00, congestion {:.3}, with refusal above 1500 % {:.3}, 3000 % {:.3}, 4500 % {:.3}",
            "",
            accepted("congestion", None) / base,
            accepted("congestion", Some(1500)) / base,
            accepted("congestion", Some(3000)) / base,
            accepted("congestion", Some(4500)) / base
        );
    }
}

/// The same map with 10 Gbit/s everywhere and lengths as metric, so that both networks are asked the same question.
fn uniform(topology: &Topology) -> Topology {
    let nodes = topology.nodes().map(|(_, node)| node.clone()).collect();
    let links = topology.links().map(|(_, link)| {
        let mut link = link.clone();
        link.capacity = kernel::units::Bandwidth::saturating_from_bps(networks::CAPACITY_BPS);
        link.max_reservable = link.capacity;
        link.te_metric = u32::try_from(link.delay.0 / 5).unwrap_or(1).max(1);
        link
    });
    Topology::new(nodes, links.collect()).expect("it was good before")
}

fn load_at_one_percent(topology: &Topology, metric: &str, threshold: Option<u32>) -> f64 {
    let _ = threshold;
    load_at(topology, metric, 0.01)
}

/// Offered erlangs at which this part of the bandwidth is blocked.
fn load_at(topology: &Topology, metric: &str, part: f64) -> f64 {
    let (mut low, mut high) = (1.0, 20_000.0);
    while high / low > 1.01 {
        let middle = f64::sqrt(low * high);
        if blocked(topology, metric, None, middle) > part { high = middle } else { low = middle }
    }
    low
}

/// The part of the offered bandwidth that is blocked, the first quarter left out.
fn blocked(topology: &Topology, metric: &str, threshold: Option<u32>, erlangs: f64) -> f64 {
    let sum: f64 = SEEDS.iter().map(|seed| blocked_once(topology, metric, threshold, erlangs, *seed)).sum();
    sum / SEEDS.len() as f64
}

fn blocked_once(topology: &Topology, metric: &str, threshold: Option<u32>, erlangs: f64, seed: u64) -> f64 {
    let threshold = threshold.map_or(String::new(), |percent| format!(",\"refuse_above_percent\":{percent}"));
    let text = format!(
        "{{\"model\":\"mam\",\"classes\":[{{\"class_type\":0,\"share_ppm\":1000000}}],\"path_metric\":\"{metric}\"{threshold}}}"
    );
    let document: BandwidthModelDocument = serde_json::from_str(&text).expect("a good document");
    let mut replay =
        Replay::new(topology.clone(), model_of(&document).expect("a good model").0, 1_000).expect("a good network");
    let mut draw = Draw::new(seed);
    let names: Vec<String> = topology.nodes().map(|(_, node)| node.name.to_string()).collect();
    // Gravity: a node attracts as its links can carry.
    let masses: Vec<u64> = topology
        .nodes()
        .map(|(node, _)| topology.links().filter(|(_, link)| link.from == node).count() as u64)
        .collect();
    let (mut t_ms, mut offered, mut lost) = (0.0, 0_u64, 0_u64);
    for at in 0..REQUESTS {
        t_ms += exponential(&mut draw, HOLD_MS / erlangs);
        let ingress = by_mass(&mut draw, &masses);
        let egress = loop {
            let node = by_mass(&mut draw, &masses);
            if node != ingress {
                break node;
            }
        };
        let request = TraceRequest {
            t_ms: t_ms as u64,
            id: at.to_string(),
            ingress: names[ingress].clone(),
            egress: names[egress].clone(),
            class_type: 0,
            bandwidth_bps: SIZES_MBPS[draw.below(4) as usize] * 1_000_000,
            hold_ms: Some(exponential(&mut draw, HOLD_MS) as u64),
            setup_priority: None,
            hold_priority: None,
        };
        let decision = replay.feed(&request).expect("the network has these nodes");
        if at >= REQUESTS / 4 {
            offered += request.bandwidth_bps;
            lost += if decision.outcome == ReplayOutcome::Denied { request.bandwidth_bps } else { 0 };
        }
    }
    lost as f64 / offered as f64
}

fn by_mass(draw: &mut Draw, masses: &[u64]) -> usize {
    let mut left = draw.below(masses.iter().sum());
    masses
        .iter()
        .position(|mass| {
            let here = left < *mass;
            left = left.saturating_sub(*mass);
            here
        })
        .unwrap_or(0)
}

fn exponential(draw: &mut Draw, mean: f64) -> f64 {
    let uniform = ((draw.bits() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
    -mean * uniform.ln()
}
