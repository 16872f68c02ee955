//! The MQTT broker for operators: who is connected, what waits for whom, what is retained; and an end to it.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, OriginalUri};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Caller;
use super::extract::{FromPath, FromQuery};
use super::problem::{BadRequest, Forbidden, InternalError, NotFound, Problem, Unavailable, Unprocessable};
use super::render::{broker as documents, json};
use super::sorting::{self, SORTED_MAX, list_orders};
use super::{ApiState, pagination, problem_catalogue};
use api::broker::{BrokerClientPage, BrokerRetainedCleared, BrokerRetainedPage, BrokerSession};
use mqtt::codec::topic;
use mqtt::{Broker, ClientStatus, Message, StoreError};

/// Which clients are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClientQuery {
    /// Only those that are connected, or only those that are not.
    #[param(nullable = false)]
    connected: Option<bool>,
    /// In which order; with a minus the largest first. Absent: by identifier. The cursor counts then: where an order
    /// changes between two pages, an item may be on both, or on none.
    #[param(nullable = false, inline)]
    sort: Option<ClientOrder>,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page.
    #[param(nullable = false, min_length = 1, max_length = 1024)]
    after: Option<String>,
}

list_orders! {
    /// The order of clients.
    ClientOrder of ClientStatus {
        Id "id" IdDown "-id" |client| client.client.to_string();
        Subscriptions "subscriptions" SubscriptionsDown "-subscriptions" |client| client.subscriptions;
        ConnectedAt "connected_at" ConnectedAtDown "-connected_at" |client| {
            client.connection.as_ref().map(|connection| connection.origin.connected_at_ms)
        };
        Waiting "waiting" WaitingDown "-waiting" |client| {
            client.connection.as_ref().map(|connection| connection.waiting_messages)
        };
        WaitingBytes "waiting_bytes" WaitingBytesDown "-waiting_bytes" |client| {
            client.connection.as_ref().map(|connection| connection.waiting_bytes)
        };
    }
    /// The order of retained messages.
    RetainedOrder of Arc<Message> {
        Topic "topic" TopicDown "-topic" |message| message.topic.to_string();
        Payload "payload_bytes" PayloadDown "-payload_bytes" |message| message.payload.len();
        Publisher "publisher" PublisherDown "-publisher" |message| message.publisher.to_string();
    }
}

/// Which retained messages are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RetainedQuery {
    /// Only those whose topic this MQTT filter matches; absent: all.
    #[param(nullable = false, min_length = 1, max_length = 2048, example = "plant/#")]
    topic: Option<String>,
    /// In which order; with a minus the largest first. Absent: by topic. The cursor counts then: where an order
    /// changes between two pages, an item may be on both, or on none.
    #[param(nullable = false, inline)]
    sort: Option<RetainedOrder>,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page.
    #[param(nullable = false, min_length = 1, max_length = 2048)]
    after: Option<String>,
}

/// Which retained messages are to go.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClearQuery {
    /// Those whose topic this MQTT filter matches: one topic, or several such as plant/#.
    #[param(min_length = 1, max_length = 2048, example = "plant/1/pressure")]
    topic: String,
}

/// Lists MQTT clients, by identifier or in an order.
///
/// Those that are connected here or have subscriptions, wherever they are connected.
#[utoipa::path(
    get,
    path = "/v1/broker/clients",
    tag = "broker",
    summary = "List MQTT clients",
    params(ClientQuery),
    responses(
        (status = 200, description = "A page of them", body = BrokerClientPage, headers(("Link" = String, description = "rel=\"next\": the next page")), example = json!({
            "items": [{
                "id": "meter-7", "connected": true, "lasting": true, "subscriptions": 1, "replica": "6f1d0c52a7e3b984",
                "connection": {"address": "192.0.2.7:50412", "user": "meters", "connected_at": "2030-01-01T00:00:00.000Z", "inflight": 2, "waiting": 0, "waiting_bytes": 0}
            }]
        })),
        BadRequest, NotFound, Unprocessable, InternalError,
    )
)]
pub(super) async fn broker_client_list(
    OperatedBroker(broker): OperatedBroker,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ClientQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    let (found, next) = match &query.sort {
        Some(order) => {
            let all = broker.clients(None, SORTED_MAX + 1, query.connected);
            sorting::page(all, order, query.after.as_deref(), limit)?
        }
        None => {
            let found = broker.clients(query.after.as_deref(), limit + 1, query.connected);
            pagination::cut(found, limit, |last| last.client.to_string())
        }
    };
    let page = BrokerClientPage { items: found.iter().map(documents::client).collect(), next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Reads the session of an MQTT client: its subscriptions, and what waits for it.
#[utoipa::path(
    get,
    path = "/v1/broker/sessions/{id}",
    tag = "broker",
    summary = "Read the session of an MQTT client",
    params(("id" = String, Path, description = "The client identifier", min_length = 1, max_length = 1024)),
    responses(
        (status = 200, description = "The session", body = BrokerSession, example = json!({
            "id": "meter-7", "connected": false, "lasting": true, "expires_at": "2030-01-08T00:00:00.000Z", "user": "meters",
            "queued": 12, "queued_bytes": 1_836, "received": 0, "unreleased": 0,
            "subscriptions": [{"filter": "commands/#", "qos": 1, "no_local": false, "retain_as_published": false, "subscription_id": 4}]
        })),
        BadRequest, NotFound, InternalError, Unavailable,
    )
)]
pub(super) async fn broker_session_get(
    OperatedBroker(broker): OperatedBroker,
    FromPath(id): FromPath<String>,
) -> Result<Response, Problem> {
    let found = broker.session(&id).await?.ok_or_else(|| unknown(&id))?;
    Ok(json(&documents::session(id, found)))
}

/// Ends the session of an MQTT client.
///
/// Its connection is closed (reason 0x98, "administrative action"; at another replica 0x8E) and its will published; its
/// subscriptions and the messages that wait for it are forgotten. The client may connect again: to keep it out, take its
/// user away.
#[utoipa::path(
    delete,
    path = "/v1/broker/sessions/{id}",
    tag = "broker",
    summary = "End the session of an MQTT client",
    params(("id" = String, Path, description = "The client identifier", min_length = 1, max_length = 1024)),
    responses((status = 204, description = "It has ended"), BadRequest, Forbidden, NotFound, InternalError, Unavailable)
)]
pub(super) async fn broker_session_end(
    OperatedBroker(broker): OperatedBroker,
    FromPath(id): FromPath<String>,
) -> Result<StatusCode, Problem> {
    if broker.end_session(&id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(&id)) }
}

/// Lists retained messages, by topic or in an order.
#[utoipa::path(
    get,
    path = "/v1/broker/retained",
    tag = "broker",
    summary = "List retained messages",
    params(RetainedQuery),
    responses(
        (status = 200, description = "A page of them", body = BrokerRetainedPage, headers(("Link" = String, description = "rel=\"next\": the next page")), example = json!({
            "items": [{"topic": "plant/1/pressure", "qos": 1, "publisher": "meter-7", "payload_bytes": 4, "text": "21.5"}]
        })),
        BadRequest, NotFound, Unprocessable, InternalError,
    )
)]
pub(super) async fn broker_retained_list(
    OperatedBroker(broker): OperatedBroker,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<RetainedQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    query.topic.as_deref().map_or(Ok(()), check_filter)?;
    let topic = query.topic.as_deref();
    let (found, next) = match &query.sort {
        Some(order) => {
            let all = broker.retained(topic, None, SORTED_MAX + 1);
            sorting::page(all, order, query.after.as_deref(), limit)?
        }
        None => {
            let found = broker.retained(topic, query.after.as_deref(), limit + 1);
            pagination::cut(found, limit, |last| last.topic.to_string())
        }
    };
    let items = found.iter().map(|message| documents::retained(message)).collect();
    let page = BrokerRetainedPage { items, next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Forgets retained messages, at every replica. Subscribers are told nothing.
#[utoipa::path(
    delete,
    path = "/v1/broker/retained",
    tag = "broker",
    summary = "Forget retained messages",
    params(ClearQuery),
    responses(
        (status = 200, description = "How many there were", body = BrokerRetainedCleared, example = json!({"cleared": 1})),
        BadRequest, Forbidden, NotFound, InternalError, Unavailable,
    )
)]
pub(super) async fn broker_retained_clear(
    OperatedBroker(broker): OperatedBroker,
    FromQuery(query): FromQuery<ClearQuery>,
) -> Result<Response, Problem> {
    check_filter(&query.topic)?;
    let cleared = broker.clear_retained(&query.topic).await?;
    Ok(json(&BrokerRetainedCleared { cleared }))
}

fn check_filter(filter: &str) -> Result<(), Problem> {
    topic::check_filter(filter).map_err(|fault| {
        let detail = format!("topic is no topic and no topic filter: {fault}");
        Problem::new(&problem_catalogue::MALFORMED_QUERY, detail).with("field", "topic")
    })
}

fn unknown(id: &str) -> Problem {
    Problem::new(&problem_catalogue::UNKNOWN_SESSION, format!("no client '{id}' has a session"))
}

/// The operations, for whatever has a broker.
pub(super) fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    BrokerState: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(broker_client_list))
        .routes(routes!(broker_session_get, broker_session_end))
        .routes(routes!(broker_retained_list, broker_retained_clear))
}

/// The broker of a service; `None`: it has none.
#[derive(Clone)]
pub(super) struct BrokerState(pub(super) Option<Broker>);

impl FromRef<ApiState> for BrokerState {
    fn from_ref(state: &ApiState) -> Self {
        Self(state.broker.clone())
    }
}

/// The broker that a request is for, after the principal is known.
pub(super) struct OperatedBroker(Broker);

impl<S: Send + Sync> FromRequestParts<S> for OperatedBroker
where
    BrokerState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Caller::of(parts)?;
        let absent = || Problem::new(&problem_catalogue::NOT_FOUND, "this service has no broker");
        BrokerState::from_ref(state).0.map(Self).ok_or_else(absent)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(&problem_catalogue::STORE_UNAVAILABLE, error.to_string())
    }
}
