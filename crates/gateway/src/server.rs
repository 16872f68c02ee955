//! The gateway's own interface: subscriptions, contents by name, status. A handler parses, changes the core, renders.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use api::gateway::{ContentList, PolicyDocument, StatusView, SubscriptionList, SubscriptionRequest, SubscriptionView};
use api::instant::Instant;
use api::own_hosts::{OwnHosts, check_origin};
use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, stream::unfold};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::buffer::{LaneTarget, SubscriptionId};
use super::callback::{INSTANCE_HEADER, deliver};
use super::client::{CallbackClients, SourceAddresses};
use super::clock::wall_ms;
use super::content_coding::{BodyEncoder, DeliveryCoding};
use super::core::DeliveryOutcome;
use super::limits::{BODY_MAX_BYTES, KEEP_ALIVE, KEEP_WAIT, RETAINED_FIRST_MAX};
use super::options::check_policies;
use super::problem::GatewayProblem;
use super::runtime::{RenderedBatch, Runtime, WorkerHandle};
use super::subscription::{DeliveryTarget, SubscriptionTerms, peer_endpoint};
use super::wire_cost::SentBody;
use super::{metrics, view};
use mqtt::Broker;
use web::PeerConnection;

#[derive(Clone)]
pub(super) struct GatewayState {
    pub(super) runtime: Arc<Runtime>,
    /// The hosts that it answers for.
    pub(super) own_hosts: OwnHosts,
    /// For callbacks.
    pub(super) clients: CallbackClients,
    /// Has retained messages.
    pub(super) broker: Broker,
}

impl GatewayState {
    /// Starts to post batches for a subscription with a callback.
    pub(super) fn start_callback(&self, id: SubscriptionId) {
        let target = self.runtime.read(|core, _| core.subscription(id).map(|found| found.terms.target.clone()));
        if let Some(DeliveryTarget::Callback(url)) = target
            && let Some(worker) = self.runtime.start_worker(id)
        {
            let client = self.clients.to(&url).clone();
            tokio::spawn(deliver(Arc::clone(&self.runtime), client, id, url, worker));
        }
    }

    /// A new subscription begins with what is retained, of at most [`RETAINED_FIRST_MAX`] topics.
    fn offer_retained(&self, id: SubscriptionId, filter: &str) {
        for message in self.broker.retained(Some(filter), None, RETAINED_FIRST_MAX) {
            if !message.topic.starts_with('$') {
                self.runtime
                    .update(|core, now| core.offer_retained(now, id, wall_ms(), &message.topic, &message.payload));
            }
        }
    }
}

/// All routes.
pub(super) fn router(state: GatewayState) -> Router {
    Router::new()
        .route("/v1/subscriptions", get(subscription_list).post(subscription_create))
        .route("/v1/subscriptions/{id}", get(subscription_get).delete(subscription_delete))
        .route("/v1/subscriptions/{id}/stream", get(subscription_stream))
        .route("/v1/contents", get(content_list))
        .route("/v1/contents/{*name}", get(content_get))
        .route("/v1/policies", get(policies_get).put(policies_replace))
        .route("/v1/status", get(status_get))
        .route("/metrics", get(metrics_get))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(|| async { "ready\n" }))
        .fallback(|| async { GatewayProblem::not_found("nothing is served here") })
        .method_not_allowed_fallback(|| async { GatewayProblem::method() })
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

/// Before and after every handler: requests for another host, the gateway's own deliveries and changes by pages of other sites are refused, a panic
/// becomes an answer.
async fn guard(State(state): State<GatewayState>, request: Request, next: Next) -> Response {
    if let Err(fault) = state.own_hosts.check(&request) {
        return GatewayProblem::host(&fault).into_response();
    }
    if request
        .headers()
        .get(INSTANCE_HEADER)
        .is_some_and(|instance| instance == state.runtime.identity.instance.as_str())
    {
        return GatewayProblem::looped().into_response();
    }
    if let Err(error) = check_origin(&request) {
        return GatewayProblem::foreign_origin(error).into_response();
    }
    let path = request.uri().path().to_owned();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_| {
        tracing::error!(path, "a handler panicked");
        GatewayProblem::internal().into_response()
    })
}

/// A JSON body; the problem says what is wrong with it.
struct RequestBody<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for RequestBody<T> {
    type Rejection = GatewayProblem;

    async fn from_request(request: Request, state: &S) -> Result<Self, GatewayProblem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(GatewayProblem::media_type());
        }
        let text = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => GatewayProblem::body_too_large(rejection.body_text()),
                _ => GatewayProblem::malformed_body(rejection.body_text()),
            }
        })?;
        serde_json::from_slice(&text).map(Self).map_err(|error| GatewayProblem::malformed_body(error.to_string()))
    }
}

/// The one parameter in the path.
struct PathName(String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = GatewayProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, GatewayProblem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text)).map_err(|rejection| GatewayProblem::malformed_query(rejection.body_text()))
    }
}

async fn subscription_create(
    State(state): State<GatewayState>,
    ConnectInfo(connection): ConnectInfo<CountedStream>,
    request: Result<RequestBody<SubscriptionRequest>, GatewayProblem>,
) -> Response {
    let created = match request {
        Ok(RequestBody(request)) => create(&state, request, connection.there.ip()).await,
        Err(problem) => Err(problem),
    };
    match created {
        Ok(view) => {
            let location = format!("/v1/subscriptions/{}", view.id);
            (StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn create(
    state: &GatewayState,
    mut request: SubscriptionRequest,
    peer: IpAddr,
) -> Result<SubscriptionView, GatewayProblem> {
    let runtime = &state.runtime;
    request.qos_level.get_or_insert_with(|| runtime.read(|core, _| core.level_of(&request.topic)));
    let terms = SubscriptionTerms::check(request, runtime.identity.address, Some(peer))?;
    let filter = terms.filter.clone();
    let id = runtime.update(|core, now| core.subscribe(now, terms))?;
    state.offer_retained(id, &filter);
    if !matches!(tokio::time::timeout(KEEP_WAIT, runtime.kept()).await, Ok(true)) {
        runtime.update(|core, _| core.unsubscribe(id));
        return Err(GatewayProblem::not_kept());
    }
    state.start_callback(id);
    tracing::info!(subscription = %id, "a new subscription");
    view::subscription(runtime, id).ok_or_else(|| unknown(id))
}

fn unknown(id: SubscriptionId) -> GatewayProblem {
    GatewayProblem::not_found(format!("there is no subscription {id}"))
}

fn parse(id: &str) -> Result<SubscriptionId, GatewayProblem> {
    // No subscription has an id that is no number.
    id.parse().map(SubscriptionId).map_err(|_| GatewayProblem::not_found("there is no such subscription"))
}

async fn subscription_list(State(state): State<GatewayState>) -> Json<SubscriptionList> {
    Json(view::subscriptions(&state.runtime))
}

async fn subscription_get(
    State(state): State<GatewayState>,
    PathName(id): PathName,
) -> Result<Json<SubscriptionView>, GatewayProblem> {
    let id = parse(&id)?;
    view::subscription(&state.runtime, id).map(Json).ok_or_else(|| unknown(id))
}

async fn subscription_delete(
    State(state): State<GatewayState>,
    ConnectInfo(connection): ConnectInfo<CountedStream>,
    PathName(id): PathName,
) -> Result<StatusCode, GatewayProblem> {
    let id = parse(&id)?;
    let peer = connection.there.ip();
    let is_owner = state.runtime.read(|core, _| core.subscription(id).map(|found| found.terms.is_owned_by(peer)));
    if is_owner == Some(false) {
        return Err(GatewayProblem::not_the_owner());
    }
    if state.runtime.update(|core, _| core.unsubscribe(id)) { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(id)) }
}

async fn subscription_stream(
    State(state): State<GatewayState>,
    ConnectInfo(connection): ConnectInfo<CountedStream>,
    PathName(id): PathName,
    headers: HeaderMap,
) -> Result<Response, GatewayProblem> {
    let id = parse(&id)?;
    let last = last_event_id(&headers)?;
    let target = state.runtime.read(|core, _| core.subscription(id).map(|found| found.terms.target.clone()));
    match target {
        None => return Err(unknown(id)),
        Some(DeliveryTarget::Callback(_)) => return Err(GatewayProblem::no_stream()),
        Some(DeliveryTarget::Stream) => {}
    }
    // The reader before is cut off; its batch in flight goes to the new one.
    state.runtime.update(|core, now| core.detach(now, id));
    let WorkerHandle { epoch, batches, cancelled } = state.runtime.start_worker(id).ok_or_else(|| unknown(id))?;
    state.runtime.update(|core, _| {
        core.attach(id, last, connection.is_local());
        if let Some(reader) = connection.reader(state.runtime.identity.sources) {
            core.observe_endpoint(id, reader);
        }
    });
    let runtime = Arc::clone(&state.runtime);
    // Nothing is gained by coding what takes nothing of a rate.
    let is_away =
        runtime.read(|core, _| core.subscription(id).map(|found| core.demand(found).0)) == Some(LaneTarget::Away);
    let coding = DeliveryCoding::accepted(&headers).filter(|_| is_away);
    let encoder = coding.map(BodyEncoder::new).transpose().map_err(|_| GatewayProblem::internal())?;
    let reader = StreamReader { runtime, id, epoch, batches, cancelled, encoder, is_in_flight: false };
    let mut response = Body::from_stream(reader.stream()).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(coding) = coding {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    }
    Ok(response)
}

/// The number of the last message that the reader of a stream has: gateways give it as the id of each event.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, GatewayProblem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| GatewayProblem::malformed_query("invalid Last-Event-ID: give the id of an event"))
}

/// The two addresses of a consumer's connection.
#[derive(Clone, Copy)]
pub(super) struct CountedStream {
    here: Option<SocketAddr>,
    there: SocketAddr,
}

impl CountedStream {
    pub(super) fn of(connection: &PeerConnection<'_>) -> Self {
        Self { here: connection.here, there: connection.there }
    }

    /// Whether the reader is on this machine.
    fn is_local(&self) -> bool {
        let there = self.there.ip().to_canonical();
        there.is_loopback() || self.here.is_some_and(|here| here.ip().to_canonical() == there)
    }

    /// The endpoint of the stream's reader, if the connection is at an address that is reported as the gateway's.
    fn reader(&self, sources: SourceAddresses) -> Option<SocketAddr> {
        let is_at_source = self.here.is_some_and(|here| sources.has(here.ip().to_canonical()));
        peer_endpoint(self.there).filter(|_| is_at_source)
    }
}

/// Reads the batches of a stream; dropped when the connection ends.
struct StreamReader {
    runtime: Arc<Runtime>,
    id: SubscriptionId,
    epoch: u64,
    batches: mpsc::Receiver<RenderedBatch>,
    cancelled: CancellationToken,
    encoder: Option<BodyEncoder>,
    is_in_flight: bool,
}

impl StreamReader {
    /// The events, each of them coded and flushed.
    fn stream(self) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
        unfold(self, |mut reader| async move {
            // When the next event is polled, the one before has been written.
            if std::mem::take(&mut reader.is_in_flight) {
                reader.runtime.finish_delivery(reader.id, reader.epoch, DeliveryOutcome::Written);
            }
            let batch = tokio::select! {
                () = reader.cancelled.cancelled() => return None,
                batch = reader.batches.recv() => Some(batch?),
                () = sleep(KEEP_ALIVE) => None,
            };
            Some((reader.event(batch).map(Bytes::from), reader))
        })
    }

    /// An event, or the comment of an idle stream.
    fn event(&mut self, batch: Option<RenderedBatch>) -> std::io::Result<Vec<u8>> {
        let Some(RenderedBatch { body, last_sequence, charge }) = batch else { return self.encode(b":\n\n".to_vec()) };
        self.is_in_flight = true;
        // JSON that serde wrote has no line ends.
        let head = format!("event: batch\nid: {last_sequence}\ndata: ");
        let event = [head.as_bytes(), &body, b"\n\n"].concat();
        let plain_bytes = event.len();
        let event = self.encode(event)?;
        self.runtime.settle(self.id, charge, SentBody { plain_bytes, sent_bytes: event.len(), head_bytes: 0 });
        Ok(event)
    }

    fn encode(&mut self, plain: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match &mut self.encoder {
            Some(encoder) => encoder.encode_part(&plain),
            None => Ok(plain),
        }
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        if self.runtime.is_current_worker(self.id, self.epoch) {
            self.runtime.update(|core, now| core.detach(now, self.id));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicQuery {
    /// A topic or a filter.
    name: Option<String>,
}

async fn content_list(
    State(state): State<GatewayState>,
    query: Result<Query<TopicQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<ContentList>, GatewayProblem> {
    let Query(query) = query.map_err(|rejection| GatewayProblem::malformed_query(rejection.body_text()))?;
    let filter = query.name.unwrap_or_else(|| "#".to_owned());
    mqtt::codec::topic::check_filter(&filter)
        .map_err(|fault| GatewayProblem::malformed_query(format!("invalid name: {fault}")))?;
    Ok(Json(view::contents(&state.runtime, &filter)))
}

async fn content_get(State(state): State<GatewayState>, PathName(name): PathName) -> Result<Response, GatewayProblem> {
    let found = state.runtime.read(|core, _| core.topics().get(&name).cloned());
    let content = found.ok_or_else(|| GatewayProblem::not_found(format!("no message has arrived under '{name}'")))?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, format!("\"{}-{}\"", state.runtime.identity.instance, content.messages)),
        (header::HeaderName::from_static("x-at"), Instant(content.at_ms).to_string()),
    ];
    Ok((headers, content.payload).into_response())
}

async fn metrics_get(State(state): State<GatewayState>) -> Result<Response, GatewayProblem> {
    let text = metrics::render(&view::status(&state.runtime)).map_err(|_| GatewayProblem::internal())?;
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response())
}

async fn status_get(State(state): State<GatewayState>) -> Json<StatusView> {
    Json(view::status(&state.runtime))
}

async fn policies_get(State(state): State<GatewayState>) -> Json<PolicyDocument> {
    Json(state.runtime.read(|core, _| core.policies().clone()))
}

/// Replaces all policies and levels: for messages that arrive, and subscriptions that are made, from now on.
async fn policies_replace(
    State(state): State<GatewayState>,
    ConnectInfo(connection): ConnectInfo<CountedStream>,
    request: Result<RequestBody<PolicyDocument>, GatewayProblem>,
) -> Result<Json<PolicyDocument>, GatewayProblem> {
    if !connection.is_local() {
        return Err(GatewayProblem::not_the_operator());
    }
    let RequestBody(policies) = request?;
    check_policies(&policies.policies).map_err(|error| GatewayProblem::impossible("policies", &error.to_string()))?;
    state.runtime.update(|core, _| core.set_policies(policies.clone()));
    if !matches!(tokio::time::timeout(KEEP_WAIT, state.runtime.kept()).await, Ok(true)) {
        return Err(GatewayProblem::not_kept());
    }
    Ok(Json(policies))
}
