//! What controllers report of their switches, as gauges, read at each scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::ControllerLabel;
use crate::app::App;

/// What the controllers hold of what they should.
pub(super) async fn draw(app: &App, registry: &mut Registry) {
    let [up, leads, intended, installed, drifting, unsettled] = [
        ("southbound_controller_up", "Whether a controller answers"),
        ("southbound_controller_leads", "Whether this instance writes to the switches of a controller"),
        ("southbound_rules_intended", "Rules and meters that switches should hold"),
        ("southbound_rules_installed", "Of these, those that switches are known to hold"),
        ("southbound_rules_drifting", "Rules and meters that are missing, wrong or too much"),
        ("southbound_allocations_unsettled", "Allocations that are not in force on the switches"),
    ]
    .map(|(name, help)| {
        let family = Family::<ControllerLabel, Gauge<u64, AtomicU64>>::default();
        registry.register(name, help, family.clone());
        family
    });
    let names = app.read(|state| state.controllers().map(|one| one.name.clone()).collect::<Vec<_>>());
    for name in names {
        let Some(status) = app.controller(&name).map(|cell| cell.status()) else { continue };
        let label = ControllerLabel { controller: name.to_string() };
        up.get_or_create(&label).set(u64::from(status.reachable == Some(true)));
        leads.get_or_create(&label).set(u64::from(app.leads(&name)));
        intended.get_or_create(&label).set(status.intended);
        installed.get_or_create(&label).set(status.installed);
        drifting.get_or_create(&label).set(status.drifting);
        unsettled.get_or_create(&label).set(status.unsettled);
    }
}
