//! Rules in force per second through os-ken and real switches, in one run, three ways: the naive one (one sequential POST a
//! rule, and nothing that says whether it took), our driver over the same plain `ofctl_rest` (every rule checked before and
//! read back after), and our driver with the acknowledged batch. And the time from `201` to rules that are verified.
//!
//! It needs the lab: `tests/real/lab/lab setup && tests/real/lab/lab up`, then `cargo bench --bench southbound`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a bench prints and stops"
)]
#![expect(dead_code, reason = "what the tests of real parts are made of is more than what is measured here")]

#[path = "../tests/real/client.rs"]
mod client;
#[path = "../tests/real/lab.rs"]
mod lab;
#[path = "../tests/real/network.rs"]
mod network;
#[path = "../tests/real/running.rs"]
mod running;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use api::outbound::OutboundNetworks;
use futures_util::future::join_all;
use kernel::id::AllocationId;
use kernel::intent::{Action, Cookie, Dpid, Match, MplsLabel, Numbering, PortNo, Rule, RuleKey, RuleStep, StepOutcome};
use serde_json::json;
use watermaster::southbound::Driver;
use watermaster::southbound::ryu::Ryu;

use lab::Lab;
use network::{Network, many};

/// Rules on each of the four switches in one round.
const RULES: u32 = 250;
const SWITCHES: u64 = 4;
/// Rounds of each way, taking turns.
const ROUNDS: usize = 3;
/// Allocations whose way from 201 to active is timed.
const ADMISSIONS: u16 = 100;

fn main() {
    let lab = Lab::take();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let total = f64::from(RULES) * SWITCHES as f64;
    println!("{} rules on {SWITCHES} switches, {ROUNDS} rounds; rules in force per second", RULES * 4);

    lab.plain_controller();
    lab.await_controller();
    let driver = Ryu::new(lab.url(), &OutboundNetworks::default(), Numbering::DEFAULT).unwrap();
    let (mut naive, mut plain) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        naive.push(total / naively(&lab).as_secs_f64());
        clear(&runtime, &driver, &lab);
        plain.push(total / ours(&runtime, &driver).as_secs_f64());
        clear(&runtime, &driver, &lab);
    }
    lab.clean();
    lab.await_controller();
    let mut batch = vec![];
    for _ in 0..ROUNDS {
        naive.push(total / naively(&lab).as_secs_f64());
        clear(&runtime, &driver, &lab);
        batch.push(total / ours(&runtime, &driver).as_secs_f64());
        clear(&runtime, &driver, &lab);
    }
    let base = median(&mut naive);
    for (what, rates) in [
        ("one POST a rule, unverified", &mut naive),
        ("our driver, plain ofctl_rest", &mut plain),
        ("our driver, acknowledged batch", &mut batch),
    ] {
        let rate = median(rates);
        println!("{what:<32} {rate:>7.0}/s  {:>5.2}x", rate / base);
    }
    from_answer_to_force(&lab);
}

/// A POST after the other on one connection, as a script would.
fn naively(lab: &Lab) -> Duration {
    let host = lab.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let started = Instant::now();
    for number in 0..RULES {
        for switch in 1..=SWITCHES {
            let body = json!({"dpid": switch, "cookie": cookie(number).0, "table_id": 0, "priority": 30_000,
                "match": {"eth_type": 34887, "mpls_label": 200_000 + number, "mpls_bos": 1},
                "actions": [{"type": "SET_FIELD", "field": "mpls_label", "value": 300_000 + number},
                    {"type": "SET_FIELD", "field": "mpls_tc", "value": 3}, {"type": "OUTPUT", "port": 2}]})
            .to_string();
            let head =
                format!("POST /stats/flowentry/add HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
            assert_eq!(answer(&mut reader), 200);
        }
    }
    started.elapsed()
}

fn answer(reader: &mut impl BufRead) -> u16 {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    status
}

fn cookie(number: u32) -> Cookie {
    Cookie::new(Numbering::DEFAULT.cookie_tag(), 1, AllocationId(u64::from(number) + 1)).unwrap()
}

fn rules() -> Vec<Rule> {
    let label = |number| MplsLabel::new(number).unwrap();
    let rule = |number| Rule {
        place: RuleKey {
            table: 0,
            priority: 30_000,
            matches: Match::Mpls { label: label(200_000 + number), bottom_of_stack: true, in_port: None },
        },
        cookie: cookie(number),
        actions: vec![Action::SetLabel(label(300_000 + number)), Action::SetTrafficClass(3), Action::Output(PortNo(2))],
    };
    (0..RULES).map(rule).collect()
}

/// All switches at once, and nothing counted that is not in force.
fn ours(runtime: &tokio::runtime::Runtime, driver: &Ryu) -> Duration {
    let steps: Vec<RuleStep> = rules().into_iter().map(RuleStep::PutRule).collect();
    run(runtime, driver, &steps)
}

fn run(runtime: &tokio::runtime::Runtime, driver: &Ryu, steps: &[RuleStep]) -> Duration {
    let started = Instant::now();
    let calls = (1..=SWITCHES).map(|switch| driver.apply(Dpid(switch), steps));
    for outcomes in runtime.block_on(join_all(calls)) {
        assert!(outcomes.unwrap().iter().all(|outcome| *outcome == StepOutcome::InForce));
    }
    started.elapsed()
}

fn clear(runtime: &tokio::runtime::Runtime, driver: &Ryu, lab: &Lab) {
    let delete = |rule: Rule| RuleStep::DeleteRule { place: rule.place, cookie: rule.cookie };
    let steps: Vec<RuleStep> = rules().into_iter().map(delete).collect();
    run(runtime, driver, &steps);
    assert_eq!(lab.held(), (0, 0));
}

/// One admission after the other: from the 201 to the state that says that every rule of it is verified.
fn from_answer_to_force(lab: &Lab) {
    let network = Network::of(lab);
    network.await_controller();
    let mut times: Vec<f64> = many(ADMISSIONS, 1_000)
        .iter()
        .map(|request| {
            let id = network.admit(request);
            let admitted = Instant::now();
            while network.allocation(&id)["state"] != "active" {
                std::thread::sleep(Duration::from_millis(1));
            }
            admitted.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("from 201 to verified, {ADMISSIONS} admissions: p50 {:.1} ms, p99 {:.1} ms", at(50), at(99));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
