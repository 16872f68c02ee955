//! Optimisation: a plan is proposed, made as it says, and made once; what cannot be made any more changes nothing.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{TRIANGLE, TestService};

const PLANS: &str = "/v1/topologies/net/optimizations";

/// Three allocations on the direct link, which fill it to 90 %.
async fn filled() -> (TestService, Vec<Value>) {
    let service = TestService::with(TRIANGLE).await;
    let mut ids = vec![];
    for _ in 0..3 {
        let request = r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":30000000,"customer":"ACME",
            "constraints":{"path_metric":"hops"}}"#;
        ids.push(service.post("/v1/allocations", request).await.json()["id"].take());
    }
    (service, ids)
}

async fn plan(service: &TestService, body: &Value) -> Value {
    let answer = service.post(PLANS, &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_plan_is_proposed_and_then_made_once() {
    let (service, ids) = filled().await;
    let events = service.get("/v1/events").await.text;
    let proposed = plan(&service, &json!({"objective": "max_utilisation"})).await;
    assert_eq!(service.get("/v1/events").await.text, events);
    assert_eq!((&proposed["before_ppm"], &proposed["after_ppm"]), (&json!(900_000), &json!(600_000)));
    // 90 Mbit/s over two ways of 100 Mbit/s each.
    let bound = proposed["bound_ppm"].as_u64().unwrap();
    assert!((445_000..=450_000).contains(&bound), "{bound}");
    let step = json!({"id": ids[0], "customer": "ACME", "bandwidth_bps": 30_000_000, "from": ["ab"], "to": ["ac", "cb"],
        "max_ppm": 600_000});
    assert_eq!(proposed["moves"], json!([step]));
    assert_eq!(proposed["links"][0], json!({"link": "ab", "before_ppm": 900_000, "after_ppm": 600_000}));
    assert_eq!((&proposed["applied"], &proposed["cut_short"]), (&json!(false), &json!(false)));

    let apply = format!("{PLANS}/{}/apply", proposed["id"].as_str().unwrap());
    let applied = service.post(&apply, "").await;
    assert_eq!((applied.status, &applied.json()["moves"]), (StatusCode::OK, &json!(1)));
    let moved = service.get(&format!("/v1/allocations/{}", ids[0].as_str().unwrap())).await.json();
    assert_eq!((&moved["path"], &moved["constraints"]["path_metric"]), (&json!(["ac", "cb"]), &json!("hops")));
    assert_eq!(service.post(&apply, "").await.problem(), "unknown-plan");
    assert_eq!(plan(&service, &json!({"objective": "max_utilisation"})).await["moves"], json!([]));
    service.close().await;
}

#[tokio::test]
async fn a_plan_may_be_made_at_once_and_is_not_if_it_does_not_fit_any_more() {
    let (service, ids) = filled().await;
    let proposed = plan(&service, &json!({"objective": "max_utilisation", "max_moves": 1})).await;
    // The way that the plan wants is full.
    let full = r#"{"ingress":"a","egress":"c","class_type":2,"bandwidth_bps":80000000,"constraints":{"max_hops":1}}"#;
    assert_eq!(service.post("/v1/allocations", full).await.status, StatusCode::CREATED);
    let apply = format!("{PLANS}/{}/apply", proposed["id"].as_str().unwrap());
    let refused = service.post(&apply, "").await;
    assert_eq!((refused.problem().as_str(), &refused.json()["request"]), ("insufficient-bandwidth", &json!(0)));
    let still = service.get(&format!("/v1/allocations/{}", ids[0].as_str().unwrap())).await.json();
    assert_eq!(still["path"], json!(["ab"]));
    service.close().await;

    let (service, ids) = filled().await;
    let made = plan(&service, &json!({"objective": "max_utilisation", "apply": "auto"})).await;
    assert_eq!((&made["applied"], &made["moves"][0]["id"]), (&json!(true), &ids[0]));
    assert_eq!(service.get("/v1/topologies/net/links/ab").await.json()["utilisation_ppm"], 600_000);
    service.close().await;
}

/// Moves that can still be made, and would not help: 30 Mbit/s beside 60 on a way that was empty, while the other is at 60.
#[tokio::test]
async fn a_plan_that_does_not_help_any_more_is_refused() {
    let (service, ids) = filled().await;
    let proposed = plan(&service, &json!({"objective": "max_utilisation", "max_moves": 1})).await;
    let path = format!("/v1/allocations/{}", ids[2].as_str().unwrap());
    assert_eq!(service.delete(&path).await.status, StatusCode::NO_CONTENT);
    let other = r#"{"ingress":"a","egress":"c","class_type":2,"bandwidth_bps":60000000,"constraints":{"max_hops":1}}"#;
    assert_eq!(service.post("/v1/allocations", other).await.status, StatusCode::CREATED);
    let apply = format!("{PLANS}/{}/apply", proposed["id"].as_str().unwrap());
    let refused = service.post(&apply, "").await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::CONFLICT, "plan-outdated"));
    assert_eq!(service.get("/v1/topologies/net/links/ab").await.json()["utilisation_ppm"], 600_000);
    service.close().await;
}

#[tokio::test]
async fn a_plan_out_of_bounds_is_refused() {
    let service = TestService::with(TRIANGLE).await;
    let cases = [
        (json!({"objective": "happiness"}), "malformed-body"),
        (json!({"objective": "max_utilisation", "apply": "maybe"}), "malformed-body"),
        (json!({"objective": "max_utilisation", "max_moves": 0}), "impossible-request"),
        (json!({"objective": "max_utilisation", "max_moves": 1_001}), "impossible-request"),
    ];
    for (body, kind) in cases {
        let answer = service.post(PLANS, &body.to_string()).await;
        assert_eq!(answer.problem(), kind, "{body}");
        assert!(kind == "malformed-body" || answer.json()["field"] == "max_moves", "{answer:?}");
    }
    let elsewhere = service.post("/v1/topologies/other/optimizations", r#"{"objective":"max_utilisation"}"#).await;
    assert_eq!(elsewhere.problem(), "unknown-topology");
    assert_eq!(service.post(&format!("{PLANS}/1-1/apply"), "").await.problem(), "unknown-plan");
    service.close().await;
}
