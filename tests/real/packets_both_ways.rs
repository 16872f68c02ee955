//! One allocation for both directions, on real switches.

use serde_json::json;

use crate::lab::{Cable, Lab, await_that};
use crate::network::{Network, SOON, wanted, with};

/// How long a measurement lasts, after the first burst.
const SECONDS: u32 = 4;

#[test]
fn packets_of_a_bidirectional_allocation_come_back_on_the_same_links() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let both = json!({"bidirectional": true, "constraints": {"include": ["s2"]}});
    let id = network.admit(&with(wanted(1, 3, 5_000_000), &both));
    network.await_active(&[&id]);
    assert!(lab.rules(4).is_empty(), "the fourth switch is on neither way: {:?}", lab.rules(4));
    // Each direction is policed to what was admitted.
    for (from, to) in [(1, 3), (3, 1)] {
        let udp = lab.udp(from, to, 10, SECONDS);
        assert!((4.5..=5.2).contains(&udp), "from {from} to {to} UDP offered at 10 Mbit/s arrives at {udp}");
    }
    network.release(&id);
    await_that("nothing left", SOON, || lab.held(), |held| *held == (0, 0));
    assert!(!lab.reaches(1, 3), "released, and it still flows");
}

#[test]
fn packets_of_both_directions_leave_a_cable_that_is_out() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let id = network.admit(&with(wanted(1, 3, 2_000_000), &json!({"bidirectional": true})));
    network.await_active(&[&id]);
    let path = || network.allocation(&id)["path"].clone();
    let before = path();
    let (one, other, standby) = if before == json!(["s1-s2", "s2-s3"]) { (2, 3, 4) } else { (4, 3, 2) };
    assert!(lab.reaches(1, 3) && lab.rules(standby).is_empty(), "{before}");
    lab.cable(one, other, Cable::Out);
    await_that("the other way in the books", SOON, path, |path| *path != before);
    network.await_active(&[&id]);
    await_that("there and back again", SOON, || lab.reaches(1, 3), |reaches| *reaches);
    await_that("the first way is empty", SOON, || lab.rules(one), Vec::is_empty);
    lab.cable(one, other, Cable::In);
    network.release(&id);
    await_that("nothing left", SOON, || lab.held(), |held| *held == (0, 0));
}
