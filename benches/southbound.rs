//! Rules in force per second through os-ken and real switches, in one run, three ways: the naive one (one sequential POST a
//! rule, and nothing that says whether it took), our driver over the same plain `ofctl_rest` (every rule checked before and
//! read back after), and our driver with the acknowledged batch. And the time from `201` to rules that are verified;
//! until a switch that was emptied is whole again; and without packets, of each of a thousand allocations on a cable that is
//! out.
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

use lab::{Cable, Lab, await_that};
use network::{Network, many, with};

/// Rules on each of the four switches in one round.
const RULES: u32 = 250;
const SWITCHES: u64 = 4;
/// Rounds of each way, taking turns.
const ROUNDS: usize = 3;
/// Allocations whose way from 201 to active is timed.
const ADMISSIONS: u16 = 100;
/// Allocations with rules on a switch that is emptied: 2,000 rules in all, and 4,000.
const EMPTIED: [u16; 2] = [667, 1_333];
/// Allocations on a cable that is taken out.
const CUT: u16 = 1_000;
/// The UDP port of the first of [`many`].
const FIRST_PORT: u16 = 10_000;
/// To all of them together.
const PACKETS_PER_SECOND: u32 = 5_000;
const TRIALS: u64 = 4;
/// Of the ring's links: more than is asked for.
const CAPACITY_BPS: u64 = 1_000_000_000;
/// Longer than any of it takes.
const LONG: Duration = Duration::from_secs(60);

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
    for allocations in EMPTIED {
        emptied(&lab, allocations);
    }
    cut(&lab);
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

/// A switch loses every rule, as another program would delete them: until it has all of them again.
fn emptied(lab: &Lab, allocations: u16) {
    lab.clean();
    let network = Network::with_capacity(lab, CAPACITY_BPS);
    network.await_controller();
    let started = Instant::now();
    for some in many(allocations, 1_000).chunks(500) {
        network.admit_many(some);
    }
    network.await_count("active", usize::from(allocations), LONG);
    let in_force_s = started.elapsed().as_secs_f64();
    let (rules, whole) = (lab.held().0, lab.rules(2).len());
    let mut times: Vec<f64> = (0..TRIALS)
        .map(|trial| {
            // Anywhere between two audits.
            std::thread::sleep(Duration::from_millis(2_000 + 370 * trial));
            lab.ofctl("del-flows", 2, &["cookie=0x5700000000000000/0xff00000000000000"]);
            await_that("whole again", LONG, || lab.rules(2).len(), |rules| *rules == whole).as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{allocations} allocations, {rules} rules: in force after {in_force_s:.2} s");
    println!("a switch with {whole} of them emptied: whole again after {times:.2?} s");
}

/// The cable under every allocation is out: how long each goes without packets.
fn cut(lab: &Lab) {
    lab.clean();
    let network = Network::with_capacity(lab, CAPACITY_BPS);
    network.await_controller();
    // One way for all of them, although there are two of equal length.
    let same = |request| with(request, &json!({"constraints": {"metric": "hops"}}));
    let requests: Vec<_> = many(CUT, 20_000).into_iter().map(same).collect();
    let ids: Vec<_> = requests.chunks(500).flat_map(|some| network.admit_many(some)).collect();
    network.await_count("active", usize::from(CUT), LONG);
    let path = || network.allocation(&ids[0])["path"].clone();
    let apart_s = f64::from(CUT) / f64::from(PACKETS_PER_SECOND);
    println!("{CUT} allocations on a cable that is out, a packet of each every {apart_s:.1} s");
    for _ in 0..TRIALS {
        let streams = lab.streams(1, 3, (FIRST_PORT, CUT), PACKETS_PER_SECOND);
        std::thread::sleep(Duration::from_secs(2));
        let before = path();
        let transit = if before == json!(["s1-s2", "s2-s3"]) { 2 } else { 4 };
        lab.cable(transit, 3, Cable::Out);
        await_that("another path", LONG, path, |path| *path != before);
        network.await_count("active", usize::from(CUT), LONG);
        std::thread::sleep(Duration::from_secs(2));
        let mut without_s: Vec<f64> = streams.stop().into_iter().map(|lost| lost as f64 * apart_s).collect();
        without_s.sort_by(f64::total_cmp);
        let at = |share: usize| without_s[(without_s.len() - 1) * share / 100];
        println!("without packets: p50 {:.1} s, p99 {:.1} s, longest {:.1} s", at(50), at(99), at(100));
        lab.cable(transit, 3, Cable::In);
        network.await_controller();
        std::thread::sleep(Duration::from_secs(1));
    }
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
