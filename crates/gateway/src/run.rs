//! A running gateway: its broker for devices, its interface for consumers, its built-in traffic, and the exchange with the
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
use super::core::{GatewayCore, GatewaySettings};
use super::limits::{CALLBACK_WAIT, ORCHESTRATOR_WAIT, PACKET_MAX_BYTES, STOP_WAIT};
use super::options::{GatewayOptions, OptionsError};
use super::runtime::{GatewayIdentity, Runtime};
use super::server::{CountedStream, GatewayState, router};
use super::{generator, orchestrator};
use mqtt::codec::Qos;
use mqtt::{
    Broker, BrokerStartError, LocalClient, LocalClientError, Settings as BrokerSettings, Sqlite, SqliteAddress,
    Synchronous,
};

/// The file of the sessions of devices, in the folder of data.
const BROKER_FILE: &str = "broker.sqlite";

/// Why a gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Its options are invalid.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        error: std::io::Error,
    },
    /// Its HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// Its broker does not start.
    #[error("the broker does not start: {0}")]
    Broker(#[from] BrokerStartError),
    /// Its broker refuses it as a client.
    #[error("the broker refuses the gateway: {0}")]
    Devices(#[from] LocalClientError),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(std::io::Error),
}

/// A gateway with its addresses bound; nothing is answered yet.
pub struct Gateway {
    options: GatewayOptions,
    runtime: Arc<Runtime>,
    listener: TcpListener,
    mqtt_listener: TcpListener,
    mqtt_address: SocketAddr,
}

impl Gateway {
    /// Checks the options and binds the addresses.
    ///
    /// # Errors
    /// An option is invalid, or an address cannot be bound.
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
            // An id from before a restart never leads to another consumer's subscription.
            first_id: wall_ms().saturating_mul(1_000),
        };
        let clock = GatewayClock::start();
        let core = GatewayCore::new(clock.now(), settings);
        let runtime = Arc::new(Runtime::new(identity, clock, core, CancellationToken::new()));
        Ok(Self { options, runtime, listener, mqtt_listener, mqtt_address })
    }

    /// The address of the interface for consumers.
    pub fn address(&self) -> SocketAddr {
        self.runtime.identity.address
    }

    /// The address of the broker for devices.
    pub fn mqtt_address(&self) -> SocketAddr {
        self.mqtt_address
    }

    /// Runs until `stop` is cancelled.
    ///
    /// # Errors
    /// It cannot begin, or its listener breaks.
    pub async fn run(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let Self { options, runtime, listener, mqtt_listener, .. } = self;
        let over = runtime.stop.clone();
        let settings = BrokerSettings { packet_max_bytes: PACKET_MAX_BYTES, ..BrokerSettings::default() };
        let broker = match &options.data {
            None => Broker::embedded(settings).await?,
            Some(folder) => {
                let path = folder.join(BROKER_FILE);
                let address = SqliteAddress { path, synchronous: Synchronous::default() };
                let file = Sqlite::open(&address).await.map_err(BrokerStartError::from)?;
                Broker::on_sqlite(&file, settings).await?
            }
        };
        let devices = broker.client("gateway").await?;
        devices.subscribe("#", Qos::AtLeastOnce).await?;
        let tasks = TaskTracker::new();
        tasks.spawn(ingest(Arc::clone(&runtime), devices));
        tasks.spawn({
            let broker = broker.clone();
            async move { broker.listen(mqtt_listener).await }
        });
        for source in options.generate.clone() {
            tasks.spawn(generator::run(source, broker.clone(), over.clone()));
        }
        tasks.spawn({
            let runtime = Arc::clone(&runtime);
            async move { runtime.dispatch().await }
        });
        if let Some(urls) = options.orchestrator_urls()? {
            let every = Duration::from_millis(options.report_every_ms);
            let short = client(Some(ORCHESTRATOR_WAIT))?;
            tasks.spawn(orchestrator::run_reports(Arc::clone(&runtime), short, urls.clone(), every));
            tasks.spawn(orchestrator::follow_rates(Arc::clone(&runtime), client(None)?, urls));
        }
        let callbacks = client_from(options.source, Some(CALLBACK_WAIT))?;
        let state = GatewayState { runtime: Arc::clone(&runtime), client: callbacks };
        let served = serve(listener, state, stop, over.clone()).await;
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
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until `stop`; then streams end with `over`, and requests get a moment.
async fn serve(
    listener: TcpListener,
    state: GatewayState,
    stop: CancellationToken,
    over: CancellationToken,
) -> std::io::Result<()> {
    let stopping = stop.clone();
    let serving = axum::serve(listener, router(state).into_make_service_with_connect_info::<CountedStream>())
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

/// Messages of devices go to the core.
async fn ingest(runtime: Arc<Runtime>, mut devices: LocalClient) {
    loop {
        let message = tokio::select! {
            () = runtime.stop.cancelled() => return,
            message = devices.next() => message,
        };
        let Some(message) = message else { return };
        // A copy: what is kept keeps no read buffer of the broker alive.
        let payload = Bytes::copy_from_slice(&message.payload);
        runtime.update(|core, now| core.offer(now, wall_ms(), &message.topic, payload));
    }
}
