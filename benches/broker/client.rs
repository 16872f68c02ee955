//! A client of the generator: our codec on a socket, reading and writing in as large pieces as there are.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use mqtt::codec::{
    Bytes, BytesMut, Connect, ConnectProperties, Decoder, Delivery, MessageProperties, PACKET_MAX_BYTES, Packet,
    Prepared, Publish, Qos, Subscribe, Subscription, SubscriptionOptions, UserProperties, Version,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::io::read_buf;

/// What is published, in bytes: as in the Nucleus paper.
pub(crate) const PAYLOAD_BYTES: usize = 79;

/// Packets that come in.
pub(crate) struct Reader {
    socket: OwnedReadHalf,
    decoder: Decoder,
    buffer: BytesMut,
}

impl Reader {
    /// The next packet; waits for it.
    pub(crate) async fn next(&mut self) -> Packet {
        loop {
            if let Some(packet) = self.take() {
                return packet;
            }
            self.fill().await;
        }
    }

    /// The next packet, if it is here.
    pub(crate) fn take(&mut self) -> Option<Packet> {
        self.decoder.decode(&mut self.buffer).expect("brokers speak MQTT")
    }

    /// Waits for more.
    pub(crate) async fn fill(&mut self) {
        self.buffer.reserve(64 * 1024);
        let count = read_buf(&mut self.socket, &mut self.buffer).await.expect("the broker is there");
        assert!(count > 0, "the broker closed the connection");
    }
}

/// Packets that go out.
pub(crate) struct Writer {
    socket: OwnedWriteHalf,
    pub(crate) out: BytesMut,
}

impl Writer {
    pub(crate) fn put(&mut self, packet: &Packet) {
        packet.encode(Version::V3, PACKET_MAX_BYTES, &mut self.out).expect("small packets");
    }

    pub(crate) async fn flush(&mut self) {
        self.socket.write_all(&self.out).await.expect("the broker is there");
        self.out.clear();
    }
}

/// Whether a session outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    Clean,
    Lasting,
}

/// Connects as a client of this name.
pub(crate) async fn connect(address: SocketAddr, name: &str, session: Session) -> (Reader, Writer) {
    let socket = TcpStream::connect(address).await.expect("the broker listens");
    socket.set_nodelay(true).expect("a socket");
    let (read, write) = socket.into_split();
    let decoder = Decoder::client(Version::V3, PACKET_MAX_BYTES);
    let mut reader = Reader { socket: read, decoder, buffer: BytesMut::new() };
    let mut writer = Writer { socket: write, out: BytesMut::new() };
    writer.put(&Packet::Connect(Box::new(Connect {
        version: Version::V3,
        clean_start: session == Session::Clean,
        keep_alive_s: 0,
        client_id: name.into(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    })));
    writer.flush().await;
    assert!(matches!(reader.next().await, Packet::Connack(_)));
    (reader, writer)
}

/// Connects and subscribes to one topic.
pub(crate) async fn subscriber(
    address: SocketAddr,
    name: &str,
    session: Session,
    topic: &str,
    qos: Qos,
) -> (Reader, Writer) {
    let (mut reader, mut writer) = connect(address, name, session).await;
    writer.put(&Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        subscription_id: None,
        user: UserProperties::default(),
        subscriptions: vec![Subscription {
            filter: topic.into(),
            options: SubscriptionOptions { qos, ..Default::default() },
        }],
    }));
    writer.flush().await;
    assert!(matches!(reader.next().await, Packet::Suback(_)));
    (reader, writer)
}

/// A PUBLISH, ready to be sent again and again; `mark` stands at the front of the payload.
pub(crate) fn publication(topic: &str, qos: Qos, mark: u64) -> Prepared {
    publication_of(topic, qos, mark, PAYLOAD_BYTES)
}

/// The same with a payload of this size.
pub(crate) fn publication_of(topic: &str, qos: Qos, mark: u64, payload_bytes: usize) -> Prepared {
    let mut payload = vec![b'x'; payload_bytes];
    payload[..8].copy_from_slice(&mark.to_be_bytes());
    let delivery = match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        _ => Delivery::AtLeastOnce(NonZeroU16::MIN),
    };
    let publish = Publish {
        dup: false,
        retain: false,
        delivery,
        topic: topic.into(),
        topic_alias: None,
        subscription_ids: vec![],
        properties: MessageProperties::default(),
        payload: Bytes::from(payload),
    };
    let mut prepared = Prepared::default();
    prepared.fill(&publish, Version::V3).expect("a small packet");
    prepared
}

/// The mark of a message.
pub(crate) fn mark(publish: &Publish) -> u64 {
    publish.payload.first_chunk().map_or(0, |mark| u64::from_be_bytes(*mark))
}
