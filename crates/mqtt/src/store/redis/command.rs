//! One operation as a command for Redis, encoded on the task of its connection, so that the pipeline only has to batch.

use redis::Cmd;

use super::script;
use crate::codec::Qos;
use crate::message::{ClientId, ReplicaId};
use crate::store::{DedupKey, Progress, Publication, SessionExpiry, SessionHolder, StoreOp, WillFate, stored_form};

/// What one operation asks of Redis.
#[derive(Debug)]
pub(super) enum StoreCommand {
    Publish(PublishCommand),
    /// Acknowledgements of one session; shares a call with others.
    Acknowledge(AckBatch),
    /// A subscription is added or removed.
    Change(Cmd),
    /// A script that answers with its status only.
    Status(Cmd),
}

/// A message for queues and other replicas.
#[derive(Debug)]
pub(super) struct PublishCommand {
    pub(super) message: Vec<u8>,
    /// Of QoS 0: skips an inbox without room, where other messages wait.
    pub(super) is_lossy: bool,
    /// Sessions with the options of their delivery.
    pub(super) appends: Vec<(ClientId, Vec<u8>)>,
    pub(super) forwards: Vec<ReplicaId>,
    /// What only a call of its own can carry; most messages share a call.
    pub(super) single: Option<Box<SingleCall>>,
}

#[derive(Debug)]
pub(super) struct SingleCall {
    /// Named arguments of `publish_batch.lua`.
    pub(super) arguments: Vec<(&'static str, String)>,
    pub(super) directs: Vec<(ReplicaId, ClientId, Vec<u8>)>,
}

/// Acknowledgements of one session.
#[derive(Debug)]
pub(super) struct AckBatch {
    pub(super) holder: SessionHolder,
    pub(super) progress: Progress,
    /// Numbers of acknowledged messages.
    pub(super) acknowledged: Vec<u64>,
    /// Other kinds (see `acknowledge.lua`) with their numbers.
    pub(super) others: Vec<(&'static str, u64)>,
}

impl StoreCommand {
    /// `token` identifies a publication that is retried, so that it happens once.
    pub(super) fn new(op: StoreOp, me: &str, token: impl FnOnce() -> String) -> Self {
        let sent = |sent| Progress { sent, over: 0 };
        let acknowledge = |holder, progress, kind, number| {
            Self::Acknowledge(AckBatch { holder, progress, acknowledged: vec![], others: vec![(kind, number)] })
        };
        match op {
            StoreOp::Publish(publication) => Self::Publish(publish(&publication, token)),
            StoreOp::Subscribe { holder, filter, granted } => {
                Self::change(me, &holder, &filter, &stored_form::write_granted(&granted))
            }
            StoreOp::Unsubscribe { holder, filter } => Self::change(me, &holder, &filter, &[]),
            StoreOp::Ack { holder, seqs, progress } => {
                // Messages are mostly acknowledged in their order: `progress.over` says it for all of them.
                let acknowledged = seqs.into_iter().filter(|seq| *seq >= progress.over).collect();
                Self::Acknowledge(AckBatch { holder, progress, acknowledged, others: vec![] })
            }
            StoreOp::Received { holder, seq, sent: last } => acknowledge(holder, sent(last), "r", seq),
            StoreOp::Complete { holder, seq } => acknowledge(holder, sent(0), "c", seq),
            StoreOp::Released { holder, packet_id } => acknowledge(holder, sent(0), "f", u64::from(packet_id)),
            StoreOp::ReleaseShare { client, share } => {
                let mut call = script::RELEASE_SHARE.call();
                call.arg(&*client).arg(&*share);
                Self::Status(call)
            }
            StoreOp::Detach { holder, sent, expiry, will } => Self::detach(me, &holder, sent, expiry, will),
        }
    }

    fn change(me: &str, holder: &SessionHolder, filter: &str, granted: &[u8]) -> Self {
        let mut call = script::SUBSCRIBE.call();
        call.arg(me).arg(&*holder.client).arg(holder.epoch).arg(filter).arg(granted);
        Self::Change(call)
    }

    fn detach(me: &str, holder: &SessionHolder, sent: u64, expiry: SessionExpiry, will: WillFate) -> Self {
        let mut call = script::DETACH.call();
        call.arg(me).arg(&*holder.client).arg(holder.epoch).arg(sent);
        match expiry {
            SessionExpiry::Nothing => call.arg(-1),
            SessionExpiry::Until(at_ms) => call.arg(at_ms),
        };
        match will {
            WillFate::Dropped => call.arg(-1),
            WillFate::Due(from_ms) => call.arg(from_ms),
        };
        Self::Status(call)
    }
}

fn publish(publication: &Publication, token: impl FnOnce() -> String) -> PublishCommand {
    let Publication { message, appends, forwards, .. } = publication;
    PublishCommand {
        message: stored_form::write_message(message),
        is_lossy: message.qos == Qos::AtMostOnce,
        appends: appends.iter().map(|(c, options)| (ClientId::clone(c), stored_form::write_options(options))).collect(),
        forwards: forwards.clone(),
        single: single_call(publication, token).map(Box::new),
    }
}

/// `None`: the message can share a call with others.
fn single_call(publication: &Publication, token: impl FnOnce() -> String) -> Option<SingleCall> {
    let Publication { dedup_key, message, directs, retain, .. } = publication;
    let mut arguments = Vec::new();
    match dedup_key {
        Some(DedupKey::Inbound { holder, packet_id }) => {
            arguments.extend([("dedup", "inbound".to_owned()), ("client", holder.client.to_string())]);
            arguments.extend([("epoch", holder.epoch.to_string()), ("id", packet_id.to_string())]);
        }
        Some(DedupKey::Will { client, epoch }) => {
            arguments.extend([("dedup", "will".to_owned()), ("client", client.to_string())]);
            arguments.push(("epoch", epoch.to_string()));
        }
        Some(DedupKey::Orphaned { id }) => arguments.extend([("dedup", "orphan".to_owned()), ("id", id.clone())]),
        // A retry after a lost reply must not publish it again.
        None if message.qos == Qos::ExactlyOnce => arguments.push(("dedup", "once".to_owned())),
        None => {}
    }
    if !arguments.is_empty() {
        arguments.push(("token", token()));
    }
    if *retain {
        let how = if message.payload.is_empty() { "clear" } else { "set" };
        arguments.extend([("retain", how.to_owned()), ("topic", message.topic.to_string())]);
    }
    if arguments.is_empty() && directs.is_empty() {
        return None;
    }
    let directs = directs
        .iter()
        .map(|(replica, client, options)| (*replica, ClientId::clone(client), stored_form::write_options(options)));
    Some(SingleCall { arguments, directs: directs.collect() })
}
