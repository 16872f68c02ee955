//! What one operation asks of Redis, written as it will be sent: on the task of the connection that wants it, so that the
//! line only has to put together what many want.

use redis::Cmd;

use super::{script, stored_form};
use crate::codec::Qos;
use crate::limits::{
    INBOX_BYTES_MAX, INBOX_MAX, QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX, RETAINED_BYTES_MAX, RETAINED_MAX,
};
use crate::message::{ClientId, ReplicaId};
use crate::store::{DedupKey, Progress, Publication, SessionExpiry, SessionHolder, StoreOp, WillFate};

/// What one operation asks for.
#[derive(Debug)]
pub(super) enum StoreCommand {
    /// A message that nothing guards and nobody retains: most of them. Goes in one call with others.
    Plain(BatchMessage),
    /// Acknowledgements of one session. Go in one call with others.
    Settle(AckBatch),
    /// A publication that needs more: a call of its own.
    Publish { call: Cmd, appends: usize },
    /// A subscription begins or ends.
    Change(Cmd),
    /// A connection is over.
    Detach(Cmd),
}

/// A message for queues and other replicas.
#[derive(Debug)]
pub(super) struct BatchMessage {
    pub(super) message: Vec<u8>,
    /// Whether it is of QoS 0: it goes past an inbox without room, others wait for it.
    pub(super) may_be_lost: bool,
    /// Sessions, and how each gets it.
    pub(super) appends: Vec<(ClientId, Vec<u8>)>,
    pub(super) forwards: Vec<ReplicaId>,
}

/// Acknowledgements.
#[derive(Debug)]
pub(super) struct AckBatch {
    pub(super) holder: SessionHolder,
    /// The last number sent, and below which none is waited for.
    pub(super) progress: Progress,
    /// Each kind (see `settle.lua`) and number.
    pub(super) items: Vec<(&'static str, u64)>,
}

impl StoreCommand {
    /// `token` is drawn where the operation has to be known again when it is tried again.
    pub(super) fn of(op: StoreOp, me: &str, token: impl FnOnce() -> String) -> Self {
        let settle = |holder, items, progress| Self::Settle(AckBatch { holder, progress, items });
        let sent = |sent| Progress { sent, over: 0 };
        match op {
            StoreOp::Publish(publication) if is_plain(&publication) => Self::Plain(plain(&publication)),
            StoreOp::Publish(publication) => Self::publish(me, &token(), &publication),
            StoreOp::Subscribe { holder, filter, granted } => {
                Self::change(me, &holder, &filter, &stored_form::write_granted(&granted))
            }
            StoreOp::Unsubscribe { holder, filter } => Self::change(me, &holder, &filter, &[]),
            StoreOp::Ack { holder, seqs, progress } => {
                // Mostly they are acknowledged in their order.
                let others = seqs.into_iter().filter(|seq| *seq >= progress.over);
                settle(holder, others.map(|seq| ("a", seq)).collect(), progress)
            }
            StoreOp::Received { holder, seq, sent: last } => settle(holder, vec![("r", seq)], sent(last)),
            StoreOp::Complete { holder, seq } => settle(holder, vec![("c", seq)], sent(0)),
            StoreOp::Released { holder, packet_id } => settle(holder, vec![("f", u64::from(packet_id))], sent(0)),
            StoreOp::Detach { holder, sent, rest, will } => Self::detach(me, &holder, sent, rest, will),
        }
    }

    fn change(me: &str, holder: &SessionHolder, filter: &str, granted: &[u8]) -> Self {
        let mut call = script::SUBSCRIBE.call();
        call.arg(me).arg(&*holder.client).arg(holder.epoch).arg(filter).arg(granted);
        Self::Change(call)
    }

    fn detach(me: &str, holder: &SessionHolder, sent: u64, rest: SessionExpiry, will: WillFate) -> Self {
        let mut call = script::DETACH.call();
        call.arg(me).arg(&*holder.client).arg(holder.epoch).arg(sent);
        match rest {
            SessionExpiry::Nothing => call.arg(-1),
            SessionExpiry::Until(at_ms) => call.arg(at_ms),
        };
        match will {
            WillFate::Dropped => call.arg(-1),
            WillFate::Due(from_ms) => call.arg(from_ms),
        };
        Self::Detach(call)
    }

    /// Without its last argument, the batch.
    fn publish(me: &str, token: &str, publication: &Publication) -> Self {
        let Publication { dedup_key, message, appends, forwards, directs, retain } = publication;
        let mut call = script::PUBLISH.call();
        call.arg(me).arg(token);
        match dedup_key {
            Some(DedupKey::Inbound { holder, packet_id }) => {
                call.arg("i").arg(&*holder.client).arg(holder.epoch).arg(*packet_id);
            }
            Some(DedupKey::Will { client, epoch }) => {
                call.arg("w").arg(&**client).arg(*epoch).arg("");
            }
            Some(DedupKey::Orphaned { id }) => {
                call.arg("l").arg("").arg("").arg(id);
            }
            // Tried again after an answer was lost, it must still happen once.
            None if message.qos == Qos::ExactlyOnce => {
                call.arg("o").arg("").arg("").arg("");
            }
            None => {
                call.arg("").arg("").arg("").arg("");
            }
        }
        let (kept, topic) = match (retain, message.payload.is_empty()) {
            (false, _) => ("", ""),
            (true, false) => ("s", &*message.topic),
            (true, true) => ("c", &*message.topic),
        };
        call.arg(stored_form::write_message(message)).arg(kept).arg(topic);
        call.arg(QUEUE_MESSAGES_MAX).arg(QUEUE_BYTES_MAX).arg(RETAINED_MAX).arg(RETAINED_BYTES_MAX).arg(INBOX_MAX);
        call.arg(INBOX_BYTES_MAX);
        call.arg(appends.len());
        for (client, options) in appends {
            call.arg(&**client).arg(stored_form::write_options(options));
        }
        call.arg(forwards.len());
        for replica in forwards {
            call.arg(replica.to_string());
        }
        call.arg(directs.len());
        for (replica, client, options) in directs {
            call.arg(replica.to_string()).arg(&**client).arg(stored_form::write_options(options));
        }
        Self::Publish { call, appends: appends.len() }
    }
}

/// One of QoS 2 is not: tried again, it must still happen once.
fn is_plain(publication: &Publication) -> bool {
    publication.dedup_key.is_none()
        && !publication.retain
        && publication.directs.is_empty()
        && publication.message.qos < Qos::ExactlyOnce
}

fn plain(publication: &Publication) -> BatchMessage {
    let appends = publication.appends.iter();
    BatchMessage {
        message: stored_form::write_message(&publication.message),
        may_be_lost: publication.message.qos == Qos::AtMostOnce,
        appends: appends
            .map(|(client, options)| (ClientId::clone(client), stored_form::write_options(options)))
            .collect(),
        forwards: publication.forwards.clone(),
    }
}
