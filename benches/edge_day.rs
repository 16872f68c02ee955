//! A day at the edge, simulated: aggregators on a network of 754 nodes report loads that follow the time of day, each by its
//! own clock; links fail and come back; the scheduler is restarted. Time is virtual, everything is drawn from one seed, and
//! the scheduler, the decisions and the books are those of the service, without its sockets and its journal.
//!
//! It checks that no link carries more than it has, that what aggregators were told is what is reserved, and how far both
//! are from the plan that is made anew from the demands of that instant (weighted max-min).
//!
//! `cargo bench --bench edge_day -- [--aggregators 100000] [--hours 24] [--report-minutes 30] [--topology FILE]`. Time is CPU
//! time of this thread.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench prints and may stop on what cannot be")]
#![expect(clippy::cast_precision_loss, reason = "figures are printed to three digits")]

mod measure;
#[expect(dead_code, reason = "only one of the networks is needed")]
mod networks;

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::audit::audit;
use kernel::command::{Expected, LinkChange, OnMisfit};
use kernel::event::{Denial, Displaced};
use kernel::id::{AllocationId, LinkIx, Name, NodeIx};
use kernel::path::{Constraints, Everything, Graph, Metric, Query, Workspace, shortest};
use kernel::scheduler::engine::{Dispatcher, GrantOutcome};
use kernel::scheduler::report::{LevelReport, Metadata, Presence, Subscriber, TopicReport};
use kernel::scheduler::{AggregatorIx, FlowDemand, FlowKey, LEVELS, Planner, QosLevel, SchedulerSettings};
use kernel::topology::{LinkState, Topology};
use kernel::units::{Bandwidth, Millis};
use kernel::{Command, Event, Recorded, State, apply, decide};
use measure::{on_cpu_ns, status_bytes};
use networks::Draw;

const MINUTE_MS: u64 = 60_000;
/// What the busiest link is asked for at the peak, against what it has, in percent.
const PEAK_PERCENT: u64 = 130;
/// A link fails every so many minutes, and comes back after so many.
const FAILURE_EVERY: u64 = 180;
const FAILURE_LASTS: u64 = 40;
/// The scheduler is restarted every so many minutes.
const RESTART_EVERY: u64 = 360;

fn main() {
    let options = Options::read();
    let mut day = Day::new(&options);
    println!(
        "{} aggregators, {} flows, {} nodes, {} links; each reports every {} minutes",
        options.aggregators,
        day.flows.len(),
        day.topology.node_count(),
        day.topology.link_count(),
        options.report_minutes
    );
    println!(
        "{:>5}{:>10}{:>10}{:>10}{:>10}{:>10}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10}",
        "hour",
        "asked G",
        "told G",
        "plan G",
        "within 3%",
        "within10%",
        "made",
        "resized",
        "released",
        "lost",
        "denied",
        "CPU s"
    );
    for hour in 0..options.hours {
        let began_ns = on_cpu_ns();
        for minute in hour * 60..(hour + 1) * 60 {
            day.step(minute, &options);
        }
        day.print(hour, on_cpu_ns() - began_ns);
    }
    println!("{:.1} GiB of memory at most", status_bytes("VmHWM") as f64 / f64::from(1 << 30));
}

struct Options {
    aggregators: u32,
    hours: u64,
    report_minutes: u64,
    topology: Option<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { aggregators: 100_000, hours: 24, report_minutes: 30, topology: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number follows");
            match argument.as_str() {
                "--aggregators" => options.aggregators = u32::try_from(number()).expect("a small number"),
                "--hours" => options.hours = number(),
                "--report-minutes" => options.report_minutes = number(),
                "--topology" => options.topology = Some(arguments.next().expect("a file follows")),
                // Cargo's own.
                _ => {}
            }
        }
        options
    }
}

/// What an aggregator sends in one level to consumers at one node.
struct EdgeFlow {
    level: QosLevel,
    ends: (NodeIx, NodeIx),
    /// At the peak of its day.
    peak_bps: u64,
}

#[derive(Default)]
struct Counts {
    made: u64,
    resized: u64,
    released: u64,
    /// Allocations that a failure ended.
    lost: u64,
    denied: u64,
}

struct Day {
    topology: Arc<Topology>,
    flows: Vec<EdgeFlow>,
    /// The first flow of each aggregator.
    first: Vec<usize>,
    state: State,
    dispatcher: Dispatcher,
    settings: SchedulerSettings,
    workspace: Workspace,
    now: Millis,
    draw: Draw,
    counts: Counts,
    failed: Vec<(u64, Name)>,
}

fn named(text: &str) -> Name {
    Name::new(text).expect("a name")
}

impl Day {
    fn new(options: &Options) -> Self {
        let topology = Arc::new(match &options.topology {
            None => networks::kdl().topology(),
            Some(path) => {
                let bytes = std::fs::read(path).expect("the file is there");
                formats::read(&bytes, &formats::ReadOptions::default()).expect("a topology").topology
            }
        });
        let mut draw = Draw::new(u64::from(options.aggregators));
        let (flows, first) = draw_flows(&topology, options.aggregators, &mut draw);
        let now = Millis(1_000_000_000);
        let lease_ms = options.report_minutes * MINUTE_MS * 3;
        let settings = SchedulerSettings { lease_ms, drain_ms: 2_000, ..SchedulerSettings::default() };
        let state = State::new();
        let dispatcher = Dispatcher::new(settings.clone(), None, &state, now);
        let (workspace, counts) = (Workspace::default(), Counts::default());
        let mut day =
            Self { topology, flows, first, state, dispatcher, settings, workspace, now, draw, counts, failed: vec![] };
        let topology = Arc::clone(&day.topology);
        day.decide(&Command::PutTopology {
            name: named("net"),
            topology,
            expected: Expected::Unsaid,
            misfits: OnMisfit::Refuse,
        });
        day
    }

    fn step(&mut self, minute: u64, options: &Options) {
        self.now = Millis(1_000_000_000 + minute * MINUTE_MS);
        if minute > 0 && minute.is_multiple_of(RESTART_EVERY) {
            self.dispatcher = Dispatcher::new(self.settings.clone(), None, &self.state, self.now);
        }
        let mut touched = self.fail_links(minute);
        self.dispatcher.sync(&self.state, &std::mem::take(&mut touched));
        self.dispatcher.tick(&self.state, self.now);
        for aggregator in 0..options.aggregators {
            // At the start all of them come within minutes, as after a power failure.
            if (u64::from(aggregator) + minute).is_multiple_of(options.report_minutes) {
                let report = self.report_of(aggregator, minute);
                let id = named(&format!("a{aggregator}"));
                self.dispatcher.report(&id, Arc::new(report), &self.state, self.now).expect("a good report");
            }
        }
        self.settle();
    }

    /// Links that fail and come back; the allocations that ended.
    fn fail_links(&mut self, minute: u64) -> Vec<AllocationId> {
        let mut touched = vec![];
        if minute > 0 && minute.is_multiple_of(FAILURE_EVERY) {
            let at = usize::try_from(self.draw.below(self.topology.link_count() as u64)).expect("few links");
            let (_, link) = self.topology.links().nth(at).expect("it is there");
            let name = link.name.clone();
            touched.extend(self.change_link(&name, LinkState::Down));
            self.failed.push((minute + FAILURE_LASTS, name));
        }
        for (_, name) in self.failed.extract_if(.., |(until, _)| *until <= minute).collect::<Vec<_>>() {
            touched.extend(self.change_link(&name, LinkState::Up));
        }
        touched
    }

    fn change_link(&mut self, link: &Name, state: LinkState) -> Vec<AllocationId> {
        let change = LinkChange { state: Some(state), ..LinkChange::default() };
        let (_, touched) = self.decide(&Command::ChangeLink { topology: named("net"), link: link.clone(), change });
        self.counts.lost += touched.iter().filter(|id| self.state.allocation(**id).is_none()).count() as u64;
        touched
    }

    fn demand_bps(&self, flow: &EdgeFlow, minute: u64) -> u64 {
        // A day's sine in whole numbers: low at 4, high at 16 o'clock, an hour later for every sixth part of the nodes.
        let shift = u64::from(flow.ends.0.0) * 6 / self.topology.node_count() as u64 * 60;
        let phase = (minute + 1_440 - 240 + shift) % 1_440;
        let rise = phase.min(1_440 - phase);
        flow.peak_bps * (200 + 800 * rise / 720) / 1_000
    }

    fn report_of(&self, aggregator: u32, minute: u64) -> Metadata {
        let range = self.first[aggregator as usize]..self.first[aggregator as usize + 1];
        let flows = &self.flows[range];
        let node = |ix: NodeIx| self.topology.node(ix).expect("a node").name.clone();
        let topic = |flow: &EdgeFlow| TopicReport {
            topic: named("t"),
            level: flow.level,
            arrival: Bandwidth::saturating_from_bps(self.demand_bps(flow, minute)),
            subscribers: vec![Subscriber { consumer: named("c"), node: node(flow.ends.1), endpoint: None }],
        };
        Metadata {
            node: node(flows[0].ends.0),
            at: self.now,
            presence: Presence::default(),
            levels: [LevelReport { buffer_capacity_bytes: 1_000_000, ..LevelReport::default() }; LEVELS],
            topics: flows.iter().map(topic).collect(),
        }
    }

    /// All that the scheduler asks for.
    fn settle(&mut self) {
        loop {
            let asks = self.dispatcher.next_commands(self.now);
            if asks.is_empty() {
                break;
            }
            for ask in asks {
                let (outcome, touched) = self.decide(&ask.command);
                self.dispatcher.apply_outcome(ask.asked, outcome, &self.state, self.now);
                if !touched.is_empty() {
                    self.dispatcher.sync(&self.state, &touched);
                }
            }
        }
        self.dispatcher.take_changed(self.now);
        self.dispatcher.take_forgotten();
    }

    /// Decides a command as the writer does, with the allocations that others lost by it.
    fn decide(&mut self, command: &Command) -> (GrantOutcome, Vec<AllocationId>) {
        let Ok(event) = decide(&self.state, command, self.now, &mut self.workspace) else {
            return (GrantOutcome::Refused, vec![]);
        };
        let ids = |gone: &[Displaced]| gone.iter().map(|gone| gone.id).collect::<Vec<_>>();
        let outcome = match &event {
            Event::Admitted { allocation, displaced } => {
                self.counts.made += 1;
                (GrantOutcome::Granted(allocation.id), ids(displaced))
            }
            Event::Resized { allocation, displaced } => {
                self.counts.resized += 1;
                (GrantOutcome::Granted(allocation.id), ids(displaced))
            }
            Event::Released { .. } => {
                self.counts.released += 1;
                (GrantOutcome::Released, vec![])
            }
            Event::Denied { denial, .. } => {
                self.counts.denied += 1;
                let largest = match denial {
                    Denial::InsufficientBandwidth { largest_admissible, .. } => *largest_admissible,
                    _ => Bandwidth::ZERO,
                };
                (GrantOutcome::Denied { largest }, vec![])
            }
            Event::LinkChanged { displaced, .. } => (GrantOutcome::Undecided, ids(displaced)),
            _ => (GrantOutcome::Undecided, vec![]),
        };
        let sequence = self.state.sequence().next();
        apply(&mut self.state, &Recorded { sequence, at: self.now, event }).expect("it was decided");
        outcome
    }

    /// The figures of an hour; the books and the rates are compared at its end.
    fn print(&mut self, hour: u64, cpu_ns: f64) {
        assert_eq!(audit(&self.state), vec![], "the books are sound: no link carries more than it has");
        let capacities: Vec<Bandwidth> = self.topology.links().map(|(_, link)| self.capacity_of(&link.name)).collect();
        let mut planner = Planner::new(self.settings.clone(), &capacities);
        let mut told = BTreeMap::new();
        let mut asked_bps = 0;
        for aggregator in 0..u32::try_from(self.first.len() - 1).expect("few") {
            let Some(view) = self.dispatcher.view(&named(&format!("a{aggregator}"))) else { continue };
            for flow in &self.flows[self.first[aggregator as usize]..self.first[aggregator as usize + 1]] {
                let to = &self.topology.node(flow.ends.1).expect("a node").name;
                let granted = &view.rates.levels[flow.level.at()];
                let Some(rate) = granted.destinations.iter().find(|destination| destination.node == *to) else {
                    continue;
                };
                let paths: Vec<_> = rate
                    .paths
                    .iter()
                    .map(|path| {
                        let allocation = self.state.allocation(path.allocation).expect("what was told is reserved");
                        assert_eq!(allocation.demand.bandwidth, path.rate, "what was told is reserved");
                        Arc::clone(&allocation.path)
                    })
                    .collect();
                // What it reported last.
                let demand_bps = view.demand[flow.level.at()].as_bps();
                asked_bps += demand_bps;
                let key = FlowKey { aggregator: AggregatorIx(aggregator), level: flow.level, egress: flow.ends.1 };
                let demand = Bandwidth::saturating_from_bps(demand_bps);
                planner.put(key, &paths, FlowDemand { demand, boosted: false });
                told.insert(key, rate.rate.as_bps());
            }
        }
        planner.rebalance();
        planner.update();
        let (mut planned_bps, mut told_bps, mut within) = (0, 0, [0_u64; 2]);
        for (key, told) in &told {
            let (planned, told) = (planner.rate(*key).map_or(0, |rate| rate.rate.as_bps()), *told);
            (planned_bps, told_bps) = (planned_bps + planned, told_bps + told);
            for (count, percent) in within.iter_mut().zip([3, 10]) {
                *count += u64::from(told.abs_diff(planned) * 100 <= planned * percent);
            }
        }
        let giga = |bps: u64| bps as f64 / 1e9;
        let part = |count: u64| count as f64 * 100.0 / told.len().max(1) as f64;
        let Counts { made, resized, released, lost, denied } = std::mem::take(&mut self.counts);
        println!(
            "{hour:>5}{:>10.1}{:>10.1}{:>10.1}{:>9.1}%{:>9.1}%{made:>9}{resized:>9}{released:>9}{lost:>9}{denied:>10}{:>10.1}",
            giga(asked_bps),
            giga(told_bps),
            giga(planned_bps),
            part(within[0]),
            part(within[1]),
            cpu_ns / 1e9
        );
    }

    /// What a link has for aggregators now.
    fn capacity_of(&self, link: &Name) -> Bandwidth {
        let network = self.state.network("net").expect("it was put");
        let (_, link) = network.topology().links().find(|(_, each)| each.name == *link).expect("it is there");
        if link.state == LinkState::Up { link.capacity } else { Bandwidth::ZERO }
    }
}

/// Each aggregator at any node, with consumers of each level at any other. At the peak the busiest link is asked for
/// [`PEAK_PERCENT`] of what it has.
fn draw_flows(topology: &Topology, aggregators: u32, draw: &mut Draw) -> (Vec<EdgeFlow>, Vec<usize>) {
    let graph = Graph::new(topology);
    let (mut workspace, constraints) = (Workspace::default(), Constraints::default());
    let nodes = topology.node_count() as u64;
    let (mut flows, mut first, mut on_link) = (vec![], vec![0], vec![0_u64; topology.link_count()]);
    for _ in 0..aggregators {
        let mut node = || NodeIx(u32::try_from(draw.below(nodes)).expect("few nodes"));
        let ingress = node();
        for level in QosLevel::ALL {
            let mut egress = node();
            while egress == ingress {
                egress = node();
            }
            let query = Query { ingress, egress, bandwidth_bps: 0, metric: Metric::Te, constraints: &constraints };
            let Ok(found) = shortest(&graph, &Everything, &query, &mut workspace) else { continue };
            found.links.iter().for_each(|link: &LinkIx| on_link[link.at()] += 1);
            flows.push(EdgeFlow { level, ends: (ingress, egress), peak_bps: 0 });
        }
        first.push(flows.len());
    }
    let busiest = on_link.iter().max().copied().unwrap_or(1).max(1);
    let capacity_bps = topology.links().map(|(_, link)| link.capacity.as_bps()).min().unwrap_or(0);
    for flow in &mut flows {
        flow.peak_bps = draw.below(capacity_bps * PEAK_PERCENT / 50 / busiest).max(1);
    }
    (flows, first)
}
