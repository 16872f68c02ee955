//! The QoS scheduler's plan on a network of Kdl's size, 754 nodes: what one changed report costs among 1,000, 10,000 and
//! 100,000 aggregators, beside making the whole plan anew in the same run, where the network has room for all, where it
//! is full in places, and where it is overloaded. The plan kept up to date is compared with the plan made anew.
//! Aims: a change among 10,000 in less than 1 ms, a whole plan for 100,000 in less than 1 s, whatever the load.
//!
//! What a change costs follows `told`, the flows that get another rate by it: where links are full, a link whose level
//! moves by a step tells everybody whom it stops, and they lie on the links of all of their paths.
//!
//! Where aggregators have tenants a change fills anew: `tenants ms` is one change, with a hundred tenants of weights from 1 to 10.
//!
//! Each flow has one path, and then up to four over which it may be split; `paths` is how many have a part, for each flow, and
//! `balance ms` what it takes to find the parts anew. Before, the
//! least rate and the total of plans with one path and with several are compared with the optimum over every division, by linear
//! programs.
//!
//! `cargo bench --bench scheduler`. Time is CPU time of this thread; percentiles are of wall time.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench prints its table and may stop on what cannot be"
)]
#![expect(clippy::cast_precision_loss, reason = "figures are printed to three digits")]

#[expect(dead_code, reason = "not every bench measures everything")]
mod measure;
#[expect(dead_code, reason = "only some of the networks are needed")]
mod networks;
#[path = "../tests/it/rates/commodities.rs"]
mod commodities;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use kernel::id::{LinkIx, Name, NodeIx};
use kernel::path::{Graph, Workspace};
use kernel::scheduler::{AggregatorIx, FlowDemand, FlowKey, Planner, QosLevel, SchedulerSettings, TenantShare};
use kernel::topology::Topology;
use kernel::units::Bandwidth;
use measure::on_cpu_ns;
use networks::{CAPACITY_BPS, Draw};

/// How many reports change.
const CHANGES: usize = 2_000;

/// How many change where there are tenants, and how many tenants there are.
const CHANGES_WITH_TENANTS: usize = 10;
const TENANTS: u32 = 100;

/// How many plans are compared with the optimum.
const COMPARED: u64 = 12;

/// How much is asked for, against what the busiest link has for each of its flows, in percent.
const LOADS: [(&str, u64); 3] = [("room for all", 15), ("full in places", 150), ("overloaded", 1_500)];

fn main() {
    compare_with_optimum();
    let topology = networks::kdl().topology();
    let graph = Graph::new(&topology);
    println!(
        "{:<16}{:>6}{:>12}{:>12}{:>12}{:>12}{:>10}{:>10}{:>12}{:>12}{:>12}",
        "load",
        "paths",
        "aggregators",
        "anew ms",
        "change us",
        "p50 us",
        "p99 us",
        "told",
        "anew/change",
        "balance ms",
        "tenants ms"
    );
    for aggregators in [1_000, 10_000, 100_000] {
        for max_paths in [1, 4] {
            let round = Round::new(&topology, &graph, aggregators, max_paths);
            for (name, percent) in LOADS {
                round.clone().run(name, percent);
            }
        }
    }
}

/// The worst and the mean of plans for thirty aggregators on NSFNET, whose demands are endless, or up to 9 Gbit/s.
fn compare_with_optimum() {
    println!(
        "{:<24}{:>6}{:>14}{:>14}{:>14}{:>14}{:>14}{:>14}",
        "demands", "paths", "least, worst", "mean", "lowest, worst", "mean", "total, worst", "mean"
    );
    let topology = networks::nsfnet().topology();
    for (name, demand_bps) in [("endless", None), ("up to 9 Gbit/s", Some(9_000_000_000))] {
        for max_paths in [1, 2, 4, 8] {
            let settings = SchedulerSettings { max_paths, ..SchedulerSettings::default() };
            let near: Vec<_> = (0..COMPARED)
                .map(|seed| commodities::nearness(&topology, &commodities::draw(seed, 14, 30, demand_bps), &settings))
                .collect();
            let worst = |each: fn(&commodities::Nearness) -> f64| near.iter().map(each).fold(f64::INFINITY, f64::min);
            let mean = |each: fn(&commodities::Nearness) -> f64| near.iter().map(each).sum::<f64>() / COMPARED as f64;
            println!(
                "{name:<24}{max_paths:>6}{:>14.3}{:>14.3}{:>14.3}{:>14.3}{:>14.3}{:>14.3}",
                worst(|near| near.least),
                mean(|near| near.least),
                worst(|near| near.lowest),
                mean(|near| near.lowest),
                worst(|near| near.total),
                mean(|near| near.total)
            );
        }
    }
}

#[derive(Clone)]
struct Round {
    settings: SchedulerSettings,
    capacities: Vec<Bandwidth>,
    flows: Vec<(FlowKey, Vec<Arc<[LinkIx]>>)>,
    /// What the busiest link has for each of its flows.
    fair_bps: u64,
    draw: Draw,
}

impl Round {
    /// Each aggregator at any node, with consumers of each level at any other.
    fn new(topology: &Topology, graph: &Graph, aggregators: u32, max_paths: u32) -> Self {
        let settings = SchedulerSettings { max_paths, ..SchedulerSettings::default() };
        let mut draw = Draw::new(u64::from(aggregators));
        let nodes = topology.node_count() as u64;
        let mut node = || NodeIx(u32::try_from(draw.below(nodes)).expect("few nodes"));
        let mut workspace = Workspace::default();
        let mut flows = vec![];
        for aggregator in 0..aggregators {
            let ingress = node();
            for level in QosLevel::ALL {
                let egress = node();
                let paths =
                    commodities::paths(topology, graph, (ingress, egress), settings.candidates_max(), &mut workspace);
                if !paths.is_empty() {
                    flows.push((FlowKey { aggregator: AggregatorIx(aggregator), level, egress }, paths));
                }
            }
        }
        let mut on_link = vec![0_u64; topology.link_count()];
        let hops = flows.iter().filter_map(|(_, paths)| paths.first()).flat_map(|path: &Arc<[LinkIx]>| path.iter());
        hops.for_each(|link| on_link[link.at()] += 1);
        let fair_bps = CAPACITY_BPS / on_link.iter().max().copied().unwrap_or(1).max(1);
        let capacities = topology.links().map(|(_, link)| link.capacity).collect();
        Self { settings, capacities, flows, fair_bps, draw }
    }

    /// Anything up to twice `percent` of the fair part.
    fn want(&mut self, percent: u64) -> FlowDemand {
        let demand_bps = self.draw.below(self.fair_bps * percent / 50).max(1);
        FlowDemand { demand: Bandwidth::saturating_from_bps(demand_bps), boosted: false }
    }

    fn run(mut self, load: &str, percent: u64) {
        let mut wants: Vec<FlowDemand> = (0..self.flows.len()).map(|_| self.want(percent)).collect();
        let (mut planner, _) = self.anew(&wants);
        let mut told = 0;
        let mut walls_ns = Vec::with_capacity(CHANGES);
        let mut cpu_ns = 0.0;
        for _ in 0..CHANGES {
            let at = usize::try_from(self.draw.below(self.flows.len() as u64)).expect("few flows");
            let changed = self.flows[at].0.aggregator;
            let first = self.flows.partition_point(|(key, _)| key.aggregator < changed);
            let end = self.flows.partition_point(|(key, _)| key.aggregator <= changed);
            for want in &mut wants[first..end] {
                *want = FlowDemand {
                    demand: Bandwidth::saturating_from_bps(self.draw.below(self.fair_bps * percent / 50).max(1)),
                    ..*want
                };
            }
            let (started, began_ns) = (Instant::now(), on_cpu_ns());
            for ((key, paths), want) in self.flows[first..end].iter().zip(&wants[first..end]) {
                planner.put(*key, paths, *want);
            }
            told += planner.update().len();
            cpu_ns += on_cpu_ns() - began_ns;
            walls_ns.push(started.elapsed().as_nanos() as f64);
        }
        walls_ns.sort_by(f64::total_cmp);
        let began_ns = on_cpu_ns();
        planner.rebalance();
        planner.update();
        let balance_ns = on_cpu_ns() - began_ns;
        let (anew, anew_ns) = self.anew(&wants);
        assert!(planner.rates().eq(anew.rates()), "the plan kept up to date is another than the plan made anew");
        let change_ns = cpu_ns / CHANGES as f64;
        let tenants_ns = self.with_tenants(&mut planner, percent);
        println!(
            "{load:<16}{:>6.2}{:>12}{:>12.1}{:>12.1}{:>12.1}{:>10.1}{:>10.1}{:>12.0}{:>12.1}{:>12.2}",
            anew.rates().count() as f64 / self.flows.len() as f64,
            self.flows.len() / 3,
            anew_ns / 1e6,
            change_ns / 1e3,
            walls_ns[CHANGES / 2] / 1e3,
            walls_ns[CHANGES * 99 / 100] / 1e3,
            told as f64 / CHANGES as f64,
            anew_ns / change_ns,
            balance_ns / 1e6,
            tenants_ns / 1e6
        );
    }

    /// What a change costs where every aggregator has a tenant.
    fn with_tenants(&mut self, planner: &mut Planner, percent: u64) -> f64 {
        for aggregator in self.flows.iter().map(|(key, _)| key.aggregator) {
            let number = aggregator.0 % TENANTS;
            let tenant = Name::new(&format!("tenant {number}")).expect("a name");
            let weight = NonZeroU32::MIN.saturating_add(number % 10);
            planner.set_tenant(aggregator, Some(&TenantShare { tenant, weight }));
        }
        planner.update();
        let mut cpu_ns = 0.0;
        for _ in 0..CHANGES_WITH_TENANTS {
            let at = usize::try_from(self.draw.below(self.flows.len() as u64)).expect("few flows");
            let want = self.want(percent);
            let (key, paths) = &self.flows[at];
            let began_ns = on_cpu_ns();
            planner.put(*key, paths, want);
            planner.update();
            cpu_ns += on_cpu_ns() - began_ns;
        }
        cpu_ns / CHANGES_WITH_TENANTS as f64
    }

    fn anew(&self, wants: &[FlowDemand]) -> (Planner, f64) {
        let began_ns = on_cpu_ns();
        let mut planner = Planner::new(self.settings.clone(), &self.capacities);
        for ((key, paths), want) in self.flows.iter().zip(wants) {
            planner.put(*key, paths, *want);
        }
        // Parts are found later than the paths come where many come at once.
        planner.rebalance();
        planner.update();
        let took_ns = on_cpu_ns() - began_ns;
        (planner, took_ns)
    }
}
