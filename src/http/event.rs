//! Events: what happened, in order, as pages and as a stream.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::event_sse::{self, KEEP_ALIVE};
use super::extract::{FromQuery, one};
use super::problem::{BadRequest, InternalError, Problem, Unavailable};
use super::wire::Instant;
use super::{ApiState, pagination, problem_catalogue};
use crate::app::Fact;
use crate::app::record::{DisplacedRecord, EventRecord};
use crate::app::scalars::StoredName;
use kernel::id::Sequence;

/// Which events are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Those after this sequence number: from the beginning if absent.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Of this topology; those that only name allocations (released, expired) always.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    topology: Option<StoredName>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventView<'a> {
    /// Its place: one more than that of the event before.
    sequence: u64,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    at: Instant,
    /// What kind of thing.
    #[schema(value_type = EventKind)]
    kind: &'static str,
    /// What happened, in names. An upload's content is not here: `nodes` and `links` are counts.
    #[schema(value_type = Object)]
    data: EventData<'a>,
}

/// What kind of thing happened.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the stored word, in the OpenAPI document")]
enum EventKind {
    TopologyPut,
    TopologyDeleted,
    ModelSet,
    LinkChanged,
    AllocationAdmitted,
    AllocationDenied,
    AllocationResized,
    AllocationReleased,
    AllocationsExpired,
    ControllerPut,
    ControllerDeleted,
}

/// What happened, without what is too long.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum EventData<'a> {
    Brief {
        kind: &'static str,
        topology: &'a StoredName,
        nodes: usize,
        links: usize,
        #[serde(skip_serializing_if = "<[DisplacedRecord]>::is_empty")]
        displaced: &'a [DisplacedRecord],
    },
    Whole(&'a EventRecord),
}

impl<'a> EventView<'a> {
    /// An event.
    pub(super) fn of(fact: &'a Fact) -> Self {
        let data = EventData::of(&fact.record);
        Self { sequence: fact.sequence.0, at: Instant(fact.at.0), kind: kind_of(&fact.record), data }
    }
}

impl<'a> EventData<'a> {
    pub(super) fn of(record: &'a EventRecord) -> Self {
        match record {
            EventRecord::TopologyPut { topology, content, displaced } => Self::Brief {
                kind: kind_of(record),
                topology,
                nodes: content.nodes.len(),
                links: content.links.len(),
                displaced,
            },
            record => Self::Whole(record),
        }
    }
}

/// The stored word for what happened.
pub(super) fn kind_of(record: &EventRecord) -> &'static str {
    match record {
        EventRecord::TopologyPut { .. } => "topology_put",
        EventRecord::TopologyDeleted { .. } => "topology_deleted",
        EventRecord::ModelSet { .. } => "model_set",
        EventRecord::LinkChanged { .. } => "link_changed",
        EventRecord::AllocationAdmitted { .. } => "allocation_admitted",
        EventRecord::AllocationDenied { .. } => "allocation_denied",
        EventRecord::AllocationResized { .. } => "allocation_resized",
        EventRecord::AllocationReleased { .. } => "allocation_released",
        EventRecord::AllocationsExpired { .. } => "allocations_expired",
        EventRecord::ControllerPut { .. } => "controller_put",
        EventRecord::ControllerDeleted { .. } => "controller_deleted",
    }
}

/// Whether an event is of a topology, as far as it says.
pub(super) fn is_of(record: &EventRecord, wanted: Option<&StoredName>) -> bool {
    let of = match record {
        EventRecord::TopologyPut { topology, .. }
        | EventRecord::TopologyDeleted { topology }
        | EventRecord::ModelSet { topology, .. }
        | EventRecord::LinkChanged { topology, .. } => topology,
        EventRecord::AllocationAdmitted { allocation, .. } | EventRecord::AllocationResized { allocation, .. } => {
            &allocation.topology
        }
        EventRecord::AllocationDenied { demand, .. } => &demand.topology,
        EventRecord::ControllerPut { controller } => &controller.topology,
        EventRecord::AllocationReleased { .. }
        | EventRecord::AllocationsExpired { .. }
        | EventRecord::ControllerDeleted { .. } => {
            return true;
        }
    };
    wanted.is_none_or(|wanted| wanted == of)
}

/// A page of events.
#[derive(ToSchema)]
#[expect(dead_code, reason = "stands for a page, in the OpenAPI document")]
struct EventPage {
    /// The oldest first.
    items: Vec<EventView<'static>>,
    /// The sequence number of the last event that was looked at, if there are more.
    #[schema(nullable = false)]
    next: Option<String>,
}

/// Lists what happened, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    summary = "List what happened",
    params(ListQuery),
    responses(
        (status = 200, description = "A page of events", body = EventPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, InternalError, Unavailable,
    )
)]
pub(super) async fn event_list(
    State(room): State<ApiState>,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    let after = Sequence(pagination::cursor(query.after.as_deref())?.unwrap_or(0));
    let mut facts = room.app.facts_after(after, u32::try_from(limit + 1).unwrap_or(u32::MAX)).await?;
    let more = facts.len() > limit;
    facts.truncate(limit);
    let next = facts.last().filter(|_| more).map(|last| last.sequence.0.to_string());
    let wanted = facts.iter().filter(|fact| is_of(&fact.record, query.topology.as_ref()));
    let items: Vec<_> = wanted.map(|fact| EventView::of(fact)).collect();
    Ok(pagination::respond(&uri, &items, next))
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
/// that connects again with Last-Event-ID misses nothing and gets nothing twice.
///
/// Where a controller has the topology's switches, `allocation_state` tells where an allocation stands with them. These
/// are not in the journal: they have no `id`, and are not told again.
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
    State(room): State<ApiState>,
    headers: HeaderMap,
    FromQuery(query): FromQuery<StreamQuery>,
) -> Result<Response, Problem> {
    let after = pagination::cursor(query.after.as_deref())?.map(Sequence);
    let after = last_event_id(&headers)?.or(after);
    let events = event_sse::events(room.app, after, query.topology);
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
