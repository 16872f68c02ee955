//! Planned maintenance over REST.

use std::time::Duration;

use api::instant::Instant;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::TestService;

/// Two ways from a to b.
const TRIANGLE: &str = r#"{"nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}], "links": [
    {"id": "ab", "from": "a", "to": "b", "capacity_bps": 100000000, "bidirectional": true},
    {"id": "ac", "from": "a", "to": "c", "capacity_bps": 100000000, "bidirectional": true},
    {"id": "cb", "from": "c", "to": "b", "capacity_bps": 100000000, "bidirectional": true}
]}"#;
const PLANS: &str = "/v1/topologies/net/maintenances";

fn plan(more: Value) -> String {
    let mut body = json!({"links": ["ab"], "starts_at": "2100-01-05T02:00:00Z", "duration_ms": 7_200_000});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

async fn admit(service: &TestService, more: Value) -> Value {
    let mut body = json!({"ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": 60_000_000});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = service.post("/v1/allocations", &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn maintenance_is_planned_tried_read_and_called_off() {
    let service = TestService::with(TRIANGLE).await;
    let tuesday = json!({"starts_at": "2100-01-05T03:00:00Z", "duration_ms": 600_000});
    let booked = admit(&service, tuesday.clone()).await;
    assert_eq!(booked["path"], json!(["ab"]));
    let lasting = admit(&service, json!({"bandwidth_bps": 30_000_000})).await;
    let tried = service.post(&format!("{PLANS}?dry_run=true"), &plan(json!({}))).await;
    assert_eq!(tried.status, StatusCode::OK, "{tried:?}");
    let tried = tried.json();
    assert_eq!(
        (&tried["dry_run"], &tried["rerouted"], &tried["stranded"]),
        (&json!(true), &json!([booked["id"]]), &json!([]))
    );
    assert_eq!(service.get(PLANS).await.json()["items"], json!([]));
    let planned = service.post(PLANS, &plan(json!({"note": "splice at km 12"}))).await;
    assert_eq!(planned.status, StatusCode::CREATED, "{planned:?}");
    let planned = planned.json();
    assert_eq!((&planned["links"], &planned["note"]), (&json!(["ab", "ab~"]), &json!("splice at km 12")));
    assert_eq!(planned["ends_at"], "2100-01-05T04:00:00.000Z");
    let one = format!("{PLANS}/{}", planned["id"].as_str().unwrap());
    let path = |allocation: &Value| format!("/v1/allocations/{}", allocation["id"].as_str().unwrap());
    assert_eq!(service.get(&path(&booked)).await.json()["path"], json!(["ac", "cb"]));
    assert_eq!(service.get(&path(&lasting)).await.json()["path"], json!(["ab"]));
    // Where there is no room, who stays is listed beforehand.
    let wide = admit(&service, json!({"constraints": {"include": ["c"]}, "bandwidth_bps": 40_000_000})).await;
    assert_eq!(wide["path"], json!(["ac", "cb"]));
    assert_eq!(service.get(&one).await.json()["stranded"], json!([lasting["id"]]));
    let listed = service.get(PLANS).await.json();
    assert_eq!((&listed["items"][0]["id"], listed["items"].as_array().unwrap().len()), (&planned["id"], 1));
    let after = planned["sequence"].as_u64().unwrap() - 1;
    let event = service.get(&format!("/v1/events?after={after}&limit=1")).await.json()["items"][0].clone();
    assert_eq!((&event["kind"], &event["data"]["maintenance"]["id"]), (&json!("maintenance_planned"), &planned["id"]));
    assert_eq!(service.delete(&one).await.status, StatusCode::NO_CONTENT);
    assert_eq!(service.delete(&one).await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get(&one).await.json()["type"], "/problems/unknown-maintenance");
    service.close().await;
}

#[tokio::test]
async fn links_are_drained_when_it_begins_and_in_service_when_it_is_over() {
    let service = TestService::with(TRIANGLE).await;
    let lasting = admit(&service, json!({})).await;
    let one = format!("/v1/allocations/{}", lasting["id"].as_str().unwrap());
    let mut commits = service.app.subscribe();
    let now = service.app.now().0;
    // It begins within the time by which links are left before.
    let times = json!({"starts_at": Instant(now + 1_000).to_string(), "duration_ms": 3_600_000});
    let planned = service.post(PLANS, &plan(times)).await.json();
    let plan = format!("{PLANS}/{}", planned["id"].as_str().unwrap());
    let link = |state: &'static str| {
        let service = &service;
        async move { service.get("/v1/topologies/net/links/ab").await.json()["state"] == state }
    };
    let drained = async {
        while !link("maintenance").await {
            commits.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap();
    assert_eq!(service.get(&one).await.json()["path"], json!(["ac", "cb"]));
    let over = async {
        assert_eq!(service.delete(&plan).await.status, StatusCode::NO_CONTENT);
        while !link("up").await || service.get(&plan).await.status != StatusCode::NOT_FOUND {
            commits.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), over).await.unwrap();
    assert_eq!(service.get(PLANS).await.json()["items"], json!([]));
    // Both directions of a link change at once.
    let events = service.get("/v1/events?limit=1000").await.json();
    let kinds: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds[2..],
        ["maintenance_planned", "link_changed", "maintenance_planned", "link_changed", "maintenance_ended"]
    );
    service.close().await;
}

#[tokio::test]
async fn a_plan_that_cannot_be_names_its_field() {
    let service = TestService::with(TRIANGLE).await;
    for (more, status, field) in [
        (json!({"links": []}), 422, "links"),
        (json!({"links": ["x"]}), 422, "link"),
        (json!({"nodes": ["x"]}), 422, "nodes"),
        (json!({"ends_at": "2100-01-05T03:00:00Z"}), 422, "duration_ms"),
        (json!({"starts_at": "2000-01-05T03:00:00Z"}), 422, "ends_at"),
        (json!({"note": "x".repeat(5_000)}), 422, "note"),
    ] {
        let answer = service.post(PLANS, &plan(more.clone())).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (status, &json!(field)), "{more} {answer:?}");
    }
    assert_eq!(service.post("/v1/topologies/x/maintenances", &plan(json!({}))).await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get(&format!("{PLANS}/seven")).await.status, StatusCode::BAD_REQUEST);
    service.close().await;
}
