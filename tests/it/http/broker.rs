//! Clients, sessions and retained messages of the MQTT broker, as operators see them.

use std::time::Duration;

use axum::http::StatusCode;
use mqtt::Message;
use mqtt::codec::{BytesMut, Connect, ConnectProperties, Decoder, Packet, Qos, Subscribe, Subscription, Version};
use mqtt::codec::{SubscriptionOptions, UserProperties};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::harness::TestService;

/// A client with a lasting session and a subscription, through no socket.
async fn client(service: &TestService, name: &str) -> DuplexStream {
    let (mut near, far) = tokio::io::duplex(1 << 16);
    service.broker.receive_from(far, None);
    let connect = Connect {
        version: Version::V5,
        clean_start: false,
        keep_alive_s: 0,
        client_id: name.into(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties { session_expiry_s: Some(60), ..ConnectProperties::default() },
    };
    let options = SubscriptionOptions { qos: Qos::AtLeastOnce, ..SubscriptionOptions::default() };
    let subscribe = Subscribe {
        packet_id: 1.try_into().unwrap(),
        subscription_id: Some(4),
        subscriptions: vec![Subscription { filter: "commands/#".into(), options }],
        user: UserProperties::default(),
    };
    let mut bytes = BytesMut::new();
    Packet::Connect(Box::new(connect)).encode(Version::V5, u32::MAX, &mut bytes).unwrap();
    Packet::Subscribe(subscribe).encode(Version::V5, u32::MAX, &mut bytes).unwrap();
    near.write_all(&bytes).await.unwrap();
    let (mut decoder, mut heard) = (Decoder::client(Version::V5, u32::MAX), BytesMut::new());
    loop {
        near.read_buf(&mut heard).await.unwrap();
        while let Some(packet) = decoder.decode(&mut heard).unwrap() {
            if matches!(packet, Packet::Suback(_)) {
                return near;
            }
        }
    }
}

async fn publish(service: &TestService, topic: &str, payload: &str) {
    let publisher = service.broker.client("publisher").await.unwrap();
    let message = Message::new(topic, payload.to_owned(), Qos::AtLeastOnce).unwrap();
    publisher.publish(message.retained()).await.unwrap();
}

#[tokio::test]
async fn clients_and_their_sessions_are_seen_and_ended() {
    let service = TestService::open().await;
    let (one, two) = (client(&service, "a/1").await, client(&service, "b").await);
    let page = service.get("/v1/broker/clients?limit=1").await;
    assert_eq!((page.status, &page.json()["items"][0]["id"]), (StatusCode::OK, &json!("a/1")));
    assert_eq!(page.header("link"), "</v1/broker/clients?limit=1&after=a%2F1>; rel=\"next\"");
    let page = service.get("/v1/broker/clients?limit=1&after=a%2F1&connected=true").await.json();
    let item = &page["items"][0];
    assert_eq!((&item["id"], &item["connected"], &item["subscriptions"]), (&json!("b"), &json!(true), &json!(1)));
    assert_eq!((&item["connection"]["inflight"], &page["next"]), (&json!(0), &json!(null)));
    assert_eq!(service.get("/v1/broker/clients?connected=false").await.json()["items"], json!([]));
    let last = service.get("/v1/broker/clients?sort=-connected_at&limit=1").await.json();
    assert_eq!(last["next"], "1");
    let ids = service.get("/v1/broker/clients?sort=-id").await.json();
    assert_eq!((&ids["items"][0]["id"], &ids["items"][1]["id"]), (&json!("b"), &json!("a/1")));

    drop(one);
    let session = loop {
        let session = service.get("/v1/broker/sessions/a%2F1").await.json();
        if session["connected"] == false {
            break session;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!((&session["id"], &session["lasting"], &session["queued"]), (&json!("a/1"), &json!(true), &json!(0)));
    assert!(session["expires_at"].is_string());
    let subscription = json!({"filter": "commands/#", "qos": 1, "no_local": false, "retain_as_published": false, "subscription_id": 4});
    assert_eq!(session["subscriptions"], json!([subscription]));
    publish(&service, "commands/1", "on").await;
    assert_eq!(service.get("/v1/broker/sessions/a%2F1").await.json()["queued"], 1);

    for id in ["a%2F1", "b"] {
        let uri = format!("/v1/broker/sessions/{id}");
        assert_eq!(service.delete(&uri).await.status, StatusCode::NO_CONTENT);
        assert_eq!(service.delete(&uri).await.problem(), "unknown-session");
        assert_eq!(service.get(&uri).await.problem(), "unknown-session");
    }
    assert_eq!(service.get("/v1/broker/clients").await.json()["items"], json!([]));
    assert_eq!(service.get("/v1/broker/clients?limit=0").await.problem(), "malformed-query");
    drop(two);
    service.close().await;
}

#[tokio::test]
async fn retained_messages_are_seen_and_cleared() {
    let service = TestService::open().await;
    for topic in ["plant/1", "plant/2", "plant/2/x"] {
        publish(&service, topic, "21.5").await;
    }
    let page = service.get("/v1/broker/retained?topic=plant/%2B&limit=1").await;
    let item = &page.json()["items"][0];
    assert_eq!((&item["topic"], &item["text"], &item["payload_bytes"]), (&json!("plant/1"), &json!("21.5"), &json!(4)));
    assert!(item["publisher"].as_str().unwrap().starts_with("publisher-"));
    assert_eq!(page.json()["next"], "plant/1");
    let sorted = service.get("/v1/broker/retained?sort=-topic&limit=2").await.json();
    assert_eq!((&sorted["items"][0]["topic"], &sorted["next"]), (&json!("plant/2/x"), &json!("2")));
    let rest = service.get("/v1/broker/retained?topic=plant/%2B&limit=1&after=plant/1").await.json();
    assert_eq!((&rest["items"][0]["topic"], &rest["next"]), (&json!("plant/2"), &json!(null)));
    assert_eq!(service.delete("/v1/broker/retained?topic=plant/%2B").await.json(), json!({"cleared": 2}));
    assert_eq!(service.get("/v1/broker/retained?topic=%23").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(service.delete("/v1/broker/retained?topic=plant/2/x").await.json(), json!({"cleared": 1}));
    assert_eq!(service.delete("/v1/broker/retained").await.problem(), "malformed-query");
    for wrong in ["a%23", ""] {
        let answer = service.get(&format!("/v1/broker/retained?topic={wrong}")).await;
        assert_eq!((answer.problem().as_str(), &answer.json()["field"]), ("malformed-query", &json!("topic")));
    }
    service.close().await;
}

#[tokio::test]
async fn a_store_that_is_gone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.sqlite");
    let file = mqtt::Sqlite::open(&mqtt::SqliteAddress { path, synchronous: mqtt::Synchronous::Normal }).await.unwrap();
    let broker = mqtt::Broker::on_sqlite(&file, mqtt::Settings::default()).await.unwrap();
    let service = TestService::with_broker(broker).await;
    publish(&service, "a", "1").await;
    service.broker.stop().await;
    let answer = service.delete("/v1/broker/retained?topic=a").await;
    assert_eq!((answer.problem().as_str(), answer.header("retry-after")), ("store-unavailable", "1"));
    service.close().await;
}
