//! What the dashboard needs: itself, a drawing, answers under other models, and nobody else's pages.

use axum::http::StatusCode;
use serde_json::json;
use watermaster::auth::{Authenticator, TokenStore};

use super::harness::{PAIR, TRIANGLE, TestService, request};

#[tokio::test]
async fn the_page_and_its_parts_are_served_with_a_strict_policy() {
    let service = TestService::open().await;
    for (path, kind) in [("/", "text/html"), ("/app.js", "text/javascript"), ("/index.css", "text/css")] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.header("content-type").starts_with(kind) && !answer.text.is_empty());
        assert!(!answer.header("content-security-policy").contains("unsafe"));
        assert_eq!(
            (answer.header("x-content-type-options"), answer.header("cache-control")),
            ("nosniff", "no-cache"),
            "{path}"
        );
        let known = service.send("GET", path, &[("if-none-match", answer.header("etag"))], "").await;
        assert_eq!((known.status, known.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    }
    let page = service.get("/").await.text;
    assert!(!page.contains("<style") && !page.contains("<script>") && !page.contains(" style="), "nothing inline");
    service.close().await;
}

#[tokio::test]
async fn the_page_may_connect_to_the_issuer_and_to_nothing_else() {
    let service = TestService::open().await;
    let policy = service.get("/").await.header("content-security-policy").to_owned();
    assert!(policy.contains("; connect-src 'self'; "), "{policy}");
    assert_eq!(service.get("/v1/sign-in").await.json(), json!({"authentication_required": false}));
    service.close().await;
    let (issuer, client_id, scope) = ("https://login.example:8443/realms/ops", "dashboard", "openid");
    let openid = json!({"issuer": issuer, "client_id": client_id, "scope": scope});
    let client = serde_json::from_value(openid.clone()).unwrap();
    let service = TestService::guarded(async |journal| {
        let tokens = TokenStore::open(journal, None, || kernel::units::Millis(0)).await.unwrap();
        Authenticator::new(tokens, true).with_page_client(Some(client))
    });
    let service = service.await;
    let policy = service.get("/").await.header("content-security-policy").to_owned();
    assert!(policy.contains("; connect-src 'self' https://login.example:8443; "), "{policy}");
    // Anybody may know where to sign in.
    assert_eq!(service.get("/v1/sign-in").await.json(), json!({"authentication_required": true, "openid": openid}));
    service.close().await;
}

#[tokio::test]
async fn a_drawing_has_every_node_once_and_in_bounds() {
    let service = TestService::with(TRIANGLE).await;
    let layout = service.get("/v1/topologies/net/layout").await.json();
    assert_eq!(layout["source"], "computed");
    let nodes = layout["nodes"].as_array().unwrap();
    let names: Vec<_> = nodes.iter().map(|node| node["node"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let inside = |axis: &str, most: &str| nodes.iter().all(|node| node[axis].as_u64() <= layout[most].as_u64());
    assert!(inside("x", "width") && inside("y", "height"), "{layout}");
    assert_eq!(service.get("/v1/topologies/net/layout").await.json(), layout);
    // A change to a link changes no place; another revision may.
    service.patch("/v1/topologies/net/links/ab", r#"{"state":"down"}"#).await;
    assert_eq!(service.get("/v1/topologies/net/layout").await.json(), layout);
    service.put("/v1/topologies/net", "*", PAIR).await;
    assert_eq!(service.get("/v1/topologies/net/layout").await.json()["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(service.get("/v1/topologies/gone/layout").await.problem(), "unknown-topology");
    service.close().await;
}

#[tokio::test]
async fn a_request_is_decided_under_another_model_and_nothing_stays() {
    let service = TestService::with(PAIR).await;
    let low = service.admit(0, 90_000_000).await;
    let ask = |model: &str| format!("/v1/allocations?dry_run=true&model={model}");
    // CT2 has 40 % of 100 Mbit/s for itself: under MAM no more than that; under ATCS all that CT0 has borrowed besides.
    let mam = service.post(&ask("mam"), &request(2, 50_000_000)).await;
    assert_eq!(
        (mam.problem().as_str(), &mam.json()["largest_admissible_bps"]),
        ("insufficient-bandwidth", &json!(40_000_000))
    );
    let rdm = service.post(&ask("rdm"), &request(2, 40_000_000)).await.json();
    assert_eq!((&rdm["dry_run"], &rdm["preempted"]), (&json!(true), &json!([low])));
    for model in ["gbam", "atcs"] {
        let answer = service.post(&ask(model), &request(2, 50_000_000)).await;
        assert_eq!((answer.status, &answer.json()["preempted"]), (StatusCode::OK, &json!([low])), "{model}");
    }
    assert_eq!(service.get("/v1/topologies/net/bandwidth-model").await.json()["model"], "atcs");
    assert_eq!(service.get("/v1/topologies/net/links/ab").await.json()["reserved_bps"], 90_000_000);
    assert_eq!(service.get("/v1/events").await.json()["items"].as_array().unwrap().len(), 2);

    assert_eq!(service.post("/v1/allocations?model=mam", &request(0, 1)).await.problem(), "malformed-query");
    assert_eq!(service.post(&ask("vague"), &request(0, 1)).await.problem(), "malformed-query");
    let elsewhere = r#"{"topology":"gone","ingress":"a","egress":"b","class_type":0,"bandwidth_bps":1}"#;
    assert_eq!(service.post(&ask("mam"), elsewhere).await.problem(), "unknown-reference");
    service.close().await;
}

#[tokio::test]
async fn links_are_listed_without_who_is_on_them_where_nobody_asks() {
    let service = TestService::with(PAIR).await;
    let id = service.admit(1, 1_000).await;
    let whole = service.get("/v1/topologies/net/links").await.json();
    assert_eq!(whole["items"][0]["allocations"], json!([id]));
    let brief = service.get("/v1/topologies/net/links?allocations=false").await.json();
    assert_eq!((&brief["items"][0]["allocations"], &brief["items"][0]["allocation_count"]), (&json!([]), &json!(1)));
    service.close().await;
}

#[tokio::test]
async fn other_sites_change_nothing() {
    let service = TestService::with(PAIR).await;
    for site in ["cross-site", "same-site"] {
        let answer = service.send("DELETE", "/v1/topologies/net", &[("sec-fetch-site", site)], "").await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "foreign-origin"));
    }
    let own = [("sec-fetch-site", "same-origin"), ("origin", "http://service")];
    assert_eq!(service.send("DELETE", "/v1/topologies/net", &own, "").await.status, StatusCode::NO_CONTENT);
    service.close().await;
}
