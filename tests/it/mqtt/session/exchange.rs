//! What 3.1.1 and 5 say alike, each said in both: the exchange of each QoS, what is sent again, sessions, wills and retained
//! messages.

use std::io::Write;
use std::num::NonZeroU16;

use mqtt::codec::topic::LEVELS_MAX;
use mqtt::codec::{
    Ack, BytesMut, Connect, ConnectProperties, Delivery, Packet, Publish, Qos, Reason, Unsubscribe, UserProperties,
    Version, Will,
};
use mqtt::limits::CLIENT_ID_BYTES_MAX;

use super::House;
use super::client::{Client, connect, id, lasting, meet, options, publish, will};

const VERSIONS: [Version; 2] = [Version::V3, Version::V5];
const ALL_QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// A CONNECT of this version.
fn in_version(version: Version, hello: Connect) -> Connect {
    Connect { version, client_id: format!("{}-{version:?}", hello.client_id).into(), ..hello }
}

fn delivery(qos: Qos, number: u16) -> Delivery {
    match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce(id(number)),
        Qos::ExactlyOnce => Delivery::ExactlyOnce(id(number)),
    }
}

/// Both directions, packet by packet, each with the identifier of its PUBLISH.
pub(crate) fn mqtt_4_3_each_qos_has_its_exchange(house: &House) {
    for version in VERSIONS {
        let mut publisher = Client::new(house.there(), in_version(version, connect("exchange-from")));
        let mut client = Client::new(house.here(), in_version(version, connect("exchange-to")));
        client.subscribe("exchange/+", Qos::ExactlyOnce);
        meet(&mut publisher, &mut client);
        for qos in ALL_QOS {
            publisher.send(Packet::Publish(publish("exchange/1", "1", delivery(qos, 41))));
            publisher.send(Packet::Publish(publish("exchange/2", "2", delivery(qos, 42))));
            let answers: Vec<_> = (0..2).filter(|_| qos > Qos::AtMostOnce).map(|_| publisher.hear()).collect();
            let expected = [41, 42].map(|number| match qos {
                Qos::ExactlyOnce => Packet::Pubrec(Ack::success(id(number))),
                _ => Packet::Puback(Ack::success(id(number))),
            });
            assert_eq!(answers, expected[..answers.len()], "{version:?}, {qos:?}");
            if qos == Qos::ExactlyOnce {
                for number in [41, 42] {
                    publisher.send(Packet::Pubrel(Ack::success(id(number))));
                    assert_eq!(publisher.hear(), Packet::Pubcomp(Ack::success(id(number))));
                }
            }
            publisher.hear_nothing();
            let heard = [client.hear_publish(), client.hear_publish()];
            let topics = heard.each_ref().map(|one| (&*one.topic, one.delivery.qos(), one.dup));
            assert_eq!(topics, [("exchange/1", qos, false), ("exchange/2", qos, false)]);
            let ids = heard.each_ref().map(|one| one.delivery.packet_id());
            assert!(ids[0] != ids[1] || ids == [None, None] && qos == Qos::AtMostOnce, "{ids:?}");
            for message in heard {
                match message.delivery {
                    Delivery::AtMostOnce => {}
                    Delivery::AtLeastOnce(id) => client.send(Packet::Puback(Ack::success(id))),
                    Delivery::ExactlyOnce(id) => {
                        client.send(Packet::Pubrec(Ack::success(id)));
                        assert_eq!(client.hear(), Packet::Pubrel(Ack::success(id)));
                        client.send(Packet::Pubcomp(Ack::success(id)));
                    }
                }
            }
            client.hear_nothing();
        }
    }
}

pub(crate) fn mqtt_4_3_2_5_an_acknowledged_id_is_that_of_a_new_message(house: &House) {
    for version in VERSIONS {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut client = Client::new(house.here(), in_version(version, connect("reusing")));
            client.subscribe("reused", qos);
            for (payload, dup) in [("1", false), ("2", true)] {
                client.say_all(Publish { dup, ..publish("reused", payload, delivery(qos, 5)) });
                assert_eq!(client.take(), payload);
            }
            client.hear_nothing();
        }
    }
}

/// A message of QoS 2 that has begun is brought to its end either way, expired or not.
pub(crate) fn mqtt_4_3_3_7_what_has_begun_does_not_expire(house: &House) {
    let mut client = Client::new(house.here(), lasting("expiring-exchange"));
    client.subscribe("begun", Qos::ExactlyOnce);
    let mut publisher = Client::new(house.there(), connect("expiring-publisher"));
    meet(&mut publisher, &mut client);
    let mut message = publish("begun", "1", Delivery::ExactlyOnce(id(7)));
    message.properties.expiry_s = Some(1);
    publisher.send(Packet::Publish(message));
    assert_eq!(publisher.hear(), Packet::Pubrec(Ack::success(id(7))));
    let begun = client.hear_publish();
    house.await_delay(1);
    publisher.send(Packet::Pubrel(Ack::success(id(7))));
    assert_eq!(publisher.hear(), Packet::Pubcomp(Ack::success(id(7))));
    client.acknowledge(&begun);
    client.hear_nothing();
}

/// In its order and under the same identifiers; of a message that was received only the release.
pub(crate) fn mqtt_4_6_0_1_what_is_sent_again_keeps_its_order(house: &House) {
    for version in VERSIONS {
        let hello = in_version(version, lasting("again-in-order"));
        let mut publisher = Client::new(house.there(), connect("again-publisher"));
        let mut client = Client::new(house.here(), hello.clone());
        client.subscribe("ordered-again", Qos::ExactlyOnce);
        meet(&mut publisher, &mut client);
        for (payload, qos) in
            [("0", Qos::ExactlyOnce), ("1", Qos::AtLeastOnce), ("2", Qos::ExactlyOnce), ("3", Qos::AtLeastOnce)]
        {
            publisher.say("ordered-again", payload, qos);
        }
        let sent: Vec<_> = (0..4).map(|_| client.hear_publish()).collect();
        let received = sent[0].delivery.packet_id().unwrap();
        client.send(Packet::Pubrec(Ack::success(received)));
        assert_eq!(client.hear(), Packet::Pubrel(Ack::success(received)));
        client.vanish();
        let (mut client, connack) = Client::enter(house.there(), hello);
        assert!(connack.session_present);
        let (mut again, mut released) = (vec![], vec![]);
        for _ in 0..4 {
            match client.hear() {
                Packet::Publish(publish) => again.push((publish.payload, publish.delivery, publish.dup)),
                Packet::Pubrel(ack) => released.push(ack.packet_id),
                other => panic!("{other:?}"),
            }
        }
        let expected: Vec<_> = sent[1..].iter().map(|one| (one.payload.clone(), one.delivery, true)).collect();
        assert_eq!((again, released), (expected, vec![received]));
        client.hear_nothing();
    }
}

pub(crate) fn mqtt_4_4_0_2_what_was_refused_is_not_sent_again(house: &House) {
    let mut publisher = Client::new(house.there(), connect("refused-publisher"));
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut client = Client::new(house.here(), lasting("refusing"));
        client.subscribe("refusing", qos);
        meet(&mut publisher, &mut client);
        publisher.say("refusing", "1", qos);
        let refusal = Ack::because(client.hear_publish().delivery.packet_id().unwrap(), Reason::QuotaExceeded);
        client.send(if qos == Qos::AtLeastOnce { Packet::Puback(refusal) } else { Packet::Pubrec(refusal) });
        client.hear_nothing();
        client.leave(Reason::Success, None);
        let mut client = Client::new(house.there(), lasting("refusing"));
        client.hear_nothing();
        client.leave(Reason::Success, Some(0));
    }
}

/// A session without a name in the store ends with its connection, and the next begins without it; what is retained is of no
/// session.
pub(crate) fn mqtt_3_1_2_4_a_clean_session_leaves_only_what_is_retained(house: &House) {
    for version in VERSIONS {
        let hello = in_version(version, connect("clean"));
        let kept = in_version(version, lasting("clean"));
        let mut publisher = Client::new(house.here(), in_version(version, connect("clean-publisher")));
        let (mut client, connack) = Client::enter(house.here(), hello.clone());
        assert!(!connack.session_present);
        client.subscribe("clean", Qos::AtLeastOnce);
        client.say_all(Publish { retain: true, ..publish("clean/kept", "kept", Delivery::AtLeastOnce(id(1))) });
        client.leave(Reason::Success, None);
        publisher.say("clean", "lost", Qos::AtLeastOnce);
        let (mut client, connack) = Client::enter(house.here(), kept.clone());
        assert!(!connack.session_present);
        client.hear_nothing();
        client.subscribe("clean", Qos::AtLeastOnce);
        client.leave(Reason::Success, None);
        publisher.say("clean", "lost as well", Qos::AtLeastOnce);
        let (mut client, connack) = Client::enter(house.there(), hello);
        assert!(!connack.session_present);
        client.hear_nothing();
        client.leave(Reason::Success, None);
        let (mut client, connack) = Client::enter(house.here(), kept);
        assert!(!connack.session_present);
        client.subscribe("clean/kept", Qos::AtMostOnce);
        assert_eq!(client.take(), "kept");
        client.leave(Reason::Success, None);
    }
}

/// With its QoS, retained or not, and once; a client that left none leaves none.
pub(crate) fn mqtt_3_1_2_14_a_will_is_published_as_it_says(house: &House) {
    for version in VERSIONS {
        for (qos, retain) in ALL_QOS.into_iter().zip([false, true, false]) {
            let topic = format!("will/as-said/{qos:?}");
            let mut heir = Client::new(house.there(), connect("as-said-heir"));
            heir.subscribe(&topic, Qos::ExactlyOnce);
            let mut said = Will { qos, retain, ..will(&topic, "gone") };
            if version == Version::V5 {
                said.properties.user = UserProperties::from_pairs([("b", "1"), ("a", "2"), ("b", "3")]).unwrap();
            }
            let user = said.properties.user.clone();
            let mut client =
                Client::new(house.here(), in_version(version, Connect { will: Some(said), ..connect("as-said") }));
            meet(&mut client, &mut heir);
            client.vanish();
            let heard = heir.hear_publish();
            assert_eq!((heard.payload.as_ref(), heard.delivery.qos(), heard.retain), (&b"gone"[..], qos, false));
            assert_eq!(heard.properties.user, user, "[MQTT-3.1.3-10]");
            heir.acknowledge(&heard);
            // Without a will there is none, nor one of before.
            let mut client = Client::new(house.here(), in_version(version, connect("as-said")));
            meet(&mut client, &mut heir);
            client.vanish();
            let mut other = Client::new(house.there(), connect("as-said-other"));
            other.say(&topic, "after", Qos::AtMostOnce);
            assert_eq!(heir.take(), "after");
            let mut late = Client::new(house.here(), connect("as-said-late"));
            late.subscribe(&topic, Qos::ExactlyOnce);
            if retain {
                let kept = late.hear_publish();
                assert_eq!((kept.payload.as_ref(), kept.retain, kept.delivery.qos()), (&b"gone"[..], true, qos));
                late.acknowledge(&kept);
                late.say_all(Publish { retain: true, ..publish(&topic, "", Delivery::AtMostOnce) });
                assert_eq!(late.take(), "");
            }
            late.hear_nothing();
        }
    }
}

/// What is retained comes with the flag to who subscribes, and again to who does so again; to who was there it came without.
pub(crate) fn mqtt_3_3_1_7_the_last_retained_message_is_kept_and_an_empty_one_is_not(house: &House) {
    for version in VERSIONS {
        let mut publisher = Client::new(house.here(), in_version(version, connect("retaining")));
        let mut client = Client::new(house.here(), in_version(version, connect("was-there")));
        client.subscribe("last/#", Qos::AtLeastOnce);
        let mut seen = |payload: &'static str, qos, retain| {
            publisher.say_all(Publish { retain, ..publish("last/1", payload, delivery(qos, 3)) });
            let heard = client.hear_publish();
            assert_eq!((heard.payload.as_ref(), heard.retain), (payload.as_bytes(), false), "{version:?}");
            client.acknowledge(&heard);
        };
        let kept = |turn| {
            let mut late = Client::new(house.here(), in_version(version, connect(turn)));
            let mut heard = None;
            for _ in 0..2 {
                late.subscribe("last/+", Qos::AtLeastOnce);
                late.send(Packet::Pingreq);
                heard = match late.hear() {
                    Packet::Publish(message) => {
                        late.acknowledge(&message);
                        assert_eq!(late.hear(), Packet::Pingresp);
                        assert!(message.retain);
                        Some((String::from_utf8(message.payload.to_vec()).unwrap(), message.delivery.qos()))
                    }
                    other => {
                        assert_eq!(other, Packet::Pingresp);
                        None
                    }
                };
            }
            heard
        };
        seen("1", Qos::AtLeastOnce, true);
        assert_eq!(kept("late-1"), Some(("1".to_owned(), Qos::AtLeastOnce)));
        seen("2", Qos::AtMostOnce, true);
        assert_eq!(kept("late-2"), Some(("2".to_owned(), Qos::AtMostOnce)));
        seen("3", Qos::AtLeastOnce, false);
        assert_eq!(kept("late-3"), Some(("2".to_owned(), Qos::AtMostOnce)));
        seen("", Qos::AtLeastOnce, true);
        assert_eq!(kept("late-4"), None);
    }
}

pub(crate) fn mqtt_3_1_3_8_a_client_identifier_that_is_too_long_is_refused(house: &House) {
    for version in VERSIONS {
        let hello = Connect { version, ..connect(&"x".repeat(CLIENT_ID_BYTES_MAX + 1)) };
        let (mut client, connack) = Client::enter(house.here(), hello);
        assert_eq!((connack.reason, connack.session_present), (Reason::ClientIdNotValid, false));
        assert_eq!(client.listen(), None);
    }
}

/// In 3.1.1: nothing that follows a CONNECT that is refused is carried out.
pub(crate) fn mqtt_3_1_4_5_of_3_1_1_what_follows_a_refused_connect_is_not_carried_out(house: &House) {
    let mut witness = Client::new(house.here(), connect("witness-of-old"));
    witness.subscribe("refused-old", Qos::AtMostOnce);
    let hello = Connect { version: Version::V3, clean_start: false, ..connect("") };
    let mut bytes = BytesMut::new();
    for packet in
        [Packet::Connect(Box::new(hello)), Packet::Publish(publish("refused-old", "smuggled", Delivery::AtMostOnce))]
    {
        packet.encode(Version::V3, u32::MAX, &mut bytes).unwrap();
    }
    let mut client = Client::open(house.here(), Version::V3);
    client.stream.write_all(&bytes).unwrap();
    let Packet::Connack(connack) = client.hear() else { panic!("no CONNACK") };
    assert_eq!((connack.reason, connack.session_present), (Reason::ClientIdNotValid, false));
    assert_eq!(client.listen(), None);
    witness.say("refused-old", "honest", Qos::AtMostOnce);
    assert_eq!(witness.take(), "honest");
}

/// Every alias that CONNACK allows is taken, and none is used towards a client that allows none.
pub(crate) fn mqtt_3_3_2_11_every_topic_alias_is_taken(house: &House) {
    let (mut client, connack) = Client::enter(house.here(), connect("aliases"));
    client.subscribe("aliases/#", Qos::AtMostOnce);
    let most = connack.properties.topic_alias_max.unwrap();
    for is_known in [false, true] {
        for number in 1..=most {
            let topic = format!("aliases/{number}");
            let said = if is_known { "" } else { &*topic };
            let topic_alias = NonZeroU16::new(number);
            client.send(Packet::Publish(Publish { topic_alias, ..publish(said, "1", Delivery::AtMostOnce) }));
            let heard = client.hear_publish();
            assert_eq!((&*heard.topic, heard.topic_alias), (&*topic, None), "[MQTT-3.1.2-27]");
        }
    }
}

/// A message that comes twice, through a shared subscription and another, has the identifier of each.
pub(crate) fn mqtt_3_3_4_5_each_copy_has_the_identifier_of_its_subscription(house: &House) {
    let mut client = Client::new(house.here(), connect("copies"));
    client.ask("copies", options(Qos::AtLeastOnce), Some(1));
    client.ask("$share/group/copies", options(Qos::AtLeastOnce), Some(2));
    client.say("copies", "1", Qos::AtLeastOnce);
    let mut ids: Vec<_> = (0..2)
        .map(|_| {
            let heard = client.hear_publish();
            client.acknowledge(&heard);
            heard.subscription_ids
        })
        .collect();
    ids.sort();
    assert_eq!(ids, [[1], [2]]);
    client.hear_nothing();
}

/// Reason strings, user properties and response information: the broker has none, asked for or not, so that none can make a
/// packet too large. It takes every QoS and retained messages, and does not say otherwise.
pub(crate) fn mqtt_3_1_2_29_no_answer_says_more_than_its_reason(house: &House) {
    for asked in [false, true] {
        let properties = ConnectProperties {
            request_problem_information: Some(asked),
            request_response_information: Some(asked),
            ..ConnectProperties::default()
        };
        let (mut client, connack) = Client::enter(house.here(), Connect { properties, ..connect("terse") });
        let said = connack.properties;
        assert_eq!((said.reason_string, said.response_information, said.user), (None, None, UserProperties::default()));
        assert_eq!((said.qos_max, said.retain_available), (None, None));
        assert_eq!((said.wildcard_available, said.shared_available), (None, None));
        let suback = client.ask(&format!("{}#", "a/".repeat(LEVELS_MAX)), options(Qos::AtMostOnce), None);
        assert!(suback.reasons[0].is_error());
        assert_eq!((suback.reason_string, suback.user), (None, UserProperties::default()));
        let (packet_id, user) = (id(3), UserProperties::default());
        client.send(Packet::Unsubscribe(Unsubscribe { packet_id, user, filters: vec!["none".into()] }));
        let Packet::Unsuback(unsuback) = client.hear() else { panic!("no UNSUBACK") };
        assert_eq!((unsuback.reason_string, unsuback.user), (None, UserProperties::default()));
        for (number, delivery) in [(1, Delivery::AtLeastOnce(id(1))), (2, Delivery::ExactlyOnce(id(2)))] {
            client.send(Packet::Publish(publish("$SYS/mine", "1", delivery)));
            let refused = Ack::because(id(number), Reason::NotAuthorized);
            let expected = if number == 1 { Packet::Puback(refused) } else { Packet::Pubrec(refused) };
            assert_eq!(client.hear(), expected);
        }
        let unknown = Ack::because(id(9), Reason::PacketIdNotFound);
        client.send(Packet::Pubrel(Ack::success(id(9))));
        assert_eq!(client.hear(), Packet::Pubcomp(unknown.clone()));
        client.send(Packet::Pubrec(Ack::success(id(9))));
        assert_eq!(client.hear(), Packet::Pubrel(unknown));
        client.send(Packet::Connect(Box::new(connect("terse"))));
        let Packet::Disconnect(end) = client.hear() else { panic!("no DISCONNECT") };
        assert_eq!((end.reason_string, end.user), (None, UserProperties::default()));
        assert_eq!(client.listen(), None);
    }
}

pub(crate) fn mqtt_3_12_4_1_a_ping_is_answered(house: &House) {
    for version in VERSIONS {
        let mut client = Client::new(house.here(), in_version(version, connect("pinging")));
        (0..3).for_each(|_| client.hear_nothing());
    }
}
