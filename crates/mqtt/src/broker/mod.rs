//! A replica of the broker: its connections, and what they share.

mod connection;
mod client_handler;
mod accept;
mod replica;
mod local_client;
mod session_handle;
mod publish;
mod background;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use local_client::{InsideClient, InsideError};
pub use replica::Sizes;

use super::limits::FAREWELL;
use super::message::unix_ms;
use super::metrics::Metrics;
use super::settings::Settings;
use super::store::memory::Memory;
use super::store::redis::{Durability, RedisAddress, RedisAddressError, RedisStore};
use super::store::{Store, StoreError};
use super::transport::{Tls, accept_websocket};
use connection::Stream;
use replica::Hub;

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerStartError {
    /// The store's address is none.
    #[error(transparent)]
    Address(#[from] RedisAddressError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What connections come through.
#[derive(Clone)]
pub enum Transport {
    /// Nothing else.
    Tcp,
    /// TLS.
    Tls(Arc<Tls>),
    /// WebSocket.
    WebSocket,
    /// Both.
    SecureWebSocket(Arc<Tls>),
}

/// A replica of the broker.
#[derive(Clone)]
pub struct Broker {
    hub: Arc<Hub>,
    stop: CancellationToken,
    /// Ends after the last connection has.
    over: CancellationToken,
    tasks: TaskTracker,
    rounds: TaskTracker,
    /// One permit for each socket whose CONNECT may still be awaited.
    waiting_room: Arc<Semaphore>,
}

impl Broker {
    /// A broker that keeps everything in this process.
    ///
    /// # Errors
    /// Never in fact: memory answers.
    pub async fn embedded(settings: Settings) -> Result<Self, BrokerStartError> {
        Self::in_memory(&Memory::default(), settings).await
    }

    /// A replica on memory that other replicas of this process share.
    ///
    /// # Errors
    /// Never in fact: memory answers.
    pub async fn in_memory(memory: &Memory, settings: Settings) -> Result<Self, BrokerStartError> {
        Ok(Self::start(Arc::new(memory.replica()), settings).await?)
    }

    /// A replica on Redis, at `redis://…` or `redis+sentinel://…`.
    ///
    /// # Errors
    /// The address is none. Redis itself is waited for.
    pub async fn on_redis(url: &str, durability: Durability, settings: Settings) -> Result<Self, BrokerStartError> {
        let address = RedisAddress::parse(url)?;
        let settings = Settings { has_others: true, ..settings };
        Ok(Self::start(RedisStore::new(address, durability), settings).await?)
    }

    /// A replica on a store: known to the others when this returns.
    pub(crate) async fn start(store: Arc<dyn Store>, settings: Settings) -> Result<Self, StoreError> {
        let waiting_room = Arc::new(Semaphore::new(settings.connecting_max.min(Semaphore::MAX_PERMITS)));
        let hub = Arc::new(Hub::new(store, settings));
        hub.learn(hub.store.join(unix_ms()).await?);
        let (stop, over) = (CancellationToken::new(), CancellationToken::new());
        let rounds = TaskTracker::new();
        rounds.spawn(background::listen(Arc::clone(&hub), over.clone()));
        rounds.spawn(background::sweep(Arc::clone(&hub), over.clone()));
        rounds.spawn(background::tell_sys(Arc::clone(&hub), over.clone()));
        Ok(Self { hub, stop, over, tasks: TaskTracker::new(), rounds, waiting_room })
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.hub.metrics)
    }

    /// How much it knows of.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.hub.sizes()
    }

    /// Whether the store answers and nobody has asked to stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.hub.store.is_well() && !self.stop.is_cancelled()
    }

    /// Takes plain connections until the broker stops.
    pub async fn listen(&self, listener: TcpListener) {
        self.listen_through(listener, Transport::Tcp).await;
    }

    /// Takes connections of any kind until the broker stops.
    pub async fn listen_through(&self, listener: TcpListener, through: Transport) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, from)) => self.receive_through(stream, from, &through),
                Err(error) => {
                    // Too many open files, mostly: some have to close first.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(FAREWELL).await;
                }
            }
        }
    }

    fn receive_through(&self, stream: TcpStream, from: SocketAddr, through: &Transport) {
        // What is written is written whole: waiting for more would only add to the latency.
        let _ = stream.set_nodelay(true);
        let max_bytes = usize::try_from(self.hub.settings.packet_max_bytes).unwrap_or(usize::MAX);
        let Some(seat) = self.seat() else { return };
        let broker = self.clone();
        match through.clone() {
            Transport::Tcp => self.receive(stream, Some(from), seat),
            Transport::Tls(tls) => {
                self.tasks.spawn(async move {
                    match tls.accept(stream).await {
                        Ok(stream) => broker.receive(stream, Some(from), seat),
                        Err(error) => tracing::debug!(%from, %error, "no TLS"),
                    }
                });
            }
            Transport::WebSocket => {
                self.tasks.spawn(async move {
                    match accept_websocket(stream, max_bytes).await {
                        Ok(stream) => broker.receive(stream, Some(from), seat),
                        Err(error) => tracing::debug!(%from, %error, "no WebSocket"),
                    }
                });
            }
            Transport::SecureWebSocket(tls) => {
                self.tasks.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    match accept_websocket(stream, max_bytes).await {
                        Ok(stream) => broker.receive(stream, Some(from), seat),
                        Err(error) => tracing::debug!(%from, %error, "no WebSocket"),
                    }
                });
            }
        }
    }

    /// Serves a connection that came in some other way than through a listener. Without an address to come from it is
    /// a stranger.
    pub fn receive_from<S>(&self, stream: S, from: Option<SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(seat) = self.seat() else { return };
        self.receive(stream, from, seat);
    }

    /// `None`: too many have not said CONNECT yet.
    fn seat(&self) -> Option<OwnedSemaphorePermit> {
        let seat = Arc::clone(&self.waiting_room).try_acquire_owned().ok();
        self.hub.metrics.refused.add(u64::from(seat.is_none()));
        seat
    }

    /// Serves a connection of any kind.
    fn receive(&self, stream: impl Stream, from: Option<SocketAddr>, seat: OwnedSemaphorePermit) {
        self.tasks.spawn(accept::receive(Arc::clone(&self.hub), stream, from, seat, self.stop.clone()));
    }

    /// A client inside this process.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn client(&self, name: &str) -> Result<InsideClient, InsideError> {
        InsideClient::enter(Arc::clone(&self.hub), name).await
    }

    /// Stops: nobody new comes in, who is here is sent elsewhere, and the lease is given up.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.over.cancel();
        let _ = self.hub.store.leave().await;
        self.rounds.close();
        self.rounds.wait().await;
    }
}
