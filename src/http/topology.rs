//! Topologies: upload, list, read, delete.

use std::sync::Arc;

use axum::extract::OriginalUri;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::extract::{AnyBody, FromPath, FromQuery, IfMatch, etag, off_the_way};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, PreconditionFailed, PreconditionRequired, Problem,
    TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::render::{self, json};
use super::sorting::{self, list_orders};
use super::{error, pagination, parse, problem_catalogue};
use crate::app::Mode;
use crate::app::scalars::StoredName;
use api::topology::{
    ExportFormat, MissingCapacity, TopologyDocument, TopologyFormat, TopologyOutcome, TopologyPage, TopologySummary,
};
use formats::bandwidth_model::model_name;
use formats::{Imported, ReadOptions};
use kernel::command::{Command, Expected, OnMisfit};
use kernel::event::Event;
use kernel::id::Name;
use kernel::units::Bandwidth;

/// How an upload is to be read and what becomes of who is there.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// The format; recognised by the content if absent.
    #[param(nullable = false)]
    format: Option<TopologyFormat>,
    /// The capacity of links that have none, under `on_missing_capacity=default`; 10 Gbit/s if absent.
    #[param(nullable = false, minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    default_capacity_bps: Option<u64>,
    /// What becomes of links that have no capacity: they get the default, are left out, or the file is refused.
    #[param(nullable = false)]
    on_missing_capacity: Option<MissingCapacity>,
    /// Which network of a file that may hold several (RFC 8345, GraphML, GML); needed if there are several.
    #[param(nullable = false, min_length = 1, max_length = 255)]
    network: Option<String>,
    /// Whether allocations that do not fit the new revision are rerouted, and fail without another path; else the upload is refused.
    #[serde(default)]
    #[param(required = false)]
    evict: bool,
    /// Whether it is only to be known what would happen.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Uploads a topology, or a new revision of one.
///
/// Allocations keep their paths where those still exist and fit. Otherwise the upload is refused and lists them, or, with
/// `evict`, reroutes them; those without another path fail.
#[utoipa::path(
    put,
    path = "/v1/topologies/{topology}",
    tag = "topologies",
    summary = "Upload a topology, or a new revision of one",
    params(
        ("topology" = String, Path, description = "Its name", min_length = 1, max_length = 255),
        UploadQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the revision to be replaced, or *; needed if there is one", nullable = false, pattern = r#"^(\*|(W/)?"[^"]*")$"#),
    ),
    request_body(
        description = "The file: native JSON, or any other format that is read",
        content(
            (TopologyDocument = "application/json", example = json!({
                "nodes": [{"id": "a"}, {"id": "b"}],
                "links": [{"id": "a-b", "from": "a", "to": "b", "capacity_bps": 10_000_000_000_u64, "bidirectional": true}]
            })),
            (String = "application/graphml+xml"),
            (String = "text/csv"),
            (String = "text/plain"),
        ),
    ),
    responses(
        (status = 200, description = "Replaced, or what would happen", body = TopologyOutcome, headers(("ETag" = String, description = "The new revision"))),
        (status = 201, description = "Created", body = TopologyOutcome, headers(
            ("ETag" = String, description = "The revision"), ("Location" = String, description = "Where it is"))),
        BadRequest, Forbidden, Conflict, PreconditionFailed, TooLarge, UnsupportedMediaType, Unprocessable,
        PreconditionRequired, InternalError, Unavailable,
    )
)]
pub(super) async fn topology_put(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<UploadQuery>,
    IfMatch(expected): IfMatch,
    AnyBody(body): AnyBody,
) -> Result<Response, Problem> {
    parse::name_in_path("topology", &name)?;
    let options = query.options()?;
    let Imported { topology, report } = off_the_way(move || formats::read(&body, &options)).await??;
    let is_new = room.app.read(|state| state.network(name.as_str()).is_none());
    let mode = if query.dry_run { Mode::DryRun } else { Mode::Commit };
    let expected = match expected {
        Expected::Unsaid if query.dry_run && !is_new => Expected::Any,
        expected => expected,
    };
    let misfits = if query.evict { OnMisfit::Evict } else { OnMisfit::Refuse };
    let command = Command::PutTopology { name: name.clone(), topology: Arc::new(topology), expected, misfits };
    let fact = room.submit(command, mode).await?;
    let Event::TopologyPut { displaced, .. } = &fact.event else { return Err(error::unexpected(&fact)) };
    let mut answer = TopologyOutcome {
        topology: name.to_string(),
        revision: None,
        report,
        effects: render::effects(displaced, &fact.names),
        dry_run: query.dry_run,
    };
    if query.dry_run {
        return Ok(json(&answer));
    }
    answer.revision = Some(fact.sequence.0.to_string());
    let mut response = json(&answer);
    response.headers_mut().insert(header::ETAG, etag(fact.sequence));
    // Without If-Match only what is not there can be put.
    if expected == Expected::Unsaid {
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert(header::LOCATION, location(&name));
    }
    Ok(response)
}

impl UploadQuery {
    fn options(&self) -> Result<ReadOptions, Problem> {
        let standard = ReadOptions::default();
        let default_capacity = match self.default_capacity_bps {
            None => standard.default_capacity,
            Some(bps) => Bandwidth::from_bps(bps).filter(|capacity| !capacity.is_zero()).ok_or_else(|| {
                let detail = format!("default_capacity_bps is {bps}, not within 1 to {}", Bandwidth::MAX.as_bps());
                Problem::new(&problem_catalogue::MALFORMED_QUERY, detail).with("field", "default_capacity_bps")
            })?,
        };
        let on_missing_capacity = self.on_missing_capacity.unwrap_or(standard.on_missing_capacity);
        Ok(ReadOptions { format: self.format, default_capacity, on_missing_capacity, network: self.network.clone() })
    }
}

fn location(name: &Name) -> HeaderValue {
    let mut path = String::from("/v1/topologies/");
    pagination::percent_encode(name.as_str(), &mut path);
    HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/v1/topologies"))
}

/// Which page of topologies is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// In which order; with a minus the largest first. Absent: by name. The cursor counts then: where an order
    /// changes between two pages, an item may be on both, or on none.
    #[param(nullable = false, inline)]
    sort: Option<TopologyOrder>,
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The cursor of the page.
    #[param(nullable = false, value_type = Option<String>, min_length = 1, max_length = 255)]
    after: Option<StoredName>,
}

list_orders! {
    /// The order of topologies.
    TopologyOrder of TopologySummary {
        Name "topology" NameDown "-topology" |one| one.topology.clone();
        Nodes "nodes" NodesDown "-nodes" |one| one.nodes;
        Links "links" LinksDown "-links" |one| one.links;
        Allocations "allocations" AllocationsDown "-allocations" |one| one.allocations;
    }
}

/// Lists topologies, by name or in an order.
#[utoipa::path(
    get,
    path = "/v1/topologies",
    tag = "topologies",
    summary = "List topologies",
    params(ListQuery),
    responses(
        (status = 200, description = "A page of them", body = TopologyPage, headers(("Link" = String, description = "rel=\"next\": the next page"))),
        BadRequest, InternalError,
    )
)]
pub(super) async fn topology_list(
    room: Room,
    OriginalUri(uri): OriginalUri,
    FromQuery(query): FromQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = pagination::limit(query.limit)?;
    let items = room.app.read(|state| {
        let first = query.after.as_ref().filter(|_| query.sort.is_none());
        let later = state.networks().filter(|(name, _)| first.is_none_or(|after| **name > after.0));
        let summaries = later.map(|(name, network)| TopologySummary {
            topology: name.to_string(),
            revision: network.revision().0.to_string(),
            nodes: network.topology().node_count(),
            links: network.topology().link_count(),
            allocations: network.live(),
            model: model_name(network.model().model.kind()),
        });
        summaries.take(if query.sort.is_some() { usize::MAX } else { limit + 1 }).collect::<Vec<_>>()
    });
    let (items, next) = match &query.sort {
        Some(order) => sorting::page(items, order, query.after.as_ref().map(|after| after.0.as_str()), limit)?,
        None => pagination::cut(items, limit, |last| last.topology.clone()),
    };
    let page = TopologyPage { items, next };
    Ok(pagination::respond(&uri, &page, page.next.as_deref()))
}

/// As what a topology is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// The format: `native` if absent.
    #[param(nullable = false)]
    format: Option<ExportFormat>,
}

fn written_as(format: ExportFormat) -> TopologyFormat {
    match format {
        ExportFormat::Native => TopologyFormat::Native,
        ExportFormat::Graphml => TopologyFormat::GraphMl,
        ExportFormat::NodeLink => TopologyFormat::NodeLink,
        ExportFormat::Rfc8345 => TopologyFormat::Rfc8345,
    }
}

/// Reads a topology.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}",
    tag = "topologies",
    summary = "Read a topology",
    params(("topology" = String, Path, description = "Its name", min_length = 1, max_length = 255), ExportQuery),
    responses(
        (status = 200, description = "The topology", headers(("ETag" = String, description = "Its revision")),
            content(
                (TopologyDocument = "application/json"),
                (String = "application/graphml+xml"),
                (Object = "application/node-link+json"),
                (Object = "application/yang-data+json"),
            )),
        BadRequest, NotFound, InternalError,
    )
)]
pub(super) async fn topology_get(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<ExportQuery>,
) -> Result<Response, Problem> {
    let found = room.app.read(|state| {
        let network = state.network(name.as_str())?;
        Some((Arc::clone(network.topology()), network.revision()))
    });
    let (topology, revision) = found.ok_or_else(|| unknown(&name))?;
    let format = written_as(query.format.unwrap_or_default());
    let text = off_the_way(move || formats::write(&topology, format)).await?.map_err(|error| {
        Problem::new(&problem_catalogue::MALFORMED_QUERY, error.to_string()).with("field", "format")
    })?;
    let media_type = match format {
        TopologyFormat::GraphMl => "application/graphml+xml",
        TopologyFormat::NodeLink => "application/node-link+json",
        TopologyFormat::Rfc8345 => "application/yang-data+json",
        _ => "application/json",
    };
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(media_type)), (header::ETAG, etag(revision))], text)
        .into_response())
}

/// No topology of this name.
pub(super) fn unknown(name: &Name) -> Problem {
    kernel::Refusal::UnknownTopology(name.clone()).into()
}

/// Whether it is only to be known what would happen.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DryRunQuery {
    /// Whether it is only to be known what would happen.
    #[serde(default)]
    #[param(required = false)]
    pub(super) dry_run: bool,
}

impl DryRunQuery {
    /// In the writer's words.
    pub(super) fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Commit }
    }
}

/// Deletes a topology that carries nothing.
#[utoipa::path(
    delete,
    path = "/v1/topologies/{topology}",
    tag = "topologies",
    summary = "Delete a topology that carries nothing",
    params(
        ("topology" = String, Path, description = "Its name", min_length = 1, max_length = 255),
        DryRunQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the revision to be deleted, or *", nullable = false, pattern = r#"^(\*|(W/)?"[^"]*")$"#),
    ),
    responses(
        (status = 204, description = "Deleted, or could be"),
        BadRequest, Forbidden, NotFound, Conflict, PreconditionFailed, InternalError, Unavailable,
    )
)]
pub(super) async fn topology_delete(
    room: Room,
    FromPath(StoredName(name)): FromPath<StoredName>,
    FromQuery(query): FromQuery<DryRunQuery>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Problem> {
    room.submit(Command::DeleteTopology { name, expected }, query.mode()).await?;
    Ok(StatusCode::NO_CONTENT)
}
