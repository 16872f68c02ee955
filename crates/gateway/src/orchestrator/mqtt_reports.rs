//! The exchange with the orchestrator over MQTT 5, in one session at a broker that it listens at: reports with QoS 1 there,
//! rates and refusals back. PUBACK says that the broker has a report; the orchestrator refuses it under `errors`.
//!
//! What must stay true: a session waits for nothing without a deadline, and has one report in flight; what arrives faster than
//! it is read is held back in the connection.

use std::sync::Arc;

use api::aggregator::{AggregatorFault, AggregatorRates};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, Packet, PubAck, PubAckReason, Publish, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::endpoint::BrokerEndpoint;
use super::exchange::{Exchange, OrchestratorError, apply_rates};
use crate::limits::{
    BROKER_KEEP_ALIVE, BROKER_QUEUE_MAX, EVENT_MAX_BYTES, FAREWELL_WAIT, FAULTS_MAX, ORCHESTRATOR_WAIT,
};
use crate::runtime::{GatewayIdentity, Runtime};

/// Reports over MQTT.
pub(crate) struct MqttReports {
    requests: mpsc::Sender<ReportRequest>,
    faults: mpsc::Receiver<AggregatorFault>,
}

/// The task that has the connection to the broker.
pub(crate) struct ReportSession {
    options: MqttOptions,
    topics: AggregatorTopics,
    requests: mpsc::Receiver<ReportRequest>,
    faults: mpsc::Sender<AggregatorFault>,
}

struct AggregatorTopics {
    metadata: String,
    rates: String,
    errors: String,
}

/// A report that is to be published.
struct ReportRequest {
    body: Vec<u8>,
    /// Gets what PUBACK says; it is dropped with the connection.
    answer: oneshot::Sender<Result<(), OrchestratorError>>,
}

/// A report without PUBACK.
struct InFlightReport {
    answer: oneshot::Sender<Result<(), OrchestratorError>>,
    deadline: Instant,
}

/// What a connection yields; the last is an error.
type BrokerEvent = Result<Event, ConnectionError>;

/// Both ends of the exchange at a broker.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn connect(
    identity: &GatewayIdentity,
    broker: &BrokerEndpoint,
) -> Result<(MqttReports, ReportSession), rustls::Error> {
    let (requests, requested) = mpsc::channel(1);
    let (told, faults) = mpsc::channel(FAULTS_MAX);
    let of = |rest: &str| format!("watermaster/v1/aggregators/{}/{rest}", identity.id);
    let topics = AggregatorTopics { metadata: of("metadata"), rates: of("rates"), errors: of("errors") };
    let session = ReportSession { options: options(identity, broker)?, topics, requests: requested, faults: told };
    Ok((MqttReports { requests, faults }, session))
}

fn options(identity: &GatewayIdentity, broker: &BrokerEndpoint) -> Result<MqttOptions, rustls::Error> {
    // With the instance in it, two gateways of one id do not take the session over from each other: the orchestrator refuses
    // the reports of the second.
    let client = format!("watermaster-gateway-{}-{}", identity.id, identity.instance);
    let mut options = MqttOptions::new(client, &broker.host, broker.port);
    let max_packet_size = Some(u32::try_from(EVENT_MAX_BYTES).unwrap_or(u32::MAX));
    options
        .set_connect_properties(ConnectProperties { max_packet_size, ..ConnectProperties::new() })
        .set_clean_start(true)
        .set_keep_alive(BROKER_KEEP_ALIVE)
        .set_connection_timeout(ORCHESTRATOR_WAIT.as_secs());
    if let Some(password) = &broker.password {
        options.set_credentials(&identity.id, password);
    }
    if broker.is_tls {
        // Another part of the process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Arc::new(ClientConfig::with_platform_verifier()?);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    Ok(options)
}

impl MqttReports {
    /// One report, until the broker has it.
    pub(super) async fn send(&mut self, report: Vec<u8>) -> Result<(), OrchestratorError> {
        // They are about reports before this one.
        while self.faults.try_recv().is_ok() {}
        let (answer, answered) = oneshot::channel();
        let request = ReportRequest { body: report, answer };
        let exchange = async {
            self.requests.send(request).await.map_err(|_| OrchestratorError::Disconnected)?;
            answered.await.unwrap_or(Err(OrchestratorError::Disconnected))
        };
        timeout(ORCHESTRATOR_WAIT, exchange).await.unwrap_or(Err(OrchestratorError::BrokerSilent))
    }

    /// What the orchestrator says of the report of this time: a refusal comes within the deadline, or not at all.
    pub(super) async fn verdict(&mut self, at_ms: u64) -> Result<(), OrchestratorError> {
        let refusal = async {
            while let Some(fault) = self.faults.recv().await {
                if fault.report_at.is_some_and(|at| at.0 == at_ms) {
                    return Err(OrchestratorError::refused(fault.problem));
                }
            }
            Ok(())
        };
        timeout(ORCHESTRATOR_WAIT, refusal).await.unwrap_or(Ok(()))
    }
}

impl ReportSession {
    /// Has a connection, again and again, until the gateway stops and its last report is sent.
    pub(crate) async fn run(mut self, runtime: Arc<Runtime>) {
        let mut exchange = Exchange::new("MQTT");
        loop {
            let Err(error) = self.run_connection(&runtime, &mut exchange).await else { return };
            let pause = exchange.failed(&error);
            tokio::select! {
                () = runtime.stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// One connection, until it fails, or the gateway needs none.
    async fn run_connection(&mut self, runtime: &Runtime, exchange: &mut Exchange) -> Result<(), OrchestratorError> {
        let (client, polled) = AsyncClient::new(self.options.clone(), BROKER_QUEUE_MAX);
        let (sender, mut events) = mpsc::channel(BROKER_QUEUE_MAX);
        // A task of its own: polling is not to be cancelled between a packet that was read and its acknowledgement.
        let _polling = AbortOnDropHandle::new(tokio::spawn(poll(polled, sender)));
        tokio::select! {
            () = runtime.stop.cancelled() => return Ok(()),
            subscribed = self.subscribe(runtime, &client, &mut events) => subscribed?,
        }
        let mut in_flight: Option<InFlightReport> = None;
        loop {
            let deadline = in_flight.as_ref().map(|report| report.deadline);
            tokio::select! {
                event = events.recv() => match next_packet(event)? {
                    Some(Packet::Publish(publish)) => self.on_message(runtime, &publish),
                    Some(Packet::PubAck(ack)) => if let Some(report) = in_flight.take() {
                        exchange.succeeded();
                        // The reporter may have stopped to wait.
                        let _ = report.answer.send(outcome(ack));
                    },
                    _ => {}
                },
                request = self.requests.recv(), if in_flight.is_none() => match request {
                    None => return disconnect(&client, &mut events).await,
                    Some(ReportRequest { answer, .. }) if answer.is_closed() => {}
                    Some(ReportRequest { body, answer }) => {
                        let sent = client.try_publish(&self.topics.metadata, QoS::AtLeastOnce, false, body);
                        sent.map_err(|_| OrchestratorError::Disconnected)?;
                        in_flight = Some(InFlightReport { answer, deadline: Instant::now() + ORCHESTRATOR_WAIT });
                    }
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Err(OrchestratorError::BrokerSilent);
                }
            }
        }
    }

    /// Connects, and subscribes to rates and errors.
    async fn subscribe(
        &self,
        runtime: &Runtime,
        client: &AsyncClient,
        events: &mut mpsc::Receiver<BrokerEvent>,
    ) -> Result<(), OrchestratorError> {
        let filters = [&self.topics.errors, &self.topics.rates].map(|topic| Filter::new(topic, QoS::AtLeastOnce));
        client.try_subscribe_many(filters).map_err(|_| OrchestratorError::Disconnected)?;
        let subscribed = async {
            loop {
                match next_packet(events.recv().await)? {
                    Some(Packet::SubAck(ack)) => {
                        let is_granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                        let is_good = ack.return_codes.len() == 2 && ack.return_codes.iter().all(is_granted);
                        return if is_good { Ok(()) } else { Err(OrchestratorError::SubscriptionRefused) };
                    }
                    // What is retained may come before (MQTT 5 §3.8.4).
                    Some(Packet::Publish(publish)) => self.on_message(runtime, &publish),
                    _ => {}
                }
            }
        };
        // The connection has a deadline of its own.
        timeout(2 * ORCHESTRATOR_WAIT, subscribed).await.unwrap_or(Err(OrchestratorError::BrokerSilent))
    }

    fn on_message(&self, runtime: &Runtime, publish: &Publish) {
        if publish.topic == self.topics.rates {
            if let Err(error) = on_rates(runtime, publish) {
                tracing::warn!(%error, "these rates are ignored");
            }
        } else if publish.topic == self.topics.errors {
            match serde_json::from_slice(&publish.payload) {
                Ok(fault) => self.on_fault(runtime, fault),
                Err(error) => tracing::warn!(%error, "a refusal cannot be read"),
            }
        }
    }

    fn on_fault(&self, runtime: &Runtime, fault: AggregatorFault) {
        runtime.observe_clock(fault.at.0);
        // What cannot be read PUBACK has refused; what another instance reported is its own affair.
        let is_own = fault.report_instance.as_ref().is_none_or(|instance| *instance == runtime.identity.instance);
        if is_own && self.faults.try_send(fault).is_err() {
            tracing::debug!("too many refusals wait: one is lost");
        }
    }
}

fn on_rates(runtime: &Runtime, publish: &Publish) -> Result<(), OrchestratorError> {
    // Rates whose lease has ended are cleared.
    if publish.payload.is_empty() {
        return Ok(());
    }
    let mut rates: AggregatorRates = serde_json::from_slice(&publish.payload)?;
    if publish.retain {
        // They hold for what is left of the lease: the broker counts the interval down (MQTT 5 §3.3.2.3.3).
        let left_s = publish.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
        rates.lease_ms = left_s.map_or(rates.lease_ms, |left_s| rates.lease_ms.min(u64::from(left_s) * 1_000));
    } else {
        runtime.observe_clock(rates.at.0);
    }
    match apply_rates(runtime, &rates) {
        // An instance before this one may have left them.
        Err(OrchestratorError::OtherInstance(_)) if publish.retain => Ok(()),
        applied => applied,
    }
}

/// Polls a connection until it fails, or its events are wanted no more.
async fn poll(mut polled: EventLoop, sender: mpsc::Sender<BrokerEvent>) {
    loop {
        let event = polled.poll().await;
        let is_last = event.is_err();
        if sender.send(event).await.is_err() || is_last {
            return;
        }
    }
}

/// The packet that an event brings, if any.
fn next_packet(event: Option<BrokerEvent>) -> Result<Option<Packet>, OrchestratorError> {
    match event {
        None => Err(OrchestratorError::Disconnected),
        Some(Err(error)) => Err(Box::new(error).into()),
        Some(Ok(Event::Incoming(packet))) => Ok(Some(packet)),
        Some(Ok(Event::Outgoing(_))) => Ok(None),
    }
}

fn outcome(ack: PubAck) -> Result<(), OrchestratorError> {
    match ack.reason {
        PubAckReason::Success => Ok(()),
        PubAckReason::NoMatchingSubscribers => Err(OrchestratorError::NoOrchestrator),
        code => {
            let reason = ack.properties.and_then(|properties| properties.reason_string);
            Err(OrchestratorError::ReportRefused { code, reason })
        }
    }
}

/// Says that the gateway goes (MQTT 5 §3.14), as far as there is time.
async fn disconnect(client: &AsyncClient, events: &mut mpsc::Receiver<BrokerEvent>) -> Result<(), OrchestratorError> {
    let sent = async {
        if client.try_disconnect().is_ok() {
            while let Some(Ok(event)) = events.recv().await {
                if event == Event::Outgoing(Outgoing::Disconnect) {
                    return;
                }
            }
        }
    };
    let _ = timeout(FAREWELL_WAIT, sent).await;
    Ok(())
}
