//! What every request passes: it gets an id, its trace is answered, it is for this host, pages of other sites change
//! nothing, a panic is an answer, and problems are rendered. One function, so that the way in stays short.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::problem::Problem;
use super::problem_catalogue;
use api::own_hosts::{HostFault, OwnHosts, check_origin};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// The longest request id that is taken over.
const REQUEST_ID_MAX_BYTES: usize = 128;

/// Lets a request pass, or not.
pub(super) async fn pass(State(own): State<Arc<OwnHosts>>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let trace = request.headers().get(TRACEPARENT).filter(|value| is_traceparent(value)).cloned();
    let (uri, method) = (request.uri().clone(), request.method().clone());
    let mut response = match check(&own, &request) {
        Err(problem) => problem.into_response(),
        Ok(()) => {
            let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            answered.unwrap_or_else(|_| {
                tracing::error!(path = uri.path(), request_id = id.to_str().unwrap_or_default(), "a handler panicked");
                Problem::new(&problem_catalogue::INTERNAL, "the handler of this request failed").into_response()
            })
        }
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.write(uri.path(), &mut response);
    }
    tracing::debug!(
        %method, path = uri.path(), status = response.status().as_u16(), request_id = id.to_str().unwrap_or_default(),
        traceparent = trace.as_ref().and_then(|trace| trace.to_str().ok()), "answered"
    );
    let headers = response.headers_mut();
    put_under(own.prefix(), headers);
    headers.insert(REQUEST_ID, id);
    if let Some(trace) = trace {
        headers.insert(TRACEPARENT, trace);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    response
}

/// That a request is for this service, and from a page of it if it changes something.
fn check(own: &OwnHosts, request: &Request) -> Result<(), Problem> {
    own.check(request).map_err(|fault| {
        let detail = fault.to_string();
        match fault {
            HostFault::Unknown(_) => Problem::new(&problem_catalogue::UNKNOWN_HOST, detail),
            HostFault::Missing | HostFault::Several => {
                Problem::new(&problem_catalogue::MALFORMED_HEADER, detail).with("field", "host")
            }
        }
    })?;
    check_origin(request).map_err(|error| Problem::new(&problem_catalogue::FOREIGN_ORIGIN, error.to_string()))
}

/// Leads to paths as they are found from outside: `/v1/...` in Location, `</v1/...>` in Link.
fn put_under(prefix: &str, headers: &mut HeaderMap) {
    if prefix.is_empty() {
        return;
    }
    for name in [header::LOCATION, header::LINK] {
        let Some(text) = headers.get(&name).and_then(|value| value.to_str().ok()) else { continue };
        let put = match text.strip_prefix("</") {
            Some(rest) => format!("<{prefix}/{rest}"),
            None if text.starts_with('/') => format!("{prefix}{text}"),
            None => continue,
        };
        if let Ok(value) = HeaderValue::try_from(put) {
            headers.insert(name, value);
        }
    }
}

/// The one that came with the request, if it is harmless; else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_good = |value: &&HeaderValue| {
        (1..=REQUEST_ID_MAX_BYTES).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(is_good).cloned().unwrap_or_else(new_request_id)
}

/// Differs within a process by a counter, and between processes by a random prefix.
fn new_request_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut id = String::with_capacity(32);
    // Writing to a string cannot fail.
    let _ = write!(id, "{:016x}{:08x}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
}

/// W3C Trace Context §3.2.2: version, trace, parent and flags in lower-case hexadecimal, version ff and zeros excluded.
fn is_traceparent(value: &HeaderValue) -> bool {
    let mut parts = value.as_bytes().split(|byte| *byte == b'-');
    let mut hex = |length: usize| {
        let part = parts.next().unwrap_or_default();
        let good = part.len() == length && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (good, part.iter().all(|byte| *byte == b'0'))
    };
    let [version, trace, parent, flags] = [hex(2), hex(32), hex(16), hex(2)];
    let well_formed = version.0 && trace.0 && parent.0 && flags.0 && parts.next().is_none();
    well_formed && !trace.1 && !parent.1 && !value.as_bytes().starts_with(b"ff")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_traces_are_answered() {
        let is = |text: &str| is_traceparent(&HeaderValue::from_str(text).unwrap());
        assert!(is("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert!(!is("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert!(!is("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
        assert!(!is("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"));
        assert!(!is("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"));
        assert!(!is(""));
    }
}
