//! A bandwidth that follows the packets that real switches count.

use std::time::Duration;

use serde_json::json;

use crate::lab::{Lab, Load, await_that};
use crate::network::{Network, SOON, wanted, with};

/// How long the traffic lasts that is followed.
const SECONDS: u32 = 20;

#[test]
fn packets_make_their_own_bandwidth() {
    let lab = Lab::take();
    let network = Network::with_capacity(&lab, 100_000_000);
    let back = network.admit(&wanted(3, 1, 1_000_000));
    let follows = json!({"auto_bandwidth": {"minimum_bandwidth_bps": 1_000_000, "maximum_bandwidth_bps": 20_000_000,
        "sample_interval_ms": 1_000, "overflow_count": 2, "overflow_threshold_percent": 20,
        "underflow_count": 3, "underflow_threshold_percent": 50}});
    let id = network.admit(&with(wanted(1, 3, 2_000_000), &follows));
    network.await_active(&[&id, &back]);
    let load = lab.start(1, 3, 0, &Load::Udp { mbit: 10 }, SECONDS);
    let bandwidth = || network.allocation(&id)["bandwidth_bps"].as_u64().unwrap();
    let grew_in = await_that("it has what is offered", SOON, bandwidth, |bps| *bps >= 9_000_000);
    println!("{} bit/s {} ms after the traffic began", bandwidth(), grew_in.as_millis());
    let arrived = load.arrived();
    println!("{arrived} of 10 Mbit/s arrived over {SECONDS} s");
    let idle = Duration::from_secs(60);
    let shrank_in = await_that("it has the minimum again", idle, bandwidth, |bps| *bps == 1_000_000);
    println!("the minimum {} ms after the traffic ended", shrank_in.as_millis());
}
