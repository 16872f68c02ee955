//! Times as documents have them: RFC 3339, UTC, milliseconds.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Civil time in UTC, since an RFC 3339 year may be 9999 to its end, which is beyond what a `jiff::Timestamp` holds.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A time in a document: milliseconds since 1970-01-01T00:00:00Z. An earlier time reads as 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(pub u64);

/// A text is not a time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid time '{0}': give RFC 3339, such as 2030-01-01T00:00:00Z")]
pub struct InvalidInstant(String);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = SignedDuration::from_millis(i64::try_from(self.0).unwrap_or(i64::MAX));
        let time = EPOCH.checked_add(since).unwrap_or(DateTime::MAX);
        write!(f, "{time:.3}Z")
    }
}

impl FromStr for Instant {
    type Err = InvalidInstant;

    fn from_str(text: &str) -> Result<Self, InvalidInstant> {
        let invalid = || InvalidInstant(text.to_owned());
        let pieces = Pieces::parse(text).map_err(|_| invalid())?;
        let (time, offset) = pieces.time().zip(pieces.to_numeric_offset()).ok_or_else(invalid)?;
        let since = pieces.date().to_datetime(time).duration_since(EPOCH);
        let since = since.as_millis() - i128::from(offset.seconds()) * 1_000;
        Ok(Self(u64::try_from(since).unwrap_or(0)))
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(InstantVisitor)
    }
}

struct InstantVisitor;

impl Visitor<'_> for InstantVisitor {
    type Value = Instant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 time such as 2030-01-01T00:00:00Z")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Instant, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_read_back() {
        let text = |ms| serde_json::to_string(&Instant(ms)).unwrap();
        assert_eq!(text(0), "\"1970-01-01T00:00:00.000Z\"");
        assert_eq!(text(1_700_000_000_123), "\"2023-11-14T22:13:20.123Z\"");
        let read: Instant = serde_json::from_str("\"2023-11-14T23:13:20.123456+01:00\"").unwrap();
        assert_eq!(read, Instant(1_700_000_000_123));
        for bad in ["tomorrow", "2023-11-14", "2023-11-14T22:13:20", "2023-13-14T22:13:20Z"] {
            assert!(bad.parse::<Instant>().is_err(), "{bad}");
        }
        assert_eq!("1969-12-31T23:59:59Z".parse(), Ok(Instant(0)));
        let last: Instant = "9999-12-31T23:59:59Z".parse().unwrap();
        assert_eq!((last, last.to_string().as_str()), (Instant(253_402_300_799_000), "9999-12-31T23:59:59.000Z"));
        assert_eq!("9999-12-31T23:59:59-01:00".parse(), Ok(Instant(253_402_304_399_000)));
        assert_eq!(Instant(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
