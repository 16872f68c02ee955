//! Whatever is wrong with a request, the answer is a problem of the right kind.

use axum::http::StatusCode;
use serde_json::json;

use super::harness::{PAIR, TRIANGLE, TestService, request};

#[tokio::test]
async fn bodies_that_cannot_be_read_or_met() {
    let service = TestService::with(PAIR).await;
    let ask = |member: &str| format!(r#"{{"ingress":"a","egress":"b","class_type":0,"bandwidth_bps":1{member}}}"#);
    let cases = [
        ("", "malformed-body"),
        ("{", "malformed-body"),
        ("null", "malformed-body"),
        (&ask(r#","colour":1"#), "malformed-body"),
        (&ask(r#","bandwidth_bps":2"#), "malformed-body"),
        (&ask(r#","aggregator":"""#), "malformed-body"),
        (&ask(r#","expires_at":"soon""#), "malformed-body"),
        (&ask(r#","flow":{"ipv4_src":"10.0.0.0/33"}"#), "malformed-body"),
        (&ask(r#","constraints":{"include":[{"node":"a","link":"b"}]}"#), "malformed-body"),
        (r#"{"ingress":"a","egress":"b","class_type":0,"bandwidth_bps":-1}"#, "malformed-body"),
        (r#"{"ingress":"a","egress":"b","class_type":0,"bandwidth_bps":0}"#, "impossible-request"),
        (r#"{"ingress":"a","egress":"b","class_type":0,"bandwidth_bps":9223372036854775808}"#, "impossible-request"),
        (r#"{"ingress":"a","egress":"b","class_type":8,"bandwidth_bps":1}"#, "impossible-request"),
        (r#"{"ingress":"a","egress":"b","qos_level":3,"bandwidth_bps":1}"#, "impossible-request"),
        (r#"{"ingress":"a","egress":"b","bandwidth_bps":1}"#, "impossible-request"),
        (&ask(r#","qos_level":0"#), "impossible-request"),
        (&ask(r#","setup_priority":0,"hold_priority":1"#), "impossible-request"),
        (&ask(r#","expires_at":"2001-01-01T00:00:00Z""#), "impossible-request"),
        (r#"{"ingress":"a","egress":"a","class_type":0,"bandwidth_bps":1}"#, "impossible-request"),
        (r#"{"ingress":"a","egress":"z","class_type":0,"bandwidth_bps":1}"#, "unknown-reference"),
        (r#"{"ingress":"a","egress":"b","class_type":7,"bandwidth_bps":1}"#, "unknown-reference"),
        (&ask(r#","topology":"other""#), "unknown-reference"),
        (&ask(r#","constraints":{"exclude":["z"]}"#), "unknown-reference"),
    ];
    for (body, kind) in cases {
        let answer = service.post("/v1/allocations", body).await;
        assert_eq!(answer.problem(), kind, "{body}");
        let status = if kind == "malformed-body" { 400 } else { 422 };
        assert_eq!(answer.status.as_u16(), status, "{body}");
        let place = if status == 400 { "line" } else { "field" };
        assert!(!answer.json()[place].is_null(), "{body}: {answer:?}");
    }
    // Nothing of this happened.
    assert_eq!(service.get("/v1/events").await.json()["items"].as_array().unwrap().len(), 1);
    service.close().await;
}

#[tokio::test]
async fn paths_queries_headers_and_methods() {
    let service = TestService::with(PAIR).await;
    let cases = [
        ("GET", "/v2", "not-found"),
        ("GET", "/v1/topologies/other", "unknown-topology"),
        ("GET", "/v1/topologies/%01", "malformed-path"),
        ("GET", "/v1/topologies/other/links", "unknown-topology"),
        ("GET", "/v1/topologies/net/links/zz", "unknown-link"),
        ("GET", "/v1/topologies/net?format=gml", "malformed-query"),
        ("GET", "/v1/topologies/other/bandwidth-model", "unknown-topology"),
        ("GET", "/v1/allocations/999", "unknown-allocation"),
        ("GET", "/v1/allocations/x", "malformed-path"),
        ("DELETE", "/v1/allocations/999", "unknown-allocation"),
        ("GET", "/v1/allocations?limit=0", "malformed-query"),
        ("GET", "/v1/allocations?limit=1001", "malformed-query"),
        ("GET", "/v1/allocations?limit=", "malformed-query"),
        ("GET", "/v1/allocations?after=x", "malformed-query"),
        ("GET", "/v1/allocations?state=dead", "malformed-query"),
        ("GET", "/v1/allocations?class_type=8", "malformed-query"),
        ("GET", "/v1/allocations?colour=red", "malformed-query"),
        ("DELETE", "/v1/topologies/net?dry_run=perhaps", "malformed-query"),
        ("GET", "/problems/none", "not-found"),
        ("DELETE", "/v1/events", "method-not-allowed"),
        ("POST", "/livez", "method-not-allowed"),
    ];
    for (method, uri, kind) in cases {
        let answer = service.send(method, uri, &[], "").await;
        assert_eq!(answer.problem(), kind, "{method} {uri}");
        assert_eq!(answer.json()["instance"], uri.split('?').next().unwrap());
    }
    assert_eq!(service.delete("/v1/events").await.header("allow"), "GET,HEAD");
    let is = async |header, value, kind| {
        let answer = service.send("POST", "/v1/allocations", &[(header, value)], request(0, 1)).await;
        assert_eq!(answer.problem(), kind, "{header}: {value}");
    };
    is("content-type", "text/plain", "unsupported-media-type").await;
    is("idempotency-key", "two words", "malformed-header").await;
    is("origin", "http://elsewhere", "foreign-origin").await;
    is("origin", "null", "foreign-origin").await;
    let own = service.send("POST", "/v1/allocations", &[("origin", "http://service")], request(0, 1)).await;
    assert_eq!(own.status, StatusCode::CREATED);
    let large = service.post("/v1/allocations", &" ".repeat((1 << 20) + 1)).await;
    assert_eq!(large.problem(), "body-too-large");
    service.close().await;
}

#[tokio::test]
async fn topologies_that_cannot_be_read() {
    let service = TestService::open().await;
    let put = async |query: &str, body: &str| {
        service.send("PUT", &format!("/v1/topologies/net{query}"), &[], body.to_owned()).await
    };
    let broken = put("", "<graphml><node></graphml>").await;
    assert_eq!((broken.problem().as_str(), broken.json()["line"].is_u64()), ("unreadable-topology", true));
    let twice = put("", r#"{"nodes":[{"id":"a"},{"id":"a"}]}"#).await;
    assert_eq!((twice.problem().as_str(), &twice.json()["element"]), ("unreadable-topology", &json!("nodes[1]")));
    let bare = r#"{"nodes":[{"id":"a"},{"id":"b"}],"links":[{"id":"l","from":"a","to":"b"}]}"#;
    assert_eq!(put("?on_missing_capacity=error", bare).await.problem(), "missing-capacity");
    assert_eq!(put("?default_capacity_bps=0", bare).await.problem(), "malformed-query");
    assert_eq!(put("?dry_run=true", bare).await.json()["capacity_from"], json!({"default": 1}));
    assert_eq!(service.get("/v1/topologies").await.json()["items"], json!([]));
    assert_eq!(put("?default_capacity_bps=5", bare).await.status, StatusCode::CREATED);
    assert_eq!(service.get("/v1/topologies/net").await.json()["links"][0]["capacity_bps"], 5);
    service.close().await;
}

#[tokio::test]
async fn every_kind_has_a_page_and_every_answer_an_id() {
    let service = TestService::with(TRIANGLE).await;
    let page = service.get("/problems/insufficient-bandwidth").await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(page.text.contains("No path has the bandwidth") && page.header("content-security-policy").contains("none"));
    assert!(service.get("/").await.text.contains("/docs"));
    assert!(service.get("/docs/").await.text.contains("swagger"));
    assert_eq!(service.get("/v1/openapi.json").await.json()["openapi"], "3.1.0");
    assert_eq!(service.get("/livez").await.status, StatusCode::OK);
    let ready = service.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["topologies"]), (StatusCode::OK, &json!(1)));

    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mine = service.send("GET", "/nowhere", &[("x-request-id", "mine"), ("traceparent", trace)], "").await;
    assert_eq!((mine.header("x-request-id"), mine.header("traceparent")), ("mine", trace));
    assert_eq!(mine.header("cache-control"), "no-store");
    let odd = service.send("GET", "/livez", &[("x-request-id", "not mine"), ("traceparent", "x")], "").await;
    assert_ne!(odd.header("x-request-id"), "not mine");
    assert!(odd.headers.get("traceparent").is_none());
    service.close().await;
}
