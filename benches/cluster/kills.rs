//! `kill -9` of one of three replicas every few seconds: with a shared store nothing that was acknowledged is lost; without
//! one (each replica alone with its memory) the figure says what is.

use std::time::{Duration, Instant};

use crate::balancer::Balancer;
use crate::load::{Ended, Load, Sessions};
use crate::parts::{Redis, Replica};
use crate::plot::{Axis, Line, svg, write};

const REPLICAS: usize = 3;
/// As in the paper: each publisher has 79 bytes to say, once a second.
const EVERY: Duration = Duration::from_secs(1);
const BETWEEN_KILLS: Duration = Duration::from_secs(4);
/// The paper's new broker is there after at most so long.
const PAPER_S: f64 = 6.0;
const FULL: Duration = Duration::from_secs(60);
const POINT: Duration = Duration::from_secs(16);
const POINTS: [usize; 7] = [1, 10, 50, 100, 150, 200, 300];
/// How long it is waited for what may still come.
const PATIENCE: Duration = Duration::from_secs(10);

fn run(publishers: usize, lasts: Duration, sessions: Sessions) -> Ended {
    let redis = (sessions == Sessions::Shared).then(|| Redis::start(&[]));
    let store = redis.as_ref().map_or("memory".to_owned(), Redis::url);
    let mut replicas: Vec<_> = (0..REPLICAS).map(|_| Replica::start(&store, &[])).collect();
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
    let balancer = Balancer::start(&addresses);
    let mut load = Load::open(balancer.address, &addresses, sessions);
    load.add(publishers, EVERY);
    let begin = Instant::now();
    for at in (0..REPLICAS).cycle() {
        std::thread::sleep(BETWEEN_KILLS);
        if begin.elapsed() >= lasts {
            break;
        }
        replicas.remove(at).kill();
        replicas.insert(at, Replica::start_on(&addresses[at].to_string(), &store, &[]));
    }
    load.finish(PATIENCE)
}

/// 300 publishers for a minute.
pub(crate) fn one_minute() {
    let publishers = 300;
    let mut ended = run(publishers, FULL, Sessions::Shared);
    ended.report(&format!("{publishers} publishers for {FULL:?}, a replica killed every {BETWEEN_KILLS:?}"));
    let longest = ended.told.outage(100).as_secs_f64();
    println!(
        "served again: longest {longest:.3} s, {:.0} times sooner than the paper's {PAPER_S} s",
        PAPER_S / longest
    );
}

/// Loss against the number of publishers.
pub(crate) fn figure_7() {
    println!(
        "| publishers | acknowledged | lost, shared store | lost, each alone, a subscriber at each | lost, each alone, one subscriber |"
    );
    println!("|---:|---:|---:|---:|---:|");
    let mut lines = [vec![], vec![], vec![]];
    for publishers in POINTS {
        let shared = run(publishers, POINT, Sessions::Shared);
        let alone = run(publishers, POINT, Sessions::Alone);
        let beside: Vec<_> = (1..=REPLICAS).collect();
        let lost = [
            (&shared, shared.missing(&[0]).len()),
            (&alone, alone.missing(&beside).len()),
            (&alone, alone.missing(&[0]).len()),
        ];
        let shares = lost.map(|(ended, lost)| 100.0 * lost as f64 / ended.told.count().max(1) as f64);
        println!(
            "| {publishers} | {} + {} | {} ({:.2} %) | {} ({:.2} %) | {} ({:.1} %) |",
            shared.told.count(),
            alone.told.count(),
            lost[0].1,
            shares[0],
            lost[1].1,
            shares[1],
            lost[2].1,
            shares[2]
        );
        for (line, share) in lines.iter_mut().zip(shares) {
            line.push((publishers as f64, share));
        }
        let repeated = (shared.repeated().len(), alone.repeated().len());
        if repeated != (0, 0) {
            println!("QoS 2 heard more than once: {} shared, {} alone", repeated.0, repeated.1);
        }
    }
    let most = |of: &[(f64, f64)]| of.iter().map(|(_, share)| *share).fold(1.0, f64::max).ceil();
    let axes = [
        &Axis { name: "publishers", most: 300.0 },
        &Axis { name: "acknowledged messages lost, %", most: most(&lines[2]) },
        &Axis { name: "the same with a subscriber at each replica, %", most: most(&lines[1]) },
    ];
    let [shared, beside, one] = lines;
    let lines = [
        Line { name: "shared store, one subscriber", points: shared, is_right: false },
        Line { name: "each alone, a subscriber at each (right)", points: beside, is_right: true },
        Line { name: "each alone, one subscriber", points: one, is_right: false },
    ];
    write("broker-loss", &svg("Messages lost while replicas are killed", axes, &lines));
}
