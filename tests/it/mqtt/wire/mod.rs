//! The broker on the wire: bytes go into a socket, bytes come out.

mod edges;
mod hostile;
mod table;

use std::net::SocketAddr;

use mqtt::codec::{BytesMut, Decoder, Packet, Version};
use mqtt::{Broker, Settings, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::codec::notation::{PACKET_MAX_BYTES, bytes};

/// A broker of its own, behind this entrance.
async fn broker(settings: Settings, entrance: Transport) -> SocketAddr {
    let broker = Broker::embedded(settings).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { broker.listen_through(listener, entrance).await });
    address
}

async fn plain() -> SocketAddr {
    broker(Settings::default(), Transport::Tcp).await
}

/// A client that says bytes and hears packets.
struct Raw<S> {
    stream: S,
    decoder: Decoder,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    fn new(stream: S, version: Version) -> Raw<S> {
        Raw { stream, decoder: Decoder::client(version, PACKET_MAX_BYTES), buffer: BytesMut::new() }
    }

    /// Says a packet in the notation of the table.
    async fn say(&mut self, packet: &str) {
        self.say_bytes(&bytes(packet)).await;
    }

    /// The broker may have closed already.
    async fn say_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next packet; `None` when the broker has closed.
    async fn hear(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(packet);
            }
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Everything until the broker closes.
    async fn hear_bytes(&mut self) -> Vec<u8> {
        let mut all = vec![];
        let _ = self.stream.read_to_end(&mut all).await;
        all
    }

    async fn connect(&mut self, version: Version, name: &str) {
        match version {
            Version::V3 => self.say(&format!("10 \"MQTT\" 04 02 0000 \"{name}\"")).await,
            Version::V5 => self.say(&format!("10 \"MQTT\" 05 02 0000 {{}} \"{name}\"")).await,
        }
        assert!(matches!(self.hear().await, Some(Packet::Connack(_))), "{name}");
    }

    /// Whether the broker still answers.
    async fn is_served(&mut self) -> bool {
        self.say("C0").await;
        loop {
            match self.hear().await {
                Some(Packet::Pingresp) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }
}

async fn raw(address: SocketAddr, version: Version) -> Raw<TcpStream> {
    Raw::new(TcpStream::connect(address).await.unwrap(), version)
}
