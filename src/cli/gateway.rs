//! `watermaster gateway`: an IoTGW-Ag aggregator.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args};
use tokio_util::sync::CancellationToken;

use super::greeting;
use super::serve::stop_on_signal;
use crate::config::LogFormat;
use crate::telemetry;
use api::gateway::OverflowPolicy;
use api::qos_level::{Level, LevelError};
use gateway::generator::SourceSpec;
use gateway::options::{DataSync, GatewayOptions, OptionsError, TopicPolicy};
use gateway::{Gateway, GatewayError};

/// A topic filter with a QoS level.
#[derive(Clone, Debug)]
struct TopicLevel {
    filter: String,
    level: Level,
}

impl FromStr for TopicLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (filter, level) = text.rsplit_once('=').ok_or("give a topic filter and a level, as plant/+/pressure=2")?;
        let level = level.parse::<u8>().map_err(|error| error.to_string())?;
        Ok(Self { filter: filter.to_owned(), level: level.try_into().map_err(|error: LevelError| error.to_string())? })
    }
}

/// The arguments of `watermaster gateway`.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// A TOML file; flags and environment overrule it.
    #[arg(long, env = "WATERMASTER_GATEWAY_CONFIG")]
    config: Option<PathBuf>,
    /// Its id as an aggregator [default: gateway].
    #[arg(long, env = "WATERMASTER_GATEWAY_ID")]
    id: Option<String>,
    /// Its node in the orchestrator's topology [default: gateway].
    #[arg(long, env = "WATERMASTER_GATEWAY_NODE")]
    node: Option<String>,
    /// Where consumers find it [default: 127.0.0.1:8090].
    #[arg(long, env = "WATERMASTER_GATEWAY_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where devices find it, over MQTT [default: 127.0.0.1:1884].
    #[arg(long, env = "WATERMASTER_GATEWAY_MQTT_LISTEN")]
    mqtt_listen: Option<SocketAddr>,
    /// The URL under which consumers find it [default: that of --listen, unless that is every address].
    #[arg(long, env = "WATERMASTER_GATEWAY_ADVERTISE", value_name = "URL")]
    advertise: Option<String>,
    /// A name under which it is asked from elsewhere, besides that of --advertise; may be given again.
    #[arg(long = "public-host", env = "WATERMASTER_GATEWAY_PUBLIC_HOST", value_delimiter = ',', value_name = "NAME")]
    public_hosts: Option<Vec<String>>,
    /// The IPv4 address from which it sends to consumers, by which switches know its packets [default: that of --listen, if
    /// others can reach it].
    #[arg(long, env = "WATERMASTER_GATEWAY_SOURCE", value_name = "ADDRESS")]
    source: Option<Ipv4Addr>,
    /// The same of IPv6, for consumers that are reached by it.
    #[arg(long, env = "WATERMASTER_GATEWAY_IPV6_SOURCE", value_name = "ADDRESS")]
    ipv6_source: Option<Ipv6Addr>,
    /// The certificate of the interface for consumers and its chain, in PEM: it is served over TLS. Read again when it changes.
    #[arg(long, env = "WATERMASTER_GATEWAY_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, env = "WATERMASTER_GATEWAY_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The orchestrator's URL, as http://127.0.0.1:8080, or that of its MQTT broker, as mqtt://127.0.0.1:1883; absent: the
    /// fallback rates hold for ever.
    #[arg(long, env = "WATERMASTER_ORCHESTRATOR")]
    orchestrator: Option<String>,
    /// A file that holds the access token for the orchestrator; over MQTT it is the password.
    #[arg(long, env = "WATERMASTER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How often it reports, in milliseconds [default: 1000].
    #[arg(long, env = "WATERMASTER_GATEWAY_REPORT_EVERY_MS")]
    report_every_ms: Option<u64>,
    /// What may wait in QoS levels 0, 1 and 2, in bytes [default: 1000000,1000000,1000000].
    #[arg(long, value_delimiter = ',', num_args = 1, value_names = ["L0,L1,L2"])]
    buffer_bytes: Vec<u64>,
    /// What QoS levels 0, 1 and 2 may send without an orchestrator, in bit/s [default: 250000,350000,400000].
    #[arg(long, value_delimiter = ',', num_args = 1, value_names = ["L0,L1,L2"])]
    fallback_bps: Vec<u64>,
    /// Topics whose new messages are refused when there is no room; of all others the oldest go.
    #[arg(long, action = ArgAction::Append, value_name = "FILTER")]
    fifo: Vec<String>,
    /// The QoS level of subscriptions to some topics that name none, as plant/+/pressure=2. May be repeated.
    #[arg(long, action = ArgAction::Append, value_name = "FILTER=LEVEL")]
    topic_level: Vec<TopicLevel>,
    /// Built-in traffic, as topic=plant/1/t,payload_bytes=100,rate_bps=8000; start_ms=0 and stop_ms=60000 may follow. May be repeated.
    #[arg(long, action = ArgAction::Append, value_name = "SOURCE")]
    generate: Vec<SourceSpec>,
    /// The folder that keeps messages, subscriptions, last values and the sessions of devices [default: none: they end with the
    /// process].
    #[arg(long, env = "WATERMASTER_GATEWAY_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// When that counts as kept: full: the disk has it; normal: the operating system has it [default: full].
    #[arg(long, env = "WATERMASTER_GATEWAY_DATA_SYNC", value_name = "full|normal")]
    data_sync: Option<DataSync>,
    /// How logs are written [default: auto].
    #[arg(long, env = "WATERMASTER_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

/// Why the gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its options are invalid.
    #[error("invalid configuration: {0}")]
    Options(#[from] OptionsError),
    /// Not one number for each level.
    #[error("invalid configuration: --{flag} takes three numbers, for QoS levels 0, 1 and 2")]
    Levels { flag: &'static str },
    /// It cannot run.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The runtime or standard output failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Error {
    /// Whether its options are at fault.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Options(_) | Self::Levels { .. } | Self::Gateway(GatewayError::Options(_)))
    }
}

impl Arguments {
    fn options(&self) -> Result<GatewayOptions, Error> {
        let mut options = self.config.as_deref().map_or_else(|| Ok(GatewayOptions::default()), GatewayOptions::read)?;
        fn overrule<T: Clone>(option: &mut T, argument: Option<&T>) {
            if let Some(argument) = argument {
                option.clone_from(argument);
            }
        }
        overrule(&mut options.id, self.id.as_ref());
        overrule(&mut options.node, self.node.as_ref());
        overrule(&mut options.listen, self.listen.as_ref());
        overrule(&mut options.mqtt_listen, self.mqtt_listen.as_ref());
        overrule(&mut options.public_hosts, self.public_hosts.as_ref());
        overrule(&mut options.report_every_ms, self.report_every_ms.as_ref());
        options.advertise = self.advertise.clone().or(options.advertise);
        options.source = self.source.or(options.source);
        options.ipv6_source = self.ipv6_source.or(options.ipv6_source);
        options.tls_certificate = self.tls_certificate.clone().or(options.tls_certificate);
        options.tls_key = self.tls_key.clone().or(options.tls_key);
        options.data = self.data.clone().or(options.data);
        overrule(&mut options.data_sync, self.data_sync.as_ref());
        options.orchestrator = self.orchestrator.clone().or(options.orchestrator);
        options.orchestrator_token_file = self.token_file.clone().or(options.orchestrator_token_file);
        overrule(&mut options.buffer_bytes, levels("buffer-bytes", &self.buffer_bytes)?.as_ref());
        overrule(&mut options.fallback_bps, levels("fallback-bps", &self.fallback_bps)?.as_ref());
        let policy = |topic: &str| TopicPolicy { topic: topic.to_owned(), policy: None, qos_level: None };
        let fifo = self.fifo.iter().map(|filter| TopicPolicy { policy: Some(OverflowPolicy::Fifo), ..policy(filter) });
        let levels =
            self.topic_level.iter().map(|own| TopicPolicy { qos_level: Some(own.level), ..policy(&own.filter) });
        options.policies.splice(0..0, fifo.chain(levels));
        options.generate.extend(self.generate.iter().cloned());
        options.check()?;
        Ok(options)
    }
}

fn levels(flag: &'static str, values: &[u64]) -> Result<Option<[u64; 3]>, Error> {
    if values.is_empty() { Ok(None) } else { values.try_into().map(Some).map_err(|_| Error::Levels { flag }) }
}

/// Runs a gateway until SIGINT or SIGTERM.
///
/// # Errors
/// It cannot run.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let options = arguments.options()?;
    let _logging = telemetry::start_logging(arguments.log_format.unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone())?);
        let given = options.clone();
        let gateway = Gateway::build(options).await?;
        greet(&gateway, &given);
        gateway.run(stop).await?;
        Ok(())
    })
}

fn greet(gateway: &Gateway, options: &GatewayOptions) {
    let (address, mqtt) = (gateway.address(), gateway.mqtt_address());
    let (GatewayOptions { id, node, .. }, scheme) = (options, options.scheme());
    let orchestrator = options.orchestrator.as_deref().unwrap_or("none: the fallback rates hold");
    greeting(&format!(
        "Gateway {id} at node {node}.\n  \
         devices       mqtt://{mqtt}\n  \
         names         curl -s {scheme}://{address}/v1/contents\n  \
         subscribe     watermaster consumer --subscribe 'gateway={scheme}://{address},topic=#,qos_level=1'\n  \
         how it is     curl -s {scheme}://{address}/v1/status\n  \
         orchestrator  {orchestrator}\n"
    ));
}
