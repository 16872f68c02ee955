//! A gateway on free ports, one who publishes to it like a device, a consumer that answers as it is told, and an
//! orchestrator that says what it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway::options::GatewayOptions;
use gateway::{Gateway, GatewayError};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that should happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(super) fn options() -> GatewayOptions {
    let rates = [8_000_000; 3];
    GatewayOptions {
        listen: anywhere(),
        mqtt_listen: anywhere(),
        fallback_bps: rates,
        report_every_ms: 50,
        ..GatewayOptions::default()
    }
}

pub(super) struct Edge {
    pub(super) base: String,
    pub(super) address: SocketAddr,
    mqtt: SocketAddr,
    http: reqwest::Client,
    stop: CancellationToken,
    running: JoinHandle<Result<(), GatewayError>>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(super) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

impl Edge {
    pub(super) async fn open(options: GatewayOptions) -> Self {
        let gateway = Gateway::build(options).await.unwrap();
        let (address, mqtt) = (gateway.address(), gateway.mqtt_address());
        let stop = CancellationToken::new();
        let running = tokio::spawn(gateway.run(stop.clone()));
        let edge = Self { base: format!("http://{address}"), address, mqtt, http: http(), stop, running };
        assert_eq!(edge.get("/readyz").await.status, 200);
        edge
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
    }

    pub(super) async fn send(&self, method: &str, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.base));
        let response = request.header("content-type", kind).body(body).send().await.unwrap();
        let status = response.status().as_u16();
        Answer { status, text: response.text().await.unwrap() }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "text/plain", "").await
    }

    pub(super) async fn subscribe(&self, body: Value) -> Answer {
        self.send("POST", "/v1/subscriptions", "application/json", body.to_string()).await
    }

    /// Subscribes and says the id.
    pub(super) async fn subscribed(&self, body: Value) -> String {
        let answer = self.subscribe(body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn status(&self) -> Value {
        self.get("/v1/status").await.json()
    }

    /// Asks until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, is_good: impl Fn(&Answer) -> bool) -> Answer {
        eventually(|| async {
            let answer = self.get(path).await;
            is_good(&answer).then_some(answer)
        })
        .await
    }

    pub(super) fn device(&self) -> Device {
        let name = format!("device-{}", self.mqtt.port());
        let mut options = rumqttc::MqttOptions::new(name, self.mqtt.ip().to_string(), self.mqtt.port());
        options.set_keep_alive(Duration::from_secs(5));
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut events) = rumqttc::AsyncClient::new(options, 64);
        let (sender, acknowledged) = watch::channel(0_usize);
        let polling = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_))) => sender.send_modify(|count| *count += 1),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        Device { client, acknowledged, published: 0, polling }
    }
}

/// Asks again until there is an answer.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

/// Publishes over MQTT like any device.
pub(super) struct Device {
    client: rumqttc::AsyncClient,
    acknowledged: watch::Receiver<usize>,
    published: usize,
    polling: JoinHandle<()>,
}

impl Device {
    pub(super) async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, rumqttc::QoS::AtLeastOnce, false, payload).await.unwrap();
        self.published += 1;
    }

    pub(super) async fn publish_unacknowledged(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, rumqttc::QoS::AtMostOnce, false, payload).await.unwrap();
    }

    pub(super) async fn publish_retained(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, rumqttc::QoS::AtLeastOnce, true, payload).await.unwrap();
        self.published += 1;
    }

    /// Until the gateway has acknowledged everything.
    pub(super) async fn rest(&mut self) {
        let published = self.published;
        let done = self.acknowledged.wait_for(|count| *count >= published);
        tokio::time::timeout(PATIENCE, done).await.unwrap().unwrap();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

/// An HTTP server of the test. When it is dropped, it lets idle connections go as well.
pub(super) struct Stand {
    pub(super) base: String,
    pub(super) address: SocketAddr,
    stop: CancellationToken,
}

impl Stand {
    pub(super) async fn open(router: Router) -> Self {
        Self::open_at(router, anywhere()).await
    }

    /// Where somebody was before, too: the address may take a moment to be free again.
    pub(super) async fn open_at(router: Router, address: SocketAddr) -> Self {
        let listener = eventually(|| async { TcpListener::bind(address).await.ok() }).await;
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await.unwrap() });
        Self { base: format!("http://{address}"), address, stop }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// How a consumer answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Status(u16),
    Redirect,
    Hang,
}

#[derive(Clone)]
pub(super) struct Inbox {
    manner: Arc<Mutex<Manner>>,
    batches: Arc<Mutex<Vec<Value>>>,
    attempts: watch::Sender<usize>,
}

/// A consumer.
pub(super) struct Taker {
    pub(super) url: String,
    inbox: Inbox,
    _stand: Stand,
}

impl Taker {
    pub(super) async fn open(manner: Manner) -> Self {
        let inbox =
            Inbox { manner: Arc::new(Mutex::new(manner)), batches: Arc::default(), attempts: watch::Sender::new(0) };
        let stand = Stand::open(Router::new().fallback(take).with_state(inbox.clone())).await;
        Self { url: format!("{}/in", stand.base), inbox, _stand: stand }
    }

    pub(super) fn behave(&self, manner: Manner) {
        *self.inbox.manner.lock().unwrap() = manner;
    }

    /// Until there were so many attempts to deliver.
    pub(super) async fn attempts(&self, count: usize) {
        let mut attempts = self.inbox.attempts.subscribe();
        tokio::time::timeout(PATIENCE, attempts.wait_for(|seen| *seen >= count)).await.unwrap().unwrap();
    }

    pub(super) fn attempts_so_far(&self) -> usize {
        *self.inbox.attempts.borrow()
    }

    pub(super) fn batches(&self) -> Vec<Value> {
        self.inbox.batches.lock().unwrap().clone()
    }

    /// All messages that arrived.
    pub(super) fn messages(&self) -> Vec<Value> {
        let batches = self.batches();
        batches.iter().flat_map(|batch| batch["messages"].as_array().unwrap().clone()).collect()
    }

    /// Until so many messages have arrived.
    pub(super) async fn received(&self, count: usize) -> Vec<Value> {
        eventually(|| async { Some(self.messages()).filter(|messages| messages.len() >= count) }).await
    }
}

async fn take(State(inbox): State<Inbox>, request: Request) -> Response {
    let manner = *inbox.manner.lock().unwrap();
    let body = axum::body::to_bytes(request.into_body(), 8 << 20).await.unwrap();
    if manner == Manner::Status(200) {
        inbox.batches.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    }
    inbox.attempts.send_modify(|count| *count += 1);
    match manner {
        Manner::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Manner::Redirect => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        Manner::Hang => std::future::pending().await,
    }
}

#[derive(Clone)]
pub(super) struct Seat {
    rates: watch::Sender<Value>,
    reports: Arc<Mutex<VecDeque<Value>>>,
    heard: watch::Sender<usize>,
    refusal: Arc<Mutex<Option<Value>>>,
    over: CancellationToken,
}

/// An orchestrator that says what it is told.
pub(super) struct Orchestrator {
    pub(super) stand: Stand,
    seat: Seat,
}

/// Rates as the orchestrator says them.
pub(super) fn rates(sequence: u64, lease_ms: u64, levels: [u64; 3], fallback: [u64; 3]) -> Value {
    let list = |rates: [u64; 3]| {
        let rate = |(level, bps): (usize, &u64)| json!({"qos_level": level, "rate_bps": bps, "allocations": ["7"]});
        rates.iter().enumerate().map(rate).collect::<Vec<_>>()
    };
    let at = "2030-01-01T00:00:00.000Z";
    json!({"sequence": sequence, "at": at, "lease_ms": lease_ms, "levels": list(levels), "fallback": list(fallback)})
}

impl Orchestrator {
    pub(super) async fn open(rates: Value) -> Self {
        Self::open_at(rates, anywhere()).await
    }

    pub(super) async fn open_at(rates: Value, address: SocketAddr) -> Self {
        let seat = Seat {
            rates: watch::Sender::new(rates),
            reports: Arc::default(),
            heard: watch::Sender::new(0),
            refusal: Arc::default(),
            over: CancellationToken::new(),
        };
        let stand = Stand::open_at(Router::new().fallback(orchestrate).with_state(seat.clone()), address).await;
        Self { stand, seat }
    }

    pub(super) fn say(&self, rates: Value) {
        self.seat.rates.send_replace(rates);
    }

    /// Answers reports with a problem from now on, or with rates again.
    pub(super) fn refuse(&self, problem: Option<Value>) {
        *self.seat.refusal.lock().unwrap() = problem;
    }

    pub(super) fn heard(&self) -> usize {
        *self.seat.heard.borrow()
    }

    /// The next report that is as wanted.
    pub(super) async fn report(&self, is_good: impl Fn(&Value) -> bool) -> Value {
        eventually(|| async { self.seat.reports.lock().unwrap().iter().rev().find(|report| is_good(report)).cloned() })
            .await
    }

    pub(super) async fn reports(&self, count: usize) -> Vec<Value> {
        let mut heard = self.seat.heard.subscribe();
        tokio::time::timeout(PATIENCE, heard.wait_for(|seen| *seen >= count)).await.unwrap().unwrap();
        self.seat.reports.lock().unwrap().iter().cloned().collect()
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.seat.over.cancel();
    }
}

async fn orchestrate(State(seat): State<Seat>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path.ends_with("/rates/stream") {
        let start = (seat.rates.subscribe(), seat.over.clone(), true);
        let events = futures_util::stream::unfold(start, |(mut receiver, over, is_first)| async move {
            if !is_first {
                tokio::select! {
                    () = over.cancelled() => return None,
                    changed = receiver.changed() => changed.ok()?,
                }
            }
            let event = format!(": there\n\nevent: rates\ndata: {}\n\n", *receiver.borrow_and_update());
            Some((Ok::<_, std::io::Error>(event), (receiver, over, false)))
        });
        return ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response();
    }
    assert!(path.ends_with("/metadata"), "{path}");
    if request.method() == Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let body = axum::body::to_bytes(request.into_body(), 256 << 10).await.unwrap();
    let mut reports = seat.reports.lock().unwrap();
    reports.push_back(serde_json::from_slice(&body).unwrap());
    if reports.len() > 200 {
        reports.pop_front();
    }
    drop(reports);
    seat.heard.send_modify(|count| *count += 1);
    if let Some(problem) = seat.refusal.lock().unwrap().clone() {
        let kind = [("content-type", "application/problem+json")];
        let status = StatusCode::from_u16(problem["status"].as_u64().unwrap().try_into().unwrap()).unwrap();
        return (status, kind, problem.to_string()).into_response();
    }
    axum::Json(seat.rates.borrow().clone()).into_response()
}
