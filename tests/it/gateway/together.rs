//! The gateway and the orchestrator of this crate: they share nothing but the documents.

use api::aggregator::AggregatorMetadata;
use serde_json::json;
use watermaster::app::App;
use watermaster::http::{Context, router};
use watermaster::journal::Journal;

use super::edge::{Edge, Manner, Orchestrator, Stand, Taker, eventually, http, options, rates};
use gateway::options::GatewayOptions;

/// Two nodes with one fibre of 10 Mbit/s.
const PAIR: &str = r#"{
    "nodes": [{"id": "a"}, {"id": "b"}],
    "links": [{"id": "ab", "from": "a", "to": "b", "capacity_bps": 10000000, "bidirectional": true}]
}"#;

#[tokio::test]
async fn rates_are_backed_by_allocations_and_messages_flow() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/journal.db", folder.path().display()).parse().unwrap();
    let (app, tasks) = App::start(Journal::open(&url).await.unwrap()).await.unwrap();
    let stand = Stand::open(router(Context::new(app.clone(), "test"))).await;
    let put = http().put(format!("{}/v1/topologies/net", stand.base)).header("content-type", "application/json");
    assert_eq!(put.body(PAIR).send().await.unwrap().status(), 201);

    let told = GatewayOptions {
        id: "ag1".to_owned(),
        node: "a".to_owned(),
        orchestrator: Some(stand.base.clone()),
        fallback_bps: [0; 3],
        generate: vec!["topic=plant/1/t,payload_bytes=100,rate_bps=80000".parse().unwrap()],
        ..options()
    };
    let edge = Edge::open(told).await;
    let taker = Taker::open(Manner::Status(200)).await;
    for (consumer, node, level) in [("client1", "b", 2), ("lost", "nowhere", 0)] {
        let body = json!({"topic": "plant/#", "qos_level": level, "callback_url": taker.url, "consumer": consumer, "node": node});
        edge.subscribed(body).await;
    }
    taker.received(20).await;
    let allocations = async || {
        let answer = http().get(format!("{}/v1/allocations?aggregator=ag1", stand.base)).send().await.unwrap();
        serde_json::from_str::<serde_json::Value>(&answer.text().await.unwrap()).unwrap()
    };
    let before = allocations().await;
    let backing = &before["items"][0];
    assert_eq!(
        (&backing["ingress"], &backing["egress"], &backing["class_type"]),
        (&json!("a"), &json!("b"), &json!(2))
    );
    let status = edge.status().await;
    assert_eq!(status["rates_from"], "orchestrator");
    // The reservation may have been resized between the two questions.
    let after = allocations().await;
    let backed = backing["bandwidth_bps"].as_u64().max(after["items"][0]["bandwidth_bps"].as_u64());
    assert!(status["levels"][2]["rate_bps"].as_u64() <= backed, "{status} {before} {after}");
    edge.close().await;
    app.stopping().cancel();
    drop(stand);
    tasks.stop(&app).await;
}

/// What the gateway writes is what the orchestrator reads, to the last member.
#[tokio::test]
async fn the_documents_agree() {
    let orchestrator = Orchestrator::open(rates(1, 60_000, [1_000_000; 3], [1; 3])).await;
    let edge = Edge::open(GatewayOptions { orchestrator: Some(orchestrator.stand.base.clone()), ..options() }).await;
    edge.subscribed(json!({"topic": "#", "qos_level": 1, "node": "b"})).await;
    let mut device = edge.device();
    device.publish("plant/1/t", "x").await;
    let report =
        orchestrator.report(|report| report["topics"].as_array().is_some_and(|topics| !topics.is_empty())).await;
    let document: AggregatorMetadata = serde_json::from_value(report).unwrap();
    let metadata = formats::aggregator::report(&document).unwrap();
    assert_eq!((metadata.node.as_str(), metadata.topics[0].topic.as_str()), ("gateway", "plant/1/t"));
    eventually(|| async { (edge.status().await["rates_sequence"] == 1).then_some(()) }).await;
    edge.close().await;
}
