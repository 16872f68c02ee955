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
    /// Where MQTT sessions live: `memory`, `redis://…` or `redis+sentinel://…`.
    pub store: Option<String>,
    /// When an MQTT message counts as kept.
    pub durability: Option<Durability>,
    /// How MQTT clients come in besides.
    #[serde(default)]
    pub mqtt: MqttDoors,
    /// The folder for the embedded database.
    pub data: Option<PathBuf>,
    /// `sqlite://…` or `postgres://…`; instead of `data`.
    pub database: Option<String>,
    /// `auto`, `json` or `human`.
    pub log_format: Option<LogFormat>,
    /// How long a graceful stop may take, in milliseconds.
    pub drain_ms: Option<u64>,
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

/// How MQTT clients come in, besides plain TCP: each may be absent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttDoors {
    /// The address for TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_listen: Option<SocketAddr>,
    /// The address for WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket_listen: Option<SocketAddr>,
    /// The certificate and its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Who signs the certificates of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_authority: Option<PathBuf>,
    /// Users and their hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
    /// Rules about topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<PathBuf>,
    /// Whether clients without a user name are let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<Anonymous>,
}

impl MqttDoors {
    fn over(self, other: Self) -> Self {
        Self {
            tls_listen: self.tls_listen.or(other.tls_listen),
            websocket_listen: self.websocket_listen.or(other.websocket_listen),
            certificate: self.certificate.or(other.certificate),
            key: self.key.or(other.key),
            client_authority: self.client_authority.or(other.client_authority),
            users: self.users.or(other.users),
            rules: self.rules.or(other.rules),
            anonymous: self.anonymous.or(other.anonymous),
        }
    }
}

/// Whether MQTT clients without a user name are let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Anonymous {
    /// Never.
    Never,
    /// From this machine only.
    Loopback,
    /// From everywhere.
    Always,
}

impl From<Anonymous> for mqtt::auth::Anonymous {
    fn from(said: Anonymous) -> Self {
        match said {
            Anonymous::Never => Self::Never,
            Anonymous::Loopback => Self::Loopback,
            Anonymous::Always => Self::Always,
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
    /// Where MQTT sessions live.
    pub store: String,
    /// When an MQTT message counts as kept.
    pub durability: Durability,
    /// How MQTT clients come in besides.
    pub mqtt: MqttDoors,
    /// The database.
    pub database: String,
    /// How logs are written.
    pub log_format: LogFormat,
    /// How long a graceful stop may take, in milliseconds.
    pub drain_ms: u64,
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
            store: self.store.or(other.store),
            durability: self.durability.or(other.durability),
            mqtt: self.mqtt.over(other.mqtt),
            data: if says_where { self.data } else { other.data },
            database: if says_where { self.database } else { other.database },
            log_format: self.log_format.or(other.log_format),
            drain_ms: self.drain_ms.or(other.drain_ms),
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
            store: self.store.unwrap_or_else(|| STORE_DEFAULT.to_owned()),
            durability: self.durability.unwrap_or_default(),
            mqtt: self.mqtt,
            database: self.database.unwrap_or_else(|| format!("sqlite://{}", data.join("watermaster.db").display())),
            log_format: self.log_format.unwrap_or_default(),
            drain_ms: self.drain_ms.unwrap_or(10_000),
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
