//! The consumer's server: gateways post batches here. A delivery without the token of a living subscription is answered
//! with 410 Gone, so that a gateway forgets a consumer that forgot it.

use std::sync::Arc;

use api::gateway::BatchDocument;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;

use super::super::limits::DELIVERY_MAX_BYTES;
use super::ConsumerState;

/// Answers until the consumer stops.
pub(super) async fn serve(state: Arc<ConsumerState>, listener: TcpListener) {
    let stop = state.stop.clone();
    let router = Router::new()
        .route("/deliveries/{index}/{token}", post(deliver))
        .layer(DefaultBodyLimit::max(DELIVERY_MAX_BYTES))
        .with_state(state);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the server for callbacks broke");
    }
}

async fn deliver(
    State(state): State<Arc<ConsumerState>>,
    Path((index, token)): Path<(usize, String)>,
    body: Bytes,
) -> StatusCode {
    let is_known = state.tokens().get(index).is_some_and(|known| !known.is_empty() && *known == token);
    if !is_known {
        return StatusCode::GONE;
    }
    match serde_json::from_slice::<BatchDocument>(&body) {
        Ok(batch) => {
            state.on_batch(index, &batch).await;
            StatusCode::NO_CONTENT
        }
        Err(error) => {
            tracing::warn!(%error, "a batch cannot be read");
            StatusCode::BAD_REQUEST
        }
    }
}
