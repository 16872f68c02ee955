//! Paths past one included node on a grid of 40 by 40 nodes, where many walks are equally short and most pass a node twice:
//! how long a query takes by the clock, and how much CPU time it takes to restore allocations with such a constraint after a
//! cut. `cargo bench --bench include`.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a bench prints and stops"
)]

#[expect(dead_code, reason = "shared with other benches")]
mod measure;
#[expect(dead_code, reason = "shared with other benches")]
mod networks;

use std::sync::Arc;
use std::time::Instant;

use kernel::allocation::LspAttributes;
use kernel::class::ClassType;
use kernel::command::{Expected, LinkChange, NamedConstraints, NamedHop, OnMisfit, Request};
use kernel::event::Fate;
use kernel::id::{Name, NodeIx};
use kernel::path::{Constraints, Graph, Hop, Links, Metric, NoPath, Query, Workspace, shortest};
use kernel::topology::{LinkState, Topology};
use kernel::units::{Bandwidth, Millis};
use kernel::{Command, Event, Recorded, State, apply, decide};
use measure::on_cpu_ns;
use networks::{Draw, grid};

const SIDE: u32 = 40;
const QUERIES: usize = 5_000;
/// All from one corner: the cut of one of its two fibres displaces half of them.
const LIVING: usize = 10_000;

fn main() {
    let topology = grid(SIDE).topology();
    println!("grid of {SIDE} by {SIDE} nodes, one included node");
    println!(
        "{:>12} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10}",
        "metric", "queries", "none", "limit", "mean us", "p99 us", "worst us"
    );
    for (metric, name) in [(Metric::Congestion, "congestion"), (Metric::Te, "te")] {
        queries(&topology, metric, name);
    }
    restore(&topology);
}

struct Empty;

impl Links for Empty {
    fn room_bps(&self, _: kernel::id::LinkIx) -> u64 {
        u64::MAX
    }

    fn weight(&self, _: kernel::id::LinkIx) -> u32 {
        kernel::path::WEIGHT_ONE
    }

    fn is_usable(&self, _: kernel::id::LinkIx) -> bool {
        true
    }
}

fn queries(topology: &Topology, metric: Metric, name: &str) {
    let graph = Graph::new(topology);
    let (mut draw, mut workspace) = (Draw::new(5), Workspace::default());
    let (mut none, mut limit, mut taken) = (0, 0, vec![]);
    while taken.len() < QUERIES {
        let mut node = || NodeIx(u32::try_from(draw.below(u64::from(SIDE * SIDE))).unwrap_or(0));
        let (ingress, through, egress) = (node(), node(), node());
        if ingress == through || through == egress || ingress == egress {
            continue;
        }
        let constraints = Constraints { include: vec![Hop::Node(through)], ..Constraints::default() };
        let query = Query { ingress, egress, bandwidth_bps: 1, metric, constraints: &constraints };
        let started = Instant::now();
        let found = shortest(&graph, &Empty, &query, &mut workspace);
        taken.push(started.elapsed().as_secs_f64() * 1e6);
        none += usize::from(found == Err(NoPath::None));
        limit += usize::from(found == Err(NoPath::SearchLimit));
    }
    let mean = taken.iter().sum::<f64>() / QUERIES as f64;
    taken.sort_unstable_by(f64::total_cmp);
    let (p99, worst) = (taken[QUERIES * 99 / 100], taken[QUERIES - 1]);
    println!("{name:>12} {QUERIES:>8} {none:>8} {limit:>8} {mean:>10.0} {p99:>10.0} {worst:>10.0}");
}

fn named(text: &str) -> Name {
    Name::new(text).expect("a short name")
}

fn run(state: &mut State, command: &Command, workspace: &mut Workspace) -> Event {
    let event = decide(state, command, Millis(0), workspace).unwrap_or_else(|refusal| panic!("{refusal}"));
    let recorded = Recorded { sequence: state.sequence().next(), at: Millis(0), event };
    apply(state, &recorded).expect("what was decided can be applied");
    recorded.event
}

fn restore(topology: &Topology) {
    let (mut state, mut workspace, mut draw) = (State::new(), Workspace::default(), Draw::new(7));
    let corner = topology.links().find(|(_, link)| link.from == NodeIx(0)).map(|(_, link)| link.name.clone());
    let topology = Arc::new(topology.clone());
    let put =
        Command::PutTopology { name: named("grid"), topology, expected: Expected::Unsaid, misfits: OnMisfit::Refuse };
    run(&mut state, &put, &mut workspace);
    while state.allocation_count() < LIVING {
        let mut node = || 1 + draw.below(u64::from(SIDE * SIDE - 1));
        let (through, egress) = (node(), node());
        if through == egress {
            continue;
        }
        let include = vec![NamedHop::Node(named(&format!("n{through}")))];
        let request = Request {
            topology: None,
            ingress: named("n0"),
            egress: named(&format!("n{egress}")),
            class_type: ClassType::LOWEST,
            bandwidth: Bandwidth::saturating_from_bps(100_000),
            setup_priority: None,
            hold_priority: None,
            constraints: NamedConstraints { include, ..NamedConstraints::default() },
            hold_for: None,
            duration: None,
            moves_max: None,
            attributes: LspAttributes::default(),
        };
        run(&mut state, &Command::Allocate(Box::new(request)), &mut workspace);
    }
    let change = LinkChange { state: Some(LinkState::Down), ..LinkChange::default() };
    let link = corner.expect("the corner has links");
    let started = on_cpu_ns();
    let event = run(&mut state, &Command::ChangeLink { topology: named("grid"), link, change }, &mut workspace);
    let seconds = (on_cpu_ns() - started) / 1e9;
    let Event::LinkChanged { displaced, .. } = event else { panic!("the link has changed") };
    let rerouted = displaced.iter().filter(|gone| matches!(gone.fate, Fate::Rerouted(_))).count();
    let failed = displaced.len() - rerouted;
    println!("cut at the corner: {rerouted} rerouted, {failed} failed in {seconds:.2} s of CPU time");
}
