//! What operators see and do: clients, sessions and retained messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Broker;
use super::accept::publish_will;
use super::session_handle::{Connection, ConnectionStatus, SessionRef};
use crate::codec::Reason;
use crate::limits::{CLAIM_WAIT, HANDOVER_WAIT, REAP_COUNT};
use crate::message::{ClientId, Message, ReplicaId, unix_ms};
use crate::store::{
    Publication, SessionClaim, SessionExpiry, SessionHolder, SessionStatus, StoreError, StoreOp, StoreOutcome,
    WillFate, claim_session,
};

/// How long the store may take for one step.
const STEP_WAIT: Duration = CLAIM_WAIT;

/// A client that a replica knows: it is connected there, or has subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientStatus {
    /// Its identifier.
    pub client: ClientId,
    /// Whether its session outlives its connection.
    pub lasting: bool,
    /// The replica with its connection, if there is one.
    pub replica: Option<ReplicaId>,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// Its connection, if that is at this replica.
    pub connection: Option<ConnectionStatus>,
}

impl Broker {
    /// At most `limit` of the clients behind `after` in the order of their identifiers; with or without a connection, if
    /// `connected` says so. Clients of the process itself are left out.
    #[must_use]
    pub fn clients(&self, after: Option<&str>, limit: usize, connected: Option<bool>) -> Vec<ClientStatus> {
        let is_wanted = |session: &SessionRef| {
            let route = session.lock();
            let is_connected = route.connection.is_some() || route.state.owner.is_some();
            !matches!(route.connection, Some(Connection::Local(_)))
                && connected.is_none_or(|asked| asked == is_connected)
        };
        self.replica.sessions_after(after, limit, is_wanted).iter().map(client_status).collect()
    }

    /// The session of a client, whichever replica holds it; `None`: there is none.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session(&self, client: &str) -> Result<Option<SessionStatus>, StoreError> {
        within(self.replica.store.look_up(client.into())).await
    }

    /// Ends a session: its connection is closed (MQTT 5, 3.14.2.1: 0x98, at another replica 0x8E) and its will published,
    /// its subscriptions and messages are forgotten. Returns `false` if there is none, or if it is of this process.
    ///
    /// # Errors
    /// The store does not answer; the session may have ended all the same.
    pub async fn end_session(&self, client: &str) -> Result<bool, StoreError> {
        let replica = &self.replica;
        let client: ClientId = client.into();
        let connection = replica.session(&client).and_then(|session| session.lock().connection.clone());
        match connection {
            Some(Connection::Local(_)) => return Ok(false),
            Some(Connection::Client(connection)) => {
                connection.close(Reason::AdministrativeAction);
                // What is not over by then is taken from it.
                let _ = timeout(HANDOVER_WAIT, connection.wait_for_detach()).await;
            }
            None if self.session(&client).await?.is_none() => return Ok(false),
            None => {}
        }
        let claim = SessionClaim {
            now_ms: unix_ms(),
            client: Arc::clone(&client),
            user: None,
            clean_start: true,
            expiry_s: 0,
            will: None,
            takes_over: false,
        };
        let claimed = within(claim_session(&*replica.store, claim)).await?;
        replica.forget_session(&client);
        let holder = SessionHolder { client, epoch: claimed.epoch };
        let (expiry, will) = (SessionExpiry::Nothing, WillFate::Dropped);
        within(replica.store.commit(vec![StoreOp::Detach { holder, sent: 0, expiry, will }])).await?;
        if let Some(will) = claimed.will {
            publish_will(replica, &will, None).await;
        }
        Ok(true)
    }

    /// At most `limit` of the retained messages behind the topic `after` in the order of their topics, of those that
    /// `filter` matches or of all.
    #[must_use]
    pub fn retained(&self, filter: Option<&str>, after: Option<&str>, limit: usize) -> Vec<Arc<Message>> {
        self.replica.retained_after(filter, after, limit)
    }

    /// Forgets the retained messages that `filter` matches, at every replica. Subscribers are told nothing. Returns how many
    /// there were.
    ///
    /// # Errors
    /// The store does not answer; some of them may be forgotten all the same.
    pub async fn clear_retained(&self, filter: &str) -> Result<usize, StoreError> {
        let mut cleared = 0;
        let mut after: Option<Arc<Message>> = None;
        loop {
            let found = self.retained(Some(filter), after.as_deref().map(|message| &*message.topic), REAP_COUNT);
            let Some(last) = found.last() else { return Ok(cleared) };
            after = Some(Arc::clone(last));
            let empty = |message: &Arc<Message>| Arc::new(Message { payload: "".into(), ..Message::clone(message) });
            let empty: Vec<_> = found.iter().map(empty).collect();
            let op = |message: &Arc<Message>| {
                StoreOp::Publish(Box::new(Publication {
                    dedup_key: None,
                    message: Arc::clone(message),
                    appends: Vec::new(),
                    forwards: Vec::new(),
                    directs: Vec::new(),
                    retain: true,
                }))
            };
            let outcomes = within(self.replica.store.commit(empty.iter().map(op).collect())).await?;
            for (message, outcome) in empty.iter().zip(outcomes) {
                if matches!(outcome, StoreOutcome::Published(done) if !done.not_retained) {
                    self.replica.retain(message);
                    cleared += 1;
                }
            }
        }
    }
}

fn client_status(session: &SessionRef) -> ClientStatus {
    let route = session.lock();
    let connection = match &route.connection {
        Some(Connection::Client(connection)) => Some(connection.status()),
        _ => None,
    };
    ClientStatus {
        client: Arc::clone(&session.0.client),
        lasting: route.state.lasting,
        replica: route.state.owner,
        subscriptions: route.filters.len(),
        connection,
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(STEP_WAIT, answer).await.unwrap_or(Err(StoreError::NoAnswer))
}
