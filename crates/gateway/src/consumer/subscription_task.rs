//! Keeps one subscription alive: makes it, checks it, makes it again when the gateway forgot it, and ends it at last.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use api::client::{ClientError, body};
use api::gateway::{BatchDocument, SubscriptionRequest, SubscriptionView};
use api::retry::Retry;
use api::sse::{SseDecoder, SseError};
use reqwest::{Client, StatusCode, Url, header};
use tokio::time::{sleep, timeout};

use super::super::content_coding::BodyDecoder;
use super::super::limits::{
    CHECK_INTERVAL, DELIVERY_MAX_BYTES, EVENT_MAX_BYTES, RETRY_MAX, RETRY_MIN, STREAM_SILENCE_MAX,
};
use super::{BatchCoding, ConsumerState, SubscriptionSpec};

/// Keeps a subscription until the consumer stops.
pub(super) async fn run(state: Arc<ConsumerState>, index: usize, spec: SubscriptionSpec, context: SubscribeContext) {
    let task = SubscriptionTask::new(Arc::clone(&state), index, spec, context);
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

/// A subscription of the consumer at a gateway, whether or not it is made.
pub(super) struct SubscriptionTask {
    state: Arc<ConsumerState>,
    /// The subscription's place among all.
    index: usize,
    spec: SubscriptionSpec,
    context: SubscribeContext,
}

impl SubscriptionTask {
    pub(super) fn new(
        state: Arc<ConsumerState>,
        index: usize,
        spec: SubscriptionSpec,
        context: SubscribeContext,
    ) -> Self {
        Self { state, index, spec, context }
    }

    /// Its place among all.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn gateway(&self) -> &Url {
        &self.spec.gateway
    }

    fn url(&self, rest: &[&str]) -> Url {
        below(self.gateway(), &[&["v1", "subscriptions"], rest].concat())
    }

    /// Draws the token in the path of its callbacks anew: what a gateway sends to the path before is refused, and ends there.
    pub(super) fn renew_token(&self) -> String {
        let token = format!("{:016x}", RandomState::new().build_hasher().finish());
        if let Some(known) = self.state.tokens().get_mut(self.index) {
            known.clone_from(&token);
        }
        token
    }

    /// Whether the gateway answers in time, whatever it says of the subscription.
    pub(super) async fn answers(&self, subscription: &str, wait: Duration) -> bool {
        let question = self.context.short.get(self.url(&[subscription])).send();
        timeout(wait, question).await.is_ok_and(|answer| answer.is_ok())
    }

    /// Subscribes; the id of the subscription.
    pub(super) async fn subscribe(&self) -> Result<String, ClientError> {
        let callback_url = self.context.base.as_ref().map(|base| {
            let token = self.renew_token();
            below(base, &["deliveries", &self.index.to_string(), &token]).to_string()
        });
        let request = SubscriptionRequest {
            topic: self.spec.topic.clone(),
            qos_level: Some(self.spec.level),
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
    pub(super) async fn watch(&self, subscription: &str) {
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
        if self.state.options.coding == BatchCoding::Zstd {
            request = request.header(header::ACCEPT_ENCODING, "zstd");
        }
        let Ok(Ok(mut response)) = timeout(STREAM_SILENCE_MAX, request.send()).await else { return };
        if !response.status().is_success() {
            return;
        }
        // A coding that was not asked for cannot be read, and ends the stream.
        let is_coded = response.headers().contains_key(header::CONTENT_ENCODING);
        let Ok(mut coding) = is_coded.then(BodyDecoder::new).transpose() else { return };
        let mut decoder = SseDecoder::new(DELIVERY_MAX_BYTES);
        while let Ok(Ok(Some(chunk))) = timeout(STREAM_SILENCE_MAX, response.chunk()).await {
            let mut rest = &chunk[..];
            loop {
                let part = match &mut coding {
                    Some(coding) => coding.next_part(&mut rest),
                    None => Ok(Some(std::mem::take(&mut rest)).filter(|part| !part.is_empty())),
                };
                match part.map(|part| part.map(|part| Self::read_events(&mut decoder, part))) {
                    Ok(None) => break,
                    Ok(Some(Ok(batches))) => {
                        for batch in batches {
                            self.state.on_batch(self.index, &batch).await;
                        }
                    }
                    Ok(Some(Err(error))) => return tracing::warn!(%error, "the stream cannot be read"),
                    Err(error) => return tracing::warn!(%error, "the stream cannot be decoded"),
                }
            }
        }
    }

    /// The batches that a part of a stream completes.
    fn read_events(decoder: &mut SseDecoder, part: &[u8]) -> Result<Vec<BatchDocument>, SseError> {
        let mut events = vec![];
        decoder.decode(part, &mut events)?;
        let texts = events.into_iter().filter(|event| event.kind == "batch");
        let batches = texts.filter_map(|event| {
            let batch = serde_json::from_str(&event.data);
            batch.inspect_err(|error| tracing::warn!(%error, "a batch cannot be read")).ok()
        });
        Ok(batches.collect())
    }

    pub(super) async fn unsubscribe(&self, subscription: &str) {
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
