//! What was read and what was assumed on the way.

use std::collections::BTreeMap;

use api::topology::{TopologyFormat, TopologyReport};
use kernel::topology::{CapacitySource, Topology};

use super::source_position::Warnings;

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
            delays_assumed: 0,
            te_metrics_assumed: 0,
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
