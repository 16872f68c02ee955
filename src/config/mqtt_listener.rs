//! The listeners of MQTT clients, and what clients are told and allowed.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use mqtt;

/// Listeners of MQTT clients besides plain TCP, and the access of clients. Every key is optional.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttListenerConfig {
    /// The address for TLS.
    pub tls_listen: Option<SocketAddr>,
    /// The address for WebSocket.
    pub websocket_listen: Option<SocketAddr>,
    /// The certificate and its chain.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The certificate of the authority that signs clients' certificates.
    pub client_authority: Option<PathBuf>,
    /// Users and their hashes.
    pub users: Option<PathBuf>,
    /// Rules about topics.
    pub rules: Option<PathBuf>,
    /// Whether clients without a user name are accepted.
    pub anonymous: Option<AnonymousAccess>,
    /// Whether connections begin with a header of the PROXY protocol, version 2.
    pub proxy_protocol: Option<bool>,
    /// Origins of web pages that may connect through WebSocket, besides those of the same host; `*`: all.
    pub websocket_origins: Option<Vec<String>>,
    /// Sockets a second that one address may open.
    pub accept_rate_max: Option<NonZeroU32>,
    /// CONNECTs a second that one address may send.
    pub connect_rate_max: Option<NonZeroU32>,
    /// The longest keep-alive, in seconds.
    pub keep_alive_max_s: Option<NonZeroU16>,
    /// Publications of QoS 1 and 2 that a client may have unacknowledged.
    pub receive_max: Option<NonZeroU16>,
    /// The largest packet that is taken, in bytes.
    pub packet_max_bytes: Option<NonZeroU32>,
    /// The longest session expiry, in seconds.
    pub session_expiry_max_s: Option<u32>,
    /// What becomes of messages of a shared subscription while none of its members is connected.
    pub share_offline: Option<ShareOfflineWord>,
}

impl MqttListenerConfig {
    /// That nobody from elsewhere comes in without a name, unless that is meant.
    ///
    /// # Errors
    /// They would.
    pub fn check_anonymous(&self, plain: Option<SocketAddr>, is_insecure: bool) -> Result<(), ConfigError> {
        // Clients that show a certificate have a name.
        let tls = self.tls_listen.filter(|_| self.client_authority.is_none());
        let mut listeners = [plain, tls, self.websocket_listen].into_iter().flatten();
        let is_open = self.anonymous == Some(AnonymousAccess::Always) && listeners.any(|at| !at.ip().is_loopback());
        if is_open && !is_insecure { Err(ConfigError::AnonymousMqtt) } else { Ok(()) }
    }

    pub(super) fn over(self, other: Self) -> Self {
        Self {
            tls_listen: self.tls_listen.or(other.tls_listen),
            websocket_listen: self.websocket_listen.or(other.websocket_listen),
            certificate: self.certificate.or(other.certificate),
            key: self.key.or(other.key),
            client_authority: self.client_authority.or(other.client_authority),
            users: self.users.or(other.users),
            rules: self.rules.or(other.rules),
            anonymous: self.anonymous.or(other.anonymous),
            proxy_protocol: self.proxy_protocol.or(other.proxy_protocol),
            websocket_origins: self.websocket_origins.or(other.websocket_origins),
            accept_rate_max: self.accept_rate_max.or(other.accept_rate_max),
            connect_rate_max: self.connect_rate_max.or(other.connect_rate_max),
            keep_alive_max_s: self.keep_alive_max_s.or(other.keep_alive_max_s),
            receive_max: self.receive_max.or(other.receive_max),
            packet_max_bytes: self.packet_max_bytes.or(other.packet_max_bytes),
            session_expiry_max_s: self.session_expiry_max_s.or(other.session_expiry_max_s),
            share_offline: self.share_offline.or(other.share_offline),
        }
    }
}

/// Whether MQTT clients without a user name are accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum AnonymousAccess {
    /// Never.
    Never,
    /// From this machine only.
    Loopback,
    /// From everywhere.
    Always,
}

impl From<AnonymousAccess> for mqtt::auth::Anonymous {
    fn from(word: AnonymousAccess) -> Self {
        match word {
            AnonymousAccess::Never => Self::Never,
            AnonymousAccess::Loopback => Self::Loopback,
            AnonymousAccess::Always => Self::Always,
        }
    }
}

/// What becomes of messages of a shared subscription while none of its members is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ShareOfflineWord {
    /// They wait for the member that comes first, if one has a lasting session.
    Wait,
    /// They are dropped.
    Discard,
}

impl From<ShareOfflineWord> for mqtt::ShareOffline {
    fn from(word: ShareOfflineWord) -> Self {
        match word {
            ShareOfflineWord::Wait => Self::Wait,
            ShareOfflineWord::Discard => Self::Discard,
        }
    }
}
