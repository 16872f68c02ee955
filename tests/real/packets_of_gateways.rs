//! The paper's proof of concept on packets: a gateway and a consumer in hosts of the lab, links of a fixed rate, and iperf3
//! that floods them. An ordinary network forwards everything all the time; what differs is whether the orchestrator is
//! there, with its allocations on the switches.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::{Lab, Load, Measuring, await_that, inside};
use crate::network::{Network, SOON};

/// What every link carries.
const LINK_MBIT: u32 = 8;
/// What is to drown everything else: half as much again as the links carry.
const FLOOD_MBIT: u32 = 12;
/// What the device behind the gateway says, payloads only.
const DEVICE_BPS: u32 = 1_500_000;
/// How long is counted.
const COUNTED: Duration = Duration::from_secs(8);
/// How long the flood lasts beside that, for its own start and end.
const FLOOD_MORE_S: u32 = 4;
/// What iperf3 takes to leave its own start out.
const FLOOD_START: Duration = Duration::from_secs(4);

/// A process in a host, killed when dropped.
pub(crate) struct Hosted(pub(crate) Child);

impl Drop for Hosted {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway at host 1 with a device that says something of QoS level 2, and, if there is one, an orchestrator. Nothing
/// but the network holds it back: what it may send without an orchestrator is more than the device says.
fn gateway(orchestrator: Option<&str>) -> Hosted {
    gateway_at("10.77.0.1:8090", orchestrator)
}

fn gateway_at(listen: &str, orchestrator: Option<&str>) -> Hosted {
    let source = format!("topic=plant/1/alarm,payload_bytes=1000,rate_bps={DEVICE_BPS}");
    let mut words = vec![env!("CARGO_BIN_EXE_watermaster"), "gateway", "--id", "ag1", "--node", "s1"];
    words.extend(["--listen", listen, "--mqtt-listen", "127.0.0.1:1884", "--generate", &source]);
    words.extend(["--fallback-bps", "4000000,4000000,4000000"]);
    words.extend(orchestrator.into_iter().flat_map(|url| ["--orchestrator", url]));
    let mut child = inside(1, &words);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("Gateway")), "the gateway does not start");
    std::thread::spawn(move || lines.for_each(drop));
    Hosted(child)
}

/// A consumer at host 3, and what it received: when, and how many bytes of payload.
struct Consumer {
    received: Arc<Mutex<Vec<(Instant, u64)>>>,
    process: Hosted,
}

impl Consumer {
    /// One that is posted to.
    fn start() -> Self {
        Self::start_with(&["--listen", "10.77.0.3:0"])
    }

    fn start_with(reach: &[&str]) -> Self {
        Self::of("10.77.0.1:8090", reach)
    }

    fn of(gateway: &str, reach: &[&str]) -> Self {
        let wish = format!("gateway=http://{gateway},topic=plant/#,qos_level=2");
        // What arrives is compared with what switches count.
        let words =
            [env!("CARGO_BIN_EXE_watermaster"), "consumer", "--uncompressed", "--name", "client1", "--node", "s3"];
        let mut child = inside(3, &[&words[..], &["--subscribe", &wish], reach].concat());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let received = Arc::new(Mutex::new(vec![]));
        let log = Arc::clone(&received);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if let (Some(bytes), Some(false)) = (line["bytes"].as_u64(), line["is_repeated"].as_bool()) {
                    log.lock().unwrap().push((Instant::now(), bytes));
                }
            }
        });
        Self { received, process: Hosted(child) }
    }

    /// Takes its subscriptions back and ends.
    fn leave(mut self) {
        let child = &mut self.process.0;
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
    }

    fn bytes(&self) -> u64 {
        self.received.lock().unwrap().iter().map(|(_, bytes)| bytes).sum()
    }

    /// What arrives from now on, in bit/s.
    fn rate_bps(&self) -> u64 {
        let (started, before) = (Instant::now(), self.bytes());
        std::thread::sleep(COUNTED);
        let arrived = self.bytes() - before;
        u64::try_from(u128::from(arrived) * 8_000 / started.elapsed().as_millis()).unwrap()
    }

    fn await_bytes(&self) {
        let before = self.bytes();
        await_that("messages", SOON, || self.bytes(), |bytes| *bytes > before + 50_000);
    }
}

/// What any network does without being told: host 1 reaches host 3 by way of switch 2, and back, host 2 reaches host 3.
pub(crate) fn forward_as_usual(lab: &Lab) {
    let ways = [
        ("10.77.0.1", "10.77.0.3", [(1, 2), (2, 2), (3, 1)]),
        ("10.77.0.3", "10.77.0.1", [(3, 3), (2, 3), (1, 1)]),
        ("10.77.0.2", "10.77.0.3", [(2, 2), (3, 1), (3, 1)]),
        ("10.77.0.3", "10.77.0.2", [(3, 3), (2, 1), (2, 1)]),
    ];
    for (from, to, hops) in ways {
        for (switch, port) in hops {
            let rule = format!("cookie=0x99,priority=100,ip,nw_src={from},nw_dst={to},actions=output:{port}");
            lab.ofctl("add-flow", switch, &[&rule]);
        }
    }
}

/// The same for packets of IPv6 from host 1 to host 3 and back.
fn forward_ipv6_as_usual(lab: &Lab) {
    let ways = [
        ("fd00:77::1", "fd00:77::3", [(1, 2), (2, 2), (3, 1)]),
        ("fd00:77::3", "fd00:77::1", [(3, 3), (2, 3), (1, 1)]),
    ];
    for (from, to, hops) in ways {
        for (switch, port) in hops {
            let rule = format!("cookie=0x99,priority=100,ipv6,ipv6_src={from},ipv6_dst={to},actions=output:{port}");
            lab.ofctl("add-flow", switch, &[&rule]);
        }
    }
}

fn flood(lab: &Lab) -> Measuring {
    let seconds = u32::try_from(COUNTED.as_secs()).unwrap() + FLOOD_MORE_S;
    let flood = lab.start(2, 3, 0, &Load::Udp { mbit: FLOOD_MBIT }, seconds);
    std::thread::sleep(FLOOD_START);
    flood
}

/// How many bytes the rules with a label of a switch have passed on.
fn labelled_bytes(lab: &Lab, switch: u32) -> u64 {
    let text = lab.ofctl("dump-flows", switch, &["mpls"]);
    let counts = text.split("n_bytes=").skip(1).filter_map(|rest| rest.split(',').next()?.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn packets_of_priority_keep_their_rate_under_a_flood_with_the_orchestrator_only() {
    let lab = Lab::take();
    lab.shape(LINK_MBIT);
    forward_as_usual(&lab);

    let (gateway_alone, consumer) = (gateway(None), Consumer::start());
    consumer.await_bytes();
    let quiet = consumer.rate_bps();
    let drowning = flood(&lab);
    let without = consumer.rate_bps();
    let flood_without = drowning.arrived();
    drop((gateway_alone, consumer));

    let network = Network::for_hosts(&lab, u64::from(LINK_MBIT) * 1_000_000);
    // The same links as before: the other way round the ring is closed to allocations.
    let closed = json!({"state": "maintenance"}).to_string();
    let (status, answer) = network.ask("PATCH", "/v1/topologies/ring/links/s4-s1~", Some(&closed));
    assert_eq!(status, 200, "{answer}");
    let (_gateway, consumer) = (gateway(Some(&network.url())), Consumer::start());
    let allocations = || network.ask("GET", "/v1/allocations?aggregator=ag1&state=active", None).1["items"].clone();
    await_that("the gateway's allocation", SOON, allocations, |items| {
        let path = &items[0]["path"];
        items.as_array().is_some_and(|items| items.len() == 1) && *path == json!(["s1-s2", "s2-s3"])
    });
    let allocation = allocations()[0].clone();
    assert_eq!((&allocation["class_type"], &allocation["flow"]["ipv4_src"]), (&json!(2), &json!("10.77.0.1/32")));
    assert_eq!(allocation["flow"]["ipv4_dst"], "10.77.0.3/32", "{allocation}");
    consumer.await_bytes();
    let drowning = flood(&lab);
    let labelled_before = labelled_bytes(&lab, 2);
    let with = consumer.rate_bps();
    let flood_with = drowning.arrived();
    let labelled = labelled_bytes(&lab, 2) - labelled_before;

    println!(
        "of {DEVICE_BPS} bit/s there arrive {quiet} unflooded, {without} flooded without the orchestrator (the flood: \
         {flood_without:.2} Mbit/s), {with} with it (the flood: {flood_with:.2} Mbit/s)"
    );
    let offered = u64::from(DEVICE_BPS);
    assert!(quiet > offered * 9 / 10, "{quiet} of {offered} bit/s even without a flood");
    assert!(without < offered / 2, "{without} of {offered} bit/s arrive although nobody protects them");
    assert!(with > offered * 9 / 10, "{with} of {offered} bit/s arrive with the orchestrator");
    let counted = with * COUNTED.as_secs() / 8;
    assert!(labelled > counted * 8 / 10, "the switch passed {labelled} bytes on by label, the consumer took {counted}");
    assert!(flood_with > 4.0, "what the priority traffic leaves is the flood's: {flood_with} Mbit/s");

    // Whom nobody can post to reads a stream: its packets are found by where it reads it.
    consumer.leave();
    let callback_port = allocation["flow"]["l4_dst"].clone();
    let reader = Consumer::start_with(&["--stream"]);
    await_that("the allocation of the stream", SOON, allocations, |items| {
        let flow = &items[0]["flow"];
        flow["ipv4_dst"] == "10.77.0.3/32" && flow["l4_dst"].is_u64() && flow["l4_dst"] != callback_port
    });
    let labelled_before = labelled_bytes(&lab, 2);
    reader.await_bytes();
    await_that("bytes by label", SOON, || labelled_bytes(&lab, 2), |bytes| *bytes > labelled_before + 50_000);
}

#[test]
fn packets_to_consumers_of_ipv6_go_by_their_rules() {
    let lab = Lab::take();
    forward_ipv6_as_usual(&lab);
    let network = Network::for_hosts(&lab, 8_000_000);
    let listen = "[fd00:77::1]:8090";
    let _gateway = gateway_at(listen, Some(&network.url()));
    for (reach, what) in [(&["--listen", "[fd00:77::3]:0"][..], "posted to"), (&["--stream"], "reading a stream")] {
        let consumer = Consumer::of(listen, reach);
        let allocations = || network.ask("GET", "/v1/allocations?aggregator=ag1&state=active", None).1["items"].clone();
        await_that("the gateway's allocation", SOON, allocations, |items| {
            let flow = &items[0]["flow"];
            items.as_array().is_some_and(|items| items.len() == 1) && flow["ipv6_dst"] == "fd00:77::3/128"
        });
        let flow = allocations()[0]["flow"].clone();
        assert_eq!((&flow["ipv6_src"], &flow["ipv4_src"]), (&json!("fd00:77::1/128"), &Value::Null), "{flow}");
        let labelled = || (1..=4).map(|switch| labelled_bytes(&lab, switch)).sum::<u64>();
        let before = labelled();
        consumer.await_bytes();
        await_that("bytes by label", SOON, labelled, |bytes| *bytes > before + 50_000);
        println!("a consumer {what} has its packets by {flow}");
        consumer.leave();
        await_that("no allocation", SOON, allocations, |items| items.as_array().is_some_and(Vec::is_empty));
    }
}
