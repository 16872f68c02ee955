//! Planned maintenance of links and nodes.

use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{FromPath, FromQuery, JsonBody};
use super::problem::{
    BadRequest, Forbidden, InternalError, NotFound, Problem, TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::render::{self, json};
use super::sorting::{self, list_orders};
use super::topology::{DryRunQuery, unknown};
use super::{error, pagination, parse};
use crate::app::scalars::StoredName;
use api::maintenance::{MaintenanceDocument, MaintenanceOutcome, MaintenancePage, MaintenanceRequest};
use kernel::command::Command;
use kernel::decide::stranded_by;
use kernel::event::Event;
use kernel::id::{AllocationId, Name, Sequence};
use kernel::maintenance::Maintenance;
use kernel::path::Workspace;
use kernel::{Refusal, State as KernelState};

/// Which page is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MaintenanceQuery {
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page: how many came before.
    #[param(nullable = false, pattern = "^[0-9]{1,18}$")]
    after: Option<String>,
    /// In which order; with a minus the largest first. Absent: by id, which is the order in which it was planned.
    #[param(nullable = false, inline)]
    sort: Option<MaintenanceOrder>,
}

list_orders! {
    /// The order of planned maintenance.
    MaintenanceOrder of Arc<Maintenance> {
        Id "id" IdDown "-id" |one| one.id.0;
        StartsAt "starts_at" StartsAtDown "-starts_at" |one| one.starts_at.0;
        EndsAt "ends_at" EndsAtDown "-ends_at" |one| one.ends_at.0;
    }
}

/// Lists what is planned for a topology, in the order in which it was planned or in another.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/maintenances",
    tag = "topologies",
    summary = "List planned maintenance",
    params(("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255), MaintenanceQuery),
    responses(
        (status = 200, description = "A page of it", body = MaintenancePage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, NotFound, InternalError,
    )
)]
pub(super) async fn maintenance_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    FromQuery(query): FromQuery<MaintenanceQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    let found = room.app.read(|state| {
        let network = state.network(topology.as_str())?;
        Some(network.maintenances().cloned().collect::<Vec<_>>())
    });
    let order = query.sort.unwrap_or(MaintenanceOrder::Id);
    let found = found.ok_or_else(|| unknown(&topology))?;
    let (found, next) = sorting::page(found, &order, query.after.as_deref(), limit)?;
    let page = MaintenancePage { items: found.iter().map(|one| render::maintenance(one)).collect(), next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// Reads what is planned, and which allocations would have no path if it were now.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/maintenances/{maintenance}",
    tag = "topologies",
    summary = "Read planned maintenance",
    params(
        ("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255),
        ("maintenance" = String, Path, description = "Which", pattern = "^[0-9]{1,18}$"),
    ),
    responses((status = 200, description = "What is planned", body = MaintenanceDocument), BadRequest, NotFound, InternalError, Unavailable)
)]
pub(super) async fn maintenance_get(
    room: Room,
    FromPath(place): FromPath<(StoredName, MaintenanceId)>,
) -> Result<Response, Problem> {
    let (StoredName(topology), MaintenanceId(id)) = place;
    let (name, own) = (topology.clone(), room.own_tenant().cloned());
    let document = room.app.work_out(move |state| {
        let network = state.network(name.as_str()).ok_or_else(|| unknown(&name))?;
        let maintenance = network.maintenance(id).ok_or(Refusal::UnknownMaintenance { id, topology: name })?;
        let stranded = stranded_by(state, network, maintenance, &mut Workspace::default());
        let stranded = ids_of(state, own.as_ref(), &stranded);
        Ok::<_, Problem>(MaintenanceDocument { maintenance: render::maintenance(maintenance), stranded })
    });
    Ok(json(&document.await??))
}

/// The id of planned maintenance, as it stands in an address.
#[derive(Clone, Copy)]
pub(super) struct MaintenanceId(Sequence);

impl<'de> Deserialize<'de> for MaintenanceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_number = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        number.map(|id| Self(Sequence(id))).ok_or_else(|| serde::de::Error::custom("not the id of maintenance"))
    }
}

/// Those that the caller may see: all, or those of one tenant.
fn ids_of(state: &KernelState, own: Option<&Name>, ids: &[AllocationId]) -> Vec<String> {
    let is_own = |id: &&AllocationId| {
        let tenant = state.allocation(**id).and_then(|living| living.demand.attributes.tenant.as_ref());
        own.is_none_or(|own| tenant == Some(own))
    };
    ids.iter().filter(is_own).map(ToString::to_string).collect()
}

/// Plans maintenance of links, and of nodes with all of their links.
///
/// Bookings that would be on the links meanwhile are given other paths at once; those without another stay, and are listed in
/// `stranded` with the allocations in force that would have none. What has a start or an end is not placed on the links for that
/// time. When it begins the links go into maintenance, what has another path takes it, and when it is over they are in service again.
#[utoipa::path(
    post,
    path = "/v1/topologies/{topology}/maintenances",
    tag = "topologies",
    summary = "Plan maintenance",
    params(("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255), DryRunQuery),
    request_body(content = MaintenanceRequest, description = "What is planned, and when", example = json!({
        "links": ["a-b"], "starts_at": "2100-01-05T02:00:00Z", "duration_ms": 7_200_000, "note": "splice at km 12"
    })),
    responses(
        (status = 200, description = "What would be planned, and what that would do", body = MaintenanceOutcome),
        (status = 201, description = "What is planned, and what that did", body = MaintenanceOutcome),
        BadRequest, Forbidden, NotFound, TooLarge, UnsupportedMediaType, Unprocessable, InternalError, Unavailable,
    )
)]
pub(super) async fn maintenance_create(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    FromQuery(query): FromQuery<DryRunQuery>,
    body: JsonBody,
) -> Result<Response, Problem> {
    if room.app.read(|state| state.network(topology.as_str()).is_none()) {
        return Err(unknown(&topology));
    }
    let command = parse::maintenance(topology.clone(), body.read::<MaintenanceRequest>()?)?;
    let fact = room.ask(command, query.mode()).await?.map_err(error::in_body)?;
    let Event::MaintenancePlanned { maintenance, displaced, .. } = &fact.event else {
        return Err(error::unexpected(&fact));
    };
    let (name, planned) = (topology.clone(), Arc::clone(maintenance));
    let stranded = room.app.work_out(move |state| {
        let found = state.network(name.as_str());
        found.map(|network| stranded_by(state, network, &planned, &mut Workspace::default())).unwrap_or_default()
    });
    let stranded = stranded.await?;
    let outcome = MaintenanceOutcome {
        document: MaintenanceDocument {
            maintenance: render::maintenance(maintenance),
            stranded: stranded.iter().map(ToString::to_string).collect(),
        },
        effects: render::effects(displaced, &fact.names),
        sequence: (!query.dry_run).then_some(fact.sequence.0),
        dry_run: query.dry_run,
    };
    if query.dry_run {
        return Ok(json(&outcome));
    }
    let place = format!("/v1/topologies/{topology}/maintenances/{}", maintenance.id.0);
    Ok((StatusCode::CREATED, [(axum::http::header::LOCATION, place)], json(&outcome)).into_response())
}

/// Calls planned maintenance off. If it has begun it is over now, and its links are in service again within a second.
#[utoipa::path(
    delete,
    path = "/v1/topologies/{topology}/maintenances/{maintenance}",
    tag = "topologies",
    summary = "Call planned maintenance off",
    params(
        ("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255),
        ("maintenance" = String, Path, description = "Which", pattern = "^[0-9]{1,18}$"),
    ),
    responses((status = 204, description = "It is called off"), BadRequest, Forbidden, NotFound, InternalError, Unavailable)
)]
pub(super) async fn maintenance_delete(
    room: Room,
    FromPath(place): FromPath<(StoredName, MaintenanceId)>,
) -> Result<Response, Problem> {
    let (StoredName(topology), MaintenanceId(id)) = place;
    room.submit(Command::EndMaintenance { topology, id }, crate::app::Mode::Commit).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
