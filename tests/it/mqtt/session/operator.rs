//! What operators see and end, whichever replica they ask.

use std::time::{Duration, Instant};

use mqtt::codec::{Connect, Delivery, Qos, Reason};
use mqtt::{Broker, SessionStatus};

use super::House;
use super::client::{Client, PATIENCE, connect, id, lasting, meet, publish, will};

fn session(house: &House, broker: &Broker, client: &str) -> Option<SessionStatus> {
    house.runtime.as_ref().unwrap().block_on(broker.session(client)).unwrap()
}

fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn operators_see_and_end_sessions(house: &House) {
    let (here, there) = (&house.brokers[0], house.brokers.last().unwrap());
    let end = |broker: &Broker| house.runtime.as_ref().unwrap().block_on(broker.end_session("seen")).unwrap();
    let hello = Connect { will: Some(will("seen/will", "gone")), ..lasting("seen") };
    let mut client = Client::new(house.here(), hello.clone());
    client.subscribe("seen/+", Qos::AtLeastOnce);
    let found = here.clients(Some("see"), 1, Some(true));
    let connection = found[0].connection.as_ref().unwrap();
    assert_eq!((&*found[0].client, found[0].subscriptions, found[0].lasting), ("seen", 1, true));
    assert_eq!(connection.origin.address, Some(client.stream.local_addr().unwrap()));
    await_that("the other replica knows it", || there.clients(Some("see"), 1, None).len() == 1);
    let held = session(house, there, "seen").unwrap();
    assert_eq!((held.holder, held.expires_at_ms), (found[0].replica, None));

    client.leave(Reason::Success, None);
    await_that("it is away", || session(house, there, "seen").unwrap().holder.is_none());
    let mut other = Client::new(house.there(), connect(""));
    (0..3).for_each(|number| other.say("seen/1", format!("{number}"), Qos::AtLeastOnce));
    let away = session(house, here, "seen").unwrap();
    assert_eq!((away.queued_messages, away.lasting, away.subscriptions.len()), (3, true, 1));
    assert_eq!((&*away.subscriptions[0].filter, away.subscriptions[0].options.qos), ("seen/+", Qos::AtLeastOnce));
    assert!(away.queued_bytes > 0 && away.expires_at_ms.is_some());
    await_that("both know", || {
        [here, there].iter().all(|broker| broker.clients(Some("see"), 1, Some(false)).len() == 1)
    });

    assert_eq!((end(there), end(there)), (true, false));
    assert_eq!(session(house, here, "seen"), None);
    let (mut client, connack) = Client::enter(house.here(), hello.clone());
    assert!(!connack.session_present);
    client.hear_nothing();

    // One that is connected is told, and leaves its will.
    let mut heir = Client::new(house.there(), connect(""));
    heir.subscribe("seen/will", Qos::AtLeastOnce);
    meet(&mut client, &mut heir);
    for broker in [here, there] {
        assert!(end(broker));
        let reason = if std::ptr::eq(broker, here) { Reason::AdministrativeAction } else { Reason::SessionTakenOver };
        client.hear_end(reason);
        assert_eq!(heir.take(), "gone");
        assert_eq!(session(house, here, "seen"), None);
        if !std::ptr::eq(here, there) {
            client = Client::new(house.here(), hello.clone());
        } else {
            break;
        }
    }
}

pub(crate) fn operators_see_and_clear_retained_messages(house: &House) {
    let (here, there) = (&house.brokers[0], house.brokers.last().unwrap());
    let mut client = Client::new(house.here(), connect("retainer"));
    for (number, topic) in ["kept/a", "kept/b", "kept/c/d", "kept/e"].iter().enumerate() {
        let delivery = Delivery::AtLeastOnce(id(u16::try_from(number).unwrap() + 1));
        client.say_all(mqtt::codec::Publish { retain: true, ..publish(topic, "1", delivery) });
    }
    let topics = |broker: &Broker, filter, after, limit| {
        let found = broker.retained(filter, after, limit);
        found.iter().map(|message| message.topic.to_string()).collect::<Vec<_>>()
    };
    await_that("both have them", || topics(there, Some("kept/#"), None, 9).len() == 4);
    assert_eq!(topics(here, Some("kept/+"), None, 2), ["kept/a", "kept/b"]);
    assert_eq!(topics(here, Some("kept/+"), Some("kept/b"), 2), ["kept/e"]);
    let cleared = house.runtime.as_ref().unwrap().block_on(there.clear_retained("kept/+")).unwrap();
    assert_eq!(cleared, 3);
    await_that("both forget them", || topics(here, Some("kept/#"), None, 9) == ["kept/c/d"]);
    assert_eq!(topics(there, Some("kept/#"), None, 9), ["kept/c/d"]);
    let mut late = Client::new(house.there(), connect(""));
    late.subscribe("kept/#", Qos::AtLeastOnce);
    assert_eq!(&*late.hear_publish().topic, "kept/c/d");
    late.hear_nothing();
}
