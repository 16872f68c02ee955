//! Reports of aggregators a second that the orchestrator takes in over MQTT, QoS 1: bursts, until the last report of everybody
//! is what `GET /v1/aggregators/{id}` shows; against the same messages on topics that nobody takes, acknowledged by the same broker
//! in the same run. Each report is read, believed or not, planned for and, where that changes a rate, admitted and
//! written down. `cargo bench --bench intake`.

#![expect(clippy::print_stdout, clippy::expect_used, clippy::cast_precision_loss, reason = "a bench prints and stops")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

const AGGREGATORS: usize = 1_000;
const TURNS: usize = 20;
const ROUNDS: usize = 3;
const WINDOW: u16 = 500;
const NODES: [&str; 14] = ["WA", "CA1", "CA2", "UT", "CO", "TX", "NE", "IL", "PA", "GA", "MI", "NY", "NJ", "MD"];

/// The service in a process of its own.
struct Served {
    process: Child,
    http: String,
    mqtt_port: u16,
}

impl Served {
    fn start(data: &std::path::Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("RUST_LOG", "warn,watermaster::decision=off")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output is ours")).lines();
        let mut after = |mark: &str| {
            let line =
                lines.by_ref().map_while(Result::ok).find(|line| line.contains(mark)).expect("it says where it is");
            let rest = line.split(mark).nth(1).unwrap_or_default().to_owned();
            rest.split(['/', ' ']).next().unwrap_or_default().to_owned()
        };
        let http = format!("http://{}", after("http://"));
        let mqtt = after("mqtt://");
        let mqtt_port = mqtt.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        Self { process, http, mqtt_port }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A report whose numbers are somewhat different each time.
fn report(aggregator: usize, turn: usize, at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).expect("a time").to_string();
    let (from, to) = (NODES[aggregator % NODES.len()], NODES[(aggregator * 5 + 3) % NODES.len()]);
    let to = if to == from { NODES[(aggregator + 1) % NODES.len()] } else { to };
    json!({"node": from, "at": at, "topics": [{"topic": "plant/1/t", "qos_level": aggregator % 3,
        "arrival_bps": 100_000 + (turn * 7_919 + aggregator * 31) % 50_000,
        "subscribers": [{"consumer": "c", "node": to}]}]})
    .to_string()
}

/// Publishes and waits until every message is acknowledged.
async fn publish(client: &AsyncClient, events: &mut EventLoop, messages: Vec<(String, String)>) {
    let (client, count) = (client.clone(), messages.len());
    let sending = tokio::spawn(async move {
        for (topic, payload) in messages {
            client.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("it is sent");
        }
    });
    let mut acknowledged = 0;
    while acknowledged < count {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.expect("the broker stays") {
            acknowledged += 1;
        }
    }
    sending.await.expect("all are sent");
}

/// Waits until the last report is what is shown.
async fn shown(http: &reqwest::Client, base: &str, aggregator: usize, at_ms: i64) {
    let url = format!("{base}/v1/aggregators/ag{aggregator}");
    loop {
        let answer = http.get(&url).send().await.expect("it answers").json::<Value>().await.expect("JSON");
        let at = answer["metadata"]["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        if at.is_some_and(|at| at.as_millisecond() >= at_ms) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path());
    let http = reqwest::Client::new();
    let mut options = MqttOptions::new("intake", "127.0.0.1", served.mqtt_port);
    options.set_inflight(WINDOW).set_keep_alive(Duration::from_secs(60));
    let (client, mut events) = AsyncClient::new(options, usize::from(WINDOW));

    println!("{AGGREGATORS} aggregators report {TURNS} times a round, {WINDOW} reports unacknowledged, on NSFNET");
    println!("{:<34} {:>12} {:>12}", "", "messages/s", "ratio");
    let (mut nobody, mut taken) = (0.0_f64, 0.0_f64);
    for round in 0..ROUNDS {
        let at_ms = |turn: usize| now_ms() + i64::try_from(turn).unwrap_or(0);
        let burst = |topic: fn(usize) -> String| {
            let all = (0..TURNS).flat_map(|turn| (0..AGGREGATORS).map(move |id| (turn, id)));
            all.map(|(turn, id)| (topic(id), report(id, round * TURNS + turn, at_ms(turn)))).collect::<Vec<_>>()
        };
        let reports = (TURNS * AGGREGATORS) as f64;
        let messages = burst(|id| format!("nobody/{id}"));
        let started = Instant::now();
        publish(&client, &mut events, messages).await;
        nobody = nobody.max(reports / started.elapsed().as_secs_f64());
        let messages = burst(|id| format!("watermaster/v1/aggregators/ag{id}/metadata"));
        let last_ms = at_ms(0);
        let started = Instant::now();
        publish(&client, &mut events, messages).await;
        for id in 0..AGGREGATORS {
            shown(&http, &served.http, id, last_ms).await;
        }
        taken = taken.max(reports / started.elapsed().as_secs_f64());
    }
    println!("{:<34} {nobody:>12.0} {:>12}", "acknowledged, taken by nobody", "");
    println!("{:<34} {taken:>12.0} {:>12.2}", "taken in by the orchestrator", taken / nobody);
}
