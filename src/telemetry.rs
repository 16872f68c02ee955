//! Logs and metrics. The one table from what happened to a log line and to counters; nothing else in the house counts.

use std::io::IsTerminal;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::app::record::{DenialRecord, DisplacedRecord, FateWord};
use crate::app::{App, Commit, Fact, Record};
use crate::config::LogFormat;
use crate::kernel::class::ClassType;
use crate::mqtt::{Broker, STORE_LATENCY_BOUNDS_US};

/// How many links are told of one by one in the metrics; a network with more is told of as a whole only.
pub const LINKS_TOLD_MAX: usize = 2_000;

/// Starts logging to standard error. `RUST_LOG` chooses what; `info` unless said otherwise.
///
/// # Errors
/// Something else logs already.
pub fn start_logging(format: LogFormat) -> Result<(), TryInitError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if json { registry.with(layer.json()).try_init() } else { registry.with(layer).try_init() }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Admission {
    class_type: u8,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Fate {
    fate: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Class {
    topology: String,
    class_type: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LinkLabel {
    topology: String,
    link: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LinkClass {
    topology: String,
    link: String,
    class_type: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
    status: u16,
}

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

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// What is counted.
pub struct Metrics {
    registry: Registry,
    admissions: Family<Admission, Counter>,
    displaced: Family<Fate, Counter>,
    events: Counter,
    decided: Histogram,
    written: Histogram,
    requests: Family<Route, Counter>,
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("watermaster");
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "Which version runs", build);
        let metrics = Self {
            admissions: Family::default(),
            displaced: Family::default(),
            events: Counter::default(),
            decided: Histogram::new(exponential_buckets(5e-6, 2.0, 18)),
            written: Histogram::new(exponential_buckets(5e-6, 2.0, 18)),
            requests: Family::default(),
            registry: Registry::default(),
        };
        registry.register("admission_requests", "Bandwidth requests decided", metrics.admissions.clone());
        registry.register("displaced", "Allocations that had to leave their path", metrics.displaced.clone());
        registry.register("events", "Events committed", metrics.events.clone());
        let batch = "Time to decide a batch of commands";
        registry.register_with_unit("decision_batch_duration", batch, Unit::Seconds, metrics.decided.clone());
        let write = "Time to write a batch of events down";
        registry.register_with_unit("journal_append_duration", write, Unit::Seconds, metrics.written.clone());
        registry.register("http_requests", "HTTP requests answered", metrics.requests.clone());
        Self { registry, ..metrics }
    }

    /// Counts an HTTP answer under its route, not its path.
    pub fn count_request(&self, method: &'static str, route: &str, status: u16) {
        self.requests.get_or_create(&Route { method, route: route.to_owned(), status }).inc();
    }

    /// Everything as OpenMetrics text, the state of the network included.
    ///
    /// # Errors
    /// Never in fact: text is written into memory.
    pub async fn render(&self, app: &App, broker: &Broker) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.registry)?;
        let mut now = Registry::with_prefix("watermaster");
        self.picture(app, &mut now).await;
        broker_picture(broker, &mut now);
        text::encode_registry(&mut text, &now)?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }

    /// What is true now, read from the state itself.
    async fn picture(&self, app: &App, registry: &mut Registry) {
        let allocations = Family::<Class, Gauge>::default();
        let capacity = Family::<LinkLabel, Gauge<u64, AtomicU64>>::default();
        let reserved = Family::<LinkClass, Gauge<u64, AtomicU64>>::default();
        let sequence = Gauge::<u64, AtomicU64>::default();
        registry.register("allocations", "Living allocations", allocations.clone());
        registry.register("link_capacity_bits_per_second", "Capacity of a link", capacity.clone());
        registry.register("link_reserved_bits_per_second", "Reserved on a link", reserved.clone());
        registry.register("journal_sequence", "The last event committed", sequence.clone());
        app.read(|state| {
            sequence.set(state.sequence().0);
            for (name, network) in state.networks() {
                let topology = name.to_string();
                for (class_type, count) in network.living_by_class() {
                    let label = Class { topology: topology.clone(), class_type: class_type.number() };
                    allocations.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
                }
                if network.topology().link_count() > LINKS_TOLD_MAX {
                    continue;
                }
                for (ix, link) in network.topology().links() {
                    let label = LinkLabel { topology: topology.clone(), link: link.name.to_string() };
                    capacity.get_or_create(&label).set(link.capacity.as_bps());
                    let by_class = crate::kernel::bam::by_class(network.ledger().slots(), &network.ledger().booked(ix));
                    for class in network.model().model.classes() {
                        let class_type = class.class_type.number();
                        let label = LinkClass { topology: topology.clone(), link: link.name.to_string(), class_type };
                        reserved.get_or_create(&label).set(by_class[class.class_type.at()]);
                    }
                }
            }
        })
        .await;
    }

    /// Counts and logs a commit.
    pub fn note(&self, commit: &Commit) {
        self.decided.observe(commit.decided_in.as_secs_f64());
        self.written.observe(commit.written_in.as_secs_f64());
        self.events.inc_by(commit.facts.len() as u64);
        for fact in commit.facts.iter() {
            self.note_fact(fact);
        }
    }

    /// The table.
    fn note_fact(&self, fact: &Fact) {
        let sequence = fact.sequence.0;
        match &fact.record {
            Record::AllocationAdmitted { allocation, displaced } => {
                self.count(allocation.class_type, "admitted", "");
                self.count_displaced(displaced);
                tracing::debug!(
                    sequence, topology = %allocation.topology, ingress = %allocation.ingress,
                    egress = %allocation.egress, class_type = allocation.class_type,
                    bandwidth_bps = allocation.bandwidth_bps, hops = allocation.path.len(),
                    displaced = displaced.len(), "admitted"
                );
            }
            Record::AllocationDenied { demand, denial } => {
                self.count(demand.class_type, "denied", reason(denial));
                tracing::debug!(
                    sequence, topology = %demand.topology, ingress = %demand.ingress, egress = %demand.egress,
                    class_type = demand.class_type, bandwidth_bps = demand.bandwidth_bps, ?denial, "denied"
                );
            }
            Record::AllocationResized { allocation, displaced } => {
                self.count_displaced(displaced);
                let bandwidth_bps = allocation.bandwidth_bps;
                tracing::debug!(sequence, id = %allocation.id, bandwidth_bps, "resized");
            }
            Record::AllocationReleased { id } => tracing::debug!(sequence, %id, "released"),
            Record::AllocationsExpired { ids } => tracing::info!(sequence, count = ids.len(), "expired"),
            Record::TopologyPut { topology, content, displaced } => {
                self.count_displaced(displaced);
                let (nodes, links) = (content.nodes.len(), content.links.len());
                tracing::info!(sequence, %topology, nodes, links, displaced = displaced.len(), "topology put");
            }
            Record::TopologyDeleted { topology } => tracing::info!(sequence, %topology, "topology deleted"),
            Record::ModelSet { topology, displaced, .. } => {
                self.count_displaced(displaced);
                tracing::info!(sequence, %topology, displaced = displaced.len(), "bandwidth model set");
            }
            Record::LinkChanged { topology, links, displaced, stranded } => {
                self.count_displaced(displaced);
                let links: Vec<_> = links.iter().map(|link| link.name.to_string()).collect();
                let (displaced, stranded) = (displaced.len(), stranded.len());
                tracing::info!(sequence, %topology, ?links, displaced, stranded, "link changed");
            }
        }
    }

    fn count(&self, class_type: u8, outcome: &'static str, reason: &'static str) {
        debug_assert!(ClassType::new(class_type).is_some());
        self.admissions.get_or_create(&Admission { class_type, outcome, reason }).inc();
    }

    fn count_displaced(&self, displaced: &[DisplacedRecord]) {
        for gone in displaced {
            let fate = match gone.fate {
                FateWord::Rerouted => "rerouted",
                FateWord::Ended(word) => word.as_str(),
            };
            self.displaced.get_or_create(&Fate { fate }).inc();
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What a broker counts, as OpenMetrics text.
///
/// # Errors
/// Never in fact: text is written into memory.
pub fn render_broker(broker: &Broker) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let mut registry = Registry::with_prefix("watermaster");
    broker_picture(broker, &mut registry);
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// What the broker counts, in the names that Prometheus expects.
fn broker_picture(broker: &Broker, registry: &mut Registry) {
    let (counted, sizes) = (broker.metrics(), broker.sizes());
    let gauges = [
        ("mqtt_connections", "MQTT connections", counted.connections.get()),
        ("mqtt_store_up", "Whether the store answers", u64::from(broker.is_ready())),
        ("mqtt_subscriptions", "MQTT subscriptions, of all replicas", sizes.subscriptions as u64),
        ("mqtt_retained_messages", "Retained messages", sizes.retained as u64),
        ("mqtt_retained_bytes", "Bytes of retained messages", sizes.retained_bytes as u64),
    ];
    for (name, help, value) in gauges {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let counters = [
        ("mqtt_connects", "MQTT connections accepted", counted.connects.get()),
        ("mqtt_refused", "MQTT connections refused", counted.refused.get()),
        ("mqtt_protocol_errors", "MQTT connections ended by the broker", counted.protocol_errors.get()),
        ("mqtt_sessions_taken_over", "MQTT sessions taken over by a newer connection", counted.taken_over.get()),
        ("mqtt_received_bytes", "Bytes from MQTT clients", counted.received_bytes.get()),
        ("mqtt_sent_bytes", "Bytes to MQTT clients", counted.sent_bytes.get()),
        ("mqtt_slow_consumers", "MQTT clients disconnected because they took nothing", counted.slow_consumers.get()),
        ("mqtt_publishers_held_back", "Times an MQTT publisher was held back", counted.held_back.get()),
        ("mqtt_wills", "Wills published", counted.wills.get()),
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
        ("not_authorized", &counted.dropped_denied),
        ("no_room_to_retain", &counted.not_retained),
    ] {
        dropped.get_or_create(&MqttDropped { reason }).inc_by(count.get());
    }
    registry.register("mqtt_dropped", "MQTT messages that somebody did not get", dropped);
    let waits = Family::<MqttStoreWait, Counter>::default();
    for (at, count) in counted.store_latency.iter().enumerate() {
        let up_to_us = STORE_LATENCY_BOUNDS_US.get(at).map_or_else(|| "inf".to_owned(), u64::to_string);
        waits.get_or_create(&MqttStoreWait { up_to_us }).inc_by(count.get());
    }
    registry.register("mqtt_store_batches", "Batches carried out by the store, by how long they took", waits);
    let total = counter(counted.store_us.get());
    registry.register("mqtt_store_microseconds", "What the store took in all", total);
}

fn counter(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

fn reason(denial: &DenialRecord) -> &'static str {
    match denial {
        DenialRecord::InsufficientBandwidth { .. } => "insufficient_bandwidth",
        DenialRecord::TooCongested { .. } => "too_congested",
        _ => "no_path",
    }
}
