//! What the OpenAPI document says beyond what types can be made to say: the bounds of integers, and what a name is.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::access::COOKIE;
use crate::auth::{Permission, needed};

/// A name has no control characters.
const NAME_PATTERN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The longest name, by which names are known among texts.
const NAME_LENGTHS: (u64, u64) = (1, 255);
/// Documents that others are made of with further members: they cannot be closed themselves.
const OPEN: [&str; 2] = ["BandwidthModel", "Quota"];

/// Completes the document. If it could not be read back, it stays as it was.
pub(super) fn polish(document: OpenApi) -> OpenApi {
    let Ok(mut value) = serde_json::to_value(&document) else { return document };
    for name in OPEN {
        if let Some(Value::Object(schema)) = value.pointer_mut(&format!("/components/schemas/{name}")) {
            schema.remove("additionalProperties");
        }
    }
    complete(&mut value);
    secure(&mut value);
    super::fields::describe(&mut value);
    super::examples::add(&mut value);
    serde_json::from_value(value).unwrap_or(document)
}

/// Says of each operation how one shows who one is, and which roles may.
fn secure(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer", "description": "An access token"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The token of the page"},
    });
    let items = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
    for operation in items.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let id = operation["operationId"].as_str().unwrap_or_default();
        let permission = needed(id);
        if permission == Permission::Open {
            operation["security"] = json!([]);
            continue;
        }
        // On one machine nothing is needed: the empty requirement.
        operation["security"] = json!([{}, {"token": []}, {"cookie": []}]);
        let roles: Vec<_> = permission.roles().iter().map(|role| role.as_str()).collect();
        operation["x-roles"] = json!(roles);
        let problem = |description: &str| {
            json!({"description": description, "content": {"application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"}}}})
        };
        let responses = &mut operation["responses"];
        responses["401"] = problem("A token is needed, or the one that came is not valid");
        if responses["403"].is_null() {
            responses["403"] = problem("The token is not for this");
        }
    }
}

fn complete(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(complete),
        Value::Object(object) => {
            bound(object);
            name(object);
            object.values_mut().for_each(complete);
        }
        _ => {}
    }
}

/// Unsigned integers have no format of their own: bounds say their range.
fn bound(object: &mut Map<String, Value>) {
    let is_unsigned = object.get("minimum").and_then(Value::as_f64).is_some_and(|minimum| minimum >= 0.0);
    let largest = match object.get("format").and_then(Value::as_str) {
        Some("int32") if is_unsigned => u64::from(u32::MAX),
        Some("int64") if is_unsigned => i64::MAX.unsigned_abs(),
        _ => return,
    };
    object.entry("maximum").or_insert_with(|| largest.into());
    object.insert("format".to_owned(), "int64".into());
}

fn name(object: &mut Map<String, Value>) {
    let length = |key| object.get(key).and_then(Value::as_u64);
    if length("minLength").zip(length("maxLength")) == Some(NAME_LENGTHS) {
        object.entry("pattern").or_insert_with(|| NAME_PATTERN.into());
    }
}
