//! User properties, kept in the form of the wire: they are passed on as they came, in their order, without a copy, and
//! decoded only when they are iterated. The bytes were checked when they came in or are built here.

use bytes::{BufMut, Bytes, BytesMut};

use super::EncodeError;
use super::property_id::USER_PROPERTY;
use super::text::TEXT_MAX_BYTES;

/// Pairs of texts, in their order; a name may stand several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserProperties {
    wire: Bytes,
}

impl UserProperties {
    /// From pairs.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<UserProperties, EncodeError> {
        let mut wire = BytesMut::new();
        for (name, value) in pairs {
            wire.put_u8(USER_PROPERTY);
            for text in [name, value] {
                if text.len() > TEXT_MAX_BYTES {
                    return Err(EncodeError::FieldTooLong);
                }
                wire.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
                wire.put_slice(text.as_bytes());
            }
        }
        Ok(UserProperties { wire: wire.freeze() })
    }

    /// From bytes that were checked.
    pub(super) fn from_wire(wire: Bytes) -> UserProperties {
        UserProperties { wire }
    }

    /// The bytes as they stand among the properties of a packet.
    pub(super) fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// Name and value of each.
    #[must_use]
    pub fn iter(&self) -> UserPropertiesIter<'_> {
        UserPropertiesIter { rest: &self.wire }
    }

    /// A copy that shares no memory with a buffer that was read.
    #[must_use]
    pub fn compact(&self) -> UserProperties {
        UserProperties { wire: Bytes::copy_from_slice(&self.wire) }
    }
}

impl<'a> IntoIterator for &'a UserProperties {
    type Item = (&'a str, &'a str);
    type IntoIter = UserPropertiesIter<'a>;

    fn into_iter(self) -> UserPropertiesIter<'a> {
        self.iter()
    }
}

/// See [`UserProperties::iter`].
#[derive(Clone, Debug)]
pub struct UserPropertiesIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for UserPropertiesIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let (_id, rest) = self.rest.split_first()?;
        let (name, rest) = text(rest)?;
        let (value, rest) = text(rest)?;
        self.rest = rest;
        Some((name, value))
    }
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_in_order() {
        let pairs = [("b", "1"), ("a", ""), ("", "2"), ("b", "ü")];
        let user = UserProperties::from_pairs(pairs).unwrap();
        assert_eq!(user.iter().collect::<Vec<_>>(), pairs);
        assert_eq!(user.compact(), user);
        let long = "x".repeat(TEXT_MAX_BYTES + 1);
        assert_eq!(UserProperties::from_pairs([("a", &*long)]), Err(EncodeError::FieldTooLong));
    }
}
