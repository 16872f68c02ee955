//! Probes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::ApiState;
use super::problem::InternalError;
use super::render::json;
use api::service::Readiness;

/// Whether the process lives; nothing else is asked.
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

/// Whether requests can be answered. It is told at once, whatever the journal does.
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
    let fault = room.app.database_fault();
    let journal = fault.is_none();
    let stopping = room.app.stopping().is_cancelled();
    let (topologies, allocations) = room.app.read(|state| (state.networks().len(), state.allocation_count()));
    let ready = journal && !stopping;
    let reason = fault.map(|fault| fault.to_string());
    let sequence = room.app.head().0;
    let readiness = Readiness {
        ready,
        version: room.version.to_owned(),
        journal,
        reason,
        stopping,
        sequence,
        topologies,
        allocations,
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, json(&readiness)).into_response()
}
