//! Tenants: what they are entitled to, and that nothing of another's is in any answer.

use axum::http::StatusCode;
use serde_json::{Value, json};
use watermaster::http::document;

use super::access::{ADMINISTRATOR, closed, make, with};
use super::harness::{TestService, request};

/// Three nodes in a line.
const LINE: &str = r#"{
    "nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
    "links": [
        {"id": "ab", "from": "a", "to": "b", "capacity_bps": 100000000},
        {"id": "bc", "from": "b", "to": "c", "capacity_bps": 100000000}
    ]
}"#;

/// The operations of the document, with what there is in their paths: of `id` among allocations, of `tenant` and of the rest.
fn operations(id: &str, tenant: &str) -> Vec<(String, String)> {
    let document = serde_json::to_value(document()).unwrap();
    let mut found = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("allocations/{id}", &format!("allocations/{id}")).replace("{tenant}", tenant);
        let path = path.replace("{topology}", "net").replace("{link}", "ab");
        let path: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "999" } else { part }).collect();
        for method in item.as_object().unwrap().keys().filter(|_| !path.contains(&"stream")) {
            found.push((method.to_uppercase(), path.join("/")));
        }
    }
    found
}

/// Every operation, as each role of a tenant: of another's it learns nothing and changes nothing; its own is there.
#[tokio::test]
async fn nothing_of_another_tenant_is_in_any_answer() {
    let (service, _) = closed().await;
    let theirs = json!({"aggregators": ["planted-gateway"], "quotas": [{"max_bandwidth_hops_bps": 1_000_000_000}]});
    for (tenant, body) in [("other", theirs), ("acme", json!({}))] {
        let put = with(&service, ADMINISTRATOR, "PUT", &format!("/v1/tenants/{tenant}"), &body.to_string()).await;
        assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    }
    let ask = async |tenant: &str, bps: u64| {
        let mut body: Value = serde_json::from_str(&request(2, bps)).unwrap();
        body["tenant"] = json!(tenant);
        body["name"] = json!(format!("planted-name-of-{tenant}"));
        body["note"] = json!(format!("planted-note-of-{tenant}"));
        let made = with(&service, ADMINISTRATOR, "POST", "/v1/allocations", &body.to_string()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let (theirs, own) = (ask("other", 60_000_000).await, ask("acme", 1_000).await);
    let seen = async |path: &str| with(&service, ADMINISTRATOR, "GET", path, "").await.json();
    let (of_theirs, of_tenant) = (format!("/v1/allocations/{theirs}"), "/v1/tenants/other");
    let before = (seen(&of_theirs).await, seen(of_tenant).await);
    for role in ["viewer", "aggregator", "requester"] {
        let mut wanted = json!({"name": role, "role": role, "tenant": "acme"});
        if role == "aggregator" {
            wanted["aggregator"] = json!("gw1");
        }
        let made = make(&service, wanted).await;
        let token = made["token"].as_str().unwrap();
        for (method, path) in operations(&theirs, "other") {
            for body in ["{}".to_owned(), request(1, 90_000_000), json!({"bandwidth_bps": 1}).to_string()] {
                let answer = with(&service, token, &method, &path, &body).await;
                assert!(!answer.status.is_server_error(), "{role} {method} {path}: {answer:?}");
                let planted = ["planted-gateway", "planted-name-of-other", "planted-note-of-other"];
                assert!(!planted.iter().any(|text| answer.text.contains(text)), "{role} {method} {path}: {answer:?}");
                let is_of_other = path.starts_with(&of_theirs) || path == of_tenant;
                assert!(!is_of_other || answer.status.is_client_error(), "{role} {method} {path}: {answer:?}");
            }
        }
        let answer = with(&service, token, "GET", &format!("/v1/allocations/{own}"), "").await;
        assert_eq!(answer.status == StatusCode::OK, role != "aggregator", "{role}: {answer:?}");
    }
    assert_eq!(before, (seen(&of_theirs).await, seen(of_tenant).await));
    service.close().await;
}

#[tokio::test]
async fn bandwidth_on_links_is_a_quota() {
    let service = TestService::with(LINE).await;
    let put = async |body: Value| service.send("PUT", "/v1/tenants/acme", &[], body.to_string()).await;
    for (quota, field) in [
        (json!({}), "quotas[0].max_bandwidth_bps"),
        (json!({"max_bandwidth_hops_bps": 9_223_372_036_854_775_808_u64}), "max_bandwidth_hops_bps"),
    ] {
        let refused = put(json!({"quotas": [quota]})).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (422, &json!(field)), "{refused:?}");
    }
    let made = put(json!({"quotas": [{"max_bandwidth_hops_bps": 10_000_000}]})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let ask = async |to: &str, bps: u64, query: &str| {
        let body = json!({"ingress": "a", "egress": to, "class_type": 0, "bandwidth_bps": bps, "tenant": "acme"});
        service.send("POST", &format!("/v1/allocations{query}"), &[], body.to_string()).await
    };
    assert_eq!(ask("c", 4_000_000, "").await.status, StatusCode::CREATED);
    for query in ["?dry_run=true", ""] {
        let refused = ask("c", 1_000_001, query).await;
        let said = refused.json();
        assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::CONFLICT, "quota-exceeded"), "{query}");
        let numbers = (&said["quota"], &said["held"], &said["limit"]);
        assert_eq!(numbers, (&json!("max_bandwidth_hops_bps"), &json!(8_000_000), &json!(10_000_000)), "{query}");
    }
    assert_eq!(ask("b", 1_500_000, "").await.status, StatusCode::CREATED);
    let held = service.get("/v1/tenants/acme").await.json();
    let of_quota = &held["quotas"][0];
    assert_eq!(
        (&of_quota["held_bandwidth_bps"], &of_quota["held_bandwidth_hops_bps"]),
        (&json!(5_500_000), &json!(9_500_000))
    );
    service.close().await;
}

#[tokio::test]
async fn an_aggregator_is_of_one_tenant_and_its_rates_count() {
    let service = TestService::with(LINE).await;
    let put = async |tenant: &str, body: Value| {
        service.send("PUT", &format!("/v1/tenants/{tenant}"), &[], body.to_string()).await
    };
    for (body, field) in [
        (json!({"weight": 0}), "weight"),
        (json!({"weight": 1_000_001}), "weight"),
        (json!({"aggregators": ["a", "a/b"]}), "aggregators[1]"),
    ] {
        let refused = put("acme", body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (422, &json!(field)), "{refused:?}");
    }
    let terms = json!({"weight": 3, "aggregators": ["gw1"], "quotas": [{"max_bandwidth_bps": 2_000_000}]});
    let made = put("acme", terms).await;
    assert_eq!((made.status, &made.json()["weight"]), (StatusCode::CREATED, &json!(3)), "{made:?}");
    assert_eq!(made.json()["aggregators"], json!(["gw1"]));
    let taken = put("other", json!({"aggregators": ["gw1"]})).await;
    assert_eq!((taken.status, taken.problem().as_str()), (StatusCode::CONFLICT, "aggregator-has-tenant"));
    assert_eq!((&taken.json()["tenant"], &taken.json()["aggregator"]), (&json!("acme"), &json!("gw1")));
    let report = json!({
        "node": "a", "at": api::instant::Instant(service.app.now().0).to_string(), "levels": [],
        "topics": [{"topic": "t", "qos_level": 2, "arrival_bps": 8_000_000, "subscribers": [{"consumer": "c", "node": "c"}]}]
    });
    let told = service.send("PUT", "/v1/aggregators/gw1/metadata", &[], report.to_string()).await;
    assert_eq!(told.status, StatusCode::OK, "{told:?}");
    let rate = told.json()["levels"][2]["rate_bps"].as_u64().unwrap();
    assert!(rate > 0 && rate <= 2_000_000, "{told:?}");
    let held = service.get("/v1/tenants/acme").await.json();
    assert_eq!((&held["bandwidth_bps"], &held["allocations"]), (&json!(rate), &json!(1)));
    let own = service.get("/v1/allocations?tenant=acme").await.json();
    assert_eq!(own["items"][0]["aggregator"], "gw1", "{own}");
    service.close().await;
}
