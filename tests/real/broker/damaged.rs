//! A key in Redis that is not what it should be harms the session that it belongs to, and nobody else.

use mqtt::codec::{Ack, Delivery, Packet, Qos, Reason};
use mqtt::limits::QUEUED_BYTES_MAX;
use mqtt::{Broker, Durability, Settings};

use super::parts::{Redis, await_that};
use super::session::House;
use super::session::client::{Client, connect, id, lasting, publish};

#[test]
fn a_broken_key_harms_its_session_only() {
    let redis = Redis::start(&[]);
    let url = redis.url();
    let broker = async || Broker::on_redis(&url, Durability::Async, Settings::default()).await.unwrap();
    let house = House::start(2, broker, vec![]);
    let mut witness = Client::new(house.there(), connect("witness"));
    for key in ["q", "k", "s", "r", "i", "sub"] {
        let (name, topic) = (format!("victim-{key}"), format!("damaged/{key}"));
        let mut victim = Client::new(house.here(), lasting(&name));
        victim.subscribe(&topic, Qos::AtLeastOnce);
        victim.leave(Reason::Success, None);
        witness.subscribe(&topic, Qos::AtLeastOnce);
        redis.ask(&format!("DEL wm3:{key}:{name}"));
        assert!(redis.ask(&format!("SET wm3:{key}:{name} garbage")).starts_with("+OK"));
        // Many at a time share a call with those that are not concerned.
        let mut publishers: Vec<_> = (0..4).map(|_| Client::new(house.here(), connect(""))).collect();
        for (number, publisher) in (0..).zip(&mut publishers) {
            let topic = if number % 2 == 0 { topic.clone() } else { format!("unrelated/{key}") };
            publisher.send(Packet::Publish(publish(&topic, "1", Delivery::AtLeastOnce(id(1)))));
        }
        for publisher in &mut publishers {
            let Packet::Puback(ack) = publisher.hear() else { panic!("{key}: no PUBACK") };
            assert!(!ack.reason.is_error(), "{key}: {:?}", ack.reason);
        }
        assert_eq!((witness.take(), witness.take()), ("1".to_owned(), "1".to_owned()), "{key}");
        // Replicas join, and the victim begins anew where it must.
        let runtime = house.runtime.as_ref().unwrap();
        let another = runtime.block_on(Broker::on_redis(&url, Durability::Async, Settings::default())).unwrap();
        runtime.block_on(another.stop());
        let mut victim = Client::new(house.there(), lasting(&name));
        victim.subscribe("damaged/mended", Qos::ExactlyOnce);
        victim.say("damaged/mended", "mended", Qos::ExactlyOnce);
        while victim.take() != "mended" {}
        assert!(redis.ask(&format!("TYPE wm3:s:{name}")).starts_with("+hash"));
    }
}

/// The bytes of all queues are counted, beside those of each: one limit holds for all sessions together.
#[test]
fn the_queues_of_all_sessions_have_one_bound() {
    let redis = Redis::start(&[]);
    let url = redis.url();
    let broker = async || Broker::on_redis(&url, Durability::Async, Settings::default()).await.unwrap();
    let house = House::start(1, broker, vec![]);
    let counted = || redis.ask("GET wm3:qb").lines().nth(1).map_or(0, |text| text.trim().parse::<i64>().unwrap());
    let mut away = Client::new(house.here(), lasting("away"));
    away.subscribe("bound", Qos::AtLeastOnce);
    away.leave(Reason::Success, None);
    let mut publisher = Client::new(house.here(), connect("publisher"));
    for _ in 0..3 {
        publisher.say("bound", vec![0; 1000], Qos::AtLeastOnce);
    }
    let three = counted();
    assert!((3000..3600).contains(&three), "{three}");
    redis.ask(&format!("SET wm3:qb {}", QUEUED_BYTES_MAX));
    publisher.send(Packet::Publish(publish("bound", "1", Delivery::AtLeastOnce(id(1)))));
    assert_eq!(publisher.hear(), Packet::Puback(Ack::because(id(1), Reason::QuotaExceeded)));
    redis.ask(&format!("SET wm3:qb {three}"));
    let mut back = Client::new(house.here(), lasting("away"));
    (0..2).for_each(|_| drop(back.take()));
    await_that("what is acknowledged counts no longer", || counted() < three / 2);
    drop(back);
    let _fresh = Client::new(house.here(), connect("away"));
    await_that("nothing is left", || counted() == 0);
}
