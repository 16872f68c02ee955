//! A client that says exactly what a test wants said, and hears every packet.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::time::Duration;

use mqtt::codec::{
    Ack, ByteString, Bytes, BytesMut, Connack, Connect, ConnectProperties, Decoder, Delivery, Disconnect,
    MessageProperties, Packet, PacketId, Publish, Qos, Reason, Suback, Subscribe, Subscription, SubscriptionOptions,
    Unsubscribe, UserProperties, Version, Will,
};

/// Nothing that is awaited takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: Decoder,
    pub(crate) buffer: BytesMut,
    pub(crate) version: Version,
    pub(crate) next_id: u16,
    /// What came while an answer was awaited.
    pub(crate) aside: VecDeque<Packet>,
}

pub(crate) fn id(number: u16) -> PacketId {
    NonZeroU16::new(number).unwrap()
}

/// A CONNECT of version 5 that asks for nothing special.
pub(crate) fn connect(client_id: &str) -> Connect {
    Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_s: 0,
        client_id: ByteString::from(client_id),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// One that keeps its session for a minute.
pub(crate) fn lasting(client_id: &str) -> Connect {
    let properties = ConnectProperties { session_expiry_s: Some(60), ..ConnectProperties::default() };
    Connect { clean_start: false, properties, ..connect(client_id) }
}

pub(crate) fn will(topic: &str, payload: &'static str) -> Will {
    Will {
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: topic.into(),
        payload: Bytes::from_static(payload.as_bytes()),
        delay_s: None,
        properties: MessageProperties::default(),
    }
}

pub(crate) fn publish(topic: &str, payload: impl Into<Bytes>, delivery: Delivery) -> Publish {
    Publish {
        dup: false,
        retain: false,
        delivery,
        topic: topic.into(),
        topic_alias: None,
        subscription_ids: vec![],
        properties: MessageProperties::default(),
        payload: payload.into(),
    }
}

pub(crate) fn options(qos: Qos) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..SubscriptionOptions::default() }
}

impl Client {
    /// Connects and is welcome.
    pub(crate) fn enter(address: SocketAddr, connect: Connect) -> (Self, Connack) {
        let mut client = Self::open(address, connect.version);
        client.send(Packet::Connect(Box::new(connect)));
        let Packet::Connack(connack) = client.hear() else { panic!("no CONNACK") };
        (client, *connack)
    }

    /// Connects and does not care about the rest.
    pub(crate) fn new(address: SocketAddr, connect: Connect) -> Self {
        let (client, connack) = Self::enter(address, connect);
        assert_eq!(connack.reason, Reason::Success);
        client
    }

    /// Opens the connection only.
    pub(crate) fn open(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let decoder = Decoder::client(version, u32::MAX);
        Self { stream, decoder, buffer: BytesMut::new(), version, next_id: 1000, aside: VecDeque::new() }
    }

    pub(crate) fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.encode(self.version, u32::MAX, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next packet; `None`: the broker has closed the connection.
    pub(crate) fn listen(&mut self) -> Option<Packet> {
        self.aside.pop_front().or_else(|| self.read())
    }

    fn read(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(packet);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    pub(crate) fn hear(&mut self) -> Packet {
        self.listen().unwrap_or_else(|| panic!("the broker has closed the connection"))
    }

    /// The packet that answers, whatever else comes before it.
    fn answer<T>(&mut self, is_it: impl Fn(&Packet) -> Option<T>) -> T {
        loop {
            let packet = self.read().unwrap_or_else(|| panic!("the broker has closed the connection"));
            match is_it(&packet) {
                Some(answer) => return answer,
                None => self.aside.push_back(packet),
            }
        }
    }

    pub(crate) fn hear_publish(&mut self) -> Publish {
        match self.hear() {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} is no PUBLISH"),
        }
    }

    /// The next message as text, acknowledged.
    pub(crate) fn take(&mut self) -> String {
        let publish = self.hear_publish();
        self.acknowledge(&publish);
        String::from_utf8(publish.payload.to_vec()).unwrap()
    }

    /// Acknowledges a message to the end.
    pub(crate) fn acknowledge(&mut self, publish: &Publish) {
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => self.send(Packet::Puback(Ack::success(id))),
            Delivery::ExactlyOnce(id) => {
                self.send(Packet::Pubrec(Ack::success(id)));
                self.answer(|packet| (*packet == Packet::Pubrel(Ack::success(id))).then_some(()));
                self.send(Packet::Pubcomp(Ack::success(id)));
            }
        }
    }

    /// The connection ends, in version 5 for this reason.
    pub(crate) fn hear_end(&mut self, reason: Reason) {
        if self.version == Version::V5 {
            match self.listen() {
                Some(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason, reason),
                other => panic!("{other:?} is no DISCONNECT"),
            }
        }
        assert_eq!(self.listen(), None);
    }

    /// Nothing else has come: the answer to a ping is the next packet.
    pub(crate) fn hear_nothing(&mut self) {
        self.send(Packet::Pingreq);
        assert_eq!(self.hear(), Packet::Pingresp);
    }

    fn next_id(&mut self) -> PacketId {
        self.next_id += 1;
        id(self.next_id)
    }

    /// Subscribes to one filter; the answer.
    pub(crate) fn ask(&mut self, filter: &str, options: SubscriptionOptions, subscription_id: Option<u32>) -> Suback {
        let packet_id = self.next_id();
        let subscriptions = vec![Subscription { filter: filter.into(), options }];
        let user = UserProperties::default();
        self.send(Packet::Subscribe(Subscribe { packet_id, subscription_id, user, subscriptions }));
        self.answer(|packet| match packet {
            Packet::Suback(suback) if suback.packet_id == packet_id => Some(suback.clone()),
            _ => None,
        })
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: Qos) {
        assert_eq!(self.ask(filter, options(qos), None).reasons, [Reason::granted(qos)]);
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) -> Vec<Reason> {
        let (packet_id, user) = (self.next_id(), UserProperties::default());
        self.send(Packet::Unsubscribe(Unsubscribe { packet_id, user, filters: vec![filter.into()] }));
        self.answer(|packet| match packet {
            Packet::Unsuback(unsuback) if unsuback.packet_id == packet_id => Some(unsuback.reasons.clone()),
            _ => None,
        })
    }

    /// Publishes and awaits the whole exchange.
    pub(crate) fn say(&mut self, topic: &str, payload: impl Into<Bytes>, qos: Qos) {
        let id = self.next_id();
        let delivery = match qos {
            Qos::AtMostOnce => Delivery::AtMostOnce,
            Qos::AtLeastOnce => Delivery::AtLeastOnce(id),
            Qos::ExactlyOnce => Delivery::ExactlyOnce(id),
        };
        self.say_all(publish(topic, payload, delivery));
    }

    pub(crate) fn say_all(&mut self, publish: Publish) {
        let delivery = publish.delivery;
        self.send(Packet::Publish(publish));
        match delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => {
                let reason = self.answer(|packet| match packet {
                    Packet::Puback(ack) if ack.packet_id == id => Some(ack.reason),
                    _ => None,
                });
                assert!(!reason.is_error(), "{reason:?}");
            }
            Delivery::ExactlyOnce(id) => {
                let reason = self.answer(|packet| match packet {
                    Packet::Pubrec(ack) if ack.packet_id == id => Some(ack.reason),
                    _ => None,
                });
                assert!(!reason.is_error(), "{reason:?}");
                self.send(Packet::Pubrel(Ack::success(id)));
                self.answer(|packet| (*packet == Packet::Pubcomp(Ack::success(id))).then_some(()));
            }
        }
    }

    /// Says goodbye and waits until the broker has heard it.
    pub(crate) fn leave(mut self, reason: Reason, session_expiry_s: Option<u32>) {
        self.send(Packet::Disconnect(Disconnect { session_expiry_s, ..Disconnect::because(reason) }));
        assert_eq!(self.listen(), None);
    }

    /// Is gone without a word.
    pub(crate) fn vanish(self) {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

/// Two clients have found each other: what was subscribed before is known wherever `from` is connected. (Subscriptions
/// are told from replica to replica in one order.)
pub(crate) fn meet(from: &mut Client, to: &mut Client) {
    let topic = format!("meet/{}", to.stream.local_addr().unwrap().port());
    to.subscribe(&topic, Qos::AtMostOnce);
    to.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let begin = std::time::Instant::now();
    let mut sent = 0;
    let mut heard = 0;
    while heard == 0 {
        assert!(begin.elapsed() < PATIENCE, "they do not meet");
        from.say(&topic, "probe", Qos::AtMostOnce);
        sent += 1;
        heard += usize::from(to.hear_soon().is_some());
    }
    to.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // An end to the probes that are still on their way.
    from.say(&topic, "over", Qos::AtMostOnce);
    while to.take() != "over" {
        heard += 1;
        assert!(heard <= sent);
    }
    to.unsubscribe(&topic);
}

impl Client {
    /// The next packet, if it comes before the socket's patience ends.
    fn hear_soon(&mut self) -> Option<Packet> {
        if let Some(packet) = self.aside.pop_front() {
            return Some(packet);
        }
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(packet);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(count) if count > 0 => self.buffer.extend_from_slice(&bytes[..count]),
                Ok(_) => panic!("the broker has closed the connection"),
                Err(_) => return None,
            }
        }
    }
}
