//! The format of a text: by its content, never by its file name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::error::ImportError;
use super::source_position::SourcePosition;
use super::{Format, csv_edges, json};

/// The format that `text` is in.
pub(super) fn sniff(text: &str) -> Result<Format, ImportError> {
    let start = text.trim_start();
    let unknown =
        || ImportError::UnknownFormat { at: SourcePosition::offset(text.as_bytes(), text.len() - start.len()) };
    if start.starts_with('<') {
        return sniff_xml(start).ok_or_else(unknown);
    }
    if start.starts_with(['{', '[']) {
        return sniff_json(text)?.ok_or_else(unknown);
    }
    sniff_lines(start).ok_or_else(unknown)
}

fn sniff_xml(text: &str) -> Option<Format> {
    let roots = [("<graphml", Format::GraphMl), ("<network", Format::SndlibXml)];
    roots.into_iter().filter_map(|(root, format)| Some((text.find(root)?, format))).min().map(|(_, format)| format)
}

fn sniff_json(text: &str) -> Result<Option<Format>, ImportError> {
    json::check_size(text)?;
    let members: BTreeMap<Cow<'_, str>, IgnoredAny> =
        serde_json::from_str(text).map_err(|error| json::error(text, &error))?;
    let has = |names: &[&str]| names.iter().any(|name| members.contains_key(*name));
    if has(&["ietf-network:networks", "networks", "ietf-network:network"]) {
        return Ok(Some(Format::Rfc8345));
    }
    if has(&["adjacency"]) {
        return Ok(Some(Format::Adjacency));
    }
    if has(&["elements"]) {
        return Ok(Some(Format::Cytoscape));
    }
    if has(&["directed", "multigraph", "graph", "edges"]) {
        return Ok(Some(Format::NodeLink));
    }
    Ok(has(&["nodes", "links"]).then_some(Format::Native))
}

fn sniff_lines(text: &str) -> Option<Format> {
    if text.starts_with("?SNDlib") {
        return Some(Format::SndlibNative);
    }
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("NODES"), Some(count)) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Some(Format::Repetita);
            }
            (Some("NODES" | "META" | "LINKS"), Some("(")) => return Some(Format::SndlibNative),
            (Some("graph"), Some("[") | None) | (Some("graph["), _) => return Some(Format::Gml),
            _ => {}
        }
    }
    csv_edges::is_csv(text).then_some(Format::Csv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        for (text, expected) in [
            ("<?xml version='1.0'?>\n<graphml/>", Format::GraphMl),
            ("<network xmlns='...'/>", Format::SndlibXml),
            ("{\"ietf-network:networks\": {}}", Format::Rfc8345),
            ("{\"directed\": true, \"nodes\": []}", Format::NodeLink),
            ("{\"nodes\": [], \"edges\": []}", Format::NodeLink),
            ("{\"nodes\": []}", Format::Native),
            ("{\"ietf-network:network\": [{}]}", Format::Rfc8345),
            ("{\"directed\": true, \"nodes\": [], \"adjacency\": []}", Format::Adjacency),
            ("{\"directed\": true, \"elements\": {}}", Format::Cytoscape),
            ("Source;Target;Capacity\n", Format::Csv),
            ("id,node_a,node_b", Format::Csv),
            ("Creator \"x\"\ngraph\n[\n]", Format::Gml),
            ("graph [ ]", Format::Gml),
            ("?SNDlib native format; type: network; version: 1.0", Format::SndlibNative),
            ("# hand-made\nNODES (\n)", Format::SndlibNative),
            ("NODES 4\nlabel x y", Format::Repetita),
        ] {
            assert_eq!(sniff(text).unwrap(), expected, "{text}");
        }
        for text in ["", "  \n hello", "<html/>", "{}", "{\"a\": 1}"] {
            assert!(matches!(sniff(text), Err(ImportError::UnknownFormat { .. })), "{text}");
        }
    }
}
