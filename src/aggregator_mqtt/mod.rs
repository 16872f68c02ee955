//! The orchestrator's side of MQTT: metadata in, retained rates out, birth and will. The same documents as over HTTP. What
//! must stay true: a message costs bounded memory and at most a line in the log; rates of one aggregator are published with
//! rising sequence numbers; a forgotten aggregator leaves nothing retained, nor does an instance that crashed, since rates
//! expire with their lease.

mod policy;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

pub use self::policy::{BrokerPolicy, ReportFaults};
use self::topics::{AggregatorTopicName, TopicKind};
use crate::app::{App, RateNews, RejectedReport, Scheduler, SchedulerLead};
use api::aggregator::AggregatorFault;
use api::instant::Instant as DocumentInstant;
use api::problem::ProblemDocument;
use formats::aggregator::{self as documents, UnreadableReport};
use kernel::id::Name;
use kernel::scheduler::engine::{AggregatorView, ReportRejection};
use mqtt::codec::Qos;
use mqtt::{Broker, LocalClient, LocalClientError, Message};

/// The pause before a failed publication or session is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often a refused report is logged.
const WARN_EVERY: Duration = Duration::from_secs(1);
/// The aggregators that are read at a time when news were missed.
const PAGE: usize = 1_000;

/// The problems of refused reports: those that HTTP answers, whose kinds are that interface's.
#[derive(Clone, Copy, Debug)]
pub struct ReportProblems {
    /// Of a report that cannot be read.
    pub unreadable: fn(UnreadableReport) -> ProblemDocument,
    /// Of a report that the scheduler rejects.
    pub rejected: fn(ReportRejection) -> ProblemDocument,
}

/// Exchanges messages for the orchestrator until the service stops.
pub async fn run(app: App, broker: Broker, mut faults: ReportFaults, problems: ReportProblems) {
    let stop = app.stopping();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = run_session(&app, &broker, &mut faults, problems) => match ended {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the orchestrator lost its MQTT session, and opens another"),
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RETRY_PAUSE) => {}
        }
    }
}

/// One session; it ends with the broker.
async fn run_session(
    app: &App,
    broker: &Broker,
    faults: &mut ReportFaults,
    problems: ReportProblems,
) -> Result<(), LocalClientError> {
    let mut client = broker.client("orchestrator").await?;
    let mut news = app.scheduler().news();
    for filter in topics::FILTERS {
        client.subscribe(filter, Qos::AtLeastOnce).await?;
    }
    let mut session = MqttSession {
        app: app.clone(),
        scheduler: app.scheduler().clone(),
        problems,
        published: BTreeMap::new(),
        pending: BTreeSet::new(),
        warned_at: None,
    };
    session.enqueue_all();
    loop {
        session.publish_pending(&client).await;
        tokio::select! {
            message = client.next() => match message {
                Some(message) => session.on_message(&message).await,
                None => return Ok(()),
            },
            item = news.recv() => match item {
                Ok(RateNews::Changed(view)) => session.publish_rates(&client, &view).await,
                Ok(RateNews::Forgotten(id)) => session.clear_rates(&client, id).await,
                Ok(RateNews::Rejected(report)) => session.tell_rejected(&client, &report).await,
                Err(RecvError::Lagged(_)) => session.enqueue_all(),
                Err(RecvError::Closed) => return Ok(()),
            },
            Some((id, fault)) = faults.0.recv() => session.tell_unreadable(&client, &id, fault).await,
            () = sleep(RETRY_PAUSE), if !session.pending.is_empty() => {}
        }
    }
}

struct MqttSession {
    app: App,
    scheduler: Scheduler,
    problems: ReportProblems,
    /// The sequence number of each aggregator's published rates.
    published: BTreeMap<Name, u64>,
    /// The aggregators whose rates are still to be published.
    pending: BTreeSet<Name>,
    /// When a refused report was logged last.
    warned_at: Option<Instant>,
}

impl MqttSession {
    /// A message arrived under a topic of an aggregator.
    async fn on_message(&mut self, message: &Message) {
        match topics::read(&message.topic) {
            Ok(AggregatorTopicName { id, kind: TopicKind::Metadata }) => self.on_metadata(id, &message.payload).await,
            Ok(AggregatorTopicName { id, kind: TopicKind::State }) => self.on_state(id, &message.payload),
            Err(error) => {
                tracing::info!(topic = %message.topic.escape_debug(), %error, "not the topic of an aggregator")
            }
        }
    }

    async fn on_metadata(&self, id: Name, payload: &[u8]) {
        // What cannot be read the broker has refused.
        if let Ok(metadata) = documents::read_report(payload) {
            // A full queue holds the session up, which the broker bounds.
            drop(self.scheduler.post(id, metadata).await);
        }
    }

    async fn tell_rejected(&mut self, client: &LocalClient, report: &RejectedReport) {
        let problem = (self.problems.rejected)(report.reason.clone());
        let report_instance = report.metadata.presence.instance.as_ref().map(Name::to_string);
        let (at, report_at) = (DocumentInstant(self.app.now().0), Some(DocumentInstant(report.metadata.at.0)));
        self.tell_fault(client, &report.id, AggregatorFault { at, report_at, report_instance, problem }).await;
    }

    async fn tell_unreadable(&mut self, client: &LocalClient, id: &Name, fault: UnreadableReport) {
        let (at, problem) = (DocumentInstant(self.app.now().0), (self.problems.unreadable)(fault));
        self.tell_fault(client, id, AggregatorFault { at, report_at: None, report_instance: None, problem }).await;
    }

    /// Tells an aggregator why a report was refused; a line a second of it goes to the log.
    async fn tell_fault(&mut self, client: &LocalClient, id: &Name, document: AggregatorFault) {
        self.scheduler.count_refused();
        if self.warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            self.warned_at = Some(Instant::now());
            tracing::warn!(%id, why = document.problem.detail, "a report over MQTT was refused");
        }
        let payload = serde_json::to_vec(&document).unwrap_or_default();
        let Some(message) = Message::new(&topics::errors(id), payload, Qos::AtLeastOnce) else { return };
        if let Err(error) = client.publish(message).await {
            tracing::debug!(%id, %error, "an aggregator could not be told that its report was refused");
        }
    }

    /// Birth and will; other payloads are ignored.
    fn on_state(&self, id: Name, payload: &[u8]) {
        match payload {
            b"lost" => {
                tracing::info!(%id, "an aggregator was lost");
                if let Err(error) = self.scheduler.silence(id) {
                    tracing::warn!(%error, "the loss of an aggregator was not queued; its lease will end instead");
                }
            }
            b"online" => tracing::info!(%id, "an aggregator is online"),
            b"" => {}
            _ => tracing::info!(%id, "the state of an aggregator is neither online nor lost"),
        }
    }

    /// Publishes an aggregator's rates, if they are newer than the published ones.
    async fn publish_rates(&mut self, client: &LocalClient, view: &AggregatorView) {
        let sequence = view.rates.sequence;
        if self.published.get(&view.id).is_some_and(|published| *published >= sequence) {
            return;
        }
        let payload = serde_json::to_vec(&documents::rates(&view.rates)).unwrap_or_default();
        // The Message Expiry Interval is in whole seconds (MQTT 5 §3.3.2.3.3).
        let lease_ms = view.rates.lease_ms.div_ceil(1_000).saturating_mul(1_000);
        // By the broker's clock, which is the machine's.
        let expires_at_ms = mqtt::unix_ms().saturating_add(lease_ms);
        if publish(client, &view.id, payload, Some(expires_at_ms)).await {
            self.pending.remove(&view.id);
            self.published.insert(view.id.clone(), sequence);
        } else {
            self.pending.insert(view.id.clone());
        }
    }

    /// An empty retained message removes the retained one (MQTT 5 §3.3.1.3).
    async fn clear_rates(&mut self, client: &LocalClient, id: Name) {
        self.published.remove(&id);
        if publish(client, &id, vec![], None).await {
            self.pending.remove(&id)
        } else {
            self.pending.insert(id)
        };
    }

    fn schedules_here(&self) -> bool {
        matches!(self.app.scheduler_lead(), SchedulerLead::Here | SchedulerLead::Unconfirmed)
    }

    /// Publishes the rates that could not be published before.
    async fn publish_pending(&mut self, client: &LocalClient) {
        for id in std::mem::take(&mut self.pending) {
            match self.scheduler.aggregator(&id) {
                Some(view) => self.publish_rates(client, &view).await,
                // An aggregator that another instance schedules has its rates from there.
                None if !self.schedules_here() => drop(self.published.remove(&id)),
                None => self.clear_rates(client, id).await,
            }
            if !self.pending.is_empty() {
                // The broker does not answer: later.
                return self.enqueue_all();
            }
        }
    }

    fn enqueue_all(&mut self) {
        let mut after: Option<Name> = None;
        loop {
            let page: Vec<Arc<AggregatorView>> = self.scheduler.aggregators(after.as_ref(), PAGE);
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            self.pending.extend(page.iter().map(|view| view.id.clone()));
        }
        // Rates of aggregators that were forgotten meanwhile may still be retained.
        self.pending.extend(self.published.keys().cloned());
    }
}

async fn publish(client: &LocalClient, id: &Name, payload: Vec<u8>, expires_at_ms: Option<u64>) -> bool {
    let Some(message) = Message::new(&topics::rates(id), payload, Qos::AtLeastOnce) else { return true };
    match client.publish(Message { expires_at_ms, ..message.retained() }).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%id, %error, "rates could not be published; trying again");
            false
        }
    }
}
