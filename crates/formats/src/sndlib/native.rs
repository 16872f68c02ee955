//! SNDlib's native text format: sections of entries in parentheses, comments behind `#`.

use super::{RawLink, RawNode, SndlibNetwork};
use crate::Format;
use crate::error::ImportError;
use crate::source_position::{SourcePosition, excerpt};
use crate::topology_builder::TopologyBuilder;

/// Reads a file.
pub(crate) fn read(text: &str) -> Result<TopologyBuilder, ImportError> {
    let mut network = SndlibNetwork::new(Format::SndlibNative);
    let mut lines = text.lines().zip(1_usize..).filter(|(line, _)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with(['#', '?'])
    });
    while let Some((line, at)) = lines.next() {
        let Some(section) = line.trim().strip_suffix('(').map(str::trim) else {
            return Err(syntax(at, "a section such as NODES (", line));
        };
        let mut entries = lines.by_ref().take_while(|(line, _)| line.trim() != ")");
        match section {
            "META" => entries.for_each(|(line, _)| meta(&mut network, line)),
            "NODES" => entries.try_for_each(|(line, at)| node(&mut network, line, at))?,
            "LINKS" => entries.try_for_each(|(line, at)| link(&mut network, line, at))?,
            // Demands and admissible paths are no topology.
            _ => entries.for_each(|_| {}),
        }
    }
    network.into_draft()
}

fn syntax(line: usize, expected: &'static str, found: &str) -> ImportError {
    ImportError::Syntax { at: SourcePosition::line(line), expected, found: excerpt(found.trim()) }
}

fn meta(network: &mut SndlibNetwork, line: &str) {
    if let Some((key, value)) = line.split_once('=')
        && key.trim() == "unit"
    {
        network.unit = Some(value.trim().to_owned());
    }
}

/// Parentheses are words of their own, with or without blanks around them.
fn words(line: &str) -> Vec<&str> {
    let line = line.split('#').next().unwrap_or_default();
    line.split_inclusive(['(', ')'])
        .flat_map(|piece| match piece.strip_suffix(['(', ')']) {
            Some(before) => [before, piece.get(before.len()..).unwrap_or_default()],
            None => [piece, ""],
        })
        .flat_map(str::split_whitespace)
        .collect()
}

/// `<node_id> [ ( <longitude> <latitude> ) ]`
fn node(network: &mut SndlibNetwork, line: &str, at: usize) -> Result<(), ImportError> {
    let (id, x, y) = match words(line).as_slice() {
        [id] => (*id, "", ""),
        [id, "(", x, y, ")"] => (*id, *x, *y),
        _ => return Err(syntax(at, "a node such as A ( 8.5 47.3 )", line)),
    };
    network.nodes.push(RawNode { id: id.to_owned(), x: x.to_owned(), y: y.to_owned(), line: at });
    Ok(())
}

/// `<link_id> ( <source> <target> ) <pre_installed_capacity> <its cost> <routing_cost> <setup_cost>
/// ( {<module_capacity> <module_cost>}* )`
fn link(network: &mut SndlibNetwork, line: &str, at: usize) -> Result<(), ImportError> {
    let words = words(line);
    let [id, "(", source, target, ")", pre_installed, _, routing_cost, _, "(", modules @ .., ")"] = words.as_slice()
    else {
        return Err(syntax(at, "a link such as L ( A B ) 0 0 0 0 ( 40 1 )", line));
    };
    network.links.push(RawLink {
        id: (*id).to_owned(),
        source: (*source).to_owned(),
        target: (*target).to_owned(),
        pre_installed: (*pre_installed).to_owned(),
        routing_cost: (*routing_cost).to_owned(),
        modules: modules.iter().step_by(2).map(|module| (*module).to_owned()).collect(),
        line: at,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadOptions;
    use kernel::topology::{CapacitySource, Position};

    const SMALL: &str = "?SNDlib native format; type: network; version: 1.0\n# network small\nMETA (\n  unit = MBITPERSEC\n)\n\
        NODES (\n  A ( 8.5 47.25 )\n  B(7 46)\n)\nLINKS (\n  L1 ( A B ) 9920.00 0.00 0.00 0.00 ( 40000.00 133.00 )\n\
        \x20 L2 ( B A ) 0.00 0.00 5.00 0.00 ( 155.52 1 622.08 2 )\n)\nDEMANDS (\n  D1 ( A B ) 1 195.00 UNLIMITED\n)\n";

    #[test]
    fn capacities_are_pre_installed_or_the_largest_module() {
        let text = SMALL.replace("L2 ( B A )", "L2 ( A B )");
        let imported = read(&text).unwrap().build(&ReadOptions::default()).unwrap();
        let link = |name| imported.topology.link(imported.topology.link_named(name).unwrap()).unwrap();
        assert_eq!((link("L1").capacity.as_bps(), link("L1").capacity_from), (9_920_000_000, CapacitySource::Given));
        assert_eq!((link("L2").capacity.as_bps(), link("L2").capacity_from), (622_080_000, CapacitySource::Module));
        assert_eq!((link("L1").te_metric, link("L2").te_metric, link("L2~").te_metric), (1, 5, 5));
        assert_eq!(imported.report.warnings, []);
    }

    #[test]
    fn both_ways_listed_means_directed_and_pixels_are_seen() {
        let text = SMALL.replace("8.5 47.25", "850 472").replace("unit = MBITPERSEC", "");
        let imported = read(&text).unwrap().build(&ReadOptions::default()).unwrap();
        assert_eq!(imported.topology.link_count(), 2);
        assert_eq!(imported.report.warnings.len(), 2, "no unit, and both ways");
        let (_, node) = imported.topology.nodes().next().unwrap();
        assert_eq!(node.position, Some(Position::Drawing { x_milli: 850_000, y_milli: 472_000 }));
    }

    #[test]
    fn faults_have_lines() {
        for (text, line) in [
            (SMALL.replace("( 8.5 47.25 )", "( 8.5"), 7),
            (SMALL.replace("L1 ( A B )", "L1 A B"), 11),
            (SMALL.replace("NODES (", "NODES"), 6),
        ] {
            assert_eq!(read(&text).err().unwrap().line(), Some(line), "{text}");
        }
    }
}
