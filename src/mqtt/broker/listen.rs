//! Where connections come from: sockets, plain or through TLS or a WebSocket.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::Broker;
use crate::mqtt::limits::FAREWELL;
use crate::mqtt::transport::{Tls, accept_websocket};

/// What the connections of a listener come through.
#[derive(Clone)]
pub enum Entrance {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls(Tls),
    /// A WebSocket over TCP.
    WebSocket,
    /// A WebSocket over TLS.
    WebSocketTls(Tls),
}

impl Broker {
    /// Takes TCP connections until the broker stops.
    pub async fn listen(&self, listener: TcpListener) {
        self.listen_through(listener, Entrance::Tcp).await;
    }

    /// Takes connections until the broker stops.
    pub async fn listen_through(&self, listener: TcpListener, entrance: Entrance) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, from)) => self.welcome(stream, from, &entrance),
                Err(error) => {
                    // Too many open files, mostly: some have to close first.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(FAREWELL).await;
                }
            }
        }
    }

    fn welcome(&self, stream: TcpStream, from: SocketAddr, entrance: &Entrance) {
        // What is written is written whole: waiting for more would only add to the latency.
        let _ = stream.set_nodelay(true);
        match entrance {
            Entrance::Tcp => self.receive(stream, Some(from)),
            Entrance::WebSocket => {
                let broker = self.clone();
                self.tasks.spawn(async move { broker.receive_websocket(stream, from).await });
            }
            Entrance::Tls(tls) => {
                let (broker, tls) = (self.clone(), tls.clone());
                self.tasks.spawn(async move {
                    match tls.accept(stream).await {
                        Ok(stream) => broker.receive(stream, Some(from)),
                        Err(error) => tracing::debug!(%error, %from, "no TLS"),
                    }
                });
            }
            Entrance::WebSocketTls(tls) => {
                let (broker, tls) = (self.clone(), tls.clone());
                self.tasks.spawn(async move {
                    match tls.accept(stream).await {
                        Ok(stream) => broker.receive_websocket(stream, from).await,
                        Err(error) => tracing::debug!(%error, %from, "no TLS"),
                    }
                });
            }
        }
    }

    async fn receive_websocket<S>(&self, stream: S, from: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Several packets may stand in one message [MQTT-6.0.0-2].
        let message_max_bytes = usize::try_from(self.hub.settings.packet_max_bytes).unwrap_or(usize::MAX);
        match accept_websocket(stream, message_max_bytes).await {
            Ok(stream) => self.receive(stream, Some(from)),
            Err(error) => tracing::debug!(%error, %from, "no WebSocket"),
        }
    }
}
