//! Keeps one subscription alive: makes it, looks after it, makes it again when the gateway forgot, and ends it at last.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Client, StatusCode, Url};
use tokio::time::{sleep, timeout};

use super::super::client::{HttpClientError, body};
use super::super::limits::{LOOK_EVERY, RETRY_MAX, RETRY_MIN, STREAM_SILENCE_MAX};
use super::super::sse::Decoder;
use super::super::wire::{BatchDocument, SubscriptionAnswer, SubscriptionRequest};
use super::{ConsumerState, SubscriptionSpec};

/// Keeps a subscription until the consumer stops.
pub(super) async fn keep(desk: Arc<ConsumerState>, place: usize, wish: SubscriptionSpec, means: SubscribeContext) {
    let keeper = Keeper { desk: Arc::clone(&desk), place, wish, means };
    let backoff = || ExponentialBuilder::new().with_jitter().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX);
    let mut pauses = backoff().without_max_times().build();
    let mut trouble = String::new();
    while !desk.stop.is_cancelled() {
        let subscribed = tokio::select! {
            () = desk.stop.cancelled() => return,
            subscribed = keeper.subscribe() => subscribed,
        };
        match subscribed {
            Ok(subscription) => {
                desk.tally().subscribed(place);
                trouble.clear();
                pauses = backoff().without_max_times().build();
                keeper.attend(&subscription).await;
                if desk.stop.is_cancelled() {
                    keeper.unsubscribe(&subscription).await;
                    return;
                }
                tracing::info!(gateway = %keeper.gateway(), "the subscription is gone; subscribing again");
            }
            Err(error) if error.to_string() != trouble => {
                tracing::warn!(gateway = %keeper.gateway(), %error, "cannot subscribe; trying again");
                trouble = error.to_string();
            }
            Err(_) => {}
        }
        tokio::select! {
            () = desk.stop.cancelled() => return,
            () = sleep(pauses.next().unwrap_or(RETRY_MAX).min(RETRY_MAX)) => {}
        }
    }
}

/// What a keeper works with.
#[derive(Clone)]
pub(super) struct SubscribeContext {
    /// Where callbacks go; absent: streams are read.
    pub(super) base: Option<Url>,
    /// For requests.
    pub(super) short: Client,
    /// For streams.
    pub(super) long: Client,
}

struct Keeper {
    desk: Arc<ConsumerState>,
    /// Where the wish stands among all.
    place: usize,
    wish: SubscriptionSpec,
    means: SubscribeContext,
}

impl Keeper {
    fn gateway(&self) -> &Url {
        &self.wish.gateway
    }

    fn url(&self, rest: &[&str]) -> Url {
        below(self.gateway(), &[&["v1", "subscriptions"], rest].concat())
    }

    /// Subscribes; the id of the subscription.
    async fn subscribe(&self) -> Result<String, HttpClientError> {
        let wish = &self.wish;
        let callback_url = self.means.base.as_ref().map(|base| {
            let token = format!("{:016x}", RandomState::new().build_hasher().finish());
            let url = below(base, &["deliveries", &self.place.to_string(), &token]);
            if let Some(place) = self.desk.tokens().get_mut(self.place) {
                *place = token;
            }
            url.to_string()
        });
        let request = SubscriptionRequest {
            topic: wish.topic.clone(),
            qos_level: wish.level,
            callback_url,
            consumer: Some(self.desk.options.name.clone()),
            node: self.desk.options.node.clone(),
        };
        let response = self.means.short.post(self.url(&[])).json(&request).send().await?;
        let answer: SubscriptionAnswer = serde_json::from_slice(&body(response).await?)?;
        Ok(answer.id)
    }

    /// Until the subscription is gone or the consumer stops.
    async fn attend(&self, subscription: &str) {
        let stop = &self.desk.stop;
        while !stop.is_cancelled() {
            if self.means.base.is_none() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.read(subscription) => {}
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(if self.means.base.is_none() { RETRY_MIN } else { LOOK_EVERY }) => {}
            }
            let looked = self.means.short.get(self.url(&[subscription])).send().await;
            // A gateway that does not answer may have the subscription still.
            if looked.is_ok_and(|response| response.status() == StatusCode::NOT_FOUND) {
                return;
            }
        }
    }

    /// Reads a stream until it ends.
    async fn read(&self, subscription: &str) {
        let request = self.means.long.get(self.url(&[subscription, "stream"]));
        let Ok(Ok(mut response)) = timeout(STREAM_SILENCE_MAX, request.send()).await else { return };
        if !response.status().is_success() {
            return;
        }
        let (mut decoder, mut events) = (Decoder::default(), vec![]);
        while let Ok(Ok(Some(chunk))) = timeout(STREAM_SILENCE_MAX, response.chunk()).await {
            if let Err(error) = decoder.push(&chunk, &mut events) {
                tracing::warn!(%error, "the stream cannot be read");
                return;
            }
            for event in events.drain(..).filter(|event| event.kind == "batch") {
                match serde_json::from_str::<BatchDocument>(&event.data) {
                    Ok(batch) => self.desk.take(self.place, &batch).await,
                    Err(error) => tracing::warn!(%error, "a batch cannot be read"),
                }
            }
        }
    }

    async fn unsubscribe(&self, subscription: &str) {
        if let Err(error) = self.means.short.delete(self.url(&[subscription])).send().await {
            tracing::warn!(%error, "the subscription was not ended: the gateway will, in time");
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
