//! Controllers: through which program a topology's switches are reached. A topology has one controller at most: two hands
//! on one switch would undo each other's work.

use std::fmt;
use std::sync::Arc;

use super::id::{Name, Sequence};

/// The most controllers.
pub const CONTROLLERS_MAX: usize = 64;
/// The longest [`Address`], in bytes.
pub const ADDRESS_MAX_BYTES: usize = 2_048;

/// A controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Controller {
    /// What we call it.
    pub name: Name,
    /// Which dialect it speaks.
    pub driver: DriverKind,
    /// Where it is; a simulated one is nowhere.
    pub address: Option<ControllerAddress>,
    /// Whose switches it has. The topology need not be there yet.
    pub topology: Name,
    /// The event that made it so.
    pub revision: Sequence,
}

/// Which dialect a controller speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DriverKind {
    /// Ryu 4.34 and os-ken 1.4.1: `ofctl_rest`.
    Ryu,
    /// ONOS: flows and meters over REST.
    Onos,
    /// A network in memory.
    Simulated,
}

/// Where a controller is: `http` or `https`, without credentials, query and fragment, and without a slash at the end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ControllerAddress(Arc<str>);

/// Why a text is no [`Address`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControllerAddressError {
    /// Another scheme, or none.
    #[error("the address must begin with http:// or https://")]
    Scheme,
    /// No host.
    #[error("the address names no host")]
    NoHost,
    /// Credentials, which would be shown to everybody who reads the controller.
    #[error("the address must not contain credentials: give them to the service's configuration")]
    Credentials,
    /// A query or a fragment.
    #[error("the address must not have a query or a fragment")]
    Query,
    /// A character that an address does not have.
    #[error("the address contains U+{code_point:04X}, which it must not")]
    Character {
        /// Which.
        code_point: u32,
    },
    /// Over [`ADDRESS_MAX_BYTES`].
    #[error("the address is longer than {ADDRESS_MAX_BYTES} bytes")]
    TooLong,
}

impl ControllerAddress {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, ControllerAddressError> {
        if text.len() > ADDRESS_MAX_BYTES {
            return Err(ControllerAddressError::TooLong);
        }
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '\\' | '`')) {
            return Err(ControllerAddressError::Character { code_point: u32::from(c) });
        }
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let rest = rest.ok_or(ControllerAddressError::Scheme)?;
        if rest.contains(['?', '#']) {
            return Err(ControllerAddressError::Query);
        }
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err(ControllerAddressError::Credentials);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(ControllerAddressError::NoHost);
        }
        Ok(Self(Arc::from(text.trim_end_matches('/'))))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_controllers() {
        assert_eq!(ControllerAddress::new("http://127.0.0.1:8080/").unwrap().as_str(), "http://127.0.0.1:8080");
        assert_eq!(
            ControllerAddress::new("https://[::1]:8181/onos/v1").unwrap().as_str(),
            "https://[::1]:8181/onos/v1"
        );
        let errors = [
            ("", ControllerAddressError::Scheme),
            ("ftp://x", ControllerAddressError::Scheme),
            ("http://", ControllerAddressError::NoHost),
            ("http:///x", ControllerAddressError::NoHost),
            ("http://:80", ControllerAddressError::NoHost),
            ("http://u:p@host", ControllerAddressError::Credentials),
            ("http://host/?a=b", ControllerAddressError::Query),
            ("http://a b", ControllerAddressError::Character { code_point: 32 }),
        ];
        for (text, error) in errors {
            assert_eq!(ControllerAddress::new(text), Err(error), "{text}");
        }
        assert_eq!(
            ControllerAddress::new(&format!("http://{}", "x".repeat(2_048))),
            Err(ControllerAddressError::TooLong)
        );
    }
}
