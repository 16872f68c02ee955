//! Times as they are spoken: RFC 3339, UTC, milliseconds.

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use kernel::units::Millis;

/// A time in a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(pub Millis);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", timestamp(self.0)))
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

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an RFC 3339 time such as 2030-01-01T00:00:00Z")
    }

    /// What was before 1970 is as past as 1970.
    fn visit_str<E: Error>(self, text: &str) -> Result<Instant, E> {
        let time: jiff::Timestamp =
            text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
        Ok(Instant(Millis(u64::try_from(time.as_millisecond()).unwrap_or(0))))
    }
}

fn timestamp(at: Millis) -> jiff::Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_read_back() {
        let text = |ms| serde_json::to_string(&Instant(Millis(ms))).unwrap();
        assert_eq!(text(0), "\"1970-01-01T00:00:00.000Z\"");
        assert_eq!(text(1_700_000_000_123), "\"2023-11-14T22:13:20.123Z\"");
        let read: Instant = serde_json::from_str("\"2023-11-14T23:13:20.123456+01:00\"").unwrap();
        assert_eq!(read, Instant(Millis(1_700_000_000_123)));
        assert!(serde_json::from_str::<Instant>("\"tomorrow\"").is_err());
    }
}
