//! The settings of a broker.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use super::auth::Access;
use super::codec::Reason;
use super::limits::{
    ACCEPT_RATE_PER_ADDRESS_MAX, BUFFERED_BYTES_MAX, CONNECT_RATE_PER_ADDRESS_MAX, CONNECTING_MAX,
    CONNECTING_PER_ADDRESS_MAX, CONNECTIONS_MAX, INBOUND_INFLIGHT_MAX, PACKET_BYTES_MAX, SESSION_EXPIRY_MAX_S,
    open_files_max,
};

/// What becomes of a message of a shared subscription while none of its members is connected (MQTT 5, 4.8.2, leaves it
/// open).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShareOffline {
    /// It waits in the queue of a member with a lasting session, and goes to the member that comes first.
    #[default]
    Wait,
    /// It is dropped.
    Discard,
}

/// Limits and access rules of a broker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest packet that is taken.
    pub packet_max_bytes: u32,
    /// Bytes of packets and messages that wait in memory for all connections.
    pub buffered_bytes_max: usize,
    /// Connections at a time.
    pub connections_max: usize,
    /// Sockets whose CONNECT is not complete.
    pub connecting_max: usize,
    /// Those of one address.
    pub connecting_per_address_max: usize,
    /// Sockets a second that one address may open.
    pub accept_rate_per_address_max: NonZeroU32,
    /// CONNECTs a second that one address may send.
    pub connect_rate_per_address_max: NonZeroU32,
    /// Whether connections begin with a header of the PROXY protocol, version 2, as balancers write it.
    pub proxy_protocol: bool,
    /// Origins of web pages that may connect through WebSocket, besides those of the same host; `*`: all.
    pub websocket_origins: Vec<String>,
    /// Publications of QoS 1 and 2 that a client may have unacknowledged; CONNACK announces it.
    pub receive_max: NonZeroU16,
    /// The longest session expiry, in seconds; CONNACK announces it to version 5 clients that ask for more.
    pub session_expiry_max_s: u32,
    /// The longest keep-alive; CONNACK announces it to version 5 clients that ask for more, or for none. `None`: no limit.
    pub keep_alive_max_s: Option<NonZeroU16>,
    /// What becomes of a message of a shared subscription while none of its members is connected.
    pub share_offline: ShareOffline,
    /// Authentication and permissions.
    pub access: Arc<Access>,
    /// Whether clients can reconnect to another replica when this one stops.
    pub has_other_replicas: bool,
}

impl Settings {
    /// The reason in DISCONNECT when the replica stops.
    pub(crate) fn stop_reason(&self) -> Reason {
        if self.has_other_replicas { Reason::UseAnotherServer } else { Reason::ServerShuttingDown }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            packet_max_bytes: PACKET_BYTES_MAX,
            buffered_bytes_max: BUFFERED_BYTES_MAX,
            connections_max: CONNECTIONS_MAX,
            connecting_max: CONNECTING_MAX,
            connecting_per_address_max: open_files_max()
                .map_or(CONNECTING_PER_ADDRESS_MAX, |files| CONNECTING_PER_ADDRESS_MAX.min(files / 4)),
            accept_rate_per_address_max: ACCEPT_RATE_PER_ADDRESS_MAX,
            connect_rate_per_address_max: CONNECT_RATE_PER_ADDRESS_MAX,
            proxy_protocol: false,
            websocket_origins: Vec::new(),
            receive_max: NonZeroU16::new(INBOUND_INFLIGHT_MAX).unwrap_or(NonZeroU16::MAX),
            session_expiry_max_s: SESSION_EXPIRY_MAX_S,
            keep_alive_max_s: None,
            share_offline: ShareOffline::default(),
            access: Arc::default(),
            has_other_replicas: false,
        }
    }
}
