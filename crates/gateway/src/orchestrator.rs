//! What passes between a gateway and the orchestrator: metadata there, rates back, over HTTP. Without an orchestrator the
//! gateway goes on; when there is one again, the next report registers it there.
//!
//! What must stay true: nothing that the orchestrator does or leaves undone stops the gateway; nothing is asked of it more
//! often than the limits say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Client, StatusCode, Url};
use tokio::time::{Instant, sleep, timeout};

use super::client::{HttpClientError, body};
use super::clock::wall_ms;
use super::limits::{FAREWELL_WAIT, REPORT_PAUSE, RETRY_MAX, RETRY_MIN, STREAM_SILENCE_MAX, UNKNOWN_NODE_WAIT};
use super::rate_lease::Learnt;
use super::runtime::Shared;
use super::sse::{Decoder, StreamError};
use super::view;
use super::wire::{RatesDocument, RatesError};

/// Where the orchestrator is, for one aggregator.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) metadata: Url,
    pub(super) rates: Url,
}

/// The URL of the orchestrator is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is no http or https URL of an orchestrator")]
pub struct OrchestratorUrlError(String);

impl Addresses {
    /// Below the orchestrator's own URL.
    pub(super) fn new(orchestrator: &str, id: &str) -> Result<Self, OrchestratorUrlError> {
        let none = || OrchestratorUrlError(orchestrator.to_owned());
        let base: Url = orchestrator.parse().map_err(|_| none())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(none());
        }
        let below = |rest: &[&str]| {
            let mut url = base.clone();
            url.path_segments_mut().map_err(|()| none())?.pop_if_empty().extend(["v1", "aggregators", id]).extend(rest);
            Ok(url)
        };
        Ok(Self { metadata: below(&["metadata"])?, rates: below(&["rates", "stream"])? })
    }
}

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
enum TalkError {
    #[error(transparent)]
    Client(#[from] HttpClientError),
    #[error(transparent)]
    Rates(#[from] RatesError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("another gateway reports under this id: these rates are for its instance '{0}'")]
    Another(String),
    #[error("the stream was silent for too long")]
    Silent,
    #[error("the stream ended")]
    Over,
}

impl From<reqwest::Error> for TalkError {
    fn from(error: reqwest::Error) -> Self {
        Self::Client(error.into())
    }
}

/// Says once that something stopped working, and once that it works again.
struct RetryLog {
    what: &'static str,
    trouble: Option<String>,
    pauses: backon::ExponentialBackoff,
}

fn pauses() -> backon::ExponentialBackoff {
    ExponentialBuilder::new()
        .with_jitter()
        .with_min_delay(RETRY_MIN)
        .with_max_delay(RETRY_MAX)
        .without_max_times()
        .build()
}

impl RetryLog {
    fn new(what: &'static str) -> Self {
        Self { what, trouble: None, pauses: pauses() }
    }

    fn well(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("{}: the orchestrator is back", self.what);
        }
        self.pauses = pauses();
    }

    fn bad(&mut self, error: &TalkError) -> Duration {
        let trouble = error.to_string();
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(%error, "{}: the orchestrator cannot be used; going on without", self.what);
            self.trouble = Some(trouble);
        }
        self.pauses.next().unwrap_or(RETRY_MAX).min(RETRY_MAX)
    }
}

/// Nodes that the orchestrator does not know: a report with one consumer there is refused as a whole, so they are left out
/// for a while. Their consumers still get what is left of the rates.
#[derive(Default)]
struct UnknownNodes {
    nodes: BTreeSet<String>,
    since: Option<Instant>,
}

impl UnknownNodes {
    fn forgive(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() > UNKNOWN_NODE_WAIT) {
            *self = Self::default();
        }
    }

    /// Whether the error names a consumer's node that was not left out yet.
    fn learn(&mut self, error: &TalkError, shared: &Shared) -> bool {
        let TalkError::Client(HttpClientError::Status {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: Some(detail),
        }) = error
        else {
            return false;
        };
        let named: Vec<String> = shared.read(|machine, _| {
            let nodes = machine.subscriptions().filter_map(|found| found.wanted.node.clone());
            nodes.filter(|node| detail.contains(&format!("'{node}'"))).collect()
        });
        let own = &shared.identity.node;
        let mut is_new = false;
        for node in named.into_iter().filter(|node| node != own) {
            if self.nodes.insert(node.clone()) {
                tracing::warn!(node, "the orchestrator does not know this node: consumers there are not reported");
                self.since.get_or_insert_with(Instant::now);
                is_new = true;
            }
        }
        is_new
    }
}

/// Reports at every interval and after every change of subscriptions, until the gateway stops.
pub(super) async fn report(shared: Arc<Shared>, client: Client, addresses: Addresses, every: Duration) {
    let mut mood = RetryLog::new("metadata");
    let mut revisions = shared.revisions();
    let mut last_ms = 0;
    let mut unknown = UnknownNodes::default();
    loop {
        revisions.mark_unchanged();
        unknown.forgive();
        // Each report is newer than the one before, even if the clock is not.
        last_ms = wall_ms().max(last_ms + 1);
        let told = Instant::now();
        let report = view::metadata(&shared, last_ms, &unknown.nodes);
        let told_well = put(&shared, &client, &addresses.metadata, report).await;
        let is_known = told_well.is_ok();
        shared.count_report(is_known);
        let pause = match told_well {
            Ok(()) => {
                mood.well();
                every
            }
            Err(error) if unknown.learn(&error, &shared) => REPORT_PAUSE,
            Err(error) => mood.bad(&error),
        };
        tokio::select! {
            () = shared.stop.cancelled() => {
                if is_known {
                    take_leave(&shared, &client, &addresses.metadata, wall_ms().max(last_ms + 1)).await;
                }
                return;
            }
            () = sleep(pause) => {}
            _ = revisions.changed() => tokio::time::sleep_until(told + REPORT_PAUSE).await,
        }
    }
}

/// One report; the answer is what the gateway may send, and renews the lease.
async fn put(shared: &Shared, client: &Client, url: &Url, report: Vec<u8>) -> Result<(), TalkError> {
    let request = client.put(url.clone()).header(reqwest::header::CONTENT_TYPE, "application/json");
    let response = request.body(report).send().await?;
    let text = body(response).await?;
    // An orchestrator may answer without a body: rates come by the stream then.
    if text.is_empty() { Ok(()) } else { learn(shared, &text) }
}

/// A last report, without an instance and without anything to send: what was reserved is let go, and whoever starts next
/// under this id is taken at once. Not heard, the lease does the same later.
async fn take_leave(shared: &Shared, client: &Client, url: &Url, at_ms: u64) {
    let told = timeout(FAREWELL_WAIT, put(shared, client, url, view::farewell(shared, at_ms))).await;
    if !matches!(told, Ok(Ok(()) | Err(TalkError::Rates(_)))) {
        tracing::debug!("the farewell was not heard");
    }
}

fn learn(shared: &Shared, text: &[u8]) -> Result<(), TalkError> {
    let document: RatesDocument = serde_json::from_slice(text).map_err(HttpClientError::from)?;
    if let Some(other) = document.instance.as_ref().filter(|told| **told != shared.identity.instance) {
        return Err(TalkError::Another(other.clone()));
    }
    let rates = document.rates()?;
    let (sequence, levels_bps) = (rates.sequence, rates.levels_bps);
    let before = shared.read(|machine, now| machine.rates(now).0);
    match shared.tell(|machine, now| machine.learn(now, rates)) {
        Learnt::Taken if before.levels_bps == levels_bps => {}
        Learnt::Taken => tracing::info!(sequence, ?levels_bps, "new rates"),
        Learnt::Outdated => tracing::debug!(sequence, "these rates are older than those in force"),
    }
    Ok(())
}

/// Follows the stream of rates, again and again, until the gateway stops.
pub(super) async fn follow(shared: Arc<Shared>, client: Client, addresses: Addresses) {
    let mut mood = RetryLog::new("rates");
    loop {
        let ended = tokio::select! {
            () = shared.stop.cancelled() => return,
            ended = listen(&shared, &client, &addresses.rates, &mut mood) => ended,
        };
        let pause = mood.bad(&ended);
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// One stream, until it ends; why it did.
async fn listen(shared: &Shared, client: &Client, url: &Url, mood: &mut RetryLog) -> TalkError {
    let request = client.get(url.clone()).header(reqwest::header::ACCEPT, "text/event-stream");
    let mut response = match timeout(STREAM_SILENCE_MAX, request.send()).await {
        Err(_) => return TalkError::Silent,
        Ok(Err(error)) => return error.into(),
        Ok(Ok(response)) if response.status().is_success() => response,
        Ok(Ok(response)) => {
            return match timeout(STREAM_SILENCE_MAX, body(response)).await {
                Ok(Err(error)) => error.into(),
                _ => TalkError::Over,
            };
        }
    };
    let (mut decoder, mut events) = (Decoder::default(), vec![]);
    loop {
        let chunk = match timeout(STREAM_SILENCE_MAX, response.chunk()).await {
            Err(_) => return TalkError::Silent,
            Ok(Err(error)) => return error.into(),
            Ok(Ok(None)) => return TalkError::Over,
            Ok(Ok(Some(chunk))) => chunk,
        };
        if let Err(error) = decoder.push(&chunk, &mut events) {
            return error.into();
        }
        for event in events.drain(..).filter(|event| matches!(event.kind.as_str(), "rates" | "message" | "")) {
            match learn(shared, event.data.as_bytes()) {
                Ok(()) => mood.well(),
                Err(error) => tracing::warn!(%error, "rates that cannot be read are ignored"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_below_the_orchestrator() {
        let addresses = Addresses::new("http://127.0.0.1:8080/base/", "ag 1").unwrap();
        assert_eq!(addresses.metadata.as_str(), "http://127.0.0.1:8080/base/v1/aggregators/ag%201/metadata");
        assert_eq!(addresses.rates.as_str(), "http://127.0.0.1:8080/base/v1/aggregators/ag%201/rates/stream");
        assert!(Addresses::new("127.0.0.1:8080", "a").is_err());
        assert!(Addresses::new("mailto:x", "a").is_err());
    }
}
