//! A flow of an aggregator over both ways round the ring, on packets: the ingress switch divides its connections by a group of
//! the type select, and when a cable is out those of that way take the other at once.

use std::time::{Duration, SystemTime};

use api::instant::Instant;
use serde_json::json;

use crate::lab::{Cable, Lab, Load, address, await_that};
use crate::network::{Network, SOON, wanted};

/// What every link carries.
const LINK_MBIT: u32 = 8;
/// What is booked of that at most: labels and the heads of frames come on top.
const BOOKED_BPS: u64 = 7_000_000;
/// How many connections the flow comes in.
const CONNECTIONS: u32 = 48;
const SECONDS: u32 = 10;

/// Reports what one aggregator has for a consumer; how many paths it is told.
fn report(network: &Network, arrival_bps: u64) -> usize {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let body = json!({"node": "s1", "address": address(1), "at": Instant(now.as_millis().try_into().unwrap()),
        "levels": [{"qos_level": 0, "subscribers": 1, "buffer_bytes": 0, "buffer_capacity_bytes": 1_000_000,
            "arrival_bps": arrival_bps, "dropped": 0}],
        "topics": [{"topic": "plant/film", "qos_level": 0, "arrival_bps": arrival_bps,
            "subscribers": [{"consumer": "one", "node": "s3", "address": address(3)}]}]});
    let (status, rates) = network.ask("PUT", "/v1/aggregators/ag/metadata", Some(&body.to_string()));
    assert_eq!(status, 200, "{rates}");
    rates["levels"][0]["allocations"].as_array().unwrap().len()
}

#[test]
fn packets_of_one_flow_take_both_ways() {
    let lab = Lab::take();
    lab.shape(LINK_MBIT);
    let settings = "[scheduler]\nmax_paths_on_switches = 2\nlease_ms = 600000\n";
    let network = Network::with_settings(&lab, BOOKED_BPS, settings);
    let back = network.admit(&wanted(3, 1, 1_000_000));
    network.await_active(&[&back]);

    assert_eq!(report(&network, 6_000_000), 1, "one path carries it");
    network.await_count("active", 2, SOON);
    let many = Load::ManyTcp { connections: CONNECTIONS };
    let one_way = lab.start(1, 3, 0, &many, SECONDS).arrived();

    await_that("two paths", SOON, || report(&network, 20_000_000), |paths| *paths == 2);
    network.await_count("active", 3, SOON);
    let groups = lab.groups(1);
    assert!(
        groups.len() == 1 && groups[0].contains("type=select") && groups[0].matches("bucket=").count() == 2,
        "{groups:?}"
    );
    let sent = || [2, 3].map(|port| lab.sent_bytes(1, port));
    let before = sent();
    let both_ways = lab.start(1, 3, 0, &many, SECONDS).arrived();
    let [clockwise, other] = [0, 1].map(|at| sent()[at] - before[at]);
    println!("one way {one_way:.2} Mbit/s, both ways {both_ways:.2}; {clockwise} and {other} bytes by the two ports");
    assert!(one_way <= f64::from(LINK_MBIT) && both_ways >= 1.4 * one_way, "{one_way} {both_ways}");
    let smaller = clockwise.min(other) as f64 / (clockwise + other) as f64;
    assert!(smaller > 0.25, "{smaller} of the bytes by the lesser port");

    // With a cable out, the switch sends everything the other way before anybody has heard of it.
    let running = lab.start(1, 3, 0, &many, SECONDS);
    std::thread::sleep(Duration::from_secs(5));
    lab.cable(1, 2, Cable::Out);
    let rest = running.arrived();
    println!("{rest:.2} Mbit/s with a cable out after two of {SECONDS} s");
    assert!(rest >= 0.6 * one_way, "{rest}");
    let buckets = || lab.groups(1).iter().map(|group| group.matches("bucket=").count()).sum::<usize>();
    await_that("one path without a group", SOON, buckets, |buckets| *buckets == 0);
    lab.cable(1, 2, Cable::In);
}
