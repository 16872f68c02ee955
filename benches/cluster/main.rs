//! Replicas of the broker as processes of their own on a real Redis, behind a TCP balancer, and what becomes of the
//! clients when replicas are killed, come and go. It shows what the paper of the stateless broker shows.
//!
//! `cargo bench --bench cluster -- CASE...`, where a case is `kills`, `figure7`, `autoscaler` or `table2`; without one, all.
//! Figures 4, 5 and 7 are written to `docs/`. Needs `redis-server` (a Debian package).
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a bench prints, and stops when something is amiss"
)]

mod autoscaler;
#[path = "../../tests/real/broker/balancer.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod balancer;
#[path = "../../tests/real/broker/breaking.rs"]
mod breaking;
mod kills;
#[path = "../../tests/real/broker/load.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod load;
#[path = "../../tests/real/broker/parts.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod parts;
mod plot;
mod session;
mod table2;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let cases: [(&str, fn()); 4] = [
        ("kills", kills::one_minute),
        ("figure7", kills::figure_7),
        ("autoscaler", autoscaler::figures_4_and_5),
        ("table2", table2::compare),
    ];
    for (name, case) in cases {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            case();
        }
    }
}
