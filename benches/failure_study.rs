//! How many failures a second a study looks at: every link, and every pair of links, of NSFNET and of a generated network
//! of the size of Geant2012, with 10,000 allocations under ATCS; beside it the same failures one by one, each in a clone of
//! the state that the change is decided on and applied to, as dry runs over REST do it. CPU time of one thread.
//!
//! "70 % load" is as in the bench of admission. `cargo bench --bench failure_study`; with `-- quick` only NSFNET's links.

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

use kernel::command::LinkChange;
use kernel::id::Name;
use kernel::path::{Metric, Workspace};
use kernel::topology::LinkState;
use kernel::units::Millis;
use kernel::{Command, Recorded, apply, decide};
use measure::on_cpu_ns;
use optimizer::{FailureSet, FailureStudy, StudyLimits, scenarios, study_failures};
use world::{World, full_population};

const LIVING: usize = 10_000;
/// The size of requests from which the full population is found.
const PROBE_BPS: u64 = 20_000_000;
const LIMITS: StudyLimits =
    StudyLimits { scenarios_max: 10_000, listed_max: 100, listed_in_all_max: 10_000, work_max: u64::MAX };
/// A row is measured for so long.
const ROW_NS: f64 = 2e9;

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    println!("{LIVING} allocations, ATCS, CPU time of one thread");
    println!(
        "{:>10} {:>11} {:>6} {:>6} {:>10} {:>10} {:>6} {:>12} {:>12} {:>6}",
        "network", "metric", "load", "set", "scenarios", "displaced", "lost", "study 1/s", "clones 1/s", "ratio"
    );
    for network in [networks::nsfnet(), networks::geant()] {
        for (metric, name) in [(Metric::Te, "te"), (Metric::Congestion, "congestion")] {
            let full = full_population(&network.topology(), metric, PROBE_BPS);
            for load_percent in [30, 70] {
                let mean_bps = PROBE_BPS * (full * load_percent / 100) as u64 / LIVING as u64;
                let mut world = World::new(network.topology(), metric, 7);
                world.populate(LIVING, mean_bps.max(1));
                for (set, set_name) in [(FailureSet::Links, "links"), (FailureSet::Pairs, "pairs")] {
                    if quick && (set == FailureSet::Pairs || network.name != "NSFNET") {
                        continue;
                    }
                    let row = measure(&world, set);
                    println!(
                        "{:>10} {name:>11} {load_percent:>5}% {set_name:>6} {:>10} {:>10.0} {:>6.0} {:>12.0} {:>12.0} {:>6.2}",
                        network.name,
                        row.scenarios,
                        row.displaced,
                        row.lost,
                        row.study_per_s,
                        row.clones_per_s,
                        row.study_per_s / row.clones_per_s
                    );
                }
            }
        }
    }
}

struct Row {
    scenarios: usize,
    /// The mean over the scenarios.
    displaced: f64,
    lost: f64,
    study_per_s: f64,
    clones_per_s: f64,
}

fn measure(world: &World, set: FailureSet) -> Row {
    let topology = Name::new("bench").expect("a short name");
    let studied = study(world, &topology, set);
    let outcomes = studied.growths.iter().flat_map(|growth| &growth.outcomes);
    let (mut displaced, mut lost) = (0.0, 0.0);
    for outcome in outcomes {
        displaced += (outcome.rerouted.count + outcome.lost.count) as f64;
        lost += outcome.lost.count as f64;
    }
    let count = studied.scenario_count as f64;
    let study_ns = mean_ns(|| drop(study(world, &topology, set)));
    let clones_ns = mean_ns(|| cut_in_clones(world, &topology, set));
    Row {
        scenarios: studied.scenario_count,
        displaced: displaced / count,
        lost: lost / count,
        study_per_s: count * 1e9 / study_ns,
        clones_per_s: count * 1e9 / clones_ns,
    }
}

fn mean_ns(run: impl Fn()) -> f64 {
    let started = on_cpu_ns();
    let mut runs = 0.0;
    loop {
        run();
        runs += 1.0;
        let taken = on_cpu_ns() - started;
        if taken >= ROW_NS {
            return taken / runs;
        }
    }
}

fn study(world: &World, topology: &Name, set: FailureSet) -> FailureStudy {
    study_failures(&world.state, topology, set, &[0], LIMITS, || true).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Each failure in a clone of its own.
fn cut_in_clones(world: &World, topology: &Name, set: FailureSet) {
    let network = world.state.network(topology.as_str()).expect("there is one network");
    for scenario in scenarios(network.topology(), set, usize::MAX).1 {
        let (mut state, mut workspace) = (world.state.clone(), Workspace::default());
        for link in scenario.links {
            let link = network.topology().link(link).map(|link| link.name.clone()).expect("it is of this network");
            let change = LinkChange { state: Some(LinkState::Down), ..LinkChange::default() };
            let command = Command::ChangeLink { topology: topology.clone(), link, change };
            let event =
                decide(&state, &command, Millis(0), &mut workspace).unwrap_or_else(|refusal| panic!("{refusal}"));
            let recorded = Recorded { sequence: state.sequence().next(), at: Millis(0), event };
            apply(&mut state, &recorded).expect("what was decided can be applied");
        }
    }
}
