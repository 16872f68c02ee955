//! The exchange with the orchestrator over HTTP: a report is answered with rates, and a stream has those between.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use api::client::body;
use api::sse::SseDecoder;
use reqwest::header::HeaderMap;
use reqwest::{Client, header};
use tokio::time::{sleep, timeout};

use super::endpoint::OrchestratorUrls;
use super::exchange::{Exchange, OrchestratorError, apply_rates};
use crate::limits::{EVENT_MAX_BYTES, STREAM_SILENCE_MAX};
use crate::runtime::Runtime;

/// Reports over HTTP.
pub(crate) struct HttpReports {
    /// A client with a limit on the time of requests.
    pub(crate) client: Client,
    pub(crate) urls: OrchestratorUrls,
}

impl HttpReports {
    /// Asks for the time of the orchestrator.
    pub(super) async fn ask_time(&self, runtime: &Runtime) {
        if let Ok(answer) = self.urls.authorize(self.client.head(self.urls.metadata.clone())).send().await {
            observe_clock(runtime, answer.headers());
        }
    }

    /// One report; the answer has the rates, and renews the lease.
    pub(super) async fn send(&self, runtime: &Runtime, report: Vec<u8>) -> Result<(), OrchestratorError> {
        let Self { client, urls } = self;
        let request =
            urls.authorize(client.put(urls.metadata.clone())).header(header::CONTENT_TYPE, "application/json");
        let response = request.body(report).send().await?;
        observe_clock(runtime, response.headers());
        let text = body(response, EVENT_MAX_BYTES).await?;
        // An orchestrator may answer without a body: rates come by the stream then.
        if text.is_empty() { Ok(()) } else { apply_rates(runtime, &serde_json::from_slice(&text)?) }
    }
}

/// The time of an answer (`Date`, RFC 9110 §6.6.1).
fn observe_clock(runtime: &Runtime, headers: &HeaderMap) {
    let date = headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let since = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    if let Some(there_ms) = since.and_then(|since| u64::try_from(since.as_millis()).ok()) {
        runtime.observe_clock(there_ms);
    }
}

/// Follows the stream of rates, again and again, until the gateway stops.
pub(crate) async fn follow_rates(runtime: Arc<Runtime>, client: Client, urls: OrchestratorUrls) {
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
            match serde_json::from_str(&event.data)
                .map_err(OrchestratorError::from)
                .and_then(|read| apply_rates(runtime, &read))
            {
                Ok(()) => exchange.succeeded(),
                Err(error) => tracing::warn!(%error, "these rates are ignored"),
            }
        }
    }
}
