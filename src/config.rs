//! One typed configuration: flag over `WATERMASTER_*` over file over default. Unknown keys are refused; every number's name
//! ends in its unit.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::mqtt;

/// Where the data is unless said otherwise.
pub const DATA_DEFAULT: &str = "data";
/// Where the service listens unless said otherwise: on this machine only.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

/// Where MQTT sessions live unless said otherwise: in this process.
pub const STORE_DEFAULT: &str = "memory";

/// What a configuration file may say. Everything may be absent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The address to listen on.
    pub listen: Option<SocketAddr>,
    /// The address to listen on for MQTT.
    pub mqtt_listen: Option<SocketAddr>,
    /// A table: who may come in over MQTT, and through what else.
    #[serde(default)]
    pub edges: MqttEdges,
    /// Where MQTT sessions live: `memory`, `redis://…` or `redis+sentinel://…`.
    pub store: Option<String>,
    /// When an MQTT message counts as kept.
    pub durability: Option<Durability>,
    /// The folder for the embedded database.
    pub data: Option<PathBuf>,
    /// `sqlite://…` or `postgres://…`; instead of `data`.
    pub database: Option<String>,
    /// `auto`, `json` or `human`.
    pub log_format: Option<LogFormat>,
    /// How long a graceful stop may take, in milliseconds.
    pub drain_ms: Option<u64>,
    /// Who we are to controllers that ask (ONOS).
    pub controller_username: Option<String>,
    /// The password that goes with it.
    pub controller_password: Option<Secret>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(not shown)")
    }
}

/// How logs are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// Who may come in over MQTT, and through what besides plain TCP. Everything may be absent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct MqttEdges {
    /// Another address to listen on, for MQTT over TLS.
    #[arg(long, env = "WATERMASTER_MQTT_TLS_LISTEN")]
    pub mqtt_tls_listen: Option<SocketAddr>,
    /// Another address to listen on, for MQTT over WebSocket.
    #[arg(long, env = "WATERMASTER_MQTT_WEBSOCKET_LISTEN")]
    pub mqtt_websocket_listen: Option<SocketAddr>,
    /// Another address to listen on, for MQTT over WebSocket over TLS.
    #[arg(long, env = "WATERMASTER_MQTT_WEBSOCKET_TLS_LISTEN")]
    pub mqtt_websocket_tls_listen: Option<SocketAddr>,
    /// The server's chain of certificates, a PEM file.
    #[arg(long, env = "WATERMASTER_MQTT_TLS_CERTIFICATE")]
    pub mqtt_tls_certificate: Option<PathBuf>,
    /// The key of its first certificate, a PEM file.
    #[arg(long, env = "WATERMASTER_MQTT_TLS_KEY")]
    pub mqtt_tls_key: Option<PathBuf>,
    /// The authority whose certificates clients must show, a PEM file [default: they need none].
    #[arg(long, env = "WATERMASTER_MQTT_TLS_CLIENT_AUTHORITY")]
    pub mqtt_tls_client_authority: Option<PathBuf>,
    /// The file of users: lines as `watermaster passwd` prints them.
    #[arg(long, env = "WATERMASTER_MQTT_USERS")]
    pub mqtt_users: Option<PathBuf>,
    /// The file of rules about topics: lines as `topic read public/#` [default: everything is allowed].
    #[arg(long, env = "WATERMASTER_MQTT_RULES")]
    pub mqtt_rules: Option<PathBuf>,
    /// From where clients without a user name are let in [default: loopback].
    #[arg(long, env = "WATERMASTER_MQTT_ANONYMOUS")]
    pub mqtt_anonymous: Option<MqttAnonymous>,
}

/// From where clients without a user name are let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum MqttAnonymous {
    /// From nowhere.
    Never,
    /// From this machine.
    Loopback,
    /// From everywhere.
    Always,
}

impl From<MqttAnonymous> for mqtt::auth::Anonymous {
    fn from(said: MqttAnonymous) -> Self {
        match said {
            MqttAnonymous::Never => Self::Never,
            MqttAnonymous::Loopback => Self::Loopback,
            MqttAnonymous::Always => Self::Always,
        }
    }
}

impl MqttEdges {
    fn over(self, other: Self) -> Self {
        Self {
            mqtt_tls_listen: self.mqtt_tls_listen.or(other.mqtt_tls_listen),
            mqtt_websocket_listen: self.mqtt_websocket_listen.or(other.mqtt_websocket_listen),
            mqtt_websocket_tls_listen: self.mqtt_websocket_tls_listen.or(other.mqtt_websocket_tls_listen),
            mqtt_tls_certificate: self.mqtt_tls_certificate.or(other.mqtt_tls_certificate),
            mqtt_tls_key: self.mqtt_tls_key.or(other.mqtt_tls_key),
            mqtt_tls_client_authority: self.mqtt_tls_client_authority.or(other.mqtt_tls_client_authority),
            mqtt_users: self.mqtt_users.or(other.mqtt_users),
            mqtt_rules: self.mqtt_rules.or(other.mqtt_rules),
            mqtt_anonymous: self.mqtt_anonymous.or(other.mqtt_anonymous),
        }
    }
}

/// When an MQTT message is acknowledged to its publisher, if the store is Redis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Once Redis has it: a failover may lose the last milliseconds.
    #[default]
    Async,
    /// Once a replica of Redis has it as well.
    Replicated,
}

impl From<Durability> for mqtt::Durability {
    fn from(said: Durability) -> Self {
        match said {
            Durability::Async => Self::Async,
            Durability::Replicated => Self::Replicated,
        }
    }
}

/// The configuration in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The address to listen on for MQTT; `None`: the usual one, or any other if that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt_listen: Option<SocketAddr>,
    /// Who may come in over MQTT, and through what else.
    pub edges: MqttEdges,
    /// Where MQTT sessions live.
    pub store: String,
    /// When an MQTT message counts as kept.
    pub durability: Durability,
    /// The database.
    pub database: String,
    /// How logs are written.
    pub log_format: LogFormat,
    /// How long a graceful stop may take, in milliseconds.
    pub drain_ms: u64,
    /// Who we are to controllers that ask (ONOS).
    pub controller_username: Option<String>,
    /// The password that goes with it.
    pub controller_password: Option<Secret>,
}

/// Why a configuration is none.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {error}", .path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// Why and where.
        error: Box<toml::de::Error>,
    },
    /// The default address is none; a defect.
    #[error("{0}")]
    Address(#[from] std::net::AddrParseError),
}

impl File {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// It cannot be read, or says something unknown; the message has line and key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| ConfigError::Invalid { path: path.to_owned(), error: Box::new(error) })
    }

    /// What is said here, and what is said there where nothing is said here.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        // A folder on one level overrules a database on a lower one, and the other way round.
        let says_where = self.data.is_some() || self.database.is_some();
        Self {
            listen: self.listen.or(other.listen),
            mqtt_listen: self.mqtt_listen.or(other.mqtt_listen),
            edges: self.edges.over(other.edges),
            store: self.store.or(other.store),
            durability: self.durability.or(other.durability),
            data: if says_where { self.data } else { other.data },
            database: if says_where { self.database } else { other.database },
            log_format: self.log_format.or(other.log_format),
            drain_ms: self.drain_ms.or(other.drain_ms),
            controller_username: self.controller_username.or(other.controller_username),
            controller_password: self.controller_password.or(other.controller_password),
        }
    }

    /// Fills in the defaults.
    ///
    /// # Errors
    /// Never in fact.
    pub fn complete(self) -> Result<Config, ConfigError> {
        let data = self.data.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        Ok(Config {
            listen: self.listen.map_or_else(|| LISTEN_DEFAULT.parse(), Ok)?,
            mqtt_listen: self.mqtt_listen,
            edges: self.edges,
            store: self.store.unwrap_or_else(|| STORE_DEFAULT.to_owned()),
            durability: self.durability.unwrap_or_default(),
            database: self.database.unwrap_or_else(|| format!("sqlite://{}", data.join("watermaster.db").display())),
            log_format: self.log_format.unwrap_or_default(),
            drain_ms: self.drain_ms.unwrap_or(10_000),
            controller_username: self.controller_username,
            controller_password: self.controller_password,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_levels_win_and_unknown_keys_are_refused() {
        let file: File = toml::from_str("listen = \"127.0.0.1:9\"\ndatabase = \"postgres://x\"\ndrain_ms = 5").unwrap();
        let flags = File { data: Some(PathBuf::from("d")), ..File::default() };
        let config = flags.over(file).complete().unwrap();
        assert_eq!(config.listen.port(), 9);
        assert_eq!(config.database, "sqlite://d/watermaster.db");
        assert_eq!(config.drain_ms, 5);
        assert!(toml::from_str::<File>("lisen = 1").unwrap_err().to_string().contains("lisen"));
    }
}
