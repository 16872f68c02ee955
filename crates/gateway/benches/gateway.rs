//! What a gateway does: messages a second at QoS 1 with and without the spool, the part of a narrow link that is payload,
//! and how much of a rate is used over a long round trip. Everything is in one process, over loopback.
//!
//! `cargo bench -p watermaster-gateway --bench gateway`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails should stop, and is printed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use watermaster_gateway::Gateway;
use watermaster_gateway::options::{DataSync, GatewayOptions};

const DEVICES: usize = 8;
/// Messages that a device has unacknowledged.
const WINDOW: usize = 1_000;
const WARM_UP: Duration = Duration::from_secs(2);
const SPAN: Duration = Duration::from_secs(8);

/// Answers after a delay, and counts.
#[derive(Default)]
struct Sink {
    delay: Duration,
    batches: AtomicU64,
    messages: AtomicU64,
    body_bytes: AtomicU64,
}

async fn receive(State(sink): State<Arc<Sink>>, body: Bytes) -> StatusCode {
    tokio::time::sleep(sink.delay).await;
    let messages = body.windows(11).filter(|part| *part == b"\"sequence\":").count();
    sink.batches.fetch_add(1, Ordering::Relaxed);
    sink.messages.fetch_add(messages as u64, Ordering::Relaxed);
    sink.body_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

async fn open_sink(delay: Duration) -> (Arc<Sink>, String) {
    let sink = Arc::new(Sink { delay, ..Sink::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let limit = axum::extract::DefaultBodyLimit::max(4 << 20);
    let router = Router::new().route("/in", post(receive)).layer(limit).with_state(Arc::clone(&sink));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (sink, url)
}

struct Edge {
    mqtt: SocketAddr,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Edge {
    async fn open(options: GatewayOptions, callback: &str, node: &str) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = GatewayOptions { listen: anywhere, mqtt_listen: anywhere, ..options };
        let gateway = Gateway::build(options).await.unwrap();
        let (address, mqtt, stop) = (gateway.address(), gateway.mqtt_address(), CancellationToken::new());
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { gateway.run(stop).await.unwrap() }
        });
        let body = serde_json::json!({"topic": "#", "qos_level": 2, "callback_url": callback, "node": node});
        let client = reqwest::Client::new();
        let answer = client.post(format!("http://{address}/v1/subscriptions")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        Self { mqtt, stop, running }
    }

    async fn close(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

/// Publishes with QoS 1 as fast as it is acknowledged.
async fn publish(address: SocketAddr, number: usize, payload_bytes: usize, acknowledged: Arc<AtomicU64>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .write_all(&[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'd', byte(number) | b'0'])
        .await
        .unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let (mut next, mut open) = (1_u16, 0_usize);
    let mut answers = vec![0; 4 * WINDOW];
    let topic = format!("t/{number}");
    loop {
        let mut packets = vec![];
        while open < WINDOW {
            let length = 2 + topic.len() + 2 + payload_bytes;
            packets.extend([0x32, byte(length % 128) | 128, byte(length / 128), 0, byte(topic.len())]);
            packets.extend(topic.as_bytes());
            packets.extend(next.to_be_bytes());
            packets.resize(packets.len() + payload_bytes, b'x');
            next = if next == u16::MAX { 1 } else { next + 1 };
            open += 1;
        }
        writer.write_all(&packets).await.unwrap();
        let mut read = reader.read(&mut answers).await.unwrap();
        while read % 4 != 0 {
            read += reader.read(&mut answers[read..]).await.unwrap();
        }
        open -= read / 4;
        acknowledged.fetch_add((read / 4) as u64, Ordering::Relaxed);
    }
}

async fn per_second(counts: &[&AtomicU64]) -> Vec<f64> {
    tokio::time::sleep(WARM_UP).await;
    let read = || counts.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let (before, began) = (read(), Instant::now());
    tokio::time::sleep(SPAN).await;
    let span = began.elapsed().as_secs_f64();
    read().iter().zip(before).map(|(after, before)| (after - before) as f64 / span).collect()
}

async fn intake(name: &str, data: Option<DataSync>) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let options = GatewayOptions {
        data: data.map(|_| folder.path().to_owned()),
        data_sync: data.unwrap_or_default(),
        buffer_bytes: [64_000_000; 3],
        ..GatewayOptions::default()
    };
    let (sink, url) = open_sink(Duration::ZERO).await;
    let edge = Edge::open(options, &url, "gateway").await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let devices: Vec<_> =
        (0..DEVICES).map(|number| tokio::spawn(publish(edge.mqtt, number, 100, Arc::clone(&acknowledged)))).collect();
    let rates = per_second(&[&acknowledged, &sink.messages]).await;
    devices.iter().for_each(tokio::task::JoinHandle::abort);
    println!("qos 1, 100 bytes, {name:<22} {:>9.0} acknowledged/s {:>9.0} delivered/s", rates[0], rates[1]);
    edge.close().await;
    rates[0]
}

async fn paced(rate_bps: u64, payload_bytes: usize, delay: Duration) {
    let offered_bps = (rate_bps * 2).min(payload_bytes as u64 * 8 * 60_000);
    let source = format!("topic=t,payload_bytes={payload_bytes},rate_bps={offered_bps}");
    let options = GatewayOptions {
        fallback_bps: [0, 0, rate_bps],
        generate: vec![source.parse().unwrap()],
        ..GatewayOptions::default()
    };
    let (sink, url) = open_sink(delay).await;
    let edge = Edge::open(options, &url, "away").await;
    let rates = per_second(&[&sink.batches, &sink.messages, &sink.body_bytes]).await;
    // Bodies, the heads of request and answer, and the headers of packets, as the gateway counts them.
    let wire_bps = (rates[2] + rates[0] * 400.0) * 8.0 * 1.05;
    let payload_bps = rates[1] * payload_bytes as f64 * 8.0;
    println!(
        "{:>9} bit/s, {payload_bytes:>5} bytes, answers after {:>3} ms: {:>5.2} of the rate used, {:>5.2} payload, {:>5.2} messages as rendered, {:>6.1} batches/s",
        rate_bps,
        delay.as_millis(),
        wire_bps / rate_bps as f64,
        payload_bps / rate_bps as f64,
        rates[2] * 8.0 / rate_bps as f64,
        rates[0]
    );
    edge.close().await;
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let memory = intake("memory", None).await;
    for (name, sync) in [("spool, normal", DataSync::Normal), ("spool, full", DataSync::Full)] {
        let rate = intake(name, Some(sync)).await;
        println!("  {:.0} % of the rate in memory", rate * 100.0 / memory);
    }
    paced(80_000, 20, Duration::ZERO).await;
    for delay_ms in [0, 50, 100, 200] {
        paced(20_000_000, 1_000, Duration::from_millis(delay_ms)).await;
    }
    paced(20_000_000, 20, Duration::from_millis(50)).await;
}
