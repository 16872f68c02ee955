//! Aggregators over HTTP: reports become rates that are backed, and whatever is wrong with a report changes nothing.

use api::instant::Instant;
use axum::http::StatusCode;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::harness::{Answer, TRIANGLE, TestService};

fn at(service: &TestService, ahead_ms: i64) -> Value {
    json!(Instant(service.app.now().0.saturating_add_signed(ahead_ms)))
}

fn report(service: &TestService, arrival_bps: u64) -> Value {
    json!({
        "node": "a", "at": at(service, 0),
        "levels": [{"qos_level": 2, "subscribers": 1, "buffer_bytes": 0, "buffer_capacity_bytes": 1_000_000,
            "arrival_bps": arrival_bps, "dropped": 0}],
        "topics": [{"topic": "plant/1/pressure", "qos_level": 2, "arrival_bps": arrival_bps,
            "subscribers": [{"consumer": "client1", "node": "b"}]}]
    })
}

async fn put(service: &TestService, id: &str, body: &Value) -> Answer {
    service.send("PUT", &format!("/v1/aggregators/{id}/metadata"), &[], body.to_string()).await
}

#[tokio::test]
async fn a_report_is_answered_with_rates_that_are_backed() {
    let service = TestService::with(TRIANGLE).await;
    let answer = put(&service, "ag1", &report(&service, 1_000_000)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let rates = answer.json();
    let level = &rates["levels"][2];
    assert!(level["rate_bps"].as_u64().unwrap() >= 1_000_000);
    assert_eq!(rates["levels"][0], json!({"qos_level": 0, "rate_bps": 0, "allocations": [], "destinations": []}));
    let allocation =
        service.get(&format!("/v1/allocations/{}", level["allocations"][0].as_str().unwrap())).await.json();
    assert_eq!(allocation["bandwidth_bps"], level["rate_bps"]);
    assert_eq!((&allocation["aggregator"], &allocation["class_type"]), (&json!("ag1"), &json!(2)));
    assert_eq!((&allocation["ingress"], &allocation["egress"]), (&json!("a"), &json!("b")));
    assert_eq!(service.get("/v1/aggregators/ag1/rates").await.json(), rates);
    let whole = service.get("/v1/aggregators/ag1").await.json();
    assert_eq!((&whole["state"], &whole["node"], &whole["topology"]), (&json!("fresh"), &json!("a"), &json!("net")));
    assert_eq!(whole["metadata"]["topics"][0]["topic"], "plant/1/pressure");
    assert_eq!(whole["demand"][2], json!({"qos_level": 2, "demand_bps": 1_000_000, "boosted": false}));
    put(&service, "ag2", &report(&service, 1)).await;
    let page = service.get("/v1/aggregators?limit=1").await;
    assert_eq!((&page.json()["items"][0]["id"], &page.json()["next"]), (&json!("ag1"), &json!("ag1")));
    assert!(page.json()["items"][0]["metadata"].is_null());
    let last = service.get("/v1/aggregators?sort=-heard_at&limit=1").await.json();
    assert_eq!((&last["items"][0]["id"], &last["next"]), (&json!("ag2"), &json!("1")));
    let first = service.get("/v1/aggregators?sort=-heard_at&limit=1&after=1").await.json();
    assert_eq!((&first["items"][0]["id"], &first["next"]), (&json!("ag1"), &Value::Null));
    let offers = service.get("/v1/contents?name=plant/%23&sort=-aggregator&limit=1").await.json();
    assert_eq!((&offers["items"][0]["aggregator"], &offers["next"]), (&json!("ag2"), &json!("1")));
    let past = service.get("/v1/aggregators/ag1/history").await.json();
    let granted = &past["points"].as_array().unwrap().last().unwrap()["levels"][2];
    assert_eq!(
        (&past["step_ms"], &granted["rate_bps"], &granted["buffer_ppm"]),
        (&json!(5000), &level["rate_bps"], &json!(0))
    );
    assert_eq!(service.get("/v1/aggregators/nobody/history").await.problem(), "unknown-aggregator");
    let rest = service.get("/v1/aggregators?after=ag1").await.json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    service.close().await;
}

/// A level for which nothing can be reserved is said to be so in its rates, until it can.
#[tokio::test]
async fn a_level_without_a_class_or_a_path_is_told_why() {
    let service = TestService::with(TRIANGLE).await;
    let uri = "/v1/topologies/net/bandwidth-model";
    let lacking =
        r#"{"model":"mam","classes":[{"class_type":0,"share_ppm":500000},{"class_type":1,"share_ppm":500000}]}"#;
    let whole = r#"{"model":"mam","classes":[{"class_type":0,"share_ppm":300000},{"class_type":1,"share_ppm":300000},
        {"class_type":2,"share_ppm":400000}]}"#;
    assert_eq!(service.put(uri, "*", lacking).await.status, StatusCode::OK);
    let rates = put(&service, "ag1", &report(&service, 1_000_000)).await.json();
    let level =
        |rates: &Value, at: usize| (rates["levels"][at]["rate_bps"].as_u64(), rates["levels"][at]["unserved"].clone());
    assert_eq!(level(&rates, 2), (Some(0), json!("no_class")));
    assert_eq!(level(&rates, 1), (Some(0), Value::Null), "there is no demand");
    assert_eq!(rates["fallback"][2]["rate_bps"], 0);
    assert_eq!(service.get("/v1/aggregators/ag1").await.json()["rates"]["levels"][2]["unserved"], "no_class");

    assert_eq!(service.put(uri, "*", whole).await.status, StatusCode::OK);
    let rates = put(&service, "ag1", &report(&service, 1_000_001)).await.json();
    assert!(level(&rates, 2).0 > Some(1_000_000) && level(&rates, 2).1.is_null(), "{rates}");

    for link in ["ab", "cb"] {
        let down = service.patch(&format!("/v1/topologies/net/links/{link}"), r#"{"state": "down"}"#).await;
        assert_eq!(down.status, StatusCode::OK, "{down:?}");
    }
    let rates = put(&service, "ag1", &report(&service, 1_000_002)).await.json();
    assert_eq!(level(&rates, 2), (Some(0), json!("no_path")));
    service.close().await;
}

#[tokio::test]
async fn rates_are_streamed_as_they_change() {
    let service = TestService::with(TRIANGLE).await;
    put(&service, "ag1", &report(&service, 1_000_000)).await;
    let response = service.ask("GET", "/v1/aggregators/ag1/rates/stream", &[], "").await;
    let mut stream = response.into_body().into_data_stream();
    let mut next = async || {
        let text = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
        assert!(text.contains("event: rates"));
        serde_json::from_str::<Value>(&data).unwrap()
    };
    let first = next().await;
    // Somebody else's link change is somebody's new rate: ag1 goes the longer way with what that has.
    let answer = service.patch("/v1/topologies/net/links/ab", r#"{"capacity_bps": 500000}"#).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let moved = put(&service, "ag1", &report(&service, 30_000_000)).await.json();
    loop {
        let rates = next().await;
        assert!(rates["sequence"].as_u64() > first["sequence"].as_u64());
        if rates["sequence"].as_u64() >= moved["sequence"].as_u64() {
            assert!(rates["levels"][2]["rate_bps"].as_u64().unwrap() >= 30_000_000, "{rates}");
            break;
        }
    }
    service.close().await;
}

#[tokio::test]
async fn reports_that_cannot_be_are_problems_and_change_nothing() {
    let service = TestService::with(TRIANGLE).await;
    let good = report(&service, 1_000_000);
    put(&service, "ag1", &good).await;
    let head = service.app.head();
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        body["at"] = at(&service, 1);
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let subscribers: Vec<_> = (0..1_025).map(|n| json!({"consumer": format!("c{n}"), "node": "b"})).collect();
    let cases = [
        ("ag1", good.clone(), 409, "report-not-newer"),
        ("ag1", with("/at", at(&service, -5_000)), 409, "report-not-newer"),
        ("new", with("/at", at(&service, -3_600_000)), 422, "impossible-request"),
        ("ag1", with("/at", at(&service, 3_600_000)), 422, "impossible-request"),
        ("ag1", with("/at", json!("soon")), 400, "malformed-body"),
        ("ag1", with("/node", json!("b")), 409, "aggregator-elsewhere"),
        ("ag1", with("/node", json!("zz")), 422, "unknown-reference"),
        ("ag1", with("/topics/0/subscribers/0/node", json!("zz")), 422, "unknown-reference"),
        ("ag1", with("/topics/0/arrival_bps", json!(u64::MAX)), 422, "impossible-request"),
        ("ag1", with("/topics/0/arrival_bps", json!(-1)), 400, "malformed-body"),
        ("ag1", with("/topics/0/subscribers", json!(subscribers)), 422, "impossible-request"),
        ("ag1", with("/topics/0/qos_level", json!(3)), 422, "impossible-request"),
        ("ag1", with("/levels/0/buffer_bytes", json!(1_000_001)), 422, "impossible-request"),
        ("ag1", with("/levels/0/buffer_capacity_bytes", json!(1_u64 << 60)), 422, "impossible-request"),
        ("ag1", json!({"node": "a"}), 400, "malformed-body"),
        ("ag1", json!({"node": "a", "at": at(&service, 1), "colour": 1}), 400, "malformed-body"),
        ("ag1", json!("x".repeat(300_000)), 413, "body-too-large"),
        ("a%2Fb", good.clone(), 400, "malformed-path"),
        ("%2B", good.clone(), 400, "malformed-path"),
        ("a%23", good.clone(), 400, "malformed-path"),
        ("$SYS", good.clone(), 400, "malformed-path"),
    ];
    for (id, body, status, kind) in cases {
        let answer = put(&service, id, &body).await;
        assert_eq!((answer.problem().as_str(), answer.status.as_u16()), (kind, status), "{id} {answer:?}");
    }
    // A program reads which nodes to leave out, all of them at once.
    let mut body = with("/topics/0/subscribers/0/node", json!("zz"));
    let more =
        json!([{"consumer": "c8", "node": "yy"}, {"consumer": "c9", "node": "zz"}, {"consumer": "c7", "node": "b"}]);
    body["topics"][0]["subscribers"].as_array_mut().unwrap().extend(more.as_array().unwrap().clone());
    let unknown = put(&service, "ag1", &body).await;
    assert_eq!((&unknown.json()["nodes"], unknown.problem().as_str()), (&json!(["yy", "zz"]), "unknown-reference"));
    let huge = service.send("PUT", "/v1/aggregators/ag1/metadata", &[], vec![b' '; 10 << 20]).await;
    assert_eq!(huge.problem(), "body-too-large");
    assert_eq!(service.get("/v1/aggregators/new").await.problem(), "unknown-aggregator");
    assert_eq!(service.get("/v1/aggregators/new/rates/stream").await.problem(), "unknown-aggregator");
    assert_eq!(service.app.head(), head);
    assert_eq!(service.get("/v1/aggregators").await.json()["items"].as_array().unwrap().len(), 1);
    service.close().await;
}
