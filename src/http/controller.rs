//! Controllers: through which a topology's switches are reached, and what is known of them.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::OriginalUri;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{FromPath, FromQuery, JsonBody};
use super::problem::{
    BadGateway, BadRequest, Conflict, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable,
    Unprocessable, UnsupportedMediaType,
};
use super::render::{controller_settings, instant, json};
use super::sorting::{self, list_orders};
use super::topology::DryRunQuery;
use super::{ApiState, error, pagination, parse, problem_catalogue};
use crate::app::scalars::StoredName;
use crate::app::{Mode, SurveyError};
use api::controller::{
    ControllerDocument, ControllerDriver, ControllerLeader, ControllerPage, ControllerRequest, ControllerRules,
    ControllerSwitch, Policing, RuleFigures, SurveyOutcome, SwitchNumbering,
};
use kernel::command::{Command, Expected, OnMisfit};
use kernel::controller::{Controller, ControllerAddress, DriverKind, RulesOnDelete};
use kernel::discovery::{Merged, merge};
use kernel::event::Event;
use kernel::id::Name;
use kernel::intent::{BURST_MAX_MS, MeterSettings, Numbering, RuleSettings};
use kernel::{Refusal, State as KernelState};

/// The sizes of packets on Ethernet, in bytes, jumbo frames among them.
const PACKET_BYTES: RangeInclusive<u16> = 64..=9_216;
/// How long a deletion is waited for; it goes on afterwards.
const REMOVAL_MAX: Duration = Duration::from_secs(5);

fn document(room: &ApiState, controller: &Controller) -> ControllerDocument {
    let status = room.app.controller(&controller.name).map(|cell| cell.status()).unwrap_or_default();
    let (last_error, last_error_at) = status.last_error.unzip();
    let switches = status.switches.iter().map(|(dpid, problem)| ControllerSwitch {
        dpid: dpid.to_string(),
        problem: problem.as_ref().map(ToString::to_string),
    });
    ControllerDocument {
        settings: controller_settings(controller),
        leader: controller.leader.as_ref().map(|leader| ControllerLeader {
            instance: leader.instance.to_string(),
            term: leader.term,
            answers: room.app.instance() == Some(&leader.instance),
        }),
        reachable: status.reachable,
        since: status.since.map(instant),
        fast_failover: status.has_groups,
        rules: RuleFigures { intended: status.intended, installed: status.installed, drifting: status.drifting },
        unsettled_allocations: status.unsettled,
        settled_at: status.settled_at.map(instant),
        last_error: last_error.map(|error| error.to_string()),
        last_error_at: last_error_at.map(instant),
        switches: switches.collect(),
    }
}

/// Which controllers are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// In which order; with a minus the largest first. Absent: by name.
    #[param(nullable = false, inline)]
    sort: Option<ControllerOrder>,
    /// How many at most; absent: all, which are at most 64.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The cursor of the page: how many came before.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
}

list_orders! {
    /// The order of controllers.
    ControllerOrder of Arc<Controller> {
        Id "id" IdDown "-id" |one| one.name.to_string();
        Topology "topology" TopologyDown "-topology" |one| one.topology.to_string();
    }
}

/// Lists controllers, by name or in an order.
#[utoipa::path(
    get,
    path = "/v1/controllers",
    tag = "controllers",
    summary = "List controllers",
    params(ListQuery),
    responses(
        (status = 200, description = "All of them, or a page", body = ControllerPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, InternalError,
    )
)]
pub(super) async fn controller_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.map_or(Ok(usize::MAX), |limit| pagination::limit(Some(limit)))?;
    let controllers = room.app.read(|state| state.controllers().cloned().collect::<Vec<_>>());
    let order = query.sort.unwrap_or(ControllerOrder::Id);
    let (controllers, next) = sorting::page(controllers, &order, query.after.as_deref(), limit)?;
    let items = controllers.iter().map(|controller| document(&room, controller));
    let page = ControllerPage { items: items.collect(), next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Reads a controller, and what is known of it.
#[utoipa::path(
    get,
    path = "/v1/controllers/{controller}",
    tag = "controllers",
    summary = "Read a controller and what is known of it",
    params(("controller" = String, Path, description = "Which", min_length = 1, max_length = 255)),
    responses((status = 200, description = "The controller", body = ControllerDocument), BadRequest, NotFound, InternalError)
)]
pub(super) async fn controller_get(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
) -> Result<Response, Problem> {
    let controller = room.app.read(|state| state.controller(name.as_str()).cloned());
    let controller = controller.ok_or(Refusal::UnknownController(name))?;
    Ok(json(&document(&room, &controller)))
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
        (status = 200, description = "Changed, or what would happen", body = ControllerDocument),
        (status = 201, description = "Created", body = ControllerDocument, headers(("Location" = String, description = "Where it is"))),
        BadRequest, Forbidden, Conflict, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn controller_put(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<DryRunQuery>,
    body: JsonBody,
) -> Result<Response, Problem> {
    parse::name_in_path("controller", &name)?;
    let request = body.read::<ControllerRequest>()?;
    let address =
        request.url.as_deref().map(ControllerAddress::new).transpose().map_err(|error| invalid_url(&error))?;
    if let Some(address) = &address {
        check_networks(&room, address).await?;
    }
    let kind = match request.driver {
        ControllerDriver::Ryu => DriverKind::Ryu,
        ControllerDriver::Onos => DriverKind::Onos,
        ControllerDriver::Simulated => DriverKind::Simulated,
    };
    let topology = parse::name("topology", &request.topology)?;
    let is_new = room.app.read(|state| state.controller(name.as_str()).is_none());
    let command =
        Command::PutController { name: name.clone(), driver: kind, address, topology, settings: settings(&request)? };
    let fact = room.submit(command, query.mode()).await?;
    let Event::ControllerPut { controller } = &fact.event else { return Err(error::unexpected(&fact)) };
    let mut response = json(&document(&room, controller));
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

fn settings(request: &ControllerRequest) -> Result<RuleSettings, Problem> {
    let impossible = |field, detail: String| Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", field);
    let SwitchNumbering { label_min, meter_min, flows_max, cookie_tag, priority_min } = request.numbering;
    let numbering = Numbering::new(label_min, meter_min, flows_max, cookie_tag, priority_min)
        .map_err(|error| impossible(error.field(), error.to_string()))?;
    let Policing { burst_ms, packet_bytes } = request.policing;
    if !(1..=BURST_MAX_MS).contains(&burst_ms) {
        return Err(impossible("policing.burst_ms", format!("a burst is 1 to {BURST_MAX_MS} ms of the rate")));
    }
    if packet_bytes.is_some_and(|bytes| !PACKET_BYTES.contains(&bytes)) {
        let (least, most) = (PACKET_BYTES.start(), PACKET_BYTES.end());
        return Err(impossible("policing.packet_bytes", format!("packets have {least} to {most} bytes")));
    }
    let meters = MeterSettings { burst_ms, packet_bytes };
    Ok(RuleSettings { numbering, meters, has_queues: request.queues })
}

/// That a controller is where controllers may be. Each connection looks again: by then a name may lead elsewhere.
async fn check_networks(room: &ApiState, address: &ControllerAddress) -> Result<(), Problem> {
    let url = Url::parse(address.as_str()).map_err(|error| invalid_url(&error))?;
    room.controller_networks.check(&url).await.map_err(|error| invalid_url(&error))
}

fn invalid_url(error: &dyn std::error::Error) -> Problem {
    Problem::new(&problem_catalogue::IMPOSSIBLE, error.to_string()).with("field", "url")
}

/// What becomes of the rules of a controller that is deleted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// Whether its rules are removed from the switches first, or stay there.
    #[serde(default)]
    #[param(inline, required = false)]
    rules: ControllerRules,
    /// Whether it is only to be known what would happen.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Deletes a controller.
///
/// Its rules are removed from the switches before it is forgotten, unless they are to stay; allocations count as in force
/// without it. While a switch or the controller does not answer, it is `closing`: it is forgotten when its rules are gone, when
/// it is deleted with `rules=leave`, and stays if it is put again.
#[utoipa::path(
    delete,
    path = "/v1/controllers/{controller}",
    tag = "controllers",
    summary = "Delete a controller and its rules",
    params(("controller" = String, Path, description = "The name of the controller", min_length = 1, max_length = 255), DeleteQuery),
    responses(
        (status = 202, description = "Its rules are still being removed", body = ControllerDocument),
        (status = 204, description = "Deleted, or would be"),
        BadRequest, Forbidden, NotFound, InternalError, Unavailable,
    )
)]
pub(super) async fn controller_delete(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<DeleteQuery>,
) -> Result<Response, Problem> {
    let rules = match query.rules {
        ControllerRules::Remove => RulesOnDelete::Remove,
        ControllerRules::Leave => RulesOnDelete::Leave,
    };
    let mode = if query.dry_run { Mode::DryRun } else { Mode::Commit };
    let mut commits = room.app.subscribe();
    let fact = room.submit(Command::DeleteController { name: name.clone(), rules }, mode).await?;
    let Event::ControllerPut { controller } = &fact.event else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    if query.dry_run {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let revision = controller.revision;
    let still =
        || room.app.read(|state| state.controller(name.as_str()).filter(|now| now.revision == revision).cloned());
    let gone = async {
        while still().is_some() {
            // A lagging subscriber looks again all the same.
            if matches!(commits.recv().await, Err(RecvError::Closed)) {
                return;
            }
        }
    };
    let _ = timeout(REMOVAL_MAX, gone).await;
    Ok(match still() {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(controller) => (StatusCode::ACCEPTED, json(&document(&room, &controller))).into_response(),
    })
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

/// Imports what the controller knows of its network.
///
/// Switches and links that the topology does not have are added; links between the same switches get their ports.
/// What was configured, capacities above all, stays.
#[utoipa::path(
    post,
    path = "/v1/controllers/{controller}/topology",
    tag = "controllers",
    summary = "Import what the controller knows of its network",
    params(("controller" = String, Path, description = "Which", min_length = 1, max_length = 255), SurveyQuery),
    responses(
        (status = 200, description = "What that did, or would do", body = SurveyOutcome),
        BadRequest, Forbidden, NotFound, Conflict, Unprocessable, InternalError, BadGateway, Unavailable,
    )
)]
pub(super) async fn controller_survey(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<SurveyQuery>,
) -> Result<Response, Problem> {
    let default_capacity =
        query.default_capacity_bps.map(|bps| parse::bandwidth("default_capacity_bps", bps)).transpose()?;
    let found = room.app.read(|state| state.controller(name.as_str()).cloned());
    let controller = found.ok_or_else(|| Refusal::UnknownController(name.clone()))?;
    let survey = room.app.survey(&name).await.map_err(|error| match error {
        SurveyError::NoDriver => Problem::new(&problem_catalogue::CONTROLLER_UNAVAILABLE, error.to_string()),
        SurveyError::Driver(error) => Problem::new(&problem_catalogue::CONTROLLER_UNAVAILABLE, error.to_string()),
    })?;
    let known = room.app.read(|state: &KernelState| {
        let network = state.network(controller.topology.as_str())?;
        Some((network.revision(), network.topology().clone()))
    });
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
    Ok(json(&answer(&controller.topology, merged, revision, query.dry_run)))
}

fn answer(topology: &Name, merged: Merged, revision: Option<String>, dry_run: bool) -> SurveyOutcome {
    SurveyOutcome {
        topology: topology.to_string(),
        revision,
        nodes: merged.topology.node_count(),
        links: merged.topology.link_count(),
        added_nodes: merged.added_nodes,
        added_links: merged.added_links,
        completed_links: merged.completed_links,
        unseen_nodes: merged.unseen_nodes,
        unseen_links: merged.unseen_links,
        dry_run,
    }
}
