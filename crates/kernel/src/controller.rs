//! Controllers: the program through which a topology's switches are reached. A topology has at most one: two writers on one
//! switch would undo each other's work.

use std::fmt;
use std::sync::Arc;

use super::id::{Name, Sequence};
use super::intent::RuleSettings;

/// The most controllers.
pub const CONTROLLERS_MAX: usize = 64;
/// The longest [`ControllerAddress`], in bytes.
pub const ADDRESS_MAX_BYTES: usize = 2_048;

/// A controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Controller {
    /// Its name here.
    pub name: Name,
    /// The dialect of its REST interface.
    pub driver: DriverKind,
    /// Its base URL; `None` for the simulated one.
    pub address: Option<ControllerAddress>,
    /// The topology whose switches it has; it need not exist yet.
    pub topology: Name,
    /// How its rules and meters are made.
    pub settings: RuleSettings,
    /// Whether its rules are being removed from the switches, after which it is forgotten.
    pub is_closing: bool,
    /// The instance that may write to its switches; `None` where the service has its database for itself.
    pub leader: Option<Leader>,
    /// The event that last changed it, but for its leader.
    pub revision: Sequence,
}

/// The instance of the service that may write to the switches of a controller.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Leader {
    /// What the instance calls itself, and no other one ever does.
    pub instance: Name,
    /// How many leaders there were, this one included. What was written in an earlier term is out of date.
    pub term: u64,
}

/// The instance of the service that schedules: it takes the reports of aggregators in, and makes and releases their
/// reservations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct SchedulerTerm {
    /// How many terms there were, this one included; 0 before the first.
    pub term: u64,
    /// The instance; `None` where none has anything to schedule.
    pub instance: Option<Name>,
}

/// What becomes of the rules of a controller that is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RulesOnDelete {
    /// The rules are removed from the switches before the controller is forgotten.
    Remove,
    /// The rules stay on the switches.
    Leave,
    /// The rules were removed: the controller is forgotten if it still is what it was at this event.
    Removed(Sequence),
}

impl Controller {
    /// The number of the present leader's term; 0 before the first.
    pub fn term(&self) -> u64 {
        self.leader.as_ref().map_or(0, |leader| leader.term)
    }
}

/// The dialect of a controller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DriverKind {
    /// Ryu 4.34 and os-ken 1.4.1: `ofctl_rest`.
    Ryu,
    /// ONOS: flows and meters over REST.
    Onos,
    /// A network in memory.
    Simulated,
}

impl DriverKind {
    /// Whether flows can be split among several paths at its switches, by groups.
    pub const fn splits_flows(self) -> bool {
        match self {
            Self::Ryu | Self::Simulated => true,
            Self::Onos => false,
        }
    }
}

/// The base URL of a controller: `http` or `https`, without credentials, query and fragment, and without a slash at the end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ControllerAddress(Arc<str>);

/// Why a text is no valid [`ControllerAddress`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControllerAddressError {
    /// Another scheme, or none.
    #[error("invalid url: it must begin with http:// or https://")]
    Scheme,
    /// No host.
    #[error("invalid url: it has no host")]
    NoHost,
    /// Credentials, which every reader of the controller would see.
    #[error("invalid url: it must not contain credentials, which belong into the service's configuration")]
    Credentials,
    /// A query or a fragment.
    #[error("invalid url: it must not have a query or a fragment")]
    Query,
    /// A character that an address does not have.
    #[error("invalid url: it must not contain U+{code_point:04X}")]
    Character {
        /// The character.
        code_point: u32,
    },
    /// Over [`ADDRESS_MAX_BYTES`].
    #[error("invalid url: it is longer than {ADDRESS_MAX_BYTES} bytes")]
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
