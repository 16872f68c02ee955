//! How many decisions a second the kernel makes on one core: decide and apply, in process, on a generated network of 754
//! nodes (the size of Kdl) under ATCS at 70 % load, and whether that depends on how many allocations live.
//!
//! "70 % load" is 70 % of the population at which one request in ten is denied. The same load is made of 1,000 to
//! 1,000,000 allocations by making each one smaller. A churn step releases one at random and asks for one.
//! `cargo bench --bench admission`; with `-- quick` up to 100,000 allocations.

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
mod world;

use kernel::path::Metric;
use measure::on_cpu_ns;
use world::{Seen, World, full_population};

const CHURN: usize = 40_000;
const LOAD_PERCENT: usize = 70;
/// The size of requests from which the full population is found.
const PROBE_BPS: u64 = 20_000_000;

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    let topology = networks::kdl().topology();
    println!(
        "754 nodes, 1,790 links, ATCS, {LOAD_PERCENT} % load, {CHURN} releases and {CHURN} requests a row, CPU time"
    );
    println!(
        "{:>10} {:>10} {:>6} {:>8} {:>12} {:>12} {:>14} {:>14}",
        "metric", "living", "util", "denied", "request us", "release us", "decisions/s", "to 1,000 live"
    );
    for (metric, name) in [(Metric::Te, "te"), (Metric::Congestion, "congestion")] {
        let full = full_population(&topology, metric, PROBE_BPS);
        let mut first = None;
        for living in [1_000, 10_000, 100_000, 1_000_000] {
            if quick && living > 100_000 {
                continue;
            }
            let mean_bps = PROBE_BPS * (full * LOAD_PERCENT / 100) as u64 / living as u64;
            let mut world = World::new(topology.clone(), metric, 7);
            world.populate(living, mean_bps.max(1));
            let row = churn(&mut world, mean_bps.max(1));
            let per_decision = (row.request_ns + row.release_ns) / 2.0;
            let ratio = per_decision / *first.get_or_insert(per_decision);
            println!(
                "{name:>10} {:>10} {:>5.0}% {:>7.1}% {:>12.2} {:>12.2} {:>14.0} {ratio:>13.2}x",
                world.state.allocation_count(),
                world.utilisation() * 100.0,
                row.denied * 100.0,
                row.request_ns / 1e3,
                row.release_ns / 1e3,
                1e9 / per_decision
            );
        }
    }
}

struct Row {
    request_ns: f64,
    release_ns: f64,
    denied: f64,
}

/// Time of releases and of requests, apart: in blocks, since looking at the clock costs something too.
fn churn(world: &mut World, mean_bps: u64) -> Row {
    const BLOCK: usize = 100;
    let (mut request_ns, mut release_ns, mut denied) = (0.0, 0.0, 0);
    for _ in 0..CHURN / BLOCK {
        let releases: Vec<_> = (0..BLOCK).filter_map(|_| world.somebody()).collect();
        let started = on_cpu_ns();
        for command in &releases {
            world.run(command);
        }
        release_ns += on_cpu_ns() - started;
        let requests: Vec<_> = (0..BLOCK).map(|_| world.request(mean_bps)).collect();
        let started = on_cpu_ns();
        for command in &requests {
            denied += usize::from(world.run(command) == Seen::Denied);
        }
        request_ns += on_cpu_ns() - started;
    }
    let count = CHURN as f64;
    Row { request_ns: request_ns / count, release_ns: release_ns / count, denied: denied as f64 / count }
}
