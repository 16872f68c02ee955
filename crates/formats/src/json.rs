//! JSON with bounds and places: depth and count are checked on the bytes before anything is built.

use serde_json::{Map, Value};

use super::error::ImportError;
use super::source_position::SourcePosition;
use super::{DEPTH_MAX, JSON_VALUES_MAX};

/// Parses a whole document.
pub(super) fn parse(text: &str) -> Result<Value, ImportError> {
    check_size(text)?;
    serde_json::from_str(text).map_err(|source| error(text, &source))
}

/// Refuses what is nested beyond [`DEPTH_MAX`] or has more than [`JSON_VALUES_MAX`] values, in one pass over the bytes.
pub(super) fn check_size(text: &str) -> Result<(), ImportError> {
    let (mut depth, mut values) = (0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for (offset, byte) in text.bytes().enumerate() {
        if quoted {
            (quoted, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' => {
                depth += 1;
                values += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(ImportError::TooDeep { at: SourcePosition::offset(text.as_bytes(), offset), max: DEPTH_MAX });
        }
        if values > JSON_VALUES_MAX {
            let at = SourcePosition::offset(text.as_bytes(), offset);
            return Err(ImportError::TooMany { at, what: "JSON values", max: JSON_VALUES_MAX });
        }
    }
    Ok(())
}

/// serde's error about all of `text`, as ours.
pub(super) fn error(text: &str, source: &serde_json::Error) -> ImportError {
    let at = SourcePosition::offset(text.as_bytes(), offset_of(text, source).saturating_sub(1));
    ImportError::Json { at, problem: problem(source) }
}

/// The offset just behind what serde stumbled over: its columns count bytes.
pub(super) fn offset_of(text: &str, source: &serde_json::Error) -> usize {
    let line_start = match source.line() {
        0 | 1 => 0,
        line => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    (line_start + source.column()).min(text.len())
}

/// serde's words without its own `at line 1 column 7`.
pub(super) fn problem(source: &serde_json::Error) -> String {
    let words = source.to_string();
    match words.rfind(" at line ") {
        Some(at) => words.get(..at).unwrap_or_default().to_owned(),
        None => words,
    }
}

/// The member `name` of a YANG-modelled object, with or without the prefix of its module (RFC 7951 §4).
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let unprefixed = |key: &str| key.rsplit_once(':').map_or(key == name, |(_, key)| key == name);
    object.get(name).or_else(|| object.iter().find(|(key, _)| unprefixed(key)).map(|(_, value)| value))
}

/// The member at the end of a path of names.
pub(super) fn descend<'a>(object: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (last, way) = path.split_last()?;
    let mut object = object;
    for name in way {
        object = member(object, name)?.as_object()?;
    }
    member(object, last)
}

/// A string, number or truth value as text, without quotes.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A member that must be a list of objects; none at all counts as an empty list.
pub(super) fn objects<'a>(value: Option<&'a Value>, path: &str) -> Result<Vec<&'a Map<String, Value>>, ImportError> {
    let of = |path: String, problem: &str| ImportError::Json {
        at: SourcePosition::element(path),
        problem: problem.to_owned(),
    };
    let Some(value) = value else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| of(path.to_owned(), "must be a list"))?;
    let object = |(at, value): (usize, &'a Value)| {
        value.as_object().ok_or_else(|| of(format!("{path}[{at}]"), "must be an object"))
    };
    list.iter().enumerate().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_count_are_bounded() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(matches!(parse(&deep), Err(ImportError::TooDeep { .. })));
        let quoted = format!("[\"{}\\\"[\"]", "[".repeat(99));
        assert!(parse(&quoted).is_ok());
        let many = format!("[{}1]", "1,".repeat(JSON_VALUES_MAX));
        assert!(matches!(parse(&many), Err(ImportError::TooMany { .. })));
    }

    #[test]
    fn errors_have_lines_and_members_prefixes() {
        let error = parse("{\n \"a\": tru }").unwrap_err();
        assert_eq!(error.line(), Some(2));
        assert!(!error.to_string().contains("at line"), "{error}");
        let value = parse("{\"ietf-network:networks\": {\"x:network\": 7}}").unwrap();
        assert_eq!(descend(value.as_object().unwrap(), &["networks", "network"]), Some(&Value::from(7)));
    }
}
