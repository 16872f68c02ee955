//! Redis holds a message once, however many queues it is in, and lets it go with the last of them.

use mqtt::codec::{ConnectProperties, Delivery, MessageProperties, Publish, Qos, Reason};
use mqtt::{Broker, Durability, Settings};

use super::parts::{Redis, await_that};
use super::session::House;
use super::session::client::{Client, connect, id, lasting, publish};

const SESSIONS: usize = 30;
const PAYLOAD_BYTES: usize = 100_000;

/// Two replicas on a Redis, with sessions that are away and subscribe to one topic.
struct Absent {
    redis: Redis,
    house: House,
}

impl Absent {
    fn start() -> Self {
        let redis = Redis::start(&[]);
        let url = redis.url();
        let broker = async || Broker::on_redis(&url, Durability::Async, Settings::default()).await.unwrap();
        let house = House::start(2, broker, vec![]);
        Self { redis, house }
    }

    fn subscribe(&self, name: &str, filter: &str, qos: Qos) {
        let mut client = Client::new(self.house.here(), lasting(name));
        client.subscribe(filter, qos);
        client.leave(Reason::Success, None);
    }

    fn number(&self, command: &str) -> i64 {
        let reply = self.redis.ask(command);
        reply.rsplit(['\n', ':', '$']).map(str::trim).find_map(|text| text.parse().ok()).unwrap_or(0)
    }

    /// What all keys take, without the buffers of connections, which shrink when they please.
    fn memory_bytes(&self) -> i64 {
        let sum = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*')) do \
                   n = n + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) end return n";
        self.number(&format!("EVAL \"{sum}\" 0"))
    }

    /// Messages, indexes of sessions, queues and bytes that are counted.
    fn has_nothing_left(&self) -> bool {
        let none = |pattern: &str| self.redis.ask(&format!("KEYS wm3:{pattern}")).starts_with("*0");
        none("b:*") && none("k:*") && self.number("GET wm3:qb") == 0
    }
}

#[test]
fn a_message_for_many_sessions_is_held_once() {
    let absent = Absent::start();
    let qos = |number| if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
    (0..SESSIONS).for_each(|number| absent.subscribe(&format!("away-{number}"), "large", qos(number)));
    let mut publisher = Client::new(absent.house.there(), connect("publisher"));
    let before = absent.memory_bytes();
    let payload = "x".repeat(PAYLOAD_BYTES);
    publisher.say("large", payload.clone(), Qos::ExactlyOnce);
    let (bytes, counted) = (absent.memory_bytes() - before, absent.number("GET wm3:qb"));
    println!("{SESSIONS} sessions, {PAYLOAD_BYTES} bytes: {bytes} bytes of Redis, {counted} of the bound");
    // A copy for each would take three million.
    assert!((100_000..500_000).contains(&bytes), "{bytes} bytes of memory");
    // Once, and what stands for it in each queue.
    assert!((104_000..107_000).contains(&counted), "{counted} bytes of the bound");
    // A small one before the large one is no reason to forget it, nor one behind it to hold it.
    publisher.say("large", "small", Qos::AtLeastOnce);
    for number in 0..SESSIONS {
        let mut back = Client::new(absent.house.there(), lasting(&format!("away-{number}")));
        assert_eq!((back.take().len(), back.take().as_str()), (payload.len(), "small"), "session {number}");
        back.hear_nothing();
        back.leave(Reason::Success, None);
    }
    await_that("it goes with the last acknowledgement", || absent.has_nothing_left());
}

/// Whatever ends a session's part in a message: a clean start, the end of the session, the expiry of the message, a member
/// of a shared subscription that comes, and the death of the replica that holds it.
#[test]
fn a_message_goes_however_its_sessions_end() {
    let absent = Absent::start();
    for name in ["anew", "ends", "reads", "lost"] {
        absent.subscribe(name, "held", Qos::AtLeastOnce);
    }
    absent.subscribe("member", "$share/group/held", Qos::AtLeastOnce);
    let mut publisher = Client::new(absent.house.there(), connect("publisher"));
    publisher.say("held", "x".repeat(PAYLOAD_BYTES), Qos::AtLeastOnce);
    let expiring = |seconds| MessageProperties { expiry_s: Some(seconds), ..MessageProperties::default() };
    let short = publish("held", "y".repeat(PAYLOAD_BYTES), Delivery::AtLeastOnce(id(7)));
    publisher.say_all(Publish { properties: expiring(1), ..short });
    await_that("the message that expires goes", || absent.redis.ask("KEYS wm3:b:*").starts_with("*1\r"));
    assert!((100_000..101_000).contains(&absent.number("GET wm3:qb")));
    // Not acknowledged, and the session comes to its end by itself.
    let properties = ConnectProperties { session_expiry_s: Some(1), ..ConnectProperties::default() };
    let mut lost = Client::new(absent.house.there(), mqtt::codec::Connect { properties, ..lasting("lost") });
    assert_eq!(lost.hear_publish().payload.len(), PAYLOAD_BYTES);
    lost.vanish();
    Client::new(absent.house.here(), connect("anew")).leave(Reason::Success, None);
    let ending = Client::new(absent.house.here(), lasting("ends"));
    ending.leave(Reason::Success, Some(0));
    let mut other = Client::new(absent.house.there(), lasting("other"));
    other.subscribe("$share/group/held", Qos::AtLeastOnce);
    assert_eq!(other.take().len(), PAYLOAD_BYTES);
    let mut reader = Client::new(absent.house.there(), lasting("reads"));
    assert_eq!(reader.take().len(), PAYLOAD_BYTES);
    reader.hear_nothing();
    await_that("nothing is left", || absent.has_nothing_left());
}

/// A session that is connected has a copy of its own, which goes with its acknowledgement; those that are away share one.
#[test]
fn a_connected_session_has_a_copy_of_its_own() {
    let absent = Absent::start();
    for name in ["away-1", "away-2"] {
        absent.subscribe(name, "mixed", Qos::AtLeastOnce);
    }
    let mut connected = ["here-1", "here-2"].map(|name| {
        let mut client = Client::new(absent.house.here(), lasting(name));
        client.subscribe("mixed", Qos::AtLeastOnce);
        client
    });
    let mut publisher = Client::new(absent.house.there(), connect("publisher"));
    publisher.say("mixed", "x".repeat(PAYLOAD_BYTES), Qos::AtLeastOnce);
    assert_eq!(absent.number("HGET wm3:b:1 n"), 2, "the sessions that share it");
    for client in &mut connected {
        assert_eq!(client.take().len(), PAYLOAD_BYTES);
    }
    await_that("one is left", || (100_000..101_000).contains(&absent.number("GET wm3:qb")));
    for name in ["away-1", "away-2"] {
        let mut back = Client::new(absent.house.there(), lasting(name));
        assert_eq!(back.take().len(), PAYLOAD_BYTES);
        back.hear_nothing();
    }
    await_that("nothing is left", || absent.has_nothing_left());
}

/// Damage to what names the messages of a session, or to the session itself, holds no message for ever.
#[test]
fn a_message_goes_whatever_is_damaged() {
    let absent = Absent::start();
    for name in ["index", "whole"] {
        absent.subscribe(name, "damaged", Qos::AtLeastOnce);
    }
    let properties = ConnectProperties { session_expiry_s: Some(1), ..ConnectProperties::default() };
    let mut short = Client::new(absent.house.here(), mqtt::codec::Connect { properties, ..lasting("short") });
    short.subscribe("damaged", Qos::AtLeastOnce);
    let mut publisher = Client::new(absent.house.there(), connect("publisher"));
    short.leave(Reason::Success, None);
    publisher.say("damaged", "x".repeat(PAYLOAD_BYTES), Qos::AtLeastOnce);
    for key in ["k:index", "s:short"] {
        absent.redis.ask(&format!("DEL wm3:{key}"));
        assert!(absent.redis.ask(&format!("SET wm3:{key} garbage")).starts_with("+OK"));
    }
    Client::new(absent.house.here(), connect("index")).leave(Reason::Success, None);
    let mut whole = Client::new(absent.house.there(), lasting("whole"));
    assert_eq!(whole.take().len(), PAYLOAD_BYTES);
    await_that("nothing is left", || absent.redis.ask("KEYS wm3:b:*").starts_with("*0"));
}
