//! The OpenAPI document is generated, checked in and compared.

use std::path::Path;

use serde_json::Value;

use super::harness::TestService;
use watermaster::http::document;

/// `BLESS=1` writes the document anew.
#[test]
fn the_document_is_the_one_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/watermaster-v1.json");
    let now = document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(now == checked_in, "the document has changed: look at the difference that BLESS=1 makes, and commit it");
}

#[test]
fn every_operation_and_response_is_described() {
    let document = serde_json::to_value(document()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{at}");
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{at}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(!response["description"].as_str().unwrap().is_empty(), "{at} {status}");
            }
        }
    }
    for reference in references(&document) {
        assert!(schemas.contains_key(reference.strip_prefix("#/components/schemas/").unwrap()), "{reference}");
    }
    assert!(document["info"]["license"]["name"].is_string());
}

/// Of what this service has done from the beginning; other rooms may bring examples of theirs.
const WITH_EXAMPLES: [&str; 3] = ["topologies", "allocations", "events"];

#[test]
fn operations_have_worked_examples() {
    let document = serde_json::to_value(document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let tag = operation["tags"][0].as_str().unwrap();
            if !WITH_EXAMPLES.contains(&tag) {
                continue;
            }
            let at = format!("{method} {path}");
            if operation["requestBody"].is_object() {
                assert!(!operation["requestBody"]["content"]["application/json"]["example"].is_null(), "{at}");
            }
            for status in ["200", "201"] {
                let content = operation["responses"][status]["content"].as_object();
                let has =
                    |kinds: &serde_json::Map<String, Value>| kinds.values().any(|kind| !kind["example"].is_null());
                assert!(content.is_none_or(has), "{at} {status}");
            }
        }
    }
    let denial = &document["paths"]["/v1/allocations"]["post"]["responses"]["409"]["content"];
    assert_eq!(denial["application/problem+json"]["example"]["type"], "/problems/insufficient-bandwidth");
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(object) => {
            let own = object.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(object.values().flat_map(references)).collect()
        }
        _ => vec![],
    }
}

#[tokio::test]
async fn the_interface_over_mqtt_is_served_too() {
    let service = TestService::open().await;
    let answer = service.get("/v1/asyncapi.yaml").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/yaml"));
    let document: Value = yaml_serde::from_str(&answer.text).unwrap();
    assert!(document["asyncapi"].as_str().unwrap().starts_with("3."), "{}", document["asyncapi"]);
    service.close().await;
}
