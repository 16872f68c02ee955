//! The composition root: builds the rooms, wires them, starts them, and stops them in order.

pub mod books;
mod certificates;
mod error;
mod mqtt_listeners;
mod rest_certificate;
pub mod tokens;
pub mod replica;

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::aggregator_mqtt::{self, BrokerPolicy, ReportFaults, ReportProblems};
use crate::app::{
    App, AppOptions, AppStartError, ControllerAccess, Credentials, LinkHistoryAges, Mode, Pace, Retention,
    SchedulerOptions, Tasks, driver_factory,
};
use crate::auth::{Authenticator, PeerCertificate, ProviderSettings, TokenStore};
use crate::config::{self, AccessConfig, Authentication, Config, RoleWord};
use crate::http;
use crate::journal::{DatabaseUrl, FileClaim, Journal, JournalError};
use crate::telemetry::{self, ServiceMetrics};
use api::access::{OpenIdDocument, Role};
use api::outbound::OutboundNetworks;
use api::own_hosts::OwnHosts;
pub use error::ServiceError;
use formats;
use kernel::Command;
use kernel::command::{Expected, OnMisfit};
use kernel::id::Name;
use mqtt::{self, Broker};
use mqtt_listeners::MqttListeners;
use rest_certificate::rest_tls;
use web::{HttpListener, PeerConnection};

/// What aggregators are told of refused reports over MQTT: the problems of the REST interface.
pub const REPORT_PROBLEMS: ReportProblems =
    ReportProblems { unreadable: http::unreadable_report, rejected: http::rejected_report };

/// What is served when nothing was uploaded yet: NSFNET, 14 nodes.
const FIRST_TOPOLOGY: (&str, &str) = ("nsfnet", include_str!("../topologies/nsfnet.json"));

/// A service that is ready to answer.
pub struct Service {
    app: App,
    tasks: Tasks,
    listener: HttpListener,
    authenticator: Authenticator,
    broker: Broker,
    doors: MqttListeners,
    faults: ReportFaults,
    metrics: Arc<ServiceMetrics>,
    own_hosts: OwnHosts,
    controller_networks: OutboundNetworks,
    drain: Duration,
    claim: Option<FileClaim>,
}

impl ServiceError {
    /// Whether it fails again until somebody changes the configuration.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Url(_) | Self::Access(_) | Self::Tls(_) | Self::Scheduler(_) | Self::FirstName(_) => true,
            Self::NoTokens
            | Self::NoOperatorCredentials
            | Self::ControllerUrl(_)
            | Self::PublicUrl(_)
            | Self::Certificate(_) => true,
            Self::Broker(error) => error.is_configuration(),
            // A port below 1024, and nobody who may take it.
            Self::Listen { error, .. } => error.kind() == std::io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

impl From<JournalError> for ServiceError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Box::new(error))
    }
}

impl From<AppStartError> for ServiceError {
    fn from(error: AppStartError) -> Self {
        Self::Start(Box::new(error))
    }
}

impl From<formats::ImportError> for ServiceError {
    fn from(error: formats::ImportError) -> Self {
        Self::FirstTopology(Box::new(error))
    }
}

impl Service {
    /// Opens the journal, replays it, and takes the address; nothing is answered yet.
    ///
    /// # Errors
    /// The database cannot be opened, the address cannot be bound, or the journal is unsound.
    pub async fn build(config: &Config) -> Result<Self, ServiceError> {
        let url = DatabaseUrl::from_str(config.database.expose())?;
        let claim = url.claim()?;
        let deadline = Duration::from_millis(config.database_deadline_ms);
        let journal = Journal::open_within(&url, deadline).await?;
        let networks = config.controller_networks.as_deref().map(OutboundNetworks::only).unwrap_or_default();
        let access = ControllerAccess { credentials: credentials(config)?, networks: networks.clone() };
        let options = AppOptions {
            driver_factory: driver_factory(access),
            lost_switch_after: Duration::from_millis(config.lost_switch_ms),
            audit_every: Duration::from_millis(config.audit_ms),
            wait_to_restore: Duration::from_millis(config.wait_to_restore_ms),
            maintenance_lead: Duration::from_millis(config.maintenance_lead_ms),
            scheduler: scheduler_options(&config.scheduler)?,
            deadline,
            retention: Retention {
                event_age: config.journal.age(),
                events: config.journal.keep_events,
                ended_age: config.history.age(),
                link_history: link_history_ages(&config.link_history),
            },
        };
        let (app, tasks) = App::start_with(journal.clone(), options).await?;
        let authenticator = authenticator(config, &app, journal).await?;
        if app.read(|state| state.sequence().0 == 0) {
            put_first_topology(&app).await?;
        }
        let listener = HttpListener::new(bind(config.listen).await?, rest_tls(config).transpose()?);
        let (policy, faults) = BrokerPolicy::new(authenticator.clone());
        let doors = MqttListeners::open(config.mqtt_listen, &config.mqtt, policy).await?;
        let broker = doors.broker_on(config.store.expose(), config.durability.into()).await?;
        let metrics = Arc::new(ServiceMetrics::new());
        tokio::spawn(count_commits(app.clone(), Arc::clone(&metrics)));
        tokio::spawn(count_field_events(app.clone(), Arc::clone(&metrics)));
        let drain = Duration::from_millis(config.drain_ms);
        let own_hosts = own_hosts(config)?;
        Ok(Self {
            app,
            tasks,
            listener,
            authenticator,
            broker,
            doors,
            faults,
            metrics,
            own_hosts,
            controller_networks: networks,
            drain,
            claim,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket has no local address.
    pub fn address(&self) -> Result<SocketAddr, ServiceError> {
        self.listener.address().map_err(ServiceError::Serve)
    }

    /// Whether it speaks TLS there.
    pub fn is_encrypted(&self) -> bool {
        self.listener.is_encrypted()
    }

    /// Where it listens for MQTT.
    ///
    /// # Errors
    /// The socket has no local address.
    pub fn mqtt_address(&self) -> Result<SocketAddr, ServiceError> {
        self.doors.address()
    }

    /// How many topologies and allocations there are.
    pub async fn counts(&self) -> (usize, usize) {
        self.app.read(|state| (state.networks().len(), state.allocation_count()))
    }

    /// Answers until `stop` is cancelled; then ends event streams, lets requests finish within the deadline, writes a
    /// snapshot, and closes the journal.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServiceError> {
        let Self { app, tasks, listener, authenticator, broker, doors, faults, metrics, drain, claim, .. } = self;
        doors.serve(&broker);
        tokio::spawn(aggregator_mqtt::run(app.clone(), broker.clone(), faults, REPORT_PROBLEMS));
        let rendered = get(render_metrics).with_state((app.clone(), Arc::clone(&metrics), broker.clone()));
        let beside = Router::new().route("/metrics", rendered);
        let router = http::router(http::Context {
            app: app.clone(),
            version: env!("CARGO_PKG_VERSION"),
            authenticator,
            own_hosts: self.own_hosts,
            controller_networks: self.controller_networks,
            broker: Some(broker.clone()),
            beside,
        })
        .layer(from_fn_with_state(metrics, count));
        // Event streams end on this; a graceful stop would otherwise never finish.
        let streams = app.stopping();
        let stopping = stop.clone();
        let stopped_at = Arc::new(OnceLock::new());
        let noted = Arc::clone(&stopped_at);
        tokio::spawn(async move {
            stopping.cancelled().await;
            let _ = noted.set(tokio::time::Instant::now());
            streams.cancel();
        });
        let serving = listener.serve(router, stop.clone(), peer);
        // Half of the time is for requests and clients, the rest for the journal.
        let half = drain / 2;
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(half).await;
        };
        tokio::select! {
            () = serving => {}
            () = deadline => tracing::warn!("some requests did not finish in time"),
        }
        let stopped_at = stopped_at.get().copied().unwrap_or_else(tokio::time::Instant::now);
        if tokio::time::timeout_at(stopped_at + half + drain / 8, broker.stop()).await.is_err() {
            tracing::warn!("some MQTT clients did not leave in time");
        }
        if tokio::time::timeout_at(stopped_at + drain, tasks.stop(&app)).await.is_err() {
            tracing::warn!("the journal could not be closed in time; it is complete without a snapshot");
        }
        drop(claim);
        Ok(())
    }
}

/// Takes an address.
async fn bind(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|error| ServiceError::Listen { address, error })
}

/// Who is at the other end of a connection, for the gate.
fn peer(connection: &PeerConnection<'_>) -> http::Peer {
    let certificate = connection.certificate.and_then(PeerCertificate::read).map(Arc::new);
    http::Peer { address: connection.there, is_encrypted: connection.is_encrypted, certificate }
}

/// Under which names and paths it is found.
fn own_hosts(config: &Config) -> Result<OwnHosts, ServiceError> {
    let own = OwnHosts::new(config.listen.ip(), &config.public_hosts);
    let Some(text) = &config.public_url else { return Ok(own) };
    let invalid = || ServiceError::PublicUrl(text.clone());
    let url = reqwest::Url::parse(text).map_err(|_| invalid())?;
    let is_plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    let host = url.host_str().filter(|_| is_plain).ok_or_else(invalid)?;
    Ok(own.found_at(host, url.path()))
}

/// Our user at a controller that asks.
fn credentials(config: &Config) -> Result<Option<Credentials>, ServiceError> {
    let Some((username, url)) = config.controller_username.clone().zip(config.controller_url.as_deref()) else {
        return Ok(None);
    };
    let origin = reqwest::Url::parse(url).map_err(|_| ServiceError::ControllerUrl(url.to_owned()))?;
    let password = config.controller_password.as_ref().map(|password| password.0.clone()).unwrap_or_default();
    Ok(Some(Credentials { username, password, origin }))
}

/// Who is let in.
async fn authenticator(config: &Config, app: &App, journal: Journal) -> Result<Authenticator, ServiceError> {
    let administrator = config.access.admin_token.as_ref().map(|token| token.0.as_str());
    let clock = app.clone();
    let tokens = TokenStore::open(journal, administrator, move || clock.now()).await?;
    let required = config.access.authentication == Some(Authentication::Required);
    let certificates = certificates::principals(&config.access.certificates)?;
    tokens.log_held();
    tokio::spawn(tokens.clone().keep_fresh(app.stopping()));
    let authenticator = Authenticator::new(tokens, required).with_page_client(page_client(&config.access));
    let authenticator = with_provider_of(&config.access, authenticator.with_certificates(certificates))?;
    if required && !authenticator.has_credentials() {
        return Err(ServiceError::NoTokens);
    }
    warn_if_open(required, config.listen);
    Ok(authenticator)
}

/// With the OpenID provider of the configuration, and with figures that anybody may read or not.
fn with_provider_of(access: &AccessConfig, authenticator: Authenticator) -> Result<Authenticator, ServiceError> {
    let authenticator = authenticator.with_open_metrics(access.open_metrics == Some(true));
    Ok(match provider(access) {
        Some(settings) => authenticator.with_provider(settings)?,
        None => authenticator,
    })
}

fn warn_if_open(required: bool, listen: SocketAddr) {
    if !required && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "whoever reaches this address may change everything");
    }
}

fn role(word: RoleWord) -> Role {
    match word {
        RoleWord::Viewer => Role::Viewer,
        RoleWord::Aggregator => Role::Aggregator,
        RoleWord::Requester => Role::Requester,
        RoleWord::Engineer => Role::Engineer,
        RoleWord::Admin => Role::Admin,
    }
}

/// The OpenID provider whose tokens are accepted.
fn provider(access: &AccessConfig) -> Option<ProviderSettings> {
    let or = |said: &Option<String>, usual: &str| said.clone().unwrap_or_else(|| usual.to_owned());
    Some(ProviderSettings {
        issuer: access.oidc_issuer.clone()?,
        audience: or(&access.oidc_audience, "watermaster"),
        role_claim: or(&access.oidc_role_claim, "role"),
        tenant_claim: or(&access.oidc_tenant_claim, "tenant"),
        is_tenant_required: access.oidc_tenant_claim.is_some(),
        roles: access.oidc_roles.iter().map(|(value, word)| (value.clone(), role(*word))).collect(),
    })
}

/// The client as which people sign in at that provider.
fn page_client(access: &AccessConfig) -> Option<OpenIdDocument> {
    let (issuer, client_id) = (access.oidc_issuer.clone()?, access.oidc_client_id.clone()?);
    Some(OpenIdDocument { issuer, client_id, scope: access.oidc_scope.clone().unwrap_or_else(|| "openid".to_owned()) })
}

fn scheduler_options(said: &config::SchedulerConfig) -> Result<SchedulerOptions, ServiceError> {
    let interval = said.interval_ms.filter(|interval_ms| *interval_ms > 0).map(Duration::from_millis);
    Ok(SchedulerOptions {
        settings: said.settings()?,
        topology: said.topology.as_deref().map(Name::new).transpose()?,
        pace: interval.map_or(Pace::Reactive, Pace::Interval),
    })
}

fn link_history_ages(config: &config::LinkHistoryConfig) -> LinkHistoryAges {
    let default = LinkHistoryAges::default();
    let age = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
    LinkHistoryAges {
        minutes: age(config.keep_minutes_ms, default.minutes),
        quarter_hours: age(config.keep_quarter_hours_ms, default.quarter_hours),
        six_hours: age(config.keep_six_hours_ms, default.six_hours),
    }
}

async fn put_first_topology(app: &App) -> Result<(), ServiceError> {
    let (name, text) = FIRST_TOPOLOGY;
    let imported = formats::read(text.as_bytes(), &formats::ReadOptions::default())?;
    let command = Command::PutTopology {
        name: Name::new(name)?,
        topology: Arc::new(imported.topology),
        expected: Expected::Unsaid,
        misfits: OnMisfit::Refuse,
    };
    if let Err(refusal) = app.submit_one(command, Mode::Commit, None).await? {
        // Another replica on the same database was faster.
        tracing::info!(%refusal, "the first topology was there already");
    }
    Ok(())
}

/// Counts and logs what is committed.
async fn count_commits(app: App, metrics: Arc<ServiceMetrics>) {
    let mut commits = app.subscribe();
    loop {
        match commits.recv().await {
            Ok(commit) => metrics.record_commit(&app, &commit).await,
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "commits came too fast to be counted"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Counts what changes on switches and controllers.
async fn count_field_events(app: App, metrics: Arc<ServiceMetrics>) {
    let mut events = app.field_events();
    loop {
        match events.recv().await {
            Ok(event) => metrics.record_field_event(&event),
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "field events came too fast to be counted"),
            Err(RecvError::Closed) => return,
        }
    }
}

async fn render_metrics(State((app, metrics, broker)): State<(App, Arc<ServiceMetrics>, Broker)>) -> Response {
    match metrics.render(&app, &broker).await {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be rendered");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn count(State(metrics): State<Arc<ServiceMetrics>>, request: Request, next: Next) -> Response {
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let span = telemetry::request(method, route, request.headers());
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    telemetry::answered(&span, response.status());
    metrics.count_request(method, route, response.status().as_u16(), started.elapsed());
    response
}

/// Only known methods, so that a client cannot create new series.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
