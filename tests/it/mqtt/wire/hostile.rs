//! Clients that mean no good, or know no better: each loses its own connection at most, and others are served.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mqtt::codec::{Packet, Qos, Reason, Version};
use mqtt::{Broker, Metrics, Settings, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{broker, plain, raw};

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_of_256_mb_is_refused_when_it_is_announced() {
    let address = plain().await;
    let mut client = raw(address, Version::V5).await;
    client.connect(Version::V5, "large").await;
    client.say("! 30 FFFFFF7F").await;
    let Some(Packet::Disconnect(disconnect)) = client.hear().await else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.reason, Reason::PacketTooLarge);
    assert_eq!(client.hear().await, None);

    let mut client = raw(address, Version::V3).await;
    client.say("! 10 FFFFFF7F").await;
    assert!(client.hear_bytes().await.is_empty());
}

/// A CONNECT that never ends, and one that never begins, are let go; meanwhile another is served.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_a_connect_is_let_go() {
    let address = plain().await;
    let mut silent = raw(address, Version::V5).await;
    let mut slow = raw(address, Version::V5).await;
    slow.say_bytes(&[0x10, 0x20, 0x00]).await;
    let mut good = raw(address, Version::V5).await;
    good.connect(Version::V5, "good").await;
    assert!(silent.hear_bytes().await.is_empty());
    assert!(slow.hear_bytes().await.is_empty());
    assert!(good.is_served().await);
}

/// Sockets that say nothing have a limit of their own: beyond it a new one is closed at once, those who are in stay, and
/// when one of the silent ones goes there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_takes_no_room_from_those_who_are_in() {
    let address = broker(Settings { connecting_max: 3, ..Settings::default() }, Transport::Tcp).await;
    let mut good = raw(address, Version::V5).await;
    good.connect(Version::V5, "good").await;
    let mut silent = vec![];
    for _ in 0..3 {
        silent.push(raw(address, Version::V5).await);
    }
    let mut late = raw(address, Version::V5).await;
    assert!(late.hear_bytes().await.is_empty());
    assert!(good.is_served().await);
    silent.pop();
    loop {
        let mut next = raw(address, Version::V5).await;
        next.say("10 \"MQTT\" 05 02 0000 {} \"next\"").await;
        if matches!(next.hear().await, Some(Packet::Connack(_))) {
            break;
        }
    }
}

/// An address has a rate of sockets and one of CONNECTs: what is beyond is closed or told, and counted; those who are in stay.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_too_often_is_refused() {
    let most = |count| NonZeroU32::new(count).unwrap();
    // Less than one more comes while the test runs.
    let settings = Settings { accept_rate_per_address_max: most(1), ..Settings::default() };
    let (address, metrics) = counted_broker(settings).await;
    let mut good = raw(address, Version::V5).await;
    good.connect(Version::V5, "good").await;
    while metrics.accepts_too_fast.get() == 0 {
        assert!(raw(address, Version::V5).await.hear_bytes().await.is_empty());
    }
    assert!(good.is_served().await);

    let settings = Settings { connect_rate_per_address_max: most(1), ..Settings::default() };
    let (address, metrics) = counted_broker(settings).await;
    let mut good = raw(address, Version::V5).await;
    good.connect(Version::V5, "good").await;
    for (version, connect, reason) in [
        (Version::V5, "10 \"MQTT\" 05 02 0000 {} \"next\"", Reason::ConnectionRateExceeded),
        (Version::V3, "10 \"MQTT\" 04 02 0000 \"next\"", Reason::ServerUnavailable),
    ] {
        loop {
            let mut next = raw(address, version).await;
            next.say(connect).await;
            let Some(Packet::Connack(connack)) = next.hear().await else { panic!("no CONNACK") };
            if connack.reason != Reason::Success {
                assert_eq!(connack.reason, reason);
                assert_eq!(next.hear().await, None);
                break;
            }
        }
    }
    assert!(metrics.connects_too_fast.get() >= 2);
    assert_eq!(metrics.accepts_too_fast.get(), 0);
    assert!(good.is_served().await);
}

/// The beginning of a PUBLISH of a million bytes.
fn begun_publish() -> Vec<u8> {
    let mut bytes = vec![0x30, 0xC0, 0x84, 0x3D];
    bytes.resize(700_000, 0);
    bytes
}

/// What connections hold in memory has a limit in all: who goes beyond it is told, others are served, and it is free again
/// when the connections are gone. A CONNECT that is not complete counts as well.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_packets_have_a_limit_in_all() {
    let (address, metrics) = counted_broker(Settings { buffered_bytes_max: 200_000, ..Settings::default() }).await;
    let mut greedy = raw(address, Version::V5).await;
    greedy.connect(Version::V5, "greedy").await;
    greedy.say_bytes(&begun_publish()).await;
    let Some(Packet::Disconnect(disconnect)) = greedy.hear().await else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.reason, Reason::QuotaExceeded);
    let mut early = raw(address, Version::V5).await;
    early.say_bytes(&[0x10, 0xC0, 0x84, 0x3D]).await;
    early.say_bytes(&begun_publish()).await;
    assert_eq!(early.hear().await, None);
    assert_eq!(metrics.buffers_exceeded.get(), 2);

    let (address, metrics) = counted_broker(Settings { buffered_bytes_max: 3_000_000, ..Settings::default() }).await;
    let mut good = raw(address, Version::V5).await;
    good.connect(Version::V5, "good").await;
    let mut several = vec![];
    for number in 0..8 {
        let mut client = raw(address, Version::V5).await;
        client.connect(Version::V5, &format!("several{number}")).await;
        client.say_bytes(&begun_publish()).await;
        several.push(client);
    }
    await_that(|| metrics.buffers_exceeded.get() > 0).await;
    assert!(good.is_served().await);
    drop(several);
    await_that(|| metrics.buffered_bytes.get() == 0).await;
}

async fn await_that(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap();
}

async fn counted_broker(settings: Settings) -> (SocketAddr, Arc<Metrics>) {
    let broker = Broker::embedded(settings).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, metrics) = (listener.local_addr().unwrap(), broker.metrics());
    tokio::spawn(async move { broker.listen(listener).await });
    (address, metrics)
}

/// A million topic levels, wildcards and filters: judged by their form, not followed.
#[tokio::test(flavor = "multi_thread")]
async fn deep_topics_and_filters_are_refused() {
    let address = plain().await;
    let mut client = raw(address, Version::V5).await;
    client.connect(Version::V5, "deep").await;
    client.say(&format!("32 \"{}\" 0001 {{}}", "/".repeat(60_000))).await;
    assert!(matches!(client.hear().await, Some(Packet::Puback(ack)) if ack.reason == Reason::TopicNameInvalid));
    client.say(&format!("82 0001 {{}} \"{}\" 00", "+/".repeat(30_000))).await;
    let Some(Packet::Suback(suback)) = client.hear().await else { panic!("no SUBACK") };
    assert_eq!(suback.reasons, [Reason::TopicFilterInvalid]);
    assert!(client.is_served().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connects_does_not_stop_others() {
    let address = plain().await;
    let mut good = raw(address, Version::V5).await;
    good.connect(Version::V5, "good").await;
    let mut floods = vec![];
    for _ in 0..4 {
        floods.push(tokio::spawn(async move {
            for _ in 0..500 {
                let Ok(mut socket) = tokio::net::TcpStream::connect(address).await else { continue };
                // Gone before the answer, under a name that everybody uses.
                let _ = socket.write_all(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03all").await;
            }
        }));
    }
    for _ in 0..50 {
        assert!(good.is_served().await);
    }
    for flood in floods {
        flood.await.unwrap();
    }
    assert!(good.is_served().await);
}

/// A subscriber that never acknowledges holds no more than its window; the publisher and others go on.
#[tokio::test(flavor = "multi_thread")]
async fn who_never_acknowledges_gets_its_window_and_no_more() {
    let address = plain().await;
    let mut mute = raw(address, Version::V5).await;
    mute.say("10 \"MQTT\" 05 02 0000 {21 000A} \"mute\"").await;
    assert!(matches!(mute.hear().await, Some(Packet::Connack(_))));
    mute.say("82 0001 {} \"t\" 01").await;
    assert!(matches!(mute.hear().await, Some(Packet::Suback(_))));
    let mut publisher = raw(address, Version::V5).await;
    publisher.connect(Version::V5, "publisher").await;
    for id in 1..=100 {
        publisher.say(&format!("32 \"t\" {id:04X} {{}} 'm'")).await;
        assert!(matches!(publisher.hear().await, Some(Packet::Puback(_))), "{id}");
    }
    mute.say("C0").await;
    let mut count = 0;
    loop {
        match mute.hear().await {
            Some(Packet::Publish(_)) => count += 1,
            Some(Packet::Pingresp) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(count, 10);
}

/// What is acknowledged to a publisher reaches a part of this process however slow that is: the publisher has to wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_part_of_this_process_holds_publishers_back_and_loses_nothing() {
    const MESSAGES: u16 = 12_000;
    let broker = Broker::embedded(Settings::default()).await.unwrap();
    let mut slow = broker.client("slow").await.unwrap();
    slow.subscribe("burst", Qos::AtLeastOnce).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { broker.listen(listener).await });

    let mut client = raw(address, Version::V3).await;
    client.connect(Version::V3, "burst").await;
    let mut all = vec![];
    for id in 1..=MESSAGES {
        let [high, low] = id.to_be_bytes();
        all.extend([0x32, 11, 0, 5]);
        all.extend(b"burst");
        all.extend([high, low, high, low]);
    }
    let (reader, mut writer) = client.stream.into_split();
    tokio::spawn(async move {
        writer.write_all(&all).await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut acknowledged = 0;
    let mut bytes = tokio::io::BufReader::new(reader);
    let mut ack = [0; 4];
    // Nobody takes anything until the publisher has to wait, or has been told that all is well.
    while acknowledged < MESSAGES
        && timeout(Duration::from_millis(500), bytes.read_exact(&mut ack)).await.is_ok_and(|read| read.is_ok())
    {
        acknowledged += 1;
    }
    assert!(acknowledged < MESSAGES, "the publisher is held back");
    for id in 1..=MESSAGES {
        let message = timeout(Duration::from_secs(20), slow.next()).await.expect("nothing is lost").unwrap();
        assert_eq!(message.payload[..], id.to_be_bytes());
    }
}
