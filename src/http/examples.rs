//! Worked examples for each operation of the document: what the service itself answered, on its first topology, in the
//! order in which they are sent. They are examples and nothing else: schemas say what may be.

use serde_json::{Map, Value};

/// By operation: its request, and its answers by status. `_parameters` are those of paths, by name.
const EXAMPLES: &str = include_str!("examples.json");
const PARAMETERS: &str = "_parameters";
const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Puts the examples where they belong.
pub(super) fn add(document: &mut Value) {
    // It is text of our own: a test reads it.
    let Ok(examples) = serde_json::from_str::<Map<String, Value>>(EXAMPLES) else { return };
    let Some(Value::Object(paths)) = document.get_mut("paths") else { return };
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(|item| item.iter_mut());
    for (_, operation) in operations.filter(|(method, _)| METHODS.contains(&method.as_str())) {
        add_to_parameters(operation, &examples);
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
        let Some(example) = examples.get(id).cloned() else { continue };
        if let Some(request) = example.get("request") {
            put(operation.pointer_mut("/requestBody/content/application~1json"), request);
        }
        for (status, answer) in example.get("responses").and_then(Value::as_object).into_iter().flatten() {
            let content = operation.pointer_mut(&format!("/responses/{status}/content")).and_then(Value::as_object_mut);
            let mut kinds = content.into_iter().flat_map(|content| content.iter_mut());
            let kind = kinds.find(|(kind, _)| answer.is_string() != matches!(kind.as_str(), JSON | PROBLEM));
            put(kind.map(|(_, kind)| kind), answer);
        }
    }
}

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

fn add_to_parameters(operation: &mut Value, examples: &Map<String, Value>) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_of_path = parameter.get("in").and_then(Value::as_str) == Some("path");
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let example = examples.get(PARAMETERS).and_then(|all| all.get(name)).filter(|_| is_of_path).cloned();
        put(Some(parameter).filter(|_| example.is_some()), &example.unwrap_or_default());
    }
}

fn put(place: Option<&mut Value>, example: &Value) {
    if let Some(Value::Object(place)) = place {
        place.insert("example".to_owned(), example.clone());
    }
}
