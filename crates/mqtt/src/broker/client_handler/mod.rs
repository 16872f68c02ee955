//! The packets of one client: operations for the store go into a batch, and their replies wait for its commit.
//!
//! What must stay true: acknowledgements leave in the order of what they acknowledge [MQTT-4.6.0-2] to [MQTT-4.6.0-4],
//! none before the store has committed what it acknowledges; no function here waits.

mod after_commit;
mod publishing;
mod rights;
mod subscribing;

use std::collections::HashSet;
use std::sync::Arc;

use bytestring::ByteString;

use super::match_cache::MatchCache;
use super::replica::Replica;
use super::session_handle::{ClientConnection, Connection, SessionRef};
use crate::auth::Principal;
use crate::codec::{Disconnect, Packet, PacketId, PacketKind, Reason, Version};
use crate::limits::{MATCH_LEVELS_PER_WAKE, PACKETS_PER_WAKE};
use crate::message::UnixMs;
use crate::session::{ConnectionTerms, Inbound, Outbox};
use crate::store::{Progress, SessionHolder, StoreOp};

use after_commit::NextStep;
pub(crate) use after_commit::{AfterCommit, Committed, commit_batch};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// The client sent DISCONNECT; its will is published only if it asked for that.
    Disconnected { will: bool },
    /// The connection broke without a DISCONNECT.
    Lost,
    /// The broker disconnects the client.
    Closed(Reason),
}

/// One client's side of the broker.
pub(crate) struct ClientHandler {
    pub(crate) replica: Arc<Replica>,
    pub(crate) connection: Arc<ClientConnection>,
    pub(crate) session: SessionRef,
    pub(crate) expiry_s: u32,
    pub(crate) principal: Principal,
    version: Version,
    lasting: bool,
    tells_reasons: bool,
    inbound: Inbound,
    match_cache: MatchCache,
    /// Operations for the store, in the order of the packets.
    batch: Vec<(Option<StoreOp>, AfterCommit)>,
    /// Whether the batch has an operation for the store: what follows may depend on its outcome.
    has_store_op: bool,
    /// The commit under way; `None`: there is none.
    committing: Option<CommitUnderWay>,
    /// Packets since the commit began.
    gathered: usize,
    /// Publications of QoS 1 in the batch.
    unanswered: usize,
    /// Congested receivers that make this client pause.
    pub(crate) congested: Vec<Connection>,
    acks: PendingAcks,
    acl_cache: AclCache,
    delivered: bool,
    /// Levels of filters that were looked at in this turn.
    visited: usize,
}

/// What is known of the commit under way.
#[derive(Clone, Copy)]
struct CommitUnderWay {
    /// Publications of QoS 1 in it.
    unanswered: usize,
    /// It waits for the intake alone.
    is_intake_only: bool,
}

/// Capacity for acknowledgements that an idle connection keeps.
const ACKS_KEPT: usize = 16;

/// Topics that the client is known to be allowed to publish to, until the rules change.
#[derive(Default)]
struct AclCache {
    last: ByteString,
    topics: HashSet<ByteString>,
}

/// Acknowledgements in both directions since the last flush, so that the connection is locked once for all of them.
#[derive(Default)]
struct PendingAcks {
    /// Acknowledgements for the client.
    unsent: Vec<(PacketKind, PacketId, Reason)>,
    /// PUBACKs of the client.
    pubacks: Vec<PacketId>,
    /// Publications of the client by QoS, for the counters.
    publications: [u64; 3],
}

impl ClientHandler {
    pub(crate) fn new(
        replica: Arc<Replica>,
        connection: Arc<ClientConnection>,
        session: SessionRef,
        principal: Principal,
        expiry_s: u32,
        inbound: &[u16],
    ) -> Self {
        let ConnectionTerms { version, lasting, tells_reasons, .. } = connection.lock().outbox.terms;
        let inbound = Inbound::new(version, replica.settings.receive_max.get(), inbound);
        Self {
            replica,
            connection,
            session,
            expiry_s,
            principal,
            version,
            lasting,
            tells_reasons,
            inbound,
            match_cache: MatchCache::default(),
            batch: Vec::new(),
            has_store_op: false,
            committing: None,
            gathered: 0,
            unanswered: 0,
            congested: Vec::new(),
            acks: PendingAcks::default(),
            acl_cache: AclCache::default(),
            delivered: false,
            visited: 0,
        }
    }

    fn holder(&self) -> SessionHolder {
        self.connection.holder.clone()
    }

    /// Handles a packet as far as possible without the store. [`ClientHandler::flush_acks`] sends the acknowledgements.
    ///
    /// # Errors
    /// The connection ends.
    pub(crate) fn handle(&mut self, packet: Packet, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
        self.gathered += usize::from(self.committing.is_some());
        match packet {
            Packet::Publish(publish) => self.publish(publish, now_ms),
            Packet::Puback(ack) => {
                self.acks.pubacks.push(ack.packet_id);
                Ok(())
            }
            Packet::Pubrec(ack) => self.pubrec(ack.packet_id, ack.reason),
            Packet::Pubrel(ack) => {
                self.pubrel(ack.packet_id);
                Ok(())
            }
            Packet::Pubcomp(ack) => {
                let found = self.apply_ack(|outbox| outbox.pubcomp(ack.packet_id))?;
                if let Some(seq) = found.filter(|_| self.lasting) {
                    self.enqueue(StoreOp::Complete { holder: self.holder(), seq }, NextStep::None);
                }
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe, now_ms),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe, now_ms),
            Packet::Pingreq => {
                self.connection.lock().outbox.send(&Packet::Pingresp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.disconnect(&disconnect)),
            // A second CONNECT [MQTT-3.1.0-2]; AUTH without a method in CONNECT [MQTT-4.12.0-6]; packets that only servers send.
            _ => Err(ConnectionEnd::Closed(Reason::ProtocolError)),
        }
    }

    /// Whether the client is told what is refused: 3.1.1 has no words for it.
    pub(crate) fn is_told_refusals(&self) -> bool {
        self.version == Version::V5
    }

    /// Whether the packets of this turn have taken their share of the time.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.visited > MATCH_LEVELS_PER_WAKE
    }

    /// The same, at the end of the turn.
    pub(crate) fn take_is_over_budget(&mut self) -> bool {
        std::mem::take(&mut self.visited) > MATCH_LEVELS_PER_WAKE
    }

    /// Whether another packet may be handled now. While a commit is under way, a batch more for the intake: what it gets while
    /// it keeps others is kept with the next. Of operations for the store one batch waits for the other.
    pub(crate) fn may_handle(&self) -> bool {
        self.committing
            .is_none_or(|commit| commit.is_intake_only && !self.has_store_op && self.gathered < PACKETS_PER_WAKE)
    }

    /// Whether other clients have been given messages since the last call.
    pub(crate) fn take_has_delivered(&mut self) -> bool {
        std::mem::take(&mut self.delivered)
    }

    /// Sends the gathered acknowledgements and applies those of the client.
    ///
    /// # Errors
    /// The client acknowledged what was not sent to it so.
    pub(crate) fn flush_acks(&mut self) -> Result<(), ConnectionEnd> {
        for (publications, received) in self.acks.publications.iter_mut().zip(&self.replica.metrics.received) {
            if *publications > 0 {
                received.add(std::mem::take(publications));
            }
        }
        if self.acks.unsent.is_empty() && self.acks.pubacks.is_empty() {
            return Ok(());
        }
        let mut queue = self.connection.lock();
        for (kind, id, reason) in self.acks.unsent.drain(..) {
            queue.outbox.ack(kind, id, reason);
        }
        self.acks.unsent.shrink_to(ACKS_KEPT);
        let found = self.acks.pubacks.drain(..).filter_map(|id| queue.outbox.puback(id));
        if !self.lasting {
            found.for_each(drop);
            self.acks.pubacks.shrink_to(ACKS_KEPT);
            return check_acks(&queue.outbox);
        }
        let seqs: Vec<u64> = found.collect();
        let (progress, checked) = (queue.outbox.progress(), check_acks(&queue.outbox));
        drop(queue);
        self.acknowledge_stored(seqs, progress);
        checked
    }

    /// The store need not keep these messages any longer: the client has them, or they will never be sent.
    pub(crate) fn acknowledge_stored(&mut self, seqs: Vec<u64>, progress: Progress) {
        if !seqs.is_empty() {
            self.enqueue(StoreOp::Ack { holder: self.holder(), seqs, progress }, NextStep::None);
        }
    }

    /// Applies an acknowledgement of the client to its outbox.
    fn apply_ack<T>(&self, apply: impl FnOnce(&mut Outbox) -> T) -> Result<T, ConnectionEnd> {
        let mut queue = self.connection.lock();
        let found = apply(&mut queue.outbox);
        check_acks(&queue.outbox).map(|()| found)
    }

    fn pubrec(&mut self, id: PacketId, reason: Reason) -> Result<(), ConnectionEnd> {
        let refused = reason.is_error();
        let found = self.apply_ack(|outbox| outbox.pubrec(id, refused))?;
        match found {
            Some(seq) if refused && self.lasting => {
                let progress = self.connection.lock().outbox.progress();
                self.acknowledge_stored(vec![seq], progress);
            }
            Some(_) if refused => {}
            Some(seq) if self.lasting => {
                // The store knows before the client is told to go on, so that no replica sends the message again.
                let sent = self.connection.lock().outbox.progress().sent;
                let op = StoreOp::Received { holder: self.holder(), seq, sent };
                self.enqueue_with_ack(op, PacketKind::Pubrel, id);
            }
            Some(_) => self.reply_ack(PacketKind::Pubrel, id, Reason::Success),
            None if refused => {}
            None => self.reply_ack(PacketKind::Pubrel, id, Reason::PacketIdNotFound),
        }
        Ok(())
    }

    fn pubrel(&mut self, id: PacketId) {
        let known = self.inbound.release(id);
        if known && self.lasting {
            let op = StoreOp::Released { holder: self.holder(), packet_id: id.get() };
            self.enqueue_with_ack(op, PacketKind::Pubcomp, id);
        } else {
            self.reply_ack(PacketKind::Pubcomp, id, if known { Reason::Success } else { Reason::PacketIdNotFound });
        }
    }

    fn disconnect(&mut self, disconnect: &Disconnect) -> ConnectionEnd {
        if let Some(expiry_s) = disconnect.session_expiry_s {
            if expiry_s > 0 && self.expiry_s == 0 {
                // [MQTT-3.14.2-2]: a session that ends with its connection cannot be made to outlive it.
                return ConnectionEnd::Closed(Reason::ProtocolError);
            }
            self.expiry_s = expiry_s.min(self.replica.settings.session_expiry_max_s);
        }
        ConnectionEnd::Disconnected { will: disconnect.reason == Reason::DisconnectWithWill }
    }
}

/// Whether the client has acknowledged only what was sent to it.
fn check_acks(outbox: &Outbox) -> Result<(), ConnectionEnd> {
    if outbox.has_protocol_error() { Err(ConnectionEnd::Closed(Reason::ProtocolError)) } else { Ok(()) }
}
