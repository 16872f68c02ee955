//! Metadata, rates and views of the scheduler as documents.

use std::net::IpAddr;

use api::aggregator::{
    Aggregator, AggregatorDemand, AggregatorDestination, AggregatorFallback, AggregatorFreshness, AggregatorLevel,
    AggregatorLevelRate, AggregatorMetadata, AggregatorPath, AggregatorRates, AggregatorSubscriber, AggregatorTopic,
    UnservedReason,
};
use api::instant::Instant;
use kernel::id::Name;
use kernel::scheduler::QosLevel;
use kernel::scheduler::engine::{AggregatorView, GrantedLevel, GrantedPath, GrantedRates, UnservedCause};
use kernel::scheduler::hysteresis::LeaseState;
use kernel::scheduler::report::{Metadata, Subscriber, TopicReport};

/// An aggregator without its last report, as lists have it.
pub fn brief(view: &AggregatorView) -> Aggregator {
    let demand = QosLevel::ALL.into_iter().map(|level| AggregatorDemand {
        qos_level: level.number(),
        demand_bps: view.demand[level.at()].as_bps(),
        boosted: view.boosted[level.at()],
    });
    Aggregator {
        id: view.id.to_string(),
        topology: view.topology.to_string(),
        node: view.metadata.node.to_string(),
        state: freshness(view.standing),
        heard_at: Instant(view.heard_at.0),
        demand: demand.collect(),
        rates: rates(&view.rates),
        max_paths: u32::try_from(view.max_paths).unwrap_or(u32::MAX),
        metadata: None,
    }
}

/// An aggregator with its last report.
pub fn full(view: &AggregatorView) -> Aggregator {
    Aggregator { metadata: Some(metadata(&view.metadata)), ..brief(view) }
}

/// How recent the last report of an aggregator is.
pub fn freshness(state: LeaseState) -> AggregatorFreshness {
    match state {
        LeaseState::Fresh => AggregatorFreshness::Fresh,
        LeaseState::Stale => AggregatorFreshness::Stale,
        LeaseState::Lost => AggregatorFreshness::Lost,
    }
}

/// What an aggregator may send.
pub fn rates(rates: &GrantedRates) -> AggregatorRates {
    let by_level = || QosLevel::ALL.into_iter().zip(&rates.levels);
    let fallback = by_level()
        .map(|(level, granted)| AggregatorFallback { qos_level: level.number(), rate_bps: granted.fallback.as_bps() });
    AggregatorRates {
        sequence: rates.sequence,
        at: Instant(rates.at.0),
        instance: rates.instance.as_ref().map(ToString::to_string),
        lease_ms: rates.lease_ms,
        levels: by_level().map(|(level, granted)| level_rate(level, granted)).collect(),
        fallback: fallback.collect(),
        work_conserving: false,
    }
}

fn level_rate(level: QosLevel, granted: &GrantedLevel) -> AggregatorLevelRate {
    let path =
        |path: &GrantedPath| AggregatorPath { allocation: path.allocation.to_string(), rate_bps: path.rate.as_bps() };
    let destinations = granted.destinations.iter().map(|to| AggregatorDestination {
        node: to.node.to_string(),
        rate_bps: to.rate.as_bps(),
        allocation: to.paths.first().map(|path| path.allocation.to_string()).unwrap_or_default(),
        paths: if to.paths.len() > 1 { to.paths.iter().map(path).collect() } else { vec![] },
    });
    let paths = granted.destinations.iter().flat_map(|to| &to.paths);
    AggregatorLevelRate {
        qos_level: level.number(),
        rate_bps: granted.rate.as_bps(),
        allocations: paths.map(|path| path.allocation.to_string()).collect(),
        destinations: destinations.collect(),
        unserved: granted.unserved.map(unserved),
    }
}

fn unserved(cause: UnservedCause) -> UnservedReason {
    match cause {
        UnservedCause::NoClass => UnservedReason::NoClass,
        UnservedCause::NoPath => UnservedReason::NoPath,
    }
}

/// The document of a report.
pub fn metadata(metadata: &Metadata) -> AggregatorMetadata {
    let levels = QosLevel::ALL.into_iter().zip(&metadata.levels).map(|(level, report)| AggregatorLevel {
        qos_level: u64::from(level.number()),
        subscribers: report.subscribers,
        buffer_bytes: report.buffer_bytes,
        buffer_capacity_bytes: report.buffer_capacity_bytes,
        arrival_bps: report.arrival.as_bps(),
        dropped: report.dropped,
    });
    AggregatorMetadata {
        node: metadata.node.to_string(),
        at: Instant(metadata.at.0),
        instance: metadata.presence.instance.as_ref().map(Name::to_string),
        url: metadata.presence.url.as_ref().map(Name::to_string),
        address: metadata.presence.address,
        ipv6_address: metadata.presence.ipv6_address,
        levels: levels.collect(),
        topics: metadata.topics.iter().map(topic).collect(),
    }
}

fn topic(report: &TopicReport) -> AggregatorTopic {
    AggregatorTopic {
        topic: report.topic.to_string(),
        qos_level: u64::from(report.level.number()),
        arrival_bps: report.arrival.as_bps(),
        subscribers: report.subscribers.iter().map(subscriber).collect(),
    }
}

fn subscriber(subscriber: &Subscriber) -> AggregatorSubscriber {
    let address = subscriber.endpoint.map(|endpoint| endpoint.address);
    AggregatorSubscriber {
        consumer: subscriber.consumer.to_string(),
        node: subscriber.node.to_string(),
        address: address.and_then(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None }),
        ipv6_address: address.and_then(|address| if let IpAddr::V6(v6) = address { Some(v6) } else { None }),
        port: subscriber.endpoint.and_then(|endpoint| endpoint.port),
    }
}
