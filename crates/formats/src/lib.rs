//! Topology files and the kernel's [`Topology`].
//!
//! [`read`] takes a file in any [`Format`] (recognised by its content unless one is named) and answers a validated
//! topology with a [`TopologyReport`](api::topology::TopologyReport) of what was assumed. [`write()`] goes the other way
//! for the formats that other tools import.
//! No input makes it panic, and time and memory are bounded by [`INPUT_MAX_BYTES`].
//!
//! ```
//! use watermaster_formats::{Format, ReadOptions, read, write};
//!
//! let gml = br#"graph [
//!   node [ id 0 label "Porto" ]
//!   node [ id 1 label "Lisboa" ]
//!   edge [ source 0 target 1 LinkLabel "10 Gbps" ]
//! ]"#;
//! let imported = read(gml, &ReadOptions::default())?;
//! assert_eq!(imported.report.format, Format::Gml);
//! // One undirected edge becomes two links that share their fate.
//! assert_eq!((imported.report.nodes, imported.report.links), (2, 2));
//! let graphml = write(&imported.topology, Format::GraphMl)?;
//! assert_eq!(read(graphml.as_bytes(), &ReadOptions::default())?.topology, imported.topology);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

mod report;
pub use report::{Imported, assumptions, source_name};
mod error;
pub use error::{ExportError, GzipError, ImportError};
mod source_position;
pub use source_position::WARNINGS_MAX;
pub mod aggregator;
pub mod bandwidth_model;
pub mod trace;
mod link_state;
pub use link_state::{link_state, link_state_name};
pub use native::{document_of, topology_of};

pub mod diff;

mod attributes;
mod attribute_values;
mod quantity;
mod loose_graph;
mod topology_builder;
mod element_builder;
mod both_ways;
mod link_namer;
mod csv_edges;
mod gml;
mod graphml;
mod native;
mod networkx_json;
mod node_link;
mod repetita;
mod rfc8345;
mod sndlib;
mod networks;
mod detect;
mod decode;
pub use decode::gunzip;
pub use json::plain_integers;

pub mod capacity;
mod decimal;
mod distance;
mod json;
mod xml;

pub use api::topology::{MissingCapacity, TopologyFormat as Format};
use kernel::topology::Topology;
use kernel::units::Bandwidth;

/// The longest file that is read: 16 MiB.
pub const INPUT_MAX_BYTES: usize = 16 << 20;
/// The deepest nesting of brackets or elements.
pub const DEPTH_MAX: usize = 64;
/// The most values that a JSON file may have, so that memory stays within a few times the file's size.
pub const JSON_VALUES_MAX: usize = 4_000_000;
/// The most attributes that one XML element may have.
pub const XML_ATTRIBUTES_MAX: usize = 64;
/// The most `<key>`s that a GraphML file may have; the Topology Zoo's have about 40.
pub const GRAPHML_KEYS_MAX: usize = 256;
/// The longest name of an attribute that is read, in bytes; longer ones are ignored. Also the longest default value
/// of a GraphML key, since it is copied to every node or edge.
pub const ATTRIBUTE_NAME_MAX_BYTES: usize = 255;
/// The longest label of a node, in bytes.
pub const LABEL_MAX_BYTES: usize = 255;
/// The largest coordinate of a drawing, either way.
pub const DRAWING_MAX: i64 = 1_000_000_000;

/// The capacity of links that have none, unless another is asked for: 10 Gbit/s.
pub const DEFAULT_CAPACITY: Bandwidth = Bandwidth::saturating_from_bps(10_000_000_000);

/// How to read a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadOptions {
    /// Its format; recognised by its content if `None`.
    pub format: Option<Format>,
    /// The capacity of links that have none, under [`MissingCapacity::Default`].
    pub default_capacity: Bandwidth,
    /// What to do with links without a capacity.
    pub on_missing_capacity: MissingCapacity,
    /// Which network of a file that may hold several is read; needed if there are several.
    pub network: Option<String>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            default_capacity: DEFAULT_CAPACITY,
            on_missing_capacity: MissingCapacity::Default,
            network: None,
        }
    }
}

/// Reads a topology from the bytes of a file.
///
/// # Errors
/// The first fault found, with its place in the file.
pub fn read(bytes: &[u8], options: &ReadOptions) -> Result<Imported, ImportError> {
    let text = decode::decode(bytes)?;
    let format = match options.format {
        Some(format) => format,
        None => detect::sniff(&text)?,
    };
    let network = options.network.as_deref();
    let builder = match format {
        Format::GraphMl => graphml::read(&text, network)?,
        Format::Gml => gml::read(&text, network)?,
        Format::Rfc8345 => rfc8345::read(&text, network)?,
        // All others hold one network, which has no name.
        _ if network.is_some() => {
            let network = network.unwrap_or_default().to_owned();
            return Err(ImportError::UnknownNetwork { network, names: Vec::new() });
        }
        Format::Native => return native::read(&text, options),
        Format::SndlibXml => sndlib::xml::read(&text)?,
        Format::SndlibNative => sndlib::native::read(&text)?,
        Format::NodeLink => node_link::read(&text)?,
        Format::Adjacency => networkx_json::read_adjacency(&text)?,
        Format::Cytoscape => networkx_json::read_cytoscape(&text)?,
        Format::Repetita => repetita::read(&text)?,
        Format::Csv => csv_edges::read(&text)?,
    };
    builder.build(options)
}

/// Writes a topology as a file of `format`. Native, GraphML and node-link lose nothing when read again; RFC 8345 keeps
/// what its model has leaves for, capacities to 24 significant bits of octets per second.
///
/// # Errors
/// [`ExportError::ReadOnly`] for a format that is only read.
pub fn write(topology: &Topology, format: Format) -> Result<String, ExportError> {
    match format {
        Format::Native => Ok(native::write(topology)),
        Format::GraphMl => Ok(graphml::write(topology)),
        Format::NodeLink => Ok(node_link::write(topology)),
        Format::Rfc8345 => Ok(rfc8345::write(topology)),
        Format::Gml
        | Format::SndlibXml
        | Format::SndlibNative
        | Format::Adjacency
        | Format::Cytoscape
        | Format::Repetita
        | Format::Csv => Err(ExportError::ReadOnly { format }),
    }
}
