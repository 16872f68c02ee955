//! Names and other short texts of requests: 1 to 255 bytes without control characters, checked while a request is read.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// The longest name, in bytes.
pub const NAME_MAX_BYTES: usize = 255;

/// Whether a text is a name.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_MAX_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

/// A name, checked when it is read.
pub(crate) struct CheckedName(pub(crate) String);

impl<'de> Deserialize<'de> for CheckedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = CheckedName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a name of 1 to {NAME_MAX_BYTES} bytes without control characters")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<CheckedName, E> {
                let name = CheckedName(text.to_owned());
                if is_name(text) { Ok(name) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// For `deserialize_with`: a name.
pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(CheckedName::deserialize(deserializer)?.0)
}

/// For `deserialize_with`: a name, or none.
pub(crate) fn name_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<CheckedName>::deserialize(deserializer)?.map(|name| name.0))
}

/// For `deserialize_with` beside `default`: what is given, `null` being a value too.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
