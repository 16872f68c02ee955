//! Wills (3.1.2.5, 3.1.3.2).

use std::time::{Duration, Instant};

use mqtt::codec::topic::LEVELS_MAX;
use mqtt::codec::{Connect, ConnectProperties, Delivery, Disconnect, Packet, Qos, Reason, Version, Will};

use super::House;
use super::client::{Client, connect, id, lasting, meet, publish, will};

/// A client that receives the will, and the client that leaves it.
fn two(house: &House, hello: Connect, filter: &str) -> (Client, Client) {
    let mut heir = Client::new(house.there(), connect(""));
    heir.subscribe(filter, Qos::ExactlyOnce);
    let mut client = Client::new(house.here(), hello);
    meet(&mut client, &mut heir);
    (heir, client)
}

pub(crate) fn mqtt_3_1_2_8_a_will_is_published_when_the_connection_is_lost(house: &House) {
    let hello = Connect { will: Some(will("will/lost", "gone")), ..connect("mortal") };
    let (mut heir, client) = two(house, hello.clone(), "will/lost");
    client.vanish();
    assert_eq!(heir.take(), "gone");
    // Taken over is lost as well [MQTT-3.1.4-3].
    let mut first = Client::new(house.here(), hello.clone());
    let second = Client::new(house.there(), hello);
    first.hear_end(Reason::SessionTakenOver);
    assert_eq!(heir.take(), "gone");
    second.leave(Reason::Success, None);
    heir.hear_nothing();
}

pub(crate) fn mqtt_3_1_2_10_a_goodbye_removes_the_will(house: &House) {
    for version in [Version::V3, Version::V5] {
        let hello = Connect { version, will: Some(will("will/none", "gone")), ..connect("polite") };
        let (mut heir, client) = two(house, hello, "will/none");
        client.leave(Reason::Success, None);
        let mut other = Client::new(house.here(), connect(""));
        other.say("will/none", "still here", Qos::AtLeastOnce);
        assert_eq!(heir.take(), "still here");
    }
}

pub(crate) fn mqtt_3_14_4_3_a_goodbye_removes_the_will_however_soon_the_client_is_back(house: &House) {
    for (name, hello) in [("hasty", connect("hasty")), ("hasty-lasting", lasting("hasty-lasting"))] {
        let topic = format!("will/{name}");
        let hello = Connect { will: Some(will(&topic, "gone")), ..hello };
        let (mut heir, mut client) = two(house, hello.clone(), &topic);
        for turn in 0..30 {
            // Goodbye right behind other packets, and back before the broker can have closed the connection.
            client.send(Packet::Publish(publish("will/other", "1", Delivery::AtLeastOnce(id(7)))));
            client.send(Packet::Disconnect(Disconnect::because(Reason::Success)));
            client = Client::new(if turn % 2 == 0 { house.there() } else { house.here() }, hello.clone());
        }
        client.leave(Reason::Success, None);
        let mut other = Client::new(house.here(), connect(""));
        other.say(&topic, "still here", Qos::AtLeastOnce);
        assert_eq!(heir.take(), "still here");
    }
}

/// What may not be published may not be a will either.
pub(crate) fn mqtt_4_7_2_a_will_keeps_the_rules_of_topics(house: &House) {
    let deep = "a/".repeat(LEVELS_MAX);
    for (topic, reason) in [
        ("$SYS/broker/uptime", Reason::NotAuthorized),
        ("$share/group/a", Reason::NotAuthorized),
        (&*deep, Reason::TopicNameInvalid),
    ] {
        let hello = Connect { will: Some(will(topic, "gone")), ..connect("forger") };
        let (mut client, connack) = Client::enter(house.here(), hello);
        assert_eq!((connack.reason, client.listen()), (reason, None), "{topic}");
    }
}

pub(crate) fn mqtt_3_14_4_3_a_goodbye_may_ask_for_the_will(house: &House) {
    let hello = Connect { will: Some(will("will/asked", "gone")), ..connect("testator") };
    let (mut heir, client) = two(house, hello, "will/asked");
    client.leave(Reason::DisconnectWithWill, None);
    assert_eq!(heir.take(), "gone");
}

pub(crate) fn mqtt_3_1_3_9_a_return_before_the_delay_keeps_the_will_in(house: &House) {
    let delayed = Will { delay_s: Some(1), ..will("will/delay", "gone") };
    let hello = Connect { will: Some(delayed), ..lasting("returning") };
    let (mut heir, client) = two(house, hello.clone(), "will/delay");
    client.vanish();
    let back = Client::new(house.there(), hello);
    back.leave(Reason::Success, None);
    // After the delay another message comes first.
    house.await_delay(1);
    let mut other = Client::new(house.here(), connect(""));
    other.say("will/delay", "still here", Qos::AtLeastOnce);
    assert_eq!(heir.take(), "still here");
}

pub(crate) fn mqtt_3_1_3_9_a_delayed_will_is_published_when_the_session_ends(house: &House) {
    let delayed = Will { delay_s: Some(60), ..will("will/early", "gone") };
    let properties = ConnectProperties { session_expiry_s: Some(1), ..ConnectProperties::default() };
    let hello = Connect { will: Some(delayed), properties, ..connect("short") };
    let (mut heir, client) = two(house, hello, "will/early");
    let begin = Instant::now();
    client.vanish();
    assert_eq!(heir.take(), "gone");
    assert!(begin.elapsed() >= Duration::from_millis(900));
}

pub(crate) fn mqtt_3_1_2_15_a_will_is_retained(house: &House) {
    let kept = Will { retain: true, ..will("will/kept", "gone") };
    let (mut heir, client) = two(house, Connect { will: Some(kept), ..connect("kept") }, "will/kept");
    client.vanish();
    assert_eq!(heir.take(), "gone");
    let mut late = Client::new(house.there(), connect(""));
    late.subscribe("will/kept", Qos::AtLeastOnce);
    let publish = late.hear_publish();
    assert!(publish.retain);
    assert_eq!(publish.payload, "gone");
}
