//! Redis itself goes away, for a while or for good.

use std::time::{Duration, Instant};

use mqtt::codec::{Delivery, Packet, Qos, Reason};

use super::breaking::Next;
use super::load::{Ended, Load, Sessions};
use super::parts::{Redis, Replica, await_that};
use super::session::client::{Client, connect, id, lasting, meet, publish};

/// Publishers in a hurry: each loses its connection to nothing but waits for Redis.
const PUBLISHERS: usize = 10;
const EVERY: Duration = Duration::from_millis(5);
/// As the issue asks.
const AWAY: Duration = Duration::from_secs(10);
/// What a replica may grow by while Redis is away.
const GROWTH_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// `kill -9` of the master under load, with two followers and three sentinels: what it came to.
fn fail_over(durability: &str, sessions: Sessions) -> Ended {
    let master = Redis::start(&["--min-replicas-max-lag", "10"]);
    let port = master.port.to_string();
    let followers: Vec<_> = (0..2).map(|_| Redis::start(&["--replicaof", "127.0.0.1", &port])).collect();
    await_that("the followers follow", || {
        followers.iter().all(|one| one.ask("INFO replication").contains("master_link_status:up"))
    });
    let sentinels: Vec<_> = (0..3).map(|_| Redis::start_sentinel(master.port)).collect();
    await_that("the sentinels know each other", || {
        sentinels.iter().all(|one| one.ask("INFO sentinel").contains("slaves=2,sentinels=3"))
    });
    let hosts: Vec<_> = sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
    let store = format!("redis+sentinel://{}/water", hosts.join(","));
    let replica = Replica::start(&store, &["--durability", durability]);
    let mut load = Load::open(replica.address, &[replica.address], sessions);
    load.add(PUBLISHERS, EVERY);
    let count = |load: &Load| load.told.lock().unwrap().count();
    await_that("the load flows", || count(&load) > 20 * PUBLISHERS);
    let before = count(&load);
    let begin = Instant::now();
    drop(master);
    // What is under way when the master dies may be acknowledged by it, but not so much.
    await_that("acknowledgements go on", || count(&load) > before + 20 * PUBLISHERS);
    println!("failover, {durability}: {} acknowledged within {:.1?}", 20 * PUBLISHERS, begin.elapsed());
    let mut ended = load.finish(Duration::from_secs(20));
    ended.report(&format!("kill -9 of the Redis master, {durability}"));
    ended
}

#[test]
fn a_dead_master_is_replaced_and_what_two_had_is_kept() {
    let ended = fail_over("replicated", Sessions::Shared);
    // WAIT is not consensus: with two followers, the one that is promoted may be the one that had less. The sentinels
    // prefer the one that has most, so that here nothing is lost.
    assert_eq!(ended.missing(&[0]), vec![]);
    assert_eq!(ended.repeated(), Vec::<&(String, usize)>::new());
}

#[test]
fn a_dead_master_is_replaced_and_what_only_it_had_is_counted() {
    let ended = fail_over("async", Sessions::Failing);
    // What may be lost is what no follower had yet when the master died: what was under way, not what was said before.
    let (lost, all) = (ended.missing(&[0]).len(), ended.told.count());
    assert!(lost * 4 < all, "{lost} of {all} acknowledged are lost");
}

#[test]
fn while_redis_is_away_nobody_is_lied_to() {
    let redis = Redis::start(&[]);
    let replica = Replica::start(&redis.url(), &[]);
    let mut reader = Client::new(replica.address, lasting("reader"));
    reader.subscribe("away", Qos::AtLeastOnce);
    let mut direct = Client::new(replica.address, connect("direct"));
    direct.subscribe("local", Qos::AtMostOnce);
    let mut publishers: Vec<_> = (0..20).map(|_| Client::new(replica.address, connect(""))).collect();
    meet(&mut publishers[0], &mut direct);
    publishers[0].say("away", "before", Qos::AtLeastOnce);
    assert_eq!(reader.take(), "before");
    let before_bytes = replica.resident_bytes();
    redis.signal("-STOP");
    let begin = Instant::now();
    // Each floods until its socket takes no more: that is how it is held back.
    let payload = vec![b'x'; 10_000];
    let mut sent = vec![0_usize; publishers.len()];
    for (publisher, sent) in publishers.iter_mut().zip(&mut sent) {
        publisher.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        for number in 1..=500 {
            let message = publish("away", payload.clone(), Delivery::AtLeastOnce(id(number)));
            if !publisher.try_send(&Packet::Publish(message)) {
                break;
            }
            *sent += 1;
        }
    }
    while begin.elapsed() < AWAY {
        for publisher in &mut publishers {
            let next = publisher.next_within(Duration::from_millis(10));
            assert!(matches!(next, Next::Nothing), "acknowledged while Redis was away: {next:?}");
        }
    }
    let grown = replica.resident_bytes().saturating_sub(before_bytes);
    assert!(grown < GROWTH_MAX_BYTES, "grown by {grown} bytes");
    redis.signal("-CONT");
    let back = Instant::now();
    let Next::Packet(packet) = publishers[0].next_within(Duration::from_secs(10)) else { panic!("no PUBACK") };
    assert!(matches!(*packet, Packet::Puback(_)), "{packet:?}");
    println!("Redis away for {AWAY:?}: grown by {grown} bytes, acknowledged {:?} after its return", back.elapsed());
    assert_eq!(reader.hear_publish().payload.len(), payload.len());
}

/// A server that took another's place may give numbers anew that a client has acknowledged: what was said of the old ones
/// is not believed of the new.
#[test]
fn acknowledgements_from_before_a_failover_take_nothing_of_after_it() {
    let redis = Redis::start(&[]);
    let replica = Replica::start(&redis.url(), &[]);
    let mut keeper = Client::new(replica.address, lasting("keeper"));
    keeper.subscribe("kept", Qos::AtLeastOnce);
    let mut publisher = Client::new(replica.address, connect("publisher"));
    publisher.say("kept", "one", Qos::AtLeastOnce);
    let before = keeper.hear_publish();
    // What a connection does that finds another run of the server.
    assert!(redis.ask("INCR wm3:gen").starts_with(':'));
    keeper.acknowledge(&before);
    keeper.hear_end(Reason::SessionTakenOver);
    assert!(redis.ask("XLEN wm3:q:keeper").starts_with(":1"));
    let mut keeper = Client::new(replica.address, lasting("keeper"));
    let again = keeper.hear_publish();
    assert_eq!(again.payload, before.payload);
    keeper.acknowledge(&again);
    await_that("it is let go", || redis.ask("XLEN wm3:q:keeper").starts_with(":0"));
}
