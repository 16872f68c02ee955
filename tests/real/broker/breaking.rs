//! The test client on connections that may break at any time.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mqtt::codec::{BytesMut, Connack, Connect, Decoder, Packet, Qos, Reason, Subscribe, Subscription, UserProperties};

use super::session::client::{Client, PATIENCE, id, options};

/// What came, or not.
#[derive(Debug)]
pub(crate) enum Next {
    Packet(Box<Packet>),
    Nothing,
    /// The connection is lost.
    Lost,
}

impl Client {
    /// Connects, unless nobody answers.
    pub(crate) fn try_enter(address: SocketAddr, connect: Connect) -> Option<(Self, Connack)> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).ok()?;
        let decoder = Decoder::client(connect.version, u32::MAX);
        let mut client = Self {
            stream,
            decoder,
            buffer: BytesMut::new(),
            version: connect.version,
            next_id: 1000,
            aside: VecDeque::new(),
        };
        if !client.try_send(&Packet::Connect(Box::new(connect))) {
            return None;
        }
        match client.next_within(PATIENCE) {
            Next::Packet(packet) => match *packet {
                Packet::Connack(connack) if connack.reason == Reason::Success => Some((client, *connack)),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn try_send(&mut self, packet: &Packet) -> bool {
        let mut bytes = BytesMut::new();
        packet.encode(self.version, u32::MAX, &mut bytes).unwrap();
        self.stream.write_all(&bytes).is_ok()
    }

    /// Subscribes, unless the connection is lost. What is not the answer is kept for later.
    pub(crate) fn try_subscribe(&mut self, filter: &str, qos: Qos) -> bool {
        let subscriptions = vec![Subscription { filter: filter.into(), options: options(qos) }];
        let (subscription_id, user) = (None, UserProperties::default());
        let packet = Packet::Subscribe(Subscribe { packet_id: id(1), subscription_id, user, subscriptions });
        if !self.try_send(&packet) {
            return false;
        }
        let mut before = VecDeque::new();
        loop {
            match self.next_within(PATIENCE) {
                Next::Packet(packet) if matches!(*packet, Packet::Suback(_)) => break,
                Next::Packet(packet) => before.push_back(*packet),
                Next::Nothing | Next::Lost => return false,
            }
        }
        self.aside = before;
        true
    }

    pub(crate) fn next_within(&mut self, patience: Duration) -> Next {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        if let Some(packet) = self.aside.pop_front() {
            return Next::Packet(Box::new(packet));
        }
        loop {
            match self.decoder.decode(&mut self.buffer) {
                Ok(Some(packet)) => return Next::Packet(Box::new(packet)),
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            let mut bytes = [0; 16_384];
            match self.stream.read(&mut bytes) {
                Ok(count) if count > 0 => self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    return Next::Nothing;
                }
                _ => return Next::Lost,
            }
        }
    }
}
