//! GML, the Graph Modelling Language (Himsolt 1996): keys with values, quoted or not, and lists in brackets. Lists
//! within nodes and edges (`graphics [ x 1 y 2 ]`) become attributes such as `graphics.x`.

use super::attributes::Attributes;
use super::element_builder::EdgeDirection;
use super::error::ImportError;
use super::loose_graph::LooseGraph;
use super::networks;
use super::source_position::{SourcePosition, excerpt};
use super::topology_builder::TopologyBuilder;
use super::{ATTRIBUTE_NAME_MAX_BYTES, DEPTH_MAX, Format};

/// Reads a document.
pub(super) fn read(text: &str, network: Option<&str>) -> Result<TopologyBuilder, ImportError> {
    let mut tokens = Tokens { rest: text, line: 1 };
    let mut gml = Gml { graphs: Vec::new(), path: Vec::new(), record: None };
    while let Some((line, token)) = tokens.token()? {
        match token {
            Token::Word("]") => gml.close(line)?,
            Token::Word(key) if key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                let value = tokens.token()?;
                gml.member(key, value, line)?;
            }
            token => return Err(syntax(line, "a key or ']'", token.text())),
        }
    }
    gml.end(tokens.line, network)
}

/// A node or edge that has begun.
struct GmlRecord {
    kind: GmlKind,
    attributes: Attributes,
    line: usize,
    /// How long the path is within it.
    depth: usize,
}

#[derive(Clone, Copy)]
enum GmlKind {
    Node,
    Edge,
}

struct Gml<'a> {
    graphs: Vec<LooseGraph>,
    /// The keys of the lists that have begun.
    path: Vec<&'a str>,
    record: Option<GmlRecord>,
}

impl<'a> Gml<'a> {
    fn member(&mut self, key: &'a str, value: Option<(usize, Token<'a>)>, line: usize) -> Result<(), ImportError> {
        match value {
            None => Err(syntax(line, "a value", "the end of the file")),
            Some((line, Token::Word("["))) => self.open(key, line),
            Some((line, Token::Word("]"))) => Err(syntax(line, "a value", "]")),
            Some((_, value)) => {
                self.set(key, &value);
                Ok(())
            }
        }
    }

    fn open(&mut self, key: &'a str, line: usize) -> Result<(), ImportError> {
        if self.path.len() >= DEPTH_MAX {
            return Err(ImportError::TooDeep { at: SourcePosition::line(line), max: DEPTH_MAX });
        }
        let kind = match (self.path.as_slice(), key) {
            ([], "graph") => {
                self.graphs.push(LooseGraph::new(Format::Gml));
                None
            }
            (["graph"], "node") => Some(GmlKind::Node),
            (["graph"], "edge") => Some(GmlKind::Edge),
            _ => None,
        };
        self.path.push(key);
        if let Some(kind) = kind {
            self.record = Some(GmlRecord { kind, attributes: Attributes::default(), line, depth: self.path.len() });
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &Token<'_>) {
        let text = unescape(value.text());
        match &mut self.record {
            Some(record) => {
                match self.path.get(record.depth..).unwrap_or_default() {
                    [] => record.attributes.set(key, &text),
                    [outer] if outer.len() <= ATTRIBUTE_NAME_MAX_BYTES => {
                        record.attributes.set(&format!("{outer}.{key}"), &text);
                    }
                    // Nothing that deep means anything to us.
                    _ => {}
                }
            }
            None if self.path == ["graph"] => {
                if let Some(graph) = self.graphs.last_mut() {
                    graph.attributes.set(key, &text);
                }
            }
            None => {}
        }
    }

    fn close(&mut self, line: usize) -> Result<(), ImportError> {
        if self.path.pop().is_none() {
            return Err(syntax(line, "a key", "]"));
        }
        match self.record.take() {
            Some(record) if self.path.len() < record.depth => self.finish(record),
            record => {
                self.record = record;
                Ok(())
            }
        }
    }

    fn finish(&mut self, record: GmlRecord) -> Result<(), ImportError> {
        let at = SourcePosition::line(record.line);
        let need = |field| {
            let missing = || ImportError::Missing { at: at.clone(), field };
            record.attributes.get(field).map(str::to_owned).ok_or_else(missing)
        };
        let Some(graph) = self.graphs.last_mut() else { return Ok(()) };
        match record.kind {
            GmlKind::Node => graph.add_node(need("id")?, record.attributes, at),
            GmlKind::Edge => {
                let ends = (need("source")?, need("target")?);
                graph.add_edge(ends, EdgeDirection::Both, record.attributes, at)
            }
        }
    }

    fn end(self, line: usize, network: Option<&str>) -> Result<TopologyBuilder, ImportError> {
        if !self.path.is_empty() {
            return Err(syntax(line, "']'", "the end of the file"));
        }
        let name = |(at, graph): (usize, LooseGraph)| {
            let name = ["name", "label", "id"].into_iter().find_map(|key| graph.attributes.get(key));
            (name.map_or_else(|| format!("graph {}", at + 1), str::to_owned), graph)
        };
        let graphs = self.graphs.into_iter().enumerate().map(name).collect();
        let missing = || syntax(line, "graph [ ... ]", "the end of the file");
        let mut graph = networks::choose(graphs, network)?.ok_or_else(missing)?;
        if graph.attributes.get("directed") == Some("1") {
            graph.direct_all(&EdgeDirection::Forward);
        }
        graph.into_builder()
    }
}

fn syntax(line: usize, expected: &'static str, found: &str) -> ImportError {
    ImportError::Syntax { at: SourcePosition::line(line), expected, found: excerpt(found) }
}

#[derive(Clone, Copy)]
enum Token<'a> {
    /// A key, a number, a bracket, or a text that should have been quoted.
    Word(&'a str),
    Quoted(&'a str),
}

impl<'a> Token<'a> {
    fn text(&self) -> &'a str {
        match self {
            Token::Word(text) | Token::Quoted(text) => text,
        }
    }
}

struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Tokens<'a> {
    /// The next token with its line; `None` at the end.
    fn token(&mut self) -> Result<Option<(usize, Token<'a>)>, ImportError> {
        self.skip_blanks();
        let line = self.line;
        let token = match self.rest.chars().next() {
            None => return Ok(None),
            Some('[' | ']') => Token::Word(self.take(1)),
            Some('"') => {
                self.take(1);
                let end = self.rest.find('"').ok_or_else(|| syntax(line, "'\"'", "the end of the file"))?;
                let text = self.take(end);
                self.take(1);
                Token::Quoted(text)
            }
            Some(_) => {
                let end = self.rest.find(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | '"'));
                Token::Word(self.take(end.unwrap_or(self.rest.len())))
            }
        };
        Ok(Some((line, token)))
    }

    /// Skips white space, and lines that begin with `#`.
    fn skip_blanks(&mut self) {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.take(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count();
        taken
    }
}

/// GML texts are ASCII; other characters are written as in HTML (`&#38;`, `&atilde;`). Unknown entities are left alone.
fn unescape(text: &str) -> String {
    let resolve = |entity: &str| {
        let Some(number) = entity.strip_prefix('#') else {
            return quick_xml::escape::resolve_predefined_entity(entity).map(str::to_owned);
        };
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
            None => number.parse(),
        };
        char::from_u32(code.ok()?).map(String::from)
    };
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        plain.push_str(before);
        let resolved = behind.split_once(';').and_then(|(entity, behind)| Some((resolve(entity)?, behind)));
        match resolved {
            Some((characters, behind)) => {
                plain.push_str(&characters);
                rest = behind;
            }
            None => {
                plain.push('&');
                rest = behind;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Imported, ReadOptions};
    use kernel::topology::Position;

    fn imported(text: &str) -> Imported {
        read(text, None).unwrap().build(&ReadOptions::default()).unwrap()
    }

    #[test]
    fn values_may_be_quoted_or_not() {
        let imported = imported(
            "Creator \"x\"\ngraph [\n  label Zoo\n  node [ id 0 label \"A &#38; B &#x43; &odd;\" graphics [ x 1.5 y 2 ] ]\n\
             node\n[ id \"1\" label B\n Latitude 1.0 Longitude 2.0 ]\n# comment ]\n edge [ source 0 target 1 LinkLabel \"2.5 Gbps\" ]\n]",
        );
        let nodes: Vec<_> = imported.topology.nodes().map(|(_, node)| node.clone()).collect();
        assert_eq!(nodes[0].label.as_deref(), Some("A & B C &odd;"));
        assert_eq!(nodes[0].position, Some(Position::Drawing { x_milli: 1_500, y_milli: 2_000 }));
        assert_eq!(imported.topology.link_count(), 2);
        let (_, link) = imported.topology.links().next().unwrap();
        assert_eq!(link.capacity.as_bps(), 2_500_000_000);
    }

    #[test]
    fn directed_graphs_have_single_links() {
        let text = "graph [ node [ id 1 ] node [ id 2 ] edge [ source 1 target 2 ] directed 1 ]";
        assert_eq!(imported(text).topology.link_count(), 1);
    }

    #[test]
    fn entities_of_html_and_names_without_underscores() {
        let imported = imported(
            "graph [ node [ id -1 label \"S&atilde;o Lu&iacute;s &#x1F30A; &odd;\" ] node [ id 2147483648 ]\n\
             edge [ source -1 target 2147483648 capacitybps 10000000000 delayms 1.5 ] ]",
        );
        assert_eq!(imported.topology.nodes().next().unwrap().1.label.as_deref(), Some("São Luís 🌊 &odd;"));
        let (_, link) = imported.topology.links().next().unwrap();
        assert_eq!((link.capacity.as_bps(), link.delay.0), (10_000_000_000, 1_500));
        assert_eq!(imported.report.warnings, []);
    }

    #[test]
    fn several_graphs_are_not_merged() {
        let text = "graph [ label \"ip\" node [ id 1 ] ] graph [ node [ id 1 ] node [ id 2 ] ]";
        let chosen = read(text, Some("graph 2")).unwrap().build(&ReadOptions::default()).unwrap();
        assert_eq!(chosen.report.nodes, 2);
        assert!(read(text, None).err().unwrap().to_string().contains("'ip', 'graph 2'"));
    }

    #[test]
    fn faults_have_lines() {
        for (text, line) in [
            ("graph [\n node [ ]\n]", 2),
            ("graph [\n\n", 3),
            ("graph [ ]\n]", 2),
            ("a 1\n", 2),
            ("graph [\n a ]", 2),
            ("graph [\n \"a\" 1 ]", 2),
            ("graph [\n a \"b", 2),
        ] {
            assert_eq!(read(text, None).err().unwrap().line(), Some(line), "{text}");
        }
        assert!(matches!(read(&"a [ ".repeat(65), None), Err(ImportError::TooDeep { .. })));
    }
}
