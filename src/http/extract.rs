//! Extractors whose rejections are problems, and what they read from headers.

use std::borrow::Cow;
use std::error::Error as _;
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::problem::Problem;
use super::problem_catalogue;
use formats::GzipError;
use kernel::command::Expected;
use kernel::id::Sequence;

/// How long a body may take.
const BODY_MAX: Duration = Duration::from_secs(60);
/// How many large bodies are held at once; others wait for a moment.
const LARGE_BODIES_MAX: usize = 16;
/// How long they wait.
const LARGE_BODY_WAIT: Duration = Duration::from_secs(5);
static LARGE_BODIES: Semaphore = Semaphore::const_new(LARGE_BODIES_MAX);

/// The parameters in the path.
pub(super) struct FromPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for FromPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(value) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::new(&problem_catalogue::MALFORMED_PATH, rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// The parameters in the query.
pub(super) struct FromQuery<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for FromQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(value) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let problem = Problem::new(&problem_catalogue::MALFORMED_QUERY, rejection.body_text());
            problem.with_some("field", parameter_of(&rejection))
        })?;
        Ok(Self(value))
    }
}

/// The parameter that a query is rejected for, where it is one.
fn parameter_of(rejection: &QueryRejection) -> Option<String> {
    type Fault = serde_path_to_error::Error<serde::de::value::Error>;
    let causes = std::iter::successors(rejection.source(), |&error| error.source());
    let path = causes.filter_map(|error| error.downcast_ref::<Fault>()).next()?.path().to_string();
    Some(path).filter(|path| !matches!(path.as_str(), "." | "?"))
}

/// A body of any kind, of at most [`formats::INPUT_MAX_BYTES`] where it came compressed.
pub(super) struct AnyBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for AnyBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let turn = tokio::time::timeout(LARGE_BODY_WAIT, LARGE_BODIES.acquire()).await;
        let busy = || Problem::new(&problem_catalogue::BUSY, "too many uploads are under way");
        let _turn = turn.ok().and_then(Result::ok).ok_or_else(busy)?;
        decoded_body(request, state, formats::INPUT_MAX_BYTES).await.map(Self)
    }
}

/// The body without its content coding; compressed ones hold at most `max` bytes.
async fn decoded_body<S: Send + Sync>(request: Request, state: &S, max: usize) -> Result<Bytes, Problem> {
    let coding = ContentCoding::of(request.headers())?;
    let Ok(read) = tokio::time::timeout(BODY_MAX, Bytes::from_request(request, state)).await else {
        let detail = format!("the body did not come within {} s", BODY_MAX.as_secs());
        return Err(Problem::new(&problem_catalogue::BODY_TOO_SLOW, detail));
    };
    let body = read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(&problem_catalogue::BODY_TOO_LARGE, rejection.body_text()),
        _ => Problem::new(&problem_catalogue::MALFORMED_BODY, rejection.body_text()),
    })?;
    match coding {
        ContentCoding::Identity => Ok(body),
        ContentCoding::Gzip => {
            let plain = off_the_way(move || formats::gunzip(&body, max)).await?;
            let plain = plain.map_err(|error| {
                let kind = match error {
                    GzipError::TooLarge { .. } => &problem_catalogue::BODY_TOO_LARGE,
                    GzipError::Broken(_) => &problem_catalogue::MALFORMED_BODY,
                };
                Problem::new(kind, error.to_string())
            })?;
            Ok(Bytes::from(plain))
        }
    }
}

/// How a body is compressed (RFC 9110 §8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ContentCoding {
    Identity,
    Gzip,
}

impl ContentCoding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let codings: Vec<String> = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(|coding| coding.trim().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != "identity")
            .collect();
        match codings.as_slice() {
            [] => Ok(Self::Identity),
            [coding] if matches!(coding.as_str(), "gzip" | "x-gzip") => Ok(Self::Gzip),
            codings => {
                let detail = format!("the Content-Encoding '{}' is not read: send gzip or none", codings.join(", "));
                Err(Problem::new(&problem_catalogue::UNSUPPORTED_CODING, detail))
            }
        }
    }
}

/// Work that takes long enough to hold others up.
pub(super) async fn off_the_way<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a task failed");
        Problem::new(&problem_catalogue::INTERNAL, "the work was given up")
    })
}

/// A body that says it is JSON; [`JsonBody::read`] believes it or not. Numbers that are integers by their value are written
/// as integers in it.
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !request.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
            let detail = "the Content-Type is neither application/json nor another +json type";
            return Err(Problem::new(&problem_catalogue::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let body = decoded_body(request, state, super::BODY_MAX_BYTES).await?;
        let plain = match formats::plain_integers(&body) {
            Cow::Owned(plain) => Some(Bytes::from(plain)),
            Cow::Borrowed(plain) => (plain.len() < body.len()).then(|| body.slice_ref(plain)),
        };
        Ok(Self(plain.unwrap_or(body)))
    }
}

impl JsonBody {
    /// What the body says.
    pub(super) fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Problem> {
        read_json(&self.0)
    }
}

/// A body that may be left out.
pub(super) struct OptionalJsonBody(Option<JsonBody>);

impl<S: Send + Sync> FromRequest<S> for OptionalJsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(None));
        }
        JsonBody::from_request(request, state).await.map(|body| Self(Some(body)))
    }
}

impl OptionalJsonBody {
    /// What the body says; without one, the default.
    pub(super) fn read<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        self.0.as_ref().map_or_else(|| Ok(T::default()), JsonBody::read)
    }
}

/// Reads JSON; the problem names the field and the place.
pub(super) fn read_json<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        unreadable(Some(path).filter(|path| path != "." && !path.contains('?')), error.inner())
    })?;
    deserializer.end().map_err(|error| unreadable(None, &error))?;
    Ok(value)
}

/// A body cannot be read: `path` is the member at which the reader stopped.
fn unreadable(path: Option<String>, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    // Line and column are members of their own.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let missing = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let field = match (path, missing) {
        (Some(path), Some(missing)) => Some(format!("{path}.{missing}")),
        (None, missing) => missing.map(str::to_owned),
        (path, None) => path,
    };
    let detail = match &field {
        Some(field) => format!("invalid {field}: {}", in_words(text, field)),
        None => in_words(text, ""),
    };
    Problem::new(&problem_catalogue::MALFORMED_BODY, detail)
        .with_some("field", field)
        .with("line", error.line())
        .with("column", error.column())
}

/// What the reader expected, without names of types.
fn in_words(text: &str, field: &str) -> String {
    let Some((found, expected)) = text.rsplit_once(", expected ") else { return text.to_owned() };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" if field.ends_with("_bps") => {
            "a whole number of bits per second; 500M is for the command line"
        }
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from zero",
        "a sequence" => "a list",
        "f64" => "a number",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    };
    format!("{found}, expected {expected}")
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let Some((class, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.rsplit_once('+').map_or(subtype, |(_, suffix)| suffix);
    class.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

/// What `If-Match` expects (RFC 9110 §13.1.1).
pub(super) struct IfMatch(pub(super) Expected);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let malformed =
            || Problem::new(&problem_catalogue::MALFORMED_HEADER, "If-Match must be * or one ETag such as \"12\"");
        let Some(value) = one(&parts.headers, &header::IF_MATCH).map_err(|()| malformed())? else {
            return Ok(Self(Expected::Unsaid));
        };
        let text = value.to_str().map_err(|_| malformed())?.trim();
        if text == "*" {
            return Ok(Self(Expected::Any));
        }
        let (tag, is_weak) = text.strip_prefix("W/").map_or((text, false), |tag| (tag, true));
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).filter(|tag| !tag.contains('"'));
        let inner = inner.ok_or_else(malformed)?;
        if is_weak {
            let detail = format!(
                "a weak tag such as {text} never matches: If-Match compares strongly (RFC 9110 section 13.1.1), and a proxy that \
                 compresses answers makes their tags weak: send the strong tag, \"{inner}\""
            );
            return Err(Problem::new(&problem_catalogue::PRECONDITION_FAILED, detail).with("field", "if-match"));
        }
        // A tag that is none of ours matches nothing.
        Ok(Self(Expected::Revision(Sequence(inner.parse().unwrap_or(u64::MAX)))))
    }
}

/// The only value of a header; several are an error.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() { Err(()) } else { Ok(value) }
}

/// A revision as an entity tag.
pub(super) fn etag(revision: Sequence) -> HeaderValue {
    let text = format!("\"{}\"", revision.0);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_body_names_its_field() {
        use api::allocation::AllocationRequest;

        let fault = |text: &str| {
            let problem = read_json::<AllocationRequest>(text.as_bytes()).unwrap_err().document(None);
            (problem.more.get("field").and_then(|field| field.as_str()).map(str::to_owned), problem.detail)
        };
        let (field, detail) = fault(r#"{"ingress":"a","egress":"b","bandwidth_bps":"500M"}"#);
        assert_eq!(field.as_deref(), Some("bandwidth_bps"));
        assert_eq!(
            detail,
            "invalid bandwidth_bps: invalid type: string \"500M\", expected a whole number of bits per second; \
             500M is for the command line"
        );
        assert_eq!(fault(r#"{"ingress":"a"}"#).0.as_deref(), Some("egress"));
        assert_eq!(fault(r#"{"flow":{"l4_dst":-1}}"#).0.as_deref(), Some("flow.l4_dst"));
        assert_eq!(fault("{").0, None);
    }

    #[test]
    fn a_content_coding_is_gzip_or_refused() {
        let of = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::CONTENT_ENCODING, HeaderValue::from_static(value)));
            ContentCoding::of(&HeaderMap::from_iter(values)).ok()
        };
        assert_eq!((of(&[]), of(&["identity"])), (Some(ContentCoding::Identity), Some(ContentCoding::Identity)));
        assert_eq!((of(&["gzip"]), of(&["identity, X-GZip"])), (Some(ContentCoding::Gzip), Some(ContentCoding::Gzip)));
        assert_eq!((of(&["br"]), of(&["gzip, gzip"])), (None, None));
    }

    #[test]
    fn json_is_known_by_its_name() {
        let is = |text: &'static str| is_json(&HeaderValue::from_static(text));
        assert!(is("application/json") && is("Application/JSON; charset=utf-8") && is("application/yang-data+json"));
        assert!(!is("text/json") && !is("application/jsonx") && !is("application/xml") && !is(""));
    }
}
