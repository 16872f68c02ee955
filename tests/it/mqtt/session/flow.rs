//! Acknowledgements, windows, order and what goes on after a break (4.3, 4.4, 4.6, 4.9).

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Instant;

use mqtt::codec::{Ack, Connect, ConnectProperties, Delivery, Packet, Publish, Qos, Reason, Version};
use mqtt::limits::{BACKPRESSURE_WAIT, QUEUE_BYTES_MAX, WAITING_BYTES_MAX};

use super::House;
use super::client::{Client, connect, id, lasting, meet, publish};

pub(crate) fn mqtt_3_3_4_9_the_receive_maximum_is_kept(house: &House) {
    let properties = ConnectProperties { receive_max: NonZeroU16::new(2), ..lasting("").properties };
    for (name, properties) in
        [("narrow", ConnectProperties { session_expiry_s: None, ..properties.clone() }), ("narrow-lasting", properties)]
    {
        let mut client = Client::new(house.here(), Connect { properties, ..connect(name) });
        let topic = format!("window/{name}");
        client.subscribe(&topic, Qos::ExactlyOnce);
        let mut publisher = Client::new(house.there(), connect(""));
        meet(&mut publisher, &mut client);
        for number in 0..5 {
            publisher.say(&topic, number.to_string(), Qos::AtLeastOnce);
        }
        let (first, second) = (client.hear_publish(), client.hear_publish());
        client.hear_nothing();
        client.acknowledge(&second);
        let third = client.hear_publish();
        client.hear_nothing();
        client.acknowledge(&first);
        client.acknowledge(&third);
        assert_eq!((client.take(), client.take()), ("3".into(), "4".into()));
        client.hear_nothing();
    }
}

pub(crate) fn mqtt_4_3_3_10_a_repeated_qos_2_is_published_once(house: &House) {
    for version in [Version::V3, Version::V5] {
        repeats(house, &Connect { version, ..lasting(&format!("repeating-{version:?}")) });
    }
}

fn repeats(house: &House, hello: &Connect) {
    let mut heir = Client::new(house.there(), connect(""));
    heir.subscribe("once", Qos::ExactlyOnce);
    let mut client = Client::new(house.here(), hello.clone());
    meet(&mut client, &mut heir);
    let mut message = publish("once", "1", Delivery::ExactlyOnce(id(5)));
    for dup in [false, true] {
        message.dup = dup;
        client.send(Packet::Publish(message.clone()));
        let Packet::Pubrec(ack) = client.hear() else { panic!("no PUBREC") };
        assert_eq!(ack.packet_id, id(5));
    }
    client.vanish();
    // Also on another connection, wherever that is.
    let (mut client, connack) = Client::enter(house.there(), hello.clone());
    assert!(connack.session_present);
    client.send(Packet::Publish(message));
    let Packet::Pubrec(_) = client.hear() else { panic!("no PUBREC") };
    client.send(Packet::Pubrel(Ack::success(id(5))));
    assert_eq!(client.hear(), Packet::Pubcomp(Ack::success(id(5))));
    // Released, the id is for another message.
    client.say_all(publish("once", "2", Delivery::ExactlyOnce(id(5))));
    assert_eq!((heir.take(), heir.take()), ("1".into(), "2".into()));
    heir.hear_nothing();
}

pub(crate) fn mqtt_4_4_0_1_what_was_not_acknowledged_is_sent_again(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut client = Client::new(house.here(), lasting("broken"));
    client.subscribe("again/#", Qos::ExactlyOnce);
    meet(&mut publisher, &mut client);
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        publisher.say("again/1", format!("{qos:?}"), qos);
    }
    publisher.say("again/1", "acknowledged", Qos::AtLeastOnce);
    let sent = [client.hear_publish(), client.hear_publish()];
    assert!(sent.iter().all(|one| !one.dup));
    assert_eq!(client.take(), "acknowledged");
    client.hear_nothing();
    client.leave(Reason::Success, None);
    let (mut client, connack) = Client::enter(house.there(), lasting("broken"));
    assert!(connack.session_present);
    for before in sent {
        let again = client.hear_publish();
        assert!(again.dup, "[MQTT-3.3.1-1]");
        assert_eq!((again.delivery, &again.payload), (before.delivery, &before.payload));
        client.acknowledge(&again);
    }
    client.hear_nothing();
}

pub(crate) fn mqtt_4_4_0_1_pubrel_is_sent_again(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut client = Client::new(house.here(), lasting("half-way"));
    client.subscribe("half", Qos::ExactlyOnce);
    meet(&mut publisher, &mut client);
    publisher.say("half", "1", Qos::ExactlyOnce);
    let message = client.hear_publish();
    let packet_id = message.delivery.packet_id().unwrap();
    client.send(Packet::Pubrec(Ack::success(packet_id)));
    assert_eq!(client.hear(), Packet::Pubrel(Ack::success(packet_id)));
    client.vanish();
    let mut client = Client::new(house.there(), lasting("half-way"));
    assert_eq!(client.hear(), Packet::Pubrel(Ack::success(packet_id)));
    client.send(Packet::Pubcomp(Ack::success(packet_id)));
    publisher.say("half", "2", Qos::ExactlyOnce);
    assert_eq!(client.take(), "2");
}

const MANY: usize = 1500;

pub(crate) fn mqtt_4_6_0_6_order_is_kept(house: &House) {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let old = Connect { version: Version::V3, ..lasting("ordered-old") };
        for hello in [connect("ordered"), lasting("ordered-lasting"), old] {
            let mut publisher = Client::new(house.there(), connect(""));
            let mut client = Client::new(house.here(), hello);
            client.subscribe("order", qos);
            meet(&mut publisher, &mut client);
            let sending = std::thread::spawn(move || {
                for number in 0..MANY / 5 {
                    publisher.say("order", number.to_string(), qos);
                }
            });
            for number in 0..MANY / 5 {
                assert_eq!(client.take(), number.to_string());
            }
            sending.join().unwrap();
            client.unsubscribe("order");
        }
    }
}

pub(crate) fn mqtt_4_6_0_6_order_is_kept_through_a_backlog(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut client = Client::new(house.here(), lasting("backlog"));
    client.subscribe("backlog", Qos::AtLeastOnce);
    meet(&mut publisher, &mut client);
    client.leave(Reason::Success, None);
    for number in 0..MANY {
        publisher.say("backlog", number.to_string(), Qos::AtLeastOnce);
    }
    let mut client = Client::new(house.there(), lasting("backlog"));
    let sending = std::thread::spawn(move || {
        for number in MANY..2 * MANY {
            publisher.say("backlog", number.to_string(), Qos::AtLeastOnce);
        }
    });
    for number in 0..2 * MANY {
        assert_eq!(client.take(), number.to_string());
    }
    sending.join().unwrap();
    client.hear_nothing();
}

pub(crate) fn mqtt_3_1_2_24_what_is_too_large_is_not_sent(house: &House) {
    let small = ConnectProperties { packet_max_bytes: NonZeroU32::new(64), ..lasting("").properties };
    for (name, properties) in
        [("small", ConnectProperties { session_expiry_s: None, ..small.clone() }), ("small-lasting", small)]
    {
        let mut publisher = Client::new(house.there(), connect(""));
        let mut client = Client::new(house.here(), Connect { properties, ..connect(name) });
        client.subscribe("size", Qos::AtLeastOnce);
        meet(&mut publisher, &mut client);
        publisher.say("size", vec![b'x'; 100], Qos::AtLeastOnce);
        publisher.say("size", "fits", Qos::AtLeastOnce);
        assert_eq!(client.take(), "fits");
        client.hear_nothing();
    }
}

pub(crate) fn mqtt_3_3_2_topic_aliases_to_the_client(house: &House) {
    let properties = ConnectProperties { topic_alias_max: Some(1), ..ConnectProperties::default() };
    let mut client = Client::new(house.here(), Connect { properties, ..connect("short-topics") });
    client.subscribe("alias/#", Qos::AtMostOnce);
    client.say("alias/a", "1", Qos::AtMostOnce);
    client.say("alias/a", "2", Qos::AtMostOnce);
    client.say("alias/b", "3", Qos::AtMostOnce);
    let heard: Vec<_> = (0..3).map(|_| client.hear_publish()).collect();
    let seen: Vec<_> = heard.iter().map(|one| (&*one.topic, one.topic_alias.map(NonZeroU16::get))).collect();
    assert_eq!(seen, [("alias/a", Some(1)), ("", Some(1)), ("alias/b", None)]);
}

pub(crate) fn mqtt_3_6_an_unknown_packet_id_is_told(house: &House) {
    let mut client = Client::new(house.here(), connect("confused"));
    client.send(Packet::Pubrel(Ack::success(id(77))));
    assert_eq!(client.hear(), Packet::Pubcomp(Ack::because(id(77), Reason::PacketIdNotFound)));
    client.send(Packet::Pubrec(Ack::success(id(77))));
    assert_eq!(client.hear(), Packet::Pubrel(Ack::because(id(77), Reason::PacketIdNotFound)));
    client.send(Packet::Puback(Ack::success(id(77))));
    client.hear_nothing();
}

/// A large message, a few dozen of which fill a queue.
fn large(id: Delivery, expiry_s: Option<u32>) -> Publish {
    let mut message = publish("full", vec![b'x'; 900_000], id);
    message.properties.expiry_s = expiry_s;
    message
}

/// Fills the queue of a session that is away, until PUBACK says that it is full.
fn fill(publisher: &mut Client) {
    for number in 1.. {
        publisher.send(Packet::Publish(large(Delivery::AtLeastOnce(id(number)), None)));
        let Packet::Puback(ack) = publisher.hear() else { panic!("no PUBACK") };
        if ack.reason == Reason::QuotaExceeded {
            assert!(usize::from(number) * 900_000 > QUEUE_BYTES_MAX / 2, "{number}");
            return;
        }
        assert!(usize::from(number) * 900_000 < QUEUE_BYTES_MAX * 2, "{:?}", ack.reason);
    }
}

pub(crate) fn mqtt_3_4_2_1_what_a_full_queue_refuses_is_told(house: &House) {
    let mut client = Client::new(house.here(), lasting("full"));
    client.subscribe("full", Qos::ExactlyOnce);
    client.leave(Reason::Success, None);
    let mut publisher = Client::new(house.there(), lasting("filling"));
    fill(&mut publisher);
    for _ in 0..2 {
        // The refusal ends the exchange, so that the id is free again.
        publisher.send(Packet::Publish(large(Delivery::ExactlyOnce(id(7)), None)));
        assert_eq!(publisher.hear(), Packet::Pubrec(Ack::because(id(7), Reason::QuotaExceeded)));
    }
    // 3.1.1 has no words for it: the client is held back, and then sent away without an acknowledgement.
    let old = Connect { version: Version::V3, ..connect("filling-old") };
    let mut held = Client::new(house.there(), old.clone());
    let begin = Instant::now();
    held.send(Packet::Publish(large(Delivery::AtLeastOnce(id(1)), None)));
    assert_eq!(held.listen(), None);
    assert!(begin.elapsed() >= BACKPRESSURE_WAIT);
    // As soon as there is room, it goes on.
    let mut held = Client::new(house.there(), old);
    held.send(Packet::Publish(large(Delivery::AtLeastOnce(id(1)), None)));
    let _back = Client::new(house.here(), connect("full"));
    assert_eq!(held.hear(), Packet::Puback(Ack::success(id(1))));
}

pub(crate) fn mqtt_3_3_2_5_a_full_queue_of_expired_messages_takes_new_ones(house: &House) {
    let mut client = Client::new(house.here(), lasting("full-of-old"));
    client.subscribe("full", Qos::AtLeastOnce);
    client.leave(Reason::Success, None);
    let mut publisher = Client::new(house.there(), connect(""));
    for number in 1..=u16::try_from(QUEUE_BYTES_MAX / 900_000 + 2).unwrap() {
        publisher.send(Packet::Publish(large(Delivery::AtLeastOnce(id(number)), Some(2))));
        let Packet::Puback(_) = publisher.hear() else { panic!("no PUBACK") };
    }
    house.await_delay(2);
    publisher.say("full", "new", Qos::AtLeastOnce);
    let mut client = Client::new(house.there(), lasting("full-of-old"));
    assert_eq!(client.take(), "new");
}

/// A client that reads too slowly for what it was promised does not miss a message without knowing: it is sent away.
pub(crate) fn mqtt_4_13_a_client_that_is_too_slow_is_sent_away(house: &House) {
    let mut slow = Client::new(house.here(), connect("slow"));
    slow.subscribe("full", Qos::AtLeastOnce);
    let count = WAITING_BYTES_MAX / 900_000 * 3;
    let publishers = (0..count).map(|_| {
        let mut publisher = Client::new(house.there(), connect(""));
        publisher.send(Packet::Publish(large(Delivery::AtLeastOnce(id(1)), None)));
        publisher
    });
    for mut publisher in publishers.collect::<Vec<_>>() {
        let Packet::Puback(ack) = publisher.hear() else { panic!("no PUBACK") };
        assert!(!ack.reason.is_error());
    }
    while slow.listen().is_some_and(|packet| matches!(packet, Packet::Publish(_))) {}
    let slow_consumers: u64 = house.brokers.iter().map(|broker| broker.metrics().slow_consumers.get()).sum();
    assert!(slow_consumers > 0);
}
