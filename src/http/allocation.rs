//! Allocations: request, read, change, release.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{FromPath, FromQuery, JsonBody};
use super::idempotency::{IdempotencyKey, Lookup, Submitted, replayed};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable,
    UnsupportedMediaType,
};
use super::render::{self, json};
use super::topology::DryRunQuery;
use super::{error, own_feed, parse, problem_catalogue, what_if};
use crate::app::scalars::StoredAllocationId;
use crate::app::{Fact, Mode, Submission, SubmitError};
use api::allocation::{
    AllocationDocument, AllocationOutcome, AllocationRequest, AllocationState, AllocationUpdate, ReleasePreview,
};
use api::bandwidth_model::ModelName;
use kernel::event::Event;
use kernel::id::AllocationId;
use kernel::{Command, Names, Refusal};

/// How a request is to be decided.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CreateQuery {
    /// Whether it is only to be known what would happen.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
    /// In a dry run: what would happen if the topology had this model, with the same classes, shares and policies, and the
    /// present allocations staying as they are. Under `gbam`, where another model is in force, half of each share is lent
    /// either way.
    #[param(nullable = false)]
    model: Option<ModelName>,
}

/// Asks for bandwidth.
///
/// Admitted at once if there is a path; the answer lists the allocations that were preempted, devolved or rerouted for it. A denial is a conflict that says what is
/// missing where. Denials are events too.
#[utoipa::path(
    post,
    path = "/v1/allocations",
    tag = "allocations",
    summary = "Ask for bandwidth",
    params(
        CreateQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "A name for this request: repeated within 24 hours, it is answered again and not done again. Requests that were refused outright (422) or found the service busy (503) changed nothing and are decided again", nullable = false, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body(content = AllocationRequest, description = "What is asked for", example = json!({
        "ingress": "a", "egress": "b", "qos_level": 2, "bandwidth_bps": 14_000_000
    })),
    responses(
        (status = 200, description = "What would happen, in a dry run", body = AllocationOutcome),
        (status = 201, description = "Admitted", body = AllocationOutcome, headers(
            ("Location" = String, description = "Where the allocation is"),
            ("Idempotency-Replayed" = Option<String>, description = "true if this was answered before"))),
        BadRequest, Forbidden, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn allocation_create(
    room: Room,
    FromQuery(query): FromQuery<CreateQuery>,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let command = room.in_own_name(parse::allocation_request(body.read::<AllocationRequest>()?)?)?;
    if let Some(model) = query.model {
        let Command::Allocate(request) = command else {
            return Err(Problem::new(&problem_catalogue::INTERNAL, "no request"));
        };
        if !query.dry_run {
            let detail = "model is for dry runs: add dry_run=true";
            return Err(Problem::new(&problem_catalogue::MALFORMED_QUERY, detail).with("field", "model"));
        }
        let fact = what_if::decided_under(&room, request, model).await?;
        return answer(&room, &fact, Mode::DryRun).await;
    }
    if query.dry_run {
        let fact = room.ask(command, Mode::DryRun).await?.map_err(error::in_body)?;
        return answer(&room, &fact, Mode::DryRun).await;
    }
    let before = match key.look_up(&room, &body.0).await? {
        Lookup::Again(before) => before,
        Lookup::First(submit) => match submit
            .submit(&room, Submission { actor: room.caller.actor(), ..Submission::of(command) }, None)
            .await?
        {
            Submitted::Before(before) => before,
            Submitted::Now(mut decided) => {
                let fact = decided.pop().ok_or(SubmitError::Stopping)?.map_err(error::in_body)?;
                return answer(&room, &fact, Mode::Commit).await;
            }
        },
    };
    let gone = || Problem::new(&problem_catalogue::INTERNAL, "what was answered is gone");
    let fact = before.facts.first().ok_or_else(gone)?;
    Ok(replayed(answer(&room, fact, Mode::Commit).await.unwrap_or_else(IntoResponse::into_response)))
}

/// Answers what was decided about a request.
async fn answer(room: &Room, fact: &Fact, mode: Mode) -> Result<Response, Problem> {
    match &fact.event {
        Event::Admitted { allocation, displaced } => {
            let conditions = room.app.conditions();
            if mode == Mode::DryRun {
                return Ok(shown(room, render::planned_admission(fact, allocation, displaced, &conditions)).await);
            }
            let mut response = shown(room, render::outcome(fact, allocation, displaced, &conditions)).await;
            *response.status_mut() = StatusCode::CREATED;
            let location = format!("/v1/allocations/{}", allocation.id);
            if let Ok(location) = HeaderValue::try_from(location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
        Event::Denied { demand, denial, .. } => Err(error::denied(demand, denial, &fact.names)),
        _ => Err(error::unexpected(fact)),
    }
}

/// An outcome as the caller may see it.
async fn shown(room: &Room, mut outcome: AllocationOutcome) -> Response {
    own_feed::cut_effects(room, &mut outcome.effects).await;
    json(&outcome)
}

/// Reads an allocation, living or ended.
#[utoipa::path(
    get,
    path = "/v1/allocations/{id}",
    tag = "allocations",
    summary = "Read an allocation, living or ended",
    params(("id" = String, Path, description = "Which", pattern = "^[0-9]{1,18}$")),
    responses((status = 200, description = "The allocation", body = AllocationDocument), BadRequest, NotFound, InternalError, Unavailable)
)]
pub(super) async fn allocation_get(
    room: Room,
    FromPath(StoredAllocationId(id)): FromPath<StoredAllocationId>,
) -> Result<Response, Problem> {
    let living = room.app.read(|state| {
        let allocation = state.allocation(id)?;
        let network = state.network(allocation.demand.topology.as_str())?;
        Some((Arc::clone(allocation), Names::of(network.topology())))
    });
    room.reaches(id)?;
    if let Some((allocation, names)) = living {
        let condition = room.app.conditions().of(&allocation);
        let mut document = render::allocation(&allocation, &names, condition);
        own_feed::cut_preemptor(&room, &mut document.preempted_by);
        return Ok(json(&document));
    }
    let past = room.app.past_one(id).await?;
    let past = past.filter(|past| room.sees(past.allocation.demand.attributes.tenant.as_ref()));
    let past = past.ok_or(Refusal::UnknownAllocation(id))?;
    Ok(json(&render::past_allocation(&past)))
}

/// Changes an allocation's bandwidth, constraints, times or protection, as one, make-before-break.
///
/// It never counts its own bandwidth twice, and is judged at every instant of the time that it is booked for then. A denied change
/// leaves it as it is.
#[utoipa::path(
    patch,
    path = "/v1/allocations/{id}",
    tag = "allocations",
    summary = "Change an allocation, make-before-break",
    params(("id" = String, Path, description = "Which", pattern = "^[0-9]{1,18}$"), DryRunQuery),
    request_body(content = AllocationUpdate, description = "What is to change", example = json!({"bandwidth_bps": 20_000_000})),
    responses(
        (status = 200, description = "The allocation as it is now, or would be, and what that did", body = AllocationOutcome),
        BadRequest, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn allocation_update(
    room: Room,
    FromPath(StoredAllocationId(id)): FromPath<StoredAllocationId>,
    FromQuery(query): FromQuery<DryRunQuery>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let command = parse::allocation_update(body.read::<AllocationUpdate>()?, id)?;
    room.reaches(id)?;
    let fact = match room.ask(command, query.mode()).await? {
        Ok(fact) => fact,
        Err(Refusal::UnknownAllocation(_)) => return Err(gone(&room, id).await?),
        Err(refusal) => return Err(error::in_body(refusal)),
    };
    match &fact.event {
        Event::Resized { allocation, displaced } => {
            let conditions = room.app.conditions();
            let outcome = match query.mode() {
                Mode::DryRun => render::planned_outcome(&fact, allocation, displaced, &conditions),
                Mode::Commit => render::outcome(&fact, allocation, displaced, &conditions),
            };
            Ok(shown(&room, outcome).await)
        }
        Event::Denied { demand, denial, .. } => Err(error::denied(demand, denial, &fact.names)),
        _ => Err(error::unexpected(&fact)),
    }
}

/// Why an allocation does not live: it is over, or never was.
async fn gone(room: &Room, id: AllocationId) -> Result<Problem, Problem> {
    let past = room.app.past_one(id).await?;
    let seen = past.filter(|past| room.sees(past.allocation.demand.attributes.tenant.as_ref()));
    let Some(past) = seen else { return Err(Refusal::UnknownAllocation(id).into()) };
    let state = render::end_state(past.cause).as_str();
    Ok(Problem::new(&problem_catalogue::ALREADY_ENDED, format!("allocation {id} is over: {state}"))
        .with("state", state))
}

/// Puts an allocation in force that was held. Its bandwidth has been reserved since it was admitted.
#[utoipa::path(
    post,
    path = "/v1/allocations/{id}/commit",
    tag = "allocations",
    summary = "Put a held allocation in force",
    params(("id" = String, Path, description = "Which", pattern = "^[0-9]{1,18}$")),
    responses(
        (status = 200, description = "The allocation as it is now", body = AllocationOutcome),
        BadRequest, Forbidden, NotFound, Conflict, InternalError, Unavailable,
    )
)]
pub(super) async fn allocation_commit(
    room: Room,
    FromPath(StoredAllocationId(id)): FromPath<StoredAllocationId>,
) -> Result<Response, Problem> {
    room.reaches(id)?;
    let fact = match room.ask(Command::Confirm { id }, Mode::Commit).await? {
        Ok(fact) => fact,
        Err(Refusal::UnknownAllocation(_)) => return Err(gone(&room, id).await?),
        Err(refusal) => return Err(refusal.into()),
    };
    match &fact.event {
        Event::Resized { allocation, displaced } => {
            Ok(json(&render::outcome(&fact, allocation, displaced, &room.app.conditions())))
        }
        _ => Err(error::unexpected(&fact)),
    }
}

/// Lets an allocation go.
#[utoipa::path(
    delete,
    path = "/v1/allocations/{id}",
    tag = "allocations",
    summary = "Release an allocation",
    params(("id" = String, Path, description = "Which", pattern = "^[0-9]{1,18}$"), DryRunQuery),
    responses(
        (status = 200, description = "What would happen, in a dry run", body = ReleasePreview),
        (status = 204, description = "Released"),
        BadRequest, Forbidden, NotFound, Conflict, InternalError, Unavailable,
    )
)]
pub(super) async fn allocation_release(
    room: Room,
    FromPath(StoredAllocationId(id)): FromPath<StoredAllocationId>,
    FromQuery(query): FromQuery<DryRunQuery>,
) -> Result<Response, Problem> {
    room.reaches(id)?;
    match room.ask(Command::Release { id }, query.mode()).await? {
        Ok(_) if query.dry_run => {
            Ok(json(&ReleasePreview { id: id.to_string(), state: AllocationState::Released, dry_run: true }))
        }
        Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(Refusal::UnknownAllocation(_)) => Err(gone(&room, id).await?),
        Err(refusal) => Err(refusal.into()),
    }
}
