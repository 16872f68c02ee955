//! A gateway that runs: its broker for devices, its interface for consumers, its traffic, and what it tells the
//! orchestrator.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{client, client_from};
use super::clock::{GatewayClock, wall_ms};
use super::core::{GatewaySettings, Machine};
use super::limits::{CALLBACK_WAIT, ORCHESTRATOR_WAIT, PACKET_MAX_BYTES, STOP_WAIT};
use super::options::{GatewayOptions, OptionsError};
use super::runtime::{GatewayIdentity, Shared};
use super::server::{CountedStream, GatewayState, router};
use super::{generator, orchestrator};
use mqtt::codec::Qos;
use mqtt::{Broker, BrokerStartError, LocalClient, LocalClientError, Settings as BrokerSettings};

/// Why a gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// It is told something impossible.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// Its HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// Its broker does not start.
    #[error("the broker does not start: {0}")]
    Broker(#[from] BrokerStartError),
    /// Its broker does not let it in.
    #[error("the broker does not let the gateway in: {0}")]
    Devices(#[from] LocalClientError),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(std::io::Error),
}

/// A gateway with its addresses taken; nothing is answered yet.
pub struct Gateway {
    options: GatewayOptions,
    shared: Arc<Shared>,
    listener: TcpListener,
    mqtt_listener: TcpListener,
    mqtt_address: SocketAddr,
}

impl Gateway {
    /// Checks what it is told and takes its addresses.
    ///
    /// # Errors
    /// Either cannot be.
    pub async fn build(options: GatewayOptions) -> Result<Self, GatewayError> {
        options.check()?;
        let (listener, address) = listen(options.listen).await?;
        let (mqtt_listener, mqtt_address) = listen(options.mqtt_listen).await?;
        let instance = format!("{:016x}", RandomState::new().build_hasher().finish());
        let (url, source) = (options.public_url(address), options.source(address));
        let identity =
            GatewayIdentity { id: options.id.clone(), node: options.node.clone(), instance, address, url, source };
        let settings = GatewaySettings {
            node: options.node.clone(),
            buffer_bytes: options.buffer_bytes,
            fallback_bps: options.fallback_bps,
            policies: options.policies.iter().map(|own| (own.topic.clone(), own.policy)).collect(),
            policy: options.policy,
            // Nobody who knows an id from before a restart finds somebody else's subscription under it.
            first_id: wall_ms().saturating_mul(1_000),
        };
        let clock = GatewayClock::start();
        let machine = Machine::new(clock.now(), settings);
        let shared = Arc::new(Shared::new(identity, clock, machine, CancellationToken::new()));
        Ok(Self { options, shared, listener, mqtt_listener, mqtt_address })
    }

    /// Where consumers find it.
    pub fn address(&self) -> SocketAddr {
        self.shared.identity.address
    }

    /// Where devices find it.
    pub fn mqtt_address(&self) -> SocketAddr {
        self.mqtt_address
    }

    /// Runs until `stop` is cancelled.
    ///
    /// # Errors
    /// It cannot begin, or its listener breaks.
    pub async fn run(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let Self { options, shared, listener, mqtt_listener, .. } = self;
        let over = shared.stop.clone();
        let settings = BrokerSettings { packet_max_bytes: PACKET_MAX_BYTES, ..BrokerSettings::default() };
        let broker = Broker::embedded(settings).await?;
        let devices = broker.client("gateway").await?;
        devices.subscribe("#", Qos::AtLeastOnce).await?;
        let tasks = TaskTracker::new();
        tasks.spawn(take_in(Arc::clone(&shared), devices));
        tasks.spawn({
            let broker = broker.clone();
            async move { broker.listen(mqtt_listener).await }
        });
        for source in options.generate.clone() {
            tasks.spawn(generator::run(source, broker.clone(), over.clone()));
        }
        tasks.spawn({
            let shared = Arc::clone(&shared);
            async move { shared.dispatch().await }
        });
        if let Some(addresses) = options.addresses()? {
            let every = Duration::from_millis(options.report_every_ms);
            let short = client(Some(ORCHESTRATOR_WAIT))?;
            tasks.spawn(orchestrator::report(Arc::clone(&shared), short, addresses.clone(), every));
            tasks.spawn(orchestrator::follow(Arc::clone(&shared), client(None)?, addresses));
        }
        let callbacks = client_from(options.source, Some(CALLBACK_WAIT))?;
        let room = GatewayState { shared: Arc::clone(&shared), client: callbacks };
        let served = serve(listener, room, stop, over.clone()).await;
        over.cancel();
        tasks.close();
        let stopped = async {
            broker.stop().await;
            tasks.wait().await;
        };
        if tokio::time::timeout(STOP_WAIT, stopped).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        served.map_err(GatewayError::Serve)
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), GatewayError> {
    let failed = |error| GatewayError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let taken = listener.local_addr().map_err(failed)?;
    Ok((listener, taken))
}

/// Serves until `stop`; then streams end with `over`, and requests get a moment.
async fn serve(
    listener: TcpListener,
    room: GatewayState,
    stop: CancellationToken,
    over: CancellationToken,
) -> std::io::Result<()> {
    let stopping = stop.clone();
    let serving = axum::serve(listener, router(room).into_make_service_with_connect_info::<CountedStream>())
        .with_graceful_shutdown(async move {
            stopping.cancelled().await;
            over.cancel();
        });
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WAIT).await;
    };
    tokio::select! {
        served = serving => served,
        () = deadline => Ok(()),
    }
}

/// What devices say goes to the machine.
async fn take_in(shared: Arc<Shared>, mut devices: LocalClient) {
    loop {
        let message = tokio::select! {
            () = shared.stop.cancelled() => return,
            message = devices.next() => message,
        };
        let Some(message) = message else { return };
        // A copy: what is kept keeps no read buffer of the broker alive.
        let payload = Bytes::copy_from_slice(&message.payload);
        shared.tell(|machine, now| machine.offer(now, wall_ms(), &message.topic, payload));
    }
}
