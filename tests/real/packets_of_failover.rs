//! Protected paths on real switches: packets take the backup path before the service, or even the controller, knows of a
//! failure.

use std::time::Duration;

use serde_json::json;

use crate::lab::{Arrivals, Cable, Lab, Part, Verb, await_that};
use crate::network::{Network, SOON, wanted, with};

/// Packets a second.
const RATE: u32 = 500;
/// How often a cable is cut.
const CUTS: u32 = 50;
/// How long it is out, and then in again: no gap is as long where a switch helps itself.
const OUT: Duration = Duration::from_millis(500);
const IN: Duration = Duration::from_millis(250);
/// The interval of BFD, of which three in a row are missed; `WATERMASTER_LAB_BFD_MS` says another. A busy machine sends none
/// for longer than a shorter one would bear.
const BFD_MS: u32 = 100;
/// How long a session of BFD takes until it is quick again.
const BFD_SETTLES: Duration = Duration::from_secs(4);

/// Less than what passes until the controller misses a link that is silent.
const WITHOUT_BFD: Duration = Duration::from_secs(5);

fn protected(network: &Network) -> String {
    let id = network.admit(&with(wanted(1, 3, 2_000_000), &json!({"protection": {"kind": "dedicated"}})));
    network.await_active(&[&id]);
    network.await_controller();
    let path = network.allocation(&id)["path"].clone();
    assert_eq!(path, json!(["s1-s2", "s2-s3"]), "the tests cut these");
    id
}

/// Prints how long packets did not arrive, in order.
fn tell(what: &str, arrivals: &Arrivals) -> Vec<u64> {
    let mut gaps_ms: Vec<u64> = arrivals.gaps.iter().map(|(_, lost)| lost * 1000 / u64::from(RATE)).collect();
    gaps_ms.sort_unstable();
    println!("{what}: {} packets, ms without one: {gaps_ms:?}", arrivals.received);
    gaps_ms
}

#[test]
fn packets_take_the_backup_path_while_the_controller_is_dead() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let id = protected(&network);
    assert_eq!((lab.groups(1).len(), lab.groups(2).len()), (1, 1), "at the ingress and at the transit");
    let before = lab.all_rules();
    lab.part(Part::Controller, Verb::Kill);
    let stream = lab.stream(1, 3, RATE);
    for cut in 0..CUTS {
        // The first link, at the ingress itself; and the second, of which only the transit knows.
        let (one, other) = if cut % 2 == 0 { (1, 2) } else { (2, 3) };
        lab.cable(one, other, Cable::Out);
        std::thread::sleep(OUT);
        lab.cable(one, other, Cable::In);
        std::thread::sleep(IN);
    }
    let arrivals = stream.stop();
    let gaps_ms = tell("a cable out, the controller dead", &arrivals);
    assert_eq!(arrivals.twice, 0, "no packet comes twice");
    let too_long: Vec<_> = gaps_ms.iter().filter(|gap| u128::from(**gap) >= OUT.as_millis()).collect();
    assert!(too_long.is_empty(), "a cable was out, and no packet came meanwhile: {too_long:?} ms");
    assert_eq!(lab.all_rules(), before, "nobody wrote anything");
    lab.part(Part::Controller, Verb::Start);
    lab.await_controller();
    network.await_active(&[&id]);
    network.release(&id);
    await_that(
        "nothing left",
        SOON,
        || (lab.held(), lab.groups(1), lab.groups(2)),
        |(held, one, two)| *held == (0, 0) && one.is_empty() && two.is_empty(),
    );
}

#[test]
fn packets_leave_a_silent_cable_by_bfd_and_the_next_failure_is_survived() {
    let every_ms = std::env::var("WATERMASTER_LAB_BFD_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(BFD_MS);
    let lab = Lab::take();
    lab.bfd(every_ms);
    // Until its session is up a port is not live.
    std::thread::sleep(BFD_SETTLES);
    let network = Network::of(&lab);
    let id = protected(&network);
    let path = || network.allocation(&id)["path"].clone();
    let stream = lab.stream(1, 3, RATE);
    // No port goes down: without BFD only the controller's link discovery would miss it, seconds later.
    lab.cable(2, 3, Cable::Silent);
    let moved = await_that("the other way in the books", SOON, path, |path| *path == json!(["s4-s1~", "s3-s4~"]));
    println!("in the books after {moved:?}");
    network.await_active(&[&id]);
    lab.cable(2, 3, Cable::In);
    let backup = || network.allocation(&id)["backup_path"].clone();
    await_that("another backup path", SOON, backup, |backup| *backup == json!(["s1-s2", "s2-s3"]));
    network.await_active(&[&id]);
    network.await_controller();
    std::thread::sleep(BFD_SETTLES);
    // The second failure, of the path that was the backup path.
    lab.cable(4, 1, Cable::Out);
    await_that("the first way again", SOON, path, |path| *path == json!(["s1-s2", "s2-s3"]));
    network.await_active(&[&id]);
    let arrivals = stream.stop();
    let gaps_ms = tell("a silent cable by BFD, then a cable out", &arrivals);
    let too_long: Vec<_> = gaps_ms.iter().filter(|gap| u128::from(**gap) >= WITHOUT_BFD.as_millis()).collect();
    assert!(too_long.is_empty(), "the switches did not help themselves: {too_long:?} ms");
    assert_eq!(arrivals.twice, 0, "no packet comes twice");
}
