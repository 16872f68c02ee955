//! Subscribing by name: asks the orchestrator who offers it, and subscribes there; again and again, for gateways come. What
//! must stay true: at one gateway there is one subscription for a wish; an orchestrator that is gone or talks nonsense
//! costs nothing of what is subscribed to already.

use std::collections::BTreeSet;
use std::sync::Arc;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::super::client::{HttpClientError, body};
use super::super::limits::{LOOK_EVERY, LOOKUP_PAGES_MAX, RETRY_MAX, RETRY_MIN};
use super::subscription_task::{SubscribeContext, keep};
use super::{ConsumerState, NamedWish, SubscriptionSpec, url};

/// What the orchestrator answers, as far as it matters here.
#[derive(Deserialize)]
struct Offers {
    items: Vec<GatewayOffer>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct GatewayOffer {
    aggregator: String,
    #[serde(default)]
    url: Option<String>,
    state: String,
}

/// Finds gateways for a wish, and subscribes at each once, until the consumer stops.
pub(super) async fn find(
    desk: Arc<ConsumerState>,
    orchestrator: Url,
    named: NamedWish,
    means: SubscribeContext,
    tasks: TaskTracker,
) {
    let backoff = || ExponentialBuilder::new().with_jitter().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX);
    let mut pauses = backoff().without_max_times().build();
    let mut trouble = String::new();
    let mut known = BTreeSet::new();
    loop {
        let looked = tokio::select! {
            () = desk.stop.cancelled() => return,
            looked = look(&means.short, &orchestrator, &named.topic) => looked,
        };
        let pause = match looked {
            Ok(found) => {
                trouble.clear();
                pauses = backoff().without_max_times().build();
                for (aggregator, gateway) in found {
                    if known.contains(&gateway) {
                        continue;
                    }
                    let wish =
                        SubscriptionSpec { gateway: gateway.clone(), topic: named.topic.clone(), level: named.level };
                    let Some(place) = desk.open(&wish) else {
                        tracing::warn!(%gateway, "there are too many subscriptions for another gateway");
                        continue;
                    };
                    tracing::info!(aggregator, %gateway, name = named.topic, "a gateway offers this name");
                    known.insert(gateway);
                    tasks.spawn(keep(Arc::clone(&desk), place, wish, means.clone()));
                }
                LOOK_EVERY
            }
            Err(error) => {
                if error.to_string() != trouble {
                    tracing::warn!(%orchestrator, %error, "cannot look names up; trying again");
                    trouble = error.to_string();
                }
                pauses.next().unwrap_or(RETRY_MAX).min(RETRY_MAX)
            }
        };
        tokio::select! {
            () = desk.stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// The gateways that offer a name now, and were heard lately.
async fn look(client: &Client, orchestrator: &Url, name: &str) -> Result<Vec<(String, Url)>, HttpClientError> {
    let mut found = vec![];
    let mut after: Option<String> = None;
    for _ in 0..LOOKUP_PAGES_MAX {
        let mut address = orchestrator.clone();
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "contents"]);
        }
        address.query_pairs_mut().append_pair("name", name).extend_pairs(after.iter().map(|after| ("after", after)));
        let offers: Offers = serde_json::from_slice(&body(client.get(address).send().await?).await?)?;
        let living = offers.items.into_iter().filter(|offer| offer.state != "lost");
        found.extend(living.filter_map(|offer| Some((offer.aggregator, url(&offer.url?).ok()?))));
        after = offers.next;
        if after.is_none() {
            break;
        }
    }
    Ok(found)
}
