//! Allocations with a backup path: asked for, cut, restored, and looked for.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use watermaster::app::AppOptions;

use super::harness::{PAIR, TRIANGLE, TestService};

fn protected(bandwidth_bps: u64, protection: Value) -> String {
    json!({"ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": bandwidth_bps, "protection": protection})
        .to_string()
}

async fn triangle() -> TestService {
    let options = AppOptions { wait_to_restore: Duration::ZERO, ..AppOptions::default() };
    let service = TestService::open_with(tempfile::tempdir().unwrap(), options).await;
    assert_eq!(service.send("PUT", "/v1/topologies/net", &[], TRIANGLE).await.status, StatusCode::CREATED);
    service
}

async fn set(service: &TestService, link: &str, state: &str) -> Value {
    service.patch(&format!("/v1/topologies/net/links/{link}"), &json!({"state": state}).to_string()).await.json()
}

/// The allocation, as soon as it is so.
async fn until(service: &TestService, uri: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut commits = service.app.subscribe();
    let waited = async {
        loop {
            let seen = service.get(uri).await.json();
            if is_so(&seen) {
                return seen;
            }
            commits.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap()
}

#[tokio::test]
async fn a_cut_switches_over_and_the_traffic_returns() {
    let service = triangle().await;
    let asked = protected(8_000_000, json!({"kind": "dedicated", "disjoint": "node", "revertive": true}));
    let planned = service.post("/v1/allocations?dry_run=true", &asked).await.json();
    assert_eq!((&planned["path"], &planned["backup_path"]), (&json!(["ab"]), &json!(["ac", "cb"])));
    let answer = service.post("/v1/allocations", &asked).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let admitted = answer.json();
    assert_eq!(admitted["protection"], json!({"kind": "dedicated", "disjoint": "node", "revertive": true}));
    let one = format!("/v1/allocations/{}", admitted["id"].as_str().unwrap());
    assert_eq!(service.get("/v1/topologies/net/links/cb").await.json()["reserved_bps"], 8_000_000);
    let list = async |query: &str| {
        let page = service.get(&format!("/v1/allocations?{query}")).await.json();
        page["items"].as_array().unwrap().len()
    };
    assert_eq!((list("protected=true").await, list("protected=false").await, list("link=cb").await), (1, 0, 1));

    let cut = set(&service, "ab", "down").await;
    assert_eq!((&cut["victims"][0]["outcome"], &cut["victims"][0]["path"]), (&json!("rerouted"), &json!(["ac", "cb"])));
    let bare = service.get(&one).await.json();
    assert_eq!((&bare["path"], &bare["reverts_to"]), (&json!(["ac", "cb"]), &json!(["ab"])));
    assert!(bare.get("backup_path").is_none());
    assert_eq!((list("protected=true").await, list("protected=false").await), (0, 1));

    set(&service, "ab", "up").await;
    let back = until(&service, &one, |seen| seen["path"] == json!(["ab"])).await;
    assert_eq!(back["backup_path"], json!(["ac", "cb"]));
    let events = service.get("/v1/events?limit=1000").await.json();
    let last = events["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["kind"], &last["data"]["allocation"]["path"]), (&json!("allocation_recovered"), &json!(["ab"])));

    let cut = set(&service, "cb", "down").await;
    assert_eq!((&cut["victims"][0]["outcome"], &cut["unprotected"][0]), (&json!("unprotected"), &admitted["id"]));
    assert_eq!(service.get(&one).await.json()["path"], json!(["ab"]));
    set(&service, "cb", "up").await;
    until(&service, &one, |seen| seen["backup_path"] == json!(["ac", "cb"])).await;

    let folder = service.leave().await;
    let service = TestService::open_with(folder, AppOptions::default()).await;
    let kept = service.get(&one).await.json();
    assert_eq!((&kept["path"], &kept["backup_path"]), (&json!(["ab"]), &json!(["ac", "cb"])));
    service.close().await;
}

#[tokio::test]
async fn what_cannot_be_protected_is_denied_or_said_to_be_unprotected() {
    let service = TestService::with(PAIR).await;
    let denied = service.post("/v1/allocations", &protected(8_000_000, json!({"kind": "dedicated"}))).await;
    assert_eq!((denied.status, denied.problem().as_str()), (StatusCode::CONFLICT, "no-backup-path"));
    let problem = denied.json();
    assert_eq!((&problem["binding_links"][0]["link"], &problem["largest_admissible_bps"]), (&json!("ab"), &json!(0)));
    assert_eq!(problem["disjoint"], "link");
    let best_effort = json!({"kind": "dedicated", "best_effort": true});
    let admitted = service.post("/v1/allocations", &protected(8_000_000, best_effort)).await.json();
    assert!(admitted["warnings"].to_string().contains("unprotected"), "{admitted}");
    for odd in [json!({"kind": "none"}), json!({}), json!({"kind": "dedicated", "disjoint": "city"})] {
        let refused = service.post("/v1/allocations", &protected(1, odd)).await;
        assert_eq!(refused.problem(), "malformed-body", "{refused:?}");
    }
    service.close().await;
}

/// What shares bandwidth is booked once where no failure needs it twice; for a time it is not shared.
#[tokio::test]
async fn backup_paths_share_bandwidth() {
    let service = triangle().await;
    let shared = |from: &str, to: &str| json!({"ingress": from, "egress": to, "class_type": 0, "bandwidth_bps": 8_000_000, "protection": {"kind": "shared"}});
    for (from, to) in [("a", "b"), ("c", "b")] {
        let admitted = service.post("/v1/allocations", &shared(from, to).to_string()).await.json();
        assert_eq!(admitted["protection"]["kind"], "shared", "{admitted}");
    }
    // Both working paths are single links; the link from c to b has one of them, and the other's backup path.
    assert_eq!(service.get("/v1/topologies/net/links/cb").await.json()["reserved_bps"], 16_000_000);
    let mut timed = shared("a", "b");
    timed["duration_ms"] = json!(1_000);
    let for_a_time = service.post("/v1/allocations", &timed.to_string()).await.json();
    assert!(for_a_time["warnings"].to_string().contains("its own and not shared"), "{for_a_time}");
    assert_eq!(service.get("/v1/topologies/net/links/cb").await.json()["reserved_bps"], 24_000_000);
    service.close().await;
}

/// 8 of 100 Mbit/s stand on one way: no pair has more than what is left there.
#[tokio::test]
async fn the_largest_protected_bandwidth_is_told() {
    let service = triangle().await;
    let standing = json!({"ingress": "a", "egress": "c", "class_type": 0, "bandwidth_bps": 8_000_000}).to_string();
    service.post("/v1/allocations", &standing).await;
    let denied = service.post("/v1/allocations", &protected(95_000_000, json!({"kind": "dedicated"}))).await.json();
    let most = denied["largest_admissible_bps"].as_u64().unwrap();
    let (fits, too_much) =
        (protected(most, json!({"kind": "dedicated"})), protected(most + 1, json!({"kind": "dedicated"})));
    assert_eq!(service.post("/v1/allocations?dry_run=true", &too_much).await.problem(), "no-backup-path");
    assert_eq!(service.post("/v1/allocations?dry_run=true", &fits).await.status, StatusCode::OK);
    service.close().await;
}

#[tokio::test]
async fn protection_is_added_and_dropped_by_a_change() {
    let service = triangle().await;
    let plain = json!({"ingress": "a", "egress": "b", "class_type": 0, "bandwidth_bps": 8_000_000}).to_string();
    let admitted = service.post("/v1/allocations", &plain).await.json();
    let one = format!("/v1/allocations/{}", admitted["id"].as_str().unwrap());
    let asked = json!({"protection": {"kind": "dedicated", "disjoint": "node"}}).to_string();
    let protected = service.patch(&one, &asked).await.json();
    assert_eq!(protected["path"], admitted["path"]);
    assert!(protected["backup_path"].is_array(), "{protected}");
    let with_end = json!({"protection": {"kind": "shared", "disjoint": "node"}, "duration_ms": 60_000}).to_string();
    assert_eq!(service.patch(&one, &with_end).await.json()["backup_path"], protected["backup_path"]);
    let bare = service.patch(&one, r#"{"protection": null}"#).await.json();
    assert_eq!((&bare["protection"], &bare["backup_path"]), (&Value::Null, &Value::Null));
    service.close().await;
}
