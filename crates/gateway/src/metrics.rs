//! A gateway's metrics as OpenMetrics text, read at each request.

use std::sync::atomic::AtomicU64;

use api::gateway::{RateSource, StatusView};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Its media type.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LevelLabel {
    qos_level: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Dropped {
    qos_level: u8,
    reason: &'static str,
}

type LevelGauge = Gauge<u64, AtomicU64>;

/// All metrics of a status.
///
/// # Errors
/// Never in fact: text is written into memory.
pub(super) fn render(status: &StatusView) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("watermaster_gateway");
    draw_levels(status, &mut registry);
    draw_messages(status, &mut registry);
    let led = i64::from(status.rates_from == RateSource::Orchestrator);
    for (name, help, value) in [
        ("led", "1 where the rates in force are the orchestrator's, 0 where they are a fallback", led),
        ("topics", "Topics of which the last value is known", i64::try_from(status.topics).unwrap_or(i64::MAX)),
    ] {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let reports = Family::<OutcomeLabel, Counter>::default();
    for (outcome, count) in [("taken", status.reports.taken), ("failed", status.reports.failed)] {
        reports.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
    }
    registry.register("reports", "Reports to the orchestrator", reports);
    let ignored = Counter::<u64>::default();
    ignored.inc_by(status.messages_ignored);
    registry.register("messages_ignored", "Messages whose topic is no name to the orchestrator", ignored);
    if let Some(spool) = status.spool {
        for (name, help, amount) in [
            ("spool_bytes", "Messages in the spool", spool.bytes),
            ("spool_limit_bytes", "What messages in the spool may have", spool.limit_bytes),
            ("spool_available", "1 where the spool takes writes, 0 where it does not", u64::from(spool.is_available)),
        ] {
            let gauge = LevelGauge::default();
            gauge.set(amount);
            registry.register(name, help, gauge);
        }
    }
    let forgotten = Counter::<u64>::default();
    forgotten.inc_by(status.topics_forgotten);
    registry.register("topics_forgotten", "Topics forgotten for want of room", forgotten);
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

fn draw_levels(status: &StatusView, registry: &mut Registry) {
    let names = [
        ("rate_bps", "What a level may send"),
        ("unserved", "1 where the orchestrator can reserve nothing for a level that has demand"),
        ("sent_bps", "What a level sends to other nodes"),
        ("sent_here_bps", "What a level sends to consumers at the gateway's own node"),
        ("arrival_bps", "What comes in for consumers at other nodes that accept deliveries"),
        ("backlog_bytes", "What waits for those"),
        ("subscriptions", "Subscriptions of a level"),
        ("buffer_bytes", "What waits in a level"),
        ("buffer_capacity_bytes", "What may wait in a level"),
    ];
    for (index, (name, help)) in names.into_iter().enumerate() {
        let family = Family::<LevelLabel, LevelGauge>::default();
        for level in &status.levels {
            let amounts = [
                level.rate_bps,
                u64::from(level.unserved.is_some()),
                level.sent_bps,
                level.sent_here_bps,
                level.arrival_bps,
                level.backlog_bytes,
                level.subscribers as u64,
                level.buffer_bytes,
                level.buffer_capacity_bytes,
            ];
            let amount = amounts.get(index).copied().unwrap_or(0);
            family.get_or_create(&LevelLabel { qos_level: level.qos_level.number() }).set(amount);
        }
        registry.register(name, help, family);
    }
}

fn draw_messages(status: &StatusView, registry: &mut Registry) {
    let (offered, delivered) = (Family::<LevelLabel, Counter>::default(), Family::<LevelLabel, Counter>::default());
    let dropped = Family::<Dropped, Counter>::default();
    for level in &status.levels {
        let (qos_level, counts) = (level.qos_level.number(), level.counts);
        offered.get_or_create(&LevelLabel { qos_level }).inc_by(counts.offered);
        delivered.get_or_create(&LevelLabel { qos_level }).inc_by(counts.delivered);
        for (reason, count) in counts.losses() {
            dropped.get_or_create(&Dropped { qos_level, reason }).inc_by(count);
        }
    }
    registry.register("messages_offered", "Messages that came in for a subscription", offered);
    registry.register("messages_delivered", "Messages that arrived at their consumer", delivered);
    registry.register("messages_dropped", "Messages that were lost, by why", dropped);
}
