//! Controllers: through which a topology's switches are reached, and what is known of them.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{FromPath, FromQuery, JsonBody};
use super::problem::{
    BadGateway, BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable,
    Unprocessable, UnsupportedMediaType,
};
use super::topology::DryRunQuery;
use super::wire::{Instant, json, request_bandwidth};
use super::{ApiState, error, problem_catalogue};
use crate::app::scalars::StoredName;
use crate::app::{EventRecord, Mode, SurveyError};
use kernel::command::{Command, Expected, OnMisfit};
use kernel::controller::{Controller, ControllerAddress, DriverKind};
use kernel::discovery::{Merged, merge};
use kernel::id::Name;
use kernel::{Refusal, State as KernelState};

/// How a controller is to be used.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ControllerRequest {
    /// Which dialect it speaks.
    driver: DriverName,
    /// Where it is: `http://` or `https://`, without credentials. A simulated one is nowhere.
    #[schema(max_length = 2048, example = "http://127.0.0.1:8080")]
    url: Option<String>,
    /// Whose switches it has. The topology need not be there yet.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    topology: StoredName,
}

/// Which dialect a controller speaks.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
#[schema(as = ControllerDriver)]
enum DriverName {
    /// Ryu 4.34 and os-ken 1.4.1: `ofctl_rest`.
    Ryu,
    /// ONOS.
    Onos,
    /// A network in memory, made of the topology.
    Simulated,
}

/// A controller, and what is known of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Controller)]
struct ControllerView {
    /// What it is called.
    id: String,
    /// Which dialect it speaks.
    driver: DriverName,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    url: Option<String>,
    /// Whose switches it has.
    topology: String,
    /// Whether it answers; absent: it was not asked yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reachable: Option<bool>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    since: Option<Instant>,
    /// Rules and meters.
    rules: RuleFigures,
    /// How many allocations are not in force.
    unsettled_allocations: u64,
    /// When everything was last seen to be as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    settled_at: Option<Instant>,
    /// What last went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_error_at: Option<Instant>,
    /// The switches that were looked at.
    switches: Vec<SwitchView>,
}

/// What switches should hold and do hold, rules and meters together.
#[derive(Serialize, ToSchema)]
struct RuleFigures {
    /// What they should hold.
    intended: u64,
    /// Of this, what they are known to hold.
    installed: u64,
    /// What is missing, wrong or too much.
    drifting: u64,
}

/// A switch.
#[derive(Serialize, ToSchema)]
#[schema(as = ControllerSwitch)]
struct SwitchView {
    /// Its datapath id, as sixteen hexadecimal digits.
    dpid: String,
    /// What is wrong with it; absent: what it holds is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<String>,
}

impl ControllerView {
    fn of(room: &ApiState, controller: &Controller) -> Self {
        let status = room.app.board(&controller.name).map(|board| board.status()).unwrap_or_default();
        let (last_error, last_error_at) = status.last_error.unzip();
        let switches = status.switches.iter().map(|(dpid, problem)| SwitchView {
            dpid: dpid.to_string(),
            problem: problem.as_ref().map(ToString::to_string),
        });
        Self {
            id: controller.name.to_string(),
            driver: match controller.driver {
                DriverKind::Ryu => DriverName::Ryu,
                DriverKind::Onos => DriverName::Onos,
                DriverKind::Simulated => DriverName::Simulated,
            },
            url: controller.address.as_ref().map(ToString::to_string),
            topology: controller.topology.to_string(),
            reachable: status.reachable,
            since: status.since.map(|at| Instant(at.0)),
            rules: RuleFigures { intended: status.intended, installed: status.installed, drifting: status.drifting },
            unsettled_allocations: status.unsettled,
            settled_at: status.settled_at.map(|at| Instant(at.0)),
            last_error: last_error.map(|error| error.to_string()),
            last_error_at: last_error_at.map(|at| Instant(at.0)),
            switches: switches.collect(),
        }
    }
}

/// All controllers: there are never many.
#[derive(Serialize, ToSchema)]
struct ControllerPage {
    /// By name.
    items: Vec<ControllerView>,
}

/// Lists controllers.
#[utoipa::path(
    get,
    path = "/v1/controllers",
    tag = "controllers",
    summary = "List controllers",
    responses((status = 200, description = "All of them", body = ControllerPage), BadRequest, InternalError)
)]
pub(super) async fn controller_list(State(room): State<ApiState>) -> Result<Response, Problem> {
    let controllers = room.app.read(|state| state.controllers().cloned().collect::<Vec<_>>()).await;
    let items = controllers.iter().map(|controller| ControllerView::of(&room, controller));
    Ok(json(&ControllerPage { items: items.collect() }))
}

/// Reads a controller, and what is known of it.
#[utoipa::path(
    get,
    path = "/v1/controllers/{controller}",
    tag = "controllers",
    summary = "Read a controller and what is known of it",
    params(("controller" = String, Path, description = "Which", min_length = 1, max_length = 255)),
    responses((status = 200, description = "The controller", body = ControllerView), BadRequest, NotFound, InternalError)
)]
pub(super) async fn controller_get(
    State(room): State<ApiState>,
    FromPath(StoredName(name)): FromPath<StoredName>,
) -> Result<Response, Problem> {
    let controller = room.app.read(|state| state.controller(name.as_str()).cloned()).await;
    let controller = controller.ok_or(Refusal::UnknownController(name))?;
    Ok(json(&ControllerView::of(&room, &controller)))
}

/// Reaches a topology's switches through a controller.
///
/// From then on the switches are made to hold what the living allocations with a `flow` need, and kept so. A topology has
/// one controller at most.
#[utoipa::path(
    put,
    path = "/v1/controllers/{controller}",
    tag = "controllers",
    summary = "Reach a topology's switches through a controller",
    params(("controller" = String, Path, description = "What to call it", min_length = 1, max_length = 255), DryRunQuery),
    request_body(content = ControllerRequest, example = json!({
        "driver": "ryu", "url": "http://127.0.0.1:8080", "topology": "lab"
    })),
    responses(
        (status = 200, description = "Changed, or what would happen", body = ControllerView),
        (status = 201, description = "Created", body = ControllerView, headers(("Location" = String, description = "Where it is"))),
        BadRequest, Forbidden, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn controller_put(
    State(room): State<ApiState>,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<DryRunQuery>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = body.read::<ControllerRequest>()?;
    let address = request
        .url
        .as_deref()
        .map(ControllerAddress::new)
        .transpose()
        .map_err(|error| Problem::new(&problem_catalogue::IMPOSSIBLE, error.to_string()).with("field", "url"))?;
    let driver = match request.driver {
        DriverName::Ryu => DriverKind::Ryu,
        DriverName::Onos => DriverKind::Onos,
        DriverName::Simulated => DriverKind::Simulated,
    };
    let topology = request.topology.0;
    let is_new = room.app.read(|state| state.controller(name.as_str()).is_none()).await;
    let command =
        Command::PutController { name: name.clone(), driver, address: address.clone(), topology: topology.clone() };
    let fact = room.submit(command, query.mode()).await?;
    let EventRecord::ControllerPut { .. } = &fact.record else { return Err(error::unexpected(&fact)) };
    let controller = Controller { name, driver, address, topology, revision: fact.sequence };
    let mut response = json(&ControllerView::of(&room, &controller));
    if is_new && !query.dry_run {
        *response.status_mut() = StatusCode::CREATED;
        let mut location = String::from("/v1/controllers/");
        super::pagination::percent_encode(controller.name.as_str(), &mut location);
        if let Ok(location) = HeaderValue::try_from(location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    Ok(response)
}

/// Lets a controller be.
///
/// What it installed stays on the switches; allocations count as in force without it.
#[utoipa::path(
    delete,
    path = "/v1/controllers/{controller}",
    tag = "controllers",
    summary = "Let a controller be",
    params(("controller" = String, Path, description = "Which", min_length = 1, max_length = 255), DryRunQuery),
    responses(
        (status = 204, description = "Let be, or would be"),
        BadRequest, Forbidden, NotFound, InternalError, Unavailable,
    )
)]
pub(super) async fn controller_delete(
    State(room): State<ApiState>,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<DryRunQuery>,
) -> Result<Response, Problem> {
    room.submit(Command::DeleteController { name }, query.mode()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// How a topology is to be imported.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SurveyQuery {
    /// The capacity of links that are new. Absent: the speed that their port tells, which virtual ports make up.
    #[param(nullable = false, minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    default_capacity_bps: Option<u64>,
    /// Whether it is only to be known what would happen.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// What the controller's network brought into the topology.
#[derive(Serialize, ToSchema)]
#[schema(as = SurveyOutcome)]
struct SurveyAnswer<'a> {
    /// Into which.
    topology: &'a str,
    /// Its revision; absent if nothing changed, or in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revision: Option<String>,
    /// How many nodes it has.
    nodes: usize,
    /// How many directed links it has.
    links: usize,
    /// Nodes that are new.
    added_nodes: &'a [String],
    /// Links that are new.
    added_links: &'a [String],
    /// Links that were told their ports.
    completed_links: &'a [String],
    /// Nodes of the topology that the controller does not know.
    unseen_nodes: &'a [String],
    /// Links of the topology that the controller does not see; they stay.
    unseen_links: &'a [String],
    /// There, and true, if nothing of this happened.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry_run: bool,
}

/// Imports what the controller knows of its network.
///
/// Switches and links that the topology does not have are added; links between the same switches are told their ports.
/// What was configured, capacities above all, stays.
#[utoipa::path(
    post,
    path = "/v1/controllers/{controller}/topology",
    tag = "controllers",
    summary = "Import what the controller knows of its network",
    params(("controller" = String, Path, description = "Which", min_length = 1, max_length = 255), SurveyQuery),
    responses(
        (status = 200, description = "What that did, or would do", body = SurveyAnswer<'static>),
        BadRequest, Forbidden, NotFound, Conflict, Unprocessable, InternalError, BadGateway, Unavailable,
    )
)]
pub(super) async fn controller_survey(
    State(room): State<ApiState>,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<SurveyQuery>,
) -> Result<Response, Problem> {
    let default_capacity =
        query.default_capacity_bps.map(|bps| request_bandwidth("default_capacity_bps", bps)).transpose()?;
    let found = room.app.read(|state| state.controller(name.as_str()).cloned()).await;
    let controller = found.ok_or_else(|| Refusal::UnknownController(name.clone()))?;
    let survey = room.app.survey(&name).await.map_err(|error| match error {
        SurveyError::NoHand => Problem::new(&problem_catalogue::CONTROLLER_UNAVAILABLE, error.to_string()),
        SurveyError::Driver(error) => Problem::new(&problem_catalogue::CONTROLLER_UNAVAILABLE, error.to_string()),
    })?;
    let known = room.app.read(|state: &KernelState| {
        let network = state.network(controller.topology.as_str())?;
        Some((network.revision(), network.topology().clone()))
    });
    let known = known.await;
    let merged = merge(known.as_ref().map(|(_, topology)| &**topology), &survey, default_capacity);
    let merged = merged.map_err(|error| Problem::new(&problem_catalogue::IMPOSSIBLE, error.to_string()))?;
    let is_same = known.as_ref().is_some_and(|(_, topology)| **topology == merged.topology);
    let mut revision = None;
    if !is_same {
        let expected = known.as_ref().map_or(Expected::Unsaid, |(revision, _)| Expected::Revision(*revision));
        let command = Command::PutTopology {
            name: controller.topology.clone(),
            topology: merged.topology.clone().into(),
            expected,
            misfits: OnMisfit::Refuse,
        };
        let mode = if query.dry_run { Mode::DryRun } else { Mode::Commit };
        let fact = room.submit(command, mode).await?;
        revision = Some(fact.sequence.0.to_string()).filter(|_| !query.dry_run);
    }
    Ok(json(&answer(&controller.topology, &merged, revision, query.dry_run)))
}

fn answer<'a>(topology: &'a Name, merged: &'a Merged, revision: Option<String>, dry_run: bool) -> SurveyAnswer<'a> {
    SurveyAnswer {
        topology: topology.as_str(),
        revision,
        nodes: merged.topology.node_count(),
        links: merged.topology.link_count(),
        added_nodes: &merged.added_nodes,
        added_links: &merged.added_links,
        completed_links: &merged.completed_links,
        unseen_nodes: &merged.unseen_nodes,
        unseen_links: &merged.unseen_links,
        dry_run,
    }
}
