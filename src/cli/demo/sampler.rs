//! Samples the running processes over their public interfaces: the gateways' `/v1/status`, the orchestrator's aggregators
//! and links. What must stay true: every figure of the demo comes from here or from a consumer's own summary.

use std::net::SocketAddr;

use futures_util::future::try_join_all;

use super::samples::{Latency, LevelSample, Sample};
use super::scenario::{AGGREGATORS, BACKGROUND_CLASS, SHARED_LINK, TOPOLOGY};
use crate::cli::connection::PAGE;
use crate::cli::consumer::SummaryLine;
use api::aggregator::{Aggregator, AggregatorFreshness};
use api::client::{Client, ClientError, PageRequest};
use api::gateway::StatusView;
use api::link::LinkDocument;
use api::qos_level::PerLevel;

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// The orchestrator does not answer.
    #[error("the orchestrator: {0}")]
    Orchestrator(#[from] ClientError),
    /// A gateway does not answer.
    #[error("{gateway}: {error}")]
    Gateway { gateway: &'static str, error: reqwest::Error },
    /// The network lacks the link that all aggregators share.
    #[error("there is no link {SHARED_LINK}")]
    NoSharedLink,
}

/// Clients of everything that is sampled.
pub(super) struct Sampler {
    client: Client,
    http: reqwest::Client,
    gateways: Vec<SocketAddr>,
}

impl Sampler {
    pub(super) fn new(client: Client, gateways: Vec<SocketAddr>) -> Self {
        Self { client, http: reqwest::Client::new(), gateways }
    }

    /// All figures at this moment.
    pub(super) async fn sample(&self, at_ms: u64) -> Result<Sample, SamplerError> {
        let statuses = AGGREGATORS.iter().zip(&self.gateways).map(|((name, _), address)| self.status(name, *address));
        let orchestrator = async { Ok(self.client.aggregator_list(PageRequest::first(PAGE)).await?.items) };
        let (statuses, known, link) = tokio::try_join!(try_join_all(statuses), orchestrator, self.shared_link())?;
        let mut aggregators = [PerLevel::<LevelSample>::default(); AGGREGATORS.len()];
        for ((levels, (name, _)), status) in aggregators.iter_mut().zip(AGGREGATORS).zip(&statuses) {
            fill(levels, status, known.iter().find(|one| one.id == name));
        }
        // The aggregators' rates in the background's class, taken from what that class has reserved.
        let same_class = aggregators.iter().filter_map(|levels| levels.get(usize::from(BACKGROUND_CLASS)));
        let same_class = same_class.fold(0_u64, |sum, level| sum.saturating_add(level.granted_bps));
        let class = link.figures.classes.iter().find(|class| class.class_type == BACKGROUND_CLASS);
        let background_bps = class.map_or(0, |class| class.reserved_bps).saturating_sub(same_class);
        Ok(Sample { at_ms, aggregators, background_bps })
    }

    /// Whether every aggregator has reported.
    pub(super) async fn is_complete(&self) -> Result<bool, SamplerError> {
        let known = self.client.aggregator_list(PageRequest::first(PAGE)).await?.items;
        Ok(AGGREGATORS
            .iter()
            .all(|(name, _)| known.iter().any(|one| one.id == *name && one.state == AggregatorFreshness::Fresh)))
    }

    async fn status(&self, gateway: &'static str, address: SocketAddr) -> Result<StatusView, SamplerError> {
        let failed = |error| SamplerError::Gateway { gateway, error };
        let answer = self.http.get(format!("http://{address}/v1/status")).send().await.map_err(failed)?;
        answer.error_for_status().map_err(failed)?.json().await.map_err(failed)
    }

    async fn shared_link(&self) -> Result<LinkDocument, SamplerError> {
        let links = self.client.link_list(TOPOLOGY, PageRequest::first(PAGE)).await?.items;
        links.into_iter().find(|link| link.properties.link == SHARED_LINK).ok_or(SamplerError::NoSharedLink)
    }
}

fn fill(levels: &mut PerLevel<LevelSample>, status: &StatusView, known: Option<&Aggregator>) {
    for view in &status.levels {
        let level = &mut levels[view.qos_level.at()];
        level.offered_bps = view.arrival_bps;
        level.sent_bps = view.sent_bps;
        level.buffer_bytes = view.buffer_bytes;
        level.dropped = view.counts.dropped();
    }
    for granted in known.into_iter().flat_map(|known| &known.rates.levels) {
        if let Some(level) = levels.get_mut(usize::from(granted.qos_level)) {
            level.granted_bps = granted.rate_bps;
        }
    }
}

/// Adds the latencies of a consumer's last line, its summary.
pub(super) fn latencies(
    line: &str,
    into: &mut [PerLevel<Latency>; AGGREGATORS.len()],
) -> Result<(), serde_json::Error> {
    let SummaryLine { summary } = serde_json::from_str(line)?;
    for topic in &summary.topics {
        let aggregator = AGGREGATORS.iter().position(|(name, _)| *name == topic.gateway);
        let place = aggregator.and_then(|at| into.get_mut(at)).and_then(|levels| levels.get_mut(topic.qos_level.at()));
        if let Some(latency) = place {
            let (messages, mean_ms, max_ms) = (topic.messages, topic.latency_mean_ms, topic.latency_max_ms);
            *latency = latency.and(Latency { messages, mean_ms, max_ms });
        }
    }
    Ok(())
}
