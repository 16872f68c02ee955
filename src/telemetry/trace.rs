//! The span of a request that came over HTTP, named as OpenTelemetry's semantic conventions have it. Without an exporter it
//! is off and costs a comparison.

use axum::http::{HeaderMap, StatusCode};
use tracing::Span;
use tracing::field::Empty;

use crate::app::SPANS;

/// The span of a request; its parent is the one that the caller names in `traceparent` (W3C Trace Context).
pub(crate) fn request(method: &'static str, route: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: SPANS,
        "http",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    #[cfg(feature = "otlp")]
    super::otlp::adopt(&span, headers);
    #[cfg(not(feature = "otlp"))]
    let _ = headers;
    span
}

/// Says in the span how the request was answered. That the caller was wrong is no error of ours.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
