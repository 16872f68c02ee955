//! Optimisation: plans, worked out beside the writer and made by it. A plan is kept in memory, by this replica alone, until
//! newer ones take its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::OriginalUri;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{FromPath, FromQuery, JsonBody, OptionalJsonBody};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable,
    UnsupportedMediaType,
};
use super::proposed_plans::{PlanExtent, ProposedPlan};
use super::render::{json, optimization_plan};
use super::sorting::{self, list_orders};
use super::topology::unknown;
use super::{error, pagination, parse, problem_catalogue};
use crate::app::OptimizationFigures;
use crate::app::scalars::StoredName;
use api::allocation::AllocationRequest;
use api::optimization::{
    ObjectiveName, OptimizationAnswer, OptimizationApplied, OptimizationPage, OptimizationRequest, OptimizationSummary,
    PLANNED_MOVES_DEFAULT, PLANNED_MOVES_MAX, PLANNED_REQUESTS_MAX, PlanApplication, PlanApplyRequest,
};
use kernel::command::Request;
use kernel::id::Name;
use kernel::{Command, Refusal};
use optimizer::{Objective, OptimizationAim, RefusedRequest, SearchPhase, optimize};

/// How long a plan is worked on at most.
const TIME_MAX: Duration = Duration::from_secs(20);
/// How long of that its bound.
const BOUND_TIME_MAX: Duration = Duration::from_secs(8);

/// Plans steps that make a network better by an objective; makes them, if told so.
///
/// Steps are looked for on a copy of the state, for at most 20 seconds, and each is decided as it would be made. Allocations
/// keep to their constraints; what metric their paths were chosen by is no constraint. The plan is read and applied by its
/// id, as long as the replica that made it runs and 64 newer plans have not taken its place.
#[utoipa::path(
    post,
    path = "/v1/topologies/{topology}/optimizations",
    tag = "topologies",
    summary = "Plan moves by an objective",
    params(("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255)),
    request_body(content = OptimizationRequest, description = "What for", example = json!({
        "objective": "max_utilisation", "max_moves": 100, "apply": "propose"
    })),
    responses(
        (status = 200, description = "The plan", body = OptimizationAnswer),
        BadRequest, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn optimization_create(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.read::<OptimizationRequest>()?;
    let aim = OptimizationAim {
        objective: objective(request.objective),
        moves_max: moves_max(request.max_moves)?,
        requests: requests(&room, &topology, request.objective, request.requests)?,
    };
    let (name, objective, now) = (topology.clone(), aim.objective, room.app.now());
    let worked_out = room.app.study(move |state| {
        let begun = Instant::now();
        let plan = optimize(state, &name, &aim, now, |phase| match phase {
            SearchPhase::Bound => begun.elapsed() < BOUND_TIME_MAX,
            SearchPhase::Steps => begun.elapsed() < TIME_MAX,
        })?;
        let network = state.network(name.as_str()).ok_or_else(|| Refusal::UnknownTopology(name.clone()))?;
        let commands = plan.commands(&aim, network, &name)?;
        let told = optimization_plan(state.sequence(), network.topology(), objective, &plan, &commands);
        Ok((told, commands))
    });
    let (told, commands) = worked_out.await?.map_err(refused)?;
    room.app.record_optimization(&topology, figures(&told));
    let plan = room.plans.add(ProposedPlan::new(topology, objective, told, commands));
    if request.apply == PlanApplication::Auto {
        Arc::clone(&plan).apply(room, PlanExtent::Rest).await?;
    }
    Ok(json(&plan.told().await))
}

fn objective(name: ObjectiveName) -> Objective {
    match name {
        ObjectiveName::MaxUtilisation => Objective::MaxUtilisation,
        ObjectiveName::TotalCost => Objective::TotalCost,
        ObjectiveName::AdmitAll => Objective::AdmitAll,
        ObjectiveName::MaxMin => Objective::MaxMin,
    }
}

fn moves_max(asked: Option<u64>) -> Result<usize, Problem> {
    let Some(asked) = asked else { return Ok(PLANNED_MOVES_DEFAULT) };
    let in_range = usize::try_from(asked).ok().filter(|moves| (1..=PLANNED_MOVES_MAX).contains(moves));
    in_range
        .ok_or_else(|| impossible("max_moves", format!("max_moves is {asked}, not within 1 to {PLANNED_MOVES_MAX}")))
}

fn requests(
    room: &Room,
    topology: &Name,
    objective: ObjectiveName,
    documents: Vec<AllocationRequest>,
) -> Result<Vec<Request>, Problem> {
    let range = if objective == ObjectiveName::AdmitAll { 1..=PLANNED_REQUESTS_MAX } else { 0..=0 };
    if !range.contains(&documents.len()) {
        let (count, name) = (documents.len(), objective.as_str());
        let detail = format!("{count} requests for {name}, not within {} to {}", range.start(), range.end());
        return Err(impossible("requests", detail));
    }
    let request = |document: AllocationRequest| {
        let request = room.in_own_name(parse::allocation_request(document)?)?;
        let Command::Allocate(request) = request else {
            return Err(Problem::new(&problem_catalogue::INTERNAL, "no request"));
        };
        if request.topology.as_ref().is_some_and(|other| other != topology) {
            return Err(impossible("topology", format!("the plan is for the topology '{topology}'")));
        }
        if request.attributes.starts_at.is_some() {
            return Err(impossible("starts_at", "a plan admits from now on".to_owned()));
        }
        Ok(*request)
    };
    let read = documents.into_iter().enumerate();
    read.map(|(place, document)| request(document).map_err(|problem| problem.with("request", place))).collect()
}

fn impossible(field: &'static str, detail: String) -> Problem {
    Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", field)
}

/// For a refusal of the whole, or of a request with its place.
fn refused(RefusedRequest { place, refusal }: RefusedRequest) -> Problem {
    match place {
        Some(place) => error::in_body(refusal).with("request", place),
        None => refusal.into(),
    }
}

fn figures(told: &OptimizationAnswer) -> OptimizationFigures {
    OptimizationFigures {
        objective: told.objective.as_str(),
        value: told.value.after,
        bound: told.value.bound,
        reached_ppm: told.value.reached_ppm,
        max_ppm: told.after_ppm,
    }
}

/// Which page is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OptimizationQuery {
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page: how many came before.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
    /// In which order; with a minus the largest first. Absent: as they were made.
    #[param(nullable = false, inline)]
    sort: Option<OptimizationOrder>,
}

list_orders! {
    /// The order of plans.
    OptimizationOrder of OptimizationSummary {
        Sequence "sequence" SequenceDown "-sequence" |plan| plan.sequence;
        Moves "move_count" MovesDown "-move_count" |plan| plan.move_count;
        Objective "objective" ObjectiveDown "-objective" |plan| plan.objective.to_string();
    }
}

/// Lists the plans that this replica keeps, in the order in which they were made or in another.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/optimizations",
    tag = "topologies",
    summary = "List plans",
    params(("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255), OptimizationQuery),
    responses(
        (status = 200, description = "A page of them", body = OptimizationPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, Forbidden, NotFound, InternalError,
    )
)]
pub(super) async fn optimization_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    FromQuery(query): FromQuery<OptimizationQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    room.app.read(|state| state.network(topology.as_str()).map(drop).ok_or_else(|| unknown(&topology)))?;
    let found = room.plans.summaries(&topology).await;
    let (items, next) = match &query.sort {
        Some(order) => sorting::page(found, order, query.after.as_deref(), limit)?,
        None => sorting::counted(found, query.after.as_deref(), limit)?,
    };
    let page = OptimizationPage { items, next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Reads a plan, with how many of its steps have been made.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/optimizations/{id}",
    tag = "topologies",
    summary = "Read a plan",
    params(
        ("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255),
        ("id" = String, Path, description = "Which plan", min_length = 1, max_length = 64),
    ),
    responses((status = 200, description = "The plan", body = OptimizationAnswer), BadRequest, Forbidden, NotFound, InternalError, Unavailable)
)]
pub(super) async fn optimization_get(
    room: Room,
    FromPath(place): FromPath<(StoredName, String)>,
) -> Result<Response, Problem> {
    let (StoredName(topology), id) = place;
    Ok(json(&room.plans.find(&topology, &id)?.told().await))
}

/// Makes the steps of a plan: all that are left, or none of them; with `through` one by one.
///
/// Each step is decided again. If one of all cannot be made any more, its problem is the answer, with `request` for its place
/// counted from 0, and nothing happens. One by one, what was made stays, and `conflict` says why the next could not be. Steps
/// that have been made are not made again.
#[utoipa::path(
    post,
    path = "/v1/topologies/{topology}/optimizations/{id}/apply",
    tag = "topologies",
    summary = "Apply a plan, at once or step by step",
    params(
        ("topology" = String, Path, description = "In which topology", min_length = 1, max_length = 255),
        ("id" = String, Path, description = "Which plan", min_length = 1, max_length = 64),
    ),
    request_body(content = Option<PlanApplyRequest>, description = "How far; without a body all of it", example = json!({
        "through": 1
    })),
    responses(
        (status = 200, description = "What was made", body = OptimizationApplied),
        BadRequest, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn optimization_apply(
    room: Room,
    FromPath(place): FromPath<(StoredName, String)>,
    body: OptionalJsonBody,
) -> Result<Response, Problem> {
    let (StoredName(topology), id) = place;
    let PlanApplyRequest { through } = body.read()?;
    let plan = room.plans.find(&topology, &id)?;
    let extent = match through {
        None => PlanExtent::Rest,
        Some(through) => PlanExtent::Through(steps(through, plan.step_count())?),
    };
    Ok(json(&plan.apply(room, extent).await?))
}

fn steps(through: u64, count: usize) -> Result<usize, Problem> {
    let in_range = usize::try_from(through).ok().filter(|steps| (1..=count).contains(steps));
    in_range.ok_or_else(|| {
        impossible("through", format!("through is {through}, and the plan has {count} steps: not within 1 to {count}"))
    })
}
