//! REPETITA's `.graph` text format (Gay, Schaus, Vissicchio 2017): a table of nodes and a table of directed edges, with
//! bandwidths in kbit/s and delays in microseconds.

use super::Format;
use super::attribute_values::{geographic, tidy};
use super::decimal::Decimal;
use super::element_builder::{Capacity, EdgeBuilder, EdgeDirection, NodeBuilder};
use super::error::ImportError;
use super::source_position::{SourcePosition, excerpt};
use super::topology_builder::TopologyBuilder;
use kernel::topology::{DELAY_MAX, TE_METRIC_MAX};
use kernel::units::Micros;

/// Reads a file.
pub(super) fn read(text: &str) -> Result<TopologyBuilder, ImportError> {
    let mut rows =
        text.lines().zip(1..).map(|(line, at)| RepetitaRow { words: line.split_whitespace().collect(), line: at });
    let mut rows = rows.by_ref().filter(|row| !row.words.is_empty()).peekable();
    let mut draft = TopologyBuilder::new(Format::Repetita);
    let nodes = section(rows.next(), "NODES")?;
    rows.next_if(|row| row.words.first() == Some(&"label"));
    for _ in 0..nodes {
        add_node(&mut draft, &row(rows.next(), "a node")?)?;
    }
    let edges = section(rows.next(), "EDGES")?;
    rows.next_if(|row| row.words.first() == Some(&"label"));
    for _ in 0..edges {
        add_edge(&mut draft, &row(rows.next(), "an edge")?)?;
    }
    match rows.next() {
        None => Ok(draft),
        Some(row) => Err(row.syntax("the end of the file")),
    }
}

/// A line, in words.
struct RepetitaRow<'a> {
    words: Vec<&'a str>,
    line: usize,
}

impl<'a> RepetitaRow<'a> {
    fn word(&self, at: usize, field: &'static str) -> Result<&'a str, ImportError> {
        let missing = || ImportError::Missing { at: SourcePosition::line(self.line), field };
        self.words.get(at).copied().ok_or_else(missing)
    }

    fn index(&self, at: usize, field: &'static str) -> Result<usize, ImportError> {
        let word = self.word(at, field)?;
        let expected = "a row number";
        word.parse().map_err(|_| ImportError::Value {
            at: SourcePosition::line(self.line),
            field,
            expected,
            found: excerpt(word),
        })
    }

    /// A number times `10^places`.
    fn number(&self, at: usize, field: &'static str, places: u32) -> Result<Option<u64>, ImportError> {
        let word = self.word(at, field)?;
        let expected = "a number";
        let decimal = Decimal::parse(word);
        let bad = || ImportError::Value { at: SourcePosition::line(self.line), field, expected, found: excerpt(word) };
        Ok(decimal.ok_or_else(bad)?.scaled_u64(places))
    }

    fn syntax(&self, expected: &'static str) -> ImportError {
        ImportError::Syntax { at: SourcePosition::line(self.line), expected, found: excerpt(&self.words.join(" ")) }
    }
}

fn row<'a>(row: Option<RepetitaRow<'a>>, expected: &'static str) -> Result<RepetitaRow<'a>, ImportError> {
    let ended =
        || ImportError::Syntax { at: SourcePosition::element("the end of the file"), expected, found: String::new() };
    row.ok_or_else(ended)
}

fn section(heading: Option<RepetitaRow<'_>>, name: &'static str) -> Result<usize, ImportError> {
    let heading = row(heading, name)?;
    if heading.words.first() != Some(&name) {
        return Err(heading.syntax(name));
    }
    heading.index(1, "count")
}

/// A label that is there twice becomes `label#2`: edges name nodes by row.
fn add_node(draft: &mut TopologyBuilder, row: &RepetitaRow<'_>) -> Result<(), ImportError> {
    let label = tidy(row.word(0, "label")?);
    let at = SourcePosition::line(row.line).of(format!("node '{}'", excerpt(&label)));
    let (x, y) = (row.word(1, "x")?, row.word(2, "y")?);
    let position = geographic(y, x);
    if position.is_none() {
        draft.warnings.push(at.clone(), format!("no such place as {}, {}: ignored", excerpt(y), excerpt(x)));
    }
    draft.add_node(NodeBuilder { id: label, label: None, position, switch: None, at })
}

fn add_edge(draft: &mut TopologyBuilder, row: &RepetitaRow<'_>) -> Result<(), ImportError> {
    let label = row.word(0, "label")?;
    let at = SourcePosition::line(row.line).of(format!("edge '{}'", excerpt(label)));
    let end = |column, field| {
        let ix = row.index(column, field)?;
        let node = draft.nodes.get(ix).map(|node| node.id.clone());
        node.ok_or_else(|| ImportError::UnknownNode { at: at.clone(), node: ix.to_string() })
    };
    let mut edge = EdgeBuilder::new(end(1, "src")?, end(2, "dest")?, EdgeDirection::Forward, at);
    edge.name = Some(label.to_owned());
    let weight = row.number(3, "weight", 0)?.and_then(|weight| u32::try_from(weight).ok());
    edge.te_metric = weight.filter(|weight| (1..=TE_METRIC_MAX).contains(weight));
    edge.capacity = row.number(4, "bw", 3)?.and_then(Capacity::given);
    edge.delay = row.number(5, "delay", 0)?.map(Micros).filter(|delay| *delay <= DELAY_MAX);
    for (missing, message) in [
        (edge.te_metric.is_none(), "the weight is no TE metric: ignored"),
        (edge.delay.is_none(), "the delay is not within a minute: ignored"),
    ] {
        if missing {
            draft.warnings.push(edge.at.clone(), message);
        }
    }
    draft.add_edge(edge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadOptions;

    const SMALL: &str = "NODES 2\nlabel x y\n0_New_York -74.0 40.7\n1_Chicago -87.6 41.8\n\nEDGES 2\n\
        label src dest weight bw delay\nedge_0 0 1 3 9953280 5100\nedge_1 1 0 3 9953280 5100\n";

    #[test]
    fn bandwidths_are_in_kilobits() {
        let imported = read(SMALL).unwrap().build(&ReadOptions::default()).unwrap();
        let (_, link) = imported.topology.links().next().unwrap();
        assert_eq!((link.capacity.as_bps(), link.te_metric, link.delay.0), (9_953_280_000, 3, 5_100));
        assert_eq!((link.name.as_str(), link.twin), ("edge_0", None));
        assert_eq!(imported.report.warnings, []);
        assert_eq!(imported.topology.node_named("1_Chicago").map(|ix| ix.0), Some(1));
    }

    #[test]
    fn faults_have_lines() {
        for (text, line) in [
            (SMALL.replace("EDGES", "EGDES"), Some(6)),
            (SMALL.replace("edge_1 1", "edge_1 7"), Some(9)),
            (SMALL.replace("-87.6", ""), Some(4)),
            (SMALL.replace("EDGES 2", "EDGES 3"), None),
            (SMALL.replace("EDGES 2", "EDGES 1"), Some(9)),
            (SMALL.replace("EDGES 2", "EDGES two"), Some(6)),
        ] {
            assert_eq!(read(&text).err().unwrap().line(), line, "{text}");
        }
    }
}
