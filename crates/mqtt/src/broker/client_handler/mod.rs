//! One client's packets, carried out: what needs the store goes into a batch, and what answers it waits for the batch.
//!
//! What must stay true: acknowledgements leave in the order of what they acknowledge [MQTT-4.6.0-2] to [MQTT-4.6.0-4],
//! none before the store has what it stands for; nothing here waits.

mod after_commit;
mod publishing;
mod subscribing;

use std::collections::HashSet;
use std::sync::Arc;

use bytestring::ByteString;

use super::replica::{MatchCache, Replica};
use super::session_handle::{ClientConnection, Connection, SessionRef};
use crate::auth::Principal;
use crate::codec::{Disconnect, Packet, PacketId, PacketKind, Reason, Version};
use crate::limits::SESSION_EXPIRY_MAX_S;
use crate::message::UnixMs;
use crate::session::{Inbound, Outbox};
use crate::store::{Progress, SessionHolder, StoreOp};

use after_commit::FollowUp;
pub(crate) use after_commit::Steps;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// The client said goodbye; its will goes unless it asked for it.
    Disconnected { will: bool },
    /// It is gone without a word.
    Lost,
    /// It is told to go.
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
    inbound: Inbound,
    match_cache: MatchCache,
    /// What the store is to do next.
    ops: Vec<StoreOp>,
    /// What follows from it, in order.
    steps: Vec<FollowUp>,
    /// Publications of QoS 1 among the steps.
    unanswered: usize,
    /// Clients that make this one pause.
    pub(crate) congested: Vec<Connection>,
    acks: PendingAcks,
    acl_cache: AclCache,
    delivered: bool,
}

/// Room for so many answers is kept while nothing is heard.
const ANSWERS_KEPT: usize = 16;

/// Topics that the client was found to be allowed to publish to: rules do not change while it is here.
#[derive(Default)]
struct AclCache {
    last: ByteString,
    topics: HashSet<ByteString>,
}

/// What was heard since the client was last answered, so that its wire is locked once for all of it.
#[derive(Default)]
struct PendingAcks {
    /// Acknowledgements to be said.
    answers: Vec<(PacketKind, PacketId, Reason)>,
    /// Messages of QoS 1 that the client has.
    pubacks: Vec<PacketId>,
    /// Publications by QoS.
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
        let (version, lasting) = {
            let queue = connection.lock();
            (queue.outbox.terms.version, queue.outbox.terms.lasting)
        };
        Self {
            replica,
            connection,
            session,
            expiry_s,
            principal,
            version,
            lasting,
            inbound: Inbound::new(version, inbound),
            match_cache: MatchCache::default(),
            ops: Vec::new(),
            steps: Vec::new(),
            unanswered: 0,
            congested: Vec::new(),
            acks: PendingAcks::default(),
            acl_cache: AclCache::default(),
            delivered: false,
        }
    }

    fn holder(&self) -> SessionHolder {
        self.connection.holder.clone()
    }

    /// Carries out a packet as far as it goes without the store. What it is answered is said by [`Conversation::answer`].
    ///
    /// # Errors
    /// The connection ends.
    pub(crate) fn handle(&mut self, packet: Packet, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
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
                let found = self.acknowledge(|outbox| outbox.pubcomp(ack.packet_id))?;
                if let Some(seq) = found.filter(|_| self.lasting) {
                    self.ops.push(StoreOp::Complete { holder: self.holder(), seq });
                    self.steps.push(FollowUp::Quiet);
                }
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(unsubscribe);
                Ok(())
            }
            Packet::Pingreq => {
                self.connection.lock().outbox.send(&Packet::Pingresp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.disconnect(&disconnect)),
            // A second CONNECT [MQTT-3.1.0-2]; AUTH without a method in CONNECT [MQTT-4.12.0-6]; what only servers say.
            _ => Err(ConnectionEnd::Closed(Reason::ProtocolError)),
        }
    }

    /// Whether others have been given something since this was last asked.
    pub(crate) fn take_has_delivered(&mut self) -> bool {
        std::mem::take(&mut self.delivered)
    }

    /// Says what is to be said after all that was heard, and takes note of what the client has.
    ///
    /// # Errors
    /// It acknowledged what it could not: the connection ends.
    pub(crate) fn flush_acks(&mut self) -> Result<(), ConnectionEnd> {
        for (acks, received) in self.acks.publications.iter_mut().zip(&self.replica.metrics.received) {
            if *acks > 0 {
                received.add(std::mem::take(acks));
            }
        }
        if self.acks.answers.is_empty() && self.acks.pubacks.is_empty() {
            return Ok(());
        }
        let mut queue = self.connection.lock();
        for (kind, id, reason) in self.acks.answers.drain(..) {
            queue.outbox.ack(kind, id, reason);
        }
        self.acks.answers.shrink_to(ANSWERS_KEPT);
        let found = self.acks.pubacks.drain(..).filter_map(|id| queue.outbox.puback(id));
        if !self.lasting {
            found.for_each(drop);
            self.acks.pubacks.shrink_to(ANSWERS_KEPT);
            return as_it_should(&queue.outbox);
        }
        let seqs: Vec<u64> = found.collect();
        let (progress, fine) = (queue.outbox.progress(), as_it_should(&queue.outbox));
        drop(queue);
        self.acknowledge_stored(seqs, progress);
        fine
    }

    /// The store need not keep these messages any longer: the client has them, or will never get them.
    pub(crate) fn acknowledge_stored(&mut self, seqs: Vec<u64>, progress: Progress) {
        if !seqs.is_empty() {
            self.ops.push(StoreOp::Ack { holder: self.holder(), seqs, progress });
            self.steps.push(FollowUp::Quiet);
        }
    }

    /// An acknowledgement, soon or when its turn comes.
    fn say(&mut self, kind: PacketKind, id: PacketId, reason: Reason) {
        if self.steps.is_empty() {
            self.acks.answers.push((kind, id, reason));
        } else {
            self.steps.push(FollowUp::Say(kind, id, reason));
        }
    }

    /// Takes an acknowledgement in.
    fn acknowledge<T>(&self, what: impl FnOnce(&mut Outbox) -> T) -> Result<T, ConnectionEnd> {
        let mut queue = self.connection.lock();
        let found = what(&mut queue.outbox);
        as_it_should(&queue.outbox).map(|()| found)
    }

    fn pubrec(&mut self, id: PacketId, reason: Reason) -> Result<(), ConnectionEnd> {
        let refused = reason.is_error();
        let found = self.acknowledge(|outbox| outbox.pubrec(id, refused))?;
        match found {
            Some(seq) if refused && self.lasting => {
                let progress = self.connection.lock().outbox.progress();
                self.acknowledge_stored(vec![seq], progress);
            }
            Some(_) if refused => {}
            Some(seq) if self.lasting => {
                // The store knows before the client is told to go on, so that nobody sends the message again.
                let sent = self.connection.lock().outbox.progress().sent;
                self.ops.push(StoreOp::Received { holder: self.holder(), seq, sent });
                self.steps.push(FollowUp::Then(PacketKind::Pubrel, id));
            }
            Some(_) => self.say(PacketKind::Pubrel, id, Reason::Success),
            None if refused => {}
            None => self.say(PacketKind::Pubrel, id, Reason::PacketIdNotFound),
        }
        Ok(())
    }

    fn pubrel(&mut self, id: PacketId) {
        let known = self.inbound.release(id);
        if known && self.lasting {
            self.ops.push(StoreOp::Released { holder: self.holder(), packet_id: id.get() });
            self.steps.push(FollowUp::Then(PacketKind::Pubcomp, id));
        } else {
            self.say(PacketKind::Pubcomp, id, if known { Reason::Success } else { Reason::PacketIdNotFound });
        }
    }

    fn disconnect(&mut self, disconnect: &Disconnect) -> ConnectionEnd {
        if let Some(expiry_s) = disconnect.session_expiry_s {
            if expiry_s > 0 && self.expiry_s == 0 {
                // [MQTT-3.14.2-2]: a session that was to end cannot be made to last.
                return ConnectionEnd::Closed(Reason::ProtocolError);
            }
            self.expiry_s = expiry_s.min(SESSION_EXPIRY_MAX_S);
        }
        ConnectionEnd::Disconnected { will: disconnect.reason == Reason::DisconnectWithWill }
    }
}

/// Whether the client has acknowledged only what it could.
fn as_it_should(outbox: &Outbox) -> Result<(), ConnectionEnd> {
    if outbox.has_protocol_error() { Err(ConnectionEnd::Closed(Reason::ProtocolError)) } else { Ok(()) }
}
