//! The consumer of the crate at several gateways of the crate.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::edge::{Edge, PATIENCE, anywhere, eventually, options};
use gateway::consumer::stats::{ConsumerSummary, MessageLog};
use gateway::consumer::{BatchCoding, Consumer, ConsumerError, ConsumerOptions, DeliveryMode, NameSources};
use gateway::options::GatewayOptions;

struct Client {
    lines: Arc<Mutex<Vec<MessageLog>>>,
    stop: CancellationToken,
    running: JoinHandle<Result<ConsumerSummary, ConsumerError>>,
}

impl Client {
    async fn open(reach: DeliveryMode, wishes: &[(&Edge, &str, u8)]) -> Self {
        let wish = |(edge, topic, level): &(&Edge, &str, u8)| {
            format!("gateway={},topic={topic},qos_level={level}", edge.base).parse().unwrap()
        };
        let wishes = wishes.iter().map(wish).collect();
        let told = ConsumerOptions {
            name: "client1".to_owned(),
            node: Some("b".to_owned()),
            subscriptions: wishes,
            orchestrator: None,
            orchestrator_authorization: None,
            names: vec![],
            sources: NameSources::All,
            delivery: reach,
            coding: BatchCoding::default(),
        };
        let consumer = Consumer::build(told).await.unwrap();
        let (lines, stop) = (Arc::new(Mutex::new(vec![])), CancellationToken::new());
        let log = Arc::clone(&lines);
        let running = tokio::spawn(consumer.run(stop.clone(), move |line| {
            log.lock().unwrap().push(line.clone());
            true
        }));
        Self { lines, stop, running }
    }

    async fn until(&self, is_good: impl Fn(&[MessageLog]) -> bool) {
        eventually(|| async { is_good(&self.lines.lock().unwrap()).then_some(()) }).await;
    }

    async fn close(self) -> ConsumerSummary {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap()
    }
}

fn with_source(id: &str, topic: &str) -> GatewayOptions {
    let source = format!("topic={topic},payload_bytes=50,rate_bps=40000").parse().unwrap();
    GatewayOptions { id: id.to_owned(), generate: vec![source], ..options() }
}

async fn subscriptions(edge: &Edge) -> usize {
    edge.get("/v1/subscriptions").await.json()["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn two_gateways_feed_one_consumer_both_ways() {
    let (one, two) = (Edge::open(with_source("ag1", "a/t")).await, Edge::open(with_source("ag2", "b/t")).await);
    for reach in [DeliveryMode::Callback { listen: anywhere(), public_url: None }, DeliveryMode::Stream] {
        let client = Client::open(reach, &[(&one, "a/#", 2), (&two, "b/t", 1)]).await;
        let both = |lines: &[MessageLog]| {
            ["ag1", "ag2"].iter().all(|id| lines.iter().filter(|line| line.gateway == *id).count() >= 20)
        };
        client.until(both).await;
        let views = one.get("/v1/subscriptions").await.json();
        assert_eq!((&views["items"][0]["consumer"], &views["items"][0]["node"]), (&json!("client1"), &json!("b")));
        let summary = client.close().await;
        assert_eq!(summary.subscriptions.len(), 2);
        for told in &summary.subscriptions {
            assert_eq!((told.missing, told.repeated, told.subscribed), (0, 0, 1), "{told:?}");
            assert!(told.messages >= 20);
        }
        assert_eq!(summary.topics.iter().map(|told| told.topic.as_str()).collect::<Vec<_>>(), ["a/t", "b/t"]);
        assert!(summary.topics.iter().all(|told| told.bytes == told.messages * 50 && told.mean_bps > 0));
        // It leaves nothing behind.
        assert_eq!((subscriptions(&one).await, subscriptions(&two).await), (0, 0));
    }
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_gateway_that_restarts_is_subscribed_to_again() {
    for reach in [DeliveryMode::Callback { listen: anywhere(), public_url: None }, DeliveryMode::Stream] {
        let edge = Edge::open(with_source("ag1", "t")).await;
        let address = edge.address;
        let client = Client::open(reach, &[(&edge, "t", 0)]).await;
        client.until(|lines| lines.len() >= 3).await;
        edge.close().await;
        let before = client.lines.lock().unwrap().len();
        let again = Edge::open(GatewayOptions { listen: address, ..with_source("ag1", "t") }).await;
        client.until(|lines| lines.len() >= before + 3).await;
        let summary = client.close().await;
        assert_eq!(summary.subscriptions[0].subscribed, 2);
        assert_eq!(subscriptions(&again).await, 0);
        again.close().await;
    }
}

#[tokio::test]
async fn a_consumer_that_forgot_a_subscription_ends_it() {
    let edge = Edge::open(with_source("ag1", "t")).await;
    let client =
        Client::open(DeliveryMode::Callback { listen: anywhere(), public_url: None }, &[(&edge, "t", 0)]).await;
    client.until(|lines| !lines.is_empty()).await;
    let url = edge.get("/v1/subscriptions").await.json()["items"][0]["callback_url"].as_str().unwrap().to_owned();
    let (stale, _) = url.rsplit_once('/').unwrap();
    let id = edge.subscribed(json!({"topic": "t", "callback_url": format!("{stale}/0123456789abcdef")})).await;
    edge.until(&format!("/v1/subscriptions/{id}"), |answer| answer.status == 404).await;
    client.close().await;
    edge.close().await;
}
