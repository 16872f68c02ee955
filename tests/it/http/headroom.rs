//! Headroom: what is said to be admitted is, and one bit/s more is not.

use axum::http::StatusCode;
use serde_json::json;

use super::harness::{TRIANGLE, TestService};

#[tokio::test]
async fn so_much_is_admitted_and_one_bit_more_is_not() {
    let service = TestService::with(TRIANGLE).await;
    service.admit(0, 60_000_000).await;
    let uri = "/v1/topologies/net/headroom?from=a&to=b&class_type=2&max_hops=1";
    let found = service.get(uri).await;
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    // Class 2 may have all but the 25 % of class 0, which gives back 35 of its 60 Mbit/s; or class 0 takes the longer path.
    let expected = json!({"from": "a", "to": "b", "class_type": 2, "setup_priority": 5, "free_bps": 40_000_000,
        "with_moves_bps": 100_000_000, "with_preemption_bps": 100_000_000, "sequence": 2});
    assert_eq!(found.json(), expected);
    let ask = async |bps: u64, moves: u8| {
        let body = json!({"ingress": "a", "egress": "b", "class_type": 2, "bandwidth_bps": bps,
            "relocation": {"max_moves": moves}, "constraints": {"max_hops": 1}});
        service.post("/v1/allocations?dry_run=true", &body.to_string()).await
    };
    assert_eq!(ask(100_000_000, 3).await.json()["moved"].as_array().unwrap().len(), 1);
    assert_eq!(ask(100_000_001, 3).await.problem(), "insufficient-bandwidth");
    let still = service.get(&format!("{uri}&max_moves=0")).await.json();
    let most = still["with_preemption_bps"].as_u64().unwrap();
    assert_eq!((&still["free_bps"], &still["with_moves_bps"]), (&json!(40_000_000), &json!(40_000_000)));
    assert_eq!(ask(most, 0).await.json()["victims"].as_array().unwrap().len(), 1);
    assert_eq!(ask(most + 1, 0).await.problem(), "insufficient-bandwidth");

    let paths =
        json!({"ingress": "a", "egress": "b", "class_type": 2, "bandwidth_bps": 1, "constraints": {"max_hops": 1}});
    let paths = service.post("/v1/topologies/net/paths", &paths.to_string()).await.json();
    let figures = json!({"free_bps": 40_000_000, "with_moves_bps": 100_000_000, "with_preemption_bps": 100_000_000});
    assert_eq!(paths["headroom"], figures);
    let pair = r#"{"ingress":"a","egress":"b","class_type":2,"bandwidth_bps":1,"disjoint":"link"}"#;
    assert!(service.post("/v1/topologies/net/paths", pair).await.json()["headroom"].is_null());
    service.close().await;
}

#[tokio::test]
async fn a_query_that_cannot_be_met_names_its_field() {
    let service = TestService::with(TRIANGLE).await;
    let cases = [
        ("net", "to=b&class_type=0", "malformed-query", None),
        ("net", "from=a&to=b&class_type=0&colour=1", "malformed-query", None),
        ("net", "from=a&to=b&class_type=x", "malformed-query", None),
        ("net", "from=a&to=b", "impossible-request", Some("class_type")),
        ("net", "from=a&to=b&class_type=0&qos_level=0", "impossible-request", Some("class_type")),
        ("net", "from=a&to=b&class_type=8", "impossible-request", Some("class_type")),
        ("net", "from=a&to=a&class_type=0", "impossible-request", Some("to")),
        ("net", "from=a&to=b&class_type=0&max_moves=11", "impossible-request", Some("max_moves")),
        ("net", "from=a&to=b&class_type=0&setup_priority=9", "impossible-request", Some("setup_priority")),
        ("net", "from=z&to=b&class_type=0", "unknown-reference", Some("from")),
        ("net", "from=a&to=z&class_type=0", "unknown-reference", Some("to")),
        ("net", "from=a&to=b&class_type=7", "unknown-reference", Some("class_type")),
        ("other", "from=a&to=b&class_type=0", "unknown-topology", None),
    ];
    for (topology, query, kind, field) in cases {
        let answer = service.get(&format!("/v1/topologies/{topology}/headroom?{query}")).await;
        assert_eq!(answer.problem(), kind, "{query}");
        assert!(field.is_none_or(|field| answer.json()["field"] == field), "{query}: {answer:?}");
    }
    service.close().await;
}
