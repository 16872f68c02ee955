//! The counters of the broker, read at each scrape.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use mqtt::{Broker, STORE_LATENCY_BOUNDS_US};

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct MqttMessages {
    direction: &'static str,
    qos: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct MqttDropped {
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct MqttStoreWait {
    up_to_us: String,
}

/// What the broker counts, in the names that Prometheus expects.
pub(super) fn draw(broker: &Broker, registry: &mut Registry) {
    let (counted, sizes) = (broker.metrics(), broker.sizes());
    let gauges = [
        ("mqtt_ready", "Whether clients are accepted and the store answers", u64::from(broker.is_ready())),
        ("mqtt_connections", "MQTT connections", counted.connections.get()),
        ("mqtt_subscriptions", "MQTT subscriptions, of all replicas", sizes.subscriptions as u64),
        ("mqtt_retained_messages", "Retained messages", sizes.retained as u64),
        ("mqtt_retained_bytes", "Bytes of retained messages", sizes.retained_bytes as u64),
        ("mqtt_subscription_bytes", "Bytes of subscriptions", sizes.subscription_bytes as u64),
        ("mqtt_buffered_bytes", "Bytes that wait in memory for MQTT connections", counted.buffered_bytes.get()),
    ];
    for (name, help, value) in gauges {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let counters = [
        ("mqtt_connects", "MQTT connections accepted", counted.connects.get()),
        ("mqtt_refused", "MQTT connections refused", counted.refused.get()),
        (
            "mqtt_accepts_too_fast",
            "Sockets closed at once by the rate of their address",
            counted.accepts_too_fast.get(),
        ),
        ("mqtt_connects_too_fast", "CONNECTs refused by the rate of their address", counted.connects_too_fast.get()),
        ("mqtt_passwords_held_back", "Passwords not compared after wrong ones", counted.passwords_held_back.get()),
        ("mqtt_protocol_errors", "MQTT connections ended by the broker", counted.protocol_errors.get()),
        ("mqtt_sessions_taken_over", "MQTT sessions taken over by a newer connection", counted.taken_over.get()),
        ("mqtt_received_bytes", "Bytes from MQTT clients", counted.received_bytes.get()),
        ("mqtt_sent_bytes", "Bytes to MQTT clients", counted.sent_bytes.get()),
        ("mqtt_slow_consumers", "MQTT clients disconnected because they took nothing", counted.slow_consumers.get()),
        (
            "mqtt_buffers_exceeded",
            "MQTT connections closed by the limit of all buffers",
            counted.buffers_exceeded.get(),
        ),
        ("mqtt_publishers_held_back", "Times an MQTT publisher was held back", counted.held_back.get()),
        ("mqtt_wills", "Wills published", counted.wills.get()),
        ("mqtt_subscriptions_refused", "Subscriptions refused by a limit", counted.subscriptions_refused.get()),
        ("mqtt_forwarded", "Messages handed to other replicas", counted.forwarded.get()),
    ];
    for (name, help, value) in counters {
        registry.register(name, help, counter(value));
    }
    let messages = Family::<MqttMessages, Counter>::default();
    for (direction, counts) in [("in", &counted.received), ("out", &counted.sent)] {
        for (qos, count) in (0..).zip(counts) {
            messages.get_or_create(&MqttMessages { direction, qos }).inc_by(count.get());
        }
    }
    registry.register("mqtt_messages", "MQTT messages", messages);
    let dropped = Family::<MqttDropped, Counter>::default();
    for (reason, count) in [
        ("slow_consumer", &counted.dropped_slow),
        ("packet_too_large", &counted.dropped_large),
        ("queue_full", &counted.dropped_full),
        ("inbox_full", &counted.dropped_crowded),
        ("not_authorized", &counted.dropped_denied),
        ("payload_format", &counted.dropped_format),
        ("too_many_filters", &counted.dropped_costly),
        ("no_member_online", &counted.dropped_absent),
        ("expired", &counted.expired),
        ("no_room_to_retain", &counted.not_retained),
    ] {
        dropped.get_or_create(&MqttDropped { reason }).inc_by(count.get());
    }
    registry.register("mqtt_dropped", "MQTT messages that a client did not get", dropped);
    let waits = Family::<MqttStoreWait, Counter>::default();
    for (at, count) in counted.store_latency.iter().enumerate() {
        let up_to_us = STORE_LATENCY_BOUNDS_US.get(at).map_or_else(|| "inf".to_owned(), u64::to_string);
        waits.get_or_create(&MqttStoreWait { up_to_us }).inc_by(count.get());
    }
    registry.register("mqtt_store_batches", "Batches carried out by the store, by how long they took", waits);
    let total = Counter::<f64, AtomicU64>::default();
    total.inc_by(Duration::from_micros(counted.store_us.get()).as_secs_f64());
    registry.register_with_unit("mqtt_store_busy", "What the store took in all", Unit::Seconds, total);
}

fn counter(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}
