//! CONNECT, sessions and their ends (3.1, 3.2, 3.14, 4.1).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt::auth::{Access, Anonymous, Users, hash_line};
use mqtt::codec::{Bytes, Connect, ConnectProperties, Disconnect, Packet, Qos, Reason, Version, Will};

use super::House;
use super::client::{Client, connect, lasting, meet, will};

pub(crate) fn mqtt_3_1_0_2_a_second_connect_ends_the_connection(house: &House) {
    for version in [Version::V3, Version::V5] {
        let hello = Connect { version, ..connect("twice") };
        let mut client = Client::new(house.here(), hello.clone());
        client.send(Packet::Connect(Box::new(hello)));
        client.hear_end(Reason::ProtocolError);
    }
}

pub(crate) fn mqtt_3_1_2_4_a_clean_start_forgets(house: &House) {
    let mut client = Client::new(house.here(), lasting("forgetful"));
    client.subscribe("forget/me", Qos::AtLeastOnce);
    client.leave(Reason::Success, None);
    let (mut client, connack) = Client::enter(house.there(), connect("forgetful"));
    assert!(!connack.session_present);
    client.say("forget/me", "1", Qos::AtLeastOnce);
    client.hear_nothing();
}

pub(crate) fn mqtt_3_1_2_5_a_session_is_resumed(house: &House) {
    for version in [Version::V3, Version::V5] {
        let hello = Connect { version, ..lasting(&format!("resumed-{version:?}")) };
        let mut publisher = Client::new(house.there(), connect(""));
        let (mut client, connack) = Client::enter(house.here(), hello.clone());
        assert!(!connack.session_present);
        client.subscribe("resume/#", Qos::ExactlyOnce);
        meet(&mut publisher, &mut client);
        client.leave(Reason::Success, None);
        publisher.say("resume/0", "0", Qos::AtMostOnce);
        publisher.say("resume/1", "1", Qos::AtLeastOnce);
        publisher.say("resume/2", "2", Qos::ExactlyOnce);
        let (mut client, connack) = Client::enter(house.there(), hello);
        assert!(connack.session_present);
        assert_eq!((client.take(), client.take()), ("1".into(), "2".into()));
        client.hear_nothing();
        publisher.say("resume/3", "3", Qos::AtLeastOnce);
        assert_eq!(client.take(), "3");
    }
}

/// MQTT 5, 3.1.2.11.2 and 4.1: a session that ends with its connection is a session until then.
pub(crate) fn mqtt_3_1_2_5_a_session_is_resumed_for_the_last_time(house: &House) {
    for session_expiry_s in [None, Some(0)] {
        let name = format!("last-time-{session_expiry_s:?}");
        let mut publisher = Client::new(house.there(), connect(""));
        let mut client = Client::new(house.here(), lasting(&name));
        client.subscribe("last/#", Qos::ExactlyOnce);
        publisher.say("last/1", "sent", Qos::AtLeastOnce);
        assert!(!client.hear_publish().dup);
        client.leave(Reason::Success, None);
        publisher.say("last/1", "1", Qos::AtLeastOnce);
        publisher.say("last/2", "2", Qos::ExactlyOnce);
        let properties = ConnectProperties { session_expiry_s, ..ConnectProperties::default() };
        let hello = Connect { clean_start: false, properties, ..connect(&name) };
        let (mut client, connack) = Client::enter(house.there(), hello.clone());
        assert!(connack.session_present);
        let again = client.hear_publish();
        assert!(again.dup && again.payload == "sent", "[MQTT-4.4.0-1]");
        client.acknowledge(&again);
        assert_eq!((client.take(), client.take()), ("1".into(), "2".into()));
        publisher.say("last/3", "3", Qos::AtLeastOnce);
        assert_eq!(client.take(), "3");
        client.leave(Reason::Success, None);
        let (_, connack) = Client::enter(house.here(), hello);
        assert!(!connack.session_present);
    }
}

pub(crate) fn mqtt_3_1_2_24_a_client_that_takes_no_connack_is_refused(house: &House) {
    for (most, has_room) in [(5, true), (4, false)] {
        let properties = ConnectProperties { packet_max_bytes: NonZeroU32::new(most), ..ConnectProperties::default() };
        let mut client = Client::open(house.here(), Version::V5);
        client.send(Packet::Connect(Box::new(Connect { properties, ..connect("tiny") })));
        if has_room {
            let Some(Packet::Connack(connack)) = client.listen() else { panic!("no CONNACK") };
            assert_eq!(connack.reason, Reason::PacketTooLarge);
        }
        assert_eq!(client.listen(), None);
    }
}

pub(crate) fn mqtt_3_14_4_a_goodbye_ends_the_session_however_soon_the_client_is_back(house: &House) {
    let mut client = Client::new(house.here(), lasting("hurried"));
    for turn in 0..30 {
        let end = Disconnect { session_expiry_s: Some(0), ..Disconnect::because(Reason::Success) };
        client.send(Packet::Disconnect(end));
        let place = if turn % 2 == 0 { house.there() } else { house.here() };
        let (next, connack) = Client::enter(place, lasting("hurried"));
        assert!(!connack.session_present, "{turn}");
        client = next;
    }
}

pub(crate) fn mqtt_3_1_2_22_silence_ends_the_connection(house: &House) {
    let silent = |version| Client::new(house.here(), Connect { version, keep_alive_s: 1, ..connect("") });
    let mut clients = [Version::V3, Version::V5].map(silent);
    let begin = Instant::now();
    for client in &mut clients {
        client.hear_end(Reason::KeepAliveTimeout);
        assert!(begin.elapsed() >= Duration::from_millis(1400), "{:?}", begin.elapsed());
    }
}

pub(crate) fn mqtt_3_1_2_23_a_session_ends_when_it_expires(house: &House) {
    let properties = ConnectProperties { session_expiry_s: Some(1), ..ConnectProperties::default() };
    // A will that is delayed for longer is published when the session ends.
    let ends = Will { delay_s: Some(60), ..will("short/ended", "ended") };
    let hello = Connect { clean_start: false, properties, will: Some(ends), ..connect("short-lived") };
    // The broker counts whole milliseconds of the machine's clock, which may be set; this counts time that passes.
    let nearly = Duration::from_millis(900);
    let mut heir = Client::new(house.there(), connect(""));
    heir.subscribe("short/ended", Qos::AtLeastOnce);
    let mut client = Client::new(house.here(), hello.clone());
    client.subscribe("short", Qos::AtLeastOnce);
    meet(&mut client, &mut heir);
    let begin = Instant::now();
    client.leave(Reason::Success, None);
    let (client, connack) = Client::enter(house.there(), hello.clone());
    assert!(connack.session_present || begin.elapsed() >= nearly, "{:?}", begin.elapsed());
    client.leave(Reason::DisconnectWithWill, None);
    assert_eq!(heir.take(), "ended");
    assert!(begin.elapsed() >= nearly, "{:?}", begin.elapsed());
    let (client, connack) = Client::enter(house.here(), hello);
    assert!(!connack.session_present);
    client.leave(Reason::Success, None);
}

pub(crate) fn mqtt_3_1_3_6_a_client_without_a_name_gets_one(house: &House) {
    let (_one, first) = Client::enter(house.here(), connect(""));
    let (_two, second) = Client::enter(house.there(), connect(""));
    let (first, second) = (first.properties.assigned_client_id.unwrap(), second.properties.assigned_client_id.unwrap());
    assert!(!first.is_empty() && first != second);
}

pub(crate) fn mqtt_3_1_3_8_in_3_1_1_only_a_clean_session_may_have_no_name(house: &House) {
    let hello = Connect { version: Version::V3, clean_start: false, ..connect("") };
    let (mut client, connack) = Client::enter(house.here(), hello.clone());
    assert_eq!(connack.reason, Reason::ClientIdNotValid);
    assert_eq!(client.listen(), None);
    Client::new(house.here(), Connect { clean_start: true, ..hello });
}

pub(crate) fn mqtt_3_1_4_3_a_newer_connection_takes_over(house: &House) {
    for version in [Version::V3, Version::V5] {
        let hello = Connect { version, ..lasting(&format!("taken-{version:?}")) };
        let mut old = Client::new(house.here(), hello.clone());
        old.subscribe("taken/#", Qos::AtLeastOnce);
        let (mut new, connack) = Client::enter(house.there(), hello);
        assert!(connack.session_present);
        old.hear_end(Reason::SessionTakenOver);
        new.say("taken/1", "still here", Qos::AtLeastOnce);
        assert_eq!(new.take(), "still here");
    }
}

pub(crate) fn mqtt_3_14_2_2_an_ending_session_cannot_be_made_to_last(house: &House) {
    let mut client = Client::new(house.here(), connect("ending"));
    client.send(Packet::Disconnect(Disconnect { session_expiry_s: Some(5), ..Disconnect::because(Reason::Success) }));
    client.hear_end(Reason::ProtocolError);
    // The other way round is allowed: a lasting session ends with its goodbye.
    let client = Client::new(house.here(), lasting("lasting"));
    client.leave(Reason::Success, Some(0));
    let (_client, connack) = Client::enter(house.there(), lasting("lasting"));
    assert!(!connack.session_present);
}

pub(crate) fn mqtt_4_12_0_1_unknown_authentication_is_refused(house: &House) {
    let properties =
        ConnectProperties { authentication_method: Some("SCRAM-SHA-1".into()), ..ConnectProperties::default() };
    let (mut client, connack) = Client::enter(house.here(), Connect { properties, ..connect("scram") });
    assert_eq!(connack.reason, Reason::BadAuthenticationMethod);
    assert_eq!(client.listen(), None);
}

pub(crate) fn mqtt_4_13_a_replica_that_stops_says_so(house: &House) {
    let mut client = Client::new(house.here(), connect("sent-away"));
    let mut old = Client::new(house.here(), Connect { version: Version::V3, ..connect("old-one") });
    let broker = house.brokers[0].clone();
    house.runtime.as_ref().unwrap().block_on(broker.stop());
    match client.listen() {
        Some(Packet::Disconnect(end)) => {
            assert!(matches!(end.reason, Reason::ServerShuttingDown | Reason::UseAnotherServer), "{end:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((client.listen(), old.listen()), (None, None));
}

/// A session is for the user that made it, whichever replica is asked; one that was nobody's becomes the first user's.
pub(crate) fn a_session_is_its_users_alone(house: &House) {
    let lines: String = ["alice", "bob"].map(|name| hash_line(name, b"secret").unwrap() + "\n").concat();
    for broker in &house.brokers {
        let users = Users::parse(&lines).unwrap();
        broker.set_access(Arc::new(Access::new(Anonymous::Always, Some(users), None)));
    }
    let by = |user: Option<&str>, client: &str| Connect {
        username: user.map(Into::into),
        password: user.map(|_| Bytes::from_static(b"secret")),
        ..lasting(client)
    };
    let refuses = |user: Option<&str>, client: &str| {
        for at in [house.here(), house.there()] {
            for clean_start in [false, true] {
                let (_, connack) = Client::enter(at, Connect { clean_start, ..by(user, client) });
                assert_eq!((connack.reason, connack.session_present), (Reason::NotAuthorized, false), "{user:?}");
            }
        }
    };
    let resumes = |at, user: &str, client: &str| {
        let (client, connack) = Client::enter(at, by(Some(user), client));
        assert_eq!((connack.reason, connack.session_present), (Reason::Success, true));
        client
    };
    let mut alice = Client::new(house.here(), by(Some("alice"), "own"));
    for other in [Some("bob"), None] {
        refuses(other, "own");
    }
    alice.subscribe("own/news", Qos::AtLeastOnce);
    alice.leave(Reason::Success, None);
    for other in [Some("bob"), None] {
        refuses(other, "own");
    }
    let mut alice = resumes(house.there(), "alice", "own");
    meet(&mut Client::new(house.here(), connect("")), &mut alice);

    let mut unnamed = Client::new(house.here(), by(None, "free"));
    unnamed.subscribe("free/news", Qos::AtLeastOnce);
    unnamed.leave(Reason::Success, None);
    resumes(house.there(), "alice", "free").leave(Reason::Success, None);
    for other in [Some("bob"), None] {
        refuses(other, "free");
    }
    drop(resumes(house.here(), "alice", "free"));
}
