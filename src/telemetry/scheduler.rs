//! What the QoS scheduler knows of aggregators, read at each scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::app::{App, Trigger};
use kernel::id::Name;
use kernel::scheduler::engine::UnservedCause;
use kernel::scheduler::hysteresis::LeaseState;
use kernel::scheduler::{LEVELS, QosLevel};

/// How many aggregators are looked at at a time.
const AT_ONCE: usize = 1_000;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct QosLevelLabel {
    qos_level: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct UnservedLabel {
    qos_level: u8,
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ReasonLabel {
    trigger: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct UpTo {
    up_to_us: String,
}

type SchedulerGauge = Gauge<u64, AtomicU64>;

/// Sums over all aggregators.
#[derive(Default)]
struct Sums {
    states: [u64; 3],
    demand_bps: [u64; LEVELS],
    granted_bps: [u64; LEVELS],
    buffer_bytes: [u64; LEVELS],
    boosted: [u64; LEVELS],
    unserved: [[u64; LEVELS]; UnservedCause::ALL.len()],
}

/// Aggregators by state, and what they want, have and hold back by level.
pub(super) fn draw(app: &App, registry: &mut Registry) {
    let sums = add_up(app);
    let states = Family::<StateLabel, SchedulerGauge>::default();
    for (state, count) in ["fresh", "stale", "lost"].into_iter().zip(sums.states) {
        states.get_or_create(&StateLabel { state }).set(count);
    }
    registry.register("aggregators", "Aggregators, by the age of their last report", states);
    for (name, help, by_level) in [
        ("aggregators_demand_bps", "What aggregators need of the network", sums.demand_bps),
        ("aggregators_granted_bps", "What is reserved for aggregators", sums.granted_bps),
        ("aggregators_buffer_bytes", "What waits at aggregators, as they reported", sums.buffer_bytes),
        ("aggregators_boosted", "Aggregators whose buffer is over the threshold", sums.boosted),
    ] {
        let family = Family::<QosLevelLabel, SchedulerGauge>::default();
        for (level, amount) in QosLevel::ALL.into_iter().zip(by_level) {
            family.get_or_create(&QosLevelLabel { qos_level: level.number() }).set(amount);
        }
        registry.register(name, help, family);
    }
    let unserved = Family::<UnservedLabel, SchedulerGauge>::default();
    for (cause, by_level) in UnservedCause::ALL.into_iter().zip(sums.unserved) {
        for (level, count) in QosLevel::ALL.into_iter().zip(by_level) {
            let label = UnservedLabel { qos_level: level.number(), reason: cause.as_str() };
            unserved.get_or_create(&label).set(count);
        }
    }
    let help = "Aggregators with demand in a level for which nothing can be reserved, by why";
    registry.register("aggregators_unserved", help, unserved);
}

/// How often the scheduler planned, why, and how long that took.
pub(super) fn draw_plans(app: &App, registry: &mut Registry) {
    let refused = Counter::<u64>::default();
    refused.inc_by(app.scheduler().refused());
    registry.register("aggregators_reports_refused", "Reports over MQTT that were refused", refused);
    let plans = app.scheduler().plans();
    let triggers = Family::<ReasonLabel, Counter>::default();
    for trigger in Trigger::ALL {
        triggers.get_or_create(&ReasonLabel { trigger: trigger.as_str() }).inc_by(plans.triggered_by(trigger));
    }
    registry.register("scheduler_replans", "Plans of the scheduler, by why", triggers);
    let times = Family::<UpTo, Counter>::default();
    for (bound, count) in plans.by_time() {
        let up_to_us = bound.map_or_else(|| "inf".to_owned(), |us| us.to_string());
        times.get_or_create(&UpTo { up_to_us }).inc_by(count);
    }
    registry.register("scheduler_plans", "Plans of the scheduler, by how long they took", times);
    let total = Counter::<f64, AtomicU64>::default();
    total.inc_by(plans.total().as_secs_f64());
    registry.register_with_unit("scheduler_busy", "What all plans took", Unit::Seconds, total);
}

fn add_up(app: &App) -> Sums {
    let mut sums = Sums::default();
    let mut after: Option<Name> = None;
    loop {
        let views = app.scheduler().aggregators(after.as_ref(), AT_ONCE);
        let Some(last) = views.last() else { return sums };
        after = Some(last.id.clone());
        for view in &views {
            let state = match view.standing {
                LeaseState::Fresh => 0,
                LeaseState::Stale => 1,
                LeaseState::Lost => 2,
            };
            add(&mut sums.states[state], 1);
            for at in QosLevel::ALL.map(QosLevel::at) {
                add(&mut sums.demand_bps[at], view.demand[at].as_bps());
                add(&mut sums.granted_bps[at], view.rates.levels[at].rate.as_bps());
                add(&mut sums.buffer_bytes[at], view.metadata.levels[at].buffer_bytes);
                add(&mut sums.boosted[at], u64::from(view.boosted[at]));
                if let Some(cause) = view.rates.levels[at].unserved {
                    add(&mut sums.unserved[cause as usize][at], 1);
                }
            }
        }
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}
