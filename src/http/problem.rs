//! RFC 9457 problems. A [`Problem`] is a value until the gate renders it, which knows the request that it answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};
use utoipa::openapi::{Content, Ref, RefOr, Response as ResponseDocument};
use utoipa::{IntoResponses, ToSchema};

use super::problem_catalogue::ProblemKind;

/// The media type of problems.
pub(super) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

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

    /// Puts the problem into a response that answers a request for `instance`; what stands in its headers stays.
    pub(super) fn write(&self, instance: &str, response: &mut Response) {
        let body = Document { problem: self, instance: Some(instance) };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if self.0.kind.is_transient() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
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

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document { problem: self, instance: None }.serialize(serializer)
    }
}

struct Document<'a> {
    problem: &'a Problem,
    instance: Option<&'a str>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Parts { kind, detail, data } = &*self.problem.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("/problems/{}", kind.slug))?;
        map.serialize_entry("title", kind.title)?;
        map.serialize_entry("status", &kind.status.as_u16())?;
        map.serialize_entry("detail", detail)?;
        if let Some(instance) = self.instance {
            map.serialize_entry("instance", instance)?;
        }
        for (member, value) in data {
            map.serialize_entry(member, value)?;
        }
        map.end()
    }
}

/// Why there is no success, after RFC 9457. Kinds add members of their own, such as `binding_links`.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "stands for what Problem serialises to, in the OpenAPI document")]
pub(super) struct ProblemDocument {
    /// Its kind: the path of a page that explains it.
    #[schema(example = "/problems/insufficient-bandwidth")]
    r#type: String,
    /// What the kind is.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time.
    detail: String,
    /// The path of the request; absent in the outcomes of a batch.
    #[schema(nullable = false)]
    instance: Option<String>,
    /// The member of the request that is at fault.
    #[schema(nullable = false)]
    field: Option<String>,
    /// Of `unknown-reference`: the nodes that the topology does not have, sorted.
    #[schema(nullable = false)]
    nodes: Option<Vec<String>>,
    /// The line of the body that is at fault, counted from one.
    #[schema(nullable = false)]
    line: Option<u64>,
    /// The column, in bytes, counted from one.
    #[schema(nullable = false)]
    column: Option<u64>,
    /// The element of an uploaded file that is at fault.
    #[schema(nullable = false)]
    element: Option<String>,
    /// Of `insufficient-bandwidth`: the links that lack it on the path that comes nearest.
    #[schema(nullable = false)]
    binding_links: Option<Vec<BindingLink>>,
    /// Of `insufficient-bandwidth`: what would have been admitted.
    #[schema(nullable = false, maximum = 9_223_372_036_854_775_807_u64)]
    largest_admissible_bps: Option<u64>,
    /// Of `no-path`: which constraint took the last path away.
    #[schema(nullable = false, example = "max_hops")]
    constraint: Option<String>,
    /// Of `no-path` by `max_hops`: the least it takes.
    #[schema(nullable = false)]
    least_hops: Option<u32>,
    /// Of `no-path` by `max_delay`: the least it takes.
    #[schema(nullable = false)]
    least_delay_us: Option<u64>,
    /// Of `topology-conflict` and `classes-in-use`: the allocations in the way; at most 1,000.
    #[schema(nullable = false)]
    conflicts: Option<Vec<String>>,
}

/// A link that lacks bandwidth.
#[derive(Serialize, ToSchema)]
pub(super) struct BindingLink {
    /// Which.
    pub(super) link: String,
    /// For which class.
    pub(super) class_type: u8,
    /// What was asked for.
    pub(super) requested_bps: u64,
    /// What the class could have there.
    pub(super) available_bps: u64,
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
    Forbidden "403" "The request comes from a web page of another site";
    NotFound "404" "What the path names is not there";
    Conflict "409" "The request conflicts with what is; the problem says how";
    PreconditionFailed "412" "If-Match is not the current revision";
    TooLarge "413" "The body is too large";
    UnsupportedMediaType "415" "The body is not JSON";
    Unprocessable "422" "The request is well-formed but impossible";
    PreconditionRequired "428" "A change needs If-Match";
    BadGateway "502" "The controller cannot be reached, or its answer makes no sense; nothing was changed";
    InternalError "500" "A defect of this server; nothing was changed";
    Unavailable "503" "Too busy, stopping, or the journal does not answer; Retry-After says when to try again";
}
