//! Logs, metrics and traces: the one place that maps events to log lines and counters.

mod broker;
mod decision;
mod controller_gauges;
mod logging;
#[cfg(feature = "otlp")]
mod otlp;
mod gauges;
mod process;
mod optimization;
mod scheduler;
mod trace;

pub use logging::{Logging, start_logging};
pub(crate) use trace::{answered, request};

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::app::{AUTO_BANDWIDTH_ACTOR, App, Commit, FieldEvent};
use kernel::Fact;
use kernel::allocation::EndCause;
use kernel::bam::Cause;
use kernel::class::ClassType;
use kernel::event::{Denial, Displaced, DisplacedBy, Event, Fate};
use mqtt::Broker;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct AdmissionLabel {
    class_type: u8,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct VictimLabel {
    cause: &'static str,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestVictimLabel {
    class_type: u8,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct AdjustmentLabel {
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Timed {
    method: &'static str,
    route: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RouteLabel {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ControllerLabel {
    controller: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// What is counted.
pub struct ServiceMetrics {
    registry: Registry,
    decisions: decision::DecisionLog,
    admissions: Family<AdmissionLabel, Counter>,
    victims: Family<VictimLabel, Counter>,
    request_victims: Family<RequestVictimLabel, Counter>,
    adjustments: Family<AdjustmentLabel, Counter>,
    events: Counter,
    decided: Histogram,
    written: Histogram,
    requests: Family<RouteLabel, Counter>,
    installed: Family<ControllerLabel, Histogram, fn() -> Histogram>,
    repaired: Family<ControllerLabel, Counter>,
    answered: Family<Timed, Histogram>,
}

impl ServiceMetrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("watermaster");
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "Which version runs", build);
        let metrics = Self {
            decisions: decision::DecisionLog::default(),
            admissions: Family::default(),
            victims: Family::default(),
            request_victims: Family::default(),
            adjustments: Family::default(),
            events: Counter::default(),
            decided: Histogram::new(exponential_buckets(5e-6, 2.0, 18)),
            written: Histogram::new(exponential_buckets(5e-6, 2.0, 18)),
            requests: Family::default(),
            installed: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1e-3, 2.0, 16))),
            repaired: Family::default(),
            answered: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1e-4, 2.5, 12))),
            registry: Registry::default(),
        };
        registry.register("admission_requests", "Bandwidth requests decided", metrics.admissions.clone());
        registry.register("victims", "Allocations that lost their path, by cause and outcome", metrics.victims.clone());
        let by_class = "Allocations that lost their path to a request, by the class of the request";
        registry.register("request_victims", by_class, metrics.request_victims.clone());
        let adjusted = "Bandwidths that auto-bandwidth wanted, by outcome";
        registry.register("auto_bandwidth_adjustments", adjusted, metrics.adjustments.clone());
        registry.register("events", "Events committed", metrics.events.clone());
        let batch = "Time to decide a batch of commands";
        registry.register_with_unit("decision_batch_duration", batch, Unit::Seconds, metrics.decided.clone());
        let write = "Time to write a batch of events down";
        registry.register_with_unit("journal_append_duration", write, Unit::Seconds, metrics.written.clone());
        registry.register("http_requests", "HTTP requests answered", metrics.requests.clone());
        let install = "Time from a decision to its rules being verified on the switches";
        registry.register_with_unit("southbound_install_duration", install, Unit::Seconds, metrics.installed.clone());
        let repairs = "Steps that repaired switches which held other rules than intended";
        registry.register("southbound_repair_steps", repairs, metrics.repaired.clone());
        let answer = "Time to answer an HTTP request; of a stream, to begin to";
        registry.register_with_unit("http_request_duration", answer, Unit::Seconds, metrics.answered.clone());
        process::started();
        Self { registry, ..metrics }
    }

    /// Counts an HTTP answer under its route, not its path.
    pub fn count_request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.answered.get_or_create(&Timed { method, route: route.to_owned() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&RouteLabel { method, route: route.to_owned(), status }).inc();
    }

    /// Everything as OpenMetrics text, the state of the network included.
    ///
    /// # Errors
    /// Never in fact: text is written into memory.
    pub async fn render(&self, app: &App, broker: &Broker) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.registry)?;
        let mut now = Registry::with_prefix("watermaster");
        gauges::draw(app, &mut now).await;
        controller_gauges::draw(app, &mut now).await;
        optimization::draw(app, &mut now);
        scheduler::draw(app, &mut now);
        scheduler::draw_plans(app, &mut now);
        broker::draw(broker, &mut now);
        text::encode_registry(&mut text, &now)?;
        let mut process = Registry::default();
        process::draw(&mut process);
        text::encode_registry(&mut text, &process)?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }

    /// Counts what changes on switches and controllers.
    pub fn record_field_event(&self, event: &FieldEvent) {
        match event {
            FieldEvent::Turned { id, topology, condition, .. } => {
                let (state, reason) = (condition.state, condition.reason.as_deref());
                tracing::debug!(%id, %topology, ?state, reason, "an allocation changed its state");
            }
            FieldEvent::Installed { controller, took_ms } => {
                let seconds = Duration::from_millis(*took_ms).as_secs_f64();
                let label = ControllerLabel { controller: controller.to_string() };
                self.installed.get_or_create(&label).observe(seconds);
            }
            FieldEvent::Repaired { controller, steps } => {
                let label = ControllerLabel { controller: controller.to_string() };
                self.repaired.get_or_create(&label).inc_by(*steps);
            }
            FieldEvent::AdjustmentRefused { .. } => self.count_adjustment("refused"),
        }
    }

    /// Counts and logs a commit.
    pub async fn record_commit(&self, app: &App, commit: &Commit) {
        self.decisions.log(app, commit).await;
        self.decided.observe(commit.decided_in.as_secs_f64());
        self.written.observe(commit.written_in.as_secs_f64());
        self.events.inc_by(commit.facts.len() as u64);
        for fact in commit.facts.iter() {
            self.record_fact(fact);
        }
    }

    /// From an event to counters and a log line.
    fn record_fact(&self, fact: &Fact) {
        let sequence = fact.sequence.0;
        match &fact.event {
            // Logged by the decision log.
            Event::Admitted { allocation, displaced } => {
                self.count(allocation.demand.class_type, "admitted", "");
                self.count_request_victims(allocation.demand.class_type, displaced);
            }
            Event::Denied { demand, denial, .. } => {
                self.count(demand.class_type, "denied", reason(denial));
                if is_adjustment(fact) {
                    self.count_adjustment("denied");
                }
            }
            Event::Resized { displaced, allocation } if is_adjustment(fact) => {
                self.count_request_victims(allocation.demand.class_type, displaced);
                self.count_adjustment("resized");
            }
            Event::Resized { allocation, displaced } | Event::Started { allocation, displaced } => {
                self.count_request_victims(allocation.demand.class_type, displaced);
            }
            Event::Recovered { allocation } => {
                let (id, hops) = (allocation.id, allocation.path.len());
                let is_protected = !allocation.is_unprotected();
                tracing::info!(sequence, %id, hops, is_protected, "recovered");
            }
            Event::StartFailed { id, demand, denial } => {
                let (class_type, reason) = (demand.class_type.number(), reason(denial));
                tracing::warn!(sequence, %id, class_type, reason, "a scheduled allocation could not start");
            }
            Event::Released { id } => tracing::debug!(sequence, %id, "released"),
            Event::Expired { ids } => tracing::info!(sequence, count = ids.len(), "expired"),
            Event::TopologyPut { name, topology, displaced } => {
                self.count_victims(displaced);
                let (nodes, links) = (topology.nodes().count(), topology.links().count());
                let Outcomes { preempted, devolved, rerouted, unprotected, failed } = Outcomes::of(displaced);
                tracing::info!(
                    sequence, topology = %name, nodes, links, preempted, devolved, rerouted, unprotected, failed, "topology put"
                );
            }
            Event::ControllerPut { controller } => {
                let (name, topology) = (&controller.name, &controller.topology);
                let url = controller.address.as_ref().map(ToString::to_string);
                tracing::info!(sequence, controller = %name, %topology, url, "controller put");
            }
            Event::ControllerLed { name, leader } => {
                let (instance, term) = (&leader.instance, leader.term);
                tracing::info!(sequence, controller = %name, %instance, term, "a controller has another leader");
            }
            Event::SchedulerLed { lead } => {
                let (instance, term) = (lead.instance.as_ref().map(ToString::to_string), lead.term);
                tracing::info!(sequence, instance, term, "another instance schedules");
            }
            Event::ControllerDeleted { name } => tracing::info!(sequence, controller = %name, "controller deleted"),
            Event::MaintenancePlanned { topology, maintenance, displaced, stranded } => {
                self.count_victims(displaced);
                let (id, links, stranded) = (maintenance.id.0, maintenance.links.len(), stranded.len());
                let (starts_at_ms, ends_at_ms) = (maintenance.starts_at.0, maintenance.ends_at.0);
                let rerouted = displaced.len();
                tracing::info!(sequence, %topology, id, links, starts_at_ms, ends_at_ms, rerouted, stranded, "maintenance planned");
            }
            Event::PreemptionForeseen { topology, notices } => {
                let given = notices.iter().filter(|(_, notice)| notice.is_some()).count();
                tracing::info!(sequence, %topology, given, lifted = notices.len() - given, "preemption foreseen");
            }
            Event::MaintenanceEnded { topology, id } => {
                tracing::info!(sequence, %topology, id = id.0, "maintenance ended");
            }
            Event::TenantPut { tenant } => tracing::info!(sequence, tenant = %tenant.name, "tenant put"),
            Event::TenantDeleted { name } => tracing::info!(sequence, tenant = %name, "tenant deleted"),
            Event::TopologyDeleted { name } => tracing::info!(sequence, topology = %name, "topology deleted"),
            Event::ModelSet { topology, displaced, .. } => {
                self.count_victims(displaced);
                let Outcomes { preempted, devolved, rerouted, unprotected, failed } = Outcomes::of(displaced);
                tracing::info!(sequence, %topology, preempted, devolved, rerouted, unprotected, failed, "bandwidth model set");
            }
            Event::LinkChanged { topology, links, displaced, stranded, is_reported } => {
                self.count_victims(displaced);
                let links: Vec<_> = links.iter().map(|(_, link)| link.name.as_str()).collect();
                let Outcomes { preempted, devolved, rerouted, unprotected, failed } = Outcomes::of(displaced);
                let stranded = stranded.len();
                tracing::info!(
                    sequence, %topology, ?links, preempted, devolved, rerouted, unprotected, failed, stranded, is_reported, "link changed"
                );
            }
        }
    }

    fn count(&self, class_type: ClassType, outcome: &'static str, reason: &'static str) {
        let class_type = class_type.number();
        self.admissions.get_or_create(&AdmissionLabel { class_type, outcome, reason }).inc();
    }

    fn count_adjustment(&self, outcome: &'static str) {
        self.adjustments.get_or_create(&AdjustmentLabel { outcome }).inc();
    }

    fn count_request_victims(&self, class_type: ClassType, displaced: &[Displaced]) {
        self.count_victims(displaced);
        for gone in displaced {
            let label = RequestVictimLabel { class_type: class_type.number(), outcome: outcome(gone) };
            self.request_victims.get_or_create(&label).inc();
        }
    }

    fn count_victims(&self, displaced: &[Displaced]) {
        for gone in displaced {
            let label = VictimLabel { cause: cause(gone.cause), outcome: outcome(gone) };
            self.victims.get_or_create(&label).inc();
        }
    }
}

impl Default for ServiceMetrics {
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
    broker::draw(broker, &mut registry);
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Whether auto-bandwidth had it decided.
fn is_adjustment(fact: &Fact) -> bool {
    fact.actor.as_ref().is_some_and(|actor| actor.name.as_str() == AUTO_BANDWIDTH_ACTOR)
}

fn cause(cause: DisplacedBy) -> &'static str {
    match cause {
        DisplacedBy::Contention(Cause::Preempted) => "preempted",
        DisplacedBy::Contention(Cause::Devolved) => "devolved",
        DisplacedBy::Link => "link",
        DisplacedBy::Relocation => "relocation",
    }
}

/// What became of an allocation that lost its path, in the words of the REST interface.
fn outcome(gone: &Displaced) -> &'static str {
    match gone.fate {
        Fate::Rerouted(_) if gone.cause == DisplacedBy::Relocation => "moved",
        Fate::Rerouted(_) => "rerouted",
        Fate::Unprotected => "unprotected",
        Fate::Ended(EndCause::Devolved) => "devolved",
        Fate::Ended(EndCause::Preempted) => "preempted",
        Fate::Ended(EndCause::Failed | EndCause::Released | EndCause::Expired) => "failed",
    }
}

/// How many allocations had each outcome.
struct Outcomes {
    preempted: usize,
    devolved: usize,
    rerouted: usize,
    unprotected: usize,
    failed: usize,
}

impl Outcomes {
    fn of(displaced: &[Displaced]) -> Self {
        let count = |word: &str| displaced.iter().filter(|gone| outcome(gone) == word).count();
        Self {
            preempted: count("preempted"),
            devolved: count("devolved"),
            rerouted: count("rerouted"),
            unprotected: count("unprotected"),
            failed: count("failed"),
        }
    }
}

fn reason(denial: &Denial) -> &'static str {
    match denial {
        Denial::InsufficientBandwidth { .. } => "insufficient_bandwidth",
        Denial::NoBackup { .. } => "no_backup_path",
        Denial::TooCongested { .. } => "too_congested",
        Denial::NoPath(_) => "no_path",
    }
}
