//! What the program that embeds a broker decides besides the files of users and rules.

use std::fmt;

use super::Rules;

/// Decisions of the embedding program. They are asked for on the way of every connection and publication, so that they
/// neither wait nor block.
pub trait AccessPolicy: fmt::Debug + Send + Sync {
    /// The rules of whoever shows this password under any name; `None`: it is none that the program knows, and the files
    /// decide. Asked again when the access rules are replaced.
    fn verify(&self, password: &[u8]) -> Option<Rules>;

    /// Whether nobody but clients inside the process publishes there.
    fn is_reserved(&self, topic: &str) -> bool;

    /// Whether a publication there is what it has to be; if not, it is refused with Payload Format Invalid
    /// (MQTT 5 section 2.4).
    fn is_well_formed(&self, topic: &str, payload: &[u8]) -> bool;
}
