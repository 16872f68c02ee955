//! Scenarios: `tests/scenarios/<name>/commands.json` holds requests to the public interface and what each must be answered,
//! computed by hand from the model; `events.json` holds the events that come of them, recorded with `BLESS=1`.
//!
//! `@name` in an expectation stands for the allocation that a request with `"as": "name"` got; with `"times": n` they are
//! called `name0` to `name{n-1}`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::harness::{Answer, TestService};

/// What may be in a command.
const MEMBERS: [&str; 5] = ["call", "as", "times", "body", "expect"];

#[tokio::test]
async fn scenarios_end_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut played = 0;
    for entry in fs::read_dir(folder).unwrap() {
        play(&entry.unwrap().path()).await;
        played += 1;
    }
    assert!(played > 0, "no scenario was found");
}

async fn play(folder: &Path) {
    let text = fs::read_to_string(folder.join("commands.json")).unwrap();
    let scenario: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let service = TestService::open().await;
    let mut names = BTreeMap::new();
    for (at, command) in scenario["commands"].as_array().unwrap().iter().enumerate() {
        let place = format!("{}, command {at}", folder.display());
        assert!(command.as_object().unwrap().keys().all(|key| MEMBERS.contains(&key.as_str())), "{place}");
        for turn in 0..command["times"].as_u64().unwrap_or(1) {
            let answer = call(&service, command).await;
            if let Some(name) = command["as"].as_str() {
                let name = if command["times"].is_null() { format!("@{name}") } else { format!("@{name}{turn}") };
                names.insert(name, answer.json()["id"].clone());
            }
            compare(&answer, command["expect"].as_object().unwrap(), &names, &place);
        }
    }
    let mut events = service.get("/v1/events?limit=1000").await.json()["items"].take();
    forget_times(&mut events);
    service.close().await;
    compare_events(&folder.join("events.json"), &events);
}

/// Scenarios say what happens, not when.
fn forget_times(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| name != "at" && !name.ends_with("_at"));
            members.values_mut().for_each(forget_times);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_times),
        _ => {}
    }
}

async fn call(service: &TestService, command: &Value) -> Answer {
    let (method, uri) = command["call"].as_str().unwrap().split_once(' ').unwrap();
    let headers: &[(&str, &str)] =
        if method == "PUT" && uri.ends_with("bandwidth-model") { &[("if-match", "*")] } else { &[] };
    let body = if command["body"].is_null() { String::new() } else { command["body"].to_string() };
    service.send(method, uri, headers, body).await
}

/// Every member of the expectation must be in the answer, equal.
fn compare(answer: &Answer, expected: &Map<String, Value>, names: &BTreeMap<String, Value>, place: &str) {
    // A release has no body.
    let found = if answer.text.is_empty() { Value::Null } else { answer.json() };
    for (member, expected) in expected {
        let found = match member.as_str() {
            "status" => json!(answer.status.as_u16()),
            "reserved_bps" => {
                found["classes"].as_array().unwrap().iter().map(|class| class["reserved_bps"].clone()).collect()
            }
            member => found[member].clone(),
        };
        assert_eq!(found, named(expected, names), "{place}: {member} of {answer:?}");
    }
}

fn named(value: &Value, names: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) if text.starts_with('@') => names[text].clone(),
        Value::Array(items) => items.iter().map(|item| named(item, names)).collect(),
        Value::Object(members) => members.iter().map(|(key, member)| (key.clone(), named(member, names))).collect(),
        other => other.clone(),
    }
}

fn compare_events(path: &Path, events: &Value) {
    let lines: Vec<String> = events.as_array().unwrap().iter().map(|event| format!("  {event}")).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let recorded = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}: BLESS=1", path.display()));
    assert_eq!(recorded, text, "{}: if the change is meant, BLESS=1 records it", path.display());
}
