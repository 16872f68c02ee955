//! Our broker against mosquitto: one load generator for both, interleaved in the same run, each broker on one core and the
//! generator on the other. Only the ratios mean anything on a machine that is shared.
//!
//! `cargo bench --bench broker [-- CASE...]`; `ROUNDS` (3) and `SECONDS` (2) may be set. Needs `taskset`, and `mosquitto`
//! (a Debian package) on the PATH: without it our figures stand alone, and that is said.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench prints, and stops when something is amiss"
)]

mod client;
mod host;
mod idle;
mod latency;
mod throughput;

use host::{Host, Kind};

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word.as_str()));
    let (rounds, seconds) = (number("ROUNDS", 3), number("SECONDS", 2));
    let kinds = host::kinds();
    if !kinds.contains(&Kind::Mosquitto) {
        println!("mosquitto is NOT on the PATH: nothing is compared. (Debian: apt-get install mosquitto)");
    }
    host::pin_this_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("best of {rounds} rounds of {seconds} s, 79-byte payloads, one core a broker");
    println!(
        "{:<22} {:>12} {:>12} {:>7} {:>9} {:>9}",
        "case", "ours msg/s", "mosquitto", "ratio", "ours µs", "mosq. µs"
    );
    for case in throughput::CASES.iter().filter(|case| is_chosen(case.name)) {
        let mut best = [None::<throughput::Figures>; 2];
        for _ in 0..rounds {
            for kind in &kinds {
                let host = Host::start(*kind);
                let figures = runtime.block_on(throughput::run(case, &host, seconds));
                let slot = &mut best[usize::from(*kind == Kind::Mosquitto)];
                if slot.is_none_or(|best| best.per_second < figures.per_second) {
                    *slot = Some(figures);
                }
            }
        }
        throughput::print(case, best);
    }
    if is_chosen("latency") {
        latency::compare(&runtime, &kinds, rounds, seconds);
    }
    if is_chosen("idle") {
        idle::compare(&runtime, &kinds);
    }
}
