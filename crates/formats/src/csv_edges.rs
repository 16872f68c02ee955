//! Edge lists in CSV (RFC 4180) with a header, as people keep networks in spreadsheets: one link a row; commas, semicolons
//! or tabs between. The columns of the ends are found by their names; all others are attributes of the link, but for those
//! named after an end, such as `source_latitude`, which are attributes of that node.

use std::collections::BTreeMap;

use csv::{ReaderBuilder, StringRecord};

use super::Format;
use super::attributes::{Attributes, canonical};
use super::element_builder::EdgeDirection;
use super::error::ImportError;
use super::loose_graph::LooseGraph;
use super::source_position::{SourcePosition, excerpt};
use super::topology_builder::TopologyBuilder;

/// The most columns that are read.
const COLUMNS_MAX: usize = 256;
/// What the columns of both ends may be called, in canonical form.
const ENDS: [(&str, &str); 14] = [
    ("source", "target"),
    ("source", "destination"),
    ("from", "to"),
    ("src", "dst"),
    ("src", "dest"),
    ("sourcenode", "destnode"),
    ("sourcenode", "targetnode"),
    ("node1", "node2"),
    ("nodea", "nodeb"),
    ("nodea", "nodez"),
    ("a", "b"),
    ("a", "z"),
    ("aend", "bend"),
    ("aend", "zend"),
];
/// What a column named after an end says of that node.
const NODE_ATTRIBUTES: [&str; 11] =
    ["latitude", "lat", "longitude", "lon", "lng", "long", "label", "name", "dpid", "x", "y"];

/// Whether a text begins with a header that names both ends.
pub(super) fn is_csv(text: &str) -> bool {
    let delimiter = delimiter(text);
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    reader.headers().is_ok_and(|header| Columns::of(header).is_some())
}

/// Reads a file.
pub(super) fn read(text: &str) -> Result<TopologyBuilder, ImportError> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter(text)).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| fault(&error))?.clone();
    if header.len() > COLUMNS_MAX {
        return Err(ImportError::TooMany { at: SourcePosition::line(1), what: "columns", max: COLUMNS_MAX });
    }
    let found = excerpt(&header.iter().collect::<Vec<_>>().join(", "));
    let expected = "a header with columns for both ends, such as source and target";
    let columns = Columns::of(&header);
    let columns = columns.ok_or(ImportError::Syntax { at: SourcePosition::line(1), expected, found })?;
    let mut graph = LooseGraph::new(Format::Csv);
    let mut nodes = Nodes::default();
    let mut undirected = 0_usize;
    for record in reader.records() {
        let record = record.map_err(|error| fault(&error))?;
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let row =
            Row { header: &header, record: &record, at: SourcePosition::line(usize::try_from(line).unwrap_or(0)) };
        let ends = (row.end(columns.from, "source")?, row.end(columns.to, "target")?);
        nodes.add(&ends.0, &row, &columns.from_name);
        nodes.add(&ends.1, &row, &columns.to_name);
        let direction = row.direction(columns.directed, &mut undirected)?;
        graph.add_edge(ends, direction, row.attributes(), row.at)?;
    }
    for (id, attributes, at) in nodes.list {
        graph.add_node(id, attributes, at)?;
    }
    if undirected > 0 {
        let message =
            format!("nothing says that links have one direction: {undirected} rows are taken as going both ways");
        graph.warnings.push(SourcePosition::line(1), message);
    }
    graph.into_builder()
}

/// The separator that the header has most of.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: &u8| header.bytes().filter(|byte| byte == delimiter).count();
    [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

fn fault(error: &csv::Error) -> ImportError {
    let line = error.position().map_or(1, csv::Position::line);
    let at = SourcePosition::line(usize::try_from(line).unwrap_or(1));
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => ImportError::Syntax {
            at,
            expected: "as many fields as the header has",
            found: format!("{len} instead of {expected_len}"),
        },
        _ => ImportError::Syntax { at, expected: "CSV", found: excerpt(&error.to_string()) },
    }
}

/// Where in a row what stands.
struct Columns {
    from: usize,
    to: usize,
    /// The names of those two in canonical form.
    from_name: String,
    to_name: String,
    directed: Option<usize>,
}

impl Columns {
    fn of(header: &StringRecord) -> Option<Self> {
        let names: Vec<String> = header.iter().map(canonical).collect();
        let at = |name: &str| names.iter().position(|other| other == name);
        ENDS.iter().find_map(|(from, to)| {
            let directed = at("directed");
            let (from_name, to_name) = ((*from).to_owned(), (*to).to_owned());
            Some(Self { from: at(from)?, to: at(to)?, from_name, to_name, directed })
        })
    }
}

struct Row<'a> {
    header: &'a StringRecord,
    record: &'a StringRecord,
    at: SourcePosition,
}

impl Row<'_> {
    fn end(&self, column: usize, field: &'static str) -> Result<String, ImportError> {
        let id = self.record.get(column).map(str::trim).filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| ImportError::Missing { at: self.at.clone(), field })
    }

    /// Both ways, unless a column `directed` says otherwise.
    fn direction(&self, column: Option<usize>, undirected: &mut usize) -> Result<EdgeDirection, ImportError> {
        let Some(text) = column.and_then(|column| self.record.get(column)) else {
            *undirected += 1;
            return Ok(EdgeDirection::Both);
        };
        match text.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "directed" => Ok(EdgeDirection::Forward),
            "false" | "0" | "no" | "n" | "undirected" => Ok(EdgeDirection::Both),
            _ => Err(ImportError::Value {
                at: self.at.clone(),
                field: "directed",
                expected: "true, false, 1, 0, yes or no",
                found: excerpt(text),
            }),
        }
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::default();
        self.header.iter().zip(self.record).for_each(|(name, value)| attributes.set(name, value));
        attributes
    }
}

/// The nodes in the order in which rows name them.
#[derive(Default)]
struct Nodes {
    list: Vec<(String, Attributes, SourcePosition)>,
    places: BTreeMap<String, usize>,
}

impl Nodes {
    /// Adds the node, or what the row says of it beyond other rows.
    fn add(&mut self, id: &str, row: &Row<'_>, end: &str) {
        let at = *self.places.entry(id.to_owned()).or_insert_with(|| {
            self.list.push((id.to_owned(), Attributes::default(), row.at.clone()));
            self.list.len() - 1
        });
        let Some((_, attributes, _)) = self.list.get_mut(at) else { return };
        for (name, value) in row.header.iter().zip(row.record) {
            let name = canonical(name);
            if let Some(name) = name.strip_prefix(end).filter(|name| NODE_ATTRIBUTES.contains(name)) {
                attributes.set(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Imported, ReadOptions};
    use kernel::topology::Position;

    fn imported(text: &str) -> Imported {
        read(text).unwrap().build(&ReadOptions::default()).unwrap()
    }

    #[test]
    fn a_spreadsheet_is_read_with_its_units_and_places() {
        let text = "From;To;Capacity (Gbit/s);Delay [ms];From lat;From lon;To lat;To lon\r\n\
            \"Köln; Süd\";Bonn;10;0,5;50.9;6.9;50.7;7.1\r\n;;;;;;;\r\nBonn;Mainz;2.5;1.5;;;50;8.3\r\n";
        let imported = imported(text);
        let nodes: Vec<_> = imported.topology.nodes().map(|(_, node)| node.name.to_string()).collect();
        assert_eq!(nodes, ["Köln; Süd", "Bonn", "Mainz"]);
        let places =
            imported.topology.nodes().filter(|(_, node)| matches!(node.position, Some(Position::Geographic { .. })));
        assert_eq!(places.count(), 3);
        let link = |name| imported.topology.link(imported.topology.link_named(name).unwrap()).unwrap();
        assert_eq!((link("Bonn-Mainz").capacity.as_bps(), link("Mainz-Bonn").delay.0), (2_500_000_000, 1_500));
        let said: Vec<String> = imported.report.warnings.iter().map(ToString::to_string).collect();
        assert!(said[0].contains("2 rows are taken as going both ways"), "{said:?}");
        assert!(said[1].contains("Delay [ms] '0,5' is no delay"), "{said:?}");
        assert_eq!(imported.report.te_metrics_from_distance, 4);
    }

    #[test]
    fn directions_may_be_said_or_be_seen() {
        let names = |text: &str| {
            let imported = imported(text);
            imported.topology.links().map(|(_, link)| link.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names("a,b,directed,bw\nx,y,yes,1 Gbit/s\ny,z,0,1 Gbit/s\n"), ["x-y", "y-z", "z-y"]);
        assert_eq!(names("src\tdst\tcapacity_mbps\nx\ty\t10\ny\tx\t5\n"), ["x-y", "y-x"]);
        assert_eq!(names("id,source,target\nL1,x,y\n"), ["L1", "L1~"]);
    }

    #[test]
    fn faults_have_lines() {
        for (text, line, words) in [
            ("capacity,delay\n1,2\n", 1, "source and target"),
            ("source,target\nx,y\nx\n", 3, "1 instead of 2"),
            ("source,target\nx,y\nx,\n", 3, "'target' is missing"),
            ("source,target,directed\nx,y,perhaps\n", 2, "true, false"),
        ] {
            let error = read(text).err().unwrap();
            assert_eq!(error.line(), Some(line), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
