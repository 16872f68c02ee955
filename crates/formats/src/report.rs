//! What was read and what was assumed on the way.

use std::collections::BTreeMap;

use api::topology::{TopologyFormat, TopologyReport};
use kernel::topology::{CapacitySource, Topology};

use super::distance::FIBRE_US_PER_KM;
use super::source_position::Warnings;

/// The TE metric of a link whose file gives none.
pub(super) const TE_METRIC_DEFAULT: u32 = 1;

/// A topology and how it came to be.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What the file describes.
    pub topology: Topology,
    /// What was assumed.
    pub report: TopologyReport,
}

/// The counts of a file that is being read.
pub(super) struct ReportBuilder(pub(super) TopologyReport);

impl ReportBuilder {
    pub(super) fn new(format: TopologyFormat) -> Self {
        Self(TopologyReport {
            format,
            nodes: 0,
            links: 0,
            islands: 0,
            capacity_from: BTreeMap::new(),
            default_capacity_bps: None,
            delays_assumed: 0,
            delays_from_distance: 0,
            te_metrics_assumed: 0,
            te_metrics_from_distance: 0,
            dropped_links: 0,
            warnings: Vec::new(),
            warnings_omitted: 0,
        })
    }

    pub(super) fn finish(self, topology: Topology, warnings: Warnings) -> Imported {
        let mut report = self.0;
        report.nodes = topology.node_count();
        report.links = topology.link_count();
        report.islands = topology.island_count();
        (report.warnings, report.warnings_omitted) = warnings.into_parts();
        Imported { topology, report }
    }
}

/// What was assumed, each with its number of links and its value; empty if the file said everything.
pub fn assumptions(report: &TopologyReport) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |count: usize, what: String| {
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    };
    for (source, count) in &report.capacity_from {
        let value = match (source.as_str(), report.default_capacity_bps) {
            ("given", _) => continue,
            ("default", Some(bps)) => format!("the default, {bps} bit/s"),
            ("default", None) => "a default that the file names as such".to_owned(),
            ("label", _) => "what a label says".to_owned(),
            ("bound", _) => "the bound that is given".to_owned(),
            ("range", _) => "the top of a range".to_owned(),
            ("module", _) => "the largest module that can be installed".to_owned(),
            (other, _) => other.to_owned(),
        };
        add(*count, format!("capacities: {value}"));
    }
    let (distant, all) = (report.te_metrics_from_distance, report.te_metrics_assumed);
    add(distant, "TE metrics: the distance in kilometres".to_owned());
    add(all.saturating_sub(distant), format!("TE metrics: {TE_METRIC_DEFAULT}"));
    let (distant, all) = (report.delays_from_distance, report.delays_assumed);
    add(distant, format!("delays: {FIBRE_US_PER_KM} µs a kilometre"));
    add(all.saturating_sub(distant), "delays: 0".to_owned());
    add(report.dropped_links, "edges: left out".to_owned());
    found
}

/// How a capacity source is written in every format of ours.
pub fn source_name(source: CapacitySource) -> &'static str {
    match source {
        CapacitySource::Given => "given",
        CapacitySource::Label => "label",
        CapacitySource::Bound => "bound",
        CapacitySource::Range => "range",
        CapacitySource::Module => "module",
        CapacitySource::Default => "default",
    }
}

/// The reverse of [`source_name`].
pub(super) fn source_named(name: &str) -> Option<CapacitySource> {
    use CapacitySource::{Bound, Default, Given, Label, Module, Range};
    [Given, Label, Bound, Range, Module, Default].into_iter().find(|source| source_name(*source) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assumptions_have_a_count_and_a_value() {
        let mut report = ReportBuilder::new(TopologyFormat::Gml).0;
        report.capacity_from.insert("given".to_owned(), 4);
        assert_eq!(assumptions(&report), Vec::<String>::new());
        report.capacity_from.insert("default".to_owned(), 2);
        report.default_capacity_bps = Some(7);
        (report.te_metrics_assumed, report.te_metrics_from_distance) = (6, 6);
        (report.delays_assumed, report.delays_from_distance, report.dropped_links) = (6, 4, 1);
        let expected = [
            "2 capacities: the default, 7 bit/s",
            "6 TE metrics: the distance in kilometres",
            "4 delays: 4.9 µs a kilometre",
            "2 delays: 0",
            "1 edges: left out",
        ];
        assert_eq!(assumptions(&report), expected);
    }
}
