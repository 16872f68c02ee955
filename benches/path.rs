//! Constrained shortest paths against petgraph's `astar` over `EdgeFiltered`, the plainest exact way to have them from a
//! library: the same graph, the same requests, the same state of the links, the cost compared on every request.
//!
//! `cargo bench --bench path`. Time is CPU time of this thread; the two are measured in turns, and the medians and the
//! spread of the ratios over the rounds are printed.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench prints its table and may stop on what cannot be"
)]

#[expect(dead_code, reason = "shared with other benches")]
mod measure;
#[expect(dead_code, reason = "shared with other benches")]
mod networks;

use std::hint::black_box;

use kernel::id::{LinkIx, NodeIx};
use kernel::path::{
    COST_ONE, Constraints, Disjointness, FoundPath, Graph, Links, Metric, Query, WEIGHT_ONE, Workspace, disjoint_pair,
    explain, k_shortest, shortest,
};
use kernel::topology::Topology;
use kernel::units::Micros;
use measure::on_cpu_ns;
use networks::{CAPACITY_BPS, Draw, Network};
use petgraph::algo::astar;
use petgraph::graph::DiGraph;
use petgraph::visit::{EdgeFiltered, EdgeRef};

const ROUNDS: usize = 5;
/// States of the links, and requests in each.
const STATES: usize = 8;
const REQUESTS: usize = 500;
const MBPS: u64 = 1_000_000;

fn main() {
    println!("paths a second of CPU time, median of {ROUNDS} rounds; ratio: median (least - most)");
    println!("{:<11}{:<22}{:>10}{:>14}{:>14}  ratio", "network", "metric, load", "feasible", "petgraph", "watermaster");
    let mut te_logs = vec![];
    for (metric, load) in [(Metric::Te, Load::Even), (Metric::Congestion, Load::Even), (Metric::Te, Load::Light)] {
        let mut logs = 0.0;
        for network in [networks::geant(), networks::cogentco(), networks::kdl()] {
            let log = Case::new(&network, metric, load).compare(network.name).ln();
            logs += log;
            if metric == Metric::Te {
                te_logs.push(log);
            }
        }
        println!(
            "{:<11}{:<22}{:>58.1}x in the geometric mean",
            "",
            format!("{metric:?}, {load:?}"),
            (logs / 3.0).exp()
        );
    }
    let te = te_logs.iter().sum::<f64>() / te_logs.len() as f64;
    println!("{:<11}{:<22}{:>58.1}x in the geometric mean", "", "Te, both loads", te.exp());
    println!();
    println!("microseconds of CPU time a call, median of {ROUNDS} rounds");
    println!("network      4 shortest   disjoint pair   <= 12 hops, 9 ms   explain     compile");
    for network in [networks::geant(), networks::cogentco(), networks::kdl()] {
        Case::new(&network, Metric::Te, Load::Even).others(network.name);
    }
}

/// How much of the links is taken.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// Anything between nothing and all, evenly.
    Even,
    /// At most half.
    Light,
}

/// What the links look like at one moment.
struct State {
    room_bps: Vec<u64>,
    weight: Vec<u32>,
}

impl Links for State {
    fn room_bps(&self, link: LinkIx) -> u64 {
        self.room_bps[link.at()]
    }

    fn weight(&self, link: LinkIx) -> u32 {
        self.weight[link.at()]
    }

    fn is_usable(&self, _: LinkIx) -> bool {
        true
    }
}

struct Request {
    ingress: NodeIx,
    egress: NodeIx,
    bandwidth_bps: u64,
}

struct Case {
    metric: Metric,
    load: Load,
    graph: Graph,
    /// The same for petgraph: edges are numbered as links and weigh their TE metric.
    peer: DiGraph<(), u64>,
    /// By which the largest TE metric has ten bits.
    tie_shift: u32,
    topology: Topology,
    states: Vec<(State, Vec<Request>)>,
}

impl Case {
    fn new(network: &Network, metric: Metric, load: Load) -> Self {
        let topology = network.topology();
        let mut draw = Draw::new(42);
        let largest = topology.links().map(|(_, link)| link.te_metric).max().unwrap_or(0);
        let states = (0..STATES).map(|_| {
            let state = state(&topology, load, &mut draw);
            let requests = (0..REQUESTS).map(|_| request(&topology, &mut draw)).collect();
            (state, requests)
        });
        Self {
            metric,
            load,
            graph: Graph::new(&topology),
            tie_shift: (32 - largest.leading_zeros()).saturating_sub(10),
            peer: topology.graph().map(|_, _| (), |_, link| u64::from(link.te_metric)),
            states: states.collect(),
            topology,
        }
    }

    /// Prints one line; gives the ratio.
    fn compare(&self, name: &str) -> f64 {
        let feasible = self.check();
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for _ in 0..ROUNDS {
            theirs.push(self.per_second(|| self.run_petgraph()));
            ours.push(self.per_second(|| self.run_ours()));
        }
        let mut ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ROUNDS / 2];
        println!(
            "{name:<11}{:<22}{:>9.1}%{:>14.0}{:>14.0}  {ratio:.1} ({:.1} - {:.1})",
            format!("{:?}, {:?}", self.metric, self.load),
            feasible * 100.0,
            median(&mut theirs),
            median(&mut ours),
            ratios[0],
            ratios[ROUNDS - 1],
        );
        ratio
    }

    /// Compares the cost of every request; gives the share that has a path.
    fn check(&self) -> f64 {
        let mut workspace = Workspace::default();
        let mut found = 0.0;
        for (state, requests) in &self.states {
            for request in requests {
                let ours = self.ours(state, request, &mut workspace);
                let theirs = self.theirs(state, request);
                assert_eq!(ours.as_ref().map(|path| path.cost), theirs.map(|(cost, _)| cost));
                found += f64::from(u8::from(ours.is_some()));
            }
        }
        found / (STATES * REQUESTS) as f64
    }

    fn run_petgraph(&self) {
        for (state, requests) in &self.states {
            for request in requests {
                black_box(self.theirs(state, request));
            }
        }
    }

    fn run_ours(&self) {
        let mut workspace = Workspace::default();
        for (state, requests) in &self.states {
            for request in requests {
                black_box(self.ours(state, request, &mut workspace));
            }
        }
    }

    fn ours(&self, state: &State, request: &Request, workspace: &mut Workspace) -> Option<FoundPath> {
        shortest(&self.graph, state, &self.query(request), workspace).ok()
    }

    fn query(&self, request: &Request) -> Query<'static> {
        static FREE: Constraints = Constraints {
            metric: None,
            max_hops: None,
            max_delay: None,
            include: Vec::new(),
            exclude: Vec::new(),
            include_any: 0,
            exclude_any: 0,
            route: Vec::new(),
        };
        let Request { ingress, egress, bandwidth_bps } = *request;
        Query { ingress, egress, bandwidth_bps, metric: self.metric, constraints: &FREE }
    }

    fn theirs(&self, state: &State, request: &Request) -> Option<(u64, Vec<petgraph::graph::NodeIndex>)> {
        let open = EdgeFiltered::from_fn(&self.peer, |edge: petgraph::graph::EdgeReference<'_, u64>| {
            state.room_bps[edge.id().index()] >= request.bandwidth_bps
        });
        let goal = petgraph::graph::NodeIndex::new(request.egress.at());
        let ingress = request.ingress.0.into();
        match self.metric {
            Metric::Te => astar(&open, ingress, |node| node == goal, |edge| edge.weight() * COST_ONE + 1, |_| 0),
            _ => {
                // The price of load, and ten bits of the TE metric where that is equal.
                let cost = |edge: petgraph::graph::EdgeReference<'_, u64>| {
                    (u64::from(state.weight[edge.id().index()]) << 25) + (edge.weight() >> self.tie_shift)
                };
                astar(&open, ingress, |node| node == goal, cost, |_| 0)
            }
        }
    }

    fn per_second(&self, run: impl Fn()) -> f64 {
        (STATES * REQUESTS) as f64 / seconds(run)
    }

    /// What there is no peer for: one line.
    fn others(&self, name: &str) {
        let Self { graph, .. } = self;
        let four = self.microseconds(|state, query, workspace| {
            drop(black_box(k_shortest(graph, state, query, 4, workspace)));
        });
        let pair = self.microseconds(|state, query, workspace| {
            drop(black_box(disjoint_pair(graph, state, query, Disjointness::Link, workspace)));
        });
        let within = Constraints { max_hops: Some(12), max_delay: Some(Micros(9_000)), ..Constraints::default() };
        let bounded = self.microseconds(|state, query, workspace| {
            let query = Query { constraints: &within, ..*query };
            drop(black_box(shortest(graph, state, &query, workspace)));
        });
        let reason = self.microseconds(|state, query, workspace| {
            drop(black_box(explain(graph, state, query, workspace)));
        });
        let compile = seconds(|| drop(black_box(Graph::new(&self.topology)))) * 1e6;
        println!("{name:<11}{four:>12.1}{pair:>16.1}{bounded:>18.1}{reason:>12.1}{compile:>12.0}");
    }

    /// The median over the rounds of what one call takes.
    fn microseconds(&self, call: impl Fn(&State, &Query<'_>, &mut Workspace)) -> f64 {
        let each = REQUESTS / 5;
        let round = |_| {
            let time = seconds(|| {
                let mut workspace = Workspace::default();
                for (state, requests) in &self.states {
                    for request in requests.iter().take(each) {
                        call(state, &self.query(request), &mut workspace);
                    }
                }
            });
            time * 1e6 / (STATES * each) as f64
        };
        median(&mut (0..ROUNDS).map(round).collect::<Vec<f64>>())
    }
}

fn state(topology: &Topology, load: Load, draw: &mut Draw) -> State {
    let free = |draw: &mut Draw| match load {
        Load::Even => draw.below(CAPACITY_BPS),
        Load::Light => CAPACITY_BPS / 2 + draw.below(CAPACITY_BPS / 2),
    };
    let room_bps: Vec<u64> = (0..topology.link_count()).map(|_| free(draw)).collect();
    let weight = room_bps.iter().map(|room| weight(CAPACITY_BPS - room)).collect();
    State { room_bps, weight }
}

/// Grows with the cube of what is taken, to 32 times.
fn weight(taken_bps: u64) -> u32 {
    let thousandths = u32::try_from(taken_bps / (CAPACITY_BPS / 1_000)).unwrap_or(1_000).min(1_000);
    WEIGHT_ONE + thousandths * thousandths / 1_000 * thousandths / 1_000 * 31 * WEIGHT_ONE / 1_000
}

fn request(topology: &Topology, draw: &mut Draw) -> Request {
    let nodes = topology.node_count() as u64;
    let ingress = draw.below(nodes);
    let egress = (ingress + 1 + draw.below(nodes - 1)) % nodes;
    let node = |at| NodeIx(u32::try_from(at).unwrap_or(0));
    Request { ingress: node(ingress), egress: node(egress), bandwidth_bps: (50 + draw.below(951)) * MBPS }
}

/// CPU time of this thread for one run, of as many as make [`LONG_S`].
fn seconds(run: impl Fn()) -> f64 {
    let before = on_cpu_ns();
    let mut runs = 0.0;
    loop {
        run();
        runs += 1.0;
        let seconds = (on_cpu_ns() - before) / 1e9;
        if seconds >= LONG_S {
            return seconds / runs;
        }
    }
}

/// What one measurement takes at least.
const LONG_S: f64 = 0.2;

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
