//! Keeps one subscription alive: makes it, checks it, makes it again when the gateway forgot it, and ends it at last.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use api::client::{ClientError, body};
use api::gateway::{BatchDocument, SubscriptionRequest, SubscriptionView};
use api::retry::Retry;
use api::sse::SseDecoder;
use reqwest::{Client, StatusCode, Url};
use tokio::time::{sleep, timeout};

use super::super::limits::{
    CHECK_INTERVAL, DELIVERY_MAX_BYTES, EVENT_MAX_BYTES, RETRY_MAX, RETRY_MIN, STREAM_SILENCE_MAX,
};
use super::{ConsumerState, SubscriptionSpec};

/// Keeps a subscription until the consumer stops.
pub(super) async fn run(state: Arc<ConsumerState>, index: usize, spec: SubscriptionSpec, context: SubscribeContext) {
    let task = SubscriptionTask { state: Arc::clone(&state), index, spec, context };
    let mut retry = Retry::new(RETRY_MIN, RETRY_MAX);
    while !state.stop.is_cancelled() {
        let subscribed = tokio::select! {
            () = state.stop.cancelled() => return,
            subscribed = task.subscribe() => subscribed,
        };
        let pause = match subscribed {
            Ok(subscription) => {
                state.stats().subscribed(index);
                retry.succeeded();
                task.watch(&subscription).await;
                if state.stop.is_cancelled() {
                    task.unsubscribe(&subscription).await;
                    return;
                }
                tracing::info!(gateway = %task.gateway(), "the subscription is gone; subscribing again");
                RETRY_MIN
            }
            Err(error) => {
                let delay = retry.failed(&error.to_string());
                if delay.is_news {
                    tracing::warn!(gateway = %task.gateway(), %error, "cannot subscribe; trying again");
                }
                delay.pause
            }
        };
        tokio::select! {
            () = state.stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// What the tasks of one QoS level share.
#[derive(Clone)]
pub(super) struct SubscribeContext {
    /// The URL for callbacks; `None`: streams are read.
    pub(super) base: Option<Url>,
    /// For requests.
    pub(super) short: Client,
    /// For streams.
    pub(super) long: Client,
}

struct SubscriptionTask {
    state: Arc<ConsumerState>,
    /// The subscription's place among all.
    index: usize,
    spec: SubscriptionSpec,
    context: SubscribeContext,
}

impl SubscriptionTask {
    fn gateway(&self) -> &Url {
        &self.spec.gateway
    }

    fn url(&self, rest: &[&str]) -> Url {
        below(self.gateway(), &[&["v1", "subscriptions"], rest].concat())
    }

    /// Subscribes; the id of the subscription.
    async fn subscribe(&self) -> Result<String, ClientError> {
        let callback_url = self.context.base.as_ref().map(|base| {
            let token = format!("{:016x}", RandomState::new().build_hasher().finish());
            let url = below(base, &["deliveries", &self.index.to_string(), &token]);
            if let Some(known) = self.state.tokens().get_mut(self.index) {
                *known = token;
            }
            url.to_string()
        });
        let request = SubscriptionRequest {
            topic: self.spec.topic.clone(),
            qos_level: self.spec.level,
            callback_url,
            consumer: Some(self.state.options.name.clone()),
            node: self.state.options.node.clone(),
        };
        let response = self.context.short.post(self.url(&[])).json(&request).send().await?;
        let status = response.status().as_u16();
        let text = body(response, EVENT_MAX_BYTES).await?;
        let view: SubscriptionView =
            serde_json::from_slice(&text).map_err(|error| ClientError::Unreadable { status, error })?;
        Ok(view.id)
    }

    /// Until the subscription is gone or the consumer stops.
    async fn watch(&self, subscription: &str) {
        let stop = &self.state.stop;
        while !stop.is_cancelled() {
            if self.context.base.is_none() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.read_stream(subscription) => {}
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(if self.context.base.is_none() { RETRY_MIN } else { CHECK_INTERVAL }) => {}
            }
            let answer = self.context.short.get(self.url(&[subscription])).send().await;
            // A gateway that does not answer may have the subscription still.
            if answer.is_ok_and(|response| response.status() == StatusCode::NOT_FOUND) {
                return;
            }
        }
    }

    /// Reads a stream until it ends; it begins behind the last message that arrived.
    async fn read_stream(&self, subscription: &str) {
        let mut request = self.context.long.get(self.url(&[subscription, "stream"]));
        if let Some(last) = self.state.stats().last_sequence(self.index, subscription) {
            request = request.header("last-event-id", last);
        }
        let Ok(Ok(mut response)) = timeout(STREAM_SILENCE_MAX, request.send()).await else { return };
        if !response.status().is_success() {
            return;
        }
        let (mut decoder, mut events) = (SseDecoder::new(DELIVERY_MAX_BYTES), vec![]);
        while let Ok(Ok(Some(chunk))) = timeout(STREAM_SILENCE_MAX, response.chunk()).await {
            if let Err(error) = decoder.decode(&chunk, &mut events) {
                tracing::warn!(%error, "the stream cannot be read");
                return;
            }
            for event in events.drain(..).filter(|event| event.kind == "batch") {
                match serde_json::from_str::<BatchDocument>(&event.data) {
                    Ok(batch) => self.state.on_batch(self.index, &batch).await,
                    Err(error) => tracing::warn!(%error, "a batch cannot be read"),
                }
            }
        }
    }

    async fn unsubscribe(&self, subscription: &str) {
        if let Err(error) = self.context.short.delete(self.url(&[subscription])).send().await {
            tracing::warn!(%error, "the subscription was not ended: the gateway will end it in time");
        }
    }
}

/// A URL below another.
fn below(base: &Url, rest: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(rest);
    }
    url
}
