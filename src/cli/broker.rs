//! `watermaster broker`: only the broker, one stateless replica over a shared store.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::access_args::AccessArguments;
use super::database_args::given_or_read;
use super::greeting;
use super::mqtt_args::MqttArguments;
use super::serve::stop_on_signal;
use crate::config::{ConfigError, ConfigFile, LogFormat, STORE_MEMORY, StoreDurability};
use crate::service::ServiceError;
use crate::service::replica::{BrokerReplica, OperatorConfig, ReplicaAddresses, ReplicaConfig};
use crate::telemetry;

/// The arguments of `watermaster broker`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The address to listen on for MQTT [default: 127.0.0.1:1883, or any free port if that is taken].
    #[arg(long, env = "WATERMASTER_MQTT_LISTEN")]
    mqtt_listen: Option<SocketAddr>,
    /// The address of /livez, /readyz and /metrics [default: none].
    #[arg(long, env = "WATERMASTER_LISTEN")]
    listen: Option<SocketAddr>,
    /// The store of sessions: `memory`, `sqlite://PATH`, `redis://…` or `redis+sentinel://…` [default: memory].
    #[arg(long, env = "WATERMASTER_STORE", hide_env_values = true, conflicts_with = "store_file")]
    store: Option<String>,
    /// A file that holds the URL of the store, for a secret that is mounted.
    #[arg(long, env = "WATERMASTER_STORE_FILE", value_name = "FILE")]
    store_file: Option<PathBuf>,
    /// A TOML file with the settings of MQTT (`[mqtt]`), of the store and its durability, public hosts, log format and time
    /// to drain, and who is known (`[access]`: an OpenID provider, clients' certificates); flags and variables overrule it.
    #[arg(long, env = "WATERMASTER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    mqtt: MqttArguments,
    /// The address of the REST interface for operators: clients, sessions, retained messages, /metrics [default: none].
    #[arg(long, env = "WATERMASTER_OPERATOR_LISTEN")]
    operator_listen: Option<SocketAddr>,
    /// A name under which that interface is asked from elsewhere; may be given again.
    #[arg(long = "public-host", env = "WATERMASTER_PUBLIC_HOST", value_delimiter = ',', value_name = "NAME")]
    public_hosts: Option<Vec<String>>,
    /// Who may use it; --insecure-no-authentication also lets --mqtt-anonymous always take clients from everywhere.
    #[command(flatten)]
    access: AccessArguments,
    /// When a message is acknowledged: once Redis has it, or once a replica of Redis has it too [default: async].
    #[arg(long, env = "WATERMASTER_DURABILITY")]
    durability: Option<StoreDurability>,
    /// How long a graceful stop may take, in milliseconds [default: 10000].
    #[arg(long, env = "WATERMASTER_DRAIN_MS")]
    drain_ms: Option<u64>,
    /// How logs are written [default: auto].
    #[arg(long, env = "WATERMASTER_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

/// How long a graceful stop may take, in milliseconds.
const DRAIN_MS: u64 = 10_000;

/// Why the broker cannot serve.
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

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// An address is wrong or taken.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let store = given_or_read(arguments.store.as_ref(), arguments.store_file.as_deref())?.map(Into::into);
    let given = ConfigFile { store, mqtt: (&arguments.mqtt).into(), ..ConfigFile::default() };
    let file = arguments.config.as_deref().map_or_else(|| Ok(ConfigFile::default()), ConfigFile::read)?;
    let given = given.over(ConfigFile::from_credentials()?).over(file);
    let mqtt_listen = arguments.mqtt_listen.or(given.mqtt_listen);
    let access = arguments.access.config()?.over(given.access);
    if !access.certificates.is_empty() && given.mqtt.client_authority.is_none() {
        return Err(ConfigError::NoMqttClientAuthority.into());
    }
    given.mqtt.check_anonymous(mqtt_listen, access.is_insecure())?;
    let public_hosts = arguments.public_hosts.clone().or(given.public_hosts.clone()).unwrap_or_default();
    access.check_admin_token()?;
    let operators = arguments.operator_listen.map(|listen| {
        let authentication = access.in_force_for_operators(listen)?;
        Ok::<_, ConfigError>(OperatorConfig { listen, authentication, public_hosts })
    });
    let _logging = telemetry::start_logging(arguments.log_format.or(given.log_format).unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let config = ReplicaConfig {
        mqtt_listen,
        listen: arguments.listen,
        operators: operators.transpose()?,
        store: given.store.unwrap_or_else(|| STORE_MEMORY.to_owned().into()),
        durability: arguments.durability.or(given.durability).unwrap_or_default().into(),
        doors: given.mqtt,
        access,
        drain: Duration::from_millis(arguments.drain_ms.or(given.drain_ms).unwrap_or(DRAIN_MS)),
    };
    runtime.block_on(async {
        let replica = BrokerReplica::build(&config).await?;
        let ReplicaAddresses { mqtt, probes, operators } = replica.addresses()?;
        let version = env!("CARGO_PKG_VERSION");
        let open = probes.map(|http| format!("  open   http://{http}/metrics\n")).unwrap_or_default();
        let rest = operators.map(|http| format!("  look   curl -s http://{http}/v1/broker/clients\n"));
        let rest = rest.unwrap_or_default();
        greeting(&format!(
            "Watermaster {version}, broker only.\n  mqtt   mqtt://{mqtt}\n{open}{rest}  stop   Ctrl-C\n"
        ));
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone())?);
        replica.run(stop).await?;
        Ok(())
    })
}
