//! The MQTT listeners, and the clients that they accept.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::ServiceError;
use crate::config::{MqttDoors, STORE_DEFAULT};
use mqtt::auth::{Access, Anonymous};
use mqtt::transport::Tls;
use mqtt::{self, Broker, Settings, Transport};

/// The port that is registered for MQTT.
const MQTT_PORT: u16 = 1883;

/// Bound listeners, with the access rules of their clients.
pub(super) struct MqttListeners {
    plain: TcpListener,
    others: Vec<(TcpListener, Transport)>,
    access: Arc<Access>,
}

impl MqttListeners {
    /// Takes the addresses and reads the files.
    pub(super) async fn open(plain: Option<SocketAddr>, doors: &MqttDoors) -> Result<Self, ServiceError> {
        let anonymous = doors.anonymous.map_or_else(Anonymous::default, Into::into);
        let access = Arc::new(Access::read(anonymous, doors.users.as_deref(), doors.rules.as_deref())?);
        let tls = match (&doors.certificate, &doors.key) {
            (Some(certificate), Some(key)) => {
                Some(Arc::new(Tls::read(certificate, key, doors.client_authority.as_deref())?))
            }
            _ => None,
        };
        let mut others = Vec::new();
        if let (Some(address), Some(tls)) = (doors.tls_listen, &tls) {
            others.push((bind(address).await?, Transport::Tls(Arc::clone(tls))));
        }
        if let Some(address) = doors.websocket_listen {
            let through = tls.map_or(Transport::WebSocket, Transport::SecureWebSocket);
            others.push((bind(address).await?, through));
        }
        Ok(Self { plain: listen_plain(plain).await?, others, access })
    }

    /// Where it listens without anything else.
    pub(super) fn address(&self) -> Result<SocketAddr, ServiceError> {
        self.plain.local_addr().map_err(ServiceError::Serve)
    }

    /// A broker on the store of this address.
    pub(super) async fn broker_on(
        &self,
        store: &str,
        durability: mqtt::Durability,
    ) -> Result<Broker, mqtt::BrokerStartError> {
        let settings = Settings { access: Arc::clone(&self.access), ..Settings::default() };
        match store {
            STORE_DEFAULT => Broker::embedded(settings).await,
            url => Broker::on_redis(url, durability, settings).await,
        }
    }

    /// Lets clients in until the broker stops.
    pub(super) fn serve(self, broker: &Broker) {
        let mut all = self.others;
        all.push((self.plain, Transport::Tcp));
        for (listener, through) in all {
            let broker = broker.clone();
            tokio::spawn(async move { broker.listen_through(listener, through).await });
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|error| ServiceError::Listen { address, error })
}

/// What was asked for has to be had; the usual address may be another's, and then any free port will do.
async fn listen_plain(asked: Option<SocketAddr>) -> Result<TcpListener, ServiceError> {
    let usual = SocketAddr::from(([127, 0, 0, 1], MQTT_PORT));
    match bind(asked.unwrap_or(usual)).await {
        Err(error) if asked.is_none() => {
            tracing::warn!(%error, "MQTT is on another port");
            bind(SocketAddr::from(([127, 0, 0, 1], 0))).await
        }
        bound => bound,
    }
}
