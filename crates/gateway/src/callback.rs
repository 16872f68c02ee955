//! Delivery by POST: one task a subscription, one batch at a time. What an answer means is decided here; when to try again,
//! in [`core`](super::core).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode, Url, header};

use super::buffer::SubscriptionId;
use super::content_coding::{BodyEncoder, DeliveryCoding};
use super::core::DeliveryOutcome;
use super::limits::{CALLBACK_ANSWER_MAX_BYTES, DELIVERY_HEADS_BYTES, FAILURE_LOG_INTERVAL};
use super::runtime::{RenderedBatch, Runtime, WorkerHandle};
use super::subscription::peer_endpoint;
use super::wire_cost::SentBody;

/// Carries the instance of the gateway that delivers, so that it recognises its own deliveries if they come back.
pub(super) const INSTANCE_HEADER: &str = "x-watermaster-instance";

/// Posts batches until the subscription or the gateway ends.
pub(super) async fn deliver(runtime: Arc<Runtime>, client: Client, id: SubscriptionId, url: Url, worker: WorkerHandle) {
    let WorkerHandle { epoch, mut batches, cancelled } = worker;
    let mut log = DeliveryLog { id, url: url.clone(), is_failing: false, logged_at: None, unlogged: 0 };
    let (mut last_peer, mut coding) = (None, None);
    loop {
        let batch = tokio::select! {
            () = cancelled.cancelled() => return,
            batch = batches.recv() => batch,
        };
        let Some(RenderedBatch { body, charge, .. }) = batch else { return };
        // Nothing is gained by coding what takes nothing of a rate.
        let plain_bytes = body.len();
        let batch = CodedBody::new(body, coding.filter(|_| charge.is_some()));
        let (sent_bytes, head_bytes) = (batch.body.len(), DELIVERY_HEADS_BYTES);
        runtime.settle(id, charge, SentBody { plain_bytes, sent_bytes, head_bytes });
        let answer = tokio::select! {
            () = cancelled.cancelled() => return,
            answer = post(&client, &url, &runtime.identity.instance, batch) => answer,
        };
        log.record(answer.outcome, &answer.reason);
        // Each answer says anew what the consumer accepts: it may have been replaced.
        coding = answer.accepted;
        if let Some(peer) = answer.peer
            && last_peer.replace(peer) != Some(peer)
        {
            runtime.update(|core, _| core.observe_endpoint(id, peer));
        }
        runtime.finish_delivery(id, epoch, answer.outcome);
    }
}

/// The lines of a subscription in the log: one when its consumer begins to fail, one when it accepts batches again, and in
/// between at most one in [`FAILURE_LOG_INTERVAL`].
struct DeliveryLog {
    id: SubscriptionId,
    url: Url,
    is_failing: bool,
    logged_at: Option<Instant>,
    /// Failures without a line.
    unlogged: u64,
}

impl DeliveryLog {
    fn record(&mut self, outcome: DeliveryOutcome, reason: &str) {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome != DeliveryOutcome::Delivered);
        if !self.is_failing && !was_failing {
            return;
        }
        if self.logged_at.is_some_and(|at| at.elapsed() < FAILURE_LOG_INTERVAL) && outcome != DeliveryOutcome::Gone {
            self.unlogged += u64::from(self.is_failing);
            return;
        }
        let unlogged = std::mem::take(&mut self.unlogged);
        self.logged_at = Some(Instant::now());
        let Self { id, url, .. } = self;
        match outcome {
            DeliveryOutcome::Delivered | DeliveryOutcome::Written => {
                tracing::info!(subscription = %id, %url, unlogged, "the consumer accepts batches again");
            }
            DeliveryOutcome::Failed | DeliveryOutcome::Postponed(_) => {
                tracing::warn!(subscription = %id, %url, reason, unlogged, "a delivery failed; it will be tried again");
            }
            DeliveryOutcome::Rejected | DeliveryOutcome::TooLarge => {
                tracing::warn!(subscription = %id, %url, reason, unlogged, "a batch was rejected");
            }
            DeliveryOutcome::Gone => tracing::warn!(subscription = %id, %url, reason, "the subscription ends"),
        }
    }
}

/// A body, coded as the consumer's last answer asked.
struct CodedBody {
    body: Vec<u8>,
    coding: Option<DeliveryCoding>,
}

impl CodedBody {
    /// A body that cannot be coded, for want of memory, goes as it is.
    fn new(body: Vec<u8>, coding: Option<DeliveryCoding>) -> Self {
        match coding.map(|coding| (coding, BodyEncoder::encode_whole(coding, &body))) {
            Some((coding, Ok(body))) => Self { body, coding: Some(coding) },
            Some((_, Err(_))) | None => Self { body, coding: None },
        }
    }
}

struct PostAnswer {
    /// The coding that the consumer accepts.
    accepted: Option<DeliveryCoding>,
    outcome: DeliveryOutcome,
    /// The other end of the connection, if the batch was delivered.
    peer: Option<SocketAddr>,
    reason: String,
}

async fn post(client: &Client, url: &Url, instance: &str, batch: CodedBody) -> PostAnswer {
    let request = client.post(url.clone()).header(header::CONTENT_TYPE, "application/json");
    let request = match batch.coding {
        Some(coding) => request.header(header::CONTENT_ENCODING, coding.token()),
        None => request,
    };
    match request.header(INSTANCE_HEADER, instance).body(batch.body).send().await {
        Ok(response) => {
            let status = response.status();
            let retry_after = retry_after(&response);
            let peer = response.remote_addr().and_then(peer_endpoint);
            let accepted = DeliveryCoding::accepted(response.headers());
            drain(response).await;
            let (outcome, note) = outcome_of(status, batch.coding);
            let outcome = match (outcome, retry_after) {
                (DeliveryOutcome::Failed, Some(wanted)) => DeliveryOutcome::Postponed(wanted),
                (outcome, _) => outcome,
            };
            let peer = peer.filter(|_| outcome == DeliveryOutcome::Delivered);
            // What was refused as coded goes again as it is.
            let accepted = accepted.filter(|_| status != StatusCode::UNSUPPORTED_MEDIA_TYPE);
            PostAnswer { outcome, accepted, peer, reason: format!("the answer was {status}{note}") }
        }
        Err(error) => {
            let reason = if error.is_timeout() {
                "no answer in time"
            } else if error.is_connect() {
                "no connection"
            } else {
                "the connection broke"
            };
            PostAnswer { outcome: DeliveryOutcome::Failed, accepted: None, peer: None, reason: reason.to_owned() }
        }
    }
}

/// What a status means for a batch of this coding.
fn outcome_of(status: StatusCode, coding: Option<DeliveryCoding>) -> (DeliveryOutcome, &'static str) {
    match status {
        // RFC 9110 §12.5.3: the coding is what it does not support.
        StatusCode::UNSUPPORTED_MEDIA_TYPE if coding.is_some() => (DeliveryOutcome::Failed, ": without coding next"),
        StatusCode::LOOP_DETECTED => (DeliveryOutcome::Gone, ": the callback leads back to a gateway"),
        StatusCode::GONE => (DeliveryOutcome::Gone, ": the consumer is gone for good"),
        StatusCode::PAYLOAD_TOO_LARGE => (DeliveryOutcome::TooLarge, ""),
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::UNPROCESSABLE_ENTITY => {
            (DeliveryOutcome::Rejected, "")
        }
        _ if status.is_success() => (DeliveryOutcome::Delivered, ""),
        _ if status.is_redirection() => (DeliveryOutcome::Failed, ": redirects are not followed"),
        _ => (DeliveryOutcome::Failed, ""),
    }
}

/// The pause that the consumer asks for (RFC 9110 §10.2.3), if it is given in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// A connection can be used again once its answer was read; one with too long an answer is closed.
async fn drain(mut response: Response) {
    let mut left = CALLBACK_ANSWER_MAX_BYTES;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
