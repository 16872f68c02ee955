//! Batches in a content coding: for consumers that accept one, in callbacks and on streams, and never for others.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use gateway::consumer::{BatchCoding, Consumer, ConsumerOptions, DeliveryMode, NameSources};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::edge::{Edge, Stand, anywhere, eventually, http, options};

/// The coding and the number of each message.
type Received = Vec<(Option<String>, u64)>;

/// A consumer that answers every batch with this `Accept-Encoding`, and refuses codings from `refusing` on.
#[derive(Clone, Default)]
struct Receiver {
    accepts: Option<&'static str>,
    is_refusing: Arc<Mutex<bool>>,
    received: Arc<Mutex<Received>>,
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let coding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap().to_owned());
    if coding.is_some() && *receiver.is_refusing.lock().unwrap() {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let mut plain = vec![];
    match coding.as_deref() {
        None => plain.extend_from_slice(&body),
        Some("zstd") => zstd::stream::copy_decode(&body[..], &mut plain).unwrap(),
        Some("gzip") => _ = flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap(),
        Some(other) => panic!("{other} was not accepted"),
    }
    let batch: Value = serde_json::from_slice(&plain).unwrap();
    let numbers = batch["messages"].as_array().unwrap().iter().map(|message| message["sequence"].as_u64().unwrap());
    receiver.received.lock().unwrap().extend(numbers.map(|number| (coding.clone(), number)));
    match receiver.accepts {
        Some(accepts) => (StatusCode::NO_CONTENT, [(header::ACCEPT_ENCODING, accepts)]).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

#[tokio::test]
async fn callbacks_get_the_coding_that_they_accept() {
    let edge = Edge::open(options()).await;
    let mut device = edge.device();
    for (topic, accepts, node, expected) in [
        ("a", Some("gzip;q=0.5, zstd"), "away", Some("zstd")),
        ("b", Some("gzip, br"), "away", Some("gzip")),
        ("c", None, "away", None),
        ("d", Some("br"), "away", None),
        // At the gateway's own node no link is spared by it.
        ("e", Some("zstd"), "here", None),
    ] {
        let node = if node == "here" { options().node } else { node.to_owned() };
        let receiver = Receiver { accepts, ..Receiver::default() };
        let stand = Stand::open(Router::new().fallback(receive).with_state(receiver.clone())).await;
        edge.subscribed(json!({"topic": topic, "node": node, "callback_url": format!("{}/in", stand.base)})).await;
        let received = |count: usize| {
            let receiver = receiver.clone();
            eventually(move || {
                let received = receiver.received.lock().unwrap().clone();
                async move { (received.len() >= count).then_some(received) }
            })
        };
        device.publish(topic, "1").await;
        assert_eq!(received(1).await, [(None, 1)], "the first batch is for every consumer");
        device.publish(topic, "2").await;
        assert_eq!(received(2).await[1], (expected.map(str::to_owned), 2), "{topic}");
        // Another consumer may listen there now: what it refuses comes again as it is.
        *receiver.is_refusing.lock().unwrap() = true;
        device.publish(topic, "3").await;
        assert_eq!(received(3).await[2], (None, 3), "{topic}");
    }
    edge.close().await;
}

#[tokio::test]
async fn streams_are_coded_for_readers_that_ask() {
    let edge = Edge::open(options()).await;
    let mut device = edge.device();
    for coding in [None, Some("zstd"), Some("gzip")] {
        let id = edge.subscribed(json!({"topic": "t", "node": "away"})).await;
        let mut request = http().get(format!("{}/v1/subscriptions/{id}/stream", edge.base));
        if let Some(coding) = coding {
            request = request.header("accept-encoding", coding);
        }
        let response = request.send().await.unwrap();
        let field = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(field("content-encoding").as_deref(), coding);
        assert_eq!(
            (field("content-type").as_deref(), field("vary").as_deref()),
            (Some("text/event-stream"), Some("accept-encoding"))
        );
        let (mut chunks, mut text) = (response.bytes_stream(), String::new());
        let mut unzip = flate2::write::GzDecoder::new(vec![]);
        let mut decode = zstd::stream::write::Decoder::new(vec![]).unwrap();
        for number in 1..4 {
            device.publish("t", format!("value {number}")).await;
            // What was published can be read before anything follows.
            while !text.contains(&format!("value {number}")) {
                let chunk = chunks.next().await.unwrap().unwrap();
                let plain = match coding {
                    None => chunk.to_vec(),
                    Some("gzip") => {
                        unzip.write_all(&chunk).unwrap();
                        unzip.flush().unwrap();
                        std::mem::take(unzip.get_mut())
                    }
                    Some(_) => {
                        decode.write_all(&chunk).unwrap();
                        decode.flush().unwrap();
                        std::mem::take(decode.get_mut())
                    }
                };
                text.push_str(std::str::from_utf8(&plain).unwrap());
            }
        }
        assert!(text.starts_with("event: batch\nid: 1\ndata: {\"gateway\":"), "{text}");
        assert_eq!(edge.send("DELETE", &format!("/v1/subscriptions/{id}"), "text/plain", "").await.status, 204);
    }
    edge.close().await;
}

/// A few kilobytes that would decode to 64 MiB are refused at the limit of a batch.
#[tokio::test]
async fn a_consumer_refuses_bombs_and_codings_that_it_does_not_know() {
    let edge = Edge::open(options()).await;
    let told = ConsumerOptions {
        name: "client1".to_owned(),
        node: Some("b".to_owned()),
        subscriptions: vec![format!("gateway={},topic=t", edge.base).parse().unwrap()],
        orchestrator: None,
        orchestrator_authorization: None,
        names: vec![],
        sources: NameSources::All,
        delivery: DeliveryMode::Callback { listen: anywhere(), public_url: None },
        coding: BatchCoding::Zstd,
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(Consumer::build(told).await.unwrap().run(stop.clone(), |_| true));
    let listed = edge.until("/v1/subscriptions", |answer| answer.text.contains("callback_url")).await.json();
    let url = listed["items"][0]["callback_url"].as_str().unwrap();
    let post = async |coding: &str, body: Vec<u8>| {
        let request = http().post(url).header("content-type", "application/json");
        let answer = request.header("content-encoding", coding).body(body).send().await.unwrap();
        let accepts = answer.headers().get("accept-encoding").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), accepts)
    };
    let bomb = zstd::encode_all(std::io::repeat(b' ').take(64 << 20), 1).unwrap();
    assert!(bomb.len() < 10_000, "{}", bomb.len());
    assert_eq!(post("zstd", bomb).await, (413, None));
    assert_eq!(post("zstd", b"not zstd".to_vec()).await, (400, None));
    assert_eq!(post("br", b"{}".to_vec()).await, (415, Some("zstd".to_owned())));
    stop.cancel();
    running.await.unwrap().unwrap();
    edge.close().await;
}
