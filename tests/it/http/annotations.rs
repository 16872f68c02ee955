//! What people write on an allocation: it is answered wherever the allocation is, and never changes where it is.

use axum::http::StatusCode;
use serde_json::{Value, json};
use watermaster::app::{ControllerAccess, driver_factory};

use super::harness::{PAIR, TRIANGLE, TestService};

fn request(class_type: u8, bandwidth_bps: u64, annotations: Value) -> Value {
    let mut body = json!({"ingress": "a", "egress": "b", "class_type": class_type, "bandwidth_bps": bandwidth_bps});
    body.as_object_mut().unwrap().extend(annotations.as_object().unwrap().clone());
    body
}

async fn admit(service: &TestService, request: &Value) -> Value {
    let answer = service.post("/v1/allocations", &request.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

fn annotations(document: &Value) -> [&Value; 3] {
    ["name", "customer", "note"].map(|field| &document[field])
}

#[tokio::test]
async fn a_text_is_trimmed_checked_and_named_in_the_problem() {
    let service = TestService::with(PAIR).await;
    let made = admit(&service, &request(0, 1, json!({"name": "  east ", "customer": "", "note": null}))).await;
    assert_eq!(annotations(&made), [&json!("east"), &Value::Null, &Value::Null]);
    assert!(made.as_object().unwrap().keys().all(|key| key != "customer" && key != "note"), "{made}");
    let longest = "é".repeat(127);
    assert_eq!(admit(&service, &request(0, 1, json!({ "note": longest }))).await["note"], json!(longest));

    let id = made["id"].as_str().unwrap();
    for (field, text) in [("name", "é".repeat(128)), ("customer", "a\tb".to_owned()), ("note", "\u{0}".to_owned())] {
        let asked = request(0, 1, json!({ field: text }));
        let changed = json!({ field: text }).to_string();
        let batch = json!({ "requests": [asked] }).to_string();
        let entry = service.post("/v1/allocations/batch", &batch).await.json()["outcomes"][0]["problem"].take();
        assert_eq!((&entry["type"], &entry["field"]), (&json!("/problems/impossible-request"), &json!(field)));
        let refused = [
            service.post("/v1/allocations", &asked.to_string()).await,
            service.patch(&format!("/v1/allocations/{id}"), &changed).await,
        ];
        for answer in refused {
            assert_eq!((answer.problem().as_str(), answer.status.as_u16()), ("impossible-request", 422));
            assert_eq!(answer.json()["field"], field);
            assert!(answer.json()["detail"].as_str().unwrap().starts_with(&format!("invalid {field}: ")));
        }
    }
    let kept = service.get(&format!("/v1/allocations/{id}")).await.json();
    assert_eq!(annotations(&kept), annotations(&made));
    service.close().await;
}

#[tokio::test]
async fn a_change_of_annotations_alone_leaves_the_path() {
    let service = TestService::with(TRIANGLE).await;
    // The detour, where the first one takes the short way; then the short way is free again.
    let first = admit(&service, &request(0, 100_000_000, json!({}))).await;
    let made = admit(&service, &request(0, 60_000_000, json!({"name": "east", "customer": "ACME"}))).await;
    assert_eq!(made["path"], json!(["ac", "cb"]));
    let first = first["id"].as_str().unwrap();
    assert_eq!(service.delete(&format!("/v1/allocations/{first}")).await.status, StatusCode::NO_CONTENT);

    let id = made["id"].as_str().unwrap();
    let uri = format!("/v1/allocations/{id}");
    let tried = service.patch(&format!("{uri}?dry_run=true"), r#"{"note":"n"}"#).await.json();
    assert_eq!((&tried["note"], &tried["dry_run"]), (&json!("n"), &json!(true)));
    assert_eq!(annotations(&service.get(&uri).await.json()), annotations(&made));

    let changed = service.patch(&uri, r#"{"name":"west","customer":null,"note":"moved?"}"#).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let changed = changed.json();
    assert_eq!(annotations(&changed), [&json!("west"), &Value::Null, &json!("moved?")]);
    for member in ["path", "bandwidth_bps", "created_at", "state"] {
        assert_eq!(changed[member], made[member], "{member}");
    }
    assert_eq!(changed["victims"], json!([]));
    // With a bandwidth it is one change: denied whole, or made whole.
    let denied = service.patch(&uri, r#"{"bandwidth_bps":200000000,"name":"vast"}"#).await;
    assert_eq!(denied.problem(), "insufficient-bandwidth");
    assert_eq!(service.get(&uri).await.json()["name"], "west");
    let both = service.patch(&uri, r#"{"bandwidth_bps":1000,"name":""}"#).await.json();
    assert_eq!(
        (&both["bandwidth_bps"], annotations(&both)),
        (&json!(1_000), [&Value::Null, &Value::Null, &json!("moved?")])
    );
    assert_eq!(service.patch(&uri, "{}").await.problem(), "impossible-request");

    let events = service.get("/v1/events").await.json()["items"].take();
    let allocations = events.as_array().unwrap().iter().map(|event| &event["data"]["allocation"]);
    let named: Vec<_> = allocations.filter(|one| one["id"] == made["id"]).map(|one| one["name"].clone()).collect();
    assert_eq!(named, [json!("east"), json!("west"), Value::Null]);
    let denials = events.as_array().unwrap().iter().filter(|event| event["kind"] == "allocation_denied");
    assert_eq!(denials.map(|event| event["data"]["demand"]["name"].clone()).collect::<Vec<_>>(), [json!("vast")]);
    service.close().await;
}

#[tokio::test]
async fn living_and_ended_ones_are_found_after_a_restart_too() {
    let service = TestService::with(TRIANGLE).await;
    let mut ids = vec![];
    for (name, customer) in [("ACME east", "ACME"), ("ACME west", "ACME"), ("acme", "Beta"), ("", "Beta"), ("", "")] {
        let made = admit(&service, &request(0, 1, json!({"name": name, "customer": customer}))).await;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    for id in [&ids[1], &ids[3]] {
        assert_eq!(service.delete(&format!("/v1/allocations/{id}")).await.status, StatusCode::NO_CONTENT);
    }
    let folder = service.leave().await;
    let service = TestService::open_in(folder, driver_factory(ControllerAccess::default())).await;
    let by = async |filter: &str| {
        let found = service.get(&format!("/v1/allocations?{filter}")).await.json();
        let items = found["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned());
        let places = items.map(|id| ids.iter().position(|known| *known == id).unwrap());
        places.collect::<Vec<_>>()
    };
    assert_eq!(by("name=ACME%20east").await, [0]);
    assert_eq!(by("name=ACME").await, [0; 0]);
    assert_eq!(by("name=ACME*").await, [0, 1]);
    assert_eq!(by("name=*").await, [0, 1, 2]);
    assert_eq!(by("customer=Beta").await, [2, 3]);
    assert_eq!(by("customer=ACME&state=released").await, [1]);
    assert_eq!(by("name=ACME*&customer=ACME&state=active").await, [0]);
    assert_eq!(by("customer=B*&name=acme").await, [2]);
    let ended = service.get(&format!("/v1/allocations/{}", ids[1])).await.json();
    assert_eq!(annotations(&ended), [&json!("ACME west"), &json!("ACME"), &Value::Null]);
    service.close().await;
}

#[tokio::test]
async fn whoever_leaves_a_path_is_named() {
    let service = TestService::with(TRIANGLE).await;
    let low = admit(&service, &request(0, 100_000_000, json!({"name": "east", "customer": "ACME", "note": "n"}))).await;
    let victim = |answer: &Value| {
        let victim = &answer["victims"][0];
        (victim["id"].clone(), victim["name"].clone(), victim["customer"].clone(), victim["note"].clone())
    };
    let named = (low["id"].clone(), json!("east"), json!("ACME"), Value::Null);
    let down = r#"{"state":"down"}"#;
    assert_eq!(victim(&service.patch("/v1/topologies/net/links/ab?dry_run=true", down).await.json()), named);
    let smaller = TRIANGLE.replace(
        r#""id": "ab", "from": "a", "to": "b", "capacity_bps": 100000000"#,
        r#""id": "ab", "from": "a", "to": "b", "capacity_bps": 5"#,
    );
    let put = service.send("PUT", "/v1/topologies/net?evict=true&dry_run=true", &[("if-match", "*")], smaller).await;
    assert_eq!(victim(&put.json()), named, "{put:?}");
    admit(&service, &request(0, 100_000_000, json!({}))).await;
    let tried =
        service.post("/v1/allocations?dry_run=true", &request(2, 30_000_000, json!({})).to_string()).await.json();
    assert_eq!(tried["preempted"].as_array().unwrap().len(), 1, "{tried}");
    assert_eq!(service.patch("/v1/topologies/net/links/ab", down).await.status, StatusCode::OK);
    let events = service.get("/v1/events").await.json()["items"].take();
    let cut = events.as_array().unwrap().iter().find(|event| event["kind"] == "link_changed").unwrap();
    let victims = cut["data"]["victims"].as_array().unwrap();
    assert!(victims.iter().any(|one| one["name"] == "east" && one["customer"] == "ACME"), "{cut}");
    service.close().await;
}
