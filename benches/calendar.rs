//! Bookings over a year on a generated network of 754 nodes: what one more takes, a request for now beside them, a look for
//! times, a start; and memory. Each lasts one to four hours, and as many overlap as make 70 % load of `--bench admission`,
//! or less where none could be so large. `cargo bench --bench calendar`; with `-- quick` up to 100,000 bookings.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a bench prints and stops"
)]

mod measure;
#[expect(dead_code, reason = "shared with other benches")]
mod networks;
#[expect(dead_code, reason = "shared with other benches")]
mod world;

use kernel::decide::availability;
use kernel::path::{Metric, Workspace};
use kernel::units::Millis;
use kernel::{Command, Recorded, apply, decide};
use measure::{on_cpu_ns, status_bytes};
use networks::Draw;
use world::{Seen, World, full_population};

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;
const LOAD_PERCENT: u64 = 70;
const PROBE_BPS: u64 = 20_000_000;
/// No booking is larger on average.
const MEAN_MAX_BPS: u64 = 1_000_000_000;
const SAMPLES: usize = 2_000;
const LOOKS: usize = 20;

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    let topology = networks::kdl().topology();
    let full = full_population(&topology, Metric::Te, PROBE_BPS) as u64;
    println!(
        "754 nodes, 1,790 links, ATCS, TE metric, bookings of 1 to 4 hours over a year, CPU time of one thread; p99 of {SAMPLES}"
    );
    println!(
        "{:>10} {:>8} {:>12} {:>12} {:>12} {:>8} {:>12} {:>12} {:>10}",
        "bookings", "denied", "booking us", "p99 us", "request us", "denied", "start us", "times ms", "bytes each"
    );
    for count in [10_000_u64, 100_000, 1_000_000] {
        if quick && count > 100_000 {
            continue;
        }
        let at_once = (count * 5 / 2 * HOUR_MS / YEAR_MS).max(1);
        let mean_bps = (PROBE_BPS * full * LOAD_PERCENT / 100 / at_once).min(MEAN_MAX_BPS);
        let before = status_bytes("VmRSS");
        let mut world = World::new(topology.clone(), Metric::Te, 7);
        let mut draw = Draw::new(11);
        let mut denied = 0;
        for _ in 0..count {
            let command = booking(&mut world, &mut draw, mean_bps);
            denied += usize::from(world.run(&command) == Seen::Denied);
        }
        let bytes_each = status_bytes("VmRSS").saturating_sub(before) / world.state.allocation_count().max(1) as u64;
        let mut took: Vec<f64> = (0..SAMPLES)
            .map(|_| {
                let command = booking(&mut world, &mut draw, mean_bps);
                timed(|| world.run(&command))
            })
            .collect();
        let booking_us = mean(&took);
        took.sort_by(f64::total_cmp);
        let p99_us = took[SAMPLES * 99 / 100];
        let mut denied_now = 0;
        let took = (0..SAMPLES).map(|_| {
            let command = world.request(PROBE_BPS);
            timed(|| denied_now += usize::from(world.run(&command) == Seen::Denied))
        });
        let request_us = mean(&took.collect::<Vec<_>>());
        let took = (0..LOOKS).map(|_| {
            let Command::Allocate(request) = world.request(mean_bps) else { panic!("a request") };
            let from = Millis(draw.below(YEAR_MS - 24 * HOUR_MS));
            let (to, now) = (Millis(from.0 + 24 * HOUR_MS), Millis(0));
            let workspace = &mut Workspace::default();
            timed(|| availability(&world.state, &request, (from, to), Millis(2 * HOUR_MS), now, workspace))
        });
        let times_ms = mean(&took.collect::<Vec<_>>()) / 1e3;
        let took = (0..SAMPLES).map(|_| {
            let at = world.state.next_start().expect("there are bookings");
            let next = world.state.next_deadline().filter(|end| *end <= at).unwrap_or(at);
            timed(|| {
                let event = decide(&world.state, &Command::Start, next, &mut world.workspace).expect("one is due");
                let recorded = Recorded { sequence: world.state.sequence().next(), at: next, event };
                apply(&mut world.state, &recorded).expect("what was decided can be applied");
            })
        });
        let start_us = mean(&took.collect::<Vec<_>>());
        let denied = denied as f64 * 100.0 / count as f64;
        let denied_now = denied_now as f64 * 100.0 / SAMPLES as f64;
        println!(
            "{:>10} {denied:>7.1}% {booking_us:>12.1} {p99_us:>12.1} {request_us:>12.1} {denied_now:>7.1}% {start_us:>12.1} {times_ms:>12.1} {bytes_each:>10}",
            world.state.allocation_count(),
        );
    }
}

fn booking(world: &mut World, draw: &mut Draw, mean_bps: u64) -> Command {
    let Command::Allocate(mut request) = world.request(mean_bps) else { panic!("a request") };
    let starts_at = 1 + draw.below(YEAR_MS);
    request.attributes.starts_at = Some(Millis(starts_at));
    request.duration = Some(Millis(HOUR_MS + draw.below(3 * HOUR_MS)));
    Command::Allocate(request)
}

/// In microseconds.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let before_ns = on_cpu_ns();
    work();
    (on_cpu_ns() - before_ns) / 1e3
}

fn mean(took: &[f64]) -> f64 {
    took.iter().sum::<f64>() / took.len() as f64
}
