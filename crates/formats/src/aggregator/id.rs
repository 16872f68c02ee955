//! The id of an aggregator: a name that can be one level of an MQTT topic.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use api::aggregator::AGGREGATOR_ID_MAX_BYTES;
use kernel::id::{Name, NameError};

/// The id of an aggregator: a name that can be one level of an MQTT topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AggregatorId(pub Name);

/// A text is not the id of an aggregator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AggregatorIdError {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Over [`AGGREGATOR_ID_MAX_BYTES`].
    #[error("invalid id of an aggregator: {bytes} bytes, more than {AGGREGATOR_ID_MAX_BYTES}")]
    TooLong {
        /// The length of the text.
        bytes: usize,
    },
    /// A character with a meaning in MQTT topics.
    #[error("invalid id of an aggregator: '{0}' has a meaning in MQTT topics")]
    Reserved(char),
}

impl AggregatorId {
    /// Checks `text`.
    ///
    /// # Errors
    /// It is empty, too long, or has a character that it must not have.
    pub fn new(text: &str) -> Result<Self, AggregatorIdError> {
        let name = Name::in_path(text)?;
        if text.len() > AGGREGATOR_ID_MAX_BYTES {
            return Err(AggregatorIdError::TooLong { bytes: text.len() });
        }
        match text.chars().find(|c| matches!(c, '/' | '+' | '#' | '$')) {
            Some(reserved) => Err(AggregatorIdError::Reserved(reserved)),
            None => Ok(Self(name)),
        }
    }
}

impl<'de> Deserialize<'de> for AggregatorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;

        impl Visitor<'_> for Id {
            type Value = AggregatorId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of an aggregator")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AggregatorId, E> {
                AggregatorId::new(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_level_of_a_topic() {
        assert!(AggregatorId::new("Ag1").is_ok() && AggregatorId::new("são-paulo 1").is_ok());
        for bad in ["a/b", "+", "a#", "$SYS", "", ".", "..", "\n", &"x".repeat(129)] {
            assert!(AggregatorId::new(bad).is_err(), "{bad}");
        }
    }
}
