//! Aggregators: what they report and the rates that they get, over HTTP. The same documents as over MQTT.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::access::Room;
use super::event_sse::KEEP_ALIVE;
use super::extract::{FromPath, FromQuery, JsonBody};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable,
    UnsupportedMediaType,
};
use super::render::{instant, json};
use super::sorting::{self, SORTED_MAX, list_orders};
use super::{error, pagination, problem_catalogue};
use crate::app::scalars::StoredName;
use crate::app::{PAST_STEP, PastLevel, ReportError, SchedulerLead};
use api::aggregator::{
    Aggregator, AggregatorHistory, AggregatorHistoryLevel, AggregatorHistoryPoint, AggregatorMetadata, AggregatorPage,
    AggregatorRates,
};
use api::problem::ProblemDocument;
use formats::aggregator::{self as documents, AggregatorId, MetadataError, UnreadableReport};
use kernel::id::Name;
use kernel::scheduler::QosLevel;
use kernel::scheduler::engine::{AggregatorView, ReportRejection};
use kernel::scheduler::report::InvalidReport;

/// Takes a report in.
///
/// The scheduler acts on it (or, where it works at intervals, in its turn) and answers with what the aggregator may send
/// then. Who does not report for a lease loses what a backlog gave, after two leases everything.
#[utoipa::path(
    put,
    path = "/v1/aggregators/{id}/metadata",
    tag = "aggregators",
    summary = "Report what an aggregator has to send",
    params(("id" = String, Path, description = "Which", min_length = 1, max_length = 128, pattern = r"^(\.{0,2}[^./+#$][^/+#$]*|\.{3,}[^/+#$]*)$")),
    request_body(content = AggregatorMetadata, description = "What it has to send; at most 256 KiB", example = json!({
        "node": "a", "at": "2030-01-01T00:00:00.000Z",
        "levels": [{"qos_level": 2, "subscribers": 1, "buffer_bytes": 1_200, "buffer_capacity_bytes": 1_000_000, "arrival_bps": 40_000, "dropped": 0}],
        "topics": [{"topic": "plant/1/pressure", "qos_level": 2, "arrival_bps": 40_000, "subscribers": [{"consumer": "client1", "node": "b"}]}]
    })),
    responses(
        (status = 200, description = "What it may send", body = AggregatorRates),
        BadRequest, Forbidden, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn aggregator_report(
    room: Room,
    FromPath(AggregatorId(id)): FromPath<AggregatorId>,
    body: JsonBody,
) -> Result<Response, Problem> {
    room.speaks_for(&id)?;
    let metadata = documents::report(&body.read::<AggregatorMetadata>()?)?;
    let view = room.app.scheduler().report(id, metadata).await?;
    Ok(json(&documents::rates(&view.rates)))
}

/// Which page of aggregators is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// In which order; with a minus the largest first. Absent: by id. The cursor counts then: where an order
    /// changes between two pages, an item may be on both, or on none.
    #[param(nullable = false, inline)]
    sort: Option<AggregatorOrder>,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    after: Option<StoredName>,
}

list_orders! {
    /// The order of aggregators.
    AggregatorOrder of Arc<AggregatorView> {
        Id "id" IdDown "-id" |view| view.id.to_string();
        Topology "topology" TopologyDown "-topology" |view| view.topology.to_string();
        Node "node" NodeDown "-node" |view| view.metadata.node.to_string();
        Heard "heard_at" HeardDown "-heard_at" |view| view.heard_at.0;
    }
}

/// Lists aggregators, by id or in an order.
#[utoipa::path(
    get,
    path = "/v1/aggregators",
    tag = "aggregators",
    summary = "List aggregators",
    params(ListQuery),
    responses(
        (status = 200, description = "A page of them", body = AggregatorPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn aggregator_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    scheduled_here(&room)?;
    let limit = pagination::limit(query.limit)?;
    let after = query.after.as_ref().map(|StoredName(name)| name);
    let (found, next) = match &query.sort {
        Some(order) => {
            let all = room.app.scheduler().aggregators(None, SORTED_MAX + 1);
            sorting::page(all, order, after.map(Name::as_str), limit)?
        }
        None => {
            let found = room.app.scheduler().aggregators(after, limit + 1);
            pagination::cut(found, limit, |last| last.id.to_string())
        }
    };
    let items = found.iter().map(|view| documents::brief(view)).collect();
    let page = AggregatorPage { items, next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Reads an aggregator with what it reported last and what it may send.
#[utoipa::path(
    get,
    path = "/v1/aggregators/{id}",
    tag = "aggregators",
    summary = "Read an aggregator",
    params(("id" = String, Path, description = "Which", min_length = 1, max_length = 128, pattern = r"^(\.{0,2}[^./+#$][^/+#$]*|\.{3,}[^/+#$]*)$")),
    responses((status = 200, description = "The aggregator", body = Aggregator), BadRequest, NotFound, InternalError, Unavailable)
)]
pub(super) async fn aggregator_get(
    room: Room,
    FromPath(AggregatorId(id)): FromPath<AggregatorId>,
) -> Result<Response, Problem> {
    room.speaks_for(&id)?;
    scheduled_here(&room)?;
    let view = room.app.scheduler().aggregator(&id).ok_or_else(|| unknown(&id))?;
    Ok(json(&documents::full(&view)))
}

/// Reads what an aggregator may send.
#[utoipa::path(
    get,
    path = "/v1/aggregators/{id}/rates",
    tag = "aggregators",
    summary = "Read what an aggregator may send",
    params(("id" = String, Path, description = "Which", min_length = 1, max_length = 128, pattern = r"^(\.{0,2}[^./+#$][^/+#$]*|\.{3,}[^/+#$]*)$")),
    responses((status = 200, description = "Its rates", body = AggregatorRates), BadRequest, NotFound, InternalError, Unavailable)
)]
pub(super) async fn aggregator_rates(
    room: Room,
    FromPath(AggregatorId(id)): FromPath<AggregatorId>,
) -> Result<Response, Problem> {
    room.speaks_for(&id)?;
    scheduled_here(&room)?;
    let view = room.app.scheduler().aggregator(&id).ok_or_else(|| unknown(&id))?;
    Ok(json(&documents::rates(&view.rates)))
}

/// Reads what an aggregator had lately.
///
/// The instance that schedules remembers a quarter of an hour, for 2,000 aggregators at most; after a restart, and after another
/// instance took over, it begins anew.
#[utoipa::path(
    get,
    path = "/v1/aggregators/{id}/history",
    tag = "aggregators",
    summary = "Read what an aggregator had lately",
    params(("id" = String, Path, description = "Which", min_length = 1, max_length = 128, pattern = r"^(\.{0,2}[^./+#$][^/+#$]*|\.{3,}[^/+#$]*)$")),
    responses((status = 200, description = "Its buffers and rates in steps", body = AggregatorHistory), BadRequest, NotFound, InternalError, Unavailable)
)]
pub(super) async fn aggregator_history(
    room: Room,
    FromPath(AggregatorId(id)): FromPath<AggregatorId>,
) -> Result<Response, Problem> {
    room.speaks_for(&id)?;
    scheduled_here(&room)?;
    room.app.scheduler().aggregator(&id).ok_or_else(|| unknown(&id))?;
    let points = room.app.scheduler().past(&id).into_iter().map(|point| AggregatorHistoryPoint {
        at: instant(point.at),
        levels: QosLevel::ALL.into_iter().zip(point.levels).map(history_level).collect(),
    });
    Ok(json(&AggregatorHistory { id: id.to_string(), step_ms: PAST_STEP.0, points: points.collect() }))
}

fn history_level((level, past): (QosLevel, PastLevel)) -> AggregatorHistoryLevel {
    AggregatorHistoryLevel { qos_level: level.number(), buffer_ppm: past.buffer_ppm, rate_bps: past.rate.as_bps() }
}

/// Streams what an aggregator may send as server-sent events.
///
/// The first event is what it may send now. Each has the sequence number as `id`, `rates` as `event`, and as `data` what
/// GET rates answers; a slow reader gets the latest and not those between. The stream ends when the aggregator is
/// forgotten.
#[utoipa::path(
    get,
    path = "/v1/aggregators/{id}/rates/stream",
    tag = "aggregators",
    summary = "Stream what an aggregator may send",
    params(("id" = String, Path, description = "Which", min_length = 1, max_length = 128, pattern = r"^(\.{0,2}[^./+#$][^/+#$]*|\.{3,}[^/+#$]*)$")),
    responses(
        (status = 200, description = "Server-sent events, until the client or the service leaves", body = String, content_type = "text/event-stream"),
        BadRequest, NotFound, InternalError, Unavailable,
    )
)]
pub(super) async fn aggregator_rates_stream(
    room: Room,
    FromPath(AggregatorId(id)): FromPath<AggregatorId>,
) -> Result<Response, Problem> {
    room.speaks_for(&id)?;
    scheduled_here(&room)?;
    let mut views = room.app.scheduler().watch(&id).ok_or_else(|| unknown(&id))?;
    views.mark_changed();
    let stream = Sse::new(rates(views, room.app.stopping()).take_until(Box::pin(room.over())))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Proxies that collect answers would hold events back.
    Ok(([("x-accel-buffering", "no")], stream).into_response())
}

/// The rates as they change.
fn rates(
    views: watch::Receiver<std::sync::Arc<AggregatorView>>,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold((views, stop, 0), |(mut views, stop, sent)| async move {
        loop {
            tokio::select! {
                changed = views.changed() => changed.ok()?,
                () = stop.cancelled() => return None,
            }
            let rates = std::sync::Arc::clone(&views.borrow_and_update().rates);
            if rates.sequence > sent {
                let event = Event::default().id(rates.sequence.to_string()).event("rates");
                let event = event.data(serde_json::to_string(&documents::rates(&rates)).unwrap_or_default());
                return Some((Ok(event), (views, stop, rates.sequence)));
            }
        }
    })
}

/// Aggregators are known where their reports are taken in.
pub(super) fn scheduled_here(room: &Room) -> Result<(), Problem> {
    match room.app.scheduler_lead() {
        SchedulerLead::Elsewhere(instance) => Err(ReportError::Elsewhere(instance).into()),
        SchedulerLead::Unknown => Err(ReportError::Busy.into()),
        SchedulerLead::Here | SchedulerLead::Unconfirmed | SchedulerLead::Nowhere => Ok(()),
    }
}

fn unknown(id: &Name) -> Problem {
    Problem::new(&problem_catalogue::UNKNOWN_AGGREGATOR, format!("no aggregator '{id}' has reported lately"))
}

impl From<MetadataError> for Problem {
    fn from(error: MetadataError) -> Self {
        Self::new(&problem_catalogue::IMPOSSIBLE, error.to_string()).with("field", error.field())
    }
}

/// The problem of a report over MQTT that the scheduler rejects.
pub fn rejected_report(rejection: ReportRejection) -> ProblemDocument {
    Problem::from(ReportError::Rejected(rejection)).document(None)
}

/// The problem of a report over MQTT that cannot be read.
pub fn unreadable_report(fault: UnreadableReport) -> ProblemDocument {
    let problem = match fault {
        UnreadableReport::TooLong => Problem::new(&problem_catalogue::BODY_TOO_LARGE, fault.to_string()),
        UnreadableReport::Document(error) => Problem::new(&problem_catalogue::MALFORMED_BODY, error.to_string())
            .with("line", error.line())
            .with("column", error.column()),
        UnreadableReport::Metadata(error) => error.into(),
    };
    problem.document(None)
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        let detail = error.to_string();
        match error {
            ReportError::Rejected(rejection) => rejected(rejection, detail),
            ReportError::Elsewhere(instance) => {
                Self::new(&problem_catalogue::SCHEDULED_ELSEWHERE, detail).with("instance", instance.to_string())
            }
            ReportError::Busy => Self::new(&problem_catalogue::BUSY, detail),
            ReportError::Stopping => Self::new(&problem_catalogue::STOPPING, detail),
        }
    }
}

fn rejected(rejection: ReportRejection, detail: String) -> Problem {
    match rejection {
        ReportRejection::Absurd(absurdity) => {
            let field = match absurdity {
                InvalidReport::TooMuch { field, .. } => field,
                InvalidReport::Overflowing { .. } => "buffer_bytes",
                InvalidReport::Future { .. } => "at",
            };
            Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", field)
        }
        ReportRejection::Unknown(refusal) => error::in_body(refusal),
        ReportRejection::Outdated { .. } => Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", "at"),
        ReportRejection::NotNewer { .. } => {
            Problem::new(&problem_catalogue::REPORT_NOT_NEWER, detail).with("field", "at")
        }
        ReportRejection::Elsewhere(node) => Problem::new(&problem_catalogue::AGGREGATOR_ELSEWHERE, detail)
            .with("field", "node")
            .with("node", node.as_str()),
        ReportRejection::AnotherInstance(instance) => Problem::new(&problem_catalogue::AGGREGATOR_TAKEN, detail)
            .with("field", "instance")
            .with("instance_heard", instance.as_str()),
        ReportRejection::TooMany { max, .. } => {
            Problem::new(&problem_catalogue::LIMIT_REACHED, detail).with("limit", max)
        }
    }
}
