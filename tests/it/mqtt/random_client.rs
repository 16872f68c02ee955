//! Any bytes as a walk through the broker: three connections under two names say packets in any order, sensible or not.
//! Whatever comes back is checked against what each connection has said, and in the end others are still served. The fuzz
//! target `mqtt_session` walks the same way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use mqtt::codec::{
    Ack, BytesMut, Connect, ConnectProperties, Decoder, Delivery, Disconnect, MessageProperties, Packet, PacketId,
    Publish, Qos, Reason, RetainHandling, Subscribe, Subscription, SubscriptionOptions, Unsubscribe, UserProperties,
    Version, Will,
};
use mqtt::{Broker, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Two walk; the third comes last, so that no connection of its name is still on its way.
const NAMES: [&str; 3] = ["one", "two", "other"];
const SLOTS: usize = 3;
const TOPICS: [&str; 4] = ["a", "b", "a/b", "$SYS/a"];
const FILTERS: [&str; 8] = ["a", "b", "a/#", "+", "#", "$share/g/a", "$share/h/#", "$SYS/#"];
/// Shared subscriptions that a topic may match besides the ordinary ones.
const SHARES: usize = 2;
/// No walk is so long that the broker comes to the ids from here on.
const FAR_ID: u16 = 60_000;
/// Once through all tasks a packet wakes.
const YIELDS: usize = 24;
const SOCKET_BYTES: usize = 1 << 16;
const PATIENCE: Duration = Duration::from_secs(20);

/// Walks as the bytes say.
pub(crate) fn walk(bytes: &[u8]) {
    walk_on(bytes, async || Broker::embedded(Settings::default()).await.unwrap());
}

/// The same through another broker.
pub(crate) fn walk_on(bytes: &[u8], broker: impl AsyncFnOnce() -> Broker) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(vec![broker().await]);
        world.walk(&mut bytes.iter().copied(), usize::MAX).await;
    });
}

pub(crate) struct World {
    /// Of one store; a slot is always at the same one.
    brokers: Vec<Broker>,
    slots: [Option<Walker>; SLOTS],
    /// Each message has a number for its payload.
    messages: u32,
    copies: Copies,
}

/// By session and message: the ids under which it came, which a resumption repeats; without one each is a copy.
type Copies = HashMap<(usize, u32), Vec<Option<PacketId>>>;

/// A connection, and what it has said.
struct Walker {
    stream: DuplexStream,
    decoder: Decoder,
    buffer: BytesMut,
    version: Version,
    name: usize,
    is_welcome: bool,
    receive_max: usize,
    /// What was sent to it and is not acknowledged, by id; whether PUBREC was said.
    open: BTreeMap<u16, bool>,
    /// The ids under which it got anything.
    heard: HashSet<PacketId>,
    /// Those that a topic was said with.
    aliases: HashSet<NonZeroU16>,
    /// How often each answer may come.
    owed: HashMap<Owed, usize>,
    /// What a QoS 2 id was published with, until it is released.
    exact: HashMap<u16, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owed {
    Puback(u16),
    Pubrec(u16),
    Pubcomp(u16),
    Pubrel(u16),
    Suback(u16),
    Unsuback(u16),
    Pingresp,
}

impl World {
    pub(crate) fn new(brokers: Vec<Broker>) -> Self {
        Self { brokers, slots: Default::default(), messages: 0, copies: HashMap::new() }
    }

    /// So many steps, or as long as there are bytes; then others are served.
    pub(crate) async fn walk(&mut self, bytes: &mut impl Iterator<Item = u8>, steps: usize) {
        for _ in 0..steps {
            let Some(action) = bytes.next() else { break };
            self.act(action, bytes).await;
            self.settle().await;
        }
        self.others_are_served().await;
    }

    async fn act(&mut self, action: u8, bytes: &mut impl Iterator<Item = u8>) {
        let mut next = || bytes.next().unwrap_or(0);
        let at = usize::from(action) % SLOTS;
        let what = usize::from(action) / SLOTS % 14;
        if what == 0 || self.slots[at].is_none() {
            let (how, many) = (next(), next());
            self.slots[at] = None;
            self.connect(at, how, many, usize::from(how >> 1 & 1)).await;
            return;
        }
        let (number, choice, how) = (next() % 6, next(), next());
        let id = NonZeroU16::new(u16::from(number)).unwrap_or(NonZeroU16::MIN);
        let messages = self.messages;
        let Some(walker) = self.slots[at].as_mut() else { return };
        let packet = match what {
            1..=4 => {
                self.messages += 1;
                walker.publish(messages, id, choice, how)
            }
            5 => walker.subscribe(id, choice, how),
            6 => {
                walker.owe(Owed::Unsuback(id.get()));
                let filters = vec![FILTERS[usize::from(choice) % FILTERS.len()].into()];
                Packet::Unsubscribe(Unsubscribe { packet_id: id, user: UserProperties::default(), filters })
            }
            7 => Packet::Puback(Ack::success(walker.pick(id, choice))),
            8 => {
                let id = walker.pick(id, choice);
                walker.owe(Owed::Pubrel(id.get()));
                if how % 4 == 0 {
                    Packet::Pubrec(Ack::because(id, Reason::QuotaExceeded))
                } else {
                    Packet::Pubrec(Ack::success(id))
                }
            }
            9 => Packet::Pubcomp(Ack::success(walker.pick(id, choice))),
            10 => {
                walker.owe(Owed::Pubcomp(id.get()));
                walker.exact.remove(&id.get());
                Packet::Pubrel(Ack::success(id))
            }
            11 => {
                walker.owe(Owed::Pingresp);
                Packet::Pingreq
            }
            12 if choice % 2 == 0 => Packet::Disconnect(Disconnect::because(match how % 3 {
                0 => Reason::DisconnectWithWill,
                _ => Reason::Success,
            })),
            // Gone without a word.
            12 => {
                self.slots[at] = None;
                return;
            }
            _ => {
                let _ = walker.stream.write_all(&[number, choice, how]).await;
                return;
            }
        };
        // What was acknowledged to the broker is not open any more.
        match &packet {
            Packet::Puback(ack) | Packet::Pubcomp(ack) => drop(walker.open.remove(&ack.packet_id.get())),
            Packet::Pubrec(ack) if ack.reason.is_error() => drop(walker.open.remove(&ack.packet_id.get())),
            _ => {}
        }
        walker.say(&packet).await;
    }

    async fn connect(&mut self, at: usize, how: u8, many: u8, name: usize) {
        let version = if how & 1 == 0 { Version::V5 } else { Version::V3 };
        let is_five = version == Version::V5;
        let receive_max = NonZeroU16::new(u16::from(many % 5)).filter(|_| is_five);
        let properties = ConnectProperties {
            session_expiry_s: (is_five && how & 4 != 0).then_some(60),
            receive_max,
            topic_alias_max: (is_five && how & 8 != 0).then_some(2),
            ..ConnectProperties::default()
        };
        let will = (how & 16 != 0).then(|| Will {
            qos: Qos::new(many % 3).unwrap(),
            retain: how & 64 != 0,
            topic: TOPICS[usize::from(many) % 3].into(),
            payload: u32::MAX.to_be_bytes().to_vec().into(),
            delay_s: (is_five && how & 128 != 0).then_some(1),
            properties: MessageProperties::default(),
        });
        let (mine, theirs) = tokio::io::duplex(SOCKET_BYTES);
        let broker = &self.brokers[at % self.brokers.len()];
        broker.receive_from(theirs, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))));
        let mut walker = Walker {
            stream: mine,
            decoder: Decoder::client(version, u32::MAX),
            buffer: BytesMut::new(),
            version,
            name,
            is_welcome: false,
            receive_max: receive_max.map_or(65_535, |most| usize::from(most.get())),
            open: BTreeMap::new(),
            heard: HashSet::new(),
            aliases: HashSet::new(),
            owed: HashMap::new(),
            exact: HashMap::new(),
        };
        let connect = Connect {
            version,
            clean_start: how & 32 != 0,
            keep_alive_s: 0,
            client_id: NAMES[name].into(),
            will,
            username: None,
            password: None,
            properties,
        };
        walker.say(&Packet::Connect(Box::new(connect))).await;
        self.slots[at] = Some(walker);
    }

    /// Hears everybody until nobody has anything to say.
    async fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for slot in &mut self.slots {
                let Some(walker) = slot else { continue };
                let read = tokio::select! {
                    biased;
                    read = walker.stream.read_buf(&mut walker.buffer) => Some(read),
                    () = all_tasks() => None,
                };
                match read {
                    None => continue,
                    Some(Ok(1..)) => quiet = false,
                    Some(_) => {
                        *slot = None;
                        quiet = false;
                        continue;
                    }
                }
                while let Some(packet) = walker.decoder.decode(&mut walker.buffer).unwrap() {
                    walker.hear(packet, &mut self.copies);
                }
            }
        }
    }

    async fn others_are_served(&mut self) {
        self.slots = Default::default();
        self.connect(0, 32, 0, 2).await;
        let Some(walker) = self.slots[0].as_mut() else { return };
        walker.await_that(|packet| matches!(packet, Packet::Connack(_))).await;
        let subscription = Subscription { filter: "served".into(), options: SubscriptionOptions::default() };
        let subscribe = Subscribe {
            packet_id: NonZeroU16::MIN,
            subscription_id: None,
            user: UserProperties::default(),
            subscriptions: vec![subscription],
        };
        walker.say(&Packet::Subscribe(subscribe)).await;
        walker.await_that(|packet| matches!(packet, Packet::Suback(_))).await;
        let publish = message("served", 0, Delivery::ExactlyOnce(NonZeroU16::MIN), false);
        walker.say(&Packet::Publish(publish)).await;
        walker.await_that(|packet| matches!(packet, Packet::Publish(publish) if &*publish.topic == "served")).await;
    }
}

async fn all_tasks() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

fn message(topic: &str, number: u32, delivery: Delivery, retain: bool) -> Publish {
    Publish {
        dup: false,
        retain,
        delivery,
        topic: topic.into(),
        topic_alias: None,
        subscription_ids: vec![],
        properties: MessageProperties::default(),
        payload: number.to_be_bytes().to_vec().into(),
    }
}

impl Walker {
    async fn say(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        if packet.encode(self.version, u32::MAX, &mut bytes).is_ok() {
            // It may be closed already.
            let _ = self.stream.write_all(&bytes).await;
        }
    }

    fn owe(&mut self, what: Owed) {
        *self.owed.entry(what).or_default() += 1;
    }

    fn is_owed(&mut self, what: Owed) {
        let left = self.owed.get_mut(&what).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("{what:?} was not asked for")) -= 1;
    }

    /// Mostly what is open, so that walks lead somewhere. Else what is over, or was never sent: an id that a message on its
    /// way may have would be acknowledged to the broker before it counts as open here.
    fn pick(&self, id: PacketId, choice: u8) -> PacketId {
        let open = self.open.keys().nth(usize::from(choice) % self.open.len().max(1));
        let other = if self.heard.contains(&id) { id } else { id.saturating_add(FAR_ID) };
        open.and_then(|id| NonZeroU16::new(*id)).filter(|_| choice < 200).unwrap_or(other)
    }

    fn publish(&mut self, number: u32, id: PacketId, choice: u8, how: u8) -> Packet {
        let topic = TOPICS[usize::from(choice) % TOPICS.len()];
        let (delivery, number) = match how % 3 {
            0 => (Delivery::AtMostOnce, number),
            1 => {
                self.owe(Owed::Puback(id.get()));
                (Delivery::AtLeastOnce(id), number)
            }
            _ => {
                self.owe(Owed::Pubrec(id.get()));
                // Under an id that is not released it is the same message again.
                (Delivery::ExactlyOnce(id), *self.exact.entry(id.get()).or_insert(number))
            }
        };
        Packet::Publish(message(topic, number, delivery, how & 64 != 0))
    }

    fn subscribe(&mut self, id: PacketId, choice: u8, how: u8) -> Packet {
        self.owe(Owed::Suback(id.get()));
        let filter = FILTERS[usize::from(choice) % FILTERS.len()];
        let is_five = self.version == Version::V5;
        let options = SubscriptionOptions {
            qos: Qos::new(how % 3).unwrap(),
            no_local: is_five && how & 16 != 0 && !filter.starts_with("$share"),
            retain_as_published: is_five && how & 32 != 0,
            retain_handling: match how >> 6 {
                1 if is_five => RetainHandling::SendIfNew,
                2 if is_five => RetainHandling::DoNotSend,
                _ => RetainHandling::Send,
            },
        };
        let subscription_id = (is_five && choice & 64 != 0).then_some(u32::from(choice));
        let subscriptions = vec![Subscription { filter: filter.into(), options }];
        Packet::Subscribe(Subscribe { packet_id: id, subscription_id, user: UserProperties::default(), subscriptions })
    }

    /// Nothing comes that was not asked for; no id is used twice; no more is open than was allowed; nobody gets more
    /// copies than subscriptions that may give one.
    fn hear(&mut self, packet: Packet, copies: &mut Copies) {
        match packet {
            Packet::Connack(_) => assert!(!std::mem::replace(&mut self.is_welcome, true), "welcome twice"),
            Packet::Puback(ack) => self.is_owed(Owed::Puback(ack.packet_id.get())),
            Packet::Pubrec(ack) => {
                if ack.reason.is_error() {
                    self.exact.remove(&ack.packet_id.get());
                }
                self.is_owed(Owed::Pubrec(ack.packet_id.get()));
            }
            Packet::Pubcomp(ack) => self.is_owed(Owed::Pubcomp(ack.packet_id.get())),
            Packet::Pubrel(ack) => {
                // Said again after a resumption, it is not asked for.
                if let Some(released) = self.open.get_mut(&ack.packet_id.get()) {
                    *released = true;
                    self.is_owed(Owed::Pubrel(ack.packet_id.get()));
                }
            }
            Packet::Suback(suback) => self.is_owed(Owed::Suback(suback.packet_id.get())),
            Packet::Unsuback(unsuback) => self.is_owed(Owed::Unsuback(unsuback.packet_id.get())),
            Packet::Pingresp => self.is_owed(Owed::Pingresp),
            Packet::Publish(publish) => self.hear_publish(&publish, copies),
            _ => {}
        }
    }

    fn hear_publish(&mut self, publish: &Publish, copies: &mut Copies) {
        match publish.topic_alias {
            None => assert!(!publish.topic.is_empty()),
            Some(alias) if publish.topic.is_empty() => assert!(self.aliases.contains(&alias)),
            Some(alias) => drop(self.aliases.insert(alias)),
        }
        if let Some(id) = publish.delivery.packet_id() {
            self.heard.insert(id);
            assert_eq!(self.open.insert(id.get(), false), None, "{id} is in use");
            assert!(self.open.len() <= self.receive_max, "more open than was allowed");
        }
        let Some(number) = publish.payload.first_chunk().map(|number| u32::from_be_bytes(*number)) else { return };
        if publish.retain || number == u32::MAX {
            return;
        }
        let (id, known) = (publish.delivery.packet_id(), copies.entry((self.name, number)).or_default());
        if id.is_none() || !known.contains(&id) {
            known.push(id);
        }
        assert!(known.len() <= 1 + SHARES, "message {number} came as {known:?}");
    }

    async fn await_that(&mut self, is_so: impl Fn(&Packet) -> bool) {
        let hear = async {
            loop {
                while let Some(packet) = self.decoder.decode(&mut self.buffer).unwrap() {
                    if is_so(&packet) {
                        return;
                    }
                }
                let read = self.stream.read_buf(&mut self.buffer).await;
                assert!(matches!(read, Ok(1..)), "the broker closed the connection");
            }
        };
        tokio::time::timeout(PATIENCE, hear).await.unwrap();
    }
}
