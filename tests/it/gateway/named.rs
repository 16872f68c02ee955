//! Content by name: whoever wants it asks the orchestrator who has it, and is sent to the gateway. And who may speak under
//! the name of a gateway.

use api::client::Client;
use gateway::consumer::{BatchCoding, Consumer, ConsumerError, ConsumerOptions, DeliveryMode, NameSources};
use gateway::options::GatewayOptions;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watermaster::app::{App, Tasks};
use watermaster::http::{Context, router};
use watermaster::journal::Journal;

use super::edge::{Edge, PATIENCE, Stand, anywhere, eventually, http, options};

/// Two nodes with one fibre of 10 Mbit/s.
const PAIR: &str = r#"{
    "nodes": [{"id": "a"}, {"id": "b"}],
    "links": [{"id": "ab", "from": "a", "to": "b", "capacity_bps": 10000000, "bidirectional": true}]
}"#;

/// A whole orchestrator.
struct Real {
    app: App,
    tasks: Tasks,
    stand: Stand,
    _folder: tempfile::TempDir,
}

impl Real {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/journal.db", folder.path().display()).parse().unwrap();
        let (app, tasks) = App::start(Journal::open(&url).await.unwrap()).await.unwrap();
        let stand = Stand::open(router(Context::new(app.clone(), "test"))).await;
        let put = http().put(format!("{}/v1/topologies/net", stand.base)).header("content-type", "application/json");
        assert_eq!(put.body(PAIR).send().await.unwrap().status(), 201);
        Self { app, tasks, stand, _folder: folder }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = http().get(format!("{}{path}", self.stand.base)).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// What a gateway is told to report here.
    fn edge(&self, id: &str, topic: &str) -> GatewayOptions {
        let source = format!("topic={topic},payload_bytes=50,rate_bps=40000").parse().unwrap();
        GatewayOptions {
            id: id.to_owned(),
            node: "a".to_owned(),
            orchestrator: Some(self.stand.base.clone()),
            generate: vec![source],
            ..options()
        }
    }

    /// What a consumer is told that asks here for a name.
    fn consumer(&self, name: &str, sources: NameSources, delivery: DeliveryMode) -> ConsumerOptions {
        ConsumerOptions {
            name: "client1".to_owned(),
            node: Some("b".to_owned()),
            subscriptions: vec![],
            orchestrator: Some(self.stand.base.parse().unwrap()),
            orchestrator_authorization: None,
            names: vec![name.parse().unwrap()],
            sources,
            delivery,
            coding: BatchCoding::default(),
        }
    }

    async fn close(self) {
        self.app.stopping().cancel();
        drop(self.stand);
        self.tasks.stop(&self.app).await;
    }
}

#[tokio::test]
async fn a_consumer_that_knows_a_name_only_is_fed_by_every_gateway_that_offers_it() {
    let real = Real::open().await;
    let one = Edge::open(real.edge("ag1", "plant/1/t")).await;
    let reach = DeliveryMode::Callback { listen: anywhere(), public_url: None };
    let options = real.consumer("plant/+/t,qos_level=2", NameSources::All, reach);
    let nobody = ConsumerOptions { orchestrator: None, ..options.clone() };
    assert!(matches!(Consumer::build(nobody).await, Err(ConsumerError::Orchestrator)));
    let (stop, heard) = (CancellationToken::new(), std::sync::Arc::new(std::sync::Mutex::new(vec![])));
    let log = std::sync::Arc::clone(&heard);
    let running = tokio::spawn(Consumer::build(options).await.unwrap().run(stop.clone(), move |line| {
        log.lock().unwrap().push(line.gateway.clone());
        true
    }));
    let from = |id: &'static str| {
        let heard = std::sync::Arc::clone(&heard);
        eventually(move || {
            let found = heard.lock().unwrap().iter().any(|gateway| gateway == id);
            async move { found.then_some(()) }
        })
    };
    from("ag1").await;
    // One that comes later is found too; one that offers something else is not asked.
    let two = Edge::open(real.edge("ag2", "plant/2/t")).await;
    let other = Edge::open(real.edge("ag3", "office/1/t")).await;
    from("ag2").await;
    let count = |answer: Value| answer["items"].as_array().unwrap().len();
    assert_eq!(count(one.get("/v1/subscriptions").await.json()), 1);
    assert_eq!(count(other.get("/v1/subscriptions").await.json()), 0);
    stop.cancel();
    let summary = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(summary.subscriptions.len(), 2);
    assert_eq!(count(one.get("/v1/subscriptions").await.json()), 0, "it said goodbye");
    for edge in [one, two, other] {
        edge.close().await;
    }
    real.close().await;
}

#[tokio::test]
async fn a_name_is_taken_from_one_gateway_and_from_another_when_that_ends() {
    let real = Real::open().await;
    let edges = [Edge::open(real.edge("ag1", "plant/t")).await, Edge::open(real.edge("ag2", "plant/t")).await];
    eventually(|| async {
        let offers = real.get("/v1/contents?name=plant/t").await;
        (offers["items"].as_array().is_some_and(|items| items.len() == 2)).then_some(())
    })
    .await;
    for delivery in [DeliveryMode::Callback { listen: anywhere(), public_url: None }, DeliveryMode::Stream] {
        let is_last = delivery == DeliveryMode::Stream;
        let options = real.consumer("plant/t", NameSources::One, delivery);
        let filter = ConsumerOptions { names: vec!["plant/+".parse().unwrap()], ..options.clone() };
        assert!(matches!(Consumer::build(filter).await, Err(ConsumerError::Wildcard(_))));
        let stop = CancellationToken::new();
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let consumer = Consumer::build(options).await.unwrap();
        let running = tokio::spawn(consumer.run(stop.clone(), move |line| sender.send(line.gateway.clone()).is_ok()));
        let first = tokio::time::timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
        let made = async |edge: &Edge| edge.get("/v1/subscriptions").await.json()["items"].as_array().unwrap().len();
        assert_eq!(made(&edges[0]).await + made(&edges[1]).await, 1, "one gateway alone sends it");
        if is_last {
            let [one, two] = edges;
            let (ended, other) = if first == "ag1" { (one, two) } else { (two, one) };
            ended.close().await;
            let another = async { while heard.recv().await.unwrap() == first {} };
            tokio::time::timeout(PATIENCE, another).await.unwrap();
            stop.cancel();
            let summary = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
            let took = summary.takeovers.iter().map(|one| (one.name.as_str(), one.to.trim_end_matches('/')));
            assert_eq!(took.collect::<Vec<_>>(), [("plant/t", other.base.as_str())]);
            other.close().await;
            return real.close().await;
        }
        stop.cancel();
        let summary = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
        assert_eq!(summary.takeovers, []);
    }
}

#[tokio::test]
async fn the_orchestrator_says_who_offers_a_name() {
    let real = Real::open().await;
    let edge = Edge::open(real.edge("ag1", "plant/1/t")).await;
    let offers = eventually(|| async {
        Some(real.get("/v1/contents?name=plant/%23").await).filter(|it| it["items"] != json!([]))
    })
    .await;
    let offer = &offers["items"][0];
    assert_eq!((&offer["aggregator"], &offer["node"], &offer["state"]), (&json!("ag1"), &json!("a"), &json!("fresh")));
    assert_eq!((&offer["url"], &offer["topology"]), (&json!(edge.base), &json!("net")));
    assert_eq!((&offer["names"][0]["name"], &offer["names_total"]), (&json!("plant/1/t"), &json!(1)));
    let client = Client::new(&real.stand.base).unwrap();
    let found = client.content_list("plant/1/t", 10, None).await.unwrap().items;
    assert_eq!((found[0].url.as_ref(), found[0].names[0].name.as_str()), (Some(&edge.base), "plant/1/t"));
    assert_eq!(client.content_list("plant/1/T", 10, None).await.unwrap().items, []);
    assert_eq!(real.get("/v1/contents?name=a/%23/b").await["field"], "name");
    assert_eq!(real.get("/v1/contents").await["status"], 400);
    // The page after the last has nothing, and whoever was last says where it begins.
    let second = Edge::open(real.edge("ag2", "plant/2/t")).await;
    eventually(|| async { (real.get("/v1/contents?name=plant/2/t").await["items"] != json!([])).then_some(()) }).await;
    let first_page = real.get("/v1/contents?name=%23&limit=1").await;
    assert_eq!((&first_page["items"][0]["aggregator"], &first_page["next"]), (&json!("ag1"), &json!("ag1")));
    let rest = real.get("/v1/contents?name=%23&limit=1&after=ag1").await;
    assert_eq!((&rest["items"][0]["aggregator"], &rest["next"]), (&json!("ag2"), &Value::Null));
    edge.close().await;
    second.close().await;
    real.close().await;
}

/// Of two processes that say one id, whoever was heard first keeps it; a farewell hands it over at once.
#[tokio::test]
async fn two_gateways_with_one_id_do_not_get_in_each_others_way() {
    let real = Real::open().await;
    let first = Edge::open(real.edge("ag1", "plant/1/t")).await;
    let instance = first.status().await["instance"].clone();
    let known = || async { real.get("/v1/aggregators/ag1").await["metadata"]["instance"].clone() };
    eventually(|| async { (known().await == instance).then_some(()) }).await;
    eventually(|| async { (first.status().await["rates_from"] == "orchestrator").then_some(()) }).await;

    let second = Edge::open(GatewayOptions { fallback_bps: [1, 2, 3], ..real.edge("ag1", "plant/1/t") }).await;
    let report = json!({"node": "a", "at": "2020-01-01T00:00:00Z", "instance": "third"});
    let put = http().put(format!("{}/v1/aggregators/ag1/metadata", real.stand.base)).body(report.to_string());
    let refused = put.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(refused.status(), 422, "as old as that it is not even compared");
    let problem = || async {
        let at = api::instant::Instant(real.app.now().0);
        let report = json!({"node": "a", "at": at, "instance": "third"});
        let put = http().put(format!("{}/v1/aggregators/ag1/metadata", real.stand.base)).body(report.to_string());
        let refused = put.header("content-type", "application/json").send().await.unwrap();
        (refused.status().as_u16(), serde_json::from_str::<Value>(&refused.text().await.unwrap()).unwrap())
    };
    let (status, told) = problem().await;
    assert_eq!(
        (status, &told["type"], &told["instance_heard"]),
        (409, &json!("/problems/aggregator-taken"), &instance)
    );
    // The second is not believed, and obeys no rates that are not for it.
    assert_eq!((known().await, second.status().await["rates_from"].clone()), (instance, json!("fallback")));
    first.close().await;
    let heir = second.status().await["instance"].clone();
    eventually(|| async { (known().await == heir).then_some(()) }).await;
    eventually(|| async { (second.status().await["rates_from"] == "orchestrator").then_some(()) }).await;
    second.close().await;
    real.close().await;
}

/// The last value is there though its device is not, and asking for it asks nobody else.
#[tokio::test]
async fn the_last_value_is_served_without_its_device() {
    let edge = Edge::open(options()).await;
    let mut device = edge.device();
    for value in ["20", "21"] {
        device.publish("plant/1/t", value).await;
    }
    device.rest().await;
    drop(device);
    let content = edge.until("/v1/contents/plant/1/t", |answer| answer.text == "21").await;
    assert_eq!(content.status, 200);
    for _ in 0..3 {
        assert_eq!(edge.get("/v1/contents/plant/1/t").await.text, "21");
    }
    let counted = edge.get("/metrics").await.text;
    for line in [
        r#"watermaster_gateway_buffer_capacity_bytes{qos_level="2"} 1000000"#,
        r#"watermaster_gateway_messages_dropped_total{qos_level="0",reason="overwritten"} 0"#,
        "watermaster_gateway_led 0",
        "watermaster_gateway_topics 1",
        "# EOF",
    ] {
        assert!(counted.lines().any(|told| told == line), "{line} is not in {counted}");
    }
    let told = edge.get("/v1/contents?name=plant/%23").await.json();
    assert_eq!((&told["items"][0]["messages"], &told["items"][0]["bytes"]), (&json!(2), &json!(2)), "nobody was asked");
    edge.close().await;
}
