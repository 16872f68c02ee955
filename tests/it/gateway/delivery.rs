//! Messages from devices reach consumers in time and in order, and nobody waits for those who do not take theirs.

use futures_util::StreamExt;
use serde_json::json;

use super::edge::{Edge, Manner, Taker, eventually, options};
use api::gateway::OverflowPolicy;
use gateway::options::{GatewayOptions, TopicPolicy};

#[tokio::test]
async fn messages_reach_a_callback_in_order() {
    let edge = Edge::open(options()).await;
    let taker = Taker::open(Manner::Status(200)).await;
    let id = edge
        .subscribed(json!({"topic": "plant/+/t", "qos_level": 2, "callback_url": taker.url, "consumer": "c"}))
        .await;
    let mut device = edge.device();
    for number in 0..50 {
        device.publish("plant/1/t", number.to_string()).await;
    }
    device.publish("plant/1/p", "not wanted").await;
    device.publish("plant/2/t", vec![0xff, 0x00]).await;
    let messages = taker.received(51).await;
    assert!(messages.iter().zip(1..).all(|(message, sequence)| message["sequence"] == sequence), "{messages:?}");
    assert_eq!((&messages[49]["payload"], &messages[50]["payload_base64"]), (&json!("49"), &json!("/wA=")));
    let batch = &taker.batches()[0];
    assert_eq!((&batch["gateway"], &batch["subscription"]), (&json!("gateway"), &json!(id)));
    let path = format!("/v1/subscriptions/{id}");
    let view = edge.until(&path, |answer| answer.json()["counts"]["delivered"] == 51).await.json();
    assert_eq!((&view["waiting_bytes"], &view["failures"], &view["consumer"]), (&json!(0), &json!(0), &json!("c")));
    assert_eq!(edge.get("/v1/subscriptions").await.json()["items"][0]["id"], id);
    assert_eq!(edge.send("DELETE", &path, "text/plain", "").await.status, 204);
    assert_eq!(edge.get(&path).await.status, 404);
    edge.close().await;
}

#[tokio::test]
async fn the_last_value_is_served_by_name() {
    let edge = Edge::open(options()).await;
    let mut device = edge.device();
    for value in ["20", "21"] {
        device.publish("plant/1/t °C", value).await;
    }
    device.publish("other", "x").await;
    device.rest().await;
    edge.until("/v1/contents", |answer| answer.json()["items"].as_array().unwrap().len() == 2).await;
    let list = edge.get("/v1/contents?name=plant/%23").await.json();
    let item = &list["items"][0];
    assert_eq!(
        (&list["gateway"], &item["name"], &item["messages"]),
        (&json!("gateway"), &json!("plant/1/t °C"), &json!(2))
    );
    assert_eq!(edge.get(item["href"].as_str().unwrap()).await.text, "21");
    assert_eq!(edge.get("/v1/contents/plant/9").await.status, 404);
    edge.close().await;
}

/// Consumers that answer 500 for ever, hang, redirect, or are not there: each waits by itself, its data is bounded, and a
/// good one gets everything.
#[tokio::test]
async fn bad_consumers_delay_nobody() {
    let edge = Edge::open(GatewayOptions { buffer_bytes: [20_000; 3], ..options() }).await;
    let (failing, hanging) = (Taker::open(Manner::Status(500)).await, Taker::open(Manner::Hang).await);
    let (turning, good) = (Taker::open(Manner::Redirect).await, Taker::open(Manner::Status(200)).await);
    let nobody = "http://127.0.0.1:1/in".to_owned();
    for url in [&failing.url, &hanging.url, &turning.url, &nobody] {
        edge.subscribed(json!({"topic": "t", "callback_url": url})).await;
    }
    let id = edge.subscribed(json!({"topic": "t", "callback_url": good.url})).await;
    let mut device = edge.device();
    for number in 0..200 {
        device.publish("t", format!("{number:0>300}")).await;
        if number % 4 == 3 {
            // The good one keeps up; without this it would be a test of who is faster.
            good.received(number + 1).await;
        }
    }
    let messages = good.received(200).await;
    assert_eq!(messages.len(), 200);
    failing.attempts(3).await;
    turning.attempts(3).await;
    assert!((1..=2).contains(&hanging.attempts_so_far()));
    let status = edge.status().await;
    let level = &status["levels"][0];
    assert!(level["buffer_bytes"].as_u64().unwrap() <= 20_000, "{level}");
    assert!(level["counts"]["overwritten"].as_u64().unwrap() + level["counts"]["pushed_out"].as_u64().unwrap() > 0);
    let counts = edge.get(&format!("/v1/subscriptions/{id}")).await.json()["counts"].clone();
    assert_eq!(
        (&counts["offered"], &counts["overwritten"], &counts["pushed_out"]),
        (&json!(200), &json!(0), &json!(0))
    );
    // Back to its senses, the failing one gets what was kept for it.
    failing.behave(Manner::Status(200));
    let late = failing.received(1).await;
    assert!(late[0]["sequence"].as_u64().unwrap() > 1, "the oldest had to go");
    edge.close().await;
}

#[tokio::test]
async fn a_consumer_that_is_gone_or_is_ourselves_is_forgotten() {
    let edge = Edge::open(options()).await;
    let (gone, picky) = (Taker::open(Manner::Status(410)).await, Taker::open(Manner::Status(422)).await);
    let gone_id = edge.subscribed(json!({"topic": "t", "callback_url": gone.url})).await;
    let picky_id = edge.subscribed(json!({"topic": "t", "callback_url": picky.url})).await;
    // A name that leads to the gateway itself is found out by the first delivery.
    let detour = format!("http://localhost.:{}/v1/subscriptions", edge.address.port());
    let looping = edge.subscribe(json!({"topic": "t", "callback_url": detour})).await;
    let mut device = edge.device();
    device.publish("t", "x").await;
    edge.until(&format!("/v1/subscriptions/{gone_id}"), |answer| answer.status == 404).await;
    let is_rejected = |answer: &super::edge::Answer| answer.json()["counts"]["rejected"] == 1;
    edge.until(&format!("/v1/subscriptions/{picky_id}"), is_rejected).await;
    if looping.status == 201 {
        let id = looping.json()["id"].as_str().unwrap().to_owned();
        eventually(|| async {
            // It is ended at the first delivery, or the name cannot be resolved here and it waits.
            let answer = edge.get(&format!("/v1/subscriptions/{id}")).await;
            (answer.status == 404 || answer.json()["failures"].as_u64() > Some(0)).then_some(())
        })
        .await;
    }
    edge.close().await;
}

#[tokio::test]
async fn policies_are_by_topic() {
    let policies = vec![TopicPolicy { topic: "log/#".to_owned(), policy: Some(OverflowPolicy::Fifo), qos_level: None }];
    let edge = Edge::open(GatewayOptions { buffer_bytes: [1_500; 3], policies, ..options() }).await;
    let taker = Taker::open(Manner::Status(503)).await;
    let mut ids = vec![];
    for (topic, level) in [("log/x", 0), ("value", 1)] {
        ids.push(edge.subscribed(json!({"topic": topic, "qos_level": level, "callback_url": taker.url})).await);
    }
    let mut device = edge.device();
    for topic in ["log/x", "value"] {
        for number in 0..40 {
            device.publish(topic, format!("{number:0>100}")).await;
        }
    }
    device.rest().await;
    let mut counts = vec![];
    for id in &ids {
        let is_full = |answer: &super::edge::Answer| answer.json()["counts"]["offered"] == 40;
        counts.push(edge.until(&format!("/v1/subscriptions/{id}"), is_full).await.json()["counts"].clone());
    }
    assert!(counts[0]["refused"].as_u64().unwrap() > 20 && counts[0]["overwritten"] == 0, "{counts:?}");
    // While all that the small buffer holds is on its way, there is nothing to overwrite.
    assert!(counts[1]["overwritten"].as_u64().unwrap() > 0, "{counts:?}");
    edge.close().await;
}

#[tokio::test]
async fn a_stream_serves_who_cannot_be_reached_and_goes_on_after_a_break() {
    let edge = Edge::open(options()).await;
    let answer = edge.subscribe(json!({"topic": "t"})).await;
    let path = answer.json()["stream"].as_str().unwrap().to_owned();
    let mut device = edge.device();
    device.publish("t", "while nobody reads").await;
    device.rest().await;
    for (said, heard) in [("first", "while nobody reads"), ("second", "second")] {
        let mut stream = super::edge::http().get(format!("{}{path}", edge.base)).send().await.unwrap().bytes_stream();
        if said == "second" {
            device.publish("t", said).await;
        }
        let mut text = String::new();
        while !text.contains(heard) || !text.ends_with("\n\n") {
            let chunk = tokio::time::timeout(super::edge::PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let number = if said == "first" { 1 } else { 2 };
        assert!(text.starts_with(&format!("event: batch\nid: {number}\ndata: {{")), "{text}");
    }
    edge.close().await;
}
