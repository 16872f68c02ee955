//! The listeners and rules for MQTT clients: the same arguments for `serve` and `broker`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::{AnonymousAccess, MqttDoors};

/// Listeners, certificates, users and rules.
#[derive(Args, Clone, Debug, Default)]
pub struct MqttArguments {
    /// The address to listen on for MQTT over TLS; needs a certificate and its key.
    #[arg(long, env = "WATERMASTER_MQTT_TLS_LISTEN", requires = "mqtt_certificate")]
    mqtt_tls_listen: Option<SocketAddr>,
    /// The address to listen on for MQTT over WebSocket (over TLS, if there is a certificate).
    #[arg(long, env = "WATERMASTER_MQTT_WEBSOCKET_LISTEN")]
    mqtt_websocket_listen: Option<SocketAddr>,
    /// The certificate and its chain (PEM).
    #[arg(long, env = "WATERMASTER_MQTT_CERTIFICATE", requires = "mqtt_key")]
    mqtt_certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, env = "WATERMASTER_MQTT_KEY", requires = "mqtt_certificate")]
    mqtt_key: Option<PathBuf>,
    /// The authority that signs the certificates of clients (PEM): with it, clients need one.
    #[arg(long, env = "WATERMASTER_MQTT_CLIENT_AUTHORITY", requires = "mqtt_certificate")]
    mqtt_client_authority: Option<PathBuf>,
    /// Users, one a line: name and argon2 hash.
    #[arg(long, env = "WATERMASTER_MQTT_USERS")]
    mqtt_users: Option<PathBuf>,
    /// Rules about topics; with them, what no rule allows is refused.
    #[arg(long, env = "WATERMASTER_MQTT_RULES")]
    mqtt_rules: Option<PathBuf>,
    /// Whether clients without a user name are accepted [default: loopback].
    #[arg(long, env = "WATERMASTER_MQTT_ANONYMOUS")]
    mqtt_anonymous: Option<AnonymousAccess>,
}

impl From<&MqttArguments> for MqttDoors {
    fn from(arguments: &MqttArguments) -> Self {
        let arguments = arguments.clone();
        Self {
            tls_listen: arguments.mqtt_tls_listen,
            websocket_listen: arguments.mqtt_websocket_listen,
            certificate: arguments.mqtt_certificate,
            key: arguments.mqtt_key,
            client_authority: arguments.mqtt_client_authority,
            users: arguments.mqtt_users,
            rules: arguments.mqtt_rules,
            anonymous: arguments.mqtt_anonymous,
        }
    }
}
