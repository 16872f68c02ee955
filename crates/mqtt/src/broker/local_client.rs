//! A client inside this process: it publishes and subscribes without a socket.

use std::sync::{Arc, Weak};

use bytestring::ByteString;
use tokio::sync::mpsc;

use super::replica::Hub;
use super::session_handle::{Connection, Inside, SessionRef};
use crate::codec::{Qos, SubscriptionOptions, TopicFault, topic};
use crate::limits::LINK_MESSAGES_MAX;
use crate::message::{ClientId, Message, random, unix_ms};
use crate::router::Granted;
use crate::store::{Holder, Op, SessionClaim, SessionExpiry, StoreError, StoreOutcome, WillFate};

/// Why an inside client was not served.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The filter is none.
    #[error("the filter: {0}")]
    Filter(TopicFault),
    /// Another holds the session; it cannot be, for nobody else has the name.
    #[error("the session is another's")]
    Fenced,
}

/// A client inside this process. Its session ends with it.
pub struct InsideClient {
    hub: Arc<Hub>,
    party: SessionRef,
    holder: Holder,
    inbox: mpsc::Receiver<Arc<Message>>,
    /// The hub has it: what it drops ends the inbox.
    link: Weak<Inside>,
}

impl InsideClient {
    pub(super) async fn enter(hub: Arc<Hub>, name: &str) -> Result<Self, InsideError> {
        let client: ClientId = format!("{name}-{:016x}", random()).into();
        let now_ms = unix_ms();
        let claim = SessionClaim { now_ms, client: Arc::clone(&client), clean_start: true, expiry_s: 0, will: None };
        let taken = hub.store.take(claim).await?;
        let (sender, inbox) = mpsc::channel(LINK_MESSAGES_MAX);
        let holder = Holder { client: Arc::clone(&client), epoch: taken.epoch };
        let link = Inside::new(holder.clone(), sender);
        let weak = Arc::downgrade(&link);
        let party = hub.attach(&client, Connection::Inside(link), false, &taken);
        Ok(Self { hub, party, holder, inbox, link: weak })
    }

    /// Subscribes; what is retained comes first.
    ///
    /// # Errors
    /// The filter is none, or the store did not answer.
    pub async fn subscribe(&self, filter: &str, qos: Qos) -> Result<(), InsideError> {
        topic::check_filter(filter).map_err(InsideError::Filter)?;
        let filter = ByteString::from(filter);
        let granted = Granted { options: SubscriptionOptions { qos, ..SubscriptionOptions::default() }, id: None };
        let op = Op::Subscribe { holder: self.holder.clone(), filter: filter.clone(), granted };
        let outcome = self.hub.store.commit(vec![op]).await?.pop();
        let Some(StoreOutcome::Changed { version, .. }) = outcome else { return Err(InsideError::Fenced) };
        let retained = self.hub.subscribe(&self.party, &filter, granted, version, Some(unix_ms()));
        let link = self.link.upgrade().ok_or(InsideError::Fenced)?;
        for message in retained {
            if link.sender.try_send(message).is_err() {
                self.hub.metrics.dropped_slow.add(1);
            }
        }
        Ok(())
    }

    /// Publishes; when it returns, the store has what it has to have.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn publish(&self, message: Message) -> Result<(), InsideError> {
        let message = Message { publisher: Arc::clone(&self.holder.client), ..message };
        self.hub.publish(message, None).await?;
        Ok(())
    }

    /// The next message; `None` when the broker is over.
    pub async fn next(&mut self) -> Option<Arc<Message>> {
        let message = self.inbox.recv().await;
        if let Some(link) = self.link.upgrade() {
            link.relieve();
        }
        message
    }
}

impl Drop for InsideClient {
    fn drop(&mut self) {
        self.hub.detach(&self.party, self.holder.epoch, false);
        let (hub, holder) = (Arc::clone(&self.hub), self.holder.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let op = Op::Detach { holder, sent: 0, rest: SessionExpiry::Nothing, will: WillFate::Dropped };
                // Whoever fails here leaves it to the sweep of another.
                let _ = hub.store.commit(vec![op]).await;
            });
        }
    }
}
