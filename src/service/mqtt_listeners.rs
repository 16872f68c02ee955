//! The MQTT listeners, and the clients that they accept.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::ServiceError;
use crate::aggregator_mqtt::BrokerPolicy;
use crate::auth::TokenStore;
use crate::config::{MqttListenerConfig, STORE_MEMORY};
use mqtt::auth::{Access, AccessError, Anonymous};
use mqtt::transport::{ClientCertificates, Tls};
use mqtt::{self, Broker, Settings, Sqlite, Transport};

/// The port that is registered for MQTT.
const MQTT_PORT: u16 = 1883;

/// Bound listeners, with the access rules of their clients.
pub(super) struct MqttListeners {
    plain: TcpListener,
    others: Vec<(TcpListener, Transport)>,
    access: Arc<Access>,
    policy: Arc<BrokerPolicy>,
    doors: MqttListenerConfig,
}

impl MqttListeners {
    /// Takes the addresses and reads the files.
    pub(super) async fn open(
        plain: Option<SocketAddr>,
        doors: &MqttListenerConfig,
        policy: Arc<BrokerPolicy>,
    ) -> Result<Self, ServiceError> {
        let access = read_access(doors, Arc::clone(&policy))?;
        let tls = match (&doors.certificate, &doors.key) {
            (Some(certificate), Some(key)) => {
                let clients = doors.client_authority.as_deref();
                let clients = clients.map_or(ClientCertificates::NotAsked, ClientCertificates::Required);
                Some(Arc::new(Tls::read(certificate, key, clients)?))
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
        Ok(Self { plain: listen_plain(plain).await?, others, access, policy, doors: doors.clone() })
    }

    /// The address for plain TCP.
    pub(super) fn address(&self) -> Result<SocketAddr, ServiceError> {
        self.plain.local_addr().map_err(ServiceError::Serve)
    }

    /// A broker on the store of this address.
    pub(super) async fn broker_on(
        &self,
        store: &str,
        durability: mqtt::Durability,
    ) -> Result<Broker, mqtt::BrokerStartError> {
        let settings = self.settings();
        match store {
            STORE_MEMORY => Broker::embedded(settings).await,
            url if url.starts_with("sqlite:") => {
                let file = Sqlite::open(&url.parse()?).await?;
                Broker::on_sqlite(&file, settings).await
            }
            url => Broker::on_redis(url, durability, settings).await,
        }
    }

    fn settings(&self) -> Settings {
        let (doors, usual) = (&self.doors, Settings::default());
        Settings {
            access: Arc::clone(&self.access),
            proxy_protocol: doors.proxy_protocol.unwrap_or(usual.proxy_protocol),
            websocket_origins: doors.websocket_origins.clone().unwrap_or_default(),
            accept_rate_per_address_max: doors.accept_rate_max.unwrap_or(usual.accept_rate_per_address_max),
            connect_rate_per_address_max: doors.connect_rate_max.unwrap_or(usual.connect_rate_per_address_max),
            keep_alive_max_s: doors.keep_alive_max_s.or(usual.keep_alive_max_s),
            receive_max: doors.receive_max.unwrap_or(usual.receive_max),
            packet_max_bytes: doors.packet_max_bytes.map_or(usual.packet_max_bytes, NonZeroU32::get),
            share_offline: doors.share_offline.map_or(usual.share_offline, Into::into),
            session_expiry_max_s: doors.session_expiry_max_s.unwrap_or(usual.session_expiry_max_s),
            ..usual
        }
    }

    /// Accepts clients until the broker stops.
    pub(super) fn serve(self, broker: &Broker) {
        if self.doors.users.is_some() || self.doors.rules.is_some() {
            tokio::spawn(reload_access(broker.clone(), self.doors.clone(), Arc::clone(&self.policy)));
        }
        tokio::spawn(recheck_principals(broker.clone(), self.policy));
        let mut all = self.others;
        all.push((self.plain, Transport::Tcp));
        for (listener, through) in all {
            let broker = broker.clone();
            tokio::spawn(async move { broker.listen_through(listener, through).await });
        }
    }
}

fn read_access(doors: &MqttListenerConfig, policy: Arc<BrokerPolicy>) -> Result<Arc<Access>, AccessError> {
    let anonymous = doors.anonymous.map_or_else(Anonymous::default, Into::into);
    let access = Access::read(anonymous, doors.users.as_deref(), doors.rules.as_deref())?;
    Ok(Arc::new(access.with_policy(policy)))
}

/// Reads the files of users and rules again on SIGHUP. Files that cannot be used change nothing.
async fn reload_access(broker: Broker, doors: MqttListenerConfig, policy: Arc<BrokerPolicy>) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        match read_access(&doors, Arc::clone(&policy)) {
            Ok(access) => {
                broker.set_access(access);
                tracing::info!("the MQTT users and rules are read again");
            }
            Err(error) => tracing::error!(%error, "the MQTT users and rules stay as they were"),
        }
    }
}

/// How often ends of credentials are looked for: how long a client stays at most after its own.
const ENDS_CHECKED_EVERY: Duration = Duration::from_secs(2);
/// How often all clients are looked at, for ends that are not known beforehand.
const PRINCIPALS_CHECKED_EVERY: Duration = Duration::from_secs(60);

/// A client is sent away when the token that it came in with is revoked, or that token, its JWT or its certificate has expired.
async fn recheck_principals(broker: Broker, policy: Arc<BrokerPolicy>) {
    let mut changes = policy.tokens().map(TokenStore::changes);
    let mut all_checked_at = tokio::time::Instant::now();
    loop {
        let changed = async {
            match &mut changes {
                Some(changes) => changes.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            is_there = changed => if !is_there { return },
            () = tokio::time::sleep(ENDS_CHECKED_EVERY) => {
                let is_due = policy.expects_ends() && all_checked_at.elapsed() >= PRINCIPALS_CHECKED_EVERY;
                if !policy.has_ended() && !is_due {
                    continue;
                }
            }
            () = broker.stopped() => return,
        }
        all_checked_at = tokio::time::Instant::now();
        broker.recheck_rights();
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|error| ServiceError::Listen { address, error })
}

/// A configured address has to be free; if the default port is taken, any free one is used.
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
