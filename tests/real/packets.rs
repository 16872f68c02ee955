//! What Watermaster promises, on real packets: its own process, a real controller, real switches, hosts that really send.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{Cable, Lab, Load, Part, SWITCHES, Verb, await_that, longest_gap};
use crate::network::{Network, SOON, many, wanted, with};

/// How long a measurement lasts, after the first burst.
const SECONDS: u32 = 4;
/// An answer to every packet of these.
const PINGS: u32 = 800;
/// Allocations on one cable.
const MANY: u16 = 200;

#[test]
fn packets_are_policed_to_what_was_admitted() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    assert!(!lab.reaches(1, 3), "no rule, no traffic");
    let back = network.admit(&wanted(3, 1, 1_000_000));
    let id = network.admit(&wanted(1, 3, 5_000_000));
    network.await_active(&[&id, &back]);
    let udp = lab.udp(1, 3, 10, SECONDS);
    assert!((4.5..=5.2).contains(&udp), "UDP offered at 10 Mbit/s arrives at {udp}");
    let tcp = lab.tcp(1, 3, 6);
    assert!((3.5..=5.5).contains(&tcp), "TCP arrives at {tcp}");

    let before = lab.all_rules();
    network.change(&id, &json!({"bandwidth_bps": 2_000_000}));
    await_that("the meter", SOON, || lab.ofctl("dump-meters", 1, &[]), |text| text.contains("rate=2000"));
    network.await_active(&[&id]);
    assert_eq!(lab.all_rules(), before, "a resize is in place");
    let udp = lab.udp(1, 3, 10, SECONDS);
    assert!((1.8..=2.2).contains(&udp), "after the resize it arrives at {udp}");

    network.release(&id);
    network.release(&back);
    await_that("nothing left", SOON, || lab.held(), |held| *held == (0, 0));
    assert!(!lab.reaches(1, 3), "released, and it still flows");
}

#[test]
fn packets_keep_their_rates_beside_background_traffic() {
    let lab = Lab::take();
    lab.shape(8);
    // Somebody else's traffic from h2 to h3, without a label and without a meter. It comes in by a port of its own: the
    // userspace datapath sends in batches, and what a queue drops takes the rest of its batch along.
    let foreign = "cookie=0x99,priority=60000";
    for protocol in ["tcp", "udp"] {
        lab.ofctl("add-flow", 2, &[&format!("{foreign},{protocol},in_port=1,tp_dst=5203,actions=output:2")]);
        lab.ofctl("add-flow", 3, &[&format!("{foreign},{protocol},in_port=3,tp_dst=5203,actions=output:1")]);
        lab.ofctl("add-flow", 3, &[&format!("{foreign},{protocol},in_port=1,tp_src=5203,actions=output:3")]);
        lab.ofctl("add-flow", 2, &[&format!("{foreign},{protocol},in_port=2,tp_src=5203,actions=output:1")]);
    }
    let network = Network::with_capacity(&lab, 8_000_000);
    let over = |class: u8, route: &[&str]| json!({"class_type": class, "constraints": {"route": route}});
    let ids = [
        network.admit(&with(wanted(1, 3, 3_000_000), &over(1, &["s2", "s3"]))),
        network.admit(&with(wanted(4, 3, 1_500_000), &over(2, &["s1", "s2", "s3"]))),
        network.admit(&with(wanted(3, 1, 500_000), &over(1, &["s2", "s1"]))),
        network.admit(&with(wanted(3, 4, 500_000), &over(2, &["s4"]))),
    ];
    network.await_active(&ids.iter().collect::<Vec<_>>());
    let load = Load::Udp { mbit: 8 };
    let background = lab.start(2, 3, 2, &Load::Udp { mbit: 12 }, SECONDS + 2);
    let (one, other) = (lab.start(1, 3, 0, &load, SECONDS), lab.start(4, 3, 1, &load, SECONDS));
    let (one, other, background) = (one.arrived(), other.arrived(), background.arrived());
    assert!((2.7..=3.1).contains(&one), "the first arrives at {one}, the other at {other}, the rest at {background}");
    assert!(
        (1.3..=1.6).contains(&other),
        "the second arrives at {other}, the first at {one}, the rest at {background}"
    );
    // It began before the others and ended after them: the rest of the link, and for a while all of it.
    assert!((2.0..=7.0).contains(&background), "what is left arrives at {background}");
}

#[test]
fn packets_of_a_victim_stop_and_nobody_elses_do() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    network.one_class_two_priorities();
    let low = json!({"setup_priority": 7, "hold_priority": 7});
    let high = json!({"setup_priority": 0, "hold_priority": 0});
    // Who stands by fills the victim's other way, so that it has nowhere to go.
    let bystander = network.admit(&with(wanted(4, 3, 9_000_000), &high));
    let back = network.admit(&with(wanted(3, 4, 1_000_000), &high));
    let victim = network.admit(&with(wanted(1, 3, 8_000_000), &low));
    let returning = network.admit(&with(wanted(3, 1, 1_000_000), &high));
    let back_two = network.admit(&with(wanted(3, 2, 1_000_000), &high));
    network.await_active(&[&bystander, &back, &victim, &returning, &back_two]);
    assert!(lab.reaches(1, 3), "the victim's traffic flows before");

    let undisturbed = lab.ping(4, 3, 400, 10);
    let winner = network.admit(&with(wanted(2, 3, 8_000_000), &high));
    network.await_active(&[&winner]);
    assert_eq!(network.allocation(&victim)["state"], "preempted");
    let stopped = await_that("the victim stops", SOON, || lab.reaches(1, 3), |reaches| !reaches);
    assert!(lab.reaches(2, 3), "the winner's traffic flows");
    let answers = undisturbed.done();
    assert_eq!(answers.len(), 400, "who stood by lost packets; the victim stopped after {stopped:?}");
    network.await_active(&[&bystander, &back, &returning, &winner]);
}

/// From host 1 to host 3 by way of switch 2, though it need not be, and back.
fn by_the_second_switch(network: &Network) -> (String, String) {
    let there = network.admit(&with(wanted(1, 3, 2_000_000), &json!({"constraints": {"include": ["s2"]}})));
    network.change(&there, &json!({"constraints": {}}));
    let back = network.admit(&wanted(3, 1, 2_000_000));
    network.await_active(&[&there, &back]);
    network.await_controller();
    (there, back)
}

#[test]
fn packets_find_another_way_when_a_cable_breaks() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let (there, back) = by_the_second_switch(&network);
    assert_eq!(network.allocation(&there)["path"][0], "s1-s2");
    let pings = lab.ping(1, 3, PINGS, 10);
    std::thread::sleep(Duration::from_secs(1));
    lab.cable(1, 2, Cable::Out);
    let answers = pings.done();
    let gap = longest_gap(&answers);
    assert!(
        answers.last().is_some_and(|(number, _)| *number > PINGS - 50),
        "it does not come back: {:?}",
        answers.last()
    );
    assert!(gap < 2.0, "restored after {gap} s");
    network.await_active(&[&there, &back]);
    assert_ne!(network.allocation(&there)["path"][0], "s1-s2");
    let (_, link) = network.ask("GET", "/v1/topologies/ring/links/s1-s2", None);
    assert_eq!(link["state"], "down", "{link}");
    lab.cable(1, 2, Cable::In);
    let link = || network.ask("GET", "/v1/topologies/ring/links/s1-s2", None).1["state"].clone();
    await_that("the link is back", SOON, link, |state| *state == "up");
}

#[test]
fn packets_are_not_lost_by_a_resize_or_another_path() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let there = network.admit(&with(wanted(1, 3, 5_000_000), &json!({"constraints": {"include": ["s2"]}})));
    let back = network.admit(&wanted(3, 1, 5_000_000));
    network.await_active(&[&there, &back]);
    let pings = lab.ping(1, 3, PINGS, 5);
    for (bandwidth_bps, by) in [(4_000_000, "s4"), (3_000_000, "s2"), (6_000_000, "s4")] {
        network.change(&there, &json!({"bandwidth_bps": bandwidth_bps, "constraints": {"include": [by]}}));
        network.await_active(&[&there]);
    }
    let path = network.allocation(&there)["path"].clone();
    assert_eq!(path[0], "s4-s1~", "{path}");
    assert_eq!(pings.done().len(), PINGS as usize, "make before break lost packets");
    // Three hops there, three back, and nothing of the ways before.
    await_that("the old rules go", SOON, || lab.held(), |held| *held == (6, 2));
}

#[test]
fn packets_rules_come_after_the_controller_was_away() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    network.await_controller();
    let requests = many(100, 10_000);
    for (number, request) in requests.iter().enumerate() {
        if number == 30 {
            lab.part(Part::Controller, Verb::Kill);
        }
        network.admit(request);
    }
    let waiting = network.count("installing") + network.count("degraded");
    assert!(waiting >= 60, "only {waiting} of 100 say that they wait");
    await_that("it is seen to be away", SOON, || network.controller(), |state| state["reachable"] == false);
    lab.part(Part::Controller, Verb::Start);
    lab.await_controller();
    let took = network.await_count("active", 100, Duration::from_secs(10));
    assert_eq!(lab.held(), (300, 100), "after {took:?}");
}

#[test]
fn packets_flow_again_after_the_switches_forgot_everything() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let ids = [network.admit(&wanted(1, 3, 2_000_000)), network.admit(&wanted(3, 1, 2_000_000))];
    network.await_active(&[&ids[0], &ids[1]]);
    let (rules, held) = (lab.all_rules(), lab.held());
    lab.part(Part::Switches, Verb::Kill);
    lab.part(Part::Switches, Verb::Start);
    await_that("repaired", Duration::from_secs(40), || lab.held(), |seen| *seen == held);
    assert_eq!(lab.all_rules(), rules);
    assert!(lab.reaches(1, 3));
    network.await_active(&[&ids[0], &ids[1]]);
}

#[test]
fn packets_rules_are_repaired_and_only_ours() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let ids = [network.admit(&wanted(1, 3, 2_000_000)), network.admit(&wanted(3, 1, 2_000_000))];
    network.await_active(&[&ids[0], &ids[1]]);
    network.await_controller();
    // Somebody else's: they stay, whatever happens.
    lab.ofctl("add-flow", 2, &["cookie=0x99,priority=5,arp,actions=output:1"]);
    lab.ofctl("add-flow", 2, &["priority=6,arp,actions=output:1"]);
    lab.ofctl("add-meter", 2, &["meter=7,kbps,band=type=drop,rate=99"]);
    // It happens to have the tag, and stands where none of ours ever does.
    lab.ofctl("add-flow", 3, &["cookie=0x57abcdef12345678,priority=50,ip,nw_src=10.9.9.9,actions=drop"]);
    let right = lab.all_rules();
    let cookie = right[1].iter().find_map(|rule| rule.split(',').find(|part| part.contains("cookie=0x57"))).unwrap();

    let repaired = |what: &str| {
        await_that(what, Duration::from_secs(40), || lab.all_rules(), |seen| *seen == right);
    };
    lab.ofctl("del-flows", 2, &[&format!("{}/-1", cookie.trim())]);
    repaired("a rule that was deleted");
    lab.ofctl("mod-flows", 2, &["mpls,actions=drop"]);
    repaired("rules that were changed");
    lab.ofctl("del-meters", 1, &[]);
    repaired("a meter that was deleted, and the rule with it");
    lab.ofctl(
        "add-flow",
        3,
        &["cookie=0x5700010000bad000,priority=30000,mpls,mpls_label=777777,mpls_bos=1,actions=output:2"],
    );
    repaired("a rule of ours that serves nobody");
    assert_eq!(lab.meters(2), 1, "somebody else's meter stays");
    assert!(lab.reaches(1, 3));
}

/// The label that packets are sent on with, and nothing else: no count of rules shows it.
#[test]
fn packets_of_a_label_that_was_altered_are_led_right_again() {
    let lab = Lab::take();
    let network = Network::with_capacity(&lab, 1_000_000_000);
    network.admit_many(&many(200, 10_000));
    network.await_count("active", 200, SOON);
    let transit = if lab.rules(2).is_empty() { 4 } else { 2 };
    let right = lab.all_rules();
    let rules = lab.rules(transit);
    let (place, _) = rules[rules.len() / 2].split_once(" actions=").unwrap();
    let (_, place) = place.split_once("priority=").unwrap();
    let out = if transit == 2 { 2 } else { 3 };
    let altered = format!("priority={place},actions=set_field:777777->mpls_label,set_field:0->mpls_tc,output:{out}");
    lab.ofctl("mod-flows", transit, &["--strict", &altered]);
    assert_ne!(lab.all_rules(), right);
    let damaged = || network.ask("GET", "/v1/allocations?state=degraded", None).1["items"].clone();
    let seen = |items: &Value| items[0]["reason"].as_str().is_some_and(|why| why.contains("was not as it was written"));
    await_that("the damage is said", SOON, damaged, seen);
    await_that("it is right again", SOON, || lab.all_rules(), |seen| *seen == right);
    network.await_count("active", 200, SOON);
}

/// A foreign rule in our place is neither replaced nor deleted, and said; so is one that has the label.
#[test]
fn packets_of_foreign_rules_are_left_to_them() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let id = network.admit(&wanted(2, 4, 2_000_000));
    network.await_active(&[&id]);
    let own = lab.rules(2).into_iter().find(|rule| rule.contains("nw_dst=10.77.0.4")).unwrap();
    let place = own.split_once(", ").unwrap().1.split(" actions=").next().unwrap();
    lab.ofctl("add-flow", 2, &[&format!("cookie=0xabf,{place},actions=drop")]);
    let state = || network.allocation(&id);
    let in_the_way = "foreign rule with cookie 0xabf on switch 0000000000000002 stands in the place of its first rule";
    await_that("the foreign rule is said", SOON, state, |seen| {
        seen["state"] == "degraded" && seen["reason"] == in_the_way
    });
    await_that("its own rules go", SOON, || lab.held(), |held| *held == (1, 0));
    lab.ofctl("del-flows", 2, &["cookie=0xabf/-1"]);
    network.await_active(&[&id]);

    let label =
        own.split("set_field:").find_map(|part| part.split("->mpls_label").next()?.parse::<u32>().ok()).unwrap();
    network.release(&id);
    await_that("nothing left", SOON, || lab.held(), |held| *held == (0, 0));
    // The labels of the allocations that come next, and a meter in the range.
    for next in 1..12 {
        let rule = format!("cookie=0xaaa,priority=100,mpls,mpls_label={},actions=drop", label + 4 * next);
        lab.ofctl("add-flow", 4, &[&rule]);
    }
    lab.ofctl("add-meter", 4, &["meter=10500,kbps,band=type=drop,rate=1000"]);
    let id = network.admit(&wanted(2, 4, 2_000_000));
    let state = || network.allocation(&id);
    let has_label = "foreign rule with cookie 0xaaa on switch 0000000000000004 has its label";
    await_that("the foreign label is said", SOON, state, |seen| seen["reason"] == has_label);
    network.release(&id);
    await_that("what is theirs stays", SOON, || lab.held(), |held| *held == (11, 1));
}

#[test]
fn packets_of_ipv6_find_their_way() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let between = |from: u32, to: u32, more: &Value| {
        let flow = json!({"ipv6_src": format!("fd00:77::{from}"), "ipv6_dst": format!("fd00:77::{to}")});
        let request = json!({"topology": "ring", "ingress": format!("s{from}"), "egress": format!("s{to}"), "class_type": 1,
            "bandwidth_bps": 1_000_000, "flow": flow});
        with(request, &json!({"flow": more}))
    };
    assert!(!lab.reaches_v6(1, 3), "no rule, no traffic");
    let ids = [between(1, 3, &json!({})), between(3, 1, &json!({}))].map(|wanted| network.admit(&wanted));
    network.await_active(&[&ids[0], &ids[1]]);
    assert!(lab.reaches_v6(1, 3), "{:?}", lab.all_rules());
    assert!(!lab.reaches(1, 3), "and nothing else");
    // Every other part of a match: the hosts send no such packets, but switches take the rules, and audits read them as they
    // were written.
    let parts =
        json!({"vlan": 5, "dscp": 46, "ip_proto": 17, "l4_dst": 53, "in_port": 1, "ipv6_src": "fd00:77:1::/48"});
    let all = network.admit(&between(2, 4, &parts));
    network.await_active(&[&all]);
    std::thread::sleep(Duration::from_secs(5));
    network.await_active(&[&ids[0], &ids[1], &all]);
    assert_eq!(network.controller()["rules"]["drifting"], 0);
    assert!(lab.reaches_v6(1, 3));
}

/// Every rule is as it should be, and a foreign one of higher priority takes the packets on the way.
#[test]
fn packets_that_are_swallowed_on_the_way_are_said() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let ids = [network.admit(&wanted(1, 3, 2_000_000)), network.admit(&wanted(3, 1, 2_000_000))];
    network.await_active(&[&ids[0], &ids[1]]);
    // It names no label, or it would be one that has ours. What comes back comes in at the other port.
    let (by, in_port) = if network.allocation(&ids[0])["path"][0] == "s1-s2" { (2, 3) } else { (4, 2) };
    lab.ofctl("add-flow", by, &[&format!("cookie=0xabc,priority=40000,mpls,in_port={in_port},actions=drop")]);
    let pings = lab.ping(1, 3, 3_000, 10);
    let state = || network.allocation(&ids[0]);
    let said = |seen: &Value| {
        let reason = seen["reason"].as_str().unwrap_or_default();
        seen["state"] == "degraded"
            && reason.starts_with("no packet of ")
            && reason.ends_with("arrives at switch 0000000000000003")
    };
    await_that("it is said", SOON, state, said);
    lab.ofctl("del-flows", by, &["cookie=0xabc/-1"]);
    await_that("it is over", SOON, || state()["state"].clone(), |state| *state == "active");
    assert!(pings.done().len() > 100, "packets arrive before and after");
}

#[test]
fn packets_of_many_leave_a_cable_that_is_out() {
    let lab = Lab::take();
    let network = Network::with_capacity(&lab, 1_000_000_000);
    // One way for all of them, although there are two of equal length.
    let same = |request| with(request, &json!({"constraints": {"path_metric": "hops"}}));
    let requests: Vec<_> = many(MANY, 20_000).into_iter().map(same).collect();
    let ids = network.admit_many(&requests);
    network.await_count("active", ids.len(), SOON);
    let path = || network.allocation(&ids[0])["path"].clone();
    let before = path();
    let transit = if before == json!(["s1-s2", "s2-s3"]) { 2 } else { 4 };
    let streams = lab.streams(1, 3, (10_000, MANY), 2_000);
    lab.cable(transit, 3, Cable::Out);
    await_that("another path", SOON, path, |path| *path != before);
    network.await_count("active", ids.len(), SOON);
    // What comes now has taken the other way.
    std::thread::sleep(Duration::from_secs(1));
    let longest = streams.stop();
    let silent = longest.iter().filter(|lost| **lost < 0).count();
    assert_eq!((silent, longest.len()), (0, usize::from(MANY)), "flows of which no packet arrives");
    assert!(lab.rules(transit).is_empty(), "{:?}", lab.rules(transit));
    lab.cable(transit, 3, Cable::In);
}

#[test]
fn packets_leave_a_port_that_is_gone() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let (there, back) = by_the_second_switch(&network);
    lab.port(1, 2, Cable::Out);
    let path = || network.allocation(&there)["path"][0].clone();
    await_that("it goes the other way", SOON, path, |first| *first != "s1-s2");
    network.await_active(&[&there, &back]);
    assert!(lab.reaches(1, 3), "packets arrive");
    let link = || network.ask("GET", "/v1/topologies/ring/links/s1-s2", None).1;
    assert_eq!(link()["problem"], "port 2 of switch 0000000000000001 is down or not there", "{}", link());
    lab.port(1, 2, Cable::In);
    await_that("the link is back", SOON, || link()["state"].clone(), |state| *state == "up");
}

#[test]
fn packets_a_thousand_come_and_go_and_nothing_is_left() {
    let lab = Lab::take();
    let network = Network::of(&lab);
    let ids = network.admit_many(&many(1000, 1_000));
    network.await_count("active", 1000, Duration::from_secs(60));
    let (rules, meters) = lab.held();
    assert_eq!(rules % 1000 + meters % 1000, 0, "{rules} rules, {meters} meters");
    assert!(rules >= 3000 && meters == 1000, "{rules} rules, {meters} meters");
    for id in &ids {
        network.release(id);
    }
    await_that("nothing left", Duration::from_secs(60), || lab.held(), |held| *held == (0, 0));
    let state = network.controller();
    assert_eq!(state["rules"]["intended"], 0, "{state}");
}

#[test]
fn packets_rules_converge_after_a_kill_in_the_middle() {
    let lab = Lab::take();
    let mut network = Network::of(&lab);
    network.await_controller();
    network.admit_many(&many(300, 1_000));
    await_that("some rules", SOON, || lab.rules(3).len(), |rules| *rules > 0);
    network.kill_and_start();
    network.await_count("active", 300, Duration::from_secs(40));
    assert_eq!(lab.held(), (900, 300));
    assert_eq!(SWITCHES, 4);
}

/// What a controller is not.
#[derive(Clone, Copy, Debug)]
enum Impostor {
    /// Bytes that are no HTTP.
    Garbage,
    /// A page, with 200.
    Page,
    /// Status 500 and a traceback.
    Broken,
    /// Takes the connection and says nothing.
    Silent,
    /// Ten megabytes of JSON.
    Endless,
}

/// An impostor on a free port, and how often it was spoken to.
fn impostor(kind: Impostor) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let spoken_to = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&spoken_to);
    std::thread::spawn(move || {
        let mut held = vec![];
        for mut stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.read(&mut [0; 4096]);
            let text = |status: &str, body: &str| {
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
            };
            let _ = match kind {
                Impostor::Garbage => stream.write_all(b"\x00\xff\x13 what?\r\n\r\n"),
                Impostor::Page => stream.write_all(text("200 OK", "<html><h1>It works!</h1></html>").as_bytes()),
                Impostor::Broken => {
                    stream.write_all(text("500 Oh", "Traceback (most recent call last):\nKeyError: 1\n").as_bytes())
                }
                Impostor::Silent => {
                    held.push(stream);
                    Ok(())
                }
                Impostor::Endless => stream.write_all(text("200 OK", &"[1,".repeat(3_400_000)).as_bytes()),
            };
        }
    });
    (url, spoken_to)
}

#[test]
fn packets_no_controller_is_a_clear_state_and_no_hot_loop() {
    let lab = Lab::take();
    let nobody = ("http://127.0.0.1:1".to_owned(), Arc::default());
    let kinds = [Impostor::Garbage, Impostor::Page, Impostor::Broken, Impostor::Silent, Impostor::Endless];
    let impostors: Vec<_> = kinds.into_iter().map(|kind| (format!("{kind:?}"), impostor(kind))).collect();
    for (name, (url, spoken_to)) in [("Nobody".to_owned(), nobody)].into_iter().chain(impostors) {
        let network = Network::without_controller(10_000_000);
        network.control(&url);
        let id = network.admit(&wanted(1, 3, 5_000_000));
        let told = |state: &Value| state["reachable"] == false && state["last_error"].is_string();
        await_that(&name, SOON, || network.controller(), told);
        let allocation = network.allocation(&id);
        assert!(matches!(allocation["state"].as_str(), Some("installing" | "degraded")), "{name}: {allocation}");
        let before = spoken_to.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(3));
        let asked = spoken_to.load(Ordering::Relaxed) - before;
        assert!(asked < 60, "{name}: asked {asked} times in three seconds");
        // Nothing is lost: at a controller that is one, it comes into force.
        if name == "Page" {
            network.control(lab.url());
            network.await_active(&[&id]);
            assert_eq!(lab.held(), (3, 1));
            network.release(&id);
            await_that("nothing left", SOON, || lab.held(), |held| *held == (0, 0));
        }
    }
}

#[test]
fn packets_a_topology_that_is_not_the_networks_is_a_clear_state() {
    let lab = Lab::take();
    let ring = include_str!("../../topologies/ring.json");
    let stranger = ring.replace("0000000000000002", "00000000000000ff");
    // The head of s1-s2 and of its other direction: ports that no switch has.
    let nowhere = ring.replacen(r#""from_port": 2, "to_port": 3"#, r#""from_port": 77, "to_port": 78"#, 1);
    for (what, document) in [("a switch that is not there", stranger), ("a port that is not there", nowhere)] {
        let network = Network::without_controller(10_000_000);
        network.put_topology(&document);
        network.control(lab.url());
        let by = |node: &str| json!({"constraints": {"include": [node]}});
        let wrong = network.admit(&with(wanted(1, 3, 1_000_000), &by("s2")));
        let right = network.admit(&with(wanted(4, 3, 1_000_000), &json!({})));
        network.await_active(&[&right]);
        let told = |seen: &Value| seen["state"] == "degraded" && seen["reason"].is_string();
        await_that(what, SOON, || network.allocation(&wrong), told);
        assert_eq!(network.allocation(&right)["state"], "active", "{what}: others are not disturbed");
        // Put right, it comes into force.
        network.put_topology(ring);
        network.await_active(&[&wrong, &right]);
        network.release(&wrong);
        network.release(&right);
        await_that("nothing left", SOON, || lab.held(), |held| *held == (0, 0));
    }
}
