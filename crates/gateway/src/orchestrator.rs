//! The exchange with the orchestrator: metadata there, rates back, over HTTP or MQTT. Without an orchestrator the gateway goes
//! on; when there is one again, the next report registers it there.
//!
//! What must stay true: nothing that the orchestrator does or leaves undone stops the gateway; reports are no more frequent
//! than the limits say.

mod endpoint;
mod exchange;
mod http_reports;
mod mqtt_reports;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::client::ClientError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

pub(super) use self::endpoint::{OrchestratorEndpoint, OrchestratorUrlError};
use self::exchange::{Exchange, OrchestratorError};
pub(super) use self::http_reports::{HttpReports, follow_rates};
pub(super) use self::mqtt_reports::{MqttReports, connect};
use super::limits::{FAREWELL_WAIT, NODES_MAX, REPORT_PAUSE, UNKNOWN_NODE_WAIT};
use super::runtime::Runtime;
use super::view;

/// How reports reach the orchestrator.
pub(super) enum ReportTransport {
    Http(Box<HttpReports>),
    Mqtt(MqttReports),
}

impl ReportTransport {
    /// Learns the time of the orchestrator, where that is possible without a report.
    async fn ask_time(&self, runtime: &Runtime) {
        match self {
            Self::Http(reports) => reports.ask_time(runtime).await,
            // Rates and refusals have it.
            Self::Mqtt(_) => {}
        }
    }

    async fn send(&mut self, runtime: &Runtime, report: Vec<u8>) -> Result<(), OrchestratorError> {
        match self {
            Self::Http(reports) => reports.send(runtime, report).await,
            Self::Mqtt(reports) => reports.send(report).await,
        }
    }

    /// What the orchestrator says of the report of this time after it was sent.
    async fn verdict(&mut self, at_ms: u64) -> Result<(), OrchestratorError> {
        match self {
            // The answer said it.
            Self::Http(_) => Ok(()),
            Self::Mqtt(reports) => reports.verdict(at_ms).await,
        }
    }
}

/// Since when nodes are left out of reports because the orchestrator does not know them. It refuses a report with one
/// consumer there as a whole; their consumers still get what is left of the rates.
#[derive(Default)]
struct UnknownNodes {
    since: Option<Instant>,
    /// Each is a line in the log once.
    logged: BTreeSet<String>,
}

impl UnknownNodes {
    /// Has them reported again after a while: the node may be there by now.
    fn expire(&mut self, runtime: &Runtime) {
        if self.since.is_some_and(|since| since.elapsed() > UNKNOWN_NODE_WAIT) {
            self.since = None;
            runtime.update(|core, _| core.set_unknown_nodes(BTreeSet::new()));
        }
    }

    /// Whether the problem names a consumer's node that was not left out yet.
    fn extend(&mut self, error: &OrchestratorError, runtime: &Runtime) -> bool {
        let OrchestratorError::Client(ClientError::Refused(problem)) = error else { return false };
        let refused: BTreeSet<&str> = problem.nodes.iter().flatten().map(String::as_str).collect();
        let own = &runtime.identity.node;
        let found: BTreeSet<String> = runtime.read(|core, _| {
            let nodes = core.subscriptions().filter_map(|subscription| subscription.terms.node.as_ref());
            let is_news =
                |node: &&String| refused.contains(&***node) && *node != own && !core.unknown_nodes().contains(*node);
            nodes.filter(is_news).cloned().collect()
        });
        if found.is_empty() {
            return false;
        }
        if self.logged.len() > NODES_MAX {
            self.logged.clear();
        }
        for node in found.iter().filter(|node| self.logged.insert((*node).clone())) {
            tracing::warn!(node, "the orchestrator does not know this node: consumers there are not reported");
        }
        self.since.get_or_insert_with(Instant::now);
        runtime.update(|core, _| core.set_unknown_nodes(core.unknown_nodes() | &found));
        true
    }
}

/// Reports at every interval and after every change of subscriptions, until the gateway stops.
pub(super) async fn run_reports(runtime: Arc<Runtime>, mut transport: ReportTransport, interval: Duration) {
    let mut exchange = Exchange::new("metadata");
    let mut revisions = runtime.revisions();
    let mut unknown = UnknownNodes::default();
    // A first report with a time far ahead would be newer than all that follow.
    transport.ask_time(&runtime).await;
    loop {
        revisions.mark_unchanged();
        unknown.expire(&runtime);
        let started = Instant::now();
        let answer = report(&runtime, &mut transport, &revisions, interval).await;
        runtime.count_report(answer.is_ok());
        let due = match &answer {
            Ok(due) => {
                exchange.succeeded();
                *due
            }
            Err(error) if unknown.extend(error, &runtime) => Instant::now() + REPORT_PAUSE,
            Err(error) => Instant::now() + exchange.failed(error),
        };
        tokio::select! {
            () = runtime.stop.cancelled() => {
                if answer.is_ok() {
                    send_farewell(&runtime, &mut transport).await;
                }
                return;
            }
            () = sleep_until(due) => {}
            _ = revisions.changed() => sleep_until(started + REPORT_PAUSE).await,
        }
    }
}

/// One report; when the next is due. A report that is not refused by then, or by the time that there is more to report, is
/// accepted.
async fn report(
    runtime: &Runtime,
    transport: &mut ReportTransport,
    revisions: &watch::Receiver<u64>,
    interval: Duration,
) -> Result<Instant, OrchestratorError> {
    let at_ms = runtime.stamp_report();
    transport.send(runtime, view::metadata(runtime, at_ms)).await?;
    let due = Instant::now() + interval;
    // A copy: the change is still to be seen by the caller.
    let mut revisions = revisions.clone();
    tokio::select! {
        biased;
        verdict = transport.verdict(at_ms) => verdict?,
        () = runtime.stop.cancelled() => {}
        () = sleep_until(due) => {}
        _ = revisions.changed() => {}
    }
    Ok(due)
}

/// A last report, without an instance and without anything to send: reservations are released, and the next instance under
/// this id is accepted at once. If it is lost, the lease does the same later.
async fn send_farewell(runtime: &Runtime, transport: &mut ReportTransport) {
    let report = view::farewell(runtime, runtime.stamp_report());
    let sent = timeout(FAREWELL_WAIT, transport.send(runtime, report)).await;
    if !matches!(sent, Ok(Ok(()) | Err(OrchestratorError::Rates(_)))) {
        tracing::debug!("the orchestrator did not answer the farewell");
    }
}
