//! What plans of moves reach by each objective that needs no requests: its value before and after, how near that is to the
//! certified bound, how many moves and how long, on NSFNET and on a generated network of the size of Geant2012 at 40 % load
//! under ATCS.
//!
//! "40 % load" is as in the bench of admission. `cargo bench --bench optimization`.

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
#[expect(dead_code, reason = "shared with other benches")]
mod world;

use kernel::id::Name;
use kernel::path::Metric;
use kernel::units::Millis;
use measure::on_cpu_ns;
use optimizer::{Objective, OptimizationAim, optimize};
use world::{World, full_population};

const LOAD_PERCENT: usize = 40;
/// The size of requests from which the full population is found.
const PROBE_BPS: u64 = 20_000_000;
const MOVES_MAX: usize = 1_000;
/// With their words, and the units in which they are shown: percent, metric times Tbit/s, Mbit/s.
const OBJECTIVES: [(Objective, &str, f64); 3] = [
    (Objective::MaxUtilisation, "max_utilisation", 1e4),
    (Objective::TotalCost, "total_cost", 1e12),
    (Objective::MaxMin, "max_min", 1e6),
];

fn main() {
    let topology = Name::new("bench").expect("a short name");
    println!(
        "ATCS, {LOAD_PERCENT} % load, utilisation and free bandwidth of the worst link, cost in 10^12 metric bit/s, CPU time"
    );
    println!(
        "{:>10} {:>11} {:>7} {:>15} {:>9} {:>9} {:>9} {:>9} {:>6} {:>7}",
        "network", "metric", "living", "objective", "before", "after", "bound", "reached", "moves", "s"
    );
    for network in [networks::nsfnet(), networks::geant()] {
        for (metric, name) in [(Metric::Te, "te"), (Metric::Congestion, "congestion")] {
            let full = full_population(&network.topology(), metric, PROBE_BPS);
            for living in [200, 2_000, 10_000] {
                let mean_bps = PROBE_BPS * (full * LOAD_PERCENT / 100) as u64 / living as u64;
                let mut world = World::new(network.topology(), metric, 7);
                world.populate(living, mean_bps.max(1));
                for (objective, word, unit) in OBJECTIVES {
                    let aim = OptimizationAim { objective, requests: vec![], moves_max: MOVES_MAX };
                    let started = on_cpu_ns();
                    let plan = optimize(&world.state, &topology, &aim, Millis(0), |_| true);
                    let plan = plan.unwrap_or_else(|refused| panic!("{refused:?}"));
                    let seconds = (on_cpu_ns() - started) / 1e9;
                    let figures = [plan.value.0, plan.value.1, plan.bound.value].map(|value| value as f64 / unit);
                    let [before, after, bound] = figures;
                    let reached = plan.reached_ppm(objective) as f64 / 1e4;
                    println!(
                        "{:>10} {name:>11} {living:>7} {word:>15} {before:>9.1} {after:>9.1} {bound:>9.1} {reached:>7.1} % {:>6} \
                         {seconds:>7.2}",
                        network.name,
                        plan.steps.len()
                    );
                }
            }
        }
    }
}
