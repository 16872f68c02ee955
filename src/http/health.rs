//! Probes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use super::problem::InternalError;
use super::wire::json;

/// Whether the process lives. It asks nobody.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "service",
    summary = "Whether the process lives",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"), InternalError)
)]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// What readiness depends on.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether requests can be answered.
    ready: bool,
    /// The version of the program.
    version: &'static str,
    /// Whether the journal answers.
    journal: bool,
    /// Whether the service is on its way out.
    stopping: bool,
    /// The last event.
    sequence: u64,
    /// How many topologies there are.
    topologies: usize,
    /// How many allocations live.
    allocations: usize,
}

/// Whether requests can be answered.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "service",
    summary = "Whether requests can be answered",
    responses(
        (status = 200, description = "They can", body = Readiness),
        (status = 503, description = "They cannot: the journal does not answer, or the service is stopping", body = Readiness),
        InternalError,
    )
)]
pub(super) async fn readyz(State(room): State<ApiState>) -> Response {
    let journal = room.app.ping().await.is_ok();
    let stopping = room.app.stopping().is_cancelled();
    let (topologies, allocations) = room.app.read(|state| (state.networks().len(), state.allocation_count())).await;
    let ready = journal && !stopping;
    let sequence = room.app.head().0;
    let readiness = Readiness { ready, version: room.version, journal, stopping, sequence, topologies, allocations };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, json(&readiness)).into_response()
}
