//! How MQTT clients come in: the same arguments for `serve` and `broker`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::{AnonymousAccess, MqttDoors};

/// Who may come in, and through what.
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
    /// Who signs the certificates of clients (PEM): with it, clients need one.
    #[arg(long, env = "WATERMASTER_MQTT_CLIENT_AUTHORITY", requires = "mqtt_certificate")]
    mqtt_client_authority: Option<PathBuf>,
    /// Users, one a line: name and argon2 hash.
    #[arg(long, env = "WATERMASTER_MQTT_USERS")]
    mqtt_users: Option<PathBuf>,
    /// Rules about topics; with them, what none allows is refused.
    #[arg(long, env = "WATERMASTER_MQTT_RULES")]
    mqtt_rules: Option<PathBuf>,
    /// Whether clients without a user name are let in [default: loopback].
    #[arg(long, env = "WATERMASTER_MQTT_ANONYMOUS")]
    mqtt_anonymous: Option<AnonymousAccess>,
}

impl From<&MqttArguments> for MqttDoors {
    fn from(said: &MqttArguments) -> Self {
        let said = said.clone();
        Self {
            tls_listen: said.mqtt_tls_listen,
            websocket_listen: said.mqtt_websocket_listen,
            certificate: said.mqtt_certificate,
            key: said.mqtt_key,
            client_authority: said.mqtt_client_authority,
            users: said.mqtt_users,
            rules: said.mqtt_rules,
            anonymous: said.mqtt_anonymous,
        }
    }
}
