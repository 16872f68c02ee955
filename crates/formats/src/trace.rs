//! Traces of bandwidth requests: JSON Lines in time order, one request a line, as `replay` reads them.

use serde::{Deserialize, Deserializer, Serialize};

use super::json::plain_integers;

/// The longest line that is read.
pub const LINE_MAX_BYTES: usize = 64 << 10;

/// One request of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// When it arrives, in milliseconds from the start.
    pub t_ms: u64,
    /// What it is called in the decisions file; a string or a number.
    #[serde(deserialize_with = "text_or_number")]
    pub id: String,
    /// The node at which traffic enters.
    pub ingress: String,
    /// The node at which it leaves.
    pub egress: String,
    /// The class type, 0 to 7.
    pub class_type: u8,
    /// How much, in bit/s.
    pub bandwidth_bps: u64,
    /// For how long; absent: until the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
    /// Setup priority, 0 (best) to 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_priority: Option<u8>,
    /// Hold priority, 0 (best) to 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_priority: Option<u8>,
}

/// Why a line is no request.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not the JSON of a request.
    #[error("line {line}: {error}")]
    Json {
        /// The line, from 1.
        line: u64,
        /// The JSON parser's error.
        error: serde_json::Error,
    },
    /// Over [`LINE_MAX_BYTES`].
    #[error("invalid line {line}: it is longer than {LINE_MAX_BYTES} bytes")]
    TooLong {
        /// The line, from 1.
        line: u64,
    },
    /// Earlier than the line before it.
    #[error("line {line}: invalid t_ms: {t_ms} is before {before_ms}, and a trace is in time order")]
    OutOfOrder {
        /// The line, from 1.
        line: u64,
        /// Its time.
        t_ms: u64,
        /// The time of the line before it.
        before_ms: u64,
    },
}

/// Reads line `line` of a trace; `None` for an empty one.
///
/// # Errors
/// It is too long or not the JSON of a request.
pub fn read_line(text: &str, line: u64) -> Result<Option<TraceRequest>, TraceError> {
    if text.len() > LINE_MAX_BYTES {
        return Err(TraceError::TooLong { line });
    }
    if text.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&plain_integers(text.as_bytes())).map(Some).map_err(|error| TraceError::Json { line, error })
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(u64),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_request_or_a_named_fault() {
        let line =
            r#"{"t_ms":0,"id":16,"ingress":"a","egress":"b","class_type":0,"bandwidth_bps":14000000,"hold_ms":125000}"#;
        assert_eq!(read_line(line, 1).unwrap().unwrap().id, "16");
        let marked = format!("\u{feff}{}", line.replace("14000000", "14e6"));
        assert_eq!(read_line(&marked, 1).unwrap().unwrap().bandwidth_bps, 14_000_000);
        assert!(read_line("  ", 2).unwrap().is_none());
        let error = read_line(r#"{"t_ms":-1}"#, 7).unwrap_err();
        assert!(error.to_string().starts_with("line 7"), "{error}");
        assert!(matches!(read_line(&" ".repeat(LINE_MAX_BYTES + 1), 3), Err(TraceError::TooLong { line: 3 })));
    }
}
