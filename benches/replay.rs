//! What a million living allocations cost: memory, a snapshot, a restart from it, and how long snapshots hold requests up.
//! On a generated network of 754 nodes under ATCS. The restart happens in a process of its own, so that its memory is what a
//! restarted service has.
//! `cargo bench --bench replay`; with `-- quick` a hundred thousand.

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

use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use kernel::path::Metric;
use measure::status_bytes;
use watermaster::app::{App, AppOptions, Mode};
use watermaster::journal::{DatabaseUrl, Journal, Retention};
use world::World;

const MIB: f64 = 1_048_576.0;
/// How long requests follow each other: some snapshots are written in that time, where there are any.
const ASKED_FOR: Duration = Duration::from_secs(20);
/// So few events are kept that each look at it finds a snapshot due.
const EVENTS_KEPT: u64 = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Some(at) = arguments.iter().position(|argument| argument == "restore") {
        return runtime.block_on(async {
            restore(&arguments[at + 1]).await;
            ask(&arguments[at + 1], None).await;
            ask(&arguments[at + 1], Some(EVENTS_KEPT)).await;
        });
    }
    let living = if arguments.iter().any(|argument| argument == "quick") { 100_000 } else { 1_000_000 };
    let before = status_bytes("VmRSS");
    let mut world = World::new(networks::kdl().topology(), Metric::Te, 7);
    let started = Instant::now();
    world.populate(living, 20_000);
    let took = started.elapsed();
    let grown = status_bytes("VmRSS") - before;
    let count = world.state.allocation_count();
    println!(
        "{count} living allocations: {:.0} MiB, {:.0} bytes each; admitted in {:.1} s",
        grown as f64 / MIB,
        grown as f64 / count as f64,
        took.as_secs_f64()
    );
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("bench.db").display());
    runtime.block_on(async {
        let journal = Journal::open(&DatabaseUrl::from_str(&url).expect("a good address")).await.expect("a journal");
        let started = Instant::now();
        journal.write_snapshot(&world.state).await.expect("a snapshot");
        println!("snapshot: written in {:.1} s", started.elapsed().as_secs_f64());
        journal.close().await;
    });
    let program = std::env::current_exe().expect("this program has a path");
    let status = Command::new(program).args(["restore", &url]).status().expect("this program starts");
    assert!(status.success());
}

async fn restore(url: &str) {
    let started = Instant::now();
    let journal = Journal::open(&DatabaseUrl::from_str(url).expect("a good address")).await.expect("a journal");
    let state = journal.restore().await.expect("the snapshot can be read");
    println!(
        "restart from the snapshot: {} allocations in {:.1} s; memory then {:.0} MiB, at most {:.0} MiB",
        state.allocation_count(),
        started.elapsed().as_secs_f64(),
        status_bytes("VmRSS") as f64 / MIB,
        status_bytes("VmHWM") as f64 / MIB
    );
}

/// Requests, one after the other and each on disk, with snapshots or without any.
async fn ask(url: &str, events_kept: Option<u64>) {
    let journal = Journal::open(&DatabaseUrl::from_str(url).expect("a good address")).await.expect("a journal");
    let retention = Retention { events: events_kept, ..Retention::default() };
    let (app, tasks) =
        App::start_with(journal, AppOptions { retention, ..AppOptions::default() }).await.expect("an app");
    let mut world = World::new(networks::kdl().topology(), Metric::Te, 8);
    let (started, mut took_us) = (Instant::now(), vec![]);
    while started.elapsed() < ASKED_FOR {
        let request = world.request(20_000);
        let asked = Instant::now();
        app.submit_one(request, Mode::Commit, None).await.expect("the journal takes it").expect("it can be decided");
        took_us.push(asked.elapsed().as_micros());
    }
    took_us.sort_unstable();
    let part = |per_mille: usize| took_us[(took_us.len() - 1) * per_mille / 1_000] as f64 / 1e3;
    println!(
        "{} requests {}: median {:.2} ms, p99 {:.2}, p99.9 {:.2}, at most {:.2}",
        took_us.len(),
        if events_kept.is_some() { "beside snapshots" } else { "without snapshots" },
        part(500),
        part(990),
        part(999),
        part(1_000)
    );
    tasks.stop(&app).await;
}
