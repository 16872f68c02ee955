//! `watermaster serve`: the service, on embedded defaults unless configured.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use super::access_args::AccessArguments;
use super::database_args::{DatabaseArguments, given_or_read};
use super::greeting;
use super::mqtt_args::MqttArguments;
use super::output::count;
use crate::config::{
    ClientCertificateDemand, Config, ConfigError, ConfigFile, HistoryConfig, JournalConfig, LogFormat, SchedulerConfig,
    SchedulerPolicyWord, Secret, StoreDurability,
};
use crate::service::{Service, ServiceError};
use crate::telemetry;

/// The arguments of `watermaster serve`.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// A TOML file; flags and environment overrule it.
    #[arg(long, env = "WATERMASTER_CONFIG")]
    config: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "WATERMASTER_LISTEN")]
    listen: Option<SocketAddr>,
    /// A name under which the service is asked from elsewhere, such as that of a proxy in front of it; may be given again.
    #[arg(long = "public-host", env = "WATERMASTER_PUBLIC_HOST", value_delimiter = ',', value_name = "NAME")]
    public_hosts: Option<Vec<String>>,
    /// The URL under which a proxy has the service, such as `https://net.example/watermaster/`.
    #[arg(long, env = "WATERMASTER_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// The certificate of the interface and its chain, in PEM; read again when it changes.
    #[arg(long, env = "WATERMASTER_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, env = "WATERMASTER_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The authorities, in PEM, that sign the certificates of clients: a client may show one; read again when it changes.
    #[arg(long, env = "WATERMASTER_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Whether clients have to show a certificate [default: optional].
    #[arg(long, env = "WATERMASTER_TLS_CLIENT_CERTIFICATES", value_name = "WHEN")]
    tls_client_certificates: Option<ClientCertificateDemand>,
    #[command(flatten)]
    access: AccessArguments,
    /// The address to listen on for MQTT [default: 127.0.0.1:1883, or any free port if that is taken].
    #[arg(long, env = "WATERMASTER_MQTT_LISTEN")]
    mqtt_listen: Option<SocketAddr>,
    /// Where MQTT sessions live: `memory`, `sqlite://PATH`, `redis://…` or `redis+sentinel://…` [default: `broker.sqlite`
    /// in the folder of data, `memory` without one].
    #[arg(long, env = "WATERMASTER_STORE", hide_env_values = true, conflicts_with = "store_file")]
    store: Option<String>,
    /// A file that holds the URL of the store, for a secret that is mounted.
    #[arg(long, env = "WATERMASTER_STORE_FILE", value_name = "FILE")]
    store_file: Option<PathBuf>,
    /// When an MQTT message is acknowledged, with Redis: `async` or `replicated` [default: async].
    #[arg(long, env = "WATERMASTER_DURABILITY")]
    durability: Option<StoreDurability>,
    #[command(flatten)]
    front_door: MqttArguments,
    #[command(flatten)]
    books: DatabaseArguments,
    /// How long PostgreSQL may take for a write, and a request may wait for its turn, in milliseconds [default: 5000].
    #[arg(long, env = "WATERMASTER_DATABASE_DEADLINE_MS")]
    database_deadline_ms: Option<u64>,
    /// How logs are written [default: auto].
    #[arg(long, env = "WATERMASTER_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// How long a graceful stop may take, in milliseconds [default: 10000].
    #[arg(long, env = "WATERMASTER_DRAIN_MS")]
    drain_ms: Option<u64>,
    /// After how long without a switch its links go into maintenance, so that traffic takes other paths, in milliseconds
    /// [default: 10000].
    #[arg(long, env = "WATERMASTER_LOST_SWITCH_MS")]
    lost_switch_ms: Option<u64>,
    /// How often what each switch holds is compared with what it should hold, in milliseconds [default: 1000]; over plain
    /// `ofctl_rest` half as often.
    #[arg(long, env = "WATERMASTER_AUDIT_MS", value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    audit_ms: Option<u64>,
    /// How long the traffic of a revertive allocation stays away from a path that failed at least, in milliseconds
    /// [default: 10000].
    #[arg(long, env = "WATERMASTER_WAIT_TO_RESTORE_MS")]
    wait_to_restore_ms: Option<u64>,
    /// How long before planned maintenance begins its links are left, in milliseconds [default: 60000].
    #[arg(long, env = "WATERMASTER_MAINTENANCE_LEAD_MS")]
    maintenance_lead_ms: Option<u64>,
    /// Who we are to SDN controllers that ask, such as ONOS.
    #[arg(long, env = "WATERMASTER_CONTROLLER_USERNAME")]
    controller_username: Option<String>,
    /// The password that goes with it; better given by the environment or the file.
    #[arg(long, env = "WATERMASTER_CONTROLLER_PASSWORD", hide_env_values = true)]
    controller_password: Option<String>,
    /// A file that holds that password.
    #[arg(
        long,
        env = "WATERMASTER_CONTROLLER_PASSWORD_FILE",
        value_name = "FILE",
        conflicts_with = "controller_password"
    )]
    controller_password_file: Option<PathBuf>,
    /// The URL of the only controller that user and password are sent to.
    #[arg(long, env = "WATERMASTER_CONTROLLER_URL", value_name = "URL")]
    controller_url: Option<String>,
    /// The networks that controllers may be in, such as 10.0.0.0/8,127.0.0.0/8 [default: all but the link itself].
    #[arg(long, env = "WATERMASTER_CONTROLLER_NETWORKS", value_delimiter = ',', value_name = "NETWORK")]
    controller_networks: Option<Vec<IpNet>>,
    /// How bandwidth is divided between aggregators [default: max-min].
    #[arg(long, env = "WATERMASTER_SCHEDULER_POLICY")]
    scheduler_policy: Option<SchedulerPolicyWord>,
    /// How often the scheduler acts, in milliseconds; 0: on each report [default: 0].
    #[arg(long, env = "WATERMASTER_SCHEDULER_INTERVAL_MS")]
    scheduler_interval_ms: Option<u64>,
    /// How old events may become before they are deleted, in milliseconds [default: for ever].
    #[arg(long, env = "WATERMASTER_JOURNAL_KEEP_MS")]
    journal_keep_ms: Option<u64>,
    /// How many of the newest events are kept [default: all].
    #[arg(long, env = "WATERMASTER_JOURNAL_KEEP_EVENTS")]
    journal_keep_events: Option<u64>,
    /// How long ended allocations are listed, in milliseconds [default: for ever].
    #[arg(long, env = "WATERMASTER_HISTORY_KEEP_MS")]
    history_keep_ms: Option<u64>,
}

/// Why it cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("bad configuration: {0}")]
    Config(#[from] ConfigError),
    /// The service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The runtime or standard output failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Arguments {
    /// What the environment says when there are no flags.
    pub fn from_environment() -> Self {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            arguments: Arguments,
        }
        <Alone as clap::Parser>::parse_from(["watermaster"]).arguments
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// The file is unreadable or wrong.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let said = ConfigFile {
            listen: self.listen,
            public_hosts: self.public_hosts.clone(),
            public_url: self.public_url.clone(),
            tls_certificate: self.tls_certificate.clone(),
            tls_key: self.tls_key.clone(),
            tls_client_ca: self.tls_client_ca.clone(),
            tls_client_certificates: self.tls_client_certificates,
            access: self.access.config()?,
            mqtt_listen: self.mqtt_listen,
            store: given_or_read(self.store.as_ref(), self.store_file.as_deref())?.map(Into::into),
            durability: self.durability,
            mqtt: (&self.front_door).into(),
            database_deadline_ms: self.database_deadline_ms,
            log_format: self.log_format,
            drain_ms: self.drain_ms,
            lost_switch_ms: self.lost_switch_ms,
            audit_ms: self.audit_ms,
            wait_to_restore_ms: self.wait_to_restore_ms,
            maintenance_lead_ms: self.maintenance_lead_ms,
            controller_username: self.controller_username.clone(),
            controller_password: given_or_read(
                self.controller_password.as_ref(),
                self.controller_password_file.as_deref(),
            )?
            .map(Secret),
            controller_url: self.controller_url.clone(),
            controller_networks: self.controller_networks.clone(),
            scheduler: SchedulerConfig {
                policy: self.scheduler_policy,
                interval_ms: self.scheduler_interval_ms,
                ..SchedulerConfig::default()
            },
            journal: JournalConfig { keep_ms: self.journal_keep_ms, keep_events: self.journal_keep_events },
            history: HistoryConfig { keep_ms: self.history_keep_ms },
            ..self.books.config()?
        };
        let file = self.config.as_deref().map_or_else(|| Ok(ConfigFile::default()), ConfigFile::read)?;
        said.over(ConfigFile::from_credentials()?).over(file).complete()
    }
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// The configuration, the database or the address is wrong.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let config = arguments.config()?;
    let _logging = telemetry::start_logging(config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let service = Service::build(&config).await?;
        greet(&service).await?;
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone())?);
        service.run(stop).await?;
        Ok(())
    });
    // A thread that works something out is not waited for.
    runtime.shutdown_background();
    served
}

/// Set by a parent process whose end is to end this one: standard input is a pipe then that closes when
/// they let go of it or are gone, however they went.
pub(super) const LIFELINE: &str = "WATERMASTER_LIFELINE";

/// A future that cancels `stop` at the first SIGINT or SIGTERM, or at the end of the parent process.
pub(super) fn stop_on_signal(stop: CancellationToken) -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    if std::env::var_os(LIFELINE).is_some() {
        let stop = stop.clone();
        // A thread of its own: the runtime would wait for a blocking read when it ends.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            stop.cancel();
        });
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    })
}

async fn greet(service: &Service) -> Result<(), Error> {
    let address = service.address()?;
    let (topologies, allocations) = service.counts().await;
    let (topologies, allocations) = (count(topologies, "topology"), count(allocations, "allocation"));
    let scheme = if service.is_encrypted() { "https" } else { "http" };
    let (version, mqtt) = (env!("CARGO_PKG_VERSION"), service.mqtt_address()?);
    greeting(&format!(
        "Watermaster {version} holds {topologies} and {allocations}.\n  \
         open   {scheme}://{address}/ (the dashboard), {scheme}://{address}/docs (the interface)\n  \
         try    curl -s {scheme}://{address}/v1/topologies\n  \
         admit  curl -s {scheme}://{address}/v1/allocations -H 'content-type: application/json' \\\n           \
         -d '{{\"topology\":\"nsfnet\",\"ingress\":\"WA\",\"egress\":\"NJ\",\"class_type\":1,\"bandwidth_bps\":100000000}}'\n  \
         mqtt   mqtt://{mqtt}\n  \
         stop   Ctrl-C\n"
    ));
    Ok(())
}
