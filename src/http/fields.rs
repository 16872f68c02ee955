//! `?fields=`: of an answer only some members. It is taken out of the query before the handler sees it, and what the handler
//! answers is cut. Which members there are is what the OpenAPI document says of the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::problem::Problem;
use super::problem_catalogue;

/// The parameter's name.
pub(super) const FIELDS: &str = "fields";
/// The member of a page that has its items.
const ITEMS: &str = "items";
/// The longest answer that is cut.
const ANSWER_MAX_BYTES: usize = 256 << 20;
/// The most members that are asked for.
const FIELDS_MAX: usize = 64;

/// How deep schemas are followed into those that they are made of.
const SCHEMA_DEPTH_MAX: usize = 8;
/// Where an operation of the document has the schema of its answer in JSON.
const ANSWER_SCHEMA: &str = "/responses/200/content/application~1json/schema";

/// The members of the answer of each GET, by route; of a list, those of its items.
#[derive(Clone)]
pub(super) struct AnswerFields(Arc<BTreeMap<String, BTreeSet<String>>>);

impl AnswerFields {
    /// For the operations of a document.
    pub(super) fn new(document: &OpenApi) -> Self {
        let document = serde_json::to_value(document).unwrap_or_default();
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let fields = paths.filter_map(|(route, item)| Some((route.clone(), fields_of(&document, item.get("get")?))));
        Self(Arc::new(fields.collect()))
    }

    /// The problem of a name that no member of the route's answer has.
    fn check(&self, route: &str, names: &[&str]) -> Result<(), Problem> {
        let Some(known) = self.0.get(route).filter(|known| !known.is_empty()) else { return Ok(()) };
        let Some(unknown) = names.iter().find(|name| !known.contains(**name)) else { return Ok(()) };
        let all = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let detail = format!("unknown field `{unknown}`, expected one of {all}");
        Err(Problem::new(&problem_catalogue::MALFORMED_QUERY, detail).with("field", FIELDS))
    }
}

/// Adds the parameter to each operation of a document whose answer it cuts.
pub(super) fn describe(document: &mut Value) {
    let whole = document.clone();
    let items = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
    for operation in items.filter_map(|item| item.get_mut("get")?.as_object_mut()) {
        let fields = fields_of(&whole, &Value::Object(operation.clone()));
        if fields.is_empty() {
            continue;
        }
        let parameter = json!({
            "name": FIELDS, "in": "query", "required": false, "style": "form", "explode": false,
            "description": "Of the answer, or of each item of a list, these members alone",
            "schema": {"type": "array", "minItems": 1, "maxItems": FIELDS_MAX, "items": {"type": "string", "enum": fields}},
        });
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        parameters.as_array_mut().into_iter().for_each(|parameters| parameters.push(parameter.clone()));
    }
}

/// The members of an operation's answer; of a list, those of its items.
fn fields_of(document: &Value, operation: &Value) -> BTreeSet<String> {
    let mut members = BTreeMap::new();
    let schema = operation.pointer(ANSWER_SCHEMA);
    schema.into_iter().for_each(|schema| collect(document, schema, SCHEMA_DEPTH_MAX, &mut members));
    if let Some(item) = members.get(ITEMS).and_then(|schema| schema.get("items")).cloned() {
        members.clear();
        collect(document, &item, SCHEMA_DEPTH_MAX, &mut members);
    }
    members.into_keys().collect()
}

/// The properties of a schema and of those that it is made of.
fn collect(document: &Value, schema: &Value, depth: usize, members: &mut BTreeMap<String, Value>) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    let named =
        schema.get("$ref").and_then(Value::as_str).and_then(|name| document.pointer(name.trim_start_matches('#')));
    let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    parts.chain(named).for_each(|part| collect(document, part, deeper, members));
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    members.extend(properties.map(|(name, schema)| (name.clone(), schema.clone())));
}

/// Answers with some members alone, if that is asked for.
pub(super) async fn select(known: &AnswerFields, mut request: Request, next: Next) -> Response {
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
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if let Err(problem) = known.check(route, &names) {
        return problem.into_response();
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
    match document.get_mut(ITEMS).and_then(Value::as_array_mut) {
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
