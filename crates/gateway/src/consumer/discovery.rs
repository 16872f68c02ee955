//! Subscribing by name: asks the orchestrator which gateways offer it, again and again, for gateways come, and subscribes at
//! each. What must stay true: at one gateway there is one subscription to a name; an orchestrator that is gone or answers
//! nonsense costs nothing of what is subscribed to already, and what it said last is still known.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::aggregator::AggregatorFreshness;
use api::client::{Client, ClientError};
use api::retry::Retry;
use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::super::limits::{CHECK_INTERVAL, LOOKUP_PAGES_MAX, RETRY_MAX, RETRY_MIN};
use super::subscription_task::{self, SubscribeContext};
use super::{ConsumerState, NamedSubscription, SubscriptionSpec, url};

/// The gateways of one page.
const PAGE: u32 = 100;

/// The gateways that offer a name, each with its id: those that have reported lately come first.
pub(super) type Offers = Vec<(String, Url)>;

/// Asks which gateways offer a name until the consumer stops.
pub(super) async fn watch_offers(
    state: Arc<ConsumerState>,
    orchestrator: Url,
    topic: String,
    http: reqwest::Client,
    offers: watch::Sender<Offers>,
) {
    let mut retry = Retry::new(RETRY_MIN, RETRY_MAX);
    loop {
        let authorization = state.options.orchestrator_authorization.clone();
        let found = tokio::select! {
            () = state.stop.cancelled() => return,
            found = find_gateways(&http, &orchestrator, authorization, &topic) => found,
        };
        let pause = match found {
            Ok(found) => {
                retry.succeeded();
                offers.send_if_modified(|known| {
                    let is_new = *known != found;
                    *known = found;
                    is_new
                });
                CHECK_INTERVAL
            }
            Err(error) => {
                let delay = retry.failed(&error.to_string());
                if delay.is_news {
                    tracing::warn!(%orchestrator, %error, "cannot look names up; trying again");
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

/// Subscribes once at every gateway that offers a name, until the consumer stops.
pub(super) async fn subscribe_everywhere(
    state: Arc<ConsumerState>,
    named: NamedSubscription,
    context: SubscribeContext,
    tasks: TaskTracker,
    mut offers: watch::Receiver<Offers>,
) {
    let mut known = BTreeSet::new();
    loop {
        let changed = tokio::select! {
            () = state.stop.cancelled() => return,
            changed = offers.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        let found = offers.borrow_and_update().clone();
        for (aggregator, gateway) in
            found.into_iter().filter(|(_, gateway)| !known.contains(gateway)).collect::<Vec<_>>()
        {
            let spec = SubscriptionSpec { gateway: gateway.clone(), topic: named.topic.clone(), level: named.level };
            let Some(index) = state.add(&spec) else {
                tracing::warn!(%gateway, "there are too many subscriptions for another gateway");
                continue;
            };
            tracing::info!(aggregator, %gateway, name = named.topic, "a gateway offers this name");
            known.insert(gateway);
            tasks.spawn(subscription_task::run(Arc::clone(&state), index, spec, context.clone()));
        }
    }
}

/// The gateways that offer a name and are not lost.
async fn find_gateways(
    http: &reqwest::Client,
    orchestrator: &Url,
    authorization: Option<HeaderValue>,
    name: &str,
) -> Result<Offers, ClientError> {
    let client = Client::with_http(http.clone(), orchestrator.as_str())?.with_authorization(authorization);
    let mut found = vec![];
    let mut after: Option<String> = None;
    for _ in 0..LOOKUP_PAGES_MAX {
        let offers = client.content_list(name, PAGE, after.as_deref()).await?;
        found.extend(offers.items.into_iter().filter(|offer| offer.state != AggregatorFreshness::Lost));
        after = offers.next;
        if after.is_none() {
            break;
        }
    }
    found.sort_by_key(|offer| offer.state != AggregatorFreshness::Fresh);
    Ok(found.into_iter().filter_map(|offer| Some((offer.aggregator, url(&offer.url?).ok()?))).collect())
}
