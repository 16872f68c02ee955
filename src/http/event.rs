//! Events: what happened, in order, as pages and as a stream.

use axum::extract::OriginalUri;
use axum::http::HeaderMap;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::access::Room;
use super::event_sse::{self, KEEP_ALIVE};
use super::extract::{FromQuery, one};
use super::own_feed;
use super::problem::{BadRequest, Gone, InternalError, Problem, Unavailable};
use super::{pagination, problem_catalogue};
use crate::app::scalars::StoredName;
use api::event::EventPage;
use kernel::id::Sequence;

/// Which events are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Those after this sequence number, from the oldest that there is if absent; with `order=desc` those before it, from the
    /// newest that there is if absent.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
    /// The oldest first (`asc`) or the newest (`desc`).
    #[serde(default)]
    #[param(required = false, inline, default = "asc")]
    order: EventOrder,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Of this topology; those that only name allocations (released, expired) always.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    topology: Option<StoredName>,
    /// Those that somebody of this name had decided.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    actor: Option<StoredName>,
}

/// The order of events.
#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
enum EventOrder {
    #[default]
    Asc,
    Desc,
}

/// Lists what happened, the oldest or the newest first.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    summary = "List what happened",
    params(ListQuery),
    responses(
        (status = 200, description = "A page of events", body = EventPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, Gone, InternalError, Unavailable,
    )
)]
pub(super) async fn event_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    let said = pagination::cursor(query.after.as_deref())?.map(Sequence);
    let after = said.unwrap_or(Sequence(0));
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    if query.actor.is_some() && room.own_tenant().is_some() {
        let detail = "who had something decided is not told to the tokens of a tenant";
        return Err(Problem::new(&problem_catalogue::NOT_YOURS, detail).with("field", "actor"));
    }
    let actor = query.actor.as_ref().map(|StoredName(actor)| actor);
    let mut facts = match (query.order, actor) {
        (EventOrder::Desc, actor) => {
            let newest = Sequence(u64::try_from(i64::MAX).unwrap_or(u64::MAX));
            room.app.facts_before(actor, said.unwrap_or(newest), wanted).await?
        }
        (EventOrder::Asc, Some(actor)) => room.app.facts_by(actor, after, wanted).await?,
        (EventOrder::Asc, None) => room.app.facts_after(after, wanted).await?,
    };
    if said.is_some() && query.order == EventOrder::Asc {
        // After the reading: what is gone by now may have been gone then.
        let (first, _) = room.app.journal_bounds().await?;
        if after.next() < first {
            let detail = format!("the oldest event that is kept is {}", first.0);
            return Err(Problem::new(&problem_catalogue::EVENTS_GONE, detail).with("first_sequence", first.0));
        }
    }
    let more = facts.len() > limit;
    facts.truncate(limit);
    let next = facts.last().filter(|_| more).map(|last| last.sequence.0.to_string());
    let mut items = Vec::with_capacity(facts.len());
    for fact in facts.iter().filter(|fact| event_sse::is_of(fact, query.topology.as_ref())) {
        items.extend(own_feed::shown(&room, fact).await);
    }
    let page = EventPage { items, next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Which events are to be streamed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Those after this sequence number, and then what happens; absent: only what happens from now on.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
    /// Of this topology; those that only name allocations (released, expired) always.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    topology: Option<StoredName>,
}

/// Streams what happens as server-sent events.
///
/// Each has the sequence number as `id`, its kind as `event`, and as `data` what GET /v1/events has as an item. A client
/// that connects again with Last-Event-ID misses nothing and gets nothing twice. If it cannot be so, since the events after
/// that one are not kept any more or that one is not in this journal, an event `reset` comes first: its data has the oldest
/// event that there is (`first_sequence`) and the last one (`head`), its `id` is the number after which the stream goes on,
/// and what was known should be read anew.
///
/// Where a controller has the topology's switches, `allocation_state` tells where an allocation stands with them. These
/// are not in the journal: they have no `id`, and are not repeated.
#[utoipa::path(
    get,
    path = "/v1/events/stream",
    tag = "events",
    summary = "Stream what happens",
    params(
        StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that was got; counts before `after`", nullable = false, pattern = "^[0-9]{1,18}$"),
    ),
    responses(
        (status = 200, description = "Server-sent events, until the client or the service leaves", body = String, content_type = "text/event-stream"),
        BadRequest, InternalError, Unavailable,
    )
)]
pub(super) async fn event_stream(
    room: Room,
    headers: HeaderMap,
    FromQuery(query): FromQuery<StreamQuery>,
) -> Result<Response, Problem> {
    let after = pagination::cursor(query.after.as_deref())?.map(Sequence);
    let after = last_event_id(&headers)?.or(after);
    let over = room.over();
    let events = event_sse::events(room, after, query.topology).take_until(Box::pin(over));
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Proxies that collect answers would hold events back.
    Ok(([("x-accel-buffering", "no")], stream).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Sequence>, Problem> {
    let malformed =
        || Problem::new(&problem_catalogue::MALFORMED_HEADER, "Last-Event-ID is not the number of an event");
    let name = axum::http::HeaderName::from_static("last-event-id");
    let Some(value) = one(headers, &name).map_err(|()| malformed())? else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| pagination::cursor(Some(text)).ok().flatten());
    Ok(Some(Sequence(number.ok_or_else(malformed)?)))
}
