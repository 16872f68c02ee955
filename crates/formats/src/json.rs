//! JSON with bounds and places: depth and count are checked on the bytes before anything is built.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::error::ImportError;
use super::source_position::SourcePosition;
use super::{DEPTH_MAX, JSON_VALUES_MAX};

/// Parses a whole document.
pub(super) fn parse(text: &str) -> Result<Value, ImportError> {
    let text = plain_text(text);
    check_size(&text)?;
    serde_json::from_str(&text).map_err(|source| error(&text, &source))
}

/// [`plain_integers`] of a text.
pub(super) fn plain_text(text: &str) -> Cow<'_, str> {
    match plain_integers(text.as_bytes()) {
        Cow::Borrowed(bytes) => text.get(text.len() - bytes.len()..).unwrap_or_default().into(),
        // Only ASCII was exchanged for ASCII.
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

/// A JSON text as serde's integers take it: without a byte order mark (RFC 8259 §8.1), and with each number that is an
/// integer by its value, such as `1e6` or `1000000.0` (JSON Schema 2020-12 §4.2.3), written as one. What is no number
/// stays as it is. A shorter number is followed by blanks, so that columns stay true.
pub fn plain_integers(text: &[u8]) -> Cow<'_, [u8]> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let (mut out, mut copied) = (Vec::new(), 0);
    let (mut at, mut quoted) = (0, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            b'-' | b'+' | b'.' | b'0'..=b'9' if !quoted => {
                let rest = text.get(at..).unwrap_or_default();
                let length =
                    rest.iter().take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                let token = rest.get(..length.count()).unwrap_or_default();
                if let Some(integer) = integer_of(token) {
                    out.extend_from_slice(text.get(copied..at).unwrap_or_default());
                    out.extend_from_slice(integer.as_bytes());
                    out.resize(out.len() + token.len().saturating_sub(integer.len()), b' ');
                    copied = at + token.len();
                }
                at += token.len().saturating_sub(1);
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// The integer that a JSON number with a fraction or an exponent is, unless that is long beyond any that is read.
fn integer_of(token: &[u8]) -> Option<String> {
    const DIGITS_MAX: i32 = 20;
    let token = std::str::from_utf8(token).ok()?;
    let (sign, rest) = token.strip_prefix('-').map_or(("", token), |rest| ("-", rest));
    let (number, power) = match rest.split_once(['e', 'E']) {
        Some((number, power)) => (number, power.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None if number.len() == rest.len() => return None,
        None => (number, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = is_digits(whole) && !whole.is_empty() && (whole == "0" || !whole.starts_with('0'));
    if !is_whole || !is_digits(fraction) {
        return None;
    }
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    let dropped = i32::try_from(all.len() - digits.len()).ok()?;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = power.checked_add(dropped)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    if zeros < 0 || i32::try_from(digits.len()).ok()?.checked_add(zeros)? > DIGITS_MAX {
        return None;
    }
    Some(format!("{sign}{digits}{}", "0".repeat(usize::try_from(zeros).ok()?)))
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
    fn integers_may_be_written_in_any_way() {
        let plain = |text: &str| String::from_utf8(plain_integers(text.as_bytes()).into_owned()).unwrap();
        for (text, expected) in [
            ("1e6", "1000000"),
            ("[1000000.0,-2.50e1]", "[1000000  ,-25    ]"),
            ("{\"1.0\":0.0}", "{\"1.0\":0  }"),
            ("\"a\\\" 1.0\" ", "\"a\\\" 1.0\" "),
            ("-0.0", "0   "),
            ("18446744073709551615.0", "18446744073709551615  "),
            ("0.001e3", "1      "),
            ("\u{feff}{}", "{}"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        for text in
            ["1", "1.5", "1e-1", "01.0", "1.", ".5e1", "1e", "1e400", "1.0.0", "--1.0", "1e+", "1e99999999999", ""]
        {
            assert_eq!(plain(text), text);
        }
    }

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
