//! Taking a name from one gateway at a time: when that one does not answer any more, another that offers the name takes over.
//!
//! What must stay true: a gateway that answers is not left; one that does not is left within two seconds, if another accepts
//! the subscription at once. The new subscription begins with what is retained, so that of a retained topic the last value is
//! known all the time; what the other gateway still had for the consumer, and did not send, is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::super::limits::{PROBE_INTERVAL, PROBE_WAIT, PROBES_FAILED_MAX, RETRY_MIN, SUBSCRIBE_WAIT};
use super::discovery::Offers;
use super::stats::TakeoverSummary;
use super::subscription_task::{SubscribeContext, SubscriptionTask};
use super::{ConsumerState, NamedSubscription, SubscriptionSpec};

/// Takes a name from one gateway at a time until the consumer stops.
pub(super) async fn run(
    state: Arc<ConsumerState>,
    named: NamedSubscription,
    context: SubscribeContext,
    offers: watch::Receiver<Offers>,
) {
    let stop = state.stop.clone();
    let mut source = NamedSource { state, named, context, offers, current: None, indices: BTreeMap::new() };
    let mut left: Option<LeftGateway> = None;
    loop {
        let found = tokio::select! {
            () = stop.cancelled() => return,
            found = source.subscribe(left.as_ref()) => found,
        };
        source.report(left.take(), found.task.gateway());
        let answered = tokio::select! {
            // The subscription is also gone when the consumer stops: then it is to be ended.
            biased;
            () = stop.cancelled() => return found.task.unsubscribe(&found.subscription).await,
            // The gateway answers that there is no such subscription.
            () = found.task.watch(&found.subscription) => continue,
            answered = until_failure(&found) => answered,
        };
        left = Some(LeftGateway { gateway: found.task.gateway().clone(), answered });
        found.leave();
    }
}

/// A gateway that did not answer any more.
struct LeftGateway {
    gateway: Url,
    /// When it did last.
    answered: Instant,
}

/// A name, and the gateways that may send it.
struct NamedSource {
    state: Arc<ConsumerState>,
    named: NamedSubscription,
    context: SubscribeContext,
    offers: watch::Receiver<Offers>,
    /// The gateway that sent it last.
    current: Option<Url>,
    /// By gateway, its place among the consumer's subscriptions.
    indices: BTreeMap<Url, usize>,
}

/// A subscription at the gateway that is the source now.
struct ActiveSubscription {
    task: SubscriptionTask,
    subscription: String,
}

impl NamedSource {
    /// Subscribes at the first gateway that accepts it, the one that sent the name last before others; at one that was left
    /// only if no other does.
    async fn subscribe(&mut self, left: Option<&LeftGateway>) -> ActiveSubscription {
        loop {
            let mut offers = self.offers.borrow_and_update().clone();
            let is_left = |gateway: &Url| left.is_some_and(|left| left.gateway == *gateway);
            offers.sort_by_key(|(_, gateway)| (is_left(gateway), self.current.as_ref() != Some(gateway)));
            for (aggregator, gateway) in offers {
                let Some(task) = self.task_at(&gateway) else {
                    tracing::warn!(%gateway, "there are too many subscriptions for another gateway");
                    continue;
                };
                match timeout(SUBSCRIBE_WAIT, task.subscribe()).await {
                    Ok(Ok(subscription)) => {
                        self.state.stats().subscribed(task.index());
                        tracing::info!(aggregator, %gateway, name = self.named.topic, "takes the name from this gateway");
                        self.current = Some(gateway);
                        return ActiveSubscription { task, subscription };
                    }
                    Ok(Err(error)) => tracing::debug!(%gateway, %error, "cannot subscribe"),
                    Err(_) => tracing::debug!(%gateway, "a subscription is not answered"),
                }
            }
            // Another gateway may offer it by now, or one of these accept it.
            let _ = timeout(RETRY_MIN, self.offers.changed()).await;
        }
    }

    fn task_at(&mut self, gateway: &Url) -> Option<SubscriptionTask> {
        let NamedSubscription { topic, level } = &self.named;
        let spec = SubscriptionSpec { gateway: gateway.clone(), topic: topic.clone(), level: *level };
        let index = match self.indices.get(gateway) {
            Some(index) => *index,
            None => {
                let index = self.state.add(&spec)?;
                self.indices.insert(gateway.clone(), index);
                index
            }
        };
        Some(SubscriptionTask::new(Arc::clone(&self.state), index, spec, self.context.clone()))
    }

    fn report(&self, left: Option<LeftGateway>, to: &Url) {
        let Some(LeftGateway { gateway, answered }) = left.filter(|left| left.gateway != *to) else { return };
        let name = self.named.topic.clone();
        let silent_ms = u64::try_from(answered.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(name, from = %gateway, %to, silent_ms, "a gateway does not answer: another takes over");
        self.state.stats().add_takeover(TakeoverSummary {
            name,
            from: gateway.to_string(),
            to: to.to_string(),
            silent_ms,
        });
    }
}

impl ActiveSubscription {
    /// Whatever it still sends is not asked for any more.
    fn leave(self) {
        self.task.renew_token();
        tokio::spawn(async move { self.task.unsubscribe(&self.subscription).await });
    }
}

/// Until the gateway does not answer any more; when it did last.
async fn until_failure(source: &ActiveSubscription) -> Instant {
    let (mut answered, mut failed) = (Instant::now(), 0);
    loop {
        sleep(PROBE_INTERVAL).await;
        let asked = Instant::now();
        if source.task.answers(&source.subscription, PROBE_WAIT).await {
            (answered, failed) = (asked, 0);
            continue;
        }
        failed += 1;
        if failed >= PROBES_FAILED_MAX {
            return answered;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_gateway_that_hangs_is_left_within_two_seconds() {
        let left_within = (PROBE_INTERVAL + PROBE_WAIT) * PROBES_FAILED_MAX;
        assert!(left_within < Duration::from_secs(2), "{left_within:?}");
    }
}
