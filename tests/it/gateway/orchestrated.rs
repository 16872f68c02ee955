//! What passes between a gateway and an orchestrator, and what becomes of the gateway without one.

use serde_json::{Value, json};

use super::edge::{Edge, Manner, Orchestrator, Taker, eventually, options, rates};
use gateway::options::GatewayOptions;

const LONG_MS: u64 = 600_000;

fn led_by(orchestrator: &Orchestrator) -> GatewayOptions {
    GatewayOptions {
        id: "ag1".to_owned(),
        node: "a".to_owned(),
        orchestrator: Some(orchestrator.stand.base.clone()),
        fallback_bps: [1, 2, 3],
        ..options()
    }
}

/// Until the gateway has these rates, from there.
async fn rates_become(edge: &Edge, from: &str, rates: [u64; 3]) {
    eventually(|| async {
        let status = edge.status().await;
        let found: Vec<_> =
            status["levels"].as_array().unwrap().iter().map(|level| level["rate_bps"].clone()).collect();
        (status["rates_from"] == from && found == rates.map(Value::from)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn reports_are_as_agreed_and_rates_are_obeyed() {
    let orchestrator = Orchestrator::open(rates(1, LONG_MS, [100_000, 200_000, 300_000], [10, 20, 30])).await;
    let edge = Edge::open(led_by(&orchestrator)).await;
    rates_become(&edge, "orchestrator", [100_000, 200_000, 300_000]).await;
    orchestrator.say(rates(2, LONG_MS, [0, 0, 8_000_000], [10, 20, 30]));
    rates_become(&edge, "orchestrator", [0, 0, 8_000_000]).await;

    let taker = Taker::open(Manner::Status(200)).await;
    for (level, consumer) in [(0, "idle"), (2, "keen")] {
        let body = json!({"topic": "plant/#", "qos_level": level, "callback_url": taker.url, "consumer": consumer, "node": "b"});
        edge.subscribed(body).await;
    }
    let mut device = edge.device();
    for _ in 0..20 {
        device.publish("plant/1", vec![b'x'; 500]).await;
        device.publish("unwanted", "y").await;
    }
    // Level 0 may send nothing: everything waits there. Level 2 sends all.
    let messages = taker.received(20).await;
    assert_eq!(messages.len(), 20);
    let full = |report: &Value| {
        report["levels"][0]["buffer_bytes"].as_u64().unwrap() > 20 * 500 && report["levels"][2]["buffer_bytes"] == 0
    };
    let report = orchestrator.report(full).await;
    assert_eq!((&report["node"], &report["levels"][0]["subscribers"]), (&json!("a"), &json!(1)));
    assert_eq!(
        report["levels"][1],
        json!({"qos_level": 1, "subscribers": 0, "buffer_bytes": 0, "buffer_capacity_bytes": 1_000_000, "arrival_bps": 0, "dropped": 0})
    );
    assert!(report["levels"][0]["arrival_bps"].as_u64().unwrap() > 0);
    let subscribers = |topic: &str, level: u64| {
        let topics = report["topics"].as_array().unwrap();
        let found = topics.iter().find(|told| told["topic"] == topic && told["qos_level"] == level);
        found.unwrap_or_else(|| panic!("{topics:?}"))["subscribers"].clone()
    };
    assert_eq!(subscribers("plant/1", 0), json!([{"consumer": "idle", "node": "b"}]));
    assert_eq!(subscribers("plant/1", 2), json!([{"consumer": "keen", "node": "b"}]));
    assert_eq!(subscribers("unwanted", 0), json!([]), "what nobody wants yet is offered");
    let reports = orchestrator.reports(3).await;
    assert!(
        reports.is_sorted_by(|before, after| before["at"].as_str() < after["at"].as_str()),
        "each newer than the last"
    );
    edge.close().await;
}

#[tokio::test]
async fn a_new_subscription_is_reported_at_once() {
    let orchestrator = Orchestrator::open(rates(1, LONG_MS, [1; 3], [1; 3])).await;
    let edge = Edge::open(GatewayOptions { report_every_ms: 3_600_000, ..led_by(&orchestrator) }).await;
    orchestrator.reports(1).await;
    let id = edge.subscribed(json!({"topic": "t"})).await;
    orchestrator.report(|report| report["levels"][0]["subscribers"] == 1).await;
    edge.send("DELETE", &format!("/v1/subscriptions/{id}"), "text/plain", "").await;
    orchestrator.report(|report| report["levels"][0]["subscribers"] == 0).await;
    edge.close().await;
}

#[tokio::test]
async fn without_the_orchestrator_the_lease_counts_then_the_fallback_and_it_is_found_again() {
    let orchestrator = Orchestrator::open(rates(8, 2_000, [700; 3], [10, 20, 30])).await;
    let address = orchestrator.stand.address;
    let edge = Edge::open(led_by(&orchestrator)).await;
    rates_become(&edge, "orchestrator", [700; 3]).await;
    drop(orchestrator);
    assert_eq!(edge.status().await["levels"][0]["rate_bps"], 700, "the last rates hold while the lease does");
    rates_become(&edge, "fallback", [10, 20, 30]).await;
    // Another one, which counts from the beginning, and knows nothing of the gateway.
    let mut again = rates(1, LONG_MS, [900; 3], [1; 3]);
    again["at"] = json!("2031-01-01T00:00:00Z");
    let orchestrator = Orchestrator::open_at(again, address).await;
    rates_become(&edge, "orchestrator", [900; 3]).await;
    orchestrator.reports(1).await;
    edge.close().await;
}

#[tokio::test]
async fn an_orchestrator_never_heard_of_leaves_the_fallback_of_the_options() {
    let edge = Edge::open(GatewayOptions { orchestrator: Some("http://127.0.0.1:1".to_owned()), ..options() }).await;
    rates_become(&edge, "fallback", [8_000_000; 3]).await;
    edge.close().await;
}

#[tokio::test]
async fn nonsense_from_the_orchestrator_changes_nothing() {
    let good = rates(5, LONG_MS, [500; 3], [5; 3]);
    let orchestrator = Orchestrator::open(good.clone()).await;
    let edge = Edge::open(led_by(&orchestrator)).await;
    rates_become(&edge, "orchestrator", [500; 3]).await;
    let mut old = rates(4, LONG_MS, [4; 3], [4; 3]);
    old["at"] = json!("2029-01-01T00:00:00Z");
    let mut twice = good.clone();
    twice["levels"] = json!([{"qos_level": 0, "rate_bps": 1}, {"qos_level": 0, "rate_bps": 2}]);
    let nonsense = [old, twice, json!("hello"), json!({"sequence": "9"}), json!({}), Value::Null];
    for said in nonsense {
        orchestrator.say(said);
        orchestrator.reports(orchestrator.heard() + 2).await;
        rates_become(&edge, "orchestrator", [500; 3]).await;
        orchestrator.say(good.clone());
        orchestrator.reports(orchestrator.heard() + 2).await;
    }
    orchestrator.say(rates(6, u64::MAX, [u64::MAX; 3], [6; 3]));
    rates_become(&edge, "orchestrator", [i64::MAX.unsigned_abs(); 3]).await;
    edge.close().await;
}

/// A consumer at a node that does not exist takes nobody else's report with it.
#[tokio::test]
async fn a_node_that_the_orchestrator_does_not_know_is_left_out() {
    let orchestrator = Orchestrator::open(rates(1, LONG_MS, [8_000_000; 3], [1; 3])).await;
    let edge = Edge::open(led_by(&orchestrator)).await;
    let taker = Taker::open(Manner::Status(200)).await;
    for (consumer, node) in [("honest", "b"), ("lost", "nowhere")] {
        edge.subscribed(json!({"topic": "t", "callback_url": taker.url, "consumer": consumer, "node": node})).await;
    }
    let mut device = edge.device();
    device.publish("t", "x").await;
    taker.received(2).await;
    let both = |report: &Value| report["topics"][0]["subscribers"].as_array().is_some_and(|told| told.len() == 2);
    orchestrator.report(both).await;
    let problem = json!({
        "type": "/problems/unknown-reference", "title": "Something named does not exist", "status": 422,
        "detail": "whatever it says", "field": "topics.subscribers.node", "nodes": ["nowhere"],
    });
    orchestrator.refuse(Some(problem));
    let one = orchestrator
        .report(|report| report["topics"][0]["subscribers"].as_array().is_some_and(|told| told.len() == 1))
        .await;
    assert_eq!(one["topics"][0]["subscribers"], json!([{"consumer": "honest", "node": "b"}]));
    orchestrator.refuse(None);
    edge.close().await;
}
