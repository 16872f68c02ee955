//! How long the kernel takes to restore a cut link: decide and apply of the change that says the link is down, in process,
//! on generated networks of 40 nodes (the size of GEANT) and 754 (Kdl) under ATCS at 70 % load. The busiest links are cut,
//! each in a network that is otherwise whole; every allocation on the link and on its twin is rerouted or fails.
//!
//! "70 % load" is as in the bench of admission. `cargo bench --bench restoration`; with `-- quick` up to 10,000 allocations.

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
use kernel::event::Fate;
use kernel::id::{LinkIx, Name};
use kernel::path::{Metric, Workspace};
use kernel::topology::LinkState;
use kernel::units::Millis;
use kernel::{Command, Event, Recorded, State, apply, decide};
use measure::on_cpu_ns;
use world::{World, full_population};

const LOAD_PERCENT: usize = 70;
/// The size of requests from which the full population is found.
const PROBE_BPS: u64 = 20_000_000;
/// How many links are cut, one at a time.
const CUTS: usize = 10;

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    println!("ATCS, {LOAD_PERCENT} % load, the mean over the {CUTS} busiest links, CPU time");
    println!(
        "{:>10} {:>10} {:>10} {:>10} {:>10} {:>8} {:>10} {:>14}",
        "nodes", "metric", "living", "on link", "rerouted", "failed", "cut ms", "us a displaced"
    );
    for network in [networks::geant(), networks::kdl()] {
        let topology = network.topology();
        for (metric, name) in [(Metric::Te, "te"), (Metric::Congestion, "congestion")] {
            let full = full_population(&topology, metric, PROBE_BPS);
            for living in [10_000, 100_000] {
                if quick && living > 10_000 {
                    continue;
                }
                let mean_bps = PROBE_BPS * (full * LOAD_PERCENT / 100) as u64 / living as u64;
                let mut world = World::new(topology.clone(), metric, 7);
                world.populate(living, mean_bps.max(1));
                let row = cut_busiest(&mut world);
                println!(
                    "{:>10} {name:>10} {:>10} {:>10.0} {:>10.0} {:>8.0} {:>10.2} {:>14.2}",
                    topology.node_count(),
                    world.state.allocation_count(),
                    row.on_link,
                    row.rerouted,
                    row.failed,
                    row.cut_ns / 1e6,
                    row.cut_ns / 1e3 / (row.rerouted + row.failed)
                );
            }
        }
    }
}

/// Means over the cuts.
#[derive(Default)]
struct Row {
    on_link: f64,
    rerouted: f64,
    failed: f64,
    cut_ns: f64,
}

fn cut_busiest(world: &mut World) -> Row {
    let network = world.state.network("bench").expect("there is one network");
    // A fibre once, by the direction that carries more.
    let carries = |link: LinkIx| {
        let twin = network.topology().link(link).and_then(|link| link.twin);
        let counts = [Some(link), twin].map(|link| link.map_or(0, |link| network.ledger().count_on(link)));
        (counts[0] + counts[1], link)
    };
    let fibres = network.topology().links().filter(|(ix, link)| link.twin.is_none_or(|twin| *ix < twin));
    let mut links: Vec<(usize, LinkIx)> = fibres.map(|(ix, _)| carries(ix)).collect();
    links.sort_unstable_by(|a, b| b.cmp(a));
    let mut row = Row::default();
    for (on_link, link) in links.into_iter().take(CUTS) {
        let name = network.topology().link(link).map(|link| link.name.clone()).expect("it is of this network");
        let cut = cut(&world.state, name, &mut world.workspace);
        row.on_link += on_link as f64 / CUTS as f64;
        row.rerouted += cut.rerouted / CUTS as f64;
        row.failed += cut.failed / CUTS as f64;
        row.cut_ns += cut.cut_ns / CUTS as f64;
    }
    row
}

/// Cuts one link in a copy of the state.
fn cut(state: &State, link: Name, workspace: &mut Workspace) -> Row {
    let mut state = state.clone();
    let topology = Name::new("bench").expect("a short name");
    let change = LinkChange { state: Some(LinkState::Down), ..LinkChange::default() };
    let command = Command::ChangeLink { topology, link, change };
    let started = on_cpu_ns();
    let event = decide(&state, &command, Millis(0), workspace).unwrap_or_else(|refusal| panic!("{refusal}"));
    let recorded = Recorded { sequence: state.sequence().next(), at: Millis(0), event };
    apply(&mut state, &recorded).expect("what was decided can be applied");
    let cut_ns = on_cpu_ns() - started;
    let Event::LinkChanged { displaced, .. } = recorded.event else { panic!("the link has changed") };
    let rerouted = displaced.iter().filter(|gone| matches!(gone.fate, Fate::Rerouted(_))).count();
    Row { on_link: 0.0, rerouted: rerouted as f64, failed: (displaced.len() - rerouted) as f64, cut_ns }
}
