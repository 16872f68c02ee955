//! Retained messages and expiry (3.3.1.3, 3.3.2.3.3, 3.8.3.1).

use std::time::Duration;

use mqtt::codec::{Delivery, Qos, Reason, RetainHandling, SubscriptionOptions};

use super::House;
use super::client::{Client, connect, id, lasting, meet, options, publish};

fn retain(client: &mut Client, topic: &str, payload: &'static str) {
    let mut kept = publish(topic, payload, Delivery::AtLeastOnce(id(7)));
    kept.retain = true;
    client.say_all(kept);
}

/// Retained messages reach other replicas after a while: they are looked for until they are as expected.
fn await_retained(house: &House, filter: &str, expected: &[&str]) {
    let begin = std::time::Instant::now();
    loop {
        let mut late = Client::new(house.there(), connect(""));
        late.subscribe(filter, Qos::AtLeastOnce);
        late.say("await/end", "end", Qos::AtMostOnce);
        late.subscribe("await/end", Qos::AtMostOnce);
        late.say("await/end", "end", Qos::AtMostOnce);
        let mut found = vec![];
        loop {
            let message = late.hear_publish();
            late.acknowledge(&message);
            if &*message.topic == "await/end" {
                break;
            }
            // A message that was just published may come as such besides.
            if message.retain {
                found.push(String::from_utf8(message.payload.to_vec()).unwrap());
            }
        }
        found.sort();
        if found == expected {
            return;
        }
        assert!(begin.elapsed() < super::client::PATIENCE, "{found:?} instead of {expected:?}");
    }
}

pub(crate) fn mqtt_3_3_1_5_a_retained_message_is_kept_replaced_and_cleared(house: &House) {
    let mut client = Client::new(house.here(), connect("keeper"));
    client.subscribe("kept/#", Qos::AtLeastOnce);
    retain_seen(&mut client, "kept/a", "1");
    retain_seen(&mut client, "kept/b", "2");
    await_retained(house, "kept/#", &["1", "2"]);
    await_retained(house, "kept/+", &["1", "2"]);
    retain_seen(&mut client, "kept/a", "3");
    await_retained(house, "kept/a", &["3"]);
    retain_seen(&mut client, "kept/a", "");
    await_retained(house, "kept/#", &["2"]);
}

/// Retains, and hears it without the flag [MQTT-3.3.1-12].
fn retain_seen(client: &mut Client, topic: &str, payload: &'static str) {
    let mut kept = publish(topic, payload, Delivery::AtMostOnce);
    kept.retain = true;
    client.say_all(kept);
    let seen = client.hear_publish();
    assert!(!seen.retain);
    assert_eq!(seen.payload, payload);
    client.acknowledge(&seen);
}

pub(crate) fn mqtt_3_3_1_9_retain_handling(house: &House) {
    let mut client = Client::new(house.here(), connect("handler"));
    retain(&mut client, "handled", "kept");
    let handled = |retain_handling| SubscriptionOptions { retain_handling, ..options(Qos::AtMostOnce) };
    client.ask("handled", handled(RetainHandling::DoNotSend), None);
    client.hear_nothing();
    client.ask("handled", handled(RetainHandling::SendIfNew), None);
    client.hear_nothing();
    client.ask("handled", handled(RetainHandling::Send), None);
    assert_eq!(client.take(), "kept");
    assert_eq!(client.unsubscribe("handled"), [Reason::Success]);
    client.ask("handled", handled(RetainHandling::SendIfNew), None);
    assert_eq!(client.take(), "kept");
    // A shared subscription gets none (4.8.2).
    client.ask("$share/group/handled", handled(RetainHandling::Send), None);
    client.hear_nothing();
}

pub(crate) fn mqtt_3_3_1_12_retain_as_published(house: &House) {
    let mut publisher = Client::new(house.there(), connect("published"));
    let mut client = Client::new(house.here(), connect("as-published"));
    let as_published = SubscriptionOptions { retain_as_published: true, ..options(Qos::AtMostOnce) };
    client.ask("flag", as_published, None);
    meet(&mut publisher, &mut client);
    retain(&mut publisher, "flag", "with");
    assert!(client.hear_publish().retain);
    publisher.say("flag", "without", Qos::AtMostOnce);
    assert!(!client.hear_publish().retain);
}

pub(crate) fn mqtt_3_3_2_6_a_message_expires(house: &House) {
    let mut client = Client::new(house.here(), lasting("late"));
    client.subscribe("expiring", Qos::AtLeastOnce);
    let mut publisher = Client::new(house.there(), connect(""));
    meet(&mut publisher, &mut client);
    client.leave(Reason::Success, None);
    for (payload, expiry_s) in [("short", 1), ("long", 100)] {
        let mut message = publish("expiring", payload, Delivery::AtLeastOnce(id(9)));
        message.properties.expiry_s = Some(expiry_s);
        publisher.say_all(message);
    }
    house.await_delay(1);
    let mut client = Client::new(house.there(), lasting("late"));
    let message = client.hear_publish();
    assert_eq!(message.payload, "long");
    let rest_s = message.properties.expiry_s.unwrap();
    assert!((90..=99).contains(&rest_s), "[MQTT-3.3.2-6]: {rest_s}");
}

/// Expired messages leave queues and the retained messages, though no client asks for them.
pub(crate) fn mqtt_3_3_2_5_what_has_expired_leaves_by_itself(house: &House) {
    let mut client = Client::new(house.here(), lasting("absent"));
    client.subscribe("ending", Qos::AtLeastOnce);
    client.leave(Reason::Success, None);
    let count = |what: fn(&mqtt::Broker) -> u64| house.brokers.iter().map(what).collect::<Vec<_>>();
    // Those of $SYS come and stay.
    let retained = || count(|broker| broker.retained(Some("ending/#"), None, 9).len() as u64);
    let mut publisher = Client::new(house.there(), connect(""));
    for topic in ["ending", "ending/kept"] {
        let mut message = publish(topic, "1", Delivery::AtLeastOnce(id(9)));
        message.properties.expiry_s = Some(1);
        message.retain = topic != "ending";
        publisher.say_all(message);
    }
    let begin = std::time::Instant::now();
    let is_over = || {
        let expired: u64 = count(|broker| broker.metrics().expired.get()).iter().sum();
        retained().iter().all(|count| *count == 0) && expired > house.brokers.len() as u64
    };
    while !is_over() {
        assert!(begin.elapsed() < super::client::PATIENCE, "{:?}", retained());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() > Duration::from_millis(900));
}
