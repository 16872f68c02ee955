//! The state of the core as documents: for consumers, and the metadata for the orchestrator.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::aggregator::{AggregatorLevel, AggregatorMetadata, AggregatorSubscriber, AggregatorTopic};
use api::gateway::{
    ContentList, ContentView, LevelView, SpoolView, StatusView, SubscriptionList, SubscriptionState, SubscriptionView,
};
use api::instant::Instant;
use api::qos_level::Level;

use super::buffer::{LaneTarget, SubscriptionId};
use super::clock::SinceStart;
use super::core::GatewayCore;
use super::limits::{NODES_MAX, REPORT_MAX_BYTES, SPOOL_SLACK_BYTES, TOPICS_MAX};
use super::runtime::{GatewayIdentity, Runtime};
use super::subscription::{ConsumerSubscription, DeliveryTarget};
use super::topic_cache::CachedTopic;
use mqtt::codec::topic;

/// One subscription.
pub(super) fn subscription(runtime: &Runtime, id: SubscriptionId) -> Option<SubscriptionView> {
    runtime.read(|core, _| core.subscription(id).map(|found| subscription_view(&runtime.identity, core, found)))
}

/// All of them.
pub(super) fn subscriptions(runtime: &Runtime) -> SubscriptionList {
    let view = |core: &GatewayCore| {
        core.subscriptions().map(|found| subscription_view(&runtime.identity, core, found)).collect()
    };
    SubscriptionList { items: runtime.read(|core, _| view(core)) }
}

fn subscription_view(identity: &GatewayIdentity, core: &GatewayCore, found: &ConsumerSubscription) -> SubscriptionView {
    let (counts, waiting_bytes) = core.lane(found);
    let (callback_url, stream) = match &found.terms.target {
        DeliveryTarget::Callback(url) => (Some(url.to_string()), None),
        DeliveryTarget::Stream => (None, Some(format!("/v1/subscriptions/{}/stream", found.id))),
    };
    SubscriptionView {
        id: found.id.to_string(),
        topic: found.terms.filter.clone(),
        qos_level: found.terms.level,
        consumer: found.consumer(),
        node: node_of(identity, found).to_owned(),
        state: state_of(core, found),
        callback_url,
        stream,
        failures: found.failures,
        waiting_bytes,
        counts,
    }
}

fn node_of<'a>(identity: &'a GatewayIdentity, found: &'a ConsumerSubscription) -> &'a str {
    found.terms.node.as_deref().unwrap_or(&identity.node)
}

fn state_of(core: &GatewayCore, found: &ConsumerSubscription) -> SubscriptionState {
    let node = found.terms.node.as_ref();
    match core.demand(found) {
        (_, true) => SubscriptionState::Failing,
        (LaneTarget::Here, false) => SubscriptionState::Local,
        (LaneTarget::Away, false) if node.is_none() => SubscriptionState::NoNode,
        (LaneTarget::Away, false) if node.is_some_and(|node| core.unknown_nodes().contains(node)) => {
            SubscriptionState::UnknownNode
        }
        (LaneTarget::Away, false) => SubscriptionState::Reported,
    }
}

/// The names that match a filter.
pub(super) fn contents(runtime: &Runtime, filter: &str) -> ContentList {
    let items = runtime.read(|core, now| {
        let matching = core.topics().latest_first().filter(|content| topic::matches(filter, &content.topic));
        matching.map(|content| content_view(content, now)).collect()
    });
    ContentList { gateway: runtime.identity.id.clone(), items }
}

fn content_view(content: &CachedTopic, now: SinceStart) -> ContentView {
    ContentView {
        name: content.topic.to_string(),
        at: Instant(content.at_ms),
        bytes: content.payload.len(),
        messages: content.messages,
        arrival_bps: content.meter.bps(now),
        href: href(&content.topic),
    }
}

/// The path of a name: what is not unreserved in RFC 3986 §2.3 is escaped, but for the slashes between levels.
fn href(name: &str) -> String {
    let mut href = "/v1/contents/".to_owned();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => href.push(char::from(byte)),
            byte => href.push_str(&format!("%{byte:02X}")),
        }
    }
    href
}

/// The status of the gateway.
pub(super) fn status(runtime: &Runtime) -> StatusView {
    runtime.read(|core, now| {
        let (in_force, rates_sequence) = core.rates(now);
        let (flows, here_bps) = (core.flows_bps(now), core.sent_here_bps(now));
        let level = |level: Level| {
            let buffer = core.buffer(level);
            let (arrival_bps, sent_bps) = flows[level.at()];
            LevelView {
                qos_level: level,
                rate_bps: in_force.levels_bps[level.at()],
                unserved: in_force.unserved[level.at()],
                sent_bps,
                sent_here_bps: here_bps[level.at()],
                arrival_bps,
                backlog_bytes: buffer.backlog_bytes(),
                subscribers: buffer.lane_count(),
                buffer_bytes: buffer.bytes(),
                buffer_capacity_bytes: buffer.capacity_bytes(),
                counts: buffer.counts(),
            }
        };
        StatusView {
            gateway: runtime.identity.id.clone(),
            instance: runtime.identity.instance.clone(),
            node: runtime.identity.node.clone(),
            rates_from: in_force.source,
            rates_sequence,
            is_work_conserving: in_force.is_work_conserving,
            reports: runtime.report_counts(),
            clock_offset_ms: runtime.clock_offset_ms(),
            levels: Level::BEST_FIRST.into_iter().rev().map(level).collect(),
            topics: core.topics().latest_first().count(),
            topics_forgotten: core.topics().forgotten(),
            messages_ignored: core.unnamed(),
            spool: runtime.spool.as_ref().map(|spool| spool_view(spool.status(), core)),
            policy: core.policies().policy,
        }
    })
}

fn spool_view((bytes, is_available): (u64, bool), core: &GatewayCore) -> SpoolView {
    let held_bytes = Level::BEST_FIRST.into_iter().map(|level| core.buffer(level).held_bytes()).sum::<u64>();
    SpoolView { bytes, limit_bytes: held_bytes * 2 + SPOOL_SLACK_BYTES, is_available }
}

/// The report to the orchestrator, as JSON of at most [`REPORT_MAX_BYTES`]: topics with subscribers come first, and those
/// beyond the limit are left out. Of consumers those are left out that cannot be reached, that named no node, or one that the
/// orchestrator does not know: demand is what can be delivered.
pub(super) fn metadata(runtime: &Runtime, at_ms: u64) -> Vec<u8> {
    let mut document = runtime.read(|core, now| document(&runtime.identity, core, now, at_ms));
    loop {
        // Texts and numbers always render.
        let text = serde_json::to_vec(&document).unwrap_or_default();
        if text.len() <= REPORT_MAX_BYTES || document.topics.is_empty() {
            return text;
        }
        let keep = document.topics.len() * REPORT_MAX_BYTES / text.len() * 9 / 10;
        tracing::warn!(
            topics = document.topics.len(),
            reported = keep,
            "the report is too large: some topics are left out"
        );
        document.topics.truncate(keep);
    }
}

/// The last report of a gateway that stops.
pub(super) fn farewell(runtime: &Runtime, at_ms: u64) -> Vec<u8> {
    let (node, at) = (runtime.identity.node.clone(), Instant(at_ms));
    let document = AggregatorMetadata {
        node,
        at,
        instance: None,
        url: None,
        address: None,
        ipv6_address: None,
        levels: vec![],
        topics: vec![],
    };
    serde_json::to_vec(&document).unwrap_or_default()
}

fn document(identity: &GatewayIdentity, core: &GatewayCore, now: SinceStart, at_ms: u64) -> AggregatorMetadata {
    let reported: Vec<&ConsumerSubscription> = core.subscriptions().filter(|found| is_reported(core, found)).collect();
    let nodes: BTreeSet<&str> = reported.iter().map(|found| node_of(identity, found)).collect();
    let nodes = nodes.into_iter().take(NODES_MAX).collect();
    let level = |level: Level| {
        let buffer = core.buffer(level);
        let (buffer_bytes, buffer_capacity_bytes) = core.backlog_on_wire(now, level);
        AggregatorLevel {
            qos_level: u64::from(level.number()),
            subscribers: u32::try_from(buffer.lane_count()).unwrap_or(u32::MAX),
            buffer_bytes,
            buffer_capacity_bytes,
            arrival_bps: core.asked_bps(now, level),
            dropped: buffer.counts().dropped(),
        }
    };
    let topics = core.topics().latest_first().flat_map(|content| topic_reports(identity, core, content, now, &nodes));
    let mut topics: Vec<_> = topics.collect();
    topics.sort_by_key(|report| report.subscribers.is_empty());
    topics.truncate(TOPICS_MAX);
    let levels = Level::BEST_FIRST.into_iter().rev().map(level).collect();
    AggregatorMetadata {
        node: identity.node.clone(),
        at: Instant(at_ms),
        instance: Some(identity.instance.clone()),
        url: identity.url.clone(),
        address: identity.sources.ipv4,
        ipv6_address: identity.sources.ipv6,
        levels,
        topics,
    }
}

fn is_reported(core: &GatewayCore, found: &ConsumerSubscription) -> bool {
    matches!(state_of(core, found), SubscriptionState::Reported | SubscriptionState::Local)
}

/// One entry for each level with subscribers of the topic; without any, one in the level that it has, for the topic is offered.
fn topic_reports(
    identity: &GatewayIdentity,
    core: &GatewayCore,
    content: &CachedTopic,
    now: SinceStart,
    nodes: &BTreeSet<&str>,
) -> Vec<AggregatorTopic> {
    let mut by_level: BTreeMap<Level, Vec<AggregatorSubscriber>> = BTreeMap::new();
    for found in core.subscriptions().filter(|found| found.matches(&content.topic)) {
        let node = node_of(identity, found);
        let subscribers = by_level.entry(found.terms.level).or_default();
        if is_reported(core, found) && nodes.contains(node) {
            let endpoint = found.endpoint();
            let (address, ipv6_address) = match endpoint.map(|endpoint| endpoint.ip()) {
                Some(IpAddr::V4(address)) => (Some(address), None),
                Some(IpAddr::V6(address)) => (None, Some(address)),
                None => (None, None),
            };
            let (consumer, node, port) = (found.consumer(), node.to_owned(), endpoint.map(|endpoint| endpoint.port()));
            subscribers.push(AggregatorSubscriber { consumer, node, address, ipv6_address, port });
        }
    }
    if by_level.is_empty() {
        by_level.insert(core.level_of(&content.topic), vec![]);
    }
    let report = |(level, mut subscribers): (Level, Vec<AggregatorSubscriber>)| {
        let (arrival_bps, qos_level) = (core.topic_bps(now, content, level), u64::from(level.number()));
        // Each subscription is sent a copy, also where one consumer has several.
        subscribers.sort();
        AggregatorTopic { topic: content.topic.to_string(), qos_level, arrival_bps, subscribers }
    };
    by_level.into_iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_followed() {
        assert_eq!(href("plant/1/temp"), "/v1/contents/plant/1/temp");
        assert_eq!(href("a b/ü?#%"), "/v1/contents/a%20b/%C3%BC%3F%23%25");
    }
}
