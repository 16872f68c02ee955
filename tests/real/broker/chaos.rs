//! Replicas are killed, join and leave while clients publish through a balancer: nothing that was acknowledged is lost,
//! QoS 2 has no duplicate, and clients are served again soon.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mqtt::codec::{Connect, Qos, Reason};

use super::balancer::Balancer;
use super::load::{Load, Sessions};
use super::parts::{Redis, Replica, await_that};
use super::session::client::{Client, connect, lasting, will};

/// As in the paper: so many publishers, each with a message of 79 bytes a second.
const PUBLISHERS: usize = 300;
const EVERY: Duration = Duration::from_secs(1);
/// A few in a hurry besides, so that every kill hits messages on the way.
const HASTY: usize = 10;
const HASTE: Duration = Duration::from_millis(20);
const REPLICAS: usize = 3;
const BETWEEN_KILLS: Duration = Duration::from_secs(3);
/// How long it goes on, unless `WATERMASTER_CHAOS_SECONDS` says otherwise.
const SECONDS: u64 = 18;

#[test]
fn killed_replicas_lose_nothing_and_repeat_nothing() {
    let told = std::env::var("WATERMASTER_CHAOS_SECONDS").ok();
    let seconds = told.map_or(SECONDS, |text| text.parse().unwrap());
    let redis = Redis::start(&[]);
    let mut replicas: Vec<_> = (0..REPLICAS).map(|_| Replica::start(&redis.url(), &[])).collect();
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
    let balancer = Balancer::start(&addresses);
    let mut load = Load::open(balancer.address, &addresses, Sessions::Shared);
    load.add(PUBLISHERS, EVERY);
    load.add(HASTY, HASTE);
    let (begin, mut kills) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(BETWEEN_KILLS);
        let at = kills % REPLICAS;
        kills += 1;
        replicas.remove(at).kill();
        // Another takes its place at the same address, as an orchestrator would see to.
        replicas.insert(at, Replica::start_on(&addresses[at].to_string(), &redis.url(), &[]));
    }
    let mut ended = load.finish(Duration::from_secs(20));
    ended.report(&format!("{kills} times kill -9 of one of {REPLICAS} replicas in {seconds} s"));
    let missing = ended.missing(&[0]);
    assert!(missing.is_empty(), "{} of the acknowledged are lost: {:?}", missing.len(), missing.first());
    assert_eq!(ended.repeated(), Vec::<&(String, usize)>::new());
    assert!(ended.told.outages.len() >= kills, "nobody was hit");
}

/// What these tests would say if replicas shared nothing: the loss is seen.
#[test]
fn replicas_that_share_nothing_lose_what_was_acknowledged() {
    let replicas = [Replica::start("memory", &[]), Replica::start("memory", &[])];
    let addresses = replicas.each_ref().map(|replica| replica.address);
    let balancer = Balancer::start(&addresses);
    let mut load = Load::open(balancer.address, &addresses, Sessions::Alone);
    load.add(HASTY, HASTE);
    await_that("the load flows", || load.told.lock().unwrap().count() > 10 * HASTY);
    let mut ended = load.finish(Duration::from_secs(1));
    ended.report("two replicas that share nothing");
    assert_ne!(ended.missing(&[0]), vec![]);
    assert_eq!(ended.missing(&[1, 2]), vec![], "nobody was killed");
}

#[test]
fn who_joins_takes_a_share_and_who_leaves_is_not_missed() {
    const EACH: usize = 10;
    let redis = Redis::start(&[]);
    let (first, second) = (Replica::start(&redis.url(), &[]), Replica::start(&redis.url(), &[]));
    let balancer = Balancer::start(&[first.address, second.address]);
    let mut load = Load::open(balancer.address, &[first.address, second.address], Sessions::Shared);
    let goes_on = |load: &Load, what: &str| {
        let before = load.told.lock().unwrap().count();
        await_that(what, || load.told.lock().unwrap().count() > before + 20 * EACH);
    };
    load.add(2 * EACH, HASTE);
    goes_on(&load, "acknowledgements of two");
    let third = Replica::start(&redis.url(), &[]);
    balancer.add(third.address);
    load.add(EACH, HASTE);
    let share = |of: &Replica| balancer.open().iter().find(|(address, _)| *address == of.address).map(|found| found.1);
    await_that("the third takes its share", || share(&third).is_some_and(|count| count >= EACH));
    goes_on(&load, "acknowledgements of three");
    let leaving = share(&first).unwrap();
    balancer.remove(first.address);
    first.terminate();
    goes_on(&load, "acknowledgements of those who stayed");
    println!("shares after the first of three has left: {:?}", balancer.open());
    let mut ended = load.finish(Duration::from_secs(20));
    ended.report("a replica joins, another leaves");
    assert_eq!(ended.missing(&[0]), vec![]);
    assert_eq!(ended.repeated(), Vec::<&(String, usize)>::new());
    // Each publisher there, but the subscriber, was told where not to stay.
    let farewells = &ended.told.farewells;
    assert!(farewells.iter().all(|reason| *reason == Reason::UseAnotherServer), "{farewells:?}");
    assert!(farewells.len() + 1 >= leaving, "{leaving} were there: {farewells:?}");
}

#[test]
fn wills_of_a_dead_replica_are_published_once() {
    const MORTALS: usize = 30;
    let redis = Redis::start(&[]);
    let dying = Replica::start(&redis.url(), &[]);
    let staying = [Replica::start(&redis.url(), &[]), Replica::start(&redis.url(), &[])];
    let mut heir = Client::new(staying[0].address, connect("heir"));
    heir.subscribe("wills/#", Qos::AtLeastOnce);
    let mortals: Vec<_> = (0..MORTALS)
        .map(|at| {
            let hello = if at % 2 == 0 { connect("") } else { lasting(&format!("mortal-{at}")) };
            Client::new(dying.address, Connect { will: Some(will(&format!("wills/{at}"), "gone")), ..hello })
        })
        .collect();
    dying.kill();
    let begin = Instant::now();
    let mut topics = BTreeSet::new();
    while topics.len() < MORTALS {
        let publish = heir.hear_publish();
        heir.acknowledge(&publish);
        assert!(topics.insert(publish.topic.to_string()), "{} twice", publish.topic);
    }
    println!("wills of a dead replica: {MORTALS} in {:?}", begin.elapsed());
    drop(mortals);
    // Several sweeps of all replicas later there are no more.
    std::thread::sleep(Duration::from_secs(2));
    heir.hear_nothing();
}

#[test]
fn a_session_is_taken_over_across_processes() {
    let redis = Redis::start(&[]);
    let replicas = [Replica::start(&redis.url(), &[]), Replica::start(&redis.url(), &[])];
    let mut waits = vec![];
    let mut old = Client::new(replicas[0].address, lasting("nomad"));
    for turn in 1..=20 {
        let begin = Instant::now();
        let new = Client::new(replicas[turn % 2].address, lasting("nomad"));
        old.hear_end(Reason::SessionTakenOver);
        waits.push(begin.elapsed());
        old = new;
    }
    waits.sort_unstable();
    println!("takeover: p50 {:?} max {:?}", waits[10], waits[19]);
}
