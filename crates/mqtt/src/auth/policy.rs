//! What the program that embeds a broker decides besides the files of users and rules.

use std::fmt;
use std::sync::Arc;

use super::Rules;

/// Decisions of the embedding program. They are asked for on the way of every connection and publication, so that they
/// neither wait nor block.
pub trait AccessPolicy: fmt::Debug + Send + Sync {
    /// The rules of whoever shows this password under any name; `None`: it is none that the program knows, and the files
    /// decide. Asked again when the access rules are replaced.
    fn verify(&self, password: &[u8]) -> Option<Rules>;

    /// Whether certificates of clients are principals: then a client that shows one, and no password, is whose that is.
    fn knows_certificates(&self) -> bool {
        false
    }

    /// What the client that has proved this certificate (X.509 in DER) to be its own is called, and its rules; `None`: it is
    /// nobody's, or no longer. Asked again when the access rules are replaced.
    fn identify(&self, _certificate: &[u8]) -> Option<(Arc<str>, Rules)> {
        None
    }

    /// Whether a user that was proved, and for whom there are no rules, may publish there.
    fn is_own(&self, _user: &str, _topic: &str) -> bool {
        true
    }

    /// Whether nobody but clients inside the process publishes there.
    fn is_reserved(&self, topic: &str) -> bool;

    /// Whether a publication there is what it has to be; if not, it is refused with Payload Format Invalid
    /// (MQTT 5 section 2.4).
    fn is_well_formed(&self, topic: &str, payload: &[u8]) -> bool;
}
