//! The exchange with the orchestrator over HTTP: metadata there, rates back. Without an orchestrator the gateway goes on;
//! when there is one again, the next report registers it there.
//!
//! What must stay true: nothing that the orchestrator does or leaves undone stops the gateway; requests are no more frequent
//! than the limits say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use api::aggregator::{AggregatorRates, UnservedReason};
use api::client::{ClientError, body};
use api::qos_level::{Level, PerLevel};
use api::retry::Retry;
use api::sse::{SseDecoder, SseError};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Url, header};
use tokio::time::{Instant, sleep, timeout};

use super::clock::wall_ms;
use super::limits::{
    EVENT_MAX_BYTES, FAREWELL_WAIT, NODES_MAX, REPORT_PAUSE, RETRY_MAX, RETRY_MIN, STREAM_SILENCE_MAX,
    UNKNOWN_NODE_WAIT,
};
use super::rate_lease::{LevelRates, RatesError, RatesUpdate};
use super::report_clock::ReportClock;
use super::runtime::Runtime;
use super::view;

/// The orchestrator's URLs for one aggregator.
#[derive(Clone, Debug)]
pub(super) struct OrchestratorUrls {
    pub(super) metadata: Url,
    pub(super) rates: Url,
    /// Who we are to it.
    pub(super) authorization: Option<HeaderValue>,
}

/// A text is not the URL of an orchestrator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid orchestrator '{0}': give an http or https URL, such as http://127.0.0.1:8080")]
pub struct OrchestratorUrlError(String);

impl OrchestratorUrls {
    /// Below the orchestrator's own URL.
    pub(super) fn new(orchestrator: &str, id: &str) -> Result<Self, OrchestratorUrlError> {
        let invalid = || OrchestratorUrlError(orchestrator.to_owned());
        let base: Url = orchestrator.parse().map_err(|_| invalid())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(invalid());
        }
        let below = |rest: &[&str]| {
            let mut url = base.clone();
            let mut segments = url.path_segments_mut().map_err(|()| invalid())?;
            segments.pop_if_empty().extend(["v1", "aggregators", id]).extend(rest);
            drop(segments);
            Ok(url)
        };
        Ok(Self { metadata: below(&["metadata"])?, rates: below(&["rates", "stream"])?, authorization: None })
    }

    fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        }
    }
}

/// Why no rates were applied.
#[derive(Debug, thiserror::Error)]
enum OrchestratorError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the rates cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Rates(#[from] RatesError),
    #[error(transparent)]
    Stream(#[from] SseError),
    #[error("another gateway reports under this id: these rates are for its instance '{0}'")]
    OtherInstance(String),
    #[error("the stream was silent for more than {} s", STREAM_SILENCE_MAX.as_secs())]
    Silent,
    #[error("the stream ended")]
    Ended,
}

impl From<reqwest::Error> for OrchestratorError {
    fn from(error: reqwest::Error) -> Self {
        Self::Client(error.into())
    }
}

/// One exchange with the orchestrator, and when to try it again.
struct Exchange {
    what: &'static str,
    retry: Retry,
}

impl Exchange {
    fn new(what: &'static str) -> Self {
        Self { what, retry: Retry::new(RETRY_MIN, RETRY_MAX) }
    }

    fn succeeded(&mut self) {
        if self.retry.succeeded() {
            tracing::info!("{}: the orchestrator is back", self.what);
        }
    }

    /// The time until the next attempt.
    fn failed(&mut self, error: &OrchestratorError) -> Duration {
        let delay = self.retry.failed(&error.to_string());
        if delay.is_news {
            tracing::warn!(%error, "{}: the orchestrator cannot be used; going on without", self.what);
        }
        delay.pause
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
pub(super) async fn run_reports(runtime: Arc<Runtime>, client: Client, urls: OrchestratorUrls, interval: Duration) {
    let mut exchange = Exchange::new("metadata");
    let mut revisions = runtime.revisions();
    let mut clock = ReportClock::default();
    let mut unknown = UnknownNodes::default();
    // A first report with a time far ahead would be newer than all that follow.
    if let Ok(answer) = urls.authorize(client.head(urls.metadata.clone())).send().await {
        observe_clock(&runtime, &mut clock, answer.headers());
    }
    loop {
        revisions.mark_unchanged();
        unknown.expire(&runtime);
        let started = Instant::now();
        let report = view::metadata(&runtime, clock.stamp(wall_ms()));
        let answer = send_report(&runtime, &client, &urls, &mut clock, report).await;
        let is_accepted = answer.is_ok();
        runtime.count_report(is_accepted);
        let pause = match answer {
            Ok(()) => {
                exchange.succeeded();
                interval
            }
            Err(error) if unknown.extend(&error, &runtime) => REPORT_PAUSE,
            Err(error) => exchange.failed(&error),
        };
        tokio::select! {
            () = runtime.stop.cancelled() => {
                if is_accepted {
                    send_farewell(&runtime, &client, &urls, clock).await;
                }
                return;
            }
            () = sleep(pause) => {}
            _ = revisions.changed() => tokio::time::sleep_until(started + REPORT_PAUSE).await,
        }
    }
}

fn observe_clock(runtime: &Runtime, clock: &mut ReportClock, headers: &HeaderMap) {
    let date = headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let since = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let Some(there_ms) = since.and_then(|since| u64::try_from(since.as_millis()).ok()) else { return };
    if clock.observe(wall_ms(), there_ms) {
        let offset_ms = clock.offset_ms();
        tracing::warn!(offset_ms, "the orchestrator's clock differs: reports have its time");
        runtime.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}

/// One report; the answer has the rates, and renews the lease.
async fn send_report(
    runtime: &Runtime,
    client: &Client,
    urls: &OrchestratorUrls,
    clock: &mut ReportClock,
    report: Vec<u8>,
) -> Result<(), OrchestratorError> {
    let request = urls.authorize(client.put(urls.metadata.clone())).header(header::CONTENT_TYPE, "application/json");
    let response = request.body(report).send().await?;
    observe_clock(runtime, clock, response.headers());
    let text = body(response, EVENT_MAX_BYTES).await?;
    // An orchestrator may answer without a body: rates come by the stream then.
    if text.is_empty() { Ok(()) } else { apply_rates(runtime, &text) }
}

/// A last report, without an instance and without anything to send: reservations are released, and the next instance under
/// this id is accepted at once. If it is lost, the lease does the same later.
async fn send_farewell(runtime: &Runtime, client: &Client, urls: &OrchestratorUrls, mut clock: ReportClock) {
    let report = view::farewell(runtime, clock.stamp(wall_ms()));
    let sent = timeout(FAREWELL_WAIT, send_report(runtime, client, urls, &mut clock, report)).await;
    if !matches!(sent, Ok(Ok(()) | Err(OrchestratorError::Rates(_)))) {
        tracing::debug!("the orchestrator did not answer the farewell");
    }
}

fn apply_rates(runtime: &Runtime, text: &[u8]) -> Result<(), OrchestratorError> {
    let document: AggregatorRates = serde_json::from_slice(text)?;
    if let Some(other) = document.instance.as_ref().filter(|instance| **instance != runtime.identity.instance) {
        return Err(OrchestratorError::OtherInstance(other.clone()));
    }
    let rates = LevelRates::read(&document)?;
    let (sequence, levels_bps, unserved) = (rates.sequence, rates.levels_bps, rates.unserved);
    let before = runtime.read(|core, now| core.rates(now).0);
    match runtime.update(|core, now| core.apply_rates(now, rates)) {
        RatesUpdate::Applied => {
            if before.levels_bps != levels_bps {
                tracing::info!(sequence, ?levels_bps, "new rates");
            }
            log_unserved(&before.unserved, &unserved);
        }
        RatesUpdate::Outdated => tracing::debug!(sequence, "these rates are older than those in force"),
    }
    Ok(())
}

/// A level for which the orchestrator can reserve nothing is a line in the log, and so is its end.
fn log_unserved(before: &PerLevel<Option<UnservedReason>>, now: &PerLevel<Option<UnservedReason>>) {
    for (level, (before, now)) in Level::BEST_FIRST.into_iter().rev().zip(before.iter().zip(now)) {
        let qos_level = level.number();
        match (before, now) {
            (before, now) if before == now => {}
            (_, Some(reason)) => {
                let reason = reason.as_str();
                tracing::warn!(
                    qos_level,
                    reason,
                    "the orchestrator can reserve nothing for this level: nothing is sent in it"
                );
            }
            (_, None) => tracing::info!(qos_level, "the orchestrator can reserve for this level again"),
        }
    }
}

/// Follows the stream of rates, again and again, until the gateway stops.
pub(super) async fn follow_rates(runtime: Arc<Runtime>, client: Client, urls: OrchestratorUrls) {
    let mut exchange = Exchange::new("rates");
    loop {
        let ended = tokio::select! {
            () = runtime.stop.cancelled() => return,
            ended = read_stream(&runtime, &client, &urls, &mut exchange) => ended,
        };
        let pause = exchange.failed(&ended);
        tokio::select! {
            () = runtime.stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// One stream, until it ends; why it did.
async fn read_stream(
    runtime: &Runtime,
    client: &Client,
    urls: &OrchestratorUrls,
    exchange: &mut Exchange,
) -> OrchestratorError {
    let request = urls.authorize(client.get(urls.rates.clone())).header(header::ACCEPT, "text/event-stream");
    let mut response = match timeout(STREAM_SILENCE_MAX, request.send()).await {
        Err(_) => return OrchestratorError::Silent,
        Ok(Err(error)) => return error.into(),
        Ok(Ok(response)) if response.status().is_success() => response,
        Ok(Ok(response)) => {
            return match timeout(STREAM_SILENCE_MAX, body(response, EVENT_MAX_BYTES)).await {
                Ok(Err(error)) => error.into(),
                _ => OrchestratorError::Ended,
            };
        }
    };
    let (mut decoder, mut events) = (SseDecoder::new(EVENT_MAX_BYTES), vec![]);
    loop {
        let chunk = match timeout(STREAM_SILENCE_MAX, response.chunk()).await {
            Err(_) => return OrchestratorError::Silent,
            Ok(Err(error)) => return error.into(),
            Ok(Ok(None)) => return OrchestratorError::Ended,
            Ok(Ok(Some(chunk))) => chunk,
        };
        if let Err(error) = decoder.decode(&chunk, &mut events) {
            return error.into();
        }
        for event in events.drain(..).filter(|event| matches!(event.kind.as_str(), "rates" | "message" | "")) {
            match apply_rates(runtime, event.data.as_bytes()) {
                Ok(()) => exchange.succeeded(),
                Err(error) => tracing::warn!(%error, "these rates are ignored"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_below_the_orchestrator() {
        let urls = OrchestratorUrls::new("http://127.0.0.1:8080/base/", "ag 1").unwrap();
        assert_eq!(urls.metadata.as_str(), "http://127.0.0.1:8080/base/v1/aggregators/ag%201/metadata");
        assert_eq!(urls.rates.as_str(), "http://127.0.0.1:8080/base/v1/aggregators/ag%201/rates/stream");
        assert!(OrchestratorUrls::new("127.0.0.1:8080", "a").is_err());
        assert!(OrchestratorUrls::new("mailto:x", "a").is_err());
    }
}
