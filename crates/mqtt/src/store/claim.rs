//! The claim of a session by a new connection.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::Instant;

use super::{Store, StoreError};
use crate::limits::HANDOVER_WAIT;
use crate::message::{ClientId, Message, UnixMs, unix_ms};
use crate::router::GrantedSubscription;

/// A connection that asks for its session.
#[derive(Clone, Debug)]
pub(crate) struct SessionClaim {
    pub(crate) now_ms: UnixMs,
    pub(crate) client: ClientId,
    /// The user that the client proved to be.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) clean_start: bool,
    /// How long the session outlives the connection; 0: it does not.
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<LastWill>,
    /// Whether the session is taken from a connection that holds it.
    pub(crate) takes_over: bool,
}

impl SessionClaim {
    /// Whether the store keeps messages for the session: one that is resumed has a queue, even if it ends with this
    /// connection.
    pub(crate) fn is_stored(&self, is_present: bool) -> bool {
        self.expiry_s > 0 || is_present
    }
}

/// A will as CONNECT gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastWill {
    pub(crate) message: Arc<Message>,
    pub(crate) delay_s: u32,
}

/// A session that was taken.
#[derive(Debug)]
pub(crate) struct ClaimedSession {
    pub(crate) epoch: u64,
    /// The version of the subscriptions.
    pub(crate) version: u64,
    /// Whether it was there before.
    pub(crate) present: bool,
    pub(crate) subscriptions: Vec<(ByteString, GrantedSubscription)>,
    /// The number of the last message given to the queue.
    pub(crate) last: u64,
    /// The number of the last message known to have been sent.
    pub(crate) sent: u64,
    /// Messages of QoS 2 that the client has received and not completed.
    pub(crate) received: Vec<u64>,
    /// Packet ids of the client's own QoS 2 messages that were published and not released.
    pub(crate) inbound: Vec<u16>,
    /// The will of the connection before, if it is to be published now.
    pub(crate) will: Option<Arc<Message>>,
}

/// Pauses between two tries to claim a session that an older connection holds: the first and the longest.
const CLAIM_PAUSE_MIN: Duration = Duration::from_millis(1);
const CLAIM_PAUSE_MAX: Duration = Duration::from_millis(50);

/// Claims a session once the older connection has handled what it received, a DISCONNECT among it, and has detached; or
/// takes it over when that takes too long.
///
/// # Errors
/// As [`Store::claim`].
pub(crate) async fn claim_session(store: &dyn Store, mut claim: SessionClaim) -> Result<ClaimedSession, StoreError> {
    let deadline = Instant::now() + HANDOVER_WAIT;
    let mut pause = CLAIM_PAUSE_MIN;
    loop {
        claim.now_ms = unix_ms();
        claim.takes_over = Instant::now() >= deadline;
        if let Some(claimed) = store.claim(claim.clone()).await? {
            return Ok(claimed);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CLAIM_PAUSE_MAX);
    }
}
