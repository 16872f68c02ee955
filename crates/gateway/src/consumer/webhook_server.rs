//! The consumer's door: gateways post batches here. Who does not know the token of a living subscription is told that it is
//! gone for good, so that a gateway forgets a consumer that forgot it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;

use super::super::limits::DELIVERY_MAX_BYTES;
use super::super::wire::BatchDocument;
use super::ConsumerState;

/// Answers until the consumer stops.
pub(super) async fn serve(desk: Arc<ConsumerState>, listener: TcpListener) {
    let stop = desk.stop.clone();
    let router = Router::new()
        .route("/deliveries/{wish}/{token}", post(deliver))
        .layer(DefaultBodyLimit::max(DELIVERY_MAX_BYTES))
        .with_state(desk);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the door of the consumer broke");
    }
}

async fn deliver(
    State(desk): State<Arc<ConsumerState>>,
    Path((wish, token)): Path<(usize, String)>,
    body: Bytes,
) -> StatusCode {
    let is_known = desk.tokens().get(wish).is_some_and(|known| !known.is_empty() && *known == token);
    if !is_known {
        return StatusCode::GONE;
    }
    match serde_json::from_slice::<BatchDocument>(&body) {
        Ok(batch) => {
            desk.take(wish, &batch).await;
            StatusCode::NO_CONTENT
        }
        Err(error) => {
            tracing::warn!(%error, "a batch cannot be read");
            StatusCode::BAD_REQUEST
        }
    }
}
