//! Two QoS levels of two gateways on packets: links of a fixed rate carry less than the devices say. With the orchestrator the
//! high level arrives whole, and what is left is divided max-min fair; beside it the same without one, where the gateways send
//! what they have and TCP divides.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};
use watermaster::cli::demo::optimum::{jain_ppm, progressive_filling};

use crate::lab::{Lab, address, await_that, inside};
use crate::network::{Network, SOON};
use crate::packets_of_gateways::{Hosted, forward_as_usual};

/// What every link carries.
const LINK_MBIT: u32 = 8;
/// What is booked of that at most: labels and the heads of frames come on top.
const BOOKED_BPS: u64 = 7_000_000;
/// What the devices behind each gateway say in the levels 2 and 0, payloads only. The gateways are those of hosts 1 and 2.
const DEVICES_BPS: [[u64; 2]; 2] = [[600_000, 6_000_000], [600_000, 1_800_000]];
const LEVELS: [u64; 2] = [2, 0];
const SETTLING: Duration = Duration::from_secs(8);
/// How often the gateways are asked what they send, a second apart.
const LOOKS: u64 = 8;

/// The gateway of a host; without an orchestrator nothing but the network holds it back.
fn gateway(host: u32, orchestrator: Option<&str>) -> Hosted {
    let (id, node, listen) = (format!("ag{host}"), format!("s{host}"), format!("{}:8090", address(host)));
    let [high, low] = DEVICES_BPS[host as usize - 1];
    let high = format!("topic=plant/{host}/alarm,payload_bytes=1000,rate_bps={high}");
    let low = format!("topic=plant/{host}/film,payload_bytes=1000,rate_bps={low}");
    let mut words = vec![env!("CARGO_BIN_EXE_watermaster"), "gateway", "--id", &id, "--node", &node];
    words.extend(["--listen", &listen, "--mqtt-listen", "127.0.0.1:1884", "--generate", &high, "--generate", &low]);
    words.extend(["--fallback-bps", "20000000,20000000,20000000"]);
    words.extend(orchestrator.into_iter().flat_map(|url| ["--orchestrator", url]));
    let mut child = inside(host, &words);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("Gateway")), "no gateway at host {host}");
    std::thread::spawn(move || lines.for_each(drop));
    Hosted(child)
}

/// A consumer at host 3 of both levels of both gateways.
fn consumer() -> Child {
    let wishes = [1, 2].map(|host| {
        [("alarm", 2), ("film", 0)].map(|(topic, level)| {
            format!("gateway=http://{}:8090,topic=plant/+/{topic},qos_level={level}", address(host))
        })
    });
    let mut words = vec![env!("CARGO_BIN_EXE_watermaster"), "consumer", "--uncompressed", "--quiet"];
    words.extend(["--name", "client1", "--node", "s3", "--listen", "10.77.0.3:0"]);
    words.extend(wishes.as_flattened().iter().flat_map(|wish| ["--subscribe", wish]));
    inside(3, &words)
}

/// What a gateway says of its levels 2 and 0: what arrives there and what it sends, in bit/s on the link.
fn rates(host: u32) -> [[u64; 2]; 2] {
    let url = format!("http://{}:8090/v1/status", address(host));
    let output = inside(host, &["curl", "-sS", "--max-time", "5", &url]).wait_with_output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |level: u64, name: &str| {
        let levels = status["levels"].as_array().unwrap();
        levels.iter().find(|one| one["qos_level"] == level).unwrap()[name].as_u64().unwrap()
    };
    LEVELS.map(|level| ["arrival_bps", "sent_bps"].map(|name| figure(level, name)))
}

/// A level of a gateway, as it was with or without the orchestrator.
#[derive(Clone, Copy, Debug, Default)]
struct LevelFigures {
    offered_bps: u64,
    sent_bps: u64,
    latency_ms: u64,
    missing: u64,
}

/// Both gateways and the consumer for a while: the levels 2 and 0 of the first, then of the second.
fn play(orchestrator: Option<&str>, settled: impl FnOnce()) -> [LevelFigures; 4] {
    let gateways = [1, 2].map(|host| gateway(host, orchestrator));
    let consumer = consumer();
    std::thread::sleep(SETTLING);
    settled();
    let mut figures = [LevelFigures::default(); 4];
    for _ in 0..LOOKS {
        let seen = [1, 2].map(rates);
        for (figure, [offered_bps, sent_bps]) in figures.iter_mut().zip(seen.as_flattened()) {
            figure.offered_bps += offered_bps / LOOKS;
            figure.sent_bps += sent_bps / LOOKS;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(Command::new("kill").args(["-TERM", &consumer.id().to_string()]).status().unwrap().success());
    let output = consumer.wait_with_output().unwrap();
    drop(gateways);
    let text = String::from_utf8(output.stdout).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let places = [1, 2].map(|host| LEVELS.map(|level| (host, level)));
    for (figure, (host, level)) in figures.iter_mut().zip(places.as_flattened()) {
        let found = |list: &str, gateway: String| {
            let items = line["summary"][list].as_array().unwrap();
            let found = items.iter().find(|item| item["gateway"] == gateway && item["qos_level"] == *level);
            found.cloned().unwrap_or_default()
        };
        figure.latency_ms = found("topics", format!("ag{host}"))["latency_mean_ms"].as_u64().unwrap_or(u64::MAX);
        let subscription = found("subscriptions", format!("http://{}:8090/", address(*host)));
        figure.missing = subscription["missing"].as_u64().unwrap();
    }
    figures
}

#[test]
fn packets_of_two_levels_share_a_link_as_the_optimum_would_have_it() {
    let lab = Lab::take();
    lab.shape(LINK_MBIT);
    forward_as_usual(&lab);
    let without = play(None, || ());

    let network = Network::for_hosts(&lab, BOOKED_BPS);
    // One link for all: the other way round the ring is closed to allocations.
    let closed = json!({"state": "maintenance"}).to_string();
    let (status, answer) = network.ask("PATCH", "/v1/topologies/ring/links/s4-s1~", Some(&closed));
    assert_eq!(status, 200, "{answer}");
    let with = play(Some(&network.url()), || {
        let active = || network.count("active");
        await_that("an allocation for each level of each gateway", SOON, active, |active| *active == 4);
    });

    let offers = with.map(|level| level.offered_bps);
    let optimum = progressive_filling(&offers, BOOKED_BPS);
    println!("        level  offered  optimum  with it: sent, latency, missing       without: sent, latency, missing");
    for (place, ((with, without), optimum)) in with.iter().zip(&without).zip(&optimum).enumerate() {
        println!(
            "ag{} {:>8} {:>8} {optimum:>8} {:>12} {:>6} ms {:>6} {:>18} {:>6} ms {:>6}",
            place / 2 + 1,
            LEVELS[place % 2],
            with.offered_bps,
            with.sent_bps,
            with.latency_ms,
            with.missing,
            without.sent_bps,
            without.latency_ms,
            without.missing
        );
    }
    let jain = |figures: &[LevelFigures; 4]| jain_ppm(figures.iter().map(|level| level.sent_bps).zip(optimum.clone()));
    let sent: u64 = with.iter().map(|level| level.sent_bps).sum();
    println!(
        "Jain's index of sent over optimum: {} ppm with it, {} without; {} % of what can be booked was sent",
        jain(&with),
        jain(&without),
        sent * 100 / BOOKED_BPS
    );
    for high in [0, 2] {
        let level = with[high];
        assert!(level.sent_bps > level.offered_bps * 95 / 100 && level.missing == 0, "{level:?}");
    }
    for (level, optimum) in with.iter().zip(&optimum) {
        assert!(level.sent_bps > optimum * 85 / 100, "{level:?} of {optimum} bit/s");
    }
    assert!(jain(&with) > 980_000);
}
