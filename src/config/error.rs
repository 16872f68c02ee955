//! The faults of a configuration, in words of its flags and keys.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{ADMIN_TOKEN_MIN_BYTES, LinkHistoryAgeError};
use kernel::scheduler::settings::SettingsError;

/// The fault of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The file is not TOML, or has a key or a value that does not exist.
    #[error("{}: {error}", .path.display())]
    Invalid {
        path: PathBuf,
        /// The reason, with line and key.
        error: Box<toml::de::Error>,
    },
    /// There is a certificate without its key, or a key without a certificate.
    #[error("TLS needs both --tls-certificate and --tls-key")]
    HalfCertificate,
    /// Clients cannot show certificates without TLS.
    #[error("--tls-client-ca needs --tls-certificate and --tls-key")]
    ClientAuthority,
    /// Certificates of clients are spoken of, and nothing says which are valid.
    #[error(
        "--tls-client-certificates and [[access.certificates]] need --tls-client-ca: the authorities that sign certificates of \
         clients; or --mqtt-client-authority, if only MQTT clients show any"
    )]
    NoClientAuthority,
    /// The same, where MQTT alone is spoken.
    #[error("[[access.certificates]] needs --mqtt-client-authority: the authorities that sign certificates of clients")]
    NoMqttClientAuthority,
    /// People would be sent nowhere to sign in.
    #[error("--oidc-client-id needs --oidc-issuer: the URL of the provider at which people sign in")]
    NoIssuer,
    /// Everybody who reaches the address would own the network.
    #[error(
        "refusing to listen on {listen} without authentication: give --authentication required and a token \
         (watermaster token create, or --admin-token-file), or --insecure-no-authentication"
    )]
    Unprotected {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The same of a broker's operators.
    #[error(
        "refusing to serve operators on {listen} without authentication: give --operator-listen an address of this machine, or \
         --admin-token-file or --oidc-issuer with it, or --insecure-no-authentication"
    )]
    UnprotectedOperators {
        /// Where they were to be served.
        listen: SocketAddr,
    },
    /// Everybody who reaches the MQTT address could publish whatever they like.
    #[error(
        "refusing to take MQTT clients without a user name from everywhere: give --mqtt-anonymous loopback or never with \
         --mqtt-users, or --insecure-no-authentication"
    )]
    AnonymousMqtt,
    /// It could be guessed, or is not there.
    #[error("the administrator's token has fewer than {ADMIN_TOKEN_MIN_BYTES} bytes")]
    AdminToken,
    /// Whoever names a controller would be sent the password.
    #[error("a controller's user needs --controller-url: the only controller that user and password are sent to")]
    ControllerUrl,
    /// A setting of the scheduler is out of its range.
    #[error("invalid scheduler settings: {0}")]
    Scheduler(#[from] SettingsError),
    /// An age of samples of links is out of its range.
    #[error(transparent)]
    LinkHistory(#[from] LinkHistoryAgeError),
    /// The configuration cannot be written; a defect.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// As above.
    #[error(transparent)]
    Toml(#[from] toml::ser::Error),
    /// The default address is not valid; a defect.
    #[error("invalid address: {0}")]
    Address(#[from] std::net::AddrParseError),
}
