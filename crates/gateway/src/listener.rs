//! The listener of the interface for consumers, plain or over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::either::Either;

use super::limits::HANDSHAKES_MAX;
use mqtt::transport::{RenewedTls, TlsStream};

/// The connection of a consumer.
pub(super) type ConsumerStream = Either<TcpStream, TlsStream<TcpStream>>;

/// Where the gateway is on the connection.
pub(super) fn own_address(stream: &ConsumerStream) -> Option<SocketAddr> {
    match stream {
        Either::Left(stream) => stream.local_addr(),
        Either::Right(stream) => stream.get_ref().0.local_addr(),
    }
    .ok()
}

/// Accepts the connections of consumers. A slow handshake holds up no other.
pub(super) struct ConsumerListener {
    listener: TcpListener,
    certificate: Option<Arc<RenewedTls>>,
    handshakes: JoinSet<(io::Result<TlsStream<TcpStream>>, SocketAddr)>,
}

impl ConsumerListener {
    pub(super) fn new(listener: TcpListener, certificate: Option<Arc<RenewedTls>>) -> Self {
        Self { listener, certificate, handshakes: JoinSet::new() }
    }
}

impl Listener for ConsumerListener {
    type Io = ConsumerStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (ConsumerStream, SocketAddr) {
        loop {
            let Some(certificate) = &self.certificate else {
                let (stream, there) = Listener::accept(&mut self.listener).await;
                return (Either::Left(stream), there);
            };
            tokio::select! {
                (stream, there) = Listener::accept(&mut self.listener), if self.handshakes.len() < HANDSHAKES_MAX => {
                    let tls = certificate.tls();
                    self.handshakes.spawn(async move { (tls.accept(stream).await, there) });
                }
                Some(done) = self.handshakes.join_next() => match done {
                    Ok((Ok(stream), there)) => return (Either::Right(stream), there),
                    Ok((Err(error), there)) => tracing::debug!(%error, %there, "no TLS handshake"),
                    Err(error) => tracing::error!(%error, "a handshake broke"),
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
