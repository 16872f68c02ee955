//! Who gets what, and how (3.3, 3.8, 3.10, 4.7, 4.8).

use mqtt::codec::{
    Ack, Bytes, Connect, Delivery, MessageProperties, Packet, Qos, Reason, SubscriptionOptions, UserProperties, Version,
};

use super::House;
use super::client::{Client, connect, id, lasting, meet, options, publish};

pub(crate) fn mqtt_3_3_2_15_what_travels_with_a_message_arrives(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut client = Client::new(house.here(), connect("reader"));
    client.subscribe("request", Qos::ExactlyOnce);
    meet(&mut publisher, &mut client);
    let properties = MessageProperties {
        payload_is_text: Some(true),
        content_type: Some("text/plain".into()),
        response_topic: Some("answers/1".into()),
        correlation_data: Some(Bytes::from_static(b"\0\x01")),
        user: UserProperties::from_pairs([("b", "1"), ("a", "2"), ("b", "3")]).unwrap(),
        expiry_s: None,
    };
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce(id(1)), Delivery::ExactlyOnce(id(2))] {
        let mut message = publish("request", "text", delivery);
        message.properties = properties.clone();
        publisher.say_all(message);
        let heard = client.hear_publish();
        assert_eq!(heard.properties, properties);
        client.acknowledge(&heard);
    }
    let mut broken = publish("request", vec![0xFF], Delivery::AtLeastOnce(id(3)));
    broken.properties.payload_is_text = Some(true);
    publisher.send(Packet::Publish(broken));
    assert_eq!(publisher.hear(), Packet::Puback(Ack::because(id(3), Reason::PayloadFormatInvalid)));
}

pub(crate) fn mqtt_3_3_4_2_overlapping_subscriptions_give_the_highest_qos(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut client = Client::new(house.here(), connect("overlap"));
    client.ask("over/#", options(Qos::AtMostOnce), Some(1));
    client.ask("over/+", options(Qos::ExactlyOnce), Some(2));
    client.ask("over/lap", options(Qos::AtLeastOnce), None);
    meet(&mut publisher, &mut client);
    publisher.say("over/lap", "1", Qos::ExactlyOnce);
    let mut heard = client.hear_publish();
    assert_eq!(heard.delivery.qos(), Qos::ExactlyOnce);
    heard.subscription_ids.sort_unstable();
    assert_eq!(heard.subscription_ids, [1, 2], "[MQTT-3.3.4-4]");
    client.acknowledge(&heard);
    client.hear_nothing();
    let mut old = Client::new(house.here(), Connect { version: Version::V3, ..connect("overlap-old") });
    for (filter, qos) in [("over/#", Qos::AtMostOnce), ("over/+", Qos::ExactlyOnce), ("over/lap", Qos::AtLeastOnce)] {
        old.subscribe(filter, qos);
    }
    meet(&mut publisher, &mut old);
    publisher.say("over/lap", "2", Qos::ExactlyOnce);
    let heard = old.hear_publish();
    assert_eq!(heard.delivery.qos(), Qos::ExactlyOnce, "[MQTT-3.3.5-1] of 3.1.1");
    old.acknowledge(&heard);
    old.hear_nothing();
}

pub(crate) fn mqtt_3_3_4_3_subscription_identifiers_come_along(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut client = Client::new(house.here(), connect("identified"));
    client.ask("ids", options(Qos::AtLeastOnce), Some(268_435_455));
    meet(&mut publisher, &mut client);
    publisher.say("ids", "1", Qos::AtLeastOnce);
    let heard = client.hear_publish();
    assert_eq!(heard.subscription_ids, [268_435_455]);
    client.acknowledge(&heard);
}

pub(crate) fn mqtt_3_8_3_3_no_local(house: &House) {
    let mut client = Client::new(house.here(), connect("deaf-to-itself"));
    client.ask("local", SubscriptionOptions { no_local: true, ..options(Qos::AtLeastOnce) }, None);
    client.say("local", "mine", Qos::AtLeastOnce);
    client.hear_nothing();
    let mut other = Client::new(house.there(), connect(""));
    meet(&mut other, &mut client);
    other.say("local", "another's", Qos::AtLeastOnce);
    assert_eq!(client.take(), "another's");
}

pub(crate) fn mqtt_3_8_4_3_a_later_subscription_replaces(house: &House) {
    let mut publisher = Client::new(house.there(), connect(""));
    let mut client = Client::new(house.here(), connect("changing"));
    client.ask("replace", options(Qos::AtMostOnce), Some(1));
    client.ask("replace", options(Qos::AtLeastOnce), Some(2));
    meet(&mut publisher, &mut client);
    publisher.say("replace", "1", Qos::AtLeastOnce);
    let heard = client.hear_publish();
    assert_eq!((heard.delivery.qos(), &heard.subscription_ids[..]), (Qos::AtLeastOnce, &[2][..]));
    client.acknowledge(&heard);
    client.hear_nothing();
}

pub(crate) fn mqtt_3_8_4_8_qos_is_the_lower_one(house: &House) {
    let all = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
    let mut publisher = Client::new(house.there(), connect(""));
    for (version, filter) in [(Version::V3, "lower"), (Version::V5, "lower"), (Version::V5, "$share/group/lower")] {
        for granted in all {
            let mut client = Client::new(house.here(), Connect { version, ..connect("lower") });
            client.subscribe(filter, granted);
            meet(&mut publisher, &mut client);
            for said in all {
                publisher.say("lower", "1", said);
                let heard = client.hear_publish();
                assert_eq!(heard.delivery.qos(), granted.min(said));
                client.acknowledge(&heard);
            }
        }
    }
}

pub(crate) fn mqtt_3_10_4_unsubscribed_is_silent(house: &House) {
    let mut old = Client::new(house.here(), Connect { version: Version::V3, ..connect("gone-quiet-old") });
    old.subscribe("quiet", Qos::AtLeastOnce);
    assert_eq!((old.unsubscribe("quiet"), old.unsubscribe("quiet")), (vec![], vec![]));
    old.say("quiet", "1", Qos::AtLeastOnce);
    old.hear_nothing();
    let mut client = Client::new(house.here(), connect("gone-quiet"));
    client.subscribe("quiet", Qos::AtLeastOnce);
    client.subscribe("$share/group/quiet", Qos::AtLeastOnce);
    assert_eq!(client.unsubscribe("quiet"), [Reason::Success]);
    assert_eq!(client.unsubscribe("$share/group/quiet"), [Reason::Success]);
    assert_eq!(client.unsubscribe("quiet"), [Reason::NoSubscriptionExisted]);
    client.say("quiet", "1", Qos::AtLeastOnce);
    client.hear_nothing();
}

pub(crate) fn mqtt_4_7_2_1_dollar_topics_stand_apart(house: &House) {
    let mut old = Client::new(house.here(), Connect { version: Version::V3, ..connect("curious-old") });
    old.subscribe("#", Qos::AtMostOnce);
    old.subscribe("+/other", Qos::AtMostOnce);
    old.say("$mine/other", "1", Qos::AtMostOnce);
    old.hear_nothing();
    let mut client = Client::new(house.here(), connect("curious"));
    client.subscribe("#", Qos::AtMostOnce);
    client.subscribe("+/broker/version", Qos::AtMostOnce);
    client.say("$mine", "1", Qos::AtMostOnce);
    client.hear_nothing();
    client.send(Packet::Publish(publish("$SYS/broker/version", "mine", Delivery::AtLeastOnce(id(1)))));
    assert_eq!(client.hear(), Packet::Puback(Ack::because(id(1), Reason::NotAuthorized)));
    client.subscribe("$SYS/broker/version", Qos::AtMostOnce);
    assert!(client.take().starts_with("watermaster"));
}

pub(crate) fn mqtt_4_8_2_4_one_member_of_a_share_gets_each_message(house: &House) {
    const COUNT: usize = 60;
    let mut publisher = Client::new(house.here(), connect(""));
    let mut members: Vec<_> = [house.here(), house.there(), house.there()]
        .into_iter()
        .map(|address| {
            let mut member = Client::new(address, connect(""));
            member.subscribe("$share/team/work/+", Qos::AtLeastOnce);
            member
        })
        .collect();
    let mut observer = Client::new(house.there(), connect(""));
    observer.subscribe("work/+", Qos::AtLeastOnce);
    for member in &mut members {
        meet(&mut publisher, member);
    }
    meet(&mut publisher, &mut observer);
    for number in 0..COUNT {
        publisher.say("work/item", number.to_string(), Qos::AtLeastOnce);
    }
    for number in 0..COUNT {
        assert_eq!(observer.take(), number.to_string());
    }
    for member in &mut members {
        let mut end = Client::new(house.here(), connect(""));
        member.subscribe("work-over", Qos::AtMostOnce);
        meet(&mut end, &mut observer);
        end.say("work-over", "over", Qos::AtMostOnce);
    }
    let mut taken = vec![];
    for member in &mut members {
        loop {
            let item = member.take();
            if item == "over" {
                break;
            }
            taken.push(item.parse::<usize>().unwrap());
        }
    }
    taken.sort_unstable();
    assert_eq!(taken, (0..COUNT).collect::<Vec<_>>());
}

pub(crate) fn mqtt_3_1_1_and_5_understand_each_other(house: &House) {
    let mut old = Client::new(house.here(), Connect { version: Version::V3, ..connect("old") });
    let mut new = Client::new(house.there(), connect("new"));
    old.subscribe("both/#", Qos::ExactlyOnce);
    new.subscribe("both/#", Qos::ExactlyOnce);
    meet(&mut new, &mut old);
    meet(&mut old, &mut new);
    let mut message = publish("both/1", "from 5", Delivery::ExactlyOnce(id(1)));
    message.properties.content_type = Some("text".into());
    new.send(Packet::Publish(message));
    assert_eq!(old.take(), "from 5");
    old.send(Packet::Publish(publish("both/2", "from 3.1.1", Delivery::AtLeastOnce(id(1)))));
    let mut heard = vec![];
    while heard.len() < 2 {
        match new.hear() {
            Packet::Publish(publish) => {
                new.acknowledge_loosely(&publish);
                heard.push(publish.payload);
            }
            Packet::Pubrec(_) => new.send(Packet::Pubrel(Ack::success(id(1)))),
            _ => {}
        }
    }
    assert_eq!(heard, ["from 5", "from 3.1.1"]);
}

impl Client {
    /// The first step of an acknowledgement, in the midst of others.
    fn acknowledge_loosely(&mut self, publish: &mqtt::codec::Publish) {
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => self.send(Packet::Puback(Ack::success(id))),
            Delivery::ExactlyOnce(id) => self.send(Packet::Pubrec(Ack::success(id))),
        }
    }
}

pub(crate) fn mqtt_4_8_2_4_members_get_their_share_wherever_they_are(house: &House) {
    let mut members = [house.here(), house.there()].map(|place| Client::new(place, connect("")));
    members.iter_mut().for_each(|member| member.subscribe("$share/fair/fair", Qos::AtLeastOnce));
    let mut publisher = Client::new(house.there(), connect(""));
    for number in 0..20 {
        publisher.say("fair", number.to_string(), Qos::AtLeastOnce);
    }
    for member in &mut members {
        for _ in 0..10 {
            member.take();
        }
    }
}

/// With nobody there, messages wait; whichever member comes first gets all of them, at its return or as a new one.
pub(crate) fn mqtt_4_8_2_what_waits_for_a_group_goes_to_the_member_that_comes_first(house: &House) {
    for comes_back in [true, false] {
        let (share, topic) = (format!("$share/late/late/{comes_back}"), format!("late/{comes_back}"));
        let names = ["early", "later"].map(|name| format!("{name}-{comes_back}"));
        for name in &names {
            let mut member = Client::new(house.here(), lasting(name));
            member.subscribe(&share, Qos::AtLeastOnce);
            member.leave(Reason::Success, None);
        }
        let mut publisher = Client::new(house.there(), connect(""));
        for number in 0..10 {
            publisher.say(&topic, number.to_string(), Qos::AtLeastOnce);
        }
        let mut first = Client::new(house.there(), if comes_back { lasting(&names[1]) } else { connect("") });
        if !comes_back {
            first.subscribe(&share, Qos::AtLeastOnce);
        }
        let mut heard: Vec<_> = (0..10).map(|_| first.take().parse::<u8>().unwrap()).collect();
        heard.sort_unstable();
        assert_eq!(heard, (0..10).collect::<Vec<_>>());
    }
}
