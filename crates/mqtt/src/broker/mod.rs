//! A replica of the broker: its connections and their shared state.

mod connection;
mod client_handler;
mod accept;
mod match_cache;
mod replica;
mod intake;
mod local_client;
mod log_limit;
mod operator;
mod session_handle;
mod publish;
mod background;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use intake::Intake;
pub use local_client::{LocalClient, LocalClientError};
pub use operator::ClientStatus;
pub use session_handle::{ConnectionOrigin, ConnectionStatus};

use self::accept::ConnectionSource;
use super::address::{AddressRates, AddressSlot, AddressSlots};
use super::auth::Access;
use super::limits::{CLOSE_WAIT, RATE_BURST};
use super::message::unix_ms;
use super::metrics::{Metrics, RoutingSizes};
use super::settings::Settings;
use super::store::memory::Memory;
use super::store::redis::{Durability, RedisAddress, RedisAddressError, RedisStore};
#[cfg(feature = "sqlite")]
use super::store::sqlite::{Sqlite, SqliteError};
use super::store::{Store, StoreError};
use super::transport::{KnownPages, Tls, accept_websocket, read_proxy_header};
use connection::Stream;
use replica::Replica;

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerStartError {
    /// The store's address is invalid.
    #[error(transparent)]
    Address(#[from] RedisAddressError),
    /// The SQLite file cannot be used.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BrokerStartError {
    /// Whether it fails again until somebody changes the address of the store.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Address(_) => true,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(error) => matches!(error, SqliteError::Address(_)),
            Self::Store(_) => false,
        }
    }
}

/// The transport of a listener's connections.
#[derive(Clone)]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS.
    Tls(Arc<Tls>),
    /// WebSocket.
    WebSocket,
    /// WebSocket over TLS.
    SecureWebSocket(Arc<Tls>),
}

/// A replica of the broker.
#[derive(Clone)]
pub struct Broker {
    replica: Arc<Replica>,
    stop: CancellationToken,
    /// Ends after the last connection has.
    ended: CancellationToken,
    tasks: TaskTracker,
    background_tasks: TaskTracker,
    /// One permit for each socket whose CONNECT may still be awaited.
    connect_permits: Arc<Semaphore>,
    /// The same for each address.
    address_slots: Arc<AddressSlots>,
    accept_rates: Arc<AddressRates>,
}

/// The right to send CONNECT: a place among all sockets, and one among those of the address.
pub(crate) struct ConnectPermit {
    _all: OwnedSemaphorePermit,
    slot: Option<AddressSlot>,
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

    /// A replica on a SQLite file, which other replicas of this process may share.
    ///
    /// # Errors
    /// The file was closed by the last replica that stopped.
    #[cfg(feature = "sqlite")]
    pub async fn on_sqlite(file: &Sqlite, settings: Settings) -> Result<Self, BrokerStartError> {
        Ok(Self::start(Arc::new(file.replica()), settings).await?)
    }

    /// A replica on Redis, at `redis://…` or `redis+sentinel://…`.
    ///
    /// # Errors
    /// The address is invalid. Redis itself is waited for.
    pub async fn on_redis(url: &str, durability: Durability, settings: Settings) -> Result<Self, BrokerStartError> {
        let address = RedisAddress::parse(url)?;
        let settings = Settings { has_other_replicas: true, ..settings };
        Ok(Self::start(RedisStore::new(address, durability), settings).await?)
    }

    /// A replica on a store: other replicas know it when this returns.
    pub(crate) async fn start(store: Arc<dyn Store>, settings: Settings) -> Result<Self, StoreError> {
        let connect_permits = Arc::new(Semaphore::new(settings.connecting_max.min(Semaphore::MAX_PERMITS)));
        let address_slots = AddressSlots::new(settings.connecting_per_address_max);
        let accept_rates = Arc::new(AddressRates::new(settings.accept_rate_per_address_max, RATE_BURST));
        let replica = Arc::new(Replica::new(store, settings));
        replica.load_snapshot(replica.store.join(unix_ms()).await?);
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let background_tasks = TaskTracker::new();
        background_tasks.spawn(background::read_notices(Arc::clone(&replica), ended.clone()));
        background_tasks.spawn(background::sweep_store(Arc::clone(&replica), ended.clone()));
        background_tasks.spawn(background::publish_sys(Arc::clone(&replica), ended.clone()));
        let tasks = TaskTracker::new();
        Ok(Self { replica, stop, ended, tasks, background_tasks, connect_permits, address_slots, accept_rates })
    }

    /// The counters of this replica.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.replica.metrics)
    }

    /// Sizes of its routes.
    #[must_use]
    pub fn sizes(&self) -> RoutingSizes {
        self.replica.sizes()
    }

    /// Whether the store answers and the broker is not stopping.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.replica.store.is_available() && !self.stop.is_cancelled()
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
                    tokio::time::sleep(CLOSE_WAIT).await;
                }
            }
        }
    }

    fn receive_through(&self, stream: TcpStream, from: SocketAddr, through: &Transport) {
        // Each write is complete: Nagle's algorithm would only add latency.
        let _ = stream.set_nodelay(true);
        let is_proxied = self.replica.settings.proxy_protocol;
        // The address of a balancer is not that of its clients.
        let Some(permit) = self.connect_permit(Some(from).filter(|_| !is_proxied)) else { return };
        if !is_proxied && matches!(through, Transport::Tcp) {
            return self.receive(stream, ConnectionSource { address: Some(from), certificate: None }, permit);
        }
        let (broker, through) = (self.clone(), through.clone());
        self.tasks.spawn(async move {
            if let Err(error) = broker.shake_hands(stream, from, through, permit).await {
                broker.log_no_handshake(from, &*error);
            }
        });
    }

    /// What is wrong with a certificate is said here and not to the client.
    fn log_no_handshake(&self, from: SocketAddr, error: &(dyn std::error::Error + 'static)) {
        let Some(reason) = error.downcast_ref().and_then(Tls::refusal) else {
            return tracing::debug!(%from, %error, "no handshake");
        };
        self.replica.metrics.refused.add(1);
        if let Some(unlogged) = self.replica.refusal_log.admit(unix_ms()) {
            tracing::warn!(%from, reason, unlogged, "a client's certificate was refused");
        }
    }

    /// What comes before MQTT: the header of a balancer, TLS, WebSocket.
    async fn shake_hands(
        &self,
        mut stream: TcpStream,
        mut from: SocketAddr,
        through: Transport,
        mut permit: ConnectPermit,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let settings = &self.replica.settings;
        if settings.proxy_protocol {
            from = read_proxy_header(&mut stream, from).await?;
            permit.slot = self.address_slot(Some(from));
            if permit.slot.is_none() {
                self.replica.metrics.refused.add(1);
                return Ok(());
            }
        }
        let max_bytes = usize::try_from(settings.packet_max_bytes).unwrap_or(usize::MAX);
        let origins = &settings.websocket_origins;
        // A certificate shows that the name is the broker's own.
        let pages = |has_certificate| KnownPages { origins, trusts_names: has_certificate || !from.ip().is_loopback() };
        let plain = ConnectionSource { address: Some(from), certificate: None };
        match through {
            Transport::Tcp => self.receive(stream, plain, permit),
            Transport::Tls(tls) => {
                let stream = tls.accept(stream).await?;
                let certificate = Tls::client_certificate(&stream).map(Arc::from);
                self.receive(stream, ConnectionSource { certificate, ..plain }, permit);
            }
            Transport::WebSocket => {
                self.receive(accept_websocket(stream, max_bytes, pages(false)).await?, plain, permit);
            }
            Transport::SecureWebSocket(tls) => {
                let stream = tls.accept(stream).await?;
                let certificate = Tls::client_certificate(&stream).map(Arc::from);
                let stream = accept_websocket(stream, max_bytes, pages(true)).await?;
                self.receive(stream, ConnectionSource { certificate, ..plain }, permit);
            }
        }
        Ok(())
    }

    /// Serves a connection that came in some other way than through a listener. Without an address
    /// it counts as a connection inside this process.
    pub fn receive_from<S>(&self, stream: S, from: Option<SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(permit) = self.connect_permit(from) else { return };
        self.receive(stream, ConnectionSource { address: from, certificate: None }, permit);
    }

    /// `None`: too many sockets have not sent CONNECT yet, in all or of this address, or it opens them too fast.
    fn connect_permit(&self, from: Option<SocketAddr>) -> Option<ConnectPermit> {
        let all = Arc::clone(&self.connect_permits).try_acquire_owned().ok();
        let permit = all.zip(self.address_slot(from));
        self.replica.metrics.refused.add(u64::from(permit.is_none()));
        permit.map(|(all, slot)| ConnectPermit { _all: all, slot: Some(slot) })
    }

    fn address_slot(&self, from: Option<SocketAddr>) -> Option<AddressSlot> {
        if !self.accept_rates.admit(from, Instant::now()) {
            self.replica.metrics.accepts_too_fast.add(1);
            self.replica.warn_too_fast(from, "sockets");
            return None;
        }
        self.address_slots.take(from)
    }

    /// Serves a connection of any kind.
    fn receive(&self, stream: impl Stream, from: ConnectionSource, permit: ConnectPermit) {
        self.tasks.spawn(accept::serve_connection(Arc::clone(&self.replica), stream, from, permit, self.stop.clone()));
    }

    /// Applies new access rules: connected clients keep what they may still do, and lose what they may not.
    pub fn set_access(&self, access: Arc<Access>) {
        self.replica.set_access(access);
    }

    /// Has each connected client's rights looked at again: what the access policy says of it may be another now.
    pub fn recheck_rights(&self) {
        self.replica.recheck_rights();
    }

    /// A client inside this process.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn client(&self, name: &str) -> Result<LocalClient, LocalClientError> {
        LocalClient::connect(Arc::clone(&self.replica), name).await
    }

    /// Waits until the broker stops.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Stops: new connections are refused, present ones are sent to other replicas, and the lease ends.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.ended.cancel();
        let _ = self.replica.store.leave().await;
        self.background_tasks.close();
        self.background_tasks.wait().await;
    }
}
