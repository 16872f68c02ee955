//! What was read and what was assumed on the way.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use kernel::topology::{CapacitySource, Topology};

use super::Format;
use super::source_position::{Warning, Warnings};

/// A topology and how it came to be.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What the file describes.
    pub topology: Topology,
    /// What was assumed.
    pub report: Report,
}

/// What was read and what was assumed on the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = TopologyReport)]
pub struct Report {
    /// As what the file was read.
    pub format: Format,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many directed links there are.
    pub links: usize,
    /// How many parts there are between which no link runs; 1 is a connected network.
    pub islands: usize,
    /// How many directed links have a capacity that is known in each way: `given`, `label`, `bound`, `range`, `module`
    /// or `default`.
    #[serde(serialize_with = "by_source_name")]
    #[schema(value_type = BTreeMap<String, usize>)]
    pub capacity_from: BTreeMap<CapacitySource, usize>,
    /// How many directed links had no delay in the file: it follows the distance between the ends where their
    /// coordinates are geographic, and is 0 elsewhere.
    pub delays_assumed: usize,
    /// How many directed links had no TE metric in the file, and have metric 1.
    pub te_metrics_assumed: usize,
    /// How many edges were left out: from a node to itself, or without a capacity where those are to be dropped.
    pub dropped_links: usize,
    /// What else was assumed or left out; at most 100.
    pub warnings: Vec<Warning>,
    /// How many more warnings there were.
    pub warnings_omitted: usize,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Self {
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
        }
    }

    pub(super) fn finish(mut self, topology: Topology, warnings: Warnings) -> Imported {
        self.nodes = topology.node_count();
        self.links = topology.link_count();
        self.islands = topology.island_count();
        (self.warnings, self.warnings_omitted) = warnings.into_parts();
        Imported { topology, report: self }
    }
}

fn by_source_name<S: Serializer>(counts: &BTreeMap<CapacitySource, usize>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(source, count)| (source_name(*source), count)))
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
