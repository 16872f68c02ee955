//! The classes and the numbers of rules on real packets: who waits when a link is full, and what a controller was told to use.

use serde_json::json;

use crate::lab::{Lab, Load, await_that};
use crate::network::{Network, SOON, wanted, with};

/// The rate of every link, in Mbit/s.
const LINK_MBIT: u32 = 8;
/// How many packets are timed, and how far apart.
const PINGS: (u32, u32) = (250, 20);

/// What so many of a hundred stay below.
fn percentile(took: &[f64], percent: usize) -> f64 {
    assert!(took.len() > 100, "only {} packets were answered", took.len());
    took[(took.len() - 1) * percent / 100]
}

#[test]
fn packets_of_a_better_class_do_not_wait_for_a_flood() {
    let lab = Lab::take();
    lab.shape(LINK_MBIT);
    // Another program's traffic from h2 to h3, without a label and without a meter, more than the link takes.
    let foreign = "cookie=0x99,priority=60000,udp,tp_dst=5203";
    lab.ofctl("add-flow", 2, &[&format!("{foreign},in_port=1,actions=output:2")]);
    lab.ofctl("add-flow", 3, &[&format!("{foreign},in_port=3,actions=output:1")]);
    let network = Network::with_capacity(&lab, u64::from(LINK_MBIT) * 1_000_000);
    let over = |class: u8, route: &[&str]| json!({"class_type": class, "constraints": {"route": route}});
    let ids = [
        network.admit(&with(wanted(1, 3, 1_000_000), &over(2, &["s2", "s3"]))),
        network.admit(&with(wanted(3, 1, 1_000_000), &over(2, &["s2", "s1"]))),
        network.admit(&with(wanted(2, 3, 1_000_000), &over(0, &["s3"]))),
        network.admit(&with(wanted(3, 2, 1_000_000), &over(0, &["s2"]))),
    ];
    network.await_active(&ids.iter().collect::<Vec<_>>());
    let (count, every_ms) = PINGS;
    let idle = lab.ping(1, 3, count, every_ms).round_trips();

    let seconds = count * every_ms / 1_000 + 4;
    let flood = lab.start(2, 3, 2, &Load::Udp { mbit: LINK_MBIT + 4 }, seconds);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let (better, worse) = (lab.ping(1, 3, count, every_ms), lab.ping(2, 3, count, every_ms));
    let (better, worse) = (better.round_trips(), worse.round_trips());
    assert!(flood.arrived() > 2.0, "the flood did not flow");
    let figures = |took: &[f64]| format!("p50 {:.2} ms, p99 {:.2} ms", percentile(took, 50), percentile(took, 99));
    println!("class 2 idle: {}; in the flood: {}; class 0: {}", figures(&idle), figures(&better), figures(&worse));
    assert!(
        percentile(&better, 50) * 4.0 < percentile(&worse, 50),
        "class 2: {}; class 0: {}",
        figures(&better),
        figures(&worse)
    );
}

#[test]
fn packets_flow_by_the_numbers_that_a_controller_was_given() {
    let lab = Lab::take();
    let network = Network::without_controller(10_000_000);
    let body = json!({"driver": "ryu", "url": lab.url(), "topology": "ring", "queues": true,
        "numbering": {"label_min": 5_000, "meter_min": 1, "flows_max": 8, "cookie_tag": 17, "priority_min": 300},
        "policing": {"burst_ms": 500, "packet_bytes": 1_000}});
    let (status, answer) = network.ask("PUT", "/v1/controllers/lab", Some(&body.to_string()));
    assert_eq!(status, 201, "{answer}");
    network.await_controller();
    let ids = [network.admit(&wanted(1, 3, 1_000_000)), network.admit(&wanted(3, 1, 1_000_000))];
    network.await_active(&ids.iter().collect::<Vec<_>>());
    assert!(lab.reaches(1, 3), "it does not flow");
    let rules = lab.rules(1);
    assert!(!rules.is_empty() && rules.iter().all(|rule| rule.contains("cookie=0x11")), "{rules:?}");
    assert!(rules.iter().any(|rule| rule.contains("set_queue:")), "{rules:?}");
    let meters = lab.ofctl("dump-meters", 1, &[]);
    let id = meters.split("meter=").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|id| id.parse().ok());
    assert!(id.is_some_and(|id: u32| (1..=8).contains(&id)) && meters.contains("rate=997 burst_size=498"), "{meters}");
    ids.iter().for_each(|id| network.release(id));
    await_that("nothing left", SOON, || lab.held(), |held| *held == (0, 0));
}
