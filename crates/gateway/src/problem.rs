//! RFC 9457 problems of the gateway's own interface.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::subscription::SubscribeError;

/// Why a request has no success to answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    detail: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(
        r#type: &'static str,
        title: &'static str,
        status: StatusCode,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { r#type, title, status, detail: detail.into(), field: None }
    }

    /// The body cannot be read.
    pub(super) fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new("/problems/malformed-body", "The body cannot be read", StatusCode::BAD_REQUEST, detail)
    }

    /// The body is too large.
    pub(super) fn too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new("/problems/body-too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// The body is no JSON.
    pub(super) fn media_type() -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new("/problems/unsupported-media-type", "The body is not JSON", status, "Content-Type: application/json")
    }

    /// The query or path cannot be read.
    pub(super) fn malformed_query(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new("/problems/malformed-query", "The query cannot be read", StatusCode::BAD_REQUEST, detail)
    }

    /// There is no such thing.
    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new("/problems/not-found", "There is no such thing", StatusCode::NOT_FOUND, detail)
    }

    /// There is, but not with this method.
    pub(super) fn method() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new("/problems/method-not-allowed", "The method is not allowed here", status, "see Allow")
    }

    /// The subscription is one of the other kind.
    pub(super) fn no_stream() -> Self {
        let detail = "this subscription has a callback_url: its batches are posted there";
        Self::new("/problems/not-a-stream", "The subscription has no stream", StatusCode::CONFLICT, detail)
    }

    /// A batch of ours came back to us (RFC 5842 §7.2).
    pub(super) fn looped() -> Self {
        let detail = "this request is a delivery of this very gateway";
        Self::new("/problems/loop-detected", "A delivery came back", StatusCode::LOOP_DETECTED, detail)
    }

    /// A web page of another site asks.
    pub(super) fn foreign_origin() -> Self {
        let detail = "the Origin of the request is not this Host";
        Self::new("/problems/foreign-origin", "Pages of other sites change nothing here", StatusCode::FORBIDDEN, detail)
    }

    /// A handler panicked: a defect.
    pub(super) fn internal() -> Self {
        let (title, status) = ("A defect of this gateway", StatusCode::INTERNAL_SERVER_ERROR);
        Self::new("/problems/internal", title, status, "the handler of this request failed")
    }
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Self {
        let detail = error.to_string();
        let problem = match error {
            SubscribeError::TooMany { .. } => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new("/problems/too-many", "There is no room for more", status, detail)
            }
            _ => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new("/problems/impossible", "The request cannot be meant", status, detail)
            }
        };
        Self { field: error.field(), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
