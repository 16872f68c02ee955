//! Looks at the running parts by what they tell everybody: the gateways' `/v1/status`, the orchestrator's aggregators and
//! links. What must stay true: every figure of the demo comes from here or from a consumer's own summary.

use std::net::SocketAddr;

use futures_util::future::try_join_all;
use serde::Deserialize;

use super::samples::{Latency, LevelSample, Sample};
use super::scenario::{AGGREGATORS, BACKGROUND_CLASS, SHARED_LINK, TOPOLOGY};
use crate::cli::connection::PAGE;
use api::client::{Aggregator, Client, ClientError, Link};
use gateway::qos_level::PerLevel;

/// Why nothing was seen.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The orchestrator does not say.
    #[error("the orchestrator: {0}")]
    Orchestrator(#[from] ClientError),
    /// A gateway does not say.
    #[error("{gateway}: {error}")]
    Gateway {
        /// Which.
        gateway: &'static str,
        /// Why.
        error: reqwest::Error,
    },
    /// The network has not the link that everybody shares.
    #[error("there is no link {SHARED_LINK}")]
    NoSharedLink,
}

/// What a gateway says of itself.
#[derive(Deserialize, Debug)]
struct Status {
    levels: Vec<StatusLevel>,
}

#[derive(Deserialize, Debug)]
struct StatusLevel {
    qos_level: usize,
    sent_bps: u64,
    arrival_bps: u64,
    buffer_bytes: u64,
    counts: ConsumerCounts,
}

#[derive(Deserialize, Debug)]
struct ConsumerCounts {
    refused: u64,
    overwritten: u64,
    yielded: u64,
    too_large: u64,
    rejected: u64,
    abandoned: u64,
}

impl ConsumerCounts {
    fn dropped(&self) -> u64 {
        self.refused + self.overwritten + self.yielded + self.too_large + self.rejected + self.abandoned
    }
}

/// Who is looked at.
pub(super) struct Sampler {
    client: Client,
    http: reqwest::Client,
    gateways: Vec<SocketAddr>,
}

impl Sampler {
    pub(super) fn new(client: Client, gateways: Vec<SocketAddr>) -> Self {
        Self { client, http: reqwest::Client::new(), gateways }
    }

    /// How everything is.
    pub(super) async fn look(&self, at_ms: u64) -> Result<Sample, WatchError> {
        let statuses = AGGREGATORS.iter().zip(&self.gateways).map(|((name, _), address)| self.status(name, *address));
        let orchestrator = async { Ok(self.client.aggregator_list(PAGE, None).await?.items) };
        let (statuses, known, link) = tokio::try_join!(try_join_all(statuses), orchestrator, self.shared_link())?;
        let mut aggregators = [PerLevel::<LevelSample>::default(); AGGREGATORS.len()];
        for ((levels, (name, _)), status) in aggregators.iter_mut().zip(AGGREGATORS).zip(&statuses) {
            fill(levels, status, known.iter().find(|one| one.id == name));
        }
        // The aggregators' rates in the background's class, taken from what that class has reserved.
        let same_class = aggregators.iter().filter_map(|levels| levels.get(usize::from(BACKGROUND_CLASS)));
        let same_class = same_class.fold(0_u64, |sum, level| sum.saturating_add(level.granted_bps));
        let class = link.classes.iter().find(|class| class.class_type == BACKGROUND_CLASS);
        let background_bps = class.map_or(0, |class| class.reserved_bps).saturating_sub(same_class);
        Ok(Sample { at_ms, aggregators, background_bps })
    }

    /// Whether the orchestrator has heard of every aggregator.
    pub(super) async fn is_complete(&self) -> Result<bool, WatchError> {
        let known = self.client.aggregator_list(PAGE, None).await?.items;
        Ok(AGGREGATORS.iter().all(|(name, _)| known.iter().any(|one| one.id == *name && one.state == "fresh")))
    }

    async fn status(&self, gateway: &'static str, address: SocketAddr) -> Result<Status, WatchError> {
        let failed = |error| WatchError::Gateway { gateway, error };
        let answer = self.http.get(format!("http://{address}/v1/status")).send().await.map_err(failed)?;
        answer.error_for_status().map_err(failed)?.json().await.map_err(failed)
    }

    async fn shared_link(&self) -> Result<Link, WatchError> {
        let links = self.client.link_list(TOPOLOGY, PAGE, None).await?.items;
        links.into_iter().find(|link| link.link == SHARED_LINK).ok_or(WatchError::NoSharedLink)
    }
}

fn fill(levels: &mut PerLevel<LevelSample>, status: &Status, known: Option<&Aggregator>) {
    for said in &status.levels {
        let Some(level) = levels.get_mut(said.qos_level) else { continue };
        level.offered_bps = said.arrival_bps;
        level.sent_bps = said.sent_bps;
        level.buffer_bytes = said.buffer_bytes;
        level.dropped = said.counts.dropped();
    }
    for given in known.into_iter().flat_map(|known| &known.rates.levels) {
        if let Some(level) = levels.get_mut(usize::from(given.qos_level)) {
            level.granted_bps = given.rate_bps;
        }
    }
}

/// What a consumer says when it ends.
#[derive(Deserialize, Debug)]
struct ConsumerReport {
    summary: SaidSummary,
}

#[derive(Deserialize, Debug)]
struct SaidSummary {
    topics: Vec<SaidTopic>,
}

#[derive(Deserialize, Debug)]
struct SaidTopic {
    gateway: String,
    qos_level: usize,
    messages: u64,
    latency_mean_ms: u64,
    latency_max_ms: u64,
}

/// Adds what a consumer says of latencies, as its last line; whether it says anything.
pub(super) fn latencies(
    line: &str,
    into: &mut [PerLevel<Latency>; AGGREGATORS.len()],
) -> Result<(), serde_json::Error> {
    let said: ConsumerReport = serde_json::from_str(line)?;
    for topic in &said.summary.topics {
        let aggregator = AGGREGATORS.iter().position(|(name, _)| *name == topic.gateway);
        let place = aggregator.and_then(|at| into.get_mut(at)).and_then(|levels| levels.get_mut(topic.qos_level));
        if let Some(latency) = place {
            let (messages, mean_ms, max_ms) = (topic.messages, topic.latency_mean_ms, topic.latency_max_ms);
            *latency = latency.and(Latency { messages, mean_ms, max_ms });
        }
    }
    Ok(())
}
