//! Replicas are killed while clients publish through a balancer: nothing that was acknowledged is lost, QoS 2 has no
//! duplicate, and clients are served again soon.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use watermaster::mqtt::codec::{Ack, Connect, Delivery, Packet, Qos, Reason};

use super::balancer::Balancer;
use super::parts::{Redis, Replica, await_that};
use super::session::client::{Client, Next, connect, id, lasting, publish, will};

/// As in the paper of the stateless broker.
const PAYLOAD_BYTES: usize = 79;
const PUBLISHERS: usize = 40;
const REPLICAS: usize = 3;
const KILLS: usize = 6;
const BETWEEN_KILLS: Duration = Duration::from_secs(3);
const EVERY: Duration = Duration::from_millis(50);

/// What publishers were told, and how long they were without a broker.
#[derive(Default)]
pub(super) struct Told {
    /// By publisher, the last number that was acknowledged.
    pub(super) acknowledged: BTreeMap<String, usize>,
    pub(super) outages: Vec<Duration>,
}

/// One publisher: one message at a time, each until it is acknowledged, whatever happens to connections.
pub(super) fn insist(
    address: SocketAddr,
    name: &str,
    qos: Qos,
    stop: &AtomicBool,
    told: &Mutex<Told>,
    session_may_go: bool,
) {
    let mut connection: Option<Client> = None;
    let mut lost_at: Option<Instant> = None;
    let mut number = 0;
    // QoS 2: PUBREC was received, so that PUBREL is what is said again.
    let mut released = false;
    while !stop.load(Ordering::Relaxed) {
        let Some(client) = connection.as_mut() else {
            match Client::try_enter(address, lasting(name)) {
                Some((client, connack)) => {
                    if number > 0 && !connack.session_present {
                        assert!(session_may_go, "{name}: the session is gone");
                        released = false;
                    }
                    connection = Some(client);
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
            continue;
        };
        let packet_id = id(u16::try_from(number % 60_000 + 1).unwrap());
        let text = format!("{name} {number} ");
        let payload = format!("{text:x<PAYLOAD_BYTES$}");
        let packet = match (qos, released) {
            (Qos::ExactlyOnce, true) => Packet::Pubrel(Ack::success(packet_id)),
            (Qos::ExactlyOnce, false) => {
                Packet::Publish(publish(&format!("load/{name}"), payload, Delivery::ExactlyOnce(packet_id)))
            }
            _ => Packet::Publish(publish(&format!("load/{name}"), payload, Delivery::AtLeastOnce(packet_id))),
        };
        let answer = if client.try_send(&packet) { await_answer(client, packet_id) } else { Answer::Lost };
        match answer {
            Answer::Received => released = true,
            Answer::Over => {
                let mut told = told.lock().unwrap();
                told.acknowledged.insert(name.to_owned(), number);
                told.outages.extend(lost_at.take().map(|at| at.elapsed()));
                drop(told);
                number += 1;
                released = false;
                std::thread::sleep(EVERY);
            }
            Answer::Lost => {
                connection = None;
                lost_at.get_or_insert_with(Instant::now);
            }
        }
    }
}

enum Answer {
    Received,
    Over,
    Lost,
}

fn await_answer(client: &mut Client, packet_id: watermaster::mqtt::codec::PacketId) -> Answer {
    loop {
        match client.next_within(Duration::from_secs(30)) {
            Next::Packet(packet) => match *packet {
                Packet::Puback(ack) | Packet::Pubcomp(ack) if ack.packet_id == packet_id => return Answer::Over,
                Packet::Pubrec(ack) if ack.packet_id == packet_id => {
                    assert!(!ack.reason.is_error(), "{ack:?}");
                    return Answer::Received;
                }
                Packet::Disconnect(_) => return Answer::Lost,
                _ => {}
            },
            Next::Nothing | Next::Lost => return Answer::Lost,
        }
    }
}

/// What the subscriber got, by publisher and number: how often.
pub(super) type Heard = BTreeMap<(String, usize), usize>;

/// One subscriber with a lasting session: it follows the rules of QoS 2 across connections.
pub(super) fn listen(address: SocketAddr, stop: &AtomicBool, heard: &Mutex<Heard>, session_may_go: bool) {
    let mut connection: Option<Client> = None;
    let mut pending: BTreeSet<u16> = BTreeSet::new();
    let mut first = true;
    while !stop.load(Ordering::Relaxed) {
        let Some(client) = connection.as_mut() else {
            match Client::try_enter(address, lasting("listener")) {
                Some((mut client, connack)) => {
                    if !connack.session_present {
                        assert!(first || session_may_go, "the subscriber's session is gone");
                        client.subscribe("load/#", Qos::ExactlyOnce);
                        pending.clear();
                        first = false;
                    }
                    connection = Some(client);
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
            continue;
        };
        match client.next_within(Duration::from_millis(100)) {
            Next::Nothing => {}
            Next::Lost => connection = None,
            Next::Packet(packet) => match *packet {
                Packet::Publish(publish) => {
                    let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                    let mut words = text.split(' ');
                    let key = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
                    let new = match publish.delivery {
                        Delivery::ExactlyOnce(id) => pending.insert(id.get()),
                        _ => true,
                    };
                    if new {
                        *heard.lock().unwrap().entry(key).or_default() += 1;
                    }
                    match publish.delivery {
                        Delivery::AtMostOnce => {}
                        Delivery::AtLeastOnce(id) => drop(client.try_send(&Packet::Puback(Ack::success(id)))),
                        Delivery::ExactlyOnce(id) => drop(client.try_send(&Packet::Pubrec(Ack::success(id)))),
                    }
                }
                Packet::Pubrel(ack) => {
                    pending.remove(&ack.packet_id.get());
                    client.try_send(&Packet::Pubcomp(Ack::success(ack.packet_id)));
                }
                Packet::Disconnect(_) => connection = None,
                _ => {}
            },
        }
    }
}

/// Publishers of both kinds and a subscriber, behind one address.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    deaf: Arc<AtomicBool>,
    pub(super) told: Arc<Mutex<Told>>,
    pub(super) heard: Arc<Mutex<Heard>>,
    publishers: Vec<std::thread::JoinHandle<()>>,
    listener: std::thread::JoinHandle<()>,
}

impl Load {
    pub(super) fn start(address: SocketAddr, publishers: usize, session_may_go: bool) -> Self {
        let (stop, deaf) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (told, heard) = (Arc::<Mutex<Told>>::default(), Arc::<Mutex<Heard>>::default());
        let listener = {
            let (deaf, heard) = (Arc::clone(&deaf), Arc::clone(&heard));
            std::thread::spawn(move || listen(address, &deaf, &heard, session_may_go))
        };
        // The subscription is known everywhere once something has been heard.
        let mut probe = 0;
        await_that("the subscriber hears", || {
            if let Some((mut client, _)) = Client::try_enter(address, connect("")) {
                client.say("load/probe", format!("probe {probe} "), Qos::AtLeastOnce);
                probe += 1;
            }
            !heard.lock().unwrap().is_empty()
        });
        std::thread::sleep(Duration::from_millis(300));
        let publishers = (0..publishers)
            .map(|at| {
                let (stop, told) = (Arc::clone(&stop), Arc::clone(&told));
                let (name, qos) = if at % 2 == 0 {
                    (format!("once-{at}"), Qos::ExactlyOnce)
                } else {
                    (format!("least-{at}"), Qos::AtLeastOnce)
                };
                std::thread::spawn(move || insist(address, &name, qos, &stop, &told, session_may_go))
            })
            .collect();
        Self { stop, deaf, told, heard, publishers, listener }
    }

    /// Stops publishing, waits until everything that was acknowledged has been heard or `patience` is over; what is
    /// missing, and what of QoS 2 came more than once.
    pub(super) fn finish(self, patience: Duration) -> (Told, Heard, Vec<(String, usize)>) {
        self.stop.store(true, Ordering::Relaxed);
        self.publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let missing = || {
            let heard = self.heard.lock().unwrap();
            let all = told.acknowledged.iter().flat_map(|(name, last)| (0..=*last).map(move |at| (name.clone(), at)));
            all.filter(|key| !heard.contains_key(key)).collect::<Vec<_>>()
        };
        let begin = Instant::now();
        while !missing().is_empty() && begin.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(50));
        }
        let missing = missing();
        self.deaf.store(true, Ordering::Relaxed);
        self.listener.join().unwrap();
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        (told, heard, missing)
    }
}

pub(super) fn report(what: &str, told: &mut Told) {
    told.outages.sort_unstable();
    let at = |share: usize| told.outages.get(told.outages.len().saturating_sub(1) * share / 100);
    let count: usize = told.acknowledged.values().map(|last| last + 1).sum();
    let outages = told.outages.len();
    println!("{what}: {count} acknowledged, {outages} outages, p50 {:?} p99 {:?} max {:?}", at(50), at(99), at(100));
}

#[test]
fn killed_replicas_lose_nothing_and_repeat_nothing() {
    let redis = Redis::start(&[]);
    let mut replicas: Vec<_> = (0..REPLICAS).map(|_| Replica::start(&redis.url(), &[])).collect();
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
    let balancer = Balancer::start(addresses.clone());
    let load = Load::start(balancer.address, PUBLISHERS, false);
    for kill in 0..KILLS {
        std::thread::sleep(BETWEEN_KILLS);
        let at = kill % REPLICAS;
        replicas.remove(at).kill();
        // Another takes its place at the same address, as an orchestrator would see to.
        replicas.insert(at, Replica::start_on(&addresses[at].to_string(), &redis.url(), &[]));
    }
    let (mut told, heard, missing) = load.finish(Duration::from_secs(20));
    report("kill -9 of replicas", &mut told);
    assert!(
        missing.is_empty(),
        "{} acknowledged messages are lost: {:?}",
        missing.len(),
        &missing[..missing.len().min(9)]
    );
    let twice: Vec<_> = heard.iter().filter(|((name, _), count)| name.starts_with("once") && **count > 1).collect();
    assert!(twice.is_empty(), "QoS 2 came more than once: {twice:?}");
    assert!(told.outages.len() >= KILLS, "nobody was hit");
}

#[test]
fn a_replica_that_leaves_or_joins_is_not_noticed_by_data() {
    let redis = Redis::start(&[]);
    let (first, second) = (Replica::start(&redis.url(), &[]), Replica::start(&redis.url(), &[]));
    let balancer = Balancer::start(vec![first.address, second.address]);
    let load = Load::start(balancer.address, 10, false);
    std::thread::sleep(Duration::from_secs(1));
    let third = Replica::start(&redis.url(), &[]);
    balancer.backends.lock().unwrap().push(third.address);
    balancer.backends.lock().unwrap().retain(|address| *address != first.address);
    first.terminate();
    std::thread::sleep(Duration::from_secs(1));
    let (mut told, heard, missing) = load.finish(Duration::from_secs(20));
    report("a replica leaves", &mut told);
    assert!(missing.is_empty(), "{missing:?}");
    assert!(heard.iter().all(|((name, _), count)| !name.starts_with("once") || *count == 1));
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
