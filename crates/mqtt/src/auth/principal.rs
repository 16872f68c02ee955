//! A client that was admitted: who it is, and what it may.

use std::fmt;
use std::sync::Arc;

use super::{AccessPolicy, Rules};

/// An admitted client.
#[derive(Clone)]
pub struct Principal {
    pub(super) user: Option<Arc<str>>,
    /// Whether others have names that are proved.
    pub(super) is_among_users: bool,
    pub(super) rules: Option<Arc<Rules>>,
    pub(super) policy: Option<Arc<dyn AccessPolicy>>,
    /// By which the embedding program knows it.
    pub(super) credential: Option<Credential>,
}

/// What the embedding program knows a client by.
#[derive(Clone)]
pub(super) enum Credential {
    Password(Arc<[u8]>),
    Certificate(Arc<[u8]>),
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Principal {
    /// The user's name, if it was proved.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether there are topics that it may not receive.
    pub(crate) fn is_restricted(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether the client of this name may publish there.
    #[must_use]
    pub fn may_publish(&self, client: &str, topic: &str) -> bool {
        let is_own = |policy: &Arc<dyn AccessPolicy>| match (&self.rules, self.user()) {
            (Some(_), _) => true,
            (None, None) => !self.is_among_users || policy.is_own(None, topic),
            (None, user) => policy.is_own(user, topic),
        };
        self.policy.as_ref().is_none_or(|policy| !policy.is_reserved(topic) && is_own(policy))
            && self.rules.as_ref().is_none_or(|rules| rules.may_publish(self.user(), client, topic))
    }

    /// That a publication there is what it has to be.
    pub(crate) fn check_payload(&self, topic: &str, payload: &[u8]) -> Result<(), String> {
        self.policy.as_ref().map_or(Ok(()), |policy| policy.check_payload(topic, payload))
    }

    /// Whether the client of this name may receive everything that this filter (not a shared one) matches.
    #[must_use]
    pub fn may_subscribe(&self, client: &str, filter: &str) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.may_subscribe(self.user(), client, filter))
    }
}
