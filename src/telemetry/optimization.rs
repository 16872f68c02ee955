//! What the last plan of moves of each topology came to, read at each scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::app::App;
use kernel::units::PPM;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct PlanLabel {
    topology: String,
    objective: &'static str,
}

/// By topology and what the plan was for.
pub(super) fn draw(app: &App, registry: &mut Registry) {
    let [value, bound] = [
        ("optimization_value", "The objective after the last plan of moves, in its unit"),
        ("optimization_bound", "What no routing is better than, in the unit of the objective"),
    ]
    .map(|(name, help)| {
        let family = Family::<PlanLabel, Gauge<u64, AtomicU64>>::default();
        registry.register(name, help, family.clone());
        family
    });
    let [reached, fullest] = [
        ("optimization_reached_ratio", "How near the last plan of moves comes to its bound; 1: no routing is better"),
        ("optimization_max_utilisation_ratio", "The maximum utilisation of a link after the last plan of moves"),
    ]
    .map(|(name, help)| {
        let family = Family::<PlanLabel, Gauge<f64, AtomicU64>>::default();
        registry.register(name, help, family.clone());
        family
    });
    for (topology, figures) in app.optimizations() {
        let label = PlanLabel { topology: topology.to_string(), objective: figures.objective };
        value.get_or_create(&label).set(figures.value);
        bound.get_or_create(&label).set(figures.bound);
        reached.get_or_create(&label).set(ratio(figures.reached_ppm));
        fullest.get_or_create(&label).set(ratio(figures.max_ppm));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of this kind is a float")]
fn ratio(ppm: u64) -> f64 {
    ppm as f64 / f64::from(PPM)
}
