//! The orchestrator over MQTT, by a client of another make: metadata in, retained rates out, birth and will; and what the
//! AsyncAPI document shows is what is spoken.

use std::path::Path;
use std::time::Duration;

use api::access::{Role, TokenRequest};
use api::aggregator::{AggregatorFault, AggregatorMetadata, AggregatorRates};
use api::instant::Instant;
use kernel::Command;
use kernel::command::{Expected, OnMisfit};
use kernel::scheduler::SchedulerSettings;
use kernel::units::Millis;
use mqtt::auth::Anonymous;
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use watermaster::aggregator_mqtt;
use watermaster::app::{App, AppOptions, Pace, SchedulerOptions, Tasks};
use watermaster::auth::{Authenticator, TokenStore};
use watermaster::journal::Journal;
use watermaster::service::REPORT_PROBLEMS;

use crate::kernel::{name, network};

const PREFIX: &str = "watermaster/v1/aggregators";

/// The orchestrator with a broker of its own.
pub(crate) struct Office {
    pub(crate) app: App,
    tasks: Tasks,
    broker: mqtt::Broker,
    pub(crate) tokens: TokenStore,
    pub(crate) port: u16,
    _folder: tempfile::TempDir,
}

impl Office {
    pub(crate) async fn open(lease_ms: u64) -> Self {
        Self::open_for(lease_ms, Anonymous::default()).await
    }

    pub(crate) async fn open_for(lease_ms: u64, anonymous: Anonymous) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/journal.db", folder.path().display()).parse().unwrap();
        let settings = SchedulerSettings { lease_ms, ..SchedulerSettings::default() };
        let options = SchedulerOptions { settings, topology: None, pace: Pace::Reactive };
        let journal = Journal::open(&url).await.unwrap();
        let tokens = TokenStore::open(journal.clone(), None, || Millis(1)).await.unwrap();
        let (app, tasks) =
            App::start_with(journal, AppOptions { scheduler: options, ..AppOptions::default() }).await.unwrap();
        let put = Command::PutTopology {
            name: name("net"),
            topology: std::sync::Arc::new(network(&[("a-b", 100_000_000), ("b-c", 100_000_000)])),
            expected: Expected::Unsaid,
            misfits: OnMisfit::Refuse,
        };
        app.submit_one(put, watermaster::app::Mode::Commit, None).await.unwrap().unwrap();
        let (policy, faults) = aggregator_mqtt::BrokerPolicy::new(Authenticator::new(tokens.clone(), false));
        let access = std::sync::Arc::new(mqtt::auth::Access::new(anonymous, None, None).with_policy(policy));
        let broker = mqtt::Broker::embedded(mqtt::Settings { access, ..mqtt::Settings::default() }).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listening = broker.clone();
        tokio::spawn(async move { listening.listen(listener).await });
        tokio::spawn(aggregator_mqtt::run(app.clone(), broker.clone(), faults, REPORT_PROBLEMS));
        Self { app, tasks, broker, tokens, port, _folder: folder }
    }

    pub(crate) async fn close(self) {
        self.broker.stop().await;
        self.tasks.stop(&self.app).await;
    }

    /// A client that has subscribed to `filter`.
    async fn client(&self, id: &str, filter: &str, will: Option<LastWill>) -> Client {
        let mut options = MqttOptions::new(id, "127.0.0.1", self.port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        if let Some(will) = will {
            options.set_last_will(will);
        }
        let (sender, events) = AsyncClient::new(options, 16);
        let mut client = Client { sender, events };
        client.sender.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        while !matches!(client.event().await, Event::Incoming(Packet::SubAck(_))) {}
        client
    }

    fn metadata(&self, arrival_bps: u64) -> Value {
        json!({
            "node": "a", "at": Instant(self.app.now().0),
            "topics": [{"topic": "t", "qos_level": 1, "arrival_bps": arrival_bps,
                "subscribers": [{"consumer": "client1", "node": "c"}]}]
        })
    }
}

struct Client {
    sender: AsyncClient,
    events: EventLoop,
}

impl Client {
    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(20), self.events.poll()).await;
        event.unwrap().unwrap()
    }

    async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.sender.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
    }

    /// The next message that came in.
    async fn next(&mut self) -> (String, bool, Vec<u8>) {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = self.event().await {
                return (publish.topic.clone(), publish.retain, publish.payload.to_vec());
            }
        }
    }

    async fn rates(&mut self) -> AggregatorRates {
        serde_json::from_slice(&self.next().await.2).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_becomes_retained_rates_and_the_will_ends_a_boost() {
    let office = Office::open(600_000).await;
    let (rates_topic, state_topic) = (format!("{PREFIX}/ag1/rates"), format!("{PREFIX}/ag1/state"));
    let will = LastWill::new(&state_topic, "lost", QoS::AtLeastOnce, true);
    let mut aggregator = office.client("ag1", &rates_topic, Some(will)).await;
    aggregator.publish(&state_topic, "online").await;
    let mut metadata = office.metadata(1_000_000);
    metadata["levels"] = json!([{"qos_level": 1, "buffer_bytes": 900_000, "buffer_capacity_bytes": 1_000_000, "arrival_bps": 1_000_000}]);
    aggregator.publish(&format!("{PREFIX}/ag1/metadata"), metadata.to_string()).await;
    let (topic, _, payload) = aggregator.next().await;
    assert_eq!(topic, rates_topic);
    let rates: AggregatorRates = serde_json::from_slice(&payload).unwrap();
    assert!(rates.levels[1].rate_bps >= 4_600_000, "{rates:?}");
    assert_eq!(rates.levels[1].destinations[0].node, "c");
    // Who comes later is told what is retained.
    let mut watcher = office.client("watcher", &rates_topic, None).await;
    let (_, retained, payload) = watcher.next().await;
    assert!(retained);
    assert_eq!(serde_json::from_slice::<AggregatorRates>(&payload).unwrap(), rates);
    // Without reports nothing renews them, whatever became of this instance.
    let kept = office.broker.retained(Some(&rates_topic), None, 1);
    let expires_at_ms = kept[0].expires_at_ms.unwrap();
    assert!((rates.at.0 + 600_000..=office.app.now().0 + 600_000).contains(&expires_at_ms));
    // The connection breaks: the will is published, and the backlog counts no longer.
    drop(aggregator);
    let after = watcher.rates().await;
    assert!(after.sequence > rates.sequence && after.levels[1].rate_bps < 2_000_000, "{after:?}");
    assert!(after.levels[1].rate_bps >= 1_000_000);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_forgotten_leaves_nothing_retained() {
    let office = Office::open(100).await;
    let mut aggregator = office.client("ag1", &format!("{PREFIX}/+/rates"), None).await;
    aggregator.publish(&format!("{PREFIX}/ag1/metadata"), office.metadata(1_000_000).to_string()).await;
    let mut told = vec![];
    loop {
        let (_, _, payload) = aggregator.next().await;
        if payload.is_empty() {
            break;
        }
        let rates: AggregatorRates = serde_json::from_slice(&payload).unwrap();
        assert!(told.last().is_none_or(|last: &AggregatorRates| last.sequence < rates.sequence));
        told.push(rates);
    }
    assert_eq!(told.last().unwrap().levels[1].rate_bps, 0, "lost before it is forgotten");
    assert_eq!(office.app.read(|state| state.allocation_count()), 0);
    assert!(office.app.scheduler().aggregators(None, 10).is_empty());
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_else_is_published_changes_nothing_for_others() {
    let office = Office::open(600_000).await;
    let mut client = office.client("ag1", &format!("{PREFIX}/+/rates"), None).await;
    let nowhere = json!({"node": "zz", "at": Instant(office.app.now().0)});
    let future = json!({"node": "a", "at": "2999-01-01T00:00:00Z"});
    for payload in [
        b"".to_vec(),
        b"{".to_vec(),
        vec![b' '; 300_000],
        vec![0xFF; 9],
        nowhere.to_string().into_bytes(),
        future.to_string().into_bytes(),
    ] {
        client.publish(&format!("{PREFIX}/bad/metadata"), payload).await;
    }
    client.publish(&format!("{PREFIX}/$x/metadata"), office.metadata(1).to_string()).await;
    client.publish(&format!("{PREFIX}/bad/state"), "confused").await;
    client.publish(&format!("{PREFIX}/unheard/state"), "lost").await;
    client.publish("somewhere/else", "ordinary").await;
    client.publish(&format!("{PREFIX}/good/metadata"), office.metadata(1_000_000).to_string()).await;
    let (topic, _, _) = client.next().await;
    assert_eq!(topic, format!("{PREFIX}/good/rates"));
    let known = office.app.scheduler().aggregators(None, 10);
    assert_eq!(known.iter().map(|view| view.id.as_str()).collect::<Vec<_>>(), ["good"]);
    office.close().await;
}

#[test]
fn the_document_shows_what_is_spoken() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/asyncapi-v1.yaml");
    let document: Value = yaml_serde::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(document["asyncapi"], "3.0.0");
    let example = |message: &str| document["components"]["messages"][message]["examples"][0]["payload"].clone();
    let metadata: AggregatorMetadata = serde_json::from_value(example("metadata")).unwrap();
    assert_eq!(serde_json::to_value(&metadata).unwrap(), example("metadata"), "the example leaves something out");
    formats::aggregator::report(&metadata).unwrap();
    let rates: AggregatorRates = serde_json::from_value(example("rates")).unwrap();
    assert_eq!(serde_json::to_value(&rates).unwrap(), example("rates"), "the example leaves something out");
    let fault: AggregatorFault = serde_json::from_value(example("errors")).unwrap();
    assert_eq!(serde_json::to_value(&fault).unwrap(), example("errors"), "the example leaves something out");
    // Member by member, at every depth, the schemas have what the examples have.
    for message in ["metadata", "rates", "errors"] {
        covers(&document, &document["components"]["schemas"][message], &example(message), message);
    }
    for channel in ["metadata", "rates", "state", "errors"] {
        assert_eq!(document["channels"][channel]["address"], format!("{PREFIX}/{{id}}/{channel}"));
    }
    // The stream is one that the REST interface has.
    let rest = serde_json::to_value(watermaster::http::document()).unwrap();
    let address = document["channels"]["ratesStream"]["address"].as_str().unwrap();
    assert!(rest["paths"][address].is_object());
}

fn covers(document: &Value, schema: &Value, example: &Value, at: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    match example {
        Value::Object(members) => {
            let properties = schema["properties"].as_object().unwrap();
            let said: Vec<_> = members.keys().collect();
            // What an answer has only sometimes is shown by one example and not by another.
            let sometimes = ["unserved"];
            let known: Vec<_> = properties.keys().filter(|key| said.contains(key)).collect();
            let missing = properties.keys().filter(|key| !said.contains(key) && !sometimes.contains(&key.as_str()));
            assert_eq!(missing.collect::<Vec<_>>(), Vec::<&String>::new(), "{at}: the example has {said:?}");
            assert_eq!(said.len(), known.len(), "{at}: the schema lacks some of {said:?}");
            members.iter().for_each(|(key, value)| covers(document, &properties[key], value, key));
        }
        Value::Array(items) => items.iter().for_each(|item| covers(document, &schema["items"], item, at)),
        Value::String(_) => assert_eq!(schema["type"], "string", "{at}"),
        Value::Number(_) => assert_eq!(schema["type"], "integer", "{at}"),
        other => panic!("{at}: {other}"),
    }
}

/// What aggregators are told is the service's to say; what they report wrongly they are told.
#[tokio::test]
async fn nobody_else_says_rates_and_a_refused_report_is_told() {
    let office = Office::open(10_000).await;
    let mut client = office.client("other", &format!("{PREFIX}/+/rates"), None).await;
    client.publish(&format!("{PREFIX}/ag1/rates"), "{}").await;
    client.publish(&format!("{PREFIX}/ag1/errors"), "{}").await;
    client.sender.subscribe(format!("{PREFIX}/+/errors"), QoS::AtLeastOnce).await.unwrap();
    let (reported_at, mut told_last) = (Instant(office.app.now().0), Value::Null);
    let lost = json!({"node": "nowhere", "at": reported_at, "instance": "first"});
    let (malformed, unknown) = (("/problems/malformed-body", 400), ("/problems/unknown-reference", 422));
    for (report, told, (kind, status)) in [
        ("nonsense".to_owned(), "expected ident at line 1", malformed),
        (json!({"node": "a", "at": "yesterday"}).to_string(), "RFC 3339", malformed),
        (lost.to_string(), "nowhere", unknown),
    ] {
        client.publish(&format!("{PREFIX}/ag1/metadata"), report).await;
        let (topic, retained, payload) = client.next().await;
        assert_eq!((topic.as_str(), retained), ("watermaster/v1/aggregators/ag1/errors", false));
        let document: Value = serde_json::from_slice(&payload).unwrap();
        assert!(document["detail"].as_str().unwrap().contains(told), "{document}");
        assert_eq!((&document["type"], &document["status"]), (&json!(kind), &json!(status)), "{document}");
        told_last = document;
    }
    // The last is about a report that could be read: which one, and what it names.
    let fault: AggregatorFault = serde_json::from_value(told_last).unwrap();
    assert_eq!((fault.report_at, fault.report_instance.as_deref()), (Some(reported_at), Some("first")));
    assert_eq!(fault.problem.nodes, Some(vec!["nowhere".to_owned()]));
    assert_eq!(office.app.scheduler().refused(), 3);
    office.close().await;
}

/// An access token is a password: its bearer may do over MQTT what the role says, and goes when it is revoked.
#[tokio::test]
async fn a_token_is_a_password() {
    let office = Office::open(10_000).await;
    let request = TokenRequest {
        name: "gateway one".to_owned(),
        role: Role::Aggregator,
        tenant: None,
        aggregator: Some("ag1".to_owned()),
        expires_in_ms: None,
    };
    let (_, token) = office.tokens.create(&request).await.unwrap();
    let mut options = MqttOptions::new("any", "127.0.0.1", office.port);
    options.set_credentials("whoever", token);
    let (sender, events) = AsyncClient::new(options, 16);
    let mut client = Client { sender, events };
    for (filter, granted) in
        [(format!("{PREFIX}/ag1/rates"), true), (format!("{PREFIX}/ag2/rates"), false), ("#".to_owned(), false)]
    {
        client.sender.subscribe(&filter, QoS::AtLeastOnce).await.unwrap();
        loop {
            if let Event::Incoming(Packet::SubAck(answer)) = client.event().await {
                let is_granted = answer.return_codes[0] != rumqttc::SubscribeReasonCode::Failure;
                assert_eq!(is_granted, granted, "{filter}");
                break;
            }
        }
    }
    // Nothing is no password, whatever the tokens are.
    let access = mqtt::auth::Access::new(Anonymous::Never, None, None);
    let (policy, _) = aggregator_mqtt::BrokerPolicy::new(Authenticator::new(office.tokens.clone(), false));
    let access = access.with_policy(policy);
    for nothing in [None, Some(&b""[..])] {
        assert!(access.admit(Some("x"), nothing, Some("192.0.2.1:1".parse().unwrap())).await.is_err());
    }
    client.publish(&format!("{PREFIX}/ag2/metadata"), office.metadata(1_000).to_string()).await;
    client.publish(&format!("{PREFIX}/ag1/metadata"), office.metadata(1_000).to_string()).await;
    let (topic, ..) = client.next().await;
    assert_eq!(topic, format!("{PREFIX}/ag1/rates"));
    assert!(office.app.scheduler().aggregator(&name("ag2")).is_none());
    office.close().await;
}
