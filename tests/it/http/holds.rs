//! Hold and commit: bandwidth that is reserved for a while, and lapses unless it is committed.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use watermaster::app::{ControllerAccess, driver_factory};

use super::harness::{PAIR, TestService};

fn held(bps: u64, hold_ms: u64) -> String {
    json!({"ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": bps, "hold_ms": hold_ms}).to_string()
}

async fn reserved(service: &TestService) -> u64 {
    service.get("/v1/topologies/net/links/ab").await.json()["reserved_bps"].as_u64().unwrap()
}

#[tokio::test]
async fn a_hold_takes_the_books_until_it_is_committed() {
    let service = TestService::with(PAIR).await;
    let answer = service.post("/v1/allocations", &held(7_000_000, 60_000)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let document = answer.json();
    assert_eq!((&document["state"], document["held_until"].is_string()), (&json!("held"), true), "{document}");
    assert_eq!(reserved(&service).await, 7_000_000);
    let id = document["id"].as_str().unwrap();
    let listed = service.get("/v1/allocations?state=held").await.json();
    assert_eq!(listed["items"][0]["id"], *id);
    assert_eq!(service.get("/v1/allocations?state=active").await.json()["items"], json!([]));
    let commit = format!("/v1/allocations/{id}/commit");
    let committed = service.post(&commit, "").await;
    assert_eq!((committed.status, &committed.json()["state"]), (StatusCode::OK, &json!("active")), "{committed:?}");
    assert_eq!(committed.json()["held_until"], Value::Null);
    assert_eq!(reserved(&service).await, 7_000_000);
    let again = service.post(&commit, "").await;
    assert_eq!((again.status, again.problem().as_str()), (StatusCode::CONFLICT, "not-held"));
    assert_eq!(service.post("/v1/allocations/999/commit", "").await.problem(), "unknown-allocation");
    service.close().await;
}

#[tokio::test]
async fn a_hold_that_nobody_commits_lapses() {
    let service = TestService::with(PAIR).await;
    let mut commits = service.app.subscribe();
    let answer = service.post("/v1/allocations", &held(7_000_000, 1)).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let lapsed = async {
        while reserved(&service).await > 0 {
            commits.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), lapsed).await.unwrap();
    assert_eq!(service.get(&format!("/v1/allocations/{id}")).await.json()["state"], "expired");
    let late = service.post(&format!("/v1/allocations/{id}/commit"), "").await;
    assert_eq!(late.problem(), "already-ended");
    for hold_ms in [0, 86_400_001] {
        let answer = service.post("/v1/allocations", &held(1, hold_ms)).await;
        assert_eq!((answer.status, &answer.json()["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("hold_ms")));
    }
    service.close().await;
}

/// Holds and quotas are in the journal and in snapshots: whoever starts on them knows the same.
#[tokio::test]
async fn a_hold_outlives_the_process() {
    let service = TestService::with(PAIR).await;
    let quotas = json!({"quotas": [{"max_bandwidth_bps": 5_000_000}]}).to_string();
    assert_eq!(service.send("PUT", "/v1/tenants/acme", &[], quotas).await.status, StatusCode::CREATED);
    let request = json!({"ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": 4_000_000, "hold_ms": 3_600_000,
        "tenant": "acme"});
    let id = service.post("/v1/allocations", &request.to_string()).await.json()["id"].as_str().unwrap().to_owned();
    let before = service.app.read(kernel::State::clone);
    // Once from the journal, once from the snapshot that an orderly stop writes.
    let folder = service.leave().await;
    let service = TestService::open_in(folder, driver_factory(ControllerAccess::default())).await;
    assert_eq!(service.app.read(kernel::State::clone), before);
    let document = service.get(&format!("/v1/allocations/{id}")).await.json();
    assert_eq!((&document["state"], &document["tenant"]), (&json!("held"), &json!("acme")));
    let more = service.post("/v1/allocations", &request.to_string()).await;
    assert_eq!(more.problem(), "quota-exceeded");
    assert_eq!(service.post(&format!("/v1/allocations/{id}/commit"), "").await.status, StatusCode::OK);
    service.close().await;
}
