//! What is for people besides the dashboard: the pages of problems, the OpenAPI document and its viewer; and the answers to paths that are not there.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::ApiState;
use super::extract::FromPath;
use super::problem::Problem;
use super::problem_catalogue::{self, ProblemKind};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// RFC 9512.
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
/// What is said over MQTT and server-sent events.
const ASYNCAPI: &str = include_str!("../../openapi/asyncapi-v1.yaml");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const PAGE_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'");
/// Swagger UI styles its elements inline and draws its icons from data.
const VIEWER_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
);
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;\
    color-scheme:light dark}code{font-size:.95em}";

pub(super) fn router(document: &utoipa::openapi::OpenApi) -> Router<ApiState> {
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let serve_document = move || {
        let document = Arc::clone(&document);
        async move { ([(header::CONTENT_TYPE, JSON)], document.as_ref().to_owned()) }
    };
    let viewer = SwaggerUi::new("/docs").config(Config::from("/v1/openapi.json").validator_url("none"));
    let viewer: Router<ApiState> = Router::from(viewer).layer(from_fn(viewer_headers));
    let asyncapi = || async { ([(header::CONTENT_TYPE, YAML)], ASYNCAPI) };
    viewer.route("/v1/openapi.json", get(serve_document)).route("/v1/asyncapi.yaml", get(asyncapi))
}

async fn viewer_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, VIEWER_POLICY);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    response
}

/// The page of a kind of problem.
pub(super) async fn problem_page(FromPath(slug): FromPath<String>) -> Result<Response, Problem> {
    let no_kind = || Problem::new(&problem_catalogue::NOT_FOUND, "there is no problem of this kind");
    let ProblemKind { slug, status, title, meaning, remedy } = ProblemKind::of_slug(&slug).ok_or_else(no_kind)?;
    let body = format!(
        "<p><code>/problems/{slug}</code>, HTTP status {}</p><h2>What it means</h2><p>{}</p>\
         <h2>What to do</h2><p>{}</p>",
        status.as_u16(),
        escape(meaning),
        escape(remedy)
    );
    Ok(page(title, &body))
}

fn page(title: &str, body: &str) -> Response {
    let title = escape(title);
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1>{body}</html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, HTML),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF),
    ];
    (headers, text).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// For a path that nothing has.
pub(super) async fn not_found() -> Problem {
    Problem::new(&problem_catalogue::NOT_FOUND, "no resource has this path")
}

/// For a method that the resource does not have.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(&problem_catalogue::METHOD_NOT_ALLOWED, "the Allow header lists the methods that this resource has")
}
