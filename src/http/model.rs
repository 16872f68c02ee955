//! Bandwidth models.

use std::sync::Arc;

use axum::http::header;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Room;
use super::error;
use super::extract::{FromPath, FromQuery, IfMatch, JsonBody, etag};
use super::problem::{
    BadRequest, Conflict, Forbidden, InternalError, NotFound, PreconditionFailed, PreconditionRequired, Problem,
    TooLarge, Unavailable, Unprocessable, UnsupportedMediaType,
};
use super::render::{self, json};
use super::topology::unknown;
use crate::app::Mode;
use crate::app::scalars::StoredName;
use api::bandwidth_model::{BandwidthModelInForce, BandwidthModelOutcome, BandwidthModelRequest};
use formats::bandwidth_model::{document_of, model_of};
use kernel::Refusal;
use kernel::command::{Command, Expected, ModelChange};
use kernel::event::Event;

/// Reads the bandwidth model that is in force.
#[utoipa::path(
    get,
    path = "/v1/topologies/{topology}/bandwidth-model",
    tag = "topologies",
    summary = "Read the bandwidth model",
    params(("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255)),
    responses(
        (status = 200, description = "The model", body = BandwidthModelInForce, headers(("ETag" = String, description = "Its revision"))),
        BadRequest, NotFound, InternalError,
    )
)]
pub(super) async fn model_get(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
) -> Result<Response, Problem> {
    let found = room.app.read(|state| {
        let network = state.network(topology.as_str())?;
        Some((Arc::clone(network.model()), network.model_revision()))
    });
    let (model, revision) = found.ok_or_else(|| unknown(&topology))?;
    let view = BandwidthModelInForce { model: document_of(&model), revision: revision.0.to_string() };
    let mut response = json(&view);
    response.headers_mut().insert(header::ETAG, etag(revision));
    Ok(response)
}

/// How a change of model comes into force.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ModelQuery {
    /// Whether living allocations stay until they end by themselves, even where the new model has no room for them.
    #[serde(default)]
    #[param(required = false)]
    soft: bool,
    /// Whether it is only to be known what would happen. Needs no If-Match.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Puts another bandwidth model in force, and lists the allocations that are preempted, devolved or rerouted for it.
#[utoipa::path(
    put,
    path = "/v1/topologies/{topology}/bandwidth-model",
    tag = "topologies",
    summary = "Put another bandwidth model in force",
    params(
        ("topology" = String, Path, description = "Of which topology", min_length = 1, max_length = 255),
        ModelQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the model to be replaced, or *; needed unless it is a dry run", nullable = false, pattern = r#"^(\*|(W/)?"[^"]*")$"#),
    ),
    request_body(content = BandwidthModelRequest, description = "The model", example = json!({
        "model": "rdm",
        "classes": [
            {"class_type": 0, "share_ppm": 500_000},
            {"class_type": 1, "share_ppm": 300_000},
            {"class_type": 2, "share_ppm": 200_000}
        ]
    })),
    responses(
        (status = 200, description = "The model in force, or as it would be, and the allocations that are preempted, devolved or rerouted", body = BandwidthModelOutcome,
            headers(("ETag" = String, description = "Its revision"))),
        BadRequest, Forbidden, NotFound, Conflict, PreconditionFailed, TooLarge, UnsupportedMediaType, Unprocessable,
        PreconditionRequired, InternalError, Unavailable,
    )
)]
pub(super) async fn model_put(
    room: Room,
    FromPath(StoredName(topology)): FromPath<StoredName>,
    FromQuery(query): FromQuery<ModelQuery>,
    IfMatch(expected): IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (model, warnings) = model_of(&body.read::<BandwidthModelRequest>()?.into())?;
    let document = document_of(&model);
    let expected = match expected {
        Expected::Unsaid if query.dry_run => Expected::Any,
        expected => expected,
    };
    let mode = if query.dry_run { Mode::DryRun } else { Mode::Commit };
    let switch = if query.soft { ModelChange::Soft } else { ModelChange::Hard };
    let command = Command::SetModel { topology, model: Arc::new(model), expected, switch };
    let fact = room.ask(command, mode).await?.map_err(|refusal| match refusal {
        Refusal::UnknownLink { .. } => error::in_body(refusal),
        refusal => refusal.into(),
    })?;
    let Event::ModelSet { displaced, .. } = &fact.event else { return Err(error::unexpected(&fact)) };
    let effects = render::effects(displaced, &fact.names);
    let revision = (!query.dry_run).then(|| fact.sequence.0.to_string());
    let mut response =
        json(&BandwidthModelOutcome { model: document, revision, warnings, effects, dry_run: query.dry_run });
    if !query.dry_run {
        response.headers_mut().insert(header::ETAG, etag(fact.sequence));
    }
    Ok(response)
}
