//! `watermaster broker`: one replica of the broker and nothing else, with its probes and metrics.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::certificates;
use super::mqtt_listeners::MqttListeners;
use super::{ServiceError, bind, peer, warn_if_open, with_provider_of};
use crate::aggregator_mqtt::BrokerPolicy;
use crate::auth::{Authenticator, CertificatePrincipals};
use crate::config::{AccessConfig, Authentication, MqttListenerConfig, SecretUrl};
use crate::http;
use crate::telemetry;
use api::own_hosts::OwnHosts;
use mqtt::{Broker, Durability};
use web::HttpListener;

#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The address to listen on for MQTT.
    pub mqtt_listen: Option<SocketAddr>,
    /// The address of probes and metrics; `None`: there are none.
    pub listen: Option<SocketAddr>,
    /// The interface for operators; `None`: there is none.
    pub operators: Option<OperatorConfig>,
    /// Where sessions live.
    pub store: SecretUrl,
    /// When a message counts as kept.
    pub durability: Durability,
    /// The other listeners of clients.
    pub doors: MqttListenerConfig,
    /// Who is known besides the users of the file: by the administrator's token, an OpenID provider or certificates.
    pub access: AccessConfig,
    /// How long a graceful stop may take.
    pub drain: Duration,
}

/// The interface for operators.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Whether a credential is needed.
    pub authentication: Authentication,
    /// Names under which it is asked from elsewhere.
    pub public_hosts: Vec<String>,
}

/// Where a replica listens.
pub struct ReplicaAddresses {
    /// For MQTT.
    pub mqtt: SocketAddr,
    /// For probes.
    pub probes: Option<SocketAddr>,
    /// For operators.
    pub operators: Option<SocketAddr>,
}

/// A replica that is ready.
pub struct BrokerReplica {
    broker: Broker,
    doors: MqttListeners,
    http: Option<HttpListener>,
    operators: Option<(HttpListener, Router)>,
    drain: Duration,
}

impl BrokerReplica {
    /// Takes the addresses and joins the other replicas.
    ///
    /// # Errors
    /// An address cannot be had, or is none.
    pub async fn build(config: &ReplicaConfig) -> Result<Self, ServiceError> {
        let authenticator = authenticator(&config.access)?;
        // Without a service around it, what aggregators would be told has no reader.
        let (policy, _) = BrokerPolicy::new(authenticator.clone());
        let doors = MqttListeners::open(config.mqtt_listen, &config.doors, policy).await?;
        let http = match config.listen {
            None => None,
            Some(address) => Some(HttpListener::new(bind(address).await?, None)),
        };
        let listener = match &config.operators {
            Some(operators) => Some((operators, HttpListener::new(bind(operators.listen).await?, None))),
            None => None,
        };
        let broker = doors.broker_on(config.store.expose(), config.durability).await?;
        let operators = match listener {
            Some((operators, listener)) => Some((listener, operator_router(operators, authenticator, &broker)?)),
            None => None,
        };
        Ok(Self { broker, doors, http, operators, drain: config.drain })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// A socket does not say.
    pub fn addresses(&self) -> Result<ReplicaAddresses, ServiceError> {
        let mqtt = self.doors.address()?;
        let probes = self.http.as_ref().map(HttpListener::address).transpose().map_err(ServiceError::Serve)?;
        let operators = self.operators.as_ref().map(|(listener, _)| listener.address()).transpose();
        let operators = operators.map_err(ServiceError::Serve)?;
        Ok(ReplicaAddresses { mqtt, probes, operators })
    }

    /// Serves until `stop` is cancelled; then sends its clients elsewhere.
    ///
    /// # Errors
    /// Serving the probes failed.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServiceError> {
        let Self { broker, doors, http, operators, drain } = self;
        doors.serve(&broker);
        if let Some(http) = http {
            let router = Router::new()
                .route("/livez", get(|| async { "alive\n" }))
                .route("/readyz", get(ready))
                .route("/metrics", get(metrics))
                .with_state(broker.clone());
            // Probes are answered until the end.
            tokio::spawn(http.serve(router, CancellationToken::new(), |_| ()));
        }
        if let Some((listener, router)) = operators {
            tokio::spawn(listener.serve(router, stop.clone(), peer));
        }
        stop.cancelled().await;
        if tokio::time::timeout(drain, broker.stop()).await.is_err() {
            tracing::warn!("some clients did not leave in time");
        }
        Ok(())
    }
}

/// The principals that this broker knows. It has no database with tokens.
fn authenticator(access: &AccessConfig) -> Result<Authenticator, ServiceError> {
    let administrator = access.admin_token.as_ref().map(|token| token.0.as_str());
    let certificates = certificates::principals(&access.certificates)?;
    with_provider_of(access, Authenticator::of_broker(administrator).with_certificates(certificates))
}

/// The operations of the service's interface that are about the broker, under the same rules, and its metrics.
fn operator_router(
    config: &OperatorConfig,
    authenticator: Authenticator,
    broker: &Broker,
) -> Result<Router, ServiceError> {
    let required = config.authentication == Authentication::Required;
    // Certificates are shown to the listeners of MQTT alone.
    let authenticator = authenticator.with_demand(required).with_certificates(CertificatePrincipals::default());
    if required && !authenticator.has_credentials() {
        return Err(ServiceError::NoOperatorCredentials);
    }
    warn_if_open(required, config.listen);
    let own_hosts = OwnHosts::new(config.listen.ip(), &config.public_hosts);
    let beside = Router::new().route("/metrics", get(metrics).with_state(broker.clone()));
    Ok(http::broker_router(broker.clone(), authenticator, own_hosts, beside))
}

async fn ready(State(broker): State<Broker>) -> Response {
    if broker.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}

async fn metrics(State(broker): State<Broker>) -> Response {
    match telemetry::render_broker(&broker) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
