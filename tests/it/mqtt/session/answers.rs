//! What is answered, what is passed on and what is not: statements that stand between the others.

use std::io::Write;
use std::num::NonZeroU16;

use mqtt::codec::topic::LEVELS_MAX;
use mqtt::codec::{
    Ack, BytesMut, Connect, ConnectProperties, Delivery, Packet, Qos, Reason, Subscribe, Subscription, Unsubscribe,
    UserProperties, Version,
};
use mqtt::limits::SUBSCRIPTIONS_MAX;

use super::House;
use super::client::{Client, connect, id, lasting, meet, options, publish};

/// QoS 2 messages a client may have open, as CONNACK says.
fn receive_maximum(house: &House) -> u16 {
    let (_, connack) = Client::enter(house.here(), connect(""));
    connack.properties.receive_max.map_or(u16::MAX, NonZeroU16::get)
}

pub(crate) fn mqtt_3_1_4_6_what_follows_a_refused_connect_is_not_carried_out(house: &House) {
    let mut witness = Client::new(house.there(), connect(""));
    let mut other = Client::new(house.here(), connect(""));
    witness.subscribe("refused", Qos::AtMostOnce);
    meet(&mut other, &mut witness);
    let properties = ConnectProperties { authentication_method: Some("none".into()), ..ConnectProperties::default() };
    let hello = Packet::Connect(Box::new(Connect { properties, ..connect("refused") }));
    let mut bytes = BytesMut::new();
    for packet in [hello, Packet::Publish(publish("refused", "smuggled", Delivery::AtMostOnce))] {
        packet.encode(Version::V5, u32::MAX, &mut bytes).unwrap();
    }
    let mut client = Client::open(house.here(), Version::V5);
    client.stream.write_all(&bytes).unwrap();
    let Packet::Connack(connack) = client.hear() else { panic!("no CONNACK") };
    // [MQTT-3.2.2-6], [MQTT-3.2.2-7]
    assert!(connack.reason.is_error() && !connack.session_present);
    assert_eq!(client.listen(), None);
    other.say("refused", "honest", Qos::AtMostOnce);
    assert_eq!(witness.take(), "honest");
}

pub(crate) fn mqtt_3_3_1_1_what_may_have_been_sent_says_so(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut old = Client::new(house.here(), lasting("seen-before"));
    old.subscribe("seen", Qos::AtLeastOnce);
    meet(&mut publisher, &mut old);
    publisher.say("seen", "1", Qos::AtLeastOnce);
    let first = old.hear_publish();
    assert!(!first.dup);
    // Taken over while it is connected: nobody has told the store how far it came.
    let mut new = Client::new(house.there(), lasting("seen-before"));
    let again = new.hear_publish();
    assert!(again.dup && again.delivery == first.delivery);
}

pub(crate) fn mqtt_4_3_an_acknowledgement_of_another_qos_ends_the_connection(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    for (topic, qos) in [
        ("rec-for-1", Qos::AtLeastOnce),
        ("comp-for-1", Qos::AtLeastOnce),
        ("ack-for-2", Qos::ExactlyOnce),
        ("comp-before-rec", Qos::ExactlyOnce),
    ] {
        let mut client = Client::new(house.here(), connect(""));
        client.subscribe(topic, qos);
        meet(&mut publisher, &mut client);
        publisher.say(topic, "1", qos);
        let (Delivery::AtLeastOnce(id) | Delivery::ExactlyOnce(id)) = client.hear_publish().delivery else {
            panic!("{topic}: not of this QoS")
        };
        let ack = Ack::because(id, Reason::Success);
        client.send(match topic {
            "rec-for-1" => Packet::Pubrec(ack),
            "ack-for-2" => Packet::Puback(ack),
            _ => Packet::Pubcomp(ack),
        });
        client.hear_end(Reason::ProtocolError);
    }
}

pub(crate) fn mqtt_3_3_1_3_dup_of_the_publisher_is_not_passed_on(house: &House) {
    for version in [Version::V3, Version::V5] {
        let mut publisher = Client::new(house.there(), Connect { version, ..connect("") });
        let mut client = Client::new(house.here(), Connect { version, ..connect("") });
        client.subscribe("dup", Qos::AtLeastOnce);
        meet(&mut publisher, &mut client);
        let mut message = publish("dup", "1", Delivery::AtLeastOnce(id(9)));
        message.dup = true;
        publisher.say_all(message);
        assert!(!client.hear_publish().dup);
    }
}

pub(crate) fn mqtt_3_3_2_7_an_alias_ends_with_its_connection(house: &House) {
    let mut client = Client::new(house.here(), lasting("aliased"));
    let mut message = publish("alias", "1", Delivery::AtMostOnce);
    message.topic_alias = NonZeroU16::new(1);
    client.send(Packet::Publish(message.clone()));
    message.topic = "".into();
    client.send(Packet::Publish(message.clone()));
    client.hear_nothing();
    client.leave(Reason::Success, None);
    let mut client = Client::new(house.here(), lasting("aliased"));
    client.send(Packet::Publish(message));
    // Without a mapping and without a topic (3.3.2.3.4).
    client.hear_end(Reason::ProtocolError);
}

pub(crate) fn mqtt_3_3_4_7_more_than_the_receive_maximum_ends_the_connection(house: &House) {
    let most = receive_maximum(house);
    let mut client = Client::new(house.here(), connect("greedy"));
    for number in 1..=most + 1 {
        client.send(Packet::Publish(publish("greedy", "", Delivery::ExactlyOnce(id(number)))));
    }
    for number in 1..=most {
        let Packet::Pubrec(ack) = client.hear() else { panic!("no PUBREC") };
        assert_eq!(ack.packet_id, id(number));
    }
    client.hear_end(Reason::ReceiveMaximumExceeded);
}

pub(crate) fn mqtt_3_3_4_10_a_full_window_holds_nothing_else_back(house: &House) {
    let properties = ConnectProperties { receive_max: NonZeroU16::new(1), ..ConnectProperties::default() };
    let mut client = Client::new(house.here(), Connect { properties, ..connect("full") });
    client.subscribe("full", Qos::AtLeastOnce);
    client.say("full", "1", Qos::AtLeastOnce);
    client.say("full", "2", Qos::AtLeastOnce);
    let first = client.hear_publish();
    // [MQTT-4.9.0-3]: what is no PUBLISH of QoS above 0 goes on.
    client.subscribe("beside", Qos::AtMostOnce);
    client.say("beside", "0", Qos::AtMostOnce);
    assert_eq!(client.take(), "0");
    client.hear_nothing();
    client.acknowledge(&first);
    assert_eq!(client.take(), "2");
}

pub(crate) fn mqtt_3_8_4_6_each_filter_has_its_answer_in_order(house: &House) {
    for version in [Version::V3, Version::V5] {
        each_filter_is_answered(Client::new(house.here(), Connect { version, ..connect("") }));
    }
}

fn each_filter_is_answered(mut client: Client) {
    let wanted = [("many/0", Qos::AtMostOnce), ("many/2", Qos::ExactlyOnce), ("many/1", Qos::AtLeastOnce)];
    let subscriptions =
        wanted.map(|(filter, qos)| Subscription { filter: filter.into(), options: options(qos) }).to_vec();
    let (subscription_id, user) = (None, UserProperties::default());
    client.send(Packet::Subscribe(Subscribe { packet_id: id(3), subscription_id, user, subscriptions }));
    let Packet::Suback(suback) = client.hear() else { panic!("no SUBACK") };
    // [MQTT-3.8.4-2], [MQTT-3.9.3-1]
    assert_eq!(suback.packet_id, id(3));
    assert_eq!(suback.reasons, [Reason::Success, Reason::GrantedQos2, Reason::GrantedQos1]);
    let filters = ["many/2", "many/none", "many/0"].map(Into::into).to_vec();
    client.send(Packet::Unsubscribe(Unsubscribe { packet_id: id(4), user: UserProperties::default(), filters }));
    let Packet::Unsuback(unsuback) = client.hear() else { panic!("no UNSUBACK") };
    // [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.11.3-1]
    assert_eq!(unsuback.packet_id, id(4));
    let expected = [Reason::Success, Reason::NoSubscriptionExisted, Reason::Success];
    assert_eq!(unsuback.reasons, if client.version == Version::V5 { &expected[..] } else { &[] });
    for (filter, is_held) in [("many/0", false), ("many/1", true), ("many/2", false)] {
        client.say(filter, filter, Qos::AtMostOnce);
        if is_held {
            assert_eq!(client.take(), filter);
        }
        client.hear_nothing();
    }
}

pub(crate) fn mqtt_3_10_4_3_what_was_begun_before_an_unsubscribe_is_completed(house: &House) {
    for version in [Version::V3, Version::V5] {
        let hello = Connect { version, ..lasting(&format!("completing-{version:?}")) };
        let mut publisher = Client::new(house.there(), connect(""));
        let mut client = Client::new(house.here(), hello.clone());
        client.subscribe("complete", Qos::ExactlyOnce);
        meet(&mut publisher, &mut client);
        publisher.say("complete", "1", Qos::ExactlyOnce);
        let begun = client.hear_publish();
        client.unsubscribe("complete");
        client.leave(Reason::Success, None);
        let mut client = Client::new(house.there(), hello);
        let again = client.hear_publish();
        assert!(again.dup && again.delivery == begun.delivery);
        client.acknowledge(&again);
        client.hear_nothing();
    }
}

pub(crate) fn mqtt_4_3_3_11_an_unreleased_id_is_the_same_message_whatever_it_says(house: &House) {
    let mut publisher = Client::new(house.here(), connect(""));
    let mut client = Client::new(house.there(), connect(""));
    client.subscribe("exact", Qos::ExactlyOnce);
    meet(&mut publisher, &mut client);
    for text in ["first", "second"] {
        publisher.send(Packet::Publish(publish("exact", text, Delivery::ExactlyOnce(id(7)))));
        let Packet::Pubrec(ack) = publisher.hear() else { panic!("no PUBREC") };
        assert_eq!(ack.packet_id, id(7));
    }
    // [MQTT-4.3.3-12]: PUBREL is answered, also the second time.
    for reason in [Reason::Success, Reason::PacketIdNotFound] {
        publisher.send(Packet::Pubrel(Ack::success(id(7))));
        assert_eq!(publisher.hear(), Packet::Pubcomp(Ack::because(id(7), reason)));
    }
    assert_eq!(client.take(), "first");
    client.hear_nothing();
}

pub(crate) fn mqtt_4_7_3_4_topics_are_compared_as_they_are(house: &House) {
    for version in [Version::V3, Version::V5] {
        let mut publisher = Client::new(house.there(), Connect { version, ..connect("") });
        topics_are_compared(&mut publisher, Client::new(house.here(), Connect { version, ..connect("") }));
    }
}

fn topics_are_compared(publisher: &mut Client, mut client: Client) {
    for filter in ["Case", "/slash", "caf\u{e9}", "spa ce"] {
        client.subscribe(filter, Qos::AtLeastOnce);
    }
    meet(publisher, &mut client);
    for topic in ["case", "slash", "/slash/", "cafe\u{301}", "space", "CASE"] {
        publisher.say(topic, topic, Qos::AtLeastOnce);
    }
    for topic in ["Case", "/slash", "caf\u{e9}", "spa ce"] {
        publisher.say(topic, topic, Qos::AtLeastOnce);
        assert_eq!(client.take(), topic);
    }
    client.hear_nothing();
    // [MQTT-3.10.4-1]
    for filter in ["case", "slash", "cafe\u{301}", "spa  ce", "#"] {
        client.unsubscribe(filter);
    }
    for topic in ["Case", "/slash", "caf\u{e9}", "spa ce"] {
        publisher.say(topic, topic, Qos::AtLeastOnce);
        assert_eq!(client.take(), topic);
    }
}

pub(crate) fn mqtt_4_8_2_6_what_a_member_refuses_goes_to_no_other(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut first = Client::new(house.here(), connect(""));
    first.subscribe("$share/refuse/task", Qos::AtLeastOnce);
    meet(&mut publisher, &mut first);
    publisher.say("task", "1", Qos::AtLeastOnce);
    let refused = first.hear_publish().delivery.packet_id().unwrap();
    let mut second = Client::new(house.there(), connect(""));
    second.subscribe("$share/refuse/task", Qos::AtLeastOnce);
    first.send(Packet::Puback(Ack::because(refused, Reason::QuotaExceeded)));
    first.hear_nothing();
    first.leave(Reason::Success, None);
    // Who has gone is known there once the other gets everything.
    let mut heard = None;
    for number in 2..10_000 {
        publisher.say("task", number.to_string(), Qos::AtLeastOnce);
        if heard.is_some() {
            break;
        }
        second.send(Packet::Pingreq);
        while let Packet::Publish(publish) = second.hear() {
            second.send(Packet::Puback(Ack::success(publish.delivery.packet_id().unwrap())));
            assert_ne!(&publish.payload[..], b"1");
            heard = Some(number);
        }
    }
    assert!(heard.is_some());
}

/// One member has what it does not acknowledge: a message of QoS 1, one of QoS 2, and one of QoS 2 for which its window has
/// no room. Then another joins.
fn left_behind(house: &House, hello: Connect, share: &str) -> (Client, Client) {
    let mut publisher = Client::new(house.there(), connect(""));
    let properties = ConnectProperties { receive_max: NonZeroU16::new(2), ..hello.properties.clone() };
    let mut first = Client::new(house.here(), Connect { properties, ..hello });
    first.subscribe(&format!("$share/{share}/{share}"), Qos::ExactlyOnce);
    meet(&mut publisher, &mut first);
    publisher.say(share, "1", Qos::AtLeastOnce);
    publisher.say(share, "2", Qos::ExactlyOnce);
    publisher.say(share, "3", Qos::ExactlyOnce);
    assert_eq!((&first.hear_publish().payload[..], &first.hear_publish().payload[..]), (&b"1"[..], &b"2"[..]));
    let mut second = Client::new(house.there(), connect(""));
    second.subscribe(&format!("$share/{share}/{share}"), Qos::ExactlyOnce);
    let mut other = Client::new(house.here(), connect(""));
    meet(&mut other, &mut second);
    (first, second)
}

pub(crate) fn mqtt_4_8_2_5_what_a_lost_member_left_goes_to_another(house: &House) {
    // The session ends with its connection.
    let (first, mut second) = left_behind(house, connect("member"), "lost");
    first.vanish();
    assert_eq!((second.take(), second.take()), ("1".into(), "3".into()));
    second.hear_nothing();
    // And one that lasts, only when it expires.
    let properties = ConnectProperties { session_expiry_s: Some(1), ..ConnectProperties::default() };
    let hello = Connect { properties, ..connect("lasting-member") };
    let (first, mut second) = left_behind(house, hello, "expired");
    first.leave(Reason::Success, None);
    let mut heard = [second.take(), second.take()];
    heard.sort_unstable();
    assert_eq!(heard, ["1", "3"]);
    second.hear_nothing();
}

/// Whatever a message needs of the store, or does not: acknowledgements come in the order of what they acknowledge.
pub(crate) fn mqtt_4_6_0_4_releases_keep_the_order_of_what_was_received(house: &House) {
    for version in [Version::V3, Version::V5] {
        let mut publisher = Client::new(house.there(), connect(""));
        let mut client = Client::new(house.here(), Connect { version, ..lasting(&format!("releases-{version:?}")) });
        client.subscribe("releases", Qos::ExactlyOnce);
        meet(&mut publisher, &mut client);
        for payload in ["1", "2", "3"] {
            publisher.say("releases", payload, Qos::ExactlyOnce);
        }
        let mut received: Vec<_> = (0..3).map(|_| client.hear_publish().delivery).collect();
        received.rotate_left(1);
        let ids: Vec<_> = received.iter().filter_map(|delivery| delivery.packet_id()).collect();
        for id in &ids {
            client.send(Packet::Pubrec(Ack::success(*id)));
        }
        for id in &ids {
            assert_eq!(client.hear(), Packet::Pubrel(Ack::success(*id)));
        }
        client.unsubscribe("releases");
    }
}

pub(crate) fn mqtt_4_6_0_2_acknowledgements_keep_the_order_of_messages(house: &House) {
    let mut keeper = Client::new(house.there(), lasting("keeper"));
    keeper.subscribe("orderly/kept", Qos::ExactlyOnce);
    keeper.leave(Reason::Success, None);
    for version in [Version::V3, Version::V5] {
        let hello = Connect { version, ..lasting(&format!("orderly-{version:?}")) };
        acknowledgements_keep_their_order(Client::new(house.here(), hello));
    }
}

fn acknowledgements_keep_their_order(mut client: Client) {
    let ids = [9, 4, 7, 2, 8, 3, 6, 5];
    let mut bytes = BytesMut::new();
    for (at, number) in ids.into_iter().enumerate() {
        let topic = if at % 3 == 0 { "orderly/nobody" } else { "orderly/kept" };
        let delivery = if at % 2 == 0 { Delivery::AtLeastOnce(id(number)) } else { Delivery::ExactlyOnce(id(number)) };
        Packet::Publish(publish(topic, "", delivery)).encode(client.version, u32::MAX, &mut bytes).unwrap();
    }
    client.stream.write_all(&bytes).unwrap();
    let (mut acknowledged, mut received) = (vec![], vec![]);
    for _ in ids {
        match client.hear() {
            Packet::Puback(ack) => acknowledged.push(ack.packet_id.get()),
            Packet::Pubrec(ack) => received.push(ack.packet_id.get()),
            other => panic!("{other:?}"),
        }
    }
    // [MQTT-4.6.0-3]
    assert_eq!((acknowledged, received), (vec![9, 7, 8, 6], vec![4, 2, 3, 5]));
    for number in [2, 5, 4, 3] {
        client.send(Packet::Pubrel(Ack::success(id(number))));
    }
    for number in [2, 5, 4, 3] {
        assert_eq!(client.hear(), Packet::Pubcomp(Ack::success(id(number))));
    }
}

/// Once SUBACK is sent, a message that is acknowledged later is delivered, wherever its publisher is connected.
pub(crate) fn mqtt_3_8_4_what_is_said_after_suback_arrives(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    for turn in 0..40 {
        let hello = if turn % 2 == 0 { connect("prompt") } else { lasting("prompt-lasting") };
        let mut client = Client::new(house.here(), hello);
        let topic = format!("prompt/{turn}");
        client.subscribe(&topic, Qos::AtLeastOnce);
        publisher.say(&topic, "1", Qos::AtLeastOnce);
        assert_eq!(client.take(), "1", "{turn}");
    }
}

pub(crate) fn mqtt_4_7_3_deeper_topics_than_are_held_are_refused_alone(house: &House) {
    let deep = "a/".repeat(LEVELS_MAX);
    for version in [Version::V5, Version::V3] {
        let mut client = Client::new(house.here(), Connect { version, ..connect("diver") });
        let suback = client.ask(&format!("{deep}#"), options(Qos::AtLeastOnce), None);
        let [reason] = suback.reasons[..] else { panic!("{suback:?}") };
        let expected = if version == Version::V5 { Reason::TopicFilterInvalid } else { Reason::Unspecified };
        assert_eq!(reason, expected);
        client.send(Packet::Publish(publish(&deep, "1", Delivery::AtMostOnce)));
        client.send(Packet::Publish(publish(&deep, "1", Delivery::AtLeastOnce(id(1)))));
        client.send(Packet::Publish(publish(&deep, "1", Delivery::ExactlyOnce(id(2)))));
        let refused = if version == Version::V5 { Reason::TopicNameInvalid } else { Reason::Success };
        assert_eq!(client.hear(), Packet::Puback(Ack::because(id(1), refused)));
        assert_eq!(client.hear(), Packet::Pubrec(Ack::because(id(2), refused)));
        client.hear_nothing();
    }
}

pub(crate) fn mqtt_3_8_4_3_a_filter_that_is_held_takes_no_more_room(house: &House) {
    const AT_A_TIME: usize = 500;
    let mut client = Client::new(house.here(), connect("collector"));
    for first in (0..SUBSCRIPTIONS_MAX).step_by(AT_A_TIME) {
        let filter =
            |number| Subscription { filter: format!("held/{number}").into(), options: options(Qos::AtMostOnce) };
        let subscriptions = (first..first + AT_A_TIME).map(filter).collect();
        let (subscription_id, user) = (None, UserProperties::default());
        client.send(Packet::Subscribe(Subscribe { packet_id: id(1), subscription_id, user, subscriptions }));
        let Packet::Suback(suback) = client.hear() else { panic!("no SUBACK") };
        assert!(suback.reasons.iter().all(|reason| !reason.is_error()));
    }
    assert_eq!(client.ask("one/more", options(Qos::AtMostOnce), None).reasons, [Reason::QuotaExceeded]);
    assert_eq!(client.ask("held/7", options(Qos::AtLeastOnce), None).reasons, [Reason::GrantedQos1]);
}
