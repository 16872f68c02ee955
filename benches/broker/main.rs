//! Our broker against mosquitto: one load generator for both, interleaved in the same run, each broker on one core and the
//! generator on the other. Then both in a tenth of a core (`limits`), ours on a file, and two replicas on Redis behind a
//! balancer. Only the ratios mean anything on a machine that is shared; CPU time a message changes less with what else runs.
//! All have sessions, rules about topics and metrics.
//!
//! `cargo bench --bench broker [-- CASE...]`; `ROUNDS` (3) and `SECONDS` (2) may be set; `LOUD` shows what brokers say.
//! Needs `taskset`, and `mosquitto` and `redis-server` (Debian packages) on the PATH: what is missing is said.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench prints, and stops when something is amiss"
)]

mod balancer;
mod client;
mod host;
mod idle;
mod latency;
mod limits;
mod passwords;
mod restart;
mod throughput;

use host::Kind;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word.as_str()));
    let (rounds, seconds) = (number("ROUNDS", 3), number("SECONDS", 2));
    let mut kinds = vec![Kind::Ours];
    if host::is_there("mosquitto") {
        kinds.push(Kind::Mosquitto);
    } else {
        println!("mosquitto is NOT on the PATH: nothing is compared. (Debian: apt-get install mosquitto)");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    host::pin_this_process("1");
    println!(
        "best of {rounds} rounds of {seconds} s, 79-byte payloads, one core a broker; deliveries and CPU of each:"
    );
    println!("{:<24} {:>11} {:>9}  {:>11} {:>9}  {:>6}", "case", "ours", "CPU", "mosquitto", "CPU", "ratio");
    for case in throughput::CASES.iter().filter(|case| is_chosen(case.name)) {
        throughput::print(case, &throughput::best(&runtime, case, &kinds, rounds, seconds));
    }
    for case in throughput::FILE.iter().filter(|case| is_chosen(case.name)) {
        let kinds = [Kind::File, Kind::FileOnDisk, Kind::Ours];
        throughput::print_file(case, &throughput::best(&runtime, case, &kinds, rounds, seconds));
    }
    if is_chosen("latency") {
        latency::compare(&runtime, &kinds, rounds, seconds);
    }
    if is_chosen("passwords") {
        passwords::compare(&runtime, rounds, seconds);
    }
    if is_chosen("idle") {
        idle::compare(&runtime, &kinds, seconds);
    }
    if is_chosen("limits") {
        limits::measure(&runtime, &kinds, seconds);
    }
    if is_chosen("restart") {
        restart::measure(&runtime);
    }
    if !host::is_there("redis-server") {
        println!("redis-server is NOT on the PATH: no replicas. (Debian: apt-get install redis-server)");
        return;
    }
    host::pin_this_process("0-1");
    for case in throughput::REPLICAS.iter().filter(|case| is_chosen(case.name)) {
        let figures = throughput::best(&runtime, case, &[Kind::Replicas], rounds, seconds);
        throughput::print_replicas(case, &figures);
    }
    if is_chosen("redis latency") {
        latency::compare(&runtime, &[Kind::Replicas], rounds, seconds);
    }
}
