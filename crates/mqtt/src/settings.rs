//! The settings of a broker.

use std::num::NonZeroU16;
use std::sync::Arc;

use super::auth::Access;
use super::codec::Reason;
use super::limits::{CONNECTING_MAX, CONNECTIONS_MAX, PACKET_BYTES_MAX};

/// Limits and access rules of a broker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest packet that is taken.
    pub packet_max_bytes: u32,
    /// Connections at a time.
    pub connections_max: usize,
    /// Sockets whose CONNECT is not complete.
    pub connecting_max: usize,
    /// The longest keep-alive; CONNACK announces it to version 5 clients that ask for more, or for none. `None`: no limit.
    pub keep_alive_max_s: Option<NonZeroU16>,
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
            connections_max: CONNECTIONS_MAX,
            connecting_max: CONNECTING_MAX,
            keep_alive_max_s: None,
            access: Arc::default(),
            has_other_replicas: false,
        }
    }
}
