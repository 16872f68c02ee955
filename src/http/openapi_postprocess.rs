//! What the OpenAPI document says beyond what types can be made to say: the bounds of integers, and what a name is.

use serde_json::{Map, Value};
use utoipa::openapi::OpenApi;

/// A name has no control characters.
const NAME_PATTERN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The longest name, by which names are known among texts.
const NAME_LENGTHS: (u64, u64) = (1, 255);
/// Documents that others are made of with further members: they cannot be closed themselves.
const OPEN: [&str; 1] = ["BandwidthModel"];

/// Completes the document. If it could not be read back, it stays as it was.
pub(super) fn polish(document: OpenApi) -> OpenApi {
    let Ok(mut value) = serde_json::to_value(&document) else { return document };
    for name in OPEN {
        if let Some(Value::Object(schema)) = value.pointer_mut(&format!("/components/schemas/{name}")) {
            schema.remove("additionalProperties");
        }
    }
    complete(&mut value);
    super::examples::add(&mut value);
    serde_json::from_value(value).unwrap_or(document)
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
