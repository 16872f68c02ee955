//! A listener, plain or over TLS, HTTP/1.1 and HTTP/2. Whoever connects has a deadline for the handshake and for the head of
//! each request, and there are only so many of them, in all and from one address.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::unread_body;
use mqtt::address::client_address;
use mqtt::limits::open_files_max;
use mqtt::transport::{RenewedTls, Tls};

/// How long the head of a request may take, and how long a connection may be without one.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How many connections there are at once; of fewer files that the process may have open, half.
const CONNECTIONS_MAX: usize = 16_384;
/// How many of those are from one address that is not this machine's own; of fewer files, a quarter.
const CONNECTIONS_MAX_PER_ADDRESS: usize = 1_024;
/// How many requests one connection of HTTP/2 has under way.
const STREAMS_MAX: u32 = 256;
/// How often it is said that there are too many connections.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// How long the listener rests when the system has no more sockets.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A bound listener.
pub struct HttpListener {
    listener: TcpListener,
    certificate: Option<Arc<RenewedTls>>,
}

/// A connection that was accepted, its handshake done.
pub struct PeerConnection<'a> {
    /// The socket's own end; `None`: the system does not say.
    pub here: Option<SocketAddr>,
    /// The client's end.
    pub there: SocketAddr,
    /// Whether it is over TLS.
    pub is_encrypted: bool,
    /// The certificate that the client has shown, in DER.
    pub certificate: Option<&'a [u8]>,
}

impl HttpListener {
    /// Over TLS if there is a certificate, which is followed to its files.
    #[must_use]
    pub fn new(listener: TcpListener, certificate: Option<RenewedTls>) -> Self {
        Self { listener, certificate: certificate.map(Arc::new) }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.certificate.is_some()
    }

    /// Answers until `stop`, then lets the requests finish that are under way. Handlers find what `told` makes of the connection
    /// as [`ConnectInfo`].
    pub async fn serve<C>(
        self,
        router: Router,
        stop: CancellationToken,
        told: impl Fn(&PeerConnection<'_>) -> C + Clone + Send + 'static,
    ) where
        C: Clone + Send + Sync + 'static,
    {
        if let Some(certificate) = &self.certificate {
            tokio::spawn(Arc::clone(certificate).follow(stop.clone()));
        }
        let (graceful, slots) = (GracefulShutdown::new(), ConnectionSlots::within(open_files_max()));
        let mut warned: Option<Instant> = None;
        loop {
            let (stream, address) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_REST).await;
                        continue;
                    }
                },
                () = stop.cancelled() => break,
            };
            let Some(slot) = slots.take(address) else {
                if warned.is_none_or(|warned| warned.elapsed() > WARN_EVERY) {
                    warned = Some(Instant::now());
                    let (all_max, per_address_max) = (slots.0.all_max, slots.0.per_address_max);
                    tracing::warn!(%address, all_max, per_address_max, "too many connections");
                }
                continue;
            };
            let connection =
                AcceptedConnection { router: router.clone(), watcher: graceful.watcher(), slot, told: told.clone() };
            let certificate = self.certificate.as_ref().map(|certificate| certificate.tls());
            tokio::spawn(connection.answer(stream, address, certificate, stop.clone()));
        }
        drop(self.listener);
        graceful.shutdown().await;
    }
}

struct AcceptedConnection<F> {
    router: Router,
    watcher: Watcher,
    slot: ConnectionSlot,
    told: F,
}

impl<F> AcceptedConnection<F> {
    async fn answer<C>(self, stream: TcpStream, there: SocketAddr, tls: Option<Arc<Tls>>, stop: CancellationToken)
    where
        F: Fn(&PeerConnection<'_>) -> C,
        C: Clone + Send + Sync + 'static,
    {
        let _ = stream.set_nodelay(true);
        let here = stream.local_addr().ok();
        let mut peer = PeerConnection { here, there, is_encrypted: false, certificate: None };
        let Some(tls) = tls else {
            let told = (self.told)(&peer);
            return self.talk(stream, there, told).await;
        };
        // A handshake holds no stop up.
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok(stream) => {
                (peer.is_encrypted, peer.certificate) = (true, Tls::client_certificate(&stream));
                let told = (self.told)(&peer);
                self.talk(stream, there, told).await;
            }
            // What is wrong with a certificate is said here and not to the client.
            Err(error) => match Tls::refusal(&error) {
                Some(reason) => tracing::warn!(reason, address = %there, "a client's certificate was refused"),
                None => tracing::debug!(%error, address = %there, "no TLS handshake"),
            },
        }
    }

    async fn talk<C: Clone + Send + Sync + 'static>(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: SocketAddr,
        told: C,
    ) {
        let Self { router, watcher, slot, .. } = self;
        let has_begun = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&has_begun);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            begun.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ConnectInfo(told.clone()));
            let (request, unread) = unread_body::lend(request);
            let answered = router.clone().oneshot(request);
            async {
                let answer = answered.await.unwrap_or_else(|never| match never {});
                if let Some(unread) = unread {
                    unread.discard().await;
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
        let http2 = &mut builder.http2();
        http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).keep_alive_interval(HEAD_MAX);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let watched = watcher.watch(connection);
        // hyper has no deadline before it knows which HTTP it is.
        let silent = async {
            tokio::time::sleep(HEAD_MAX).await;
            if has_begun.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = watched => {
                if let Err(error) = ended {
                    tracing::debug!(%error, %address, "a connection broke");
                }
            }
            () = silent => tracing::debug!(%address, "no request came"),
        }
        drop(slot);
    }
}

/// How many connections there are.
#[derive(Clone)]
struct ConnectionSlots(Arc<SlotCounts>);

struct SlotCounts {
    all_max: usize,
    per_address_max: usize,
    all: AtomicUsize,
    by_address: Mutex<BTreeMap<IpAddr, usize>>,
}

/// The place of one connection.
struct ConnectionSlot {
    slots: ConnectionSlots,
    address: IpAddr,
}

impl ConnectionSlots {
    /// As many as so many files leave room for, so that silent connections do not take those of MQTT and the database.
    fn within(files: Option<usize>) -> Self {
        let files = files.unwrap_or(usize::MAX);
        Self(Arc::new(SlotCounts {
            all_max: CONNECTIONS_MAX.min(files / 2),
            per_address_max: CONNECTIONS_MAX_PER_ADDRESS.min(files / 4),
            all: AtomicUsize::new(0),
            by_address: Mutex::default(),
        }))
    }

    fn take(&self, from: SocketAddr) -> Option<ConnectionSlot> {
        let address = client_address(from);
        let mut by_address = self.0.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = by_address.get(&address).copied().unwrap_or(0);
        let is_full = !from.ip().to_canonical().is_loopback() && from_there >= self.0.per_address_max;
        if is_full || self.0.all.load(Ordering::Relaxed) >= self.0.all_max {
            return None;
        }
        self.0.all.fetch_add(1, Ordering::Relaxed);
        by_address.insert(address, from_there + 1);
        Some(ConnectionSlot { slots: self.clone(), address })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.0.all.fetch_sub(1, Ordering::Relaxed);
        let mut by_address = self.slots.0.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        match by_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(by_address.remove(&self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unread_body::UNREAD_MAX;
    use axum::http::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn one_address_does_not_take_every_connection() {
        let slots = ConnectionSlots::within(Some(40));
        let from = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let held = |of: &str| (0..100).map_while(|_| slots.take(from(of))).collect::<Vec<_>>();
        let bad = held("[2001:db8::1]:1");
        // The network of 64 bits is one customer's.
        assert_eq!((bad.len(), held("[2001:db8::2]:1").len()), (10, 0));
        let here = held("127.0.0.1:1");
        assert_eq!((here.len(), held("192.0.2.1:1").len()), (10, 0));
        drop((bad, here));
        assert_eq!(held("192.0.2.1:1").len(), 10);
        // This machine's own may have all that there is.
        assert_eq!(held("[::1]:1").len(), 20);
        let many = ConnectionSlots::within(None);
        assert_eq!((many.0.all_max, many.0.per_address_max), (CONNECTIONS_MAX, CONNECTIONS_MAX_PER_ADDRESS));
    }

    /// Sends the head of a request whose body nobody reads, and that body when it is asked to.
    async fn refused(head: &str, body: &str, wait: Duration) -> String {
        let listener = HttpListener::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), None);
        let address = listener.address().unwrap();
        let router = Router::new().fallback(|| async { StatusCode::FORBIDDEN });
        let stop = CancellationToken::new();
        let served = tokio::spawn(listener.serve(router, stop.clone(), |_| ()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(format!("{head}\r\nhost: here\r\n\r\n").as_bytes()).await.unwrap();
        tokio::time::sleep(wait).await;
        client.write_all(body.as_bytes()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answers = String::new();
        let _ = client.read_to_string(&mut answers).await;
        stop.cancel();
        served.await.unwrap();
        answers
    }

    #[tokio::test]
    async fn who_is_refused_while_sending_hears_so_and_keeps_the_connection() {
        let sized = "POST / HTTP/1.1\r\ncontent-length: 5";
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked";
        for (head, body) in [(sized, "12345"), (chunked, "5\r\n12345\r\n0\r\n\r\n")] {
            let answers = refused(head, body, Duration::from_millis(50)).await;
            assert_eq!(answers.matches("403 Forbidden").count(), 2, "{answers}");
        }
    }

    #[tokio::test]
    async fn who_never_sends_a_body_is_refused_all_the_same() {
        let answers = refused("POST / HTTP/1.1\r\ncontent-length: 5", "", 2 * UNREAD_MAX).await;
        assert_eq!(answers.matches("403 Forbidden").count(), 1, "{answers}");
    }

    #[tokio::test]
    async fn who_waits_to_be_asked_for_a_body_is_not_asked() {
        let expecting = "POST / HTTP/1.1\r\ncontent-length: 5\r\nexpect: 100-continue";
        let answers = refused(expecting, "", Duration::ZERO).await;
        assert!(answers.starts_with("HTTP/1.1 403 Forbidden") && !answers.contains("100 Continue"), "{answers}");
    }
}
