//! Delivery by POST: one task a subscription, one batch at a time. What an answer means is decided here; when to try again,
//! in [`core`](super::core).

use std::net::SocketAddrV4;
use std::sync::Arc;

use reqwest::{Client, Response, StatusCode, Url, header};

use super::buffer::SubscriptionId;
use super::core::DeliveryOutcome;
use super::limits::CALLBACK_ANSWER_MAX_BYTES;
use super::runtime::{RenderedBatch, Runtime, WorkerHandle};
use super::subscription::peer_endpoint;

/// Carries the instance of the gateway that delivers, so that it recognises its own deliveries if they come back.
pub(super) const INSTANCE_HEADER: &str = "x-watermaster-instance";

/// Posts batches until the subscription or the gateway ends.
pub(super) async fn deliver(runtime: Arc<Runtime>, client: Client, id: SubscriptionId, url: Url, worker: WorkerHandle) {
    let WorkerHandle { epoch, mut batches, cancelled } = worker;
    let mut was_failing = false;
    let mut last_peer = None;
    loop {
        let batch = tokio::select! {
            () = cancelled.cancelled() => return,
            batch = batches.recv() => batch,
        };
        let Some(batch) = batch else { return };
        let answer = tokio::select! {
            () = cancelled.cancelled() => return,
            answer = post(&client, &url, &runtime.identity.instance, batch) => answer,
        };
        let (outcome, reason) = (answer.outcome, answer.reason);
        match (outcome, was_failing) {
            (DeliveryOutcome::Delivered, true) => {
                tracing::info!(subscription = %id, %url, "the consumer accepts batches again");
            }
            (DeliveryOutcome::Failed, false) => {
                tracing::warn!(subscription = %id, %url, reason, "a delivery failed; it will be tried again");
            }
            (DeliveryOutcome::Rejected, _) => {
                tracing::warn!(subscription = %id, %url, reason, "a batch was rejected");
            }
            (DeliveryOutcome::Gone, _) => tracing::warn!(subscription = %id, %url, reason, "the subscription ends"),
            _ => {}
        }
        was_failing = outcome == DeliveryOutcome::Failed;
        if let Some(peer) = answer.peer
            && last_peer.replace(peer) != Some(peer)
        {
            runtime.update(|core, _| core.observe_endpoint(id, peer));
        }
        runtime.finish_delivery(id, epoch, outcome);
    }
}

struct PostAnswer {
    outcome: DeliveryOutcome,
    /// The other end of the connection, if the batch was delivered.
    peer: Option<SocketAddrV4>,
    reason: String,
}

async fn post(client: &Client, url: &Url, instance: &str, batch: RenderedBatch) -> PostAnswer {
    let request = client.post(url.clone()).header(header::CONTENT_TYPE, "application/json");
    match request.header(INSTANCE_HEADER, instance).body(batch.body).send().await {
        Ok(response) => {
            let status = response.status();
            let peer = response.remote_addr().and_then(peer_endpoint);
            drain(response).await;
            let (outcome, note) = outcome_of(status);
            let peer = peer.filter(|_| outcome == DeliveryOutcome::Delivered);
            PostAnswer { outcome, peer, reason: format!("the answer was {status}{note}") }
        }
        Err(error) => {
            let reason = if error.is_timeout() {
                "no answer in time"
            } else if error.is_connect() {
                "no connection"
            } else {
                "the connection broke"
            };
            PostAnswer { outcome: DeliveryOutcome::Failed, peer: None, reason: reason.to_owned() }
        }
    }
}

/// What a status means for a batch.
fn outcome_of(status: StatusCode) -> (DeliveryOutcome, &'static str) {
    match status {
        StatusCode::LOOP_DETECTED => (DeliveryOutcome::Gone, ": the callback leads back to a gateway"),
        StatusCode::GONE => (DeliveryOutcome::Gone, ": the consumer is gone for good"),
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => (DeliveryOutcome::Rejected, ""),
        _ if status.is_success() => (DeliveryOutcome::Delivered, ""),
        _ if status.is_redirection() => (DeliveryOutcome::Failed, ": redirects are not followed"),
        _ => (DeliveryOutcome::Failed, ""),
    }
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
