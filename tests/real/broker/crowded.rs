//! A replica that does not listen: what others have for it is bounded in number and bytes, QoS 0 goes past it, and
//! publishers with more are made to wait, in their order, and not lied to.

use std::time::Duration;

use mqtt::codec::{Delivery, Packet, Qos};

use super::breaking::Next;
use super::parts::{Redis, Replica, await_that};
use super::session::client::{Client, connect, id, meet, publish};

/// As `INBOX_MAX` says.
const INBOX_MAX: usize = 100_000;
/// As `INBOX_BYTES_MAX` says.
const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What is published by one client in a row.
const COUNT: u16 = 20;

/// Two replicas of which one does not listen any more, a reader there, and a publisher at the other.
struct Crowd {
    redis: Redis,
    deaf: Replica,
    /// As the deaf one stands in Redis.
    name: String,
    replica: Replica,
    reader: Client,
    publisher: Client,
}

impl Crowd {
    fn start() -> Self {
        let redis = Redis::start(&[]);
        let deaf = Replica::start(&redis.url(), &[]);
        let name = redis.ask("SMEMBERS wm3:replicas").lines().nth(2).unwrap().trim().to_owned();
        let replica = Replica::start(&redis.url(), &[]);
        let mut reader = Client::new(deaf.address, connect("reader"));
        let mut publisher = Client::new(replica.address, connect("publisher"));
        reader.subscribe("crowd/#", Qos::AtLeastOnce);
        reader.subscribe("other", Qos::AtMostOnce);
        meet(&mut publisher, &mut reader);
        deaf.signal("-STOP");
        // It keeps its lease, as one does that only does not listen.
        assert!(redis.ask(&format!("SET wm3:lease:{name} 1 PX 60000")).starts_with("+OK"));
        Self { redis, deaf, name, replica, reader, publisher }
    }
}

#[test]
fn an_inbox_is_bounded_and_nothing_acknowledged_is_lost() {
    let Crowd { redis, deaf, name, replica, mut reader, mut publisher } = Crowd::start();
    let inbox = format!("wm3:in:{name}");
    let fill = "\"for n = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'k', 'nothing') end\"";
    redis.ask(&format!("EVAL {fill} 1 {inbox} {INBOX_MAX}"));
    let entries = || redis.ask(&format!("XLEN {inbox}")).trim_start_matches(':').trim().parse::<usize>().unwrap();
    let full = entries();
    assert!(full >= INBOX_MAX);
    let say = |client: &mut Client, text: String, delivery| {
        assert!(client.try_send(&Packet::Publish(publish("crowd/1", text, delivery))));
    };
    say(&mut publisher, "past it".to_owned(), Delivery::AtMostOnce);
    for number in 1..=COUNT {
        say(&mut publisher, number.to_string(), Delivery::AtLeastOnce(id(number)));
    }
    // Others are served, and hear what the publisher says to whom it can.
    let mut other = Client::new(replica.address, connect("other"));
    other.subscribe("here", Qos::AtLeastOnce);
    other.say("here", "served", Qos::AtLeastOnce);
    assert_eq!(other.take(), "served");
    let next = publisher.next_within(Duration::from_secs(1));
    assert!(matches!(next, Next::Nothing), "acknowledged without room: {next:?}");
    assert_eq!(entries(), full, "the inbox has grown");
    deaf.signal("-CONT");
    for number in 1..=COUNT {
        let Packet::Puback(ack) = publisher.hear() else { panic!("no PUBACK") };
        assert_eq!(ack.packet_id.get(), number);
        assert_eq!(reader.take(), number.to_string(), "in their order, and nothing of QoS 0");
    }
}

#[test]
fn an_inbox_is_bounded_in_bytes() {
    // The others stay as long as they are there.
    let Crowd { redis, deaf, name, replica: _replica, reader: _reader, mut publisher } = Crowd::start();
    let large = "x".repeat(1_000_000);
    let say = |client: &mut Client, number| {
        let packet = publish("crowd/1", large.clone(), Delivery::AtLeastOnce(id(number)));
        assert!(client.try_send(&Packet::Publish(packet)));
    };
    let mut numbers = 1..;
    let last = loop {
        let number = numbers.next().unwrap();
        say(&mut publisher, number);
        match publisher.next_within(Duration::from_secs(5)) {
            Next::Packet(packet) => assert!(matches!(*packet, Packet::Puback(ack) if ack.packet_id == id(number))),
            Next::Nothing => break number,
            Next::Lost => panic!("the publisher was sent away"),
        }
        assert!(usize::from(number) * large.len() < INBOX_BYTES_MAX + 2 * large.len(), "more than there is room for");
    };
    assert!(usize::from(last) * large.len() > INBOX_BYTES_MAX, "there was room for more");
    deaf.signal("-CONT");
    let Packet::Puback(ack) = publisher.hear() else { panic!("no PUBACK") };
    assert_eq!(ack.packet_id, id(last));
    // What was heard counts no longer.
    await_that("the inbox is empty", || redis.ask(&format!("GET wm3:inb:{name}")).starts_with("$-1"));
}
