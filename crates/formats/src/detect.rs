//! Bytes to text, and text to format: by content, never by file name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::error::ImportError;
use super::source_position::SourcePosition;
use super::{Format, INPUT_MAX_BYTES, json};

/// How far an XML declaration can reach.
const DECLARATION_MAX_BYTES: usize = 200;

/// The text of a file: UTF-8, with or without a byte order mark, or XML that declares ISO-8859-1 (SNDlib's does).
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ImportError> {
    if bytes.len() > INPUT_MAX_BYTES {
        return Err(ImportError::TooLarge { bytes: bytes.len(), max: INPUT_MAX_BYTES });
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        // In ISO-8859-1 every byte is the Unicode character of that number.
        Err(_) if declares_latin_1(bytes) => Ok(Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect())),
        Err(error) => Err(ImportError::NotText { at: SourcePosition::offset(bytes, error.valid_up_to()) }),
    }
}

fn declares_latin_1(bytes: &[u8]) -> bool {
    let start = bytes.get(..DECLARATION_MAX_BYTES.min(bytes.len())).unwrap_or_default();
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let declaration = start.split_once("?>").map_or("", |(declaration, _)| declaration);
    declaration.starts_with("<?xml") && (declaration.contains("iso-8859-1") || declaration.contains("latin1"))
}

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
    if has(&["ietf-network:networks", "networks"]) {
        return Ok(Some(Format::Rfc8345));
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
    None
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

    #[test]
    fn text_is_utf_8_or_declared_latin_1() {
        assert_eq!(decode(b"\xEF\xBB\xBFabc").unwrap(), "abc");
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>K\xF6ln</a>";
        assert!(decode(latin).unwrap().contains("Köln"));
        let error = decode(b"ab\ncd\xFF").unwrap_err();
        assert_eq!(error.place().to_string(), "line 2, column 3");
    }
}
