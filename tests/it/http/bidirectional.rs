//! Allocations in both directions, over the public interface and across a restart.

use axum::http::StatusCode;
use serde_json::{Value, json};
use watermaster::app::AppOptions;

use super::harness::{PAIR, TRIANGLE, TestService};

async fn reserved(service: &TestService) -> Vec<(Value, Value)> {
    let links = service.get("/v1/topologies/net/links").await.json();
    let figures = |link: &Value| (link["id"].clone(), link["reserved_bps"].clone());
    links["items"].as_array().unwrap().iter().map(figures).filter(|(_, bps)| *bps != json!(0)).collect()
}

#[tokio::test]
async fn both_directions_are_one_allocation() {
    let service = TestService::with(TRIANGLE).await;
    let asked =
        json!({"ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": 8_000_000, "bidirectional": true});
    let answer = service.post("/v1/allocations", &asked.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let admitted = answer.json();
    assert_eq!((&admitted["path"], &admitted["bidirectional"]), (&json!(["ab"]), &json!(true)));
    let both = reserved(&service).await;
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both.iter().all(|(_, bps)| *bps == json!(8_000_000)));

    let one = format!("/v1/allocations/{}", admitted["id"].as_str().unwrap());
    let service = TestService::open_with(service.leave().await, AppOptions::default()).await;
    assert_eq!(
        (service.get(&one).await.json()["bidirectional"].clone(), reserved(&service).await),
        (json!(true), both)
    );
    assert_eq!(service.send("DELETE", &one, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(reserved(&service).await, []);
    service.close().await;
}

#[tokio::test]
async fn what_cannot_be_in_both_directions_says_why() {
    let one_way = r#"{"nodes": [{"id": "a"}, {"id": "b"}], "links": [{"id": "ab", "from": "a", "to": "b", "capacity_bps": 100000000}]}"#;
    let service = TestService::with(one_way).await;
    let mut asked =
        json!({"ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": 8_000_000, "bidirectional": true});
    let denied = service.post("/v1/allocations", &asked.to_string()).await;
    assert_eq!((denied.status, denied.problem().as_str()), (StatusCode::CONFLICT, "insufficient-bandwidth"));
    let binding = denied.json()["binding_links"][0].clone();
    assert_eq!((&binding["link"], &binding["available_bps"]), (&json!("ab"), &json!(0)));
    service.close().await;

    let service = TestService::with(PAIR).await;
    asked["flow"] = json!({"ip_proto": 6, "l4_dst": 443});
    let refused = service.post("/v1/allocations", &asked.to_string()).await;
    assert_eq!((refused.problem().as_str(), &refused.json()["field"]), ("impossible-request", &json!("flow.l4_dst")));
    service.close().await;
}
