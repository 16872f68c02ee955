//! One typed configuration: flag over `WATERMASTER_*` over file over default. Unknown keys are refused; every number's name
//! ends in its unit.

mod access;
mod credentials;
mod error;
mod mqtt_listener;
mod retention;
mod scheduler;
mod secret;
mod words;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use access::{AccessConfig, Authentication, CertificateConfig, ClientCertificateDemand, RoleWord};
pub use error::ConfigError;
pub use mqtt_listener::{AnonymousAccess, MqttListenerConfig, ShareOfflineWord};
pub use retention::{HistoryConfig, JournalConfig, LinkHistoryAgeError, LinkHistoryConfig};
pub use scheduler::{SchedulerConfig, SchedulerPolicyWord};
pub use secret::{Secret, SecretUrl, read_secret};
pub use words::{LogFormat, StoreDurability};

/// The least time between two audits of a switch, in milliseconds.
const AUDIT_MS_MIN: u64 = 100;
/// And the longest: an hour.
const AUDIT_MS_MAX: u64 = 3_600_000;
/// The folder of the data by default.
pub const DATA_DEFAULT: &str = "data";
/// Where the service listens by default: on this machine only.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

/// The store of MQTT sessions in this process: where they live without a folder of data.
pub const STORE_MEMORY: &str = "memory";
/// The file of the journal in the folder of data.
const JOURNAL_FILE: &str = "watermaster.db";
/// The file of MQTT sessions in the folder of data.
const BROKER_FILE: &str = "broker.sqlite";

/// The shortest token of an administrator.
const ADMIN_TOKEN_MIN_BYTES: usize = 16;

/// A configuration file. Every key is optional.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// The address to listen on.
    pub listen: Option<SocketAddr>,
    /// Names under which the service is asked from elsewhere, such as that of a proxy in front of it.
    pub public_hosts: Option<Vec<String>>,
    /// The URL under which a proxy has the service: its host is answered for, and answers lead to paths under it.
    pub public_url: Option<String>,
    /// The certificate of the interface and its chain, in PEM; with `tls_key`, it is served over TLS.
    pub tls_certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub tls_key: Option<PathBuf>,
    /// The authorities, in PEM, that sign the certificates of clients; absent: clients are asked for none.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is let in.
    pub tls_client_certificates: Option<ClientCertificateDemand>,
    /// Who may come in, and how they are known.
    #[serde(default)]
    pub access: AccessConfig,
    /// The address to listen on for MQTT.
    pub mqtt_listen: Option<SocketAddr>,
    /// Where MQTT sessions live: `memory`, `sqlite://…`, `redis://…` or `redis+sentinel://…`.
    pub store: Option<SecretUrl>,
    /// When an MQTT message counts as stored.
    pub durability: Option<StoreDurability>,
    /// The other listeners of MQTT clients, and their access.
    #[serde(default)]
    pub mqtt: MqttListenerConfig,
    /// The folder for the embedded database.
    pub data: Option<PathBuf>,
    /// `sqlite://…` or `postgres://…`; instead of `data`.
    pub database: Option<SecretUrl>,
    /// How long PostgreSQL may take for a write, and a request may wait for its turn, in milliseconds.
    pub database_deadline_ms: Option<u64>,
    /// `auto`, `json` or `human`.
    pub log_format: Option<LogFormat>,
    /// How long a graceful stop may take, in milliseconds.
    pub drain_ms: Option<u64>,
    /// After how long without a switch its links go into maintenance, so that traffic takes other paths, in milliseconds.
    pub lost_switch_ms: Option<u64>,
    /// How often what each switch holds is compared with what it should hold, in milliseconds.
    pub audit_ms: Option<u64>,
    /// How long the traffic of a revertive allocation stays away from a path that failed at least, in milliseconds.
    pub wait_to_restore_ms: Option<u64>,
    /// How long before planned maintenance begins its links are left, in milliseconds.
    pub maintenance_lead_ms: Option<u64>,
    /// The user name at controllers that ask for one (ONOS).
    pub controller_username: Option<String>,
    /// The password of that user.
    pub controller_password: Option<Secret>,
    /// The URL of the only controller that they are sent to.
    pub controller_url: Option<String>,
    /// The networks that controllers may be in; absent: all but the link itself.
    pub controller_networks: Option<Vec<IpNet>>,
    /// How the QoS scheduler divides bandwidth between aggregators.
    #[serde(default)]
    pub scheduler: SchedulerConfig,
    /// How long events are kept.
    #[serde(default)]
    pub journal: JournalConfig,
    /// How long ended allocations are listed.
    #[serde(default)]
    pub history: HistoryConfig,
    /// How long samples of links are kept.
    #[serde(default)]
    pub link_history: LinkHistoryConfig,
}

/// The configuration in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Names under which the service is asked from elsewhere.
    pub public_hosts: Vec<String>,
    /// The URL under which a proxy has the service.
    pub public_url: Option<String>,
    /// The certificate of the interface and its chain.
    pub tls_certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub tls_key: Option<PathBuf>,
    /// The authorities that sign the certificates of clients; `None`: clients are asked for none.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is let in; `None`: there are no authorities.
    pub tls_client_certificates: Option<ClientCertificateDemand>,
    /// Who may come in, and how they are known.
    pub access: AccessConfig,
    /// The address to listen on for MQTT; `None`: port 1883, or any free one if that is taken.
    pub mqtt_listen: Option<SocketAddr>,
    /// Where MQTT sessions live.
    pub store: SecretUrl,
    /// When an MQTT message counts as stored.
    pub durability: StoreDurability,
    /// The other listeners of MQTT clients, and their access.
    pub mqtt: MqttListenerConfig,
    /// The database.
    pub database: SecretUrl,
    /// How long PostgreSQL may take for a write, and a request may wait for its turn, in milliseconds.
    pub database_deadline_ms: u64,
    /// How logs are written.
    pub log_format: LogFormat,
    /// How long a graceful stop may take, in milliseconds.
    pub drain_ms: u64,
    /// After how long without a switch its links go into maintenance, in milliseconds.
    pub lost_switch_ms: u64,
    /// How often what each switch holds is compared with what it should hold, in milliseconds.
    pub audit_ms: u64,
    /// How long the traffic of a revertive allocation stays away from a path that failed at least, in milliseconds.
    pub wait_to_restore_ms: u64,
    /// How long before planned maintenance begins its links are left, in milliseconds.
    pub maintenance_lead_ms: u64,
    /// The user name at controllers that ask for one (ONOS).
    pub controller_username: Option<String>,
    /// The password of that user.
    pub controller_password: Option<Secret>,
    /// The URL of the only controller that they are sent to.
    pub controller_url: Option<String>,
    /// The networks that controllers may be in; `None`: all but the link itself.
    pub controller_networks: Option<Vec<IpNet>>,
    /// How the QoS scheduler works, defaults filled in.
    pub scheduler: SchedulerConfig,
    /// How long events are kept.
    pub journal: JournalConfig,
    /// How long ended allocations are listed.
    pub history: HistoryConfig,
    /// How long samples of links are kept, defaults filled in.
    pub link_history: LinkHistoryConfig,
}

impl ConfigFile {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// It cannot be read, or has an unknown key; the message has line and key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| ConfigError::Invalid { path: path.to_owned(), error: Box::new(error) })
    }

    /// These settings, and those of `other` where these have none.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        // A folder on one level overrules a database on a lower one, and the other way round.
        let says_where = self.data.is_some() || self.database.is_some();
        Self {
            listen: self.listen.or(other.listen),
            public_hosts: self.public_hosts.or(other.public_hosts),
            public_url: self.public_url.or(other.public_url),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            tls_client_ca: self.tls_client_ca.or(other.tls_client_ca),
            tls_client_certificates: self.tls_client_certificates.or(other.tls_client_certificates),
            access: self.access.over(other.access),
            mqtt_listen: self.mqtt_listen.or(other.mqtt_listen),
            store: self.store.or(other.store),
            durability: self.durability.or(other.durability),
            mqtt: self.mqtt.over(other.mqtt),
            data: if says_where { self.data } else { other.data },
            database: if says_where { self.database } else { other.database },
            database_deadline_ms: self.database_deadline_ms.or(other.database_deadline_ms),
            log_format: self.log_format.or(other.log_format),
            drain_ms: self.drain_ms.or(other.drain_ms),
            lost_switch_ms: self.lost_switch_ms.or(other.lost_switch_ms),
            audit_ms: self.audit_ms.or(other.audit_ms),
            wait_to_restore_ms: self.wait_to_restore_ms.or(other.wait_to_restore_ms),
            maintenance_lead_ms: self.maintenance_lead_ms.or(other.maintenance_lead_ms),
            controller_username: self.controller_username.or(other.controller_username),
            controller_password: self.controller_password.or(other.controller_password),
            controller_url: self.controller_url.or(other.controller_url),
            controller_networks: self.controller_networks.or(other.controller_networks),
            scheduler: self.scheduler.over(other.scheduler),
            journal: self.journal.over(other.journal),
            history: self.history.over(other.history),
            link_history: self.link_history.over(other.link_history),
        }
    }

    /// Fills in the defaults.
    ///
    /// # Errors
    /// A setting of the scheduler is out of its range.
    pub fn complete(self) -> Result<Config, ConfigError> {
        let data = self.data.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        let listen: SocketAddr = self.listen.map_or_else(|| LISTEN_DEFAULT.parse(), Ok)?;
        let authentication = self.access.in_force(listen)?;
        // Reports are taken from clients that do not say who they are.
        let is_open =
            self.mqtt.anonymous.is_some_and(|whom| whom != AnonymousAccess::Never) && self.mqtt.users.is_none();
        let aggregators_max =
            (authentication == Authentication::Optional || is_open).then_some(scheduler::UNNAMED_AGGREGATORS_MAX);
        let scheduler_config = self.scheduler.over(SchedulerConfig { aggregators_max, ..SchedulerConfig::default() });
        let scheduler = scheduler_config.settings()?;
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err(ConfigError::HalfCertificate);
        }
        if self.tls_client_ca.is_some() && self.tls_certificate.is_none() {
            return Err(ConfigError::ClientAuthority);
        }
        let client = &self.access.oidc_client_id;
        let issuer = self.access.oidc_issuer.as_deref().unwrap_or_default();
        if client.is_some() && !(issuer.starts_with("https://") || issuer.starts_with("http://")) {
            return Err(ConfigError::NoIssuer);
        }
        let names_clients = !self.access.certificates.is_empty() && self.mqtt.client_authority.is_none();
        if (names_clients || self.tls_client_certificates.is_some()) && self.tls_client_ca.is_none() {
            return Err(ConfigError::NoClientAuthority);
        }
        // Where somebody has to say who they are, MQTT asks too.
        let anonymous = match authentication {
            Authentication::Required => AnonymousAccess::Never,
            Authentication::Optional => AnonymousAccess::Loopback,
        };
        self.mqtt.check_anonymous(self.mqtt_listen, self.access.is_insecure())?;
        self.access.check_admin_token()?;
        if self.controller_username.is_some() && self.controller_url.is_none() {
            return Err(ConfigError::ControllerUrl);
        }
        Ok(Config {
            listen,
            public_hosts: self.public_hosts.unwrap_or_default(),
            public_url: self.public_url,
            tls_certificate: self.tls_certificate,
            tls_key: self.tls_key,
            tls_client_certificates: self
                .tls_client_ca
                .is_some()
                .then(|| self.tls_client_certificates.unwrap_or_default()),
            tls_client_ca: self.tls_client_ca,
            access: AccessConfig { authentication: Some(authentication), ..self.access },
            mqtt_listen: self.mqtt_listen,
            store: self.store.unwrap_or_else(|| match &self.database {
                None => sqlite_url(&data.join(BROKER_FILE)),
                Some(_) => STORE_MEMORY.to_owned().into(),
            }),
            durability: self.durability.unwrap_or_default(),
            mqtt: MqttListenerConfig { anonymous: self.mqtt.anonymous.or(Some(anonymous)), ..self.mqtt },
            database: self.database.unwrap_or_else(|| sqlite_url(&data.join(JOURNAL_FILE))),
            database_deadline_ms: self.database_deadline_ms.unwrap_or(5_000),
            log_format: self.log_format.unwrap_or_default(),
            drain_ms: self.drain_ms.unwrap_or(10_000),
            lost_switch_ms: self.lost_switch_ms.unwrap_or(10_000),
            audit_ms: self.audit_ms.unwrap_or(1_000).clamp(AUDIT_MS_MIN, AUDIT_MS_MAX),
            wait_to_restore_ms: self.wait_to_restore_ms.unwrap_or(10_000),
            maintenance_lead_ms: self.maintenance_lead_ms.unwrap_or(60_000),
            controller_username: self.controller_username,
            controller_password: self.controller_password,
            controller_url: self.controller_url,
            controller_networks: self.controller_networks,
            scheduler: scheduler_config.filled(&scheduler),
            journal: self.journal,
            history: self.history,
            link_history: self.link_history.filled()?,
        })
    }
}

fn sqlite_url(path: &Path) -> SecretUrl {
    format!("sqlite://{}", path.display()).into()
}

impl Config {
    /// Every value in force as TOML, secrets left out; a comment names the settings that have no value.
    ///
    /// # Errors
    /// Never in fact: every value has a form in TOML.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let mut unset = Vec::new();
        collect_unset("", &serde_json::to_value(self)?, &mut unset);
        let values = toml::to_string(self)?;
        if unset.is_empty() { Ok(values) } else { Ok(format!("# Not set: {}\n{values}", unset.join(", "))) }
    }
}

fn collect_unset(prefix: &str, value: &serde_json::Value, unset: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let key = format!("{prefix}{key}");
        match value {
            serde_json::Value::Null => unset.push(key),
            value => collect_unset(&format!("{key}."), value, unset),
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::scheduler::settings::SettingsError;

    use super::*;

    #[test]
    fn higher_levels_win_and_unknown_keys_are_refused() {
        let file: ConfigFile =
            toml::from_str("listen = \"127.0.0.1:9\"\ndatabase = \"postgres://x\"\ndrain_ms = 5").unwrap();
        let flags = ConfigFile { data: Some(PathBuf::from("d")), ..ConfigFile::default() };
        let config = flags.over(file).complete().unwrap();
        assert_eq!(config.listen.port(), 9);
        assert_eq!(config.database.expose(), "sqlite://d/watermaster.db");
        assert_eq!(config.store.expose(), "sqlite://d/broker.sqlite");
        let elsewhere: ConfigFile = toml::from_str("database = \"postgres://x\"").unwrap();
        assert_eq!(elsewhere.complete().unwrap().store.expose(), STORE_MEMORY, "there is no folder");
        assert_eq!(config.drain_ms, 5);
        let scheduler: ConfigFile =
            toml::from_str("[scheduler]\npolicy = \"fixed\"\nshare_ppm = [250000, 350000, 450000]").unwrap();
        // What the paper prints is more than there is.
        assert!(matches!(scheduler.complete(), Err(ConfigError::Scheduler(SettingsError::SharesExceedWhole { .. }))));
        // Where reports are taken from anybody, fewer aggregators can be invented.
        for (access, most) in [("optional", 1_000), ("required", 100_000)] {
            let file: ConfigFile = toml::from_str(&format!("[access]\nauthentication = \"{access}\"")).unwrap();
            assert_eq!(file.complete().unwrap().scheduler.aggregators_max, Some(most));
        }
        let ages: ConfigFile = toml::from_str("[link_history]\nkeep_minutes_ms = 60000").unwrap();
        let fault = "invalid link_history.keep_minutes_ms: 60000 is not within 3600000 to 2678400000 ms";
        assert_eq!(ages.complete().unwrap_err().to_string(), fault);
        assert!(toml::from_str::<ConfigFile>("lisen = 1").unwrap_err().to_string().contains("lisen"));
    }

    #[test]
    fn the_printed_configuration_is_whole_without_secrets_and_can_be_read() {
        let file: ConfigFile = toml::from_str(
            "database = \"postgres://me:hunter2@db/water\"\nstore = \"redis://:hunter2@cache\"\ncontroller_password = \"hunter2\"",
        )
        .unwrap();
        let config = file.complete().unwrap();
        let printed = config.to_toml().unwrap();
        assert!(!printed.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{printed}");
        for line in
            ["database = \"postgres://me:***@db/water\"", "usable_ppm = ", "anonymous = \"loopback\"", "# Not set: "]
        {
            assert!(printed.contains(line), "{line}: {printed}");
        }
        for unset in ["controller_username", "mqtt.users", "scheduler.topology"] {
            assert!(printed.lines().next().unwrap().contains(unset), "{unset}: {printed}");
        }
        let read: ConfigFile = toml::from_str(&printed).unwrap();
        assert_eq!(read.complete().unwrap().to_toml().unwrap(), printed);
    }
}
