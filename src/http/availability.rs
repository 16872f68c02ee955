//! Availability: when bandwidth could be had.

use axum::response::Response;

use super::access::Room;
use super::extract::{FromPath, JsonBody};
use super::headroom::in_query;
use super::parse;
use super::problem::{
    BadRequest, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::render::json;
use crate::app::scalars::StoredName;
use api::availability::{AvailabilityAnswer, AvailabilityRequest, TimeWindow};
use api::instant::Instant;
use kernel::allocation::LspAttributes;
use kernel::command::Request;
use kernel::decide::availability;
use kernel::path::Workspace;
use kernel::units::Millis;

/// Says when so much could be had between two nodes for so long.
///
/// Each window is found by deciding on the request, and nothing changes. Quotas of tenants are not looked at.
#[utoipa::path(
    post,
    path = "/v1/topologies/{topology}/availabilities",
    tag = "topologies",
    summary = "Say when bandwidth could be had",
    params(("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255)),
    request_body(content = AvailabilityRequest, description = "What is needed, and for how long", example = json!({
        "from": "a", "to": "b", "class_type": 2, "bandwidth_bps": 14_000_000, "duration_ms": 7_200_000,
        "window": {"from": "2100-01-05T00:00:00Z", "to": "2100-01-06T00:00:00Z"}
    })),
    responses(
        (status = 200, description = "When", body = AvailabilityAnswer),
        BadRequest, NotFound, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn availability_create(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let document = body.read::<AvailabilityRequest>()?;
    let window = (Millis(document.window.from.0), Millis(document.window.to.0));
    let (duration, now) = (Millis(document.duration_ms), room.app.now());
    let request = request(document, topology)?;
    let (sequence, found) = room
        .app
        .work_out(move |state| {
            let found = availability(state, &request, window, duration, now, &mut Workspace::default());
            (state.sequence(), found)
        })
        .await?;
    let found = found.map_err(in_query)?;
    let instant = |at: Millis| Instant(at.0);
    let window = |(from, to): &(Millis, Millis)| TimeWindow { from: instant(*from), to: instant(*to) };
    Ok(json(&AvailabilityAnswer {
        windows: found.windows.iter().map(window).collect(),
        earliest_start: found.windows.first().map(|(from, _)| instant(*from)),
        largest_bandwidth_bps: found.largest.as_bps(),
        searched_until: found.until.map(instant),
        sequence: sequence.0,
    }))
}

fn request(document: AvailabilityRequest, topology: kernel::id::Name) -> Result<Request, Problem> {
    Ok(Request {
        topology: Some(topology),
        ingress: parse::name("from", &document.from)?,
        egress: parse::name("to", &document.to)?,
        class_type: parse::class_type(document.class_type, document.qos_level)?,
        bandwidth: parse::bandwidth("bandwidth_bps", document.bandwidth_bps)?,
        setup_priority: parse::priority("setup_priority", document.setup_priority)?,
        hold_priority: parse::priority("hold_priority", document.hold_priority)?,
        constraints: parse::constraints(document.constraints.unwrap_or_default())?,
        hold_for: None,
        duration: None,
        moves_max: None,
        attributes: LspAttributes { is_bidirectional: document.bidirectional, ..LspAttributes::default() },
    })
}
