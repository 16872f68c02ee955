//! What the machine knows, as documents: for consumers, and the metadata for the orchestrator.

use std::collections::{BTreeMap, BTreeSet};

use super::buffer::SubscriptionId;
use super::clock::{SinceStart, rfc3339};
use super::core::Machine;
use super::limits::{NODES_MAX, REPORT_MAX_BYTES, TOPICS_MAX};
use super::qos_level::Level;
use super::runtime::{GatewayIdentity, Shared};
use super::subscription::{ConsumerSubscription, DeliveryTarget};
use super::topic_cache::Content;
use super::wire::{
    ContentList, ContentView, LevelReport, LevelView, MetadataDocument, StatusView, SubscriberReport, SubscriptionList,
    SubscriptionView, TopicReport,
};
use mqtt::codec::topic;

/// One subscription.
pub(super) fn subscription(shared: &Shared, id: SubscriptionId) -> Option<SubscriptionView> {
    shared.read(|machine, _| machine.subscription(id).map(|found| subscription_view(&shared.identity, machine, found)))
}

/// All of them.
pub(super) fn subscriptions(shared: &Shared) -> SubscriptionList {
    let view = |machine: &Machine| {
        machine.subscriptions().map(|found| subscription_view(&shared.identity, machine, found)).collect()
    };
    SubscriptionList { items: shared.read(|machine, _| view(machine)) }
}

fn subscription_view(identity: &GatewayIdentity, machine: &Machine, found: &ConsumerSubscription) -> SubscriptionView {
    let (counts, waiting_bytes) = machine.lane(found);
    let (callback_url, stream) = match &found.wanted.way {
        DeliveryTarget::Callback(url) => (Some(url.to_string()), None),
        DeliveryTarget::Stream => (None, Some(format!("/v1/subscriptions/{}/stream", found.id))),
    };
    SubscriptionView {
        id: found.id.to_string(),
        topic: found.wanted.filter.clone(),
        qos_level: found.wanted.level,
        consumer: found.consumer(),
        node: node_of(identity, found).to_owned(),
        callback_url,
        stream,
        failures: found.failures,
        waiting_bytes,
        counts,
    }
}

fn node_of<'a>(identity: &'a GatewayIdentity, found: &'a ConsumerSubscription) -> &'a str {
    found.wanted.node.as_deref().unwrap_or(&identity.node)
}

/// The names that match a filter.
pub(super) fn contents(shared: &Shared, filter: &str) -> ContentList {
    let items = shared.read(|machine, now| {
        let matching = machine.contents().latest_first().filter(|content| topic::matches(filter, &content.topic));
        matching.map(|content| content_view(content, now)).collect()
    });
    ContentList { gateway: shared.identity.id.clone(), items }
}

fn content_view(content: &Content, now: SinceStart) -> ContentView {
    ContentView {
        name: content.topic.to_string(),
        at: rfc3339(content.at_ms),
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

/// How the gateway is.
pub(super) fn status(shared: &Shared) -> StatusView {
    shared.read(|machine, now| {
        let (in_force, rates_sequence) = machine.rates(now);
        let flows = machine.flows_bps(now);
        let level = |level: Level| {
            let buffer = machine.buffer(level);
            let (arrival_bps, sent_bps) = flows[level.at()];
            LevelView {
                qos_level: level,
                rate_bps: in_force.levels_bps[level.at()],
                sent_bps,
                arrival_bps,
                subscribers: buffer.lane_count(),
                buffer_bytes: buffer.bytes(),
                buffer_capacity_bytes: buffer.capacity_bytes(),
                counts: buffer.counts(),
            }
        };
        StatusView {
            gateway: shared.identity.id.clone(),
            instance: shared.identity.instance.clone(),
            node: shared.identity.node.clone(),
            rates_from: in_force.source,
            rates_sequence,
            is_work_conserving: in_force.is_work_conserving,
            reports: shared.report_counts(),
            levels: Level::BEST_FIRST.into_iter().rev().map(level).collect(),
            topics: machine.contents().latest_first().count(),
            topics_forgotten: machine.contents().forgotten(),
            policy: machine.policy(),
        }
    })
}

/// The report to the orchestrator, as JSON of at most [`REPORT_MAX_BYTES`]: topics that somebody wants come first, and
/// those beyond the limit are left out, as are consumers at nodes that the orchestrator does not know.
pub(super) fn metadata(shared: &Shared, at_ms: u64, unknown_nodes: &BTreeSet<String>) -> Vec<u8> {
    let mut document = shared.read(|machine, now| document(&shared.identity, machine, now, at_ms, unknown_nodes));
    loop {
        // Texts and numbers always render.
        let text = serde_json::to_vec(&document).unwrap_or_default();
        if text.len() <= REPORT_MAX_BYTES || document.topics.is_empty() {
            return text;
        }
        let keep = document.topics.len() * REPORT_MAX_BYTES / text.len() * 9 / 10;
        tracing::warn!(
            topics = document.topics.len(),
            told = keep,
            "the report is too large: some topics are left out"
        );
        document.topics.truncate(keep);
    }
}

/// The last report of a gateway that stops.
pub(super) fn farewell(shared: &Shared, at_ms: u64) -> Vec<u8> {
    let (node, at) = (shared.identity.node.clone(), rfc3339(at_ms));
    let document =
        MetadataDocument { node, at, instance: None, url: None, address: None, levels: vec![], topics: vec![] };
    serde_json::to_vec(&document).unwrap_or_default()
}

fn document(
    identity: &GatewayIdentity,
    machine: &Machine,
    now: SinceStart,
    at_ms: u64,
    unknown_nodes: &BTreeSet<String>,
) -> MetadataDocument {
    let nodes: BTreeSet<&str> = machine.subscriptions().map(|found| node_of(identity, found)).collect();
    let nodes = nodes.into_iter().filter(|node| !unknown_nodes.contains(*node)).take(NODES_MAX).collect();
    let flows = machine.flows_bps(now);
    let level = |level: Level| {
        let buffer = machine.buffer(level);
        LevelReport {
            qos_level: level,
            subscribers: u32::try_from(buffer.lane_count()).unwrap_or(u32::MAX),
            buffer_bytes: buffer.bytes(),
            buffer_capacity_bytes: buffer.capacity_bytes(),
            arrival_bps: flows[level.at()].0,
            dropped: buffer.counts().dropped(),
        }
    };
    let topics =
        machine.contents().latest_first().flat_map(|content| topic_reports(identity, machine, content, now, &nodes));
    let mut topics: Vec<_> = topics.collect();
    topics.sort_by_key(|report| report.subscribers.is_empty());
    topics.truncate(TOPICS_MAX);
    let levels = Level::BEST_FIRST.into_iter().rev().map(level).collect();
    MetadataDocument {
        node: identity.node.clone(),
        at: rfc3339(at_ms),
        instance: Some(identity.instance.clone()),
        url: identity.url.clone(),
        address: identity.source,
        levels,
        topics,
    }
}

/// One report for each level in which somebody wants the topic; one without subscribers if nobody does, for it is offered.
fn topic_reports(
    identity: &GatewayIdentity,
    machine: &Machine,
    content: &Content,
    now: SinceStart,
    nodes: &BTreeSet<&str>,
) -> Vec<TopicReport> {
    let mut by_level: BTreeMap<Level, Vec<SubscriberReport>> = BTreeMap::new();
    for found in machine.subscriptions().filter(|found| found.wants(&content.topic)) {
        let node = node_of(identity, found);
        let subscribers = by_level.entry(found.wanted.level).or_default();
        if nodes.contains(node) {
            let (address, port) = found.endpoint().map(|endpoint| (*endpoint.ip(), endpoint.port())).unzip();
            subscribers.push(SubscriberReport { consumer: found.consumer(), node: node.to_owned(), address, port });
        }
    }
    if by_level.is_empty() {
        by_level.insert(Level::LOWEST, vec![]);
    }
    let report = |(qos_level, mut subscribers): (Level, Vec<SubscriberReport>)| {
        let arrival_bps = machine.topic_bps(now, content, qos_level);
        subscribers.sort();
        subscribers.dedup();
        TopicReport { topic: content.topic.to_string(), qos_level, arrival_bps, subscribers }
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
