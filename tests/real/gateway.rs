//! A gateway with a folder of data, killed without warning again and again while devices publish with QoS 1: whatever was
//! acknowledged reaches the consumer, in order, and numbers go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use serde_json::{Value, json};

use crate::client::ask;

const KILLS: usize = 4;
const LIFE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

struct Process(Child);

impl Process {
    fn start(folder: &str, listen: SocketAddr, mqtt: SocketAddr) -> Self {
        let (listen_text, mqtt_text) = (listen.to_string(), mqtt.to_string());
        let child = Command::new(env!("CARGO_BIN_EXE_watermaster"))
            .args(["gateway", "--listen", &listen_text, "--mqtt-listen", &mqtt_text, "--data", folder])
            .args(["--buffer-bytes", "100000000,100000000,100000000"])
            .env("RUST_LOG", "warn")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = Self(child);
        let began = Instant::now();
        while !matches!(ask(listen, "GET", "/readyz", None), Ok((200, _))) {
            assert!(began.elapsed() < PATIENCE, "the gateway does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// SIGKILL: no time for anything.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the consumer got: payloads by their number in the subscription.
#[derive(Default)]
struct Received {
    by_sequence: BTreeMap<u64, String>,
    repeated: usize,
}

async fn deliver(State(received): State<Arc<Mutex<Received>>>, body: Bytes) {
    let batch: Value = serde_json::from_slice(&body).unwrap();
    let mut received = received.lock().unwrap();
    for message in batch["messages"].as_array().unwrap() {
        let (sequence, payload) = (message["sequence"].as_u64().unwrap(), message["payload"].as_str().unwrap());
        if let Some(before) = received.by_sequence.insert(sequence, payload.to_owned()) {
            assert_eq!(before, payload, "number {sequence} was given twice");
            received.repeated += 1;
        }
    }
}

/// Publishes numbers from `next` until the gateway dies; adds what it acknowledged.
async fn publish(address: SocketAddr, next: &mut u64, acknowledged: &mut BTreeSet<u64>) {
    let mut options = MqttOptions::new("device", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(5)).set_inflight(200);
    let (client, mut events) = AsyncClient::new(options, 100);
    let (mut queued, mut sent) = (VecDeque::new(), BTreeMap::new());
    loop {
        while queued.len() < 50 && client.try_publish("t", QoS::AtLeastOnce, false, next.to_string()).is_ok() {
            queued.push_back(*next);
            *next += 1;
        }
        match events.poll().await {
            Ok(Event::Outgoing(Outgoing::Publish(id))) => drop(sent.insert(id, queued.pop_front().unwrap())),
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                if let Some(number) = sent.remove(&ack.pkid) {
                    acknowledged.insert(number);
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

#[test]
fn what_devices_were_acknowledged_survives_kills() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (folder, listen, mqtt) = (tempfile::tempdir().unwrap(), free_address(), free_address());
    let path = folder.path().to_str().unwrap();
    let received: Arc<Mutex<Received>> = Arc::default();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let callback = format!("http://{}/in", listener.local_addr().unwrap());
    let router = Router::new().route("/in", post(deliver)).with_state(Arc::clone(&received));
    runtime.spawn(async move { axum::serve(listener, router).await });

    let mut process = Process::start(path, listen, mqtt);
    let body = json!({"topic": "#", "qos_level": 2, "callback_url": callback, "consumer": "c"}).to_string();
    let (status, view) = ask(listen, "POST", "/v1/subscriptions", Some(&body)).unwrap();
    assert_eq!(status, 201, "{view}");
    let (mut next, mut acknowledged) = (0, BTreeSet::new());
    for _ in 0..KILLS {
        let device = runtime.spawn(async move {
            let (mut next, mut acknowledged) = (next, BTreeSet::new());
            publish(mqtt, &mut next, &mut acknowledged).await;
            (next, acknowledged)
        });
        std::thread::sleep(LIFE);
        process.kill();
        let (reached, more) = runtime.block_on(device).unwrap();
        next = reached;
        acknowledged.extend(more);
        process = Process::start(path, listen, mqtt);
    }
    assert!(acknowledged.len() > KILLS * 100, "only {} messages were acknowledged", acknowledged.len());
    let id = view["id"].as_str().unwrap();
    let began = Instant::now();
    loop {
        let (status, view) = ask(listen, "GET", &format!("/v1/subscriptions/{id}"), None).unwrap();
        assert_eq!(status, 200, "the subscription survives");
        if view["waiting_bytes"] == 0 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{view}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let received = received.lock().unwrap();
    let found: BTreeSet<u64> = received.by_sequence.values().map(|payload| payload.parse().unwrap()).collect();
    let lost = acknowledged.difference(&found).count();
    println!(
        "{KILLS} kills: {} acknowledged, {lost} lost, {} delivered, {} of them again",
        acknowledged.len(),
        received.by_sequence.len(),
        received.repeated
    );
    assert_eq!(lost, 0);
    let numbers: Vec<u64> = received.by_sequence.keys().copied().collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "the consumer sees no gap");
}
