//! The listeners and rules for MQTT clients: the same arguments for `serve` and `broker`.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use clap::Args;

use crate::config::{AnonymousAccess, MqttListenerConfig, ShareOfflineWord};

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
    /// The authorities that sign the certificates of clients (PEM): with them, clients over TLS need one. Whose it is
    /// [[access.certificates]] of the configuration says, if that has any.
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
    /// Whether connections begin with a header of the PROXY protocol, version 2: only where every connection comes
    /// through a balancer that writes one.
    #[arg(long, env = "WATERMASTER_MQTT_PROXY_PROTOCOL", num_args = 0..=1, default_missing_value = "true")]
    mqtt_proxy_protocol: Option<bool>,
    /// An origin of web pages that may connect through WebSocket, besides those of the same host; `*`: all.
    #[arg(long, env = "WATERMASTER_MQTT_WEBSOCKET_ORIGINS", value_delimiter = ',')]
    mqtt_websocket_origins: Option<Vec<String>>,
    /// Sockets a second that one address may open [default: 25000].
    #[arg(long, env = "WATERMASTER_MQTT_ACCEPT_RATE_MAX")]
    mqtt_accept_rate_max: Option<NonZeroU32>,
    /// CONNECT packets a second that one address may send [default: 25000].
    #[arg(long, env = "WATERMASTER_MQTT_CONNECT_RATE_MAX")]
    mqtt_connect_rate_max: Option<NonZeroU32>,
    /// The longest keep-alive in seconds; version 5 clients are told [default: any].
    #[arg(long, env = "WATERMASTER_MQTT_KEEP_ALIVE_MAX_S")]
    mqtt_keep_alive_max_s: Option<NonZeroU16>,
    /// Publications of QoS 1 and 2 that a version 5 client may have unacknowledged [default: 1024].
    #[arg(long, env = "WATERMASTER_MQTT_RECEIVE_MAX")]
    mqtt_receive_max: Option<NonZeroU16>,
    /// The largest packet that is taken, in bytes [default: 1048576].
    #[arg(long, env = "WATERMASTER_MQTT_PACKET_MAX_BYTES")]
    mqtt_packet_max_bytes: Option<NonZeroU32>,
    /// The longest session expiry in seconds; version 5 clients are told [default: a week].
    #[arg(long, env = "WATERMASTER_MQTT_SESSION_EXPIRY_MAX_S")]
    mqtt_session_expiry_max_s: Option<u32>,
    /// What becomes of messages of a shared subscription while none of its members is connected [default: wait].
    #[arg(long, env = "WATERMASTER_MQTT_SHARE_OFFLINE")]
    mqtt_share_offline: Option<ShareOfflineWord>,
}

impl From<&MqttArguments> for MqttListenerConfig {
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
            proxy_protocol: arguments.mqtt_proxy_protocol,
            websocket_origins: arguments.mqtt_websocket_origins,
            accept_rate_max: arguments.mqtt_accept_rate_max,
            connect_rate_max: arguments.mqtt_connect_rate_max,
            keep_alive_max_s: arguments.mqtt_keep_alive_max_s,
            receive_max: arguments.mqtt_receive_max,
            packet_max_bytes: arguments.mqtt_packet_max_bytes,
            session_expiry_max_s: arguments.mqtt_session_expiry_max_s,
            share_offline: arguments.mqtt_share_offline,
        }
    }
}
