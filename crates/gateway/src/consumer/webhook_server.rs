//! The consumer's server: gateways post batches here. A delivery without the token of a living subscription is answered
//! with 410 Gone, so that a gateway forgets a consumer that forgot it.

use std::io;
use std::sync::Arc;

use api::gateway::BatchDocument;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;

use super::super::content_coding::BodyDecoder;
use super::super::limits::DELIVERY_MAX_BYTES;
use super::{BatchCoding, ConsumerState};
use web::HttpListener;

/// Answers until the consumer stops.
pub(super) async fn serve(state: Arc<ConsumerState>, listener: TcpListener) {
    let stop = state.stop.clone();
    let router = Router::new()
        .route("/deliveries/{index}/{token}", post(deliver))
        .layer(DefaultBodyLimit::max(DELIVERY_MAX_BYTES))
        .with_state(state);
    HttpListener::new(listener, None).serve(router, stop, |_| ()).await;
}

async fn deliver(
    State(state): State<Arc<ConsumerState>>,
    Path((index, token)): Path<(usize, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_known = state.tokens().get(index).is_some_and(|known| !known.is_empty() && *known == token);
    if !is_known {
        return StatusCode::GONE.into_response();
    }
    let body = match (headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes), state.options.coding) {
        (None, _) => body,
        (Some(b"zstd"), BatchCoding::Zstd) => match decode(&body) {
            Ok(body) => body.into(),
            Err(error) => {
                tracing::warn!(%error, "a batch cannot be decoded");
                let is_large = error.kind() == io::ErrorKind::FileTooLarge;
                let status = if is_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
                return status.into_response();
            }
        },
        (Some(_), _) => return state.options.coding.answer(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    match serde_json::from_slice::<BatchDocument>(&body) {
        Ok(batch) => {
            state.on_batch(index, &batch).await;
            state.options.coding.answer(StatusCode::NO_CONTENT)
        }
        Err(error) => {
            tracing::warn!(%error, "a batch cannot be read");
            StatusCode::BAD_REQUEST.into_response()
        }
    }
}

impl BatchCoding {
    /// An answer that says which coding later batches may have (RFC 9110 §12.5.3).
    fn answer(self, status: StatusCode) -> Response {
        match self {
            Self::Identity => status.into_response(),
            Self::Zstd => (status, [(header::ACCEPT_ENCODING, "zstd")]).into_response(),
        }
    }
}

fn decode(body: &[u8]) -> io::Result<Vec<u8>> {
    let (mut decoder, mut rest, mut plain) = (BodyDecoder::new()?, body, vec![]);
    while let Some(part) = decoder.next_part(&mut rest)? {
        if plain.len() + part.len() > DELIVERY_MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        plain.extend_from_slice(part);
    }
    Ok(plain)
}
