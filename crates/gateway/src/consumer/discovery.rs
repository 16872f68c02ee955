//! Subscribing by name: asks the orchestrator which gateways offer it, and subscribes there; again and again, for gateways
//! come. What must stay true: at one gateway there is one subscription to a name; an orchestrator that is gone or answers
//! nonsense costs nothing of what is subscribed to already.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::aggregator::AggregatorFreshness;
use api::client::{Client, ClientError};
use api::retry::Retry;
use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::super::limits::{CHECK_INTERVAL, LOOKUP_PAGES_MAX, RETRY_MAX, RETRY_MIN};
use super::subscription_task::{self, SubscribeContext};
use super::{ConsumerState, NamedSubscription, SubscriptionSpec, url};

/// The gateways of one page.
const PAGE: u32 = 100;

/// Finds gateways that offer a name, and subscribes at each once, until the consumer stops.
pub(super) async fn run(
    state: Arc<ConsumerState>,
    orchestrator: Url,
    named: NamedSubscription,
    context: SubscribeContext,
    tasks: TaskTracker,
) {
    let mut retry = Retry::new(RETRY_MIN, RETRY_MAX);
    let mut known = BTreeSet::new();
    loop {
        let found = tokio::select! {
            () = state.stop.cancelled() => return,
            found = find_gateways(&context.short, &orchestrator, state.options.orchestrator_authorization.clone(), &named.topic) => found,
        };
        let pause = match found {
            Ok(found) => {
                retry.succeeded();
                for (aggregator, gateway) in found {
                    if known.contains(&gateway) {
                        continue;
                    }
                    let spec =
                        SubscriptionSpec { gateway: gateway.clone(), topic: named.topic.clone(), level: named.level };
                    let Some(index) = state.add(&spec) else {
                        tracing::warn!(%gateway, "there are too many subscriptions for another gateway");
                        continue;
                    };
                    tracing::info!(aggregator, %gateway, name = named.topic, "a gateway offers this name");
                    known.insert(gateway);
                    tasks.spawn(subscription_task::run(Arc::clone(&state), index, spec, context.clone()));
                }
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

/// The gateways that offer a name and are not lost, each with its id.
async fn find_gateways(
    http: &reqwest::Client,
    orchestrator: &Url,
    authorization: Option<HeaderValue>,
    name: &str,
) -> Result<Vec<(String, Url)>, ClientError> {
    let client = Client::with_http(http.clone(), orchestrator.as_str())?.with_authorization(authorization);
    let mut found = vec![];
    let mut after: Option<String> = None;
    for _ in 0..LOOKUP_PAGES_MAX {
        let offers = client.content_list(name, PAGE, after.as_deref()).await?;
        let heard = offers.items.into_iter().filter(|offer| offer.state != AggregatorFreshness::Lost);
        found.extend(heard.filter_map(|offer| Some((offer.aggregator, url(&offer.url?).ok()?))));
        after = offers.next;
        if after.is_none() {
            break;
        }
    }
    Ok(found)
}
