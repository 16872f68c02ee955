//! `?fields=`: of an answer only some members. It is taken out of the query before the handler sees it, and what the handler
//! answers is cut.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::problem::Problem;
use super::problem_catalogue;

/// The parameter's name.
pub(super) const FIELDS: &str = "fields";
/// The longest answer that is cut.
const ANSWER_MAX_BYTES: usize = 256 << 20;
/// The most members that are asked for.
const FIELDS_MAX: usize = 64;

/// Answers with some members alone, if that is asked for.
pub(super) async fn select(mut request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let Some((fields, rest)) = is_read.then(|| request.uri().query().and_then(taken_out)).flatten() else {
        return next.run(request).await;
    };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let names: Vec<&str> = fields.split(',').collect();
    if names.len() > FIELDS_MAX || !names.iter().all(|name| is_name(name)) {
        let detail = "fields is a list of names of members, such as id,bandwidth_bps";
        return Problem::new(&problem_catalogue::MALFORMED_QUERY, detail).with("field", FIELDS).into_response();
    }
    let path = request.uri().path();
    let uri = if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") };
    let Ok(uri) = Uri::try_from(uri) else { return next.run(request).await };
    *request.uri_mut() = uri;
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    if response.status() == StatusCode::OK && kind.is_some_and(|kind| kind == "application/json") {
        cut(response, &names).await
    } else {
        response
    }
}

/// The value of the parameter, if the query has it, and the query without it.
fn taken_out(query: &str) -> Option<(String, String)> {
    let (mut found, mut rest) = (vec![], vec![]);
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((FIELDS, value)) => found.push(value.replace("%2C", ",").replace("%2c", ",")),
            _ => rest.push(pair),
        }
    }
    (!found.is_empty()).then(|| (found.join(","), rest.join("&")))
}

async fn cut(response: Response, names: &[&str]) -> Response {
    let (mut parts, body) = response.into_parts();
    let failed = || Problem::new(&problem_catalogue::INTERNAL, "the answer could not be cut").into_response();
    let Ok(bytes) = to_bytes(body, ANSWER_MAX_BYTES).await else { return failed() };
    let Ok(mut document) = serde_json::from_slice::<Value>(&bytes) else { return failed() };
    let keep = |object: &mut Map<String, Value>| object.retain(|name, _| names.contains(&name.as_str()));
    match document.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(keep),
        None => document.as_object_mut().into_iter().for_each(keep),
    }
    let body = serde_json::to_vec(&document).unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Response::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_taken_out_of_the_query() {
        let of = |query| taken_out(query).map(|(fields, rest)| format!("{fields} {rest}"));
        assert_eq!(of("limit=1&fields=id,name&after=3").as_deref(), Some("id,name limit=1&after=3"));
        assert_eq!(of("fields=id%2Cname").as_deref(), Some("id,name "));
        assert_eq!(of("limit=1"), None);
    }
}
