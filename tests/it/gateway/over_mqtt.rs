//! A gateway that reports over MQTT, and the orchestrator with its own broker: the documents, the rates and the refusals are
//! those of HTTP.

use std::time::Duration;

use api::access::{Role, TokenRequest};
use api::aggregator::AggregatorRates;
use gateway::options::GatewayOptions;
use mqtt::auth::Anonymous;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::edge::{Edge, Manner, PATIENCE, Taker, eventually, options, rates};
use crate::aggregator_mqtt::Office;
use crate::kernel::name;

const LONG_MS: u64 = 600_000;

fn led_over_mqtt(port: u16) -> GatewayOptions {
    GatewayOptions {
        id: "ag1".to_owned(),
        node: "a".to_owned(),
        orchestrator: Some(format!("mqtt://127.0.0.1:{port}")),
        fallback_bps: [1, 2, 3],
        ..options()
    }
}

async fn led(edge: &Edge) -> Value {
    let status = edge.until("/v1/status", |answer| answer.json()["rates_from"] == "orchestrator").await;
    status.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_are_obeyed_an_unknown_node_is_left_out_and_a_farewell_releases() {
    let office = Office::open(LONG_MS).await;
    let edge = Edge::open(GatewayOptions {
        generate: vec!["topic=plant/1/t,payload_bytes=100,rate_bps=80000".parse().unwrap()],
        ..led_over_mqtt(office.port)
    })
    .await;
    let taker = Taker::open(Manner::Status(200)).await;
    let subscription = |consumer: &str, node: &str| json!({"topic": "plant/#", "qos_level": 2, "callback_url": taker.url, "consumer": consumer, "node": node});
    edge.subscribed(subscription("client1", "c")).await;
    let rated = |status: &Value| status["levels"][2]["rate_bps"].as_u64().is_some_and(|bps| bps >= 80_000);
    edge.until("/v1/status", |answer| rated(&answer.json())).await;
    taker.received(20).await;
    assert_eq!(edge.status().await["rates_from"], "orchestrator");
    assert!(office.app.read(|state| state.allocation_count()) > 0);
    // One consumer at a node that does not exist takes no report with it, and its subscription says so.
    let lost = edge.subscribed(subscription("lost", "nowhere")).await;
    edge.until(&format!("/v1/subscriptions/{lost}"), |answer| answer.json()["state"] == "unknown_node").await;
    assert!(office.app.scheduler().refused() > 0);
    let (taken, failed) = report_counts(&edge).await;
    assert!(failed > 0, "a refused report is counted");
    eventually(|| async { (report_counts(&edge).await.0 > taken).then_some(()) }).await;
    let view = office.app.scheduler().aggregator(&name("ag1")).unwrap();
    assert_eq!(view.metadata.topics[0].subscribers.len(), 1, "{:?}", view.metadata);
    // A rate for another node follows.
    edge.subscribed(subscription("client2", "b")).await;
    eventually(|| async {
        let view = office.app.scheduler().aggregator(&name("ag1"))?;
        view.rates.levels[2].destinations.iter().any(|told| told.node.as_str() == "b").then_some(())
    })
    .await;
    edge.close().await;
    eventually(|| async { (office.app.read(|state| state.allocation_count()) == 0).then_some(()) }).await;
    office.close().await;
}

async fn report_counts(edge: &Edge) -> (u64, u64) {
    let reports = edge.status().await["reports"].clone();
    (reports["taken"].as_u64().unwrap(), reports["failed"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_asked_for_as_the_password() {
    let office = Office::open_for(LONG_MS, Anonymous::Never).await;
    let folder = tempfile::tempdir().unwrap();
    let with = |file: &str, token: &str| {
        let path = folder.path().join(file);
        std::fs::write(&path, token).unwrap();
        GatewayOptions { orchestrator_token_file: Some(path), ..led_over_mqtt(office.port) }
    };
    let request = |aggregator: &str| TokenRequest {
        name: format!("gateway {aggregator}"),
        role: Role::Aggregator,
        tenant: None,
        aggregator: Some(aggregator.to_owned()),
        expires_in_ms: None,
    };
    let (_, own) = office.tokens.create(&request("ag1")).await.unwrap();
    let (_, of_another) = office.tokens.create(&request("ag2")).await.unwrap();
    for wrong in [led_over_mqtt(office.port), with("wrong", "not-a-token"), with("another", &of_another)] {
        let edge = Edge::open(GatewayOptions { report_every_ms: 50, ..wrong }).await;
        // It is refused at the door, or its subscription is; the fallback rates hold.
        let refused = edge.until("/v1/status", |answer| answer.json()["reports"]["failed"] != 0).await.json();
        assert_eq!((&refused["rates_from"], &refused["reports"]["taken"]), (&json!("fallback"), &json!(0)));
        assert!(office.app.scheduler().aggregator(&name("ag1")).is_none());
        edge.close().await;
    }
    let edge = Edge::open(with("own", &own)).await;
    led(&edge).await;
    edge.close().await;
    office.close().await;
}

/// Of two gateways of one id the orchestrator believes the first, and the second is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_of_one_id_do_not_take_each_others_session() {
    let office = Office::open(LONG_MS).await;
    let first = Edge::open(led_over_mqtt(office.port)).await;
    led(&first).await;
    let second = Edge::open(led_over_mqtt(office.port)).await;
    second.until("/v1/status", |answer| answer.json()["reports"]["failed"].as_u64() > Some(1)).await;
    assert_eq!(second.status().await["rates_from"], "fallback");
    let (taken, failed) = report_counts(&first).await;
    eventually(|| async { (report_counts(&first).await.0 > taken + 2).then_some(()) }).await;
    assert_eq!(report_counts(&first).await.1, failed, "what is refused to the second is no failure of the first");
    // The first says farewell, and the second is believed.
    first.close().await;
    led(&second).await;
    second.close().await;
    office.close().await;
}

/// A broker of another make's client, without an orchestrator but the test.
struct Prompter {
    broker: mqtt::Broker,
    port: u16,
    client: AsyncClient,
    events: EventLoop,
}

impl Prompter {
    async fn open() -> Self {
        let broker = mqtt::Broker::embedded(mqtt::Settings::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listening = broker.clone();
        tokio::spawn(async move { listening.listen(listener).await });
        let mut options = MqttOptions::new("prompter", "127.0.0.1", port);
        options.set_max_packet_size(Some(1 << 20)).set_keep_alive(Duration::from_secs(60));
        let (client, events) = AsyncClient::new(options, 64);
        Self { broker, port, client, events }
    }

    /// Answers each report with rates, until the gateway is as wanted.
    async fn until(&mut self, said: &Value, wanted: impl AsyncFn() -> bool) {
        let (client, events) = (&self.client, &mut self.events);
        let answering = async {
            loop {
                let Event::Incoming(Packet::Publish(report)) = events.poll().await.unwrap() else { continue };
                if report.topic.ends_with(b"/metadata") {
                    let topic = "watermaster/v1/aggregators/ag1/rates";
                    client.try_publish(topic, QoS::AtLeastOnce, false, said.to_string()).unwrap();
                }
            }
        };
        let reached = eventually(|| async { wanted().await.then_some(()) });
        tokio::select! {
            () = answering => {}
            () = reached => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_without_an_orchestrator_is_a_failure_and_nonsense_changes_nothing() {
    let mut prompter = Prompter::open().await;
    let edge = Edge::open(led_over_mqtt(prompter.port)).await;
    let failed = edge.until("/v1/status", |answer| answer.json()["reports"]["failed"].as_u64() > Some(1)).await.json();
    assert_eq!((&failed["reports"]["taken"], &failed["rates_from"]), (&json!(0), &json!("fallback")));
    prompter.client.try_subscribe("watermaster/v1/aggregators/+/metadata", QoS::AtLeastOnce).unwrap();
    let rates_are = async |level: u64| edge.status().await["levels"][0]["rate_bps"] == level;
    prompter.until(&rates(5, LONG_MS, [500; 3], [5; 3]), async || rates_are(500).await).await;
    let mut other = rates(9, LONG_MS, [9; 3], [9; 3]);
    other["instance"] = json!("somebody-else");
    for said in [json!("hello"), json!({}), Value::Null, other, rates(4, LONG_MS, [4; 3], [4; 3])] {
        let (taken, _) = report_counts(&edge).await;
        prompter.until(&said, async || report_counts(&edge).await.0 > taken + 2).await;
        assert!(rates_are(500).await, "{said}");
    }
    prompter.until(&rates(6, LONG_MS, [600; 3], [5; 3]), async || rates_are(600).await).await;
    edge.close().await;
    prompter.broker.stop().await;
}

/// A broker that accepts connections and says nothing holds nothing up.
#[tokio::test]
async fn a_silent_broker_leaves_the_fallback_and_the_gateway_stops_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = Edge::open(led_over_mqtt(listener.local_addr().unwrap().port())).await;
    let (_accepted, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert_eq!(edge.status().await["rates_from"], "fallback");
    edge.close().await;
}

/// What was retained holds for what is left of its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_rates_do_not_outlive_their_lease() {
    let prompter = Prompter::open().await;
    let said = rates(5, LONG_MS, [500; 3], [5; 3]);
    let payload = serde_json::to_vec(&serde_json::from_value::<AggregatorRates>(said).unwrap()).unwrap();
    let message = mqtt::Message::new("watermaster/v1/aggregators/ag1/rates", payload, mqtt::codec::Qos::AtLeastOnce);
    let expires_at_ms = Some(mqtt::unix_ms() + 3_000);
    let client = prompter.broker.client("orchestrator").await.unwrap();
    client.publish(mqtt::Message { expires_at_ms, ..message.unwrap().retained() }).await.unwrap();
    let edge = Edge::open(led_over_mqtt(prompter.port)).await;
    led(&edge).await;
    // The fallback of these rates, long before the lease that they name.
    edge.until("/v1/status", |answer| answer.json()["rates_from"] == "fallback").await;
    assert_eq!(edge.status().await["levels"][0]["rate_bps"], 5);
    edge.close().await;
    prompter.broker.stop().await;
}
