//! Publishers that insist on an acknowledgement for each message, whatever happens to their connections, and subscribers
//! that note what they hear: so that it can be counted what was acknowledged and lost, and what came more than once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mqtt::codec::{Ack, Delivery, Packet, PacketId, Qos, Reason};

use super::breaking::Next;
use super::parts::await_that;
use super::session::client::{Client, connect, id, lasting, publish};

/// As in the paper of the stateless broker.
const PAYLOAD_BYTES: usize = 79;
/// Between two tries to connect.
const AGAIN: Duration = Duration::from_millis(10);
/// How soon it is noticed that the end has come.
const GLANCE: Duration = Duration::from_millis(100);

/// What of the sessions may be gone after something was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// Replicas share a store that keeps them: nothing may be gone.
    Shared,
    /// They share a store that may forget.
    Failing,
    /// Each replica has its own memory, and what it knew is gone with it.
    Alone,
}

/// What publishers were told, and how long they were without a broker.
#[derive(Default)]
pub(crate) struct Told {
    /// By publisher, the last number that was acknowledged.
    pub(crate) acknowledged: BTreeMap<String, usize>,
    /// From the loss of a connection to the next acknowledgement.
    pub(crate) outages: Vec<Duration>,
    /// Why the broker said that it ended a connection.
    pub(crate) farewells: Vec<Reason>,
}

impl Told {
    pub(crate) fn count(&self) -> usize {
        self.acknowledged.values().map(|last| last + 1).sum()
    }

    /// The outage that this share of all is not longer than.
    pub(crate) fn outage(&mut self, percent: usize) -> Duration {
        self.outages.sort_unstable();
        let at = self.outages.len().saturating_sub(1) * percent / 100;
        self.outages.get(at).copied().unwrap_or_default()
    }
}

/// One publisher: one message at a time, each until it is acknowledged.
struct Publisher {
    address: SocketAddr,
    name: String,
    qos: Qos,
    every: Duration,
    sessions: Sessions,
}

/// What became of a packet that was sent.
enum Answer {
    Received,
    Over,
    Lost,
}

impl Publisher {
    fn insist(&self, stop: &AtomicBool, told: &Mutex<Told>) {
        let name = &self.name;
        let mut connection: Option<Client> = None;
        let mut lost_at: Option<Instant> = None;
        let mut number = 0;
        // QoS 2: PUBREC was received, so that PUBREL is what is said again.
        let mut released = false;
        while !stop.load(Ordering::Relaxed) {
            let Some(client) = connection.as_mut() else {
                match Client::try_enter(self.address, lasting(name)) {
                    Some((client, connack)) => {
                        if number > 0 && !connack.session_present {
                            assert_ne!(self.sessions, Sessions::Shared, "{name}: the session is gone");
                            released = false;
                        }
                        connection = Some(client);
                    }
                    None => std::thread::sleep(AGAIN),
                }
                continue;
            };
            let packet_id = id(u16::try_from(number % 60_000 + 1).unwrap());
            let packet = self.packet(number, packet_id, released);
            let mut answer = match client.try_send(&packet) {
                true => await_answer(client, packet_id, told),
                false => Answer::Lost,
            };
            if matches!(answer, Answer::Over) {
                {
                    let mut told = told.lock().unwrap();
                    told.acknowledged.insert(name.clone(), number);
                    told.outages.extend(lost_at.take().map(|at| at.elapsed()));
                }
                number += 1;
                released = false;
                answer = self.rest(client, stop, told);
            }
            match answer {
                Answer::Received => released = true,
                Answer::Over => {}
                Answer::Lost => {
                    connection = None;
                    lost_at.get_or_insert_with(Instant::now);
                }
            }
        }
    }

    fn packet(&self, number: usize, packet_id: PacketId, released: bool) -> Packet {
        if released {
            return Packet::Pubrel(Ack::success(packet_id));
        }
        let text = format!("{} {number} ", self.name);
        let delivery = match self.qos {
            Qos::ExactlyOnce => Delivery::ExactlyOnce(packet_id),
            _ => Delivery::AtLeastOnce(packet_id),
        };
        Packet::Publish(publish(&format!("load/{}", self.name), format!("{text:x<PAYLOAD_BYTES$}"), delivery))
    }

    /// Until the next message is due, or the connection is lost: whoever waits notices that as well.
    fn rest(&self, client: &mut Client, stop: &AtomicBool, told: &Mutex<Told>) -> Answer {
        let due = Instant::now() + self.every;
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match client.next_within(left.min(GLANCE)) {
                Next::Lost => return Answer::Lost,
                Next::Packet(packet) => {
                    if let Packet::Disconnect(disconnect) = *packet {
                        told.lock().unwrap().farewells.push(disconnect.reason);
                        return Answer::Lost;
                    }
                }
                Next::Nothing => {}
            }
        }
        Answer::Over
    }
}

fn await_answer(client: &mut Client, packet_id: PacketId, told: &Mutex<Told>) -> Answer {
    loop {
        match client.next_within(Duration::from_secs(30)) {
            Next::Packet(packet) => match *packet {
                Packet::Puback(ack) | Packet::Pubcomp(ack) if ack.packet_id == packet_id => return Answer::Over,
                Packet::Pubrec(ack) if ack.packet_id == packet_id => {
                    assert!(!ack.reason.is_error(), "{ack:?}");
                    return Answer::Received;
                }
                Packet::Disconnect(disconnect) => {
                    told.lock().unwrap().farewells.push(disconnect.reason);
                    return Answer::Lost;
                }
                _ => {}
            },
            Next::Nothing | Next::Lost => return Answer::Lost,
        }
    }
}

/// What a subscriber got, by publisher and number: how often.
pub(crate) type Heard = BTreeMap<(String, usize), usize>;

/// One subscriber with a lasting session: it follows the rules of QoS 2 across connections.
struct Ear {
    heard: Arc<Mutex<Heard>>,
    late: Arc<Mutex<Vec<(String, usize)>>>,
    subscribed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Ear {
    fn open(address: SocketAddr, name: String, sessions: Sessions, deaf: &Arc<AtomicBool>) -> Self {
        let (heard, subscribed) = (Arc::<Mutex<Heard>>::default(), Arc::new(AtomicBool::new(false)));
        let late = Arc::<Mutex<Vec<_>>>::default();
        let thread = {
            let (heard, subscribed, deaf) = (Arc::clone(&heard), Arc::clone(&subscribed), Arc::clone(deaf));
            let late = Arc::clone(&late);
            std::thread::spawn(move || listen(address, &name, sessions, &deaf, &heard, &late, &subscribed))
        };
        Self { heard, late, subscribed, thread }
    }
}

fn listen(
    address: SocketAddr,
    name: &str,
    sessions: Sessions,
    deaf: &AtomicBool,
    heard: &Mutex<Heard>,
    late: &Mutex<Vec<(String, usize)>>,
    subscribed: &AtomicBool,
) {
    let mut connection: Option<Client> = None;
    let mut pending: BTreeSet<u16> = BTreeSet::new();
    while !deaf.load(Ordering::Relaxed) {
        let Some(client) = connection.as_mut() else {
            match Client::try_enter(address, lasting(name)) {
                Some((mut client, connack)) => {
                    if !connack.session_present {
                        let first = !subscribed.load(Ordering::Relaxed);
                        assert!(first || sessions != Sessions::Shared, "{name}: the session is gone");
                        pending.clear();
                        if !client.try_subscribe("load/#", Qos::ExactlyOnce) {
                            continue;
                        }
                        subscribed.store(true, Ordering::Relaxed);
                    }
                    connection = Some(client);
                }
                None => std::thread::sleep(AGAIN),
            }
            continue;
        };
        match client.next_within(GLANCE) {
            Next::Nothing => {}
            Next::Lost => connection = None,
            Next::Packet(packet) => match *packet {
                Packet::Publish(publish) => {
                    let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                    let mut words = text.split(' ');
                    let key: (String, usize) =
                        (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
                    let (answer, new) = match publish.delivery {
                        Delivery::AtMostOnce => (None, true),
                        Delivery::AtLeastOnce(id) => (Some(Packet::Puback(Ack::success(id))), true),
                        Delivery::ExactlyOnce(id) => (Some(Packet::Pubrec(Ack::success(id))), pending.insert(id.get())),
                    };
                    if new {
                        let mut heard = heard.lock().unwrap();
                        let mut later = heard.range((key.0.clone(), key.1 + 1)..);
                        if !heard.contains_key(&key) && later.next().is_some_and(|((name, _), _)| *name == key.0) {
                            late.lock().unwrap().push(key.clone());
                        }
                        *heard.entry(key).or_default() += 1;
                    }
                    if let Some(answer) = answer {
                        client.try_send(&answer);
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

/// Publishers and subscribers.
pub(crate) struct Load {
    entry: SocketAddr,
    sessions: Sessions,
    deaf: Arc<AtomicBool>,
    pub(crate) told: Arc<Mutex<Told>>,
    ears: Vec<Ear>,
    publishers: Vec<(Arc<AtomicBool>, JoinHandle<()>)>,
    retired: Vec<JoinHandle<()>>,
    number: usize,
}

impl Load {
    /// One subscriber comes in at `entry`; where replicas share nothing, one at each replica besides. Returns when what
    /// is published at any replica is heard.
    pub(crate) fn open(entry: SocketAddr, replicas: &[SocketAddr], sessions: Sessions) -> Self {
        let deaf = Arc::new(AtomicBool::new(false));
        let addresses = std::iter::once(&entry).chain(replicas.iter().filter(|_| sessions == Sessions::Alone));
        let ears: Vec<_> = addresses
            .enumerate()
            .map(|(at, address)| Ear::open(*address, format!("listener-{at}"), sessions, &deaf))
            .collect();
        await_that("the subscribers subscribe", || ears.iter().all(|ear| ear.subscribed.load(Ordering::Relaxed)));
        if sessions != Sessions::Alone {
            for (at, replica) in replicas.iter().enumerate() {
                await_that("the subscriber is known everywhere", || {
                    let (mut client, _) = Client::try_enter(*replica, connect("")).unwrap();
                    client.say("load/probe", format!("probe {at} "), Qos::AtLeastOnce);
                    ears[0].heard.lock().unwrap().contains_key(&("probe".to_owned(), at))
                });
            }
        }
        let (told, publishers, retired) = (Arc::default(), vec![], vec![]);
        Self { entry, sessions, deaf, told, ears, publishers, retired, number: 0 }
    }

    /// More publishers: QoS 2 and QoS 1 in turn, each with a message every so often.
    pub(crate) fn add(&mut self, count: usize, every: Duration) {
        for at in 0..count {
            let number = self.number;
            self.number += 1;
            let (kind, qos) = match number % 2 {
                0 => ("once", Qos::ExactlyOnce),
                _ => ("least", Qos::AtLeastOnce),
            };
            let name = format!("{kind}-{number}");
            let publisher = Publisher { address: self.entry, name, qos, every, sessions: self.sessions };
            let stop = Arc::new(AtomicBool::new(false));
            let (told, stopped) = (Arc::clone(&self.told), Arc::clone(&stop));
            // Not all at one instant.
            let wait = every * u32::try_from(at).unwrap() / u32::try_from(count).unwrap();
            let thread = std::thread::spawn(move || {
                std::thread::sleep(wait);
                publisher.insist(&stopped, &told);
            });
            self.publishers.push((stop, thread));
        }
    }

    /// Some publishers end, the oldest first.
    pub(crate) fn retire(&mut self, count: usize) {
        let count = count.min(self.publishers.len());
        for (stop, thread) in self.publishers.drain(..count) {
            stop.store(true, Ordering::Relaxed);
            self.retired.push(thread);
        }
    }

    /// Stops publishing, and waits until the first subscriber has heard everything that was acknowledged, or none has
    /// heard anything for as long as `patience`.
    pub(crate) fn finish(mut self, patience: Duration) -> Ended {
        self.retire(usize::MAX);
        self.retired.drain(..).for_each(|thread| thread.join().unwrap());
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let mut ended = Ended { told, heard: vec![], late: vec![] };
        let (mut count, mut last) = (0, Instant::now());
        loop {
            ended.heard = self.ears.iter().map(|ear| ear.heard.lock().unwrap().clone()).collect();
            let now = ended.heard.iter().flat_map(BTreeMap::values).sum::<usize>();
            if std::mem::replace(&mut count, now) != now {
                last = Instant::now();
            }
            if ended.missing(&[0]).is_empty() || last.elapsed() > patience {
                break;
            }
            std::thread::sleep(GLANCE);
        }
        self.deaf.store(true, Ordering::Relaxed);
        let heard = self.ears.into_iter().map(|ear| {
            ear.thread.join().unwrap();
            ended.late.append(&mut ear.late.lock().unwrap());
            std::mem::take(&mut *ear.heard.lock().unwrap())
        });
        ended.heard = heard.collect();
        ended
    }
}

/// What it came to.
pub(crate) struct Ended {
    pub(crate) told: Told,
    /// By subscriber.
    pub(crate) heard: Vec<Heard>,
    /// What a subscriber heard for the first time after a later message of the same publisher.
    pub(crate) late: Vec<(String, usize)>,
}

impl Ended {
    /// What was acknowledged, and none of these subscribers has heard.
    pub(crate) fn missing(&self, ears: &[usize]) -> Vec<(String, usize)> {
        let acknowledged = &self.told.acknowledged;
        let all = acknowledged.iter().flat_map(|(name, last)| (0..=*last).map(move |at| (name.clone(), at)));
        all.filter(|key| !ears.iter().any(|ear| self.heard[*ear].contains_key(key))).collect()
    }

    /// What of QoS 2 one subscriber has heard more than once.
    pub(crate) fn repeated(&self) -> Vec<&(String, usize)> {
        let of_two = self.heard.iter().flatten().filter(|((name, _), count)| name.starts_with("once") && **count > 1);
        of_two.map(|(key, _)| key).collect()
    }

    pub(crate) fn report(&mut self, what: &str) {
        let (count, hit) = (self.told.count(), self.told.outages.len());
        let (lost, repeated) = (self.missing(&[0]).len(), self.repeated().len());
        let [middle, most, all] = [50, 99, 100].map(|percent| self.told.outage(percent));
        println!(
            "{what}: {count} acknowledged, {lost} lost, {repeated} of QoS 2 repeated; {hit} outages, p50 {middle:.1?} \
             p99 {most:.1?} max {all:.1?}"
        );
    }
}
