//! Failure studies: what they say is what a change of the link says, they leave no trace, and they are bounded.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{TRIANGLE, TestService};

const STUDIES: &str = "/v1/topologies/net/failure-studies";

async fn study(service: &TestService, body: &Value) -> Value {
    let answer = service.post(STUDIES, &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_study_says_who_is_rerouted_and_lost_and_leaves_no_trace() {
    let service = TestService::with(TRIANGLE).await;
    let request =
        r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":60000000,"name":"east","customer":"ACME"}"#;
    let id = service.post("/v1/allocations", request).await.json()["id"].take();
    let events = service.get("/v1/events").await.text;

    let links = study(&service, &json!({"scenarios": "links", "growth_ppm": [0, 1_000_000]})).await;
    assert_eq!((&links["scenario_count"], &links["scenarios_left_out"]), (&json!(3), &json!(0)));
    let now = &links["growths"][0];
    let cut = &now["scenarios"][0];
    assert_eq!((&cut["links"], &cut["kept"], &cut["lost"]["count"]), (&json!(["ab"]), &json!(0), &json!(0)));
    let expected = json!({"id": id, "name": "east", "customer": "ACME", "bandwidth_bps": 60_000_000,
        "outcome": "rerouted", "path": ["ac", "cb"]});
    assert_eq!(cut["rerouted"], json!({"count": 1, "bandwidth_bps": 60_000_000, "allocations": [expected]}));
    let patched = service.patch("/v1/topologies/net/links/ab?dry_run=true", r#"{"state":"down"}"#).await.json();
    assert_eq!(patched["victims"][0]["path"], json!(["ac", "cb"]));
    assert_eq!(now["scenarios"][1]["kept"], 1);
    let worst = |link: &str| now["links"].as_array().unwrap().iter().find(|one| one["link"] == link).unwrap();
    assert_eq!(worst("ab"), &json!({"link": "ab", "before_ppm": 600_000, "worst_ppm": 600_000}));
    assert_eq!(worst("ac"), &json!({"link": "ac", "before_ppm": 0, "worst_ppm": 600_000, "cause": {"links": ["ab"]}}));

    // 120 Mbit/s fit on no link of 100.
    assert_eq!((&links["first_break_ppm"], &now["breaks"]), (&json!(1_000_000), &json!(false)));
    let unserved = &links["growths"][1]["unserved"];
    assert_eq!((&unserved["count"], &unserved["allocations"][0]["outcome"]), (&json!(1), &Value::Null));

    let nodes = study(&service, &json!({"scenarios": "nodes"})).await;
    let lost: Vec<_> =
        nodes["growths"][0]["scenarios"].as_array().unwrap().iter().map(|one| &one["lost"]["count"]).collect();
    assert_eq!(lost, [1, 1, 0]);
    assert_eq!(nodes["growths"][0]["scenarios"][0]["node"], "a");
    assert_eq!(nodes["growths"][0]["scenarios"][0]["lost_with_node"], 1);
    assert!(nodes["first_break_ppm"].is_null());

    let pairs = study(&service, &json!({"scenarios": "pairs", "listed_max": 0})).await;
    assert_eq!((&pairs["scenario_count"], &pairs["first_break_ppm"]), (&json!(3), &json!(0)));
    let lost = &pairs["growths"][0]["scenarios"][0]["lost"];
    assert_eq!(lost, &json!({"count": 1, "bandwidth_bps": 60_000_000, "allocations": []}));
    let srlgs = study(&service, &json!({"scenarios": "srlgs"})).await;
    assert_eq!(srlgs["scenario_count"], 0);

    assert_eq!(service.get("/v1/events").await.text, events);
    service.close().await;
}

#[tokio::test]
async fn a_study_out_of_bounds_is_refused() {
    let service = TestService::with(TRIANGLE).await;
    let cases = [
        (json!({"scenarios": "cities"}), "malformed-body", None),
        (json!({"scenarios": "links", "growth_ppm": [-1]}), "malformed-body", None),
        (json!({"scenarios": "links", "colour": 1}), "malformed-body", None),
        (json!({"scenarios": "links", "growth_ppm": [0, 100_000_001]}), "impossible-request", Some("growth_ppm[1]")),
        (json!({"scenarios": "links", "growth_ppm": vec![0; 17]}), "impossible-request", Some("growth_ppm")),
        (json!({"scenarios": "links", "listed_max": 1_001}), "impossible-request", Some("listed_max")),
    ];
    for (body, kind, field) in cases {
        let answer = service.post(STUDIES, &body.to_string()).await;
        assert_eq!(answer.problem(), kind, "{body}");
        assert!(field.is_none_or(|field| answer.json()["field"] == field), "{body}: {answer:?}");
    }
    let elsewhere = service.post("/v1/topologies/other/failure-studies", r#"{"scenarios":"links"}"#).await;
    assert_eq!(elsewhere.problem(), "unknown-topology");
    service.close().await;
}
