//! Events, as pages and as a stream.

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use serde_json::{Value, json};

use kernel::id::Sequence;
use kernel::units::Millis;
use watermaster::app::Retention;

use super::harness::{PAIR, TestService, request};

#[tokio::test]
async fn what_happened_is_listed() {
    let service = TestService::with(PAIR).await;
    let id = service.admit(0, 1_000).await;
    service.post("/v1/allocations", &request(0, 1 << 40)).await;
    service.delete(&format!("/v1/allocations/{id}")).await;
    let all = service.get("/v1/events").await.json();
    let kinds: Vec<_> = all["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["topology_put", "allocation_admitted", "allocation_denied", "allocation_released"]);
    let admitted = &all["items"][1]["data"]["allocation"];
    // Where it is with the switches is not of the books.
    assert_eq!((&admitted["id"], &admitted["qos_level"], admitted.get("state")), (&json!(id), &json!(0), None));
    assert!(admitted["created_at"].as_str().unwrap().ends_with('Z'));
    let denied = &all["items"][2]["data"];
    assert_eq!(denied["problem"]["type"], "/problems/insufficient-bandwidth");
    assert_eq!(
        (&denied["problem"]["binding_links"][0]["link"], &denied["demand"]["egress"]),
        (&json!("ab"), &json!("b"))
    );
    let put = &all["items"][0];
    assert_eq!(put["data"], json!({"kind": "topology_put", "topology": "net", "nodes": 2, "links": 2}));
    assert_eq!(put["sequence"], 1);
    assert!(put["at"].as_str().unwrap().ends_with('Z'));
    let page = service.get("/v1/events?limit=1&after=1").await;
    assert_eq!((&page.json()["items"][0]["sequence"], &page.json()["next"]), (&json!(2), &json!("2")));
    let newest = service.get("/v1/events?order=desc&limit=3").await.json();
    let sequences = |page: &Value| -> Vec<u64> {
        page["items"].as_array().unwrap().iter().map(|item| item["sequence"].as_u64().unwrap()).collect()
    };
    assert_eq!((sequences(&newest), &newest["next"]), (vec![4, 3, 2], &json!("2")));
    let rest = service.get("/v1/events?order=desc&limit=3&after=2").await.json();
    assert_eq!((sequences(&rest), &rest["next"]), (vec![1], &Value::Null));
    let other = service.get("/v1/events?topology=other").await.json();
    assert_eq!(other["items"].as_array().unwrap().len(), 1, "a release names no topology");
    service.close().await;
}

/// The next event of a stream: its id, its kind, and its data.
async fn next(stream: &mut BodyDataStream, rest: &mut String) -> Option<(u64, String, Value)> {
    loop {
        if let Some((event, more)) = rest.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let found =
                (field("id: ").parse().unwrap(), field("event: ").into(), serde_json::from_str(field("data: ")));
            let found = (found.0, found.1, found.2.unwrap());
            *rest = more.to_owned();
            return Some(found);
        }
        rest.push_str(std::str::from_utf8(&stream.next().await?.unwrap()).unwrap());
    }
}

#[tokio::test]
async fn a_stream_resumes_without_gap_or_repetition_and_ends_with_the_service() {
    let service = TestService::with(PAIR).await;
    for bps in 1..=5 {
        service.admit(0, bps).await;
    }
    // Events 2 and 3 come from the journal since 1 was the last seen; `after` counts less than Last-Event-ID.
    let response = service.ask("GET", "/v1/events/stream?after=0", &[("last-event-id", "1")], "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut stream, mut rest) = (response.into_body().into_data_stream(), String::new());
    let live = service.ask("GET", "/v1/events/stream?topology=net", &[], "").await;
    let (mut live, mut live_rest) = (live.into_body().into_data_stream(), String::new());
    for bps in 6..=9 {
        service.admit(0, bps).await;
    }
    for sequence in 2..=10_u64 {
        let (id, kind, data) = next(&mut stream, &mut rest).await.unwrap();
        assert_eq!((id, kind.as_str(), &data["sequence"]), (sequence, "allocation_admitted", &json!(sequence)));
        assert_eq!(data["data"]["allocation"]["bandwidth_bps"], sequence - 1);
    }
    assert_eq!(next(&mut live, &mut live_rest).await.unwrap().0, 7);
    let bad = service.send("GET", "/v1/events/stream", &[("last-event-id", "x")], "").await;
    assert_eq!(bad.problem(), "malformed-header");
    service.close().await;
    assert!(next(&mut stream, &mut rest).await.is_none());
}

#[tokio::test]
async fn events_that_are_gone_are_told_with_where_to_begin() {
    let service = TestService::with(PAIR).await;
    for bps in 1..=9 {
        service.admit(0, bps).await;
    }
    let journal = service.journal().await;
    journal.write_snapshot(&service.app.state()).await.unwrap();
    let retention = Retention { events: Some(4), ..Retention::default() };
    assert_eq!(journal.forget_some_events(&retention, Millis(0), Sequence(10)).await.unwrap(), 6);
    for after in [0, 5] {
        let gone = service.get(&format!("/v1/events?after={after}")).await;
        assert_eq!((gone.status.as_u16(), gone.problem().as_str()), (410, "events-gone"));
        assert_eq!(gone.json()["first_sequence"], 7);
    }
    for (path, first) in [("/v1/events", 7), ("/v1/events?after=6", 7), ("/v1/events?after=7", 8)] {
        assert_eq!(service.get(path).await.json()["items"][0]["sequence"], first, "{path}");
    }
    // Too old, or from another journal: first a reset, then what there is.
    for (asked, goes_on_after, then) in [("2", 6, 7), ("99", 10, 11)] {
        let response = service.ask("GET", "/v1/events/stream", &[("last-event-id", asked)], "").await;
        let (mut stream, mut rest) = (response.into_body().into_data_stream(), String::new());
        let (id, kind, data) = next(&mut stream, &mut rest).await.unwrap();
        assert_eq!((id, kind.as_str()), (goes_on_after, "reset"));
        assert_eq!(data, json!({"kind": "reset", "first_sequence": 7, "head": 10}));
        if then == 11 {
            service.admit(0, 10).await;
        }
        assert_eq!(next(&mut stream, &mut rest).await.unwrap().0, then);
    }
    service.close().await;
}

#[tokio::test]
async fn a_stream_tells_that_the_journal_was_replaced() {
    let service = TestService::with(PAIR).await;
    for bps in 1..=4 {
        service.admit(0, bps).await;
    }
    let response = service.ask("GET", "/v1/events/stream?after=4", &[], "").await;
    let (mut stream, mut rest) = (response.into_body().into_data_stream(), String::new());
    assert_eq!(next(&mut stream, &mut rest).await.unwrap().0, 5);
    let mut database = service.database().await;
    sqlx::query("DELETE FROM journal WHERE sequence > 3").execute(&mut database).await.unwrap();
    service.admit(0, 5).await;
    let (_, kind, data) = next(&mut stream, &mut rest).await.unwrap();
    assert_eq!((kind.as_str(), &data["first_sequence"]), ("reset", &json!(1)));
    service.close().await;
}
