//! The broker's edges: who may come in, and the listeners for TLS and WebSocket beside the plain one.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::ServiceError;
use crate::config::MqttEdges;
use crate::mqtt::auth::{Access, Anonymous};
use crate::mqtt::broker::Entrance;
use crate::mqtt::transport::Tls;
use crate::mqtt::{Broker, Settings};

/// The listeners beside the plain one, bound and ready.
pub(crate) struct Edges {
    listeners: Vec<(&'static str, TcpListener, Entrance)>,
}

/// What the broker is told of who may come in.
pub(crate) fn settings(config: &MqttEdges) -> Result<Settings, ServiceError> {
    let anonymous = config.mqtt_anonymous.map_or(Anonymous::default(), Into::into);
    let access = Access::read(anonymous, config.mqtt_users.as_deref(), config.mqtt_rules.as_deref())?;
    Ok(Settings { access: Arc::new(access), ..Settings::default() })
}

impl Edges {
    /// Takes the addresses and reads the certificates.
    pub(crate) async fn open(config: &MqttEdges) -> Result<Edges, ServiceError> {
        let tls = match (&config.mqtt_tls_certificate, &config.mqtt_tls_key) {
            (Some(chain), Some(key)) => Some(Tls::read(chain, key, config.mqtt_tls_client_authority.as_deref())?),
            (None, None) => None,
            _ => return Err(ServiceError::TlsFiles),
        };
        let through =
            |tls: &Option<Tls>, entrance: fn(Tls) -> Entrance| tls.clone().map(entrance).ok_or(ServiceError::TlsFiles);
        let mut listeners = vec![];
        if let Some(address) = config.mqtt_tls_listen {
            listeners.push(("mqtts", bind(address).await?, through(&tls, Entrance::Tls)?));
        }
        if let Some(address) = config.mqtt_websocket_listen {
            listeners.push(("ws", bind(address).await?, Entrance::WebSocket));
        }
        if let Some(address) = config.mqtt_websocket_tls_listen {
            listeners.push(("wss", bind(address).await?, through(&tls, Entrance::WebSocketTls)?));
        }
        Ok(Edges { listeners })
    }

    /// Scheme and address of each.
    pub(crate) fn addresses(&self) -> Result<Vec<(&'static str, SocketAddr)>, ServiceError> {
        let address = |listener: &TcpListener| listener.local_addr().map_err(ServiceError::Serve);
        self.listeners.iter().map(|(scheme, listener, _)| Ok((*scheme, address(listener)?))).collect()
    }

    /// Takes connections until the broker stops.
    pub(crate) fn serve(self, broker: &Broker) {
        for (_, listener, entrance) in self.listeners {
            let broker = broker.clone();
            tokio::spawn(async move { broker.listen_through(listener, entrance).await });
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|error| ServiceError::Listen { address, error })
}
