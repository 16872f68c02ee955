//! SNDlib (sndlib.zib.de): network planning instances, in XML and in a text format of their own. What the two share.
//!
//! Capacities are the pre-installed one where that is above zero, else the largest installable module; in Mbit/s unless
//! the file names a unit. Demands are not read. Links are undirected.

pub(super) mod native;
pub(super) mod xml;

use kernel::topology::{CapacitySource, TE_METRIC_MAX};

use super::Format;
use super::attribute_values::{drawing, geographic};
use super::decimal::Decimal;
use super::element_builder::{Capacity, EdgeBuilder, EdgeDirection, NodeBuilder};
use super::error::ImportError;
use super::source_position::{SourcePosition, excerpt};
use super::topology_builder::TopologyBuilder;

/// What is known of a network so far.
struct SndlibNetwork {
    draft: TopologyBuilder,
    nodes: Vec<RawNode>,
    links: Vec<RawLink>,
    /// The name of the unit of capacities, where there is one.
    unit: Option<String>,
    coordinates: Coordinates,
}

/// What coordinates mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coordinates {
    Geographical,
    Pixel,
    /// Geographical if all of them can be.
    Unsaid,
}

#[derive(Default)]
struct RawNode {
    id: String,
    /// x is the longitude: it comes first.
    x: String,
    y: String,
    line: usize,
}

#[derive(Default)]
struct RawLink {
    id: String,
    source: String,
    target: String,
    pre_installed: String,
    routing_cost: String,
    modules: Vec<String>,
    line: usize,
}

impl SndlibNetwork {
    fn new(format: Format) -> Self {
        Self {
            draft: TopologyBuilder::new(format),
            nodes: Vec::new(),
            links: Vec::new(),
            unit: None,
            coordinates: Coordinates::Unsaid,
        }
    }

    fn into_draft(mut self) -> Result<TopologyBuilder, ImportError> {
        self.resolve_coordinates();
        let places = self.unit_places();
        for node in std::mem::take(&mut self.nodes) {
            self.add_node(node)?;
        }
        for link in std::mem::take(&mut self.links) {
            self.add_link(link, places)?;
        }
        Ok(self.draft)
    }

    fn resolve_coordinates(&mut self) {
        let given = |node: &&RawNode| !node.x.is_empty() || !node.y.is_empty();
        if self.coordinates == Coordinates::Unsaid
            && self.nodes.iter().filter(given).any(|node| geographic(&node.y, &node.x).is_none())
        {
            self.coordinates = Coordinates::Pixel;
        }
    }

    /// The decimal places from the file's unit to bit/s.
    fn unit_places(&mut self) -> u32 {
        let unit = self.unit.take().unwrap_or_default();
        match unit.to_ascii_uppercase().as_str() {
            "BITPERSEC" | "BITSPERSEC" => 0,
            "KBITPERSEC" | "KBITSPERSEC" => 3,
            "MBITPERSEC" | "MBITSPERSEC" => 6,
            "GBITPERSEC" | "GBITSPERSEC" => 9,
            "" => {
                self.draft
                    .warnings
                    .push(SourcePosition::element("meta"), "no unit of capacity is named: taken as Mbit/s");
                6
            }
            _ => {
                let message = format!("the unit '{}' is not known: capacities are taken as Mbit/s", excerpt(&unit));
                self.draft.warnings.push(SourcePosition::element("meta"), message);
                6
            }
        }
    }

    fn add_node(&mut self, node: RawNode) -> Result<(), ImportError> {
        let at = SourcePosition::line(node.line).of(format!("node '{}'", excerpt(&node.id)));
        let position = match (node.x.is_empty() && node.y.is_empty(), self.coordinates) {
            (true, _) => None,
            (false, Coordinates::Pixel) => drawing(&node.x, &node.y),
            (false, Coordinates::Geographical | Coordinates::Unsaid) => geographic(&node.y, &node.x),
        };
        if position.is_none() && !(node.x.is_empty() && node.y.is_empty()) {
            let message = format!("no such place as {}, {}: ignored", excerpt(&node.x), excerpt(&node.y));
            self.draft.warnings.push(at.clone(), message);
        }
        self.draft.add_node(NodeBuilder { id: node.id, label: None, position, switch: None, at })
    }

    fn add_link(&mut self, link: RawLink, places: u32) -> Result<(), ImportError> {
        let at = SourcePosition::line(link.line).of(format!("link '{}'", excerpt(&link.id)));
        let rate = |text: &str| Capacity::given(Decimal::parse(text.trim())?.scaled_u64(places)?);
        let module = || {
            let largest =
                link.modules.iter().filter_map(|module| rate(module)).max_by_key(|module| module.bandwidth)?;
            Some(Capacity { source: CapacitySource::Module, ..largest })
        };
        let mut edge = EdgeBuilder::new(link.source, link.target, EdgeDirection::Both, at);
        edge.capacity = rate(&link.pre_installed).or_else(module);
        let cost = Decimal::parse(link.routing_cost.trim()).and_then(|cost| cost.scaled_u64(0));
        let cost = cost.and_then(|cost| u32::try_from(cost).ok());
        edge.te_metric = cost.filter(|cost| (1..=TE_METRIC_MAX).contains(cost));
        edge.name = Some(link.id);
        self.draft.add_edge(edge)
    }
}
