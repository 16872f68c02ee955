//! Requests that cannot be meant get a precise problem; floods find limits.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::edge::{Edge, Manner, Taker, anywhere, options};
use gateway::options::{GatewayOptions, OptionsError};
use gateway::{Gateway, GatewayError};

#[tokio::test]
async fn it_answers_under_its_own_names_and_changes_nothing_for_pages_of_others() {
    let named = GatewayOptions {
        advertise: Some("http://gw.example:8090".to_owned()),
        public_hosts: vec!["Edge.Example".to_owned()],
        ..options()
    };
    let edge = Edge::open(named).await;
    let ask = async |method: &str, headers: &[(&str, &str)]| {
        let mut request =
            super::edge::http().request(method.parse().unwrap(), format!("{}/v1/subscriptions", edge.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.header("content-type", "application/json").body(r#"{"topic":"t"}"#).send().await.unwrap();
        let status = answer.status().as_u16();
        let problem: Value = answer.json().await.unwrap();
        (status, problem["type"].as_str().unwrap_or_default().to_owned())
    };
    for own in ["localhost:1", "127.0.0.1", "[::1]:80", "gw.example:8090", "edge.example"] {
        assert_eq!(ask("GET", &[("host", own)]).await.0, 200, "{own}");
    }
    // A name that leads here from elsewhere (DNS rebinding), with the page that it served.
    for (method, host) in [("GET", "evil.example"), ("POST", "evil.example:8090"), ("GET", "10.0.0.1")] {
        let (status, problem) = ask(method, &[("host", host), ("origin", "http://evil.example:8090")]).await;
        assert_eq!((status, problem.as_str()), (421, "/problems/unknown-host"), "{host}");
    }
    let foreign = (403, "/problems/foreign-origin".to_owned());
    assert_eq!(ask("POST", &[("origin", "http://evil.example")]).await, foreign);
    assert_eq!(ask("POST", &[("sec-fetch-site", "same-site")]).await, foreign);
    assert_eq!(ask("POST", &[("sec-fetch-site", "same-origin")]).await.0, 201);
    edge.close().await;
    // One that other machines reach, and that has no name of its own, cannot know what it is called.
    let everywhere = GatewayOptions { listen: ([0, 0, 0, 0], 0).into(), ..options() };
    let edge = Edge::open(everywhere).await;
    let answer = super::edge::http().get(format!("{}/readyz", edge.base)).header("host", "any.example").send().await;
    assert_eq!(answer.unwrap().status(), 200);
    edge.close().await;
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let edge = Edge::open(options()).await;
    let json = "application/json";
    let own = format!(r#"{{"topic":"t","callback_url":"{}/v1/subscriptions"}}"#, edge.base);
    let long = format!(r#"{{"topic":"{}"}}"#, "x".repeat(300));
    let huge = format!(r#"{{"topic":"{}"}}"#, "x".repeat(70 << 10));
    let cases = [
        ("POST", "/v1/subscriptions", json, "", 400, "malformed-body"),
        ("POST", "/v1/subscriptions", json, "{", 400, "malformed-body"),
        ("POST", "/v1/subscriptions", json, "[]", 400, "malformed-body"),
        ("POST", "/v1/subscriptions", json, "{}", 400, "malformed-body"),
        ("POST", "/v1/subscriptions", json, r#"{"topic":"t","colour":1}"#, 400, "malformed-body"),
        ("POST", "/v1/subscriptions", json, r#"{"topic":"t","qos_level":3}"#, 400, "malformed-body"),
        ("POST", "/v1/subscriptions", json, r#"{"topic":"t","qos_level":-1}"#, 400, "malformed-body"),
        ("POST", "/v1/subscriptions", "text/plain", r#"{"topic":"t"}"#, 415, "unsupported-media-type"),
        ("POST", "/v1/subscriptions", json, huge.as_str(), 413, "body-too-large"),
        ("POST", "/v1/subscriptions", json, long.as_str(), 422, "impossible"),
        ("POST", "/v1/subscriptions", json, r#"{"topic":"a/#/b"}"#, 422, "impossible"),
        ("POST", "/v1/subscriptions", json, r#"{"topic":"t","callback_url":"ftp://x/"}"#, 422, "impossible"),
        ("POST", "/v1/subscriptions", json, r#"{"topic":"t","consumer":""}"#, 422, "impossible"),
        ("POST", "/v1/subscriptions", json, r#"{"topic":"t","node":"a\u0000"}"#, 422, "impossible"),
        ("POST", "/v1/subscriptions", json, own.as_str(), 422, "impossible"),
        ("PUT", "/v1/subscriptions", json, "{}", 405, "method-not-allowed"),
        ("GET", "/v1/subscriptions/7", json, "", 404, "not-found"),
        ("GET", "/v1/subscriptions/seven", json, "", 404, "not-found"),
        ("DELETE", "/v1/subscriptions/99999999999999999999999", json, "", 404, "not-found"),
        ("GET", "/v1/subscriptions/7/stream", json, "", 404, "not-found"),
        ("GET", "/v1/contents?name=a%2F%23%2Fb", json, "", 400, "malformed-query"),
        ("GET", "/v1/contents?colour=1", json, "", 400, "malformed-query"),
        ("GET", "/v1/contents/%ff", json, "", 400, "malformed-query"),
        ("GET", "/v2", json, "", 404, "not-found"),
    ];
    for (method, path, kind, body, status, slug) in cases {
        let answer = edge.send(method, path, kind, body.to_owned()).await;
        let what = format!("{method} {path} {}: {}", &body[..body.len().min(60)], &answer.text);
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.json()["type"], format!("/problems/{slug}"), "{what}");
        assert_eq!(answer.json()["status"], status, "{what}");
    }
    // Of 10 MB only the beginning is read; who goes on sending may find the connection closed.
    let flood = super::edge::http().post(format!("{}/v1/subscriptions", edge.base)).header("content-type", json);
    if let Ok(response) = flood.body("x".repeat(10 << 20)).send().await {
        assert_eq!(response.status(), 413);
    }
    let answer = edge.subscribe(json!({"topic": "a/#/b"})).await;
    assert_eq!(answer.json()["field"], "topic");
    let callback = edge.subscribed(json!({"topic": "t", "callback_url": "http://127.0.0.1:1/"})).await;
    assert_eq!(edge.get(&format!("/v1/subscriptions/{callback}/stream")).await.status, 409);
    edge.close().await;
}

#[tokio::test]
async fn pages_of_other_sites_and_our_own_deliveries_change_nothing() {
    let edge = Edge::open(options()).await;
    let instance = edge.status().await["instance"].as_str().unwrap().to_owned();
    let post = |name: &'static str, value: String| {
        let request = super::edge::http().post(format!("{}/v1/subscriptions", edge.base)).json(&json!({"topic": "t"}));
        async move { request.header(name, value).send().await.unwrap().status().as_u16() }
    };
    assert_eq!(post("origin", "http://evil.example".to_owned()).await, 403);
    assert_eq!(post("origin", edge.base.clone()).await, 201);
    assert_eq!(post("x-watermaster-instance", instance).await, 508);
    assert_eq!(post("x-watermaster-instance", "another".to_owned()).await, 201);
    edge.close().await;
}

#[tokio::test]
async fn floods_of_subscriptions_and_topics_find_limits() {
    let edge = Edge::open(options()).await;
    // One address gets half of the places, and one consumer half of that.
    for consumer in [Some("c"), None] {
        let request = |_| edge.subscribe(json!({"topic": "x/y", "consumer": consumer}));
        let requests = futures_util::stream::iter((0..256).map(request));
        let answers: Vec<_> = requests.buffer_unordered(16).collect().await;
        assert!(answers.iter().all(|answer| answer.status == 201));
        let refused = request(0).await;
        let is_refused = (refused.status, &refused.json()["type"]) == (503, &json!("/problems/too-many"));
        assert!(is_refused, "{refused:?}");
    }
    let mut device = edge.device();
    for number in 0..1_100 {
        device.publish(&format!("made/up/{number}"), "x").await;
    }
    device.publish(&"long".repeat(100), "x").await;
    device.publish("last", "x").await;
    device.rest().await;
    edge.until("/v1/contents/last", |answer| answer.status == 200).await;
    let status = edge.status().await;
    assert_eq!((&status["topics"], &status["topics_forgotten"]), (&json!(1_024), &json!(77)));
    assert_eq!(status["messages_ignored"], 1);
    edge.close().await;
}

/// The smallest buffers and payloads larger than they are: counted, and nothing else suffers.
#[tokio::test]
async fn what_is_larger_than_the_buffer_is_counted() {
    let edge = Edge::open(GatewayOptions { buffer_bytes: [1_000; 3], ..options() }).await;
    let taker = Taker::open(Manner::Status(200)).await;
    let id = edge.subscribed(json!({"topic": "t", "callback_url": taker.url})).await;
    let mut device = edge.device();
    device.publish("t", vec![b'x'; 100_000]).await;
    device.publish("t", "small").await;
    assert_eq!(taker.received(1).await[0]["sequence"], 2);
    let counts: Value = edge.get(&format!("/v1/subscriptions/{id}")).await.json()["counts"].clone();
    assert_eq!((&counts["too_large"], &counts["offered"]), (&json!(1), &json!(2)));
    edge.close().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_be_says_why() {
    let bad_id = Gateway::build(GatewayOptions { id: "a/b".to_owned(), ..options() }).await;
    assert!(matches!(bad_id.err().unwrap(), GatewayError::Options(OptionsError::Id(_))));
    let first = Gateway::build(options()).await.unwrap();
    let second = Gateway::build(GatewayOptions { listen: first.address(), mqtt_listen: anywhere(), ..options() }).await;
    assert!(matches!(second.err().unwrap(), GatewayError::Listen { .. }));
}
