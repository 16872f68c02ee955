//! A running gateway: its broker for devices, its interface for consumers, its built-in traffic, and the exchange with the
//! orchestrator.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{CallbackClients, SourceAddresses, client};
use super::clock::{GatewayClock, wall_ms};
use super::core::{GatewayCore, GatewaySettings};
use super::generator;
use super::intake::DeviceIntake;
use super::limits::{ORCHESTRATOR_WAIT, PACKET_MAX_BYTES, STOP_WAIT};
use super::options::{GatewayOptions, OptionsError};
use super::orchestrator::{HttpReports, OrchestratorEndpoint, ReportTransport, connect, follow_rates, run_reports};
use super::runtime::{GatewayIdentity, Runtime};
use super::server::{CountedStream, GatewayState, router};
use super::spool::{Spool, SpoolError, SpoolFile, SpoolWriter};
use mqtt::transport::TlsError;
use mqtt::{Broker, BrokerStartError, Settings as BrokerSettings, Sqlite, SqliteAddress};
use web::HttpListener;

/// The file of the sessions of devices, in the folder of data. Its lock holds for the folder.
const BROKER_FILE: &str = "broker.sqlite";
/// The file of messages, subscriptions and last values.
const SPOOL_FILE: &str = "spool.sqlite";

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
    /// TLS to the orchestrator's broker cannot be set up.
    #[error("TLS to the orchestrator's broker cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The certificate of its interface cannot be used.
    #[error("the certificate of the interface cannot be used: {0}")]
    Certificate(#[from] TlsError),
    /// Its broker does not start.
    #[error("the broker does not start: {0}")]
    Broker(#[from] BrokerStartError),
    /// Its spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// A gateway with its addresses bound; nothing is answered yet.
pub struct Gateway {
    options: GatewayOptions,
    runtime: Arc<Runtime>,
    listener: HttpListener,
    mqtt_listener: TcpListener,
    mqtt_address: SocketAddr,
    kept: Option<KeptData>,
}

/// The files of a gateway with a folder of data.
struct KeptData {
    broker_file: Sqlite,
    writer: SpoolWriter,
}

impl Gateway {
    /// Checks the options and binds the addresses.
    ///
    /// # Errors
    /// An option is invalid, or an address cannot be bound.
    pub async fn build(options: GatewayOptions) -> Result<Self, GatewayError> {
        options.check()?;
        let certificate = options.tls().transpose()?;
        let (listener, address) = listen(options.listen).await?;
        let listener = HttpListener::new(listener, certificate);
        let (mqtt_listener, mqtt_address) = listen(options.mqtt_listen).await?;
        let clock = GatewayClock::start();
        let mut core = GatewayCore::new(clock.now(), settings(&options));
        let mut instance = format!("{:016x}", RandomState::new().build_hasher().finish());
        let (mut kept, mut spool) = (None, None);
        if let Some(folder) = &options.data {
            let (path, synchronous) = (folder.join(BROKER_FILE), options.data_sync.into());
            let broker_file =
                Sqlite::open(&SqliteAddress { path, synchronous }).await.map_err(BrokerStartError::from)?;
            let file = SpoolFile::open(folder.join(SPOOL_FILE), synchronous, instance).await?;
            instance = file.instance.clone();
            let (opened, writer) = Spool::load(file, clock.now(), &mut core).await?;
            (kept, spool) = (Some(KeptData { broker_file, writer }), Some(opened));
        }
        let (url, sources) = (options.public_url(address), options.sources(address));
        let identity =
            GatewayIdentity { id: options.id.clone(), node: options.node.clone(), instance, address, url, sources };
        let runtime = Arc::new(Runtime::new(identity, clock, core, spool));
        Ok(Self { options, runtime, listener, mqtt_listener, mqtt_address, kept })
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
    /// It cannot begin.
    pub async fn run(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let Self { options, runtime, listener, mqtt_listener, kept, .. } = self;
        let over = runtime.stop.clone();
        let tasks = TaskTracker::new();
        let settings = BrokerSettings { packet_max_bytes: PACKET_MAX_BYTES, ..BrokerSettings::default() };
        let broker = match kept {
            None => Broker::embedded(settings).await?,
            Some(KeptData { broker_file, writer }) => {
                tasks.spawn(writer.run(Arc::clone(&runtime)));
                Broker::on_sqlite(&broker_file, settings).await?
            }
        };
        broker.set_intake(Arc::new(DeviceIntake(Arc::clone(&runtime))));
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
        if let Some(endpoint) = options.orchestrator_endpoint()? {
            let every = Duration::from_millis(options.report_every_ms);
            let transport = match endpoint {
                OrchestratorEndpoint::Http(urls) => {
                    let reports =
                        Box::new(HttpReports { client: client(Some(ORCHESTRATOR_WAIT))?, urls: urls.clone() });
                    tasks.spawn(follow_rates(Arc::clone(&runtime), client(None)?, urls));
                    ReportTransport::Http(reports)
                }
                OrchestratorEndpoint::Broker(broker) => {
                    let (reports, session) = connect(&runtime.identity, &broker)?;
                    tasks.spawn(session.run(Arc::clone(&runtime)));
                    ReportTransport::Mqtt(reports)
                }
            };
            tasks.spawn(run_reports(Arc::clone(&runtime), transport, every));
        }
        let callbacks = CallbackClients::from(SourceAddresses { ipv4: options.source, ipv6: options.ipv6_source })?;
        let own_hosts = options.own_hosts(runtime.identity.address);
        let state =
            GatewayState { runtime: Arc::clone(&runtime), own_hosts, clients: callbacks, broker: broker.clone() };
        for id in runtime.read(|core, _| core.subscriptions().map(|found| found.id).collect::<Vec<_>>()) {
            state.start_callback(id);
        }
        serve(listener, state, stop, &over).await;
        over.cancel();
        tasks.close();
        let stopped = async {
            broker.stop().await;
            if let Some(spool) = &runtime.spool {
                spool.close();
            }
            tasks.wait().await;
        };
        if tokio::time::timeout(STOP_WAIT, stopped).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        Ok(())
    }
}

fn settings(options: &GatewayOptions) -> GatewaySettings {
    GatewaySettings {
        node: options.node.clone(),
        buffer_bytes: options.buffer_bytes,
        fallback_bps: options.fallback_bps,
        policies: options.policy_document(),
        // An id from before a restart never leads to another consumer's subscription.
        first_id: wall_ms().saturating_mul(1_000),
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), GatewayError> {
    let failed = |error| GatewayError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until `stop`; then streams end with `over`, and requests get a moment.
async fn serve(listener: HttpListener, state: GatewayState, stop: CancellationToken, over: &CancellationToken) {
    let serving = listener.serve(router(state), stop.clone(), CountedStream::of);
    let ending = async {
        stop.cancelled().await;
        over.cancel();
        tokio::time::sleep(STOP_WAIT).await;
    };
    tokio::select! {
        () = serving => {}
        () = ending => {}
    }
}
