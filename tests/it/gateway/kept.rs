//! With a folder of data nothing that was acknowledged is lost when the gateway stops; and without one nothing is lost
//! uncounted, and streams resume.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::edge::{Edge, Manner, PATIENCE, Taker, http, options};
use gateway::options::GatewayOptions;

/// The numbers of the messages of a stream up to `last`.
async fn read_stream(edge: &Edge, path: &str, after: Option<u64>, last: u64) -> Vec<u64> {
    let mut request = http().get(format!("{}{path}", edge.base));
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let mut stream = request.send().await.unwrap().bytes_stream();
    let (mut decoder, mut events) = (api::sse::SseDecoder::new(1 << 20), vec![]);
    let mut numbers = vec![];
    while numbers.last() != Some(&last) {
        let chunk = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        decoder.decode(&chunk, &mut events).unwrap();
        for event in events.drain(..).filter(|event| event.kind == "batch") {
            let batch: Value = serde_json::from_str(&event.data).unwrap();
            let messages = batch["messages"].as_array().unwrap().iter();
            numbers.extend(messages.map(|message| message["sequence"].as_u64().unwrap()));
        }
    }
    numbers
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let with_data = || GatewayOptions { data: Some(folder.path().to_owned()), ..options() };
    let edge = Edge::open(with_data()).await;
    let taker = Taker::open(Manner::Status(503)).await;
    let callback = edge.subscribed(json!({"topic": "t/#", "qos_level": 2, "callback_url": taker.url})).await;
    let stream = edge.subscribed(json!({"topic": "t/#", "consumer": "c"})).await;
    let mut device = edge.device();
    for number in 0..50 {
        device.publish(&format!("t/{}", number % 3), number.to_string()).await;
    }
    device.publish("nobody/reads", "last").await;
    device.rest().await;
    let before = edge.status().await;
    edge.close().await;

    let edge = Edge::open(with_data()).await;
    let status = edge.status().await;
    assert_eq!((&status["instance"], &status["spool"]["is_available"]), (&before["instance"], &json!(true)));
    taker.behave(Manner::Status(200));
    let messages = taker.received(50).await;
    assert!(messages.iter().zip(1..).all(|(message, sequence)| message["sequence"] == sequence), "{messages:?}");
    let path = format!("/v1/subscriptions/{stream}/stream");
    assert_eq!(read_stream(&edge, &path, Some(20), 50).await, (21..=50).collect::<Vec<_>>());
    // Numbers go on, and so do ids.
    let mut device = edge.device();
    device.publish("t/0", "after").await;
    device.rest().await;
    assert_eq!(taker.received(51).await[50]["sequence"], 51);
    let path = format!("/v1/subscriptions/{callback}");
    let counted = edge.until(&path, |answer| answer.json()["counts"]["delivered"] == 51).await;
    assert_eq!(counted.json()["counts"]["offered"], 51);
    let newer = edge.subscribed(json!({"topic": "t/9"})).await;
    assert!(newer.parse::<u64>().unwrap() > stream.parse().unwrap());
    assert_eq!(edge.get("/v1/contents/nobody/reads").await.text, "last");
    assert_eq!(edge.get("/v1/contents/t/1").await.text, "49");
    edge.close().await;
}

/// What arrived is not there again after a restart.
#[tokio::test]
async fn what_was_delivered_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let with_data = || GatewayOptions { data: Some(folder.path().to_owned()), ..options() };
    let edge = Edge::open(with_data()).await;
    let taker = Taker::open(Manner::Status(200)).await;
    let id = edge.subscribed(json!({"topic": "t", "callback_url": taker.url})).await;
    let path = format!("/v1/subscriptions/{id}");
    let mut device = edge.device();
    for number in 0..20 {
        device.publish("t", number.to_string()).await;
    }
    taker.received(20).await;
    edge.until(&path, |answer| answer.json()["counts"]["delivered"] == 20).await;
    edge.close().await;
    let edge = Edge::open(with_data()).await;
    assert_eq!(edge.get(&path).await.json()["waiting_bytes"], 0);
    assert_eq!(edge.send("DELETE", &path, "text/plain", "").await.status, 204);
    edge.close().await;
    let edge = Edge::open(with_data()).await;
    assert_eq!(edge.get(&path).await.status, 404);
    edge.close().await;
}

#[tokio::test]
async fn streams_resume_behind_what_their_reader_has() {
    let edge = Edge::open(options()).await;
    let id = edge.subscribed(json!({"topic": "t"})).await;
    let path = format!("/v1/subscriptions/{id}/stream");
    let mut device = edge.device();
    for number in 0..10 {
        device.publish("t", number.to_string()).await;
    }
    device.rest().await;
    assert_eq!(read_stream(&edge, &path, None, 10).await.len(), 10);
    assert_eq!(read_stream(&edge, &path, Some(4), 10).await, [5, 6, 7, 8, 9, 10]);
    // One who says nothing goes on after what was written.
    device.publish("t", "more").await;
    assert_eq!(read_stream(&edge, &path, None, 11).await, [11]);
    let wrong = http().get(format!("{}{path}", edge.base)).header("last-event-id", "x").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    edge.close().await;
}

/// However fast devices publish with QoS 0, each message is offered, and is delivered or counted as dropped.
#[tokio::test]
async fn bursts_of_qos_0_are_counted() {
    let edge = Edge::open(GatewayOptions { buffer_bytes: [20_000; 3], ..options() }).await;
    let taker = Taker::open(Manner::Status(200)).await;
    let id = edge.subscribed(json!({"topic": "t", "callback_url": taker.url})).await;
    let mut device = edge.device();
    const BURST: u64 = 20_000;
    for _ in 0..BURST {
        device.publish_unacknowledged("t", "x").await;
    }
    let is_whole = |answer: &super::edge::Answer| {
        let view = answer.json();
        let count = |name: &str| view["counts"][name].as_u64().unwrap();
        count("offered") == BURST && count("delivered") + count("overwritten") + count("refused") == BURST
    };
    edge.until(&format!("/v1/subscriptions/{id}"), is_whole).await;
    edge.close().await;
}

#[tokio::test]
async fn retained_messages_reach_new_subscriptions() {
    let edge = Edge::open(options()).await;
    let taker = Taker::open(Manner::Status(200)).await;
    let mut device = edge.device();
    device.publish_retained("state/door", "open").await;
    device.publish("state/window", "not retained").await;
    device.rest().await;
    edge.subscribed(json!({"topic": "state/#", "callback_url": taker.url})).await;
    let messages = taker.received(1).await;
    assert_eq!((&messages[0]["topic"], &messages[0]["payload"]), (&json!("state/door"), &json!("open")));
    let refused = edge.subscribe(json!({"topic": "$SYS/#"})).await;
    assert_eq!((refused.status, &refused.json()["field"]), (422, &json!("topic")));
    edge.close().await;
}

/// Policies are changed while the gateway runs, and stay with its data.
#[tokio::test]
async fn policies_are_changed_over_rest() {
    let folder = tempfile::tempdir().unwrap();
    let with_data = || GatewayOptions { data: Some(folder.path().to_owned()), buffer_bytes: [1_500; 3], ..options() };
    let edge = Edge::open(with_data()).await;
    let taker = Taker::open(Manner::Status(503)).await;
    let id = edge.subscribed(json!({"topic": "log/x", "callback_url": taker.url})).await;
    let levelled = json!({"topic": "plant/+/pressure", "qos_level": 2});
    let wanted = json!({"policy": "circular", "policies": [{"topic": "log/#", "policy": "fifo"}, levelled]});
    let set = |body: Value| edge.send("PUT", "/v1/policies", "application/json", body.to_string());
    assert_eq!(set(wanted.clone()).await.status, 200);
    let bad = set(json!({"policy": "fifo", "policies": [{"topic": "a/#/b", "policy": "fifo"}]})).await;
    assert_eq!((bad.status, &bad.json()["field"]), (422, &json!("policies")));
    let bad = set(json!({"policy": "fifo", "policies": [{"topic": "a"}]})).await;
    assert_eq!((bad.status, &bad.json()["field"]), (422, &json!("policies")));
    // A subscription that names no level has that of its topics, if all of them have it.
    let level_of = async |edge: &Edge, asked: Value| edge.subscribe(asked).await.json()["qos_level"].clone();
    assert_eq!(level_of(&edge, json!({"topic": "plant/1/pressure"})).await, 2);
    assert_eq!(level_of(&edge, json!({"topic": "plant/1/pressure", "qos_level": 1})).await, 1);
    assert_eq!(level_of(&edge, json!({"topic": "plant/1/+"})).await, 0);
    let mut device = edge.device();
    for number in 0..40 {
        device.publish("log/x", format!("{number:0>100}")).await;
    }
    device.rest().await;
    let counts = edge.get(&format!("/v1/subscriptions/{id}")).await.json()["counts"].clone();
    assert!(counts["refused"].as_u64().unwrap() > 20 && counts["overwritten"] == 0, "{counts}");
    edge.close().await;
    let edge = Edge::open(with_data()).await;
    assert_eq!(edge.get("/v1/policies").await.json(), wanted);
    assert_eq!(level_of(&edge, json!({"topic": "plant/+/pressure"})).await, 2);
    edge.close().await;
}
