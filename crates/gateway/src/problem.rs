//! Refusals of the gateway's own interface, as RFC 9457 problems.

use api::own_hosts::{ForeignOrigin, HostFault};
use api::problem::ProblemDocument;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::subscription::SubscribeError;

/// Why a request has no success to answer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct GatewayProblem(Box<ProblemDocument>);

impl GatewayProblem {
    fn new(slug: &str, title: &str, status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(ProblemDocument {
            kind: format!("/problems/{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            ..ProblemDocument::default()
        }))
    }

    pub(super) fn malformed_body(detail: impl Into<String>) -> Self {
        Self::new("malformed-body", "The body cannot be read", StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn body_too_large(detail: impl Into<String>) -> Self {
        Self::new("body-too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    pub(super) fn media_type() -> Self {
        let (title, status) = ("The body is not JSON", StatusCode::UNSUPPORTED_MEDIA_TYPE);
        Self::new("unsupported-media-type", title, status, "Content-Type: application/json")
    }

    pub(super) fn malformed_query(detail: impl Into<String>) -> Self {
        Self::new("malformed-query", "The query cannot be read", StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new("not-found", "There is no such thing", StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn method() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new("method-not-allowed", "The method is not allowed here", status, "see Allow")
    }

    /// The subscription has a callback.
    pub(super) fn no_stream() -> Self {
        let detail = "this subscription has a callback_url: its batches are posted there";
        Self::new("not-a-stream", "The subscription has no stream", StatusCode::CONFLICT, detail)
    }

    /// A delivery of this gateway came back (RFC 5842 §7.2).
    pub(super) fn looped() -> Self {
        let detail = "this request is a delivery of this very gateway";
        Self::new("loop-detected", "A delivery came back", StatusCode::LOOP_DETECTED, detail)
    }

    /// The request comes from a web page of another site.
    pub(super) fn foreign_origin(error: ForeignOrigin) -> Self {
        let (title, status) = ("Pages of other sites change nothing here", StatusCode::FORBIDDEN);
        Self::new("foreign-origin", title, status, error.to_string())
    }

    /// The request is for another host, or does not say for which.
    pub(super) fn host(fault: &HostFault) -> Self {
        let (slug, title, status) = match fault {
            HostFault::Unknown(_) => {
                ("unknown-host", "This gateway does not answer for that host", StatusCode::MISDIRECTED_REQUEST)
            }
            HostFault::Missing | HostFault::Several => {
                ("malformed-header", "A header cannot be read", StatusCode::BAD_REQUEST)
            }
        };
        let mut problem = Self::new(slug, title, status, fault.to_string());
        problem.0.field = Some("host".to_owned());
        problem
    }

    /// The subscription was made from another address.
    pub(super) fn not_the_owner() -> Self {
        let detail = "a subscription is ended from the address that made it, or from the gateway's own machine";
        Self::new("not-the-owner", "The subscription is another consumer's", StatusCode::FORBIDDEN, detail)
    }

    /// What only the machine of the gateway may change.
    pub(super) fn not_the_operator() -> Self {
        let detail = "policies are changed from the gateway's own machine";
        Self::new("not-the-operator", "The gateway's settings are its operator's", StatusCode::FORBIDDEN, detail)
    }

    /// A member of the request has an impossible value.
    pub(super) fn impossible(field: &str, detail: &str) -> Self {
        let (title, status) = ("The request is well-formed but impossible", StatusCode::UNPROCESSABLE_ENTITY);
        let mut problem = Self::new("impossible", title, status, detail);
        problem.0.field = Some(field.to_owned());
        problem
    }

    /// The spool takes no writes.
    pub(super) fn not_kept() -> Self {
        let detail = "the spool takes no writes at present: try again later";
        Self::new("not-kept", "The request cannot be kept", StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// A handler panicked: a defect.
    pub(super) fn internal() -> Self {
        let (title, status) = ("A defect of this gateway", StatusCode::INTERNAL_SERVER_ERROR);
        Self::new("internal", title, status, "the handler of this request failed")
    }
}

impl From<SubscribeError> for GatewayProblem {
    fn from(error: SubscribeError) -> Self {
        let (slug, title, status) = match error {
            SubscribeError::TooMany { .. } | SubscribeError::TooManyOfOwner { .. } => {
                ("too-many", "There is no room for more", StatusCode::SERVICE_UNAVAILABLE)
            }
            _ => ("impossible", "The request is well-formed but impossible", StatusCode::UNPROCESSABLE_ENTITY),
        };
        let mut problem = Self::new(slug, title, status, error.to_string());
        problem.0.field = error.field().map(str::to_owned);
        problem
    }
}

impl IntoResponse for GatewayProblem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
