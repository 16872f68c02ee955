//! The gateway's own interface: subscriptions, contents by name, and how it is. A handler parses, tells the machine,
//! renders.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, stream::unfold};
use reqwest::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::buffer::SubscriptionId;
use super::callback::{INSTANCE_HEADER, deliver};
use super::core::Ending;
use super::limits::{BODY_MAX_BYTES, KEEP_ALIVE};
use super::problem::Problem;
use super::runtime::{DeliveryChannel, Shared, WorkerHandle};
use super::subscription::{DeliveryTarget, SubscriptionTerms, met_at};
use super::wire::{ContentList, StatusView, SubscriptionList, SubscriptionRequest, SubscriptionView};
use super::{metrics, view};

#[derive(Clone)]
pub(super) struct GatewayState {
    pub(super) shared: Arc<Shared>,
    /// For callbacks.
    pub(super) client: Client,
}

/// Everything that is served.
pub(super) fn router(room: GatewayState) -> Router {
    Router::new()
        .route("/v1/subscriptions", get(subscription_list).post(subscription_create))
        .route("/v1/subscriptions/{id}", get(subscription_get).delete(subscription_delete))
        .route("/v1/subscriptions/{id}/stream", get(subscription_stream))
        .route("/v1/contents", get(content_list))
        .route("/v1/contents/{*name}", get(content_get))
        .route("/v1/status", get(status_get))
        .route("/metrics", get(metrics_get))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(|| async { "ready\n" }))
        .fallback(|| async { Problem::not_found("nothing is served here") })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(room.clone(), pass))
        .with_state(room)
}

/// What every request passes: deliveries of our own are told so, pages of other sites change nothing, a panic is an answer.
async fn pass(State(room): State<GatewayState>, request: Request, next: Next) -> Response {
    if request.headers().get(INSTANCE_HEADER).is_some_and(|said| said == room.shared.identity.instance.as_str()) {
        return Problem::looped().into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) && is_foreign(request.headers()) {
        return Problem::foreign_origin().into_response();
    }
    let path = request.uri().path().to_owned();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        tracing::error!(path, "a handler panicked");
        Problem::internal().into_response()
    })
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let site = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, site)| site.as_bytes());
    site.is_none() || site != headers.get(header::HOST).map(HeaderValue::as_bytes)
}

/// A JSON body; the problem says what is wrong with it.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::media_type());
        }
        let text = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(rejection.body_text()),
                _ => Problem::malformed(rejection.body_text()),
            }
        })?;
        serde_json::from_slice(&text).map(Self).map_err(|error| Problem::malformed(error.to_string()))
    }
}

/// The one parameter in the path.
struct PathName(String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text)).map_err(|rejection| Problem::malformed_query(rejection.body_text()))
    }
}

async fn subscription_create(
    State(room): State<GatewayState>,
    request: Result<Body<SubscriptionRequest>, Problem>,
) -> Response {
    match request.and_then(|Body(request)| create(&room, request)) {
        Ok(view) => {
            let location = format!("/v1/subscriptions/{}", view.id);
            (StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

fn create(room: &GatewayState, request: SubscriptionRequest) -> Result<SubscriptionView, Problem> {
    let shared = &room.shared;
    let wanted = SubscriptionTerms::check(request, shared.identity.address)?;
    let way = wanted.way.clone();
    let id = shared.tell(|machine, now| machine.subscribe(now, wanted))?;
    if let DeliveryTarget::Callback(url) = way
        && let Some(hired) = shared.hire(id)
    {
        tokio::spawn(deliver(Arc::clone(shared), room.client.clone(), id, url, hired));
    }
    tracing::info!(subscription = %id, "somebody subscribed");
    view::subscription(shared, id).ok_or_else(|| unknown(id))
}

fn unknown(id: SubscriptionId) -> Problem {
    Problem::not_found(format!("there is no subscription {id}"))
}

fn parse(id: &str) -> Result<SubscriptionId, Problem> {
    // An id that is no number belongs to nobody.
    id.parse().map(SubscriptionId).map_err(|_| Problem::not_found("there is no such subscription"))
}

async fn subscription_list(State(room): State<GatewayState>) -> Json<SubscriptionList> {
    Json(view::subscriptions(&room.shared))
}

async fn subscription_get(
    State(room): State<GatewayState>,
    PathName(id): PathName,
) -> Result<Json<SubscriptionView>, Problem> {
    let id = parse(&id)?;
    view::subscription(&room.shared, id).map(Json).ok_or_else(|| unknown(id))
}

async fn subscription_delete(State(room): State<GatewayState>, PathName(id): PathName) -> Result<StatusCode, Problem> {
    let id = parse(&id)?;
    if room.shared.tell(|machine, _| machine.unsubscribe(id)) { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(id)) }
}

async fn subscription_stream(
    State(room): State<GatewayState>,
    ConnectInfo(wire): ConnectInfo<CountedStream>,
    PathName(id): PathName,
) -> Result<Response, Problem> {
    let id = parse(&id)?;
    let way = room.shared.read(|machine, _| machine.subscription(id).map(|found| found.wanted.way.clone()));
    match way {
        None => return Err(unknown(id)),
        Some(DeliveryTarget::Callback(_)) => return Err(Problem::no_stream()),
        Some(DeliveryTarget::Stream) => {}
    }
    // Whoever read before is cut off; what was on its way there goes to the new reader.
    room.shared.tell(|machine, now| machine.detach(now, id));
    let WorkerHandle { epoch, deliveries, over } = room.shared.hire(id).ok_or_else(|| unknown(id))?;
    room.shared.tell(|machine, _| {
        machine.attach(id);
        if let Some(reader) = wire.reader(room.shared.identity.source) {
            machine.meet(id, reader);
        }
    });
    let reader = StreamReader { shared: Arc::clone(&room.shared), id, epoch, deliveries, over, is_on_its_way: false };
    Ok(Sse::new(reader.stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The two ends of a consumer's connection.
#[derive(Clone, Copy)]
pub(super) struct CountedStream {
    here: Option<SocketAddr>,
    there: SocketAddr,
}

impl Connected<IncomingStream<'_, TcpListener>> for CountedStream {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { here: stream.io().local_addr().ok(), there: *stream.remote_addr() }
    }
}

impl CountedStream {
    /// Where a stream leads, if it comes from the address that is reported as the gateway's.
    fn reader(&self, source: Option<Ipv4Addr>) -> Option<SocketAddrV4> {
        met_at(self.there).filter(|_| self.here.and_then(met_at).map(|here| *here.ip()) == source)
    }
}

/// Somebody reads a stream; when they leave, their subscription knows.
struct StreamReader {
    shared: Arc<Shared>,
    id: SubscriptionId,
    epoch: u64,
    deliveries: mpsc::Receiver<DeliveryChannel>,
    over: CancellationToken,
    is_on_its_way: bool,
}

impl StreamReader {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut reader| async move {
            // Whoever asks for the next event has passed the one before on.
            if std::mem::take(&mut reader.is_on_its_way) {
                reader.shared.settle(reader.id, reader.epoch, Ending::Arrived);
            }
            let delivery = tokio::select! {
                () = reader.over.cancelled() => return None,
                delivery = reader.deliveries.recv() => delivery?,
            };
            reader.is_on_its_way = true;
            // JSON that serde wrote is UTF-8 and has no line ends.
            let data = String::from_utf8(delivery.body).unwrap_or_default();
            Some((Ok(Event::default().event("batch").data(data)), reader))
        })
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        if self.shared.is_hired(self.id, self.epoch) {
            self.shared.tell(|machine, now| machine.detach(now, self.id));
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
    State(room): State<GatewayState>,
    query: Result<Query<TopicQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<ContentList>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::malformed_query(rejection.body_text()))?;
    let filter = query.name.unwrap_or_else(|| "#".to_owned());
    mqtt::codec::topic::check_filter(&filter)
        .map_err(|fault| Problem::malformed_query(format!("name is no topic filter: {fault}")))?;
    Ok(Json(view::contents(&room.shared, &filter)))
}

async fn content_get(State(room): State<GatewayState>, PathName(name): PathName) -> Result<Response, Problem> {
    let found = room.shared.read(|machine, _| machine.contents().get(&name).cloned());
    let content = found.ok_or_else(|| Problem::not_found(format!("no device has said anything under '{name}'")))?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, format!("\"{}-{}\"", room.shared.identity.instance, content.messages)),
        (header::HeaderName::from_static("x-at"), super::clock::rfc3339(content.at_ms)),
    ];
    Ok((headers, content.payload).into_response())
}

async fn metrics_get(State(room): State<GatewayState>) -> Result<Response, Problem> {
    let text = metrics::render(&view::status(&room.shared)).map_err(|_| Problem::internal())?;
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response())
}

async fn status_get(State(room): State<GatewayState>) -> Json<StatusView> {
    Json(view::status(&room.shared))
}
