//! Rights that change while a session lasts: when it is resumed, and when the access rules are replaced.

use bytestring::ByteString;

use super::after_commit::NextStep;
use super::{AclCache, ClientHandler, ConnectionEnd};
use crate::codec::{Qos, Reason, topic};
use crate::store::{Queued, StoreOp};

impl ClientHandler {
    /// Ends subscriptions that the client may not have any more.
    pub(crate) fn revoke(&mut self, filters: Vec<ByteString>) {
        for filter in filters {
            let op = StoreOp::Unsubscribe { holder: self.holder(), filter: filter.clone() };
            self.enqueue(op, NextStep::Revoke { filter });
        }
    }

    /// The access rules have changed.
    ///
    /// # Errors
    /// The user is not known any more.
    pub(crate) fn check_rights(&mut self) -> Result<(), ConnectionEnd> {
        let renewed = self.replica.access().renew(&self.principal);
        self.principal = renewed.ok_or(ConnectionEnd::Closed(Reason::NotAuthorized))?;
        self.acl_cache = AclCache::default();
        let client = &self.session.0.client;
        let is_revoked = |filter: &&ByteString| !self.principal.may_subscribe(client, topic::plain(filter));
        let revoked = self.session.lock().filters.iter().filter(is_revoked).cloned().collect();
        self.revoke(revoked);
        Ok(())
    }

    /// Messages in the queue that the client may not receive any more are never sent.
    pub(crate) fn withhold_revoked(&self, found: &mut [Queued]) {
        if !self.principal.is_restricted() {
            return;
        }
        for queued in found {
            if !self.principal.may_subscribe(&self.session.0.client, &queued.message.topic) {
                queued.options.qos = Qos::AtMostOnce;
            }
        }
    }
}
