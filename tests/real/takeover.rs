//! A consumer that takes a name from one gateway, which is killed, and stopped without a word: another takes over, with what is
//! retained, and the consumer says so.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

use crate::client::ask;
use crate::running::Running;

const PATIENCE: Duration = Duration::from_secs(60);
const PAIR: &str = r#"{"nodes": [{"id": "a"}, {"id": "b"}],
    "links": [{"id": "ab", "from": "a", "to": "b", "capacity_bps": 10000000, "bidirectional": true}]}"#;

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A process that is killed when it is dropped.
struct Process(Child);

impl Process {
    fn spawn(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watermaster"));
        let child = command.args(arguments).env("RUST_LOG", "warn").stdout(Stdio::piped()).spawn().unwrap();
        Self(child)
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway with a source of the name `plant/t` and a retained message of `plant/set`.
struct SourceGateway {
    process: Process,
}

impl SourceGateway {
    fn start(id: &str, orchestrator: SocketAddr) -> Self {
        let (listen, mqtt) = (free_address(), free_address());
        let process = Process::spawn(&[
            "gateway",
            "--id",
            id,
            "--node",
            "a",
            "--listen",
            &listen.to_string(),
            "--mqtt-listen",
            &mqtt.to_string(),
            "--orchestrator",
            &format!("http://{orchestrator}"),
            "--report-every-ms",
            "200",
            "--generate",
            "topic=plant/t,payload_bytes=50,rate_bps=40000",
        ]);
        let began = Instant::now();
        while !matches!(ask(listen, "GET", "/readyz", None), Ok((200, _))) {
            assert!(began.elapsed() < PATIENCE, "the gateway does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        retain(mqtt, id);
        Self { process }
    }
}

/// A device retains a message at the gateway.
fn retain(mqtt: SocketAddr, payload: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sent = async {
        let options = MqttOptions::new("device", mqtt.ip().to_string(), mqtt.port());
        let (client, mut events) = AsyncClient::new(options, 10);
        client.publish("plant/set", QoS::AtLeastOnce, true, payload).await.unwrap();
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {}
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, sent).await.unwrap() });
}

/// What a consumer writes, line by line.
struct Log {
    lines: Receiver<Value>,
}

impl Log {
    fn of(consumer: &mut Process) -> Self {
        let (sender, lines) = channel();
        let out = std::io::BufReader::new(consumer.0.stdout.take().unwrap());
        std::thread::spawn(move || {
            let lines = std::io::BufRead::lines(out).map_while(Result::ok);
            lines.map(|line| serde_json::from_str(&line).unwrap()).try_for_each(|line| sender.send(line))
        });
        Self { lines }
    }

    /// The first line that is so, and all before it.
    fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> (Value, Vec<Value>) {
        let (end, mut before) = (Instant::now() + PATIENCE, vec![]);
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("{error}: it never came to be that {what}"));
            if is(&line) {
                return (line, before);
            }
            before.push(line);
        }
    }
}

fn ms_between(earlier: &Value, later: &Value) -> i64 {
    let ms = |line: &Value| line["at"].as_str().unwrap().parse::<api::instant::Instant>().unwrap().0.cast_signed();
    ms(later) - ms(earlier)
}

#[test]
fn a_name_is_taken_from_another_gateway_when_one_dies() {
    let data = tempfile::tempdir().unwrap();
    let service = Running::start(&["--data", data.path().to_str().unwrap()]);
    assert_eq!(ask(service.address, "PUT", "/v1/topologies/net", Some(PAIR)).unwrap().0, 201);
    let mut gateways: Vec<Option<SourceGateway>> =
        ["ag1", "ag2", "ag3"].iter().map(|id| Some(SourceGateway::start(id, service.address))).collect();
    let orchestrator = format!("http://{}", service.address);
    let began = Instant::now();
    while service.get("/v1/contents?name=plant/set").1["items"].as_array().is_none_or(|found| found.len() < 3) {
        assert!(began.elapsed() < PATIENCE, "the gateways are not known");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut consumer = Process::spawn(&[
        "consumer",
        "--name",
        "client",
        "--node",
        "b",
        "--orchestrator",
        &orchestrator,
        "--one-gateway",
        "--content",
        "plant/t,qos_level=2",
        "--content",
        "plant/set,qos_level=1",
    ]);
    let log = Log::of(&mut consumer);
    let mut from = log.until("a message comes", |line| line["topic"] == "plant/t").0["gateway"].clone();
    // Killed, and stopped without a word: its address still takes connections then.
    for signal in ["-KILL", "-STOP"] {
        let at = ["ag1", "ag2", "ag3"].iter().position(|id| from == *id).unwrap();
        log.until("messages of the source come", |line| line["gateway"] == from && line["topic"] == "plant/t");
        let struck = gateways[at].as_ref().unwrap();
        struck.process.signal(signal);
        let struck_at = Instant::now();
        let is_new = |line: &Value, topic: &str| line["gateway"] != from && line["topic"] == topic;
        let (first, before) = log.until("another gateway sends the name", |line| is_new(line, "plant/t"));
        let took = struck_at.elapsed();
        let last = before.iter().rev().find(|line| line["gateway"] == from && line["topic"] == "plant/t");
        println!(
            "{signal}: the first message of another gateway came {} ms after the signal, {:?} ms after the last one of the old",
            took.as_millis(),
            last.map(|last| ms_between(last, &first))
        );
        let retained = before.iter().find(|line| is_new(line, "plant/set")).cloned();
        let retained =
            retained.unwrap_or_else(|| log.until("what is retained comes", |line| is_new(line, "plant/set")).0);
        assert_eq!(retained["bytes"], 3, "each gateway retains its own id");
        from = first["gateway"].clone();
        if signal == "-KILL" {
            drop(gateways[at].take());
        }
    }
    consumer.signal("-INT");
    let (summary, _) = log.until("it sums up", |line| line.get("summary").is_some());
    let takeovers = summary["summary"]["takeovers"].as_array().unwrap().clone();
    println!("takeovers: {takeovers:?}");
    for name in ["plant/t", "plant/set"] {
        assert_eq!(takeovers.iter().filter(|one| one["name"] == name).count(), 2, "{takeovers:?}");
    }
    for gateway in gateways.iter().flatten() {
        gateway.process.signal("-CONT");
    }
}
