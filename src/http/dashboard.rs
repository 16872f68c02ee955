//! The dashboard: three files, built from the TypeScript beside this one and kept in `dist/`, so that the binary needs
//! neither npm nor network. It is a client of `/v1` like any other. `tests/run` proves that `dist/` is what `src/` makes.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use reqwest::Url;
use sha2::{Digest, Sha256};

use super::ApiState;

/// Nothing but its own files, its own interface and the issuer at which people sign in; nothing inline.
fn policy(issuer: Option<&str>) -> HeaderValue {
    let origin = issuer.and_then(|issuer| Url::parse(issuer).ok()).map(|url| url.origin().ascii_serialization());
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{}{}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        if origin.is_some() { " " } else { "" },
        origin.unwrap_or_default()
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
/// To be kept, but asked for anew each time: the names are fixed.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

static PAGE: LazyLock<EmbeddedFile> =
    LazyLock::new(|| EmbeddedFile::new("text/html; charset=utf-8", include_bytes!("../../dashboard/dist/index.html")));
static SCRIPT: LazyLock<EmbeddedFile> = LazyLock::new(|| {
    EmbeddedFile::new("text/javascript; charset=utf-8", include_bytes!("../../dashboard/dist/app.js"))
});
static STYLE: LazyLock<EmbeddedFile> =
    LazyLock::new(|| EmbeddedFile::new("text/css; charset=utf-8", include_bytes!("../../dashboard/dist/index.css")));

/// The page and its two parts. The page connects to an issuer, if there is one, and to nothing else beyond this service.
pub(super) fn router(issuer: Option<&str>) -> Router<ApiState> {
    let policy = policy(issuer);
    let serve = |file: &'static LazyLock<EmbeddedFile>| {
        let policy = policy.clone();
        get(move |headers: HeaderMap| async move { file.answer(&headers, policy) })
    };
    Router::new().route("/", serve(&PAGE)).route("/app.js", serve(&SCRIPT)).route("/index.css", serve(&STYLE))
}

/// A file in the binary.
struct EmbeddedFile {
    media_type: &'static str,
    body: &'static [u8],
    etag: HeaderValue,
}

impl EmbeddedFile {
    fn new(media_type: &'static str, body: &'static [u8]) -> Self {
        use std::fmt::Write;
        let mut etag = String::from("\"");
        for byte in Sha256::digest(body).iter().take(16) {
            // Writing to a string cannot fail.
            let _ = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        Self { media_type, body, etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\"")) }
    }

    fn answer(&self, headers: &HeaderMap, policy: HeaderValue) -> Response {
        let mut response = if self.is_known(headers) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type))], self.body).into_response()
        };
        for (name, value) in [
            (header::ETAG, self.etag.clone()),
            (header::CACHE_CONTROL, NO_CACHE),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF),
            (header::REFERRER_POLICY, NO_REFERRER),
        ] {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// Whether the client has it already (RFC 9110 §13.1.2).
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = known.flat_map(|tags| tags.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
        tags.any(|tag| tag == "*" || self.etag == *tag)
    }
}
