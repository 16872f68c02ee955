//! Delivery by POST: one task a subscription, one batch at a time. What the answer means is decided here; when to try
//! again, in the machine.

use std::net::SocketAddrV4;
use std::sync::Arc;

use reqwest::{Client, Response, StatusCode, Url, header};

use super::buffer::SubscriptionId;
use super::core::Ending;
use super::limits::CALLBACK_ANSWER_MAX_BYTES;
use super::runtime::{DeliveryChannel, Shared, WorkerHandle};
use super::subscription::met_at;

/// Carries the instance of the gateway that delivers, so that it knows its own deliveries if they come back.
pub(super) const INSTANCE_HEADER: &str = "x-watermaster-instance";

/// Posts batches until the subscription or the gateway ends.
pub(super) async fn deliver(shared: Arc<Shared>, client: Client, id: SubscriptionId, url: Url, hired: WorkerHandle) {
    let WorkerHandle { epoch, mut deliveries, over } = hired;
    let mut was_failing = false;
    let mut met = None;
    loop {
        let delivery = tokio::select! {
            () = over.cancelled() => return,
            delivery = deliveries.recv() => delivery,
        };
        let Some(delivery) = delivery else { return };
        let outcome = tokio::select! {
            () = over.cancelled() => return,
            outcome = post(&client, &url, &shared.identity.instance, delivery) => outcome,
        };
        let ending = outcome.ending;
        match (ending, was_failing) {
            (Ending::Arrived, true) => tracing::info!(subscription = %id, %url, "the consumer takes batches again"),
            (Ending::Failed, false) => {
                tracing::warn!(subscription = %id, %url, why = outcome.why, "a delivery failed; it will be tried again");
            }
            (Ending::Rejected, _) => {
                tracing::warn!(subscription = %id, %url, why = outcome.why, "a batch was rejected")
            }
            (Ending::Gone, _) => tracing::warn!(subscription = %id, %url, why = outcome.why, "the subscription ends"),
            _ => {}
        }
        was_failing = ending == Ending::Failed;
        if let Some(endpoint) = outcome.taken_at
            && met.replace(endpoint) != Some(endpoint)
        {
            shared.tell(|machine, _| machine.meet(id, endpoint));
        }
        shared.settle(id, epoch, ending);
    }
}

struct DeliveryOutcome {
    ending: Ending,
    /// Where, if it arrived.
    taken_at: Option<SocketAddrV4>,
    why: String,
}

async fn post(client: &Client, url: &Url, instance: &str, delivery: DeliveryChannel) -> DeliveryOutcome {
    let request = client.post(url.clone()).header(header::CONTENT_TYPE, "application/json");
    match request.header(INSTANCE_HEADER, instance).body(delivery.body).send().await {
        Ok(response) => {
            let status = response.status();
            let peer = response.remote_addr().and_then(met_at);
            swallow(response).await;
            let (ending, why) = meaning(status);
            let taken_at = peer.filter(|_| ending == Ending::Arrived);
            DeliveryOutcome { ending, taken_at, why: format!("the answer was {status}{why}") }
        }
        Err(error) => {
            let kind = if error.is_timeout() {
                "no answer in time"
            } else if error.is_connect() {
                "no connection"
            } else {
                "the connection broke"
            };
            DeliveryOutcome { ending: Ending::Failed, taken_at: None, why: kind.to_owned() }
        }
    }
}

/// What a status means for a batch.
fn meaning(status: StatusCode) -> (Ending, &'static str) {
    match status {
        StatusCode::LOOP_DETECTED => (Ending::Gone, ": the callback leads back to a gateway"),
        StatusCode::GONE => (Ending::Gone, ": the consumer is gone for good"),
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (Ending::Rejected, "")
        }
        StatusCode::UNPROCESSABLE_ENTITY => (Ending::Rejected, ""),
        _ if status.is_success() => (Ending::Arrived, ""),
        _ if status.is_redirection() => (Ending::Failed, ": redirects are not followed"),
        _ => (Ending::Failed, ""),
    }
}

/// A connection can be used again when its answer was read; one that talks too much is closed.
async fn swallow(mut response: Response) {
    let mut left = CALLBACK_ANSWER_MAX_BYTES;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
