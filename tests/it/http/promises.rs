//! Preconditions, dry runs, idempotency keys and batches.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::harness::{Answer, PAIR, TRIANGLE, TestService, request};

#[tokio::test]
async fn a_change_says_which_revision_it_changes() {
    let service = TestService::with(PAIR).await;
    let uri = "/v1/topologies/net";
    let blind = service.send("PUT", uri, &[], TRIANGLE).await;
    assert_eq!((blind.status.as_u16(), blind.problem().as_str()), (428, "precondition-required"));
    assert_eq!(service.put(uri, "\"7\"", TRIANGLE).await.problem(), "precondition-failed");
    assert_eq!(service.put(uri, "W/\"1\"", TRIANGLE).await.problem(), "precondition-failed");
    assert_eq!(service.put(uri, "1", TRIANGLE).await.problem(), "malformed-header");
    assert_eq!(service.put("/v1/topologies/new", "*", TRIANGLE).await.problem(), "precondition-failed");

    let read = service.get(uri).await;
    let tried = service.send("PUT", "/v1/topologies/net?dry_run=true", &[], TRIANGLE).await;
    assert_eq!(
        (tried.status, &tried.json()["dry_run"], tried.json()["revision"].is_null()),
        (StatusCode::OK, &json!(true), true)
    );
    let put = service.put(uri, read.header("etag"), TRIANGLE).await;
    assert_eq!((put.status, put.json()["nodes"].as_u64()), (StatusCode::OK, Some(3)));
    assert_eq!(put.header("etag"), service.get(uri).await.header("etag"));
    assert_eq!(service.put(uri, "*", &service.get(uri).await.text).await.status, StatusCode::OK);
    assert_eq!(service.send("DELETE", uri, &[("if-match", "\"1\"")], "").await.problem(), "precondition-failed");
    service.close().await;
}

#[tokio::test]
async fn a_new_revision_keeps_allocations_or_lists_those_it_cannot_keep() {
    let service = TestService::with(TRIANGLE).await;
    let id = service.admit(2, 1_000).await;
    let cut = r#"{"nodes":[{"id":"a"},{"id":"b"},{"id":"c"}],"links":[
        {"id":"ac","from":"a","to":"c","capacity_bps":100000000},{"id":"cb","from":"c","to":"b","capacity_bps":100000000}]}"#;
    let refused = service.put("/v1/topologies/net", "*", cut).await;
    assert_eq!((refused.problem().as_str(), &refused.json()["conflicts"]), ("topology-conflict", &json!([id])));
    let answer = service.put("/v1/topologies/net?evict=true", "*", cut).await.json();
    assert_eq!((&answer["rerouted"], &answer["victims"][0]["cause"]), (&json!([id]), &json!("link")));
    let in_use = service.delete("/v1/topologies/net").await;
    assert_eq!((in_use.problem().as_str(), &in_use.json()["allocations"]), ("topology-in-use", &json!(1)));
    service.close().await;
}

#[tokio::test]
async fn a_standing_allocation_moves_before_a_request_is_denied() {
    let service = TestService::with(TRIANGLE).await;
    let standing = service.admit(0, 60_000_000).await;
    let direct = r#"{"topology":"net","ingress":"a","egress":"b","class_type":0,"bandwidth_bps":51000000,
        "constraints":{"max_hops":1}}"#;
    let expected = json!([{"id": standing, "path": ["ac", "cb"]}]);
    let asked = |max_moves: u8| direct.replacen('{', &format!(r#"{{"relocation":{{"max_moves":{max_moves}}},"#), 1);
    let stays = service.post("/v1/allocations?dry_run=true", &asked(0)).await;
    assert_eq!(stays.problem(), "insufficient-bandwidth");
    assert_eq!(service.post("/v1/allocations?dry_run=true", &asked(11)).await.json()["field"], "relocation.max_moves");
    assert_eq!(service.post("/v1/allocations?dry_run=true", &asked(1)).await.json()["moved"], expected);
    let tried = service.post("/v1/allocations?dry_run=true", direct).await.json();
    assert_eq!((&tried["moved"], &tried["victims"]), (&expected, &json!([])));
    let done = service.post("/v1/allocations", direct).await;
    assert_eq!((done.status, &done.json()["moved"]), (StatusCode::CREATED, &expected));
    let events = service.get("/v1/events").await.json();
    assert_eq!(events["items"].as_array().unwrap().last().unwrap()["data"]["moved"], expected);
    let moved = service.get(&format!("/v1/allocations/{standing}")).await.json();
    assert_eq!((&moved["path"], &moved["state"]), (&json!(["ac", "cb"]), &json!("active")));

    let model = r#"{"model":"atcs","relocation":{"max_moves":0}}"#;
    let put = service.put("/v1/topologies/net/bandwidth-model", "*", model).await;
    assert_eq!((put.status, &put.json()["relocation"]["max_moves"]), (StatusCode::OK, &json!(0)));
    assert_eq!(service.post("/v1/allocations", direct).await.problem(), "insufficient-bandwidth");
    service.close().await;
}

#[tokio::test]
async fn a_change_of_model_can_be_previewed() {
    let service = TestService::with(PAIR).await;
    let uri = "/v1/topologies/net/bandwidth-model";
    let id = service.admit(0, 90_000_000).await;
    let mam = r#"{"model":"mam","classes":[{"class_type":0,"share_ppm":500000},{"class_type":1,"share_ppm":300000},
        {"class_type":2,"share_ppm":200000}]}"#;
    let preview = service.send("PUT", &format!("{uri}?dry_run=true"), &[], mam).await;
    assert_eq!(preview.json()["preempted"], json!([id]), "{preview:?}");
    assert_eq!(service.send("PUT", uri, &[], mam).await.problem(), "precondition-required");
    let read = service.get(uri).await;
    assert_eq!(read.json()["model"], "atcs");
    // What was read can be put back as it is.
    let same = service.put(uri, read.header("etag"), &read.text).await;
    assert_eq!((same.status, &same.json()["victims"]), (StatusCode::OK, &json!([])));
    assert_eq!(service.put(uri, read.header("etag"), mam).await.problem(), "precondition-failed");

    let soft = service.put(&format!("{uri}?soft=true"), "*", mam).await;
    assert_eq!((&soft.json()["preempted"], &soft.json()["model"]), (&json!([]), &json!("mam")));
    let hard = service.put(uri, soft.header("etag"), mam).await;
    assert_eq!(hard.json()["preempted"], json!([id]));

    let odd = service.put(uri, "*", r#"{"model":"mam","classes":[{"class_type":9,"share_ppm":1000000}]}"#).await;
    assert_eq!((odd.problem().as_str(), &odd.json()["field"]), ("invalid-model", &json!("classes[0].class_type")));
    let unknown = r#"{"model":"mam","link_overrides":[{"link":"zz","model":"mam","classes":[]}]}"#;
    assert_eq!(service.put(uri, "*", unknown).await.problem(), "unknown-reference");
    let one = r#"{"model":"mam","classes":[{"class_type":1,"share_ppm":1000000}]}"#;
    service.admit(0, 1).await;
    assert_eq!(service.put(uri, "*", one).await.problem(), "classes-in-use");
    service.close().await;
}

#[tokio::test]
async fn a_dry_run_leaves_no_trace() {
    let service = TestService::with(PAIR).await;
    let id = service.admit(0, 100_000_000).await;
    let before = service.get("/v1/topologies/net/links").await.text;
    let tried = service.post("/v1/allocations?dry_run=true", &request(2, 1_000)).await;
    let body = tried.json();
    assert_eq!((tried.status, &body["dry_run"], &body["preempted"]), (StatusCode::OK, &json!(true), &json!([id])));
    assert!(body["id"].is_null() && tried.headers.get("location").is_none() && body["sequence"].is_null());
    assert_eq!(
        service.post("/v1/allocations?dry_run=true", &request(2, 1 << 40)).await.problem(),
        "insufficient-bandwidth"
    );
    let uri = format!("/v1/allocations/{id}?dry_run=true");
    assert_eq!(service.patch(&uri, r#"{"bandwidth_bps":5}"#).await.json()["bandwidth_bps"], 5);
    assert_eq!(service.delete(&uri).await.json()["state"], "released");
    assert_eq!(service.delete("/v1/topologies/net?dry_run=true").await.problem(), "topology-in-use");
    assert_eq!(service.get("/v1/topologies/net/links").await.text, before);
    assert_eq!(service.get("/v1/events").await.json()["items"].as_array().unwrap().len(), 2);
    service.close().await;
}

#[tokio::test]
async fn an_allocation_is_changed_make_before_break() {
    let service = TestService::with(TRIANGLE).await;
    let id = service.admit(2, 60_000_000).await;
    let uri = format!("/v1/allocations/{id}");
    // Its own bandwidth is not counted twice: 90 fits where 60 are its own.
    let more = service.patch(&uri, r#"{"bandwidth_bps":90000000}"#).await.json();
    assert_eq!((&more["bandwidth_bps"], &more["path"]), (&json!(90_000_000), &json!(["ab"])));
    assert_eq!(service.patch(&uri, r#"{"bandwidth_bps":900000000}"#).await.problem(), "insufficient-bandwidth");
    let around = service.patch(&uri, r#"{"constraints":{"include":[{"node":"c"}]}}"#).await.json();
    assert_eq!((&around["path"], &around["constraints"]["include"]), (&json!(["ac", "cb"]), &json!([{"node": "c"}])));
    assert_eq!(service.patch(&uri, "{}").await.problem(), "impossible-request");
    assert_eq!(service.patch("/v1/allocations/999", r#"{"bandwidth_bps":1}"#).await.problem(), "unknown-allocation");
    service.delete(&uri).await;
    let late = service.patch(&uri, r#"{"bandwidth_bps":1}"#).await;
    assert_eq!((late.problem().as_str(), &late.json()["state"]), ("already-ended", &json!("released")));
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_is_answered_again_and_not_done_again() {
    let service = TestService::with(PAIR).await;
    let send = async |key: &str, body: String| {
        service.send("POST", "/v1/allocations", &[("idempotency-key", key)], body).await
    };
    let first = send("k1", request(0, 5)).await;
    let again = send("k1", request(0, 5)).await;
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!((&first.text, first.header("location")), (&again.text, again.header("location")));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert!(first.headers.get("idempotency-replayed").is_none());
    assert_eq!(send("k1", request(0, 6)).await.problem(), "idempotency-mismatch");

    let denied = send("k2", request(0, 1 << 40)).await;
    let again = send("k2", request(0, 1 << 40)).await;
    assert_eq!((denied.text, again.header("idempotency-replayed")), (again.text.clone(), "true"));
    // Whoever goes away before the answer and asks again is answered alike, or told to wait; never served twice.
    let headers = [("idempotency-key", "k4")];
    let gone = service.ask("POST", "/v1/allocations", &headers, request(1, 7));
    tokio::select! { biased; _ = gone => panic!("answered at once"), () = tokio::task::yield_now() => {} }
    let mut again = send("k4", request(1, 7)).await;
    while again.status == StatusCode::CONFLICT {
        assert_eq!(again.problem(), "idempotency-in-flight");
        tokio::task::yield_now().await;
        again = send("k4", request(1, 7)).await;
    }
    assert_eq!(again.status, StatusCode::CREATED);
    // What was refused outright is decided again.
    assert_eq!(send("k3", request(7, 1)).await.problem(), "unknown-reference");
    assert_eq!(send("k3", request(1, 1)).await.status, StatusCode::CREATED);
    assert_eq!(service.get("/v1/allocations").await.json()["items"].as_array().unwrap().len(), 3);
    service.close().await;
}

fn outcomes(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["outcomes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_atomic_batch_happens_as_a_whole_or_not_at_all() {
    let service = TestService::with(PAIR).await;
    let uri = "/v1/allocations/batch";
    let batch = |requests: [String; 2]| format!(r#"{{"requests":[{}],"atomic":true}}"#, requests.join(","));
    let head = async || service.get("/v1/events").await.json()["items"].as_array().unwrap().len();
    let before = head().await;
    let denied = batch([request(2, 40_000_000), request(2, 70_000_000)]);
    for target in [uri, "/v1/allocations/batch?dry_run=true"] {
        let answer = service.send("POST", target, &[("idempotency-key", "whole")], denied.clone()).await;
        assert_eq!((answer.problem(), &answer.json()["request"]), ("insufficient-bandwidth".to_owned(), &json!(1)));
        assert_eq!(answer.status, StatusCode::CONFLICT);
    }
    for (broken, status) in [(request(7, 1), 422), (r#"{"ingress":"a"}"#.to_owned(), 400)] {
        let answer = service.post(uri, &batch([request(2, 1), broken])).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["request"]), (status, &json!(1)));
    }
    assert_eq!((head().await, service.get("/v1/allocations").await.json()["items"].clone()), (before, json!([])));

    let admitted = batch([request(2, 40_000_000), request(2, 60_000_000)]);
    let keyed = async || service.send("POST", uri, &[("idempotency-key", "fits")], admitted.clone()).await;
    let (first, again) = (keyed().await, keyed().await);
    assert!(outcomes(&first).iter().all(|outcome| outcome["status"] == 201), "{first:?}");
    assert_eq!((&again.text, again.header("idempotency-replayed")), (&first.text, "true"));
    assert_eq!(head().await, before + 2);
    service.close().await;
}

#[tokio::test]
async fn a_batch_is_decided_in_order_each_by_itself() {
    let service = TestService::with(PAIR).await;
    let batch = format!(
        r#"{{"requests":[{},{{"ingress":"a"}},{},{},{}]}}"#,
        request(2, 40_000_000),
        request(7, 1),
        request(2, 70_000_000),
        request(1, 60_000_000)
    );
    let uri = "/v1/allocations/batch";
    let tried = outcomes(&service.post(&format!("{uri}?dry_run=true"), &batch).await);
    assert_eq!(tried[0]["status"], 200);
    let keyed = async || service.send("POST", uri, &[("idempotency-key", "b")], batch.clone()).await;
    let first = keyed().await;
    let done = outcomes(&first);
    let statuses: Vec<_> = done.iter().map(|outcome| outcome["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 400, 422, 409, 201]);
    assert_eq!(done[3]["problem"]["type"], "/problems/insufficient-bandwidth");
    assert_eq!(done[0]["allocation"]["path"], json!(["ab"]));
    let again = keyed().await;
    assert_eq!((&again.text, again.header("idempotency-replayed")), (&first.text, "true"));
    assert_eq!(service.get("/v1/allocations").await.json()["items"].as_array().unwrap().len(), 2);
    // A batch of which everything was refused is kept too.
    let refused = format!("[{}]", request(0, 1).replace(r#""b""#, r#""nowhere""#));
    let odd = async || service.send("POST", uri, &[("idempotency-key", "odd")], refused.clone()).await;
    let (first, again) = (odd().await, odd().await);
    assert_eq!(outcomes(&first)[0]["status"], 422);
    assert_eq!((&again.text, again.header("idempotency-replayed")), (&first.text, "true"));

    assert_eq!(outcomes(&service.post(uri, &format!("[{}]", request(0, 1))).await).len(), 1);
    assert_eq!(service.post(uri, "[]").await.problem(), "impossible-request");
    assert_eq!(service.post(uri, r#"{"requests":[],"more":1}"#).await.problem(), "malformed-body");
    service.close().await;
}

/// On a topology of 1,000 links a batch of 450 is three parts: together they are answered, and answered again, as one.
#[tokio::test]
async fn a_batch_in_parts_is_answered_as_one() {
    let links: Vec<_> =
        (0..1_000).map(|at| json!({"id": format!("l{at}"), "from": "a", "to": "b", "capacity_bps": 1_000})).collect();
    let topology = json!({"nodes": [{"id": "a"}, {"id": "b"}], "links": links}).to_string();
    let service = TestService::with(&topology).await;
    let entry = |at: usize| if at % 100 == 50 { request(2, 1 << 40) } else { request(2, 1_000) };
    let batch = format!("[{}]", (0..450).map(entry).collect::<Vec<_>>().join(","));
    let keyed =
        async || service.send("POST", "/v1/allocations/batch", &[("idempotency-key", "long")], batch.clone()).await;
    let first = keyed().await;
    let statuses: Vec<_> = outcomes(&first).iter().map(|outcome| outcome["status"].as_u64().unwrap()).collect();
    let right: Vec<_> = (0..450).map(|at| if at % 100 == 50 { 409 } else { 201 }).collect();
    assert_eq!(statuses, right);
    assert!(first.headers.get("idempotency-replayed").is_none());
    let again = keyed().await;
    assert_eq!((&again.text, again.header("idempotency-replayed")), (&first.text, "true"));
    let other =
        service.send("POST", "/v1/allocations/batch", &[("idempotency-key", "long")], format!("[{}]", entry(1))).await;
    assert_eq!(other.problem(), "idempotency-mismatch");
    service.close().await;
}
