//! RFC 9457 problems. A [`Problem`] is a value until the gate renders it, which knows the request that it answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use utoipa::IntoResponses;
use utoipa::openapi::{Content, Ref, RefOr, Response as ResponseDocument};

use super::problem_catalogue::{ProblemKind, UNSUPPORTED_CODING};
use api::problem::ProblemDocument;

/// The media type of problems.
pub(super) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// How one says who one is.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"watermaster\"");

/// Why a request has no success to answer.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: &'static ProblemKind,
    detail: Cow<'static, str>,
    data: Map<String, Value>,
}

impl Problem {
    /// A problem of `kind` on this occasion.
    pub(super) fn new(kind: &'static ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts { kind, detail: detail.into(), data: Map::new() }))
    }

    /// With one more member.
    pub(super) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.data.insert(member.to_owned(), value.into());
        self
    }

    /// With a member that may be unknown.
    pub(super) fn with_some(self, member: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(member, value),
            None => self,
        }
    }

    /// With the status of its kind.
    pub(super) fn status(&self) -> StatusCode {
        self.0.kind.status
    }

    /// The document, for a request of the path `instance`; without one in the outcomes of a batch.
    pub(super) fn document(&self, instance: Option<&str>) -> ProblemDocument {
        let Parts { kind, detail, data } = &*self.0;
        ProblemDocument {
            kind: format!("/problems/{}", kind.slug),
            title: kind.title.to_owned(),
            status: kind.status.as_u16(),
            detail: detail.to_string(),
            instance: instance.map(str::to_owned),
            more: data.clone(),
            ..ProblemDocument::default()
        }
    }

    /// Puts the problem into a response that answers a request for `instance`; what stands in its headers stays.
    pub(super) fn write(&self, instance: &str, response: &mut Response) {
        let body = serde_json::to_vec(&self.document(Some(instance))).unwrap_or_default();
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if self.0.kind.is_transient() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // RFC 9110 section 15.5.2, RFC 6750 section 3.
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        // RFC 9110 §15.5.16.
        if *self.0.kind == UNSUPPORTED_CODING {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *response.body_mut() = Body::from(body);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Problem answers for the OpenAPI document, one type a status.
macro_rules! answers {
    ($($name:ident $status:literal $description:literal;)*) => { $(
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<ResponseDocument>> {
                BTreeMap::from([($status.to_owned(), RefOr::T(problem_response($description)))])
            }
        }
    )* };
}

fn problem_response(description: &str) -> ResponseDocument {
    let mut response = ResponseDocument::new(description);
    let content = Content::new(Some(RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name("Problem"))));
    response.content.insert("application/problem+json".to_owned(), RefOr::T(content));
    response
}

answers! {
    BadRequest "400" "The path, the query, a header or the body cannot be read";
    Forbidden "403" "The request comes from a web page of another site, or asks for what is not the sender's";
    NotFound "404" "What the path names is not there";
    Conflict "409" "The request conflicts with what is; the problem says how";
    Gone "410" "What was asked for is not kept any more; first_sequence says where to begin";
    PreconditionFailed "412" "If-Match is not the current revision";
    TooLarge "413" "The body is too large";
    UnsupportedMediaType "415" "The body is not JSON, or compressed in a way that is not read";
    Unprocessable "422" "The request is well-formed but impossible";
    PreconditionRequired "428" "A change needs If-Match";
    BadGateway "502" "The controller cannot be reached, or its answer makes no sense; nothing was changed";
    InternalError "500" "A defect of this server; nothing was changed";
    Unavailable "503" "Too busy, stopping, or the journal does not answer; Retry-After says when to try again";
}
