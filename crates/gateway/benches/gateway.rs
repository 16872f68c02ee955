//! What a gateway does: messages a second at QoS 1 with and without the spool, the part of a narrow link that is payload,
//! and how much of a rate is used over a long round trip. Everything is in one process, over loopback.
//!
//! `cargo bench -p watermaster-gateway --bench gateway`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails should stop, and is printed")]

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
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
    /// What it accepts, as `Accept-Encoding` says it.
    coding: &'static str,
    batches: AtomicU64,
    messages: AtomicU64,
    body_bytes: AtomicU64,
}

async fn receive(State(sink): State<Arc<Sink>>, headers: HeaderMap, body: Bytes) -> Response {
    tokio::time::sleep(sink.delay).await;
    let mut plain = vec![];
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None => plain.extend_from_slice(&body),
        Some(b"gzip") => _ = flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap(),
        Some(_) => plain = zstd::decode_all(&body[..]).unwrap(),
    }
    let messages = plain.windows(11).filter(|part| *part == b"\"sequence\":").count();
    sink.batches.fetch_add(1, Ordering::Relaxed);
    sink.messages.fetch_add(messages as u64, Ordering::Relaxed);
    sink.body_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    (StatusCode::NO_CONTENT, [(header::ACCEPT_ENCODING, sink.coding)]).into_response()
}

async fn open_sink(delay: Duration, coding: &'static str) -> (Arc<Sink>, String) {
    let sink = Arc::new(Sink { delay, coding, ..Sink::default() });
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
    let (sink, url) = open_sink(Duration::ZERO, "identity").await;
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

/// Publishes random bytes at a steady rate with QoS 0.
async fn offer(address: SocketAddr, payload_bytes: usize, rate_bps: u64) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'o']).await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    for number in 0_u64.. {
        let due = began.elapsed().as_secs_f64() * rate_bps as f64 / 8.0 / payload_bytes as f64;
        if number as f64 >= due {
            ticks.tick().await;
        }
        let length = 3 + payload_bytes;
        let mut packet = vec![0x30, byte(length % 128) | 128, byte(length / 128), 0, 1, b't'];
        for _ in 0..payload_bytes {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            packet.push(random.to_be_bytes()[2]);
        }
        stream.write_all(&packet).await.unwrap();
    }
}

async fn paced(rate_bps: u64, payload_bytes: usize, delay: Duration, coding: &'static str) {
    let offered_bps = (rate_bps * 2).min(payload_bytes as u64 * 8 * 200_000);
    let options =
        GatewayOptions { fallback_bps: [0, 0, rate_bps], buffer_bytes: [16_000_000; 3], ..GatewayOptions::default() };
    let (sink, url) = open_sink(delay, coding).await;
    let edge = Edge::open(options, &url, "away").await;
    let source = tokio::spawn(offer(edge.mqtt, payload_bytes, offered_bps));
    let rates = per_second(&[&sink.batches, &sink.messages, &sink.body_bytes]).await;
    // Bodies, the heads of request and answer, and the headers of packets, as the gateway counts them.
    let wire_bps = (rates[2] + rates[0] * 400.0) * 8.0 * 1.05;
    let payload_bps = rates[1] * payload_bytes as f64 * 8.0;
    println!(
        "{:>9} bit/s, {payload_bytes:>5} random bytes, {coding:<8} answers after {:>3} ms: {:>5.2} of the rate used, {:>5.2} payload, {:>6.1} batches/s",
        rate_bps,
        delay.as_millis(),
        wire_bps / rate_bps as f64,
        payload_bps / rate_bps as f64,
        rates[0]
    );
    source.abort();
    edge.close().await;
}

/// `cargo bench -p watermaster-gateway --bench gateway -- paced` leaves the first part out.
#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    if std::env::args().any(|argument| argument == "paced") {
        return paces().await;
    }
    let memory = intake("memory", None).await;
    for (name, sync) in [("spool, normal", DataSync::Normal), ("spool, full", DataSync::Full)] {
        let rate = intake(name, Some(sync)).await;
        println!("  {:.0} % of the rate in memory", rate * 100.0 / memory);
    }
    paces().await;
}

async fn paces() {
    for coding in ["identity", "gzip", "zstd"] {
        paced(80_000, 20, Duration::ZERO, coding).await;
        paced(20_000_000, 20, Duration::from_millis(50), coding).await;
    }
    for delay_ms in [0, 50, 100, 200, 300] {
        paced(20_000_000, 1_000, Duration::from_millis(delay_ms), "zstd").await;
    }
}
