//! What plans of moves reach: the maximum utilisation before and after, the certified bound that no routing goes below, how
//! many moves and how long, on NSFNET and on a generated network of the size of Geant2012 at 40 % load under ATCS.
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
use measure::on_cpu_ns;
use optimizer::lower_max_utilisation;
use world::{World, full_population};

const LOAD_PERCENT: usize = 40;
/// The size of requests from which the full population is found.
const PROBE_BPS: u64 = 20_000_000;
const MOVES_MAX: usize = 1_000;

fn main() {
    let topology = Name::new("bench").expect("a short name");
    println!("ATCS, {LOAD_PERCENT} % load, maximum utilisation in percent, CPU time");
    println!(
        "{:>10} {:>11} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "network", "metric", "living", "before", "after", "bound", "moves", "s"
    );
    for network in [networks::nsfnet(), networks::geant()] {
        for (metric, name) in [(Metric::Te, "te"), (Metric::Congestion, "congestion")] {
            let full = full_population(&network.topology(), metric, PROBE_BPS);
            for living in [200, 2_000, 10_000] {
                let mean_bps = PROBE_BPS * (full * LOAD_PERCENT / 100) as u64 / living as u64;
                let mut world = World::new(network.topology(), metric, 7);
                world.populate(living, mean_bps.max(1));
                let started = on_cpu_ns();
                let plan = lower_max_utilisation(&world.state, &topology, MOVES_MAX, || true);
                let plan = plan.unwrap_or_else(|refusal| panic!("{refusal}"));
                let seconds = (on_cpu_ns() - started) / 1e9;
                let (before, after) = plan.max_ppm();
                let [before, after, bound] = [before, after, plan.bound_ppm].map(|ppm| ppm as f64 / 1e4);
                println!(
                    "{:>10} {name:>11} {living:>7} {before:>7.1} {after:>7.1} {bound:>7.1} {:>7} {seconds:>7.2}",
                    network.name,
                    plan.moves.len()
                );
            }
        }
    }
}
