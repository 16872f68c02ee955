//! Topologies: the document, the report on an upload, and lists.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::bandwidth_model::ModelName;
use crate::effects::Effects;
use crate::link::LinkStateName;
use crate::words::words;

/// A topology in Watermaster's own JSON.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopologyDocument {
    /// The routers or switches; at least one, at most 20,000.
    pub nodes: Vec<TopologyNode>,
    /// The links between them; at most 100,000 directed ones.
    #[serde(default)]
    pub links: Vec<TopologyLink>,
}

/// A node of a [`TopologyDocument`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopologyNode {
    /// Its key in the topology: 1 to 255 bytes, no control characters. May also be written `name`.
    #[serde(alias = "name")]
    #[schema(min_length = 1, max_length = 255)]
    pub id: String,
    /// What people call it, where that is not the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub label: Option<String>,
    /// Degrees north, together with `longitude`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: Option<f64>,
    /// Degrees east, together with `latitude`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: Option<f64>,
    /// To the right on a drawing, together with `y`; instead of `latitude` and `longitude`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<f64>,
    /// Downwards on a drawing, together with `x`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<f64>,
    /// The OpenFlow datapath id: 1 to 16 hexadecimal digits, or an integer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "dpid_text")]
    #[schema(example = "0000000000000001")]
    pub dpid: Option<String>,
    /// The switch ports at which hosts are attached. Only with `dpid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1024)]
    pub host_ports: Vec<u32>,
}

/// A link of a [`TopologyDocument`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopologyLink {
    /// Its key in the topology: 1 to 255 bytes, no control characters. May also be written `name`.
    #[serde(alias = "name")]
    #[schema(min_length = 1, max_length = 255)]
    pub id: String,
    /// The id of its tail. May also be written `source` or `src`.
    #[serde(alias = "source", alias = "src")]
    pub from: String,
    /// The id of its head. May also be written `target`, `destination` or `dst`.
    #[serde(alias = "target", alias = "destination", alias = "dst")]
    pub to: String,
    /// What it can carry, in bit/s. Where it is missing, the upload's policy for missing capacities decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64)]
    pub capacity_bps: Option<u64>,
    /// How much of it may be reserved, in bit/s; the capacity if missing. May exceed the capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub max_reservable_bps: Option<u64>,
    /// The TE metric. If missing everywhere, the distance in kilometres where every link has one (both ends have a
    /// latitude and longitude), at least 1; else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_777_215)]
    pub te_metric: Option<u32>,
    /// The one-way delay in microseconds. If missing, that of a fibre along the great circle between the ends, where
    /// both have a latitude and longitude, and 0 elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 60_000_000)]
    pub delay_us: Option<u64>,
    /// The shared-risk link groups it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub srlg: Vec<u32>,
    /// Its administrative group: a mask of 32 colours.
    #[serde(default, skip_serializing_if = "is_default")]
    pub admin_group: u32,
    /// Whether it may carry anything.
    #[serde(default, skip_serializing_if = "is_default")]
    pub state: LinkStateName,
    /// The switch port at the tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_port: Option<u32>,
    /// The switch port at the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_port: Option<u32>,
    /// Whether this stands for two links that share their fate, one each way. The way back has this id with `~` behind
    /// it, the same properties, and the ports exchanged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bidirectional: bool,
    /// The id of the link that is the other direction of this one and shares its fate. Not with `bidirectional`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
    /// How the capacity is known: `given` (if missing), `label`, `bound`, `range`, `module` or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_from: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A datapath id as hexadecimal text, from such a text or from an integer.
fn dpid_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Dpid;

    impl Visitor<'_> for Dpid {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("1 to 16 hexadecimal digits or an integer")
        }

        fn visit_u64<E: de::Error>(self, dpid: u64) -> Result<Self::Value, E> {
            Ok(Some(format!("{dpid:016x}")))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Dpid)
}

words! {
    /// A topology file format.
    TopologyFormat {
        /// Watermaster's own JSON.
        Native "native"
        /// GraphML, as of the Topology Zoo, networkx and yEd.
        GraphMl "graphml"
        /// GML (Graph Modelling Language), as of the Topology Zoo and networkx.
        Gml "gml"
        /// SNDlib's XML.
        SndlibXml "sndlib-xml"
        /// SNDlib's native text format.
        SndlibNative "sndlib"
        /// RFC 8345 network topology JSON, with the TE attributes of RFC 8795.
        Rfc8345 "rfc8345"
        /// networkx node-link JSON.
        NodeLink "node-link"
        /// networkx adjacency JSON.
        Adjacency "adjacency"
        /// Cytoscape JSON, as of networkx and Cytoscape.js.
        Cytoscape "cytoscape"
        /// REPETITA's `.graph` text format.
        Repetita "repetita"
        /// An edge list in CSV with a header.
        Csv "csv"
    }

    /// The format in which a topology is written.
    #[derive(Default)]
    ExportFormat {
        /// Watermaster's own JSON.
        #[default]
        Native "native"
        /// GraphML.
        Graphml "graphml"
        /// networkx node-link JSON.
        NodeLink "node-link"
        /// RFC 8345 network topology JSON, with the TE attributes of RFC 8795.
        Rfc8345 "rfc8345"
    }

    /// What becomes of links that have no capacity.
    #[derive(Default)]
    MissingCapacity {
        /// They get the default capacity, and the report counts them.
        #[default]
        Default "default"
        /// They are left out.
        Drop "drop"
        /// The file is refused.
        Error "error"
    }
}

/// What was read and what was assumed on the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopologyReport {
    /// The format that the file was read as.
    pub format: TopologyFormat,
    /// The number of nodes.
    pub nodes: usize,
    /// The number of directed links.
    pub links: usize,
    /// The number of parts that no link connects; 1 is a connected network.
    pub islands: usize,
    /// The number of directed links whose capacity is known in each way: `given`, `label`, `bound`, `range`, `module` or
    /// `default`.
    pub capacity_from: BTreeMap<String, usize>,
    /// The default capacity in bit/s; present if a link got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub default_capacity_bps: Option<u64>,
    /// The number of directed links without a delay in the file.
    pub delays_assumed: usize,
    /// How many of those have the delay of a fibre along the distance between their ends, 4.9 µs a kilometre; the others
    /// have 0.
    #[serde(default)]
    #[schema(required = true)]
    pub delays_from_distance: usize,
    /// The number of directed links without a TE metric in the file.
    pub te_metrics_assumed: usize,
    /// How many of those have the distance between their ends in kilometres as their metric; the others have 1.
    #[serde(default)]
    #[schema(required = true)]
    pub te_metrics_from_distance: usize,
    /// The number of edges left out: from a node to itself, or without a capacity where those are dropped.
    pub dropped_links: usize,
    /// What else was assumed or left out; at most 100.
    pub warnings: Vec<Warning>,
    /// The number of further warnings.
    pub warnings_omitted: usize,
}

/// A place in a file: a line, an element (such as `links[3].capacity_bps` or `edge 'a-b'`), or both.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Place)]
pub struct SourcePosition {
    /// The line, counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, in bytes, counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The node, link or member, in the file's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
}

impl SourcePosition {
    /// A whole line.
    pub fn line(line: usize) -> Self {
        Self { line: Some(line), ..Self::default() }
    }

    /// An element of a file whose lines are not known any more.
    pub fn element(element: impl Into<String>) -> Self {
        Self { element: Some(element.into()), ..Self::default() }
    }

    /// The byte at `offset` of `text`.
    pub fn offset(text: &[u8], offset: usize) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or_default();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Self { line: Some(line), column: Some(before.len() - start + 1), element: None }
    }

    /// The same place, with its element named.
    pub fn of(mut self, element: impl Into<String>) -> Self {
        self.element = Some(element.into());
        self
    }
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(line) = self.line {
            write!(f, "line {line}")?;
            separator = ", ";
        }
        if let Some(column) = self.column {
            write!(f, "{separator}column {column}")?;
            separator = ", ";
        }
        match &self.element {
            Some(element) => write!(f, "{separator}{element}"),
            None => Ok(()),
        }
    }
}

/// Something that was assumed or left out, and where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// The place in the file.
    pub place: SourcePosition,
    /// What was noticed and what was done about it.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// What was read, what was assumed, and what that did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopologyOutcome {
    /// The name of the topology.
    pub topology: String,
    /// The revision, for If-Match in quotation marks; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "12")]
    pub revision: Option<String>,
    /// What was read and assumed.
    #[serde(flatten)]
    pub report: TopologyReport,
    /// What happened to allocations.
    #[serde(flatten)]
    pub effects: Effects,
    /// Present and true if nothing of this happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dry_run: bool,
}

/// A topology in brief.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopologySummary {
    /// The name of the topology.
    pub topology: String,
    /// The revision, for If-Match in quotation marks.
    pub revision: String,
    /// The number of nodes.
    pub nodes: usize,
    /// The number of directed links.
    pub links: usize,
    /// The number of living allocations.
    pub allocations: usize,
    /// The bandwidth model in force.
    pub model: ModelName,
}

/// A page of topologies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopologyPage {
    /// By name.
    pub items: Vec<TopologySummary>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}
