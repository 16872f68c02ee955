//! What the congestion metrics, and moves before a denial, are worth: the load that a network carries at 1 % blocked
//! bandwidth, by bisection, and the bandwidth accepted under overload, against the TE metric without moves on the same
//! arrivals. Poisson arrivals, exponential holding times; requests of a tenth of a link at most, and of up to half a link;
//! between nodes as the demands of the file say (SNDlib), else by gravity.
//! `cargo bench --bench routing [-- TOPOLOGY...]`, of other maps instead.

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
use watermaster::cli::replay::engine::Replay;
use watermaster::cli::replay::summary::ReplayOutcome;

const REQUESTS: usize = 8_000;
const SEEDS: [u64; 3] = [11, 22, 33];
const HOLD_MS: f64 = 1_000_000.0;

/// How paths are chosen: the metric, and how many allocations may be moved before a denial.
#[derive(Clone, Copy)]
struct Choice {
    metric: &'static str,
    max_moves: u8,
}

/// Kilometres, and nothing is moved: what all others are held against.
const BASELINE: Choice = Choice { metric: "te", max_moves: 0 };
const CHOICES: [Choice; 6] = [
    Choice { metric: "hops", max_moves: 0 },
    Choice { metric: "congestion", max_moves: 0 },
    Choice { metric: "te", max_moves: 3 },
    Choice { metric: "hops", max_moves: 3 },
    Choice { metric: "congestion_te", max_moves: 3 },
    Choice { metric: "congestion", max_moves: 3 },
];

/// How large requests are against links.
struct Grain {
    name: &'static str,
    capacity_bps: u64,
    sizes_mbps: &'static [u64],
}

const GRAINS: [Grain; 2] = [
    Grain { name: "fine", capacity_bps: 10_000_000_000, sizes_mbps: &[100, 200, 400, 1_000] },
    Grain { name: "coarse", capacity_bps: 2_000_000_000, sizes_mbps: &[200, 400, 600, 800, 1_000] },
];

fn main() {
    println!(
        "{REQUESTS} requests, {} seeds; against the TE metric (kilometres) without moves on the same arrivals:",
        SEEDS.len()
    );
    println!("accepted at the load where te blocks 10 % / 30 % / load carried at 1 % blocked bandwidth");
    for (name, topology, pairs) in maps() {
        for grain in &GRAINS {
            let setting = Setting { topology: uniform(&topology, grain), pairs: &pairs, grain };
            let [one, ten, thirty] = [0.01, 0.10, 0.30].map(|part| load_at(&setting, BASELINE, part));
            let accepted = |choice, load| 1.0 - blocked(&setting, choice, load);
            println!(
                "{name}, {}, {}: te blocks 1 / 10 / 30 % at {one:.0} / {ten:.0} / {thirty:.0} erlang",
                pairs.words(),
                grain.name
            );
            for choice in CHOICES {
                println!(
                    "{:>22}, {} moves {:.3} / {:.3} / {:.3}",
                    choice.metric,
                    choice.max_moves,
                    accepted(choice, ten) / accepted(BASELINE, ten),
                    accepted(choice, thirty) / accepted(BASELINE, thirty),
                    load_at(&setting, choice, 0.01) / one,
                );
            }
        }
    }
}

/// Between which nodes requests are.
enum NodePairs {
    /// A node attracts as many as it has links.
    Gravity(Vec<u64>),
    /// The demands of the file, either way round.
    Matrix { ends: Vec<(usize, usize)>, weights: Vec<u64> },
}

impl NodePairs {
    fn of(topology: &Topology, file: &str) -> Self {
        let place = |name: &str| topology.nodes().position(|(_, node)| node.name.as_str() == name);
        let inside =
            |text: &str, tag: &str| Some(text.split_once(&format!("<{tag}>"))?.1.split_once("</")?.0.trim().to_owned());
        let demands = file.split("<demand ").skip(1).map(|text| {
            let end = |tag| place(&inside(text, tag)?);
            let tenths = inside(text, "demandValue")?.parse::<f64>().ok()? * 10.0;
            Some(((end("source")?, end("target")?), tenths as u64))
        });
        let (ends, weights): (Vec<_>, _) = demands.map(|demand| demand.expect("a demand between nodes")).unzip();
        if !ends.is_empty() {
            return Self::Matrix { ends, weights };
        }
        let links_from = |node| topology.links().filter(|(_, link)| link.from == node).count() as u64;
        Self::Gravity(topology.nodes().map(|(node, _)| links_from(node)).collect())
    }

    fn words(&self) -> &'static str {
        match self {
            Self::Gravity(_) => "gravity by degree",
            Self::Matrix { .. } => "its own matrix",
        }
    }

    fn draw(&self, draw: &mut Draw) -> (usize, usize) {
        match self {
            Self::Gravity(masses) => {
                let ingress = by_mass(draw, masses);
                loop {
                    let egress = by_mass(draw, masses);
                    if egress != ingress {
                        return (ingress, egress);
                    }
                }
            }
            Self::Matrix { ends, weights } => {
                let (one, other) = ends[by_mass(draw, weights)];
                if draw.below(2) == 0 { (one, other) } else { (other, one) }
            }
        }
    }
}

/// What is asked of a network.
struct Setting<'a> {
    topology: Topology,
    pairs: &'a NodePairs,
    grain: &'a Grain,
}

/// The maps that the command line names, or those that are here.
fn maps() -> Vec<(String, Topology, NodePairs)> {
    let read = |bytes: &[u8]| formats::read(bytes, &Default::default()).expect("a good file").topology;
    let mut maps = vec![];
    for file in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        let bytes = std::fs::read(&file).expect("a file that can be read");
        let topology = read(&bytes);
        let pairs = NodePairs::of(&topology, &String::from_utf8_lossy(&bytes));
        maps.push((file, topology, pairs));
    }
    if maps.is_empty() {
        let own = [
            ("GEANT-like, 40 nodes", read(include_bytes!("../topologies/geant.json"))),
            ("generated, 50 nodes", networks::Network::generate("fifty", 50, 50, 88, (800, 900)).topology()),
        ];
        maps.extend(own.map(|(name, topology)| {
            let pairs = NodePairs::of(&topology, "");
            (name.to_owned(), topology, pairs)
        }));
    }
    maps
}

/// The same map with one capacity everywhere and kilometres as metric, so that all networks are asked the same question.
fn uniform(topology: &Topology, grain: &Grain) -> Topology {
    let nodes = topology.nodes().map(|(_, node)| node.clone()).collect();
    let links = topology.links().map(|(_, link)| {
        let mut link = link.clone();
        link.capacity = kernel::units::Bandwidth::saturating_from_bps(grain.capacity_bps);
        link.max_reservable = link.capacity;
        link.te_metric = u32::try_from(link.delay.0 / 5).unwrap_or(1).max(1);
        link
    });
    Topology::new(nodes, links.collect()).expect("it was good before")
}

/// Offered erlangs at which this part of the bandwidth is blocked.
fn load_at(setting: &Setting<'_>, choice: Choice, part: f64) -> f64 {
    let (mut low, mut high) = (1.0, 20_000.0);
    while high / low > 1.01 {
        let middle = f64::sqrt(low * high);
        if blocked(setting, choice, middle) > part { high = middle } else { low = middle }
    }
    low
}

/// The part of the offered bandwidth that is blocked, the first quarter left out.
fn blocked(setting: &Setting<'_>, choice: Choice, erlangs: f64) -> f64 {
    let sum: f64 = SEEDS.iter().map(|seed| blocked_once(setting, choice, erlangs, *seed)).sum();
    sum / SEEDS.len() as f64
}

fn blocked_once(setting: &Setting<'_>, choice: Choice, erlangs: f64, seed: u64) -> f64 {
    let Setting { topology, pairs, grain } = setting;
    let Choice { metric, max_moves } = choice;
    let text = format!(
        "{{\"model\":\"mam\",\"classes\":[{{\"class_type\":0,\"share_ppm\":1000000}}],\"path_metric\":\"{metric}\",\
         \"relocation\":{{\"max_moves\":{max_moves}}}}}"
    );
    let document: BandwidthModelDocument = serde_json::from_str(&text).expect("a good document");
    let mut replay =
        Replay::new(topology.clone(), model_of(&document).expect("a good model").0, 1_000).expect("a good network");
    let mut draw = Draw::new(seed);
    let names: Vec<String> = topology.nodes().map(|(_, node)| node.name.to_string()).collect();
    let (mut t_ms, mut offered, mut lost) = (0.0, 0_u64, 0_u64);
    for at in 0..REQUESTS {
        t_ms += exponential(&mut draw, HOLD_MS / erlangs);
        let (ingress, egress) = pairs.draw(&mut draw);
        let request = TraceRequest {
            t_ms: t_ms as u64,
            id: at.to_string(),
            ingress: names[ingress].clone(),
            egress: names[egress].clone(),
            class_type: 0,
            bandwidth_bps: grain.sizes_mbps[draw.below(grain.sizes_mbps.len() as u64) as usize] * 1_000_000,
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
