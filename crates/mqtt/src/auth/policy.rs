//! What the program that embeds a broker decides besides the files of users and rules.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::Rules;
use crate::codec::Reason;

/// What a client is called that the embedding program knows, and its rules.
pub type KnownClient = (Arc<str>, Rules);

/// The answer to a password that may have to be looked up; an error if that cannot be done now.
pub type PasswordLookup<'a> = Pin<Box<dyn Future<Output = Result<Option<KnownClient>, Reason>> + Send + 'a>>;

/// Decisions of the embedding program. They are asked for on the way of every connection and publication, so that they
/// neither wait nor block, but for the password of a client that connects.
pub trait AccessPolicy: fmt::Debug + Send + Sync {
    /// The client that connects from this address (`None`: inside this process) and shows this password under any name;
    /// `None`: the program does not know it, and the files decide.
    fn admit<'a>(&'a self, password: &'a [u8], _from: Option<SocketAddr>) -> PasswordLookup<'a> {
        Box::pin(std::future::ready(Ok(self.verify(password))))
    }

    /// Whether a password has the form of a credential that is checked at a cost: it may be tried as often as any password, and
    /// the files do not decide on it.
    fn is_costly(&self, _password: &[u8]) -> bool {
        false
    }

    /// The connected client that came in by this password; `None`: it is good no longer. Asked when the access rules are
    /// replaced.
    fn verify(&self, password: &[u8]) -> Option<KnownClient>;

    /// Whether certificates of clients are principals: then a client that shows one, and no password, is whose that is.
    fn knows_certificates(&self) -> bool {
        false
    }

    /// The client that has proved this certificate (X.509 in DER) to be its own; `None`: it is of no client, or no longer. Asked
    /// again when the access rules are replaced.
    fn identify(&self, _certificate: &[u8]) -> Option<KnownClient> {
        None
    }

    /// Whether a user that was proved, and for whom there are no rules, may publish there; `None`: a client without a name where
    /// others have names that are proved.
    fn is_own(&self, _user: Option<&str>, _topic: &str) -> bool {
        true
    }

    /// Whether nobody but clients inside the process publishes there.
    fn is_reserved(&self, topic: &str) -> bool;

    /// That a publication there is what it has to be.
    ///
    /// # Errors
    /// The reason why it is not: it is refused with Payload Format Invalid (MQTT 5 section 2.4), and the client told the reason.
    fn check_payload(&self, topic: &str, payload: &[u8]) -> Result<(), String>;
}
