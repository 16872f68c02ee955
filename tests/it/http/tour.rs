//! What people do: upload, ask, be denied, change, release.

use axum::http::StatusCode;
use serde_json::json;

use super::harness::{PAIR, TRIANGLE, TestService, request};

#[tokio::test]
async fn the_happy_tour() {
    let service = TestService::open().await;
    let put = service.send("PUT", "/v1/topologies/net", &[], PAIR).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    assert_eq!(put.header("location"), "/v1/topologies/net");
    assert_eq!((put.header("etag"), &put.json()["revision"]), ("\"1\"", &json!("1")));
    assert_eq!(put.json()["links"], 2);

    // Under ATCS a lower class may borrow everything, until the higher one comes.
    let low = service.admit(0, 100_000_000).await;
    let high = service.post("/v1/allocations", &request(2, 30_000_000)).await;
    assert_eq!(high.status, StatusCode::CREATED, "{high:?}");
    let body = high.json();
    assert_eq!(high.header("location"), format!("/v1/allocations/{}", body["id"].as_str().unwrap()));
    assert_eq!(body["path"], json!(["ab"]));
    assert_eq!(body["preempted"], json!([low]));
    assert_eq!(body["victims"][0]["cause"], "preempted");
    assert_eq!((&body["state"], &body["qos_level"]), (&json!("active"), &json!(2)));

    let gone = service.get(&format!("/v1/allocations/{low}")).await.json();
    assert_eq!((&gone["state"], gone["ended_at"].is_string()), (&json!("preempted"), true));

    let denied = service.post("/v1/allocations", &request(2, 200_000_000)).await;
    assert_eq!((denied.status, denied.problem().as_str()), (StatusCode::CONFLICT, "insufficient-bandwidth"));
    let binding = &denied.json()["binding_links"][0];
    assert_eq!((&binding["link"], &binding["requested_bps"]), (&json!("ab"), &json!(200_000_000)));
    assert!(denied.json()["largest_admissible_bps"].is_u64());

    let link = service.get("/v1/topologies/net/links/ab").await.json();
    assert_eq!((&link["reserved_bps"], &link["allocation_count"]), (&json!(30_000_000), &json!(1)));
    assert_eq!(link["utilisation_ppm"], 300_000);

    let id = body["id"].as_str().unwrap();
    assert_eq!(service.delete(&format!("/v1/allocations/{id}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(service.delete(&format!("/v1/allocations/{id}")).await.problem(), "already-ended");
    assert_eq!(service.delete("/v1/topologies/net").await.status, StatusCode::NO_CONTENT);
    service.close().await;
}

#[tokio::test]
async fn a_link_that_breaks_sends_its_allocations_elsewhere() {
    let service = TestService::with(TRIANGLE).await;
    let id = service.admit(2, 10_000_000).await;
    let tried = service.patch("/v1/topologies/net/links/ab?dry_run=true", r#"{"state":"down"}"#).await.json();
    assert_eq!((&tried["rerouted"], &tried["state"], &tried["dry_run"]), (&json!([id]), &json!("down"), &json!(true)));
    // The figures are those of the link as it would be.
    assert_eq!((&tried["reserved_bps"], &tried["allocation_count"]), (&json!(0), &json!(0)));
    let is = service.get("/v1/topologies/net/links/ab").await.json();
    assert_eq!((&is["state"], &is["reserved_bps"]), (&json!("up"), &json!(10_000_000)));

    let done = service.patch("/v1/topologies/net/links/ab", r#"{"state":"down"}"#).await.json();
    assert_eq!((&done["rerouted"], &done["links"]), (&json!([id]), &json!(["ab", "ab~"])));
    assert_eq!(done["victims"][0]["path"], json!(["ac", "cb"]));
    let moved = service.get(&format!("/v1/allocations/{id}")).await.json();
    assert_eq!(moved["path"], json!(["ac", "cb"]));

    let cut = service.patch("/v1/topologies/net/links/ac", r#"{"state":"down"}"#).await.json();
    assert_eq!(
        (&cut["failed"], &cut["preempted"], &cut["victims"][0]["outcome"]),
        (&json!([id]), &json!([]), &json!("failed"))
    );
    let denied = service.post("/v1/allocations", &request(0, 1)).await;
    assert_eq!((denied.problem().as_str(), &denied.json()["constraint"]), ("no-path", &json!("links_down")));
    service.close().await;
}
