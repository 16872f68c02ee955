//! A client inside this process: it publishes and subscribes without a socket.

use std::sync::{Arc, Weak};

use bytestring::ByteString;
use tokio::sync::mpsc;

use super::replica::Replica;
use super::session_handle::{Connection, LocalConnection, SessionRef};
use crate::codec::{Qos, SubscriptionOptions, TopicFault, topic};
use crate::limits::LOCAL_CLIENT_MESSAGES_MAX;
use crate::message::{ClientId, Message, random, unix_ms};
use crate::router::GrantedSubscription;
use crate::store::{
    SessionClaim, SessionExpiry, SessionHolder, StoreError, StoreOp, StoreOutcome, WillFate, claim_session,
};

/// Why an operation of a local client failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalClientError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The filter is invalid.
    #[error("invalid filter: {0}")]
    Filter(TopicFault),
    /// The session was claimed by another client: impossible, as its name is unique.
    #[error("another client has claimed the session")]
    Fenced,
}

/// A client inside this process. Its session ends with it.
pub struct LocalClient {
    replica: Arc<Replica>,
    session: SessionRef,
    holder: SessionHolder,
    inbox: mpsc::Receiver<Arc<Message>>,
    /// The session owns it: when the session drops it, the inbox ends.
    connection: Weak<LocalConnection>,
}

impl LocalClient {
    pub(super) async fn connect(replica: Arc<Replica>, name: &str) -> Result<Self, LocalClientError> {
        let client: ClientId = format!("{name}-{:016x}", random()).into();
        let claim = SessionClaim {
            now_ms: unix_ms(),
            client: Arc::clone(&client),
            user: None,
            clean_start: true,
            expiry_s: 0,
            will: None,
            takes_over: false,
        };
        let claimed = claim_session(&*replica.store, claim).await?;
        let (sender, inbox) = mpsc::channel(LOCAL_CLIENT_MESSAGES_MAX);
        let holder = SessionHolder { client: Arc::clone(&client), epoch: claimed.epoch };
        let connection = LocalConnection::new(holder.clone(), sender);
        let weak = Arc::downgrade(&connection);
        let session = replica.attach(&client, Connection::Local(connection), false, &claimed);
        Ok(Self { replica, session, holder, inbox, connection: weak })
    }

    /// Subscribes; retained messages come first.
    ///
    /// # Errors
    /// The filter is none, or the store did not answer.
    pub async fn subscribe(&self, filter: &str, qos: Qos) -> Result<(), LocalClientError> {
        topic::check_filter(filter).map_err(LocalClientError::Filter)?;
        let filter = ByteString::from(filter);
        let granted =
            GrantedSubscription { options: SubscriptionOptions { qos, ..SubscriptionOptions::default() }, id: None };
        let op = StoreOp::Subscribe { holder: self.holder.clone(), filter: filter.clone(), granted };
        let outcome = self.replica.store.commit(vec![op]).await?.pop();
        let Some(StoreOutcome::Changed { version, .. }) = outcome else { return Err(LocalClientError::Fenced) };
        let retained = self.replica.subscribe(&self.session, &filter, granted, version, Some(unix_ms()));
        let connection = self.connection.upgrade().ok_or(LocalClientError::Fenced)?;
        for message in retained {
            if connection.sender.try_send(message).is_err() {
                self.replica.metrics.dropped_slow.add(1);
            }
        }
        Ok(())
    }

    /// Publishes; when it returns, the store has committed the message.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn publish(&self, message: Message) -> Result<(), LocalClientError> {
        let message = Message { publisher: Arc::clone(&self.holder.client), ..message };
        self.replica.publish(message, None).await?;
        Ok(())
    }

    /// The next message; `None` when the broker is over.
    pub async fn next(&mut self) -> Option<Arc<Message>> {
        let message = self.inbox.recv().await;
        if let Some(connection) = self.connection.upgrade() {
            connection.wake_publishers();
        }
        message
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        self.replica.detach(&self.session, self.holder.epoch, false);
        let (replica, holder) = (Arc::clone(&self.replica), self.holder.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let op = StoreOp::Detach { holder, sent: 0, expiry: SessionExpiry::Nothing, will: WillFate::Dropped };
                // If this fails, the sweep of another replica detaches the session.
                let _ = replica.store.commit(vec![op]).await;
            });
        }
    }
}
