//! From the broker to one client: encoded packets for the socket, messages that wait for the in-flight window, and messages
//! that wait for an acknowledgement.
//!
//! What must stay true: messages leave in the order they came [MQTT-4.6.0-6]; memory is bounded by named limits; a
//! message of a lasting session is in the store until the client has it, so that nothing here is the only copy of it.

mod acks;
mod loading;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::BytesMut;
use bytestring::ByteString;

use super::encode_cache::{self, ClientFields, MessageEncoder};
use super::inflight::{InflightSlot, InflightWindow, packet_id};
use crate::codec::{Ack, Disconnect, Packet, PacketId, PacketKind, Qos, Reason, Version};
use crate::limits::{LOAD_MESSAGES, OUTBOUND_BYTES_MAX, WAITING_BYTES_MAX, WAITING_MESSAGES_MAX};
use crate::message::{Message, UnixMs};
use crate::metrics::Metrics;
use crate::store::{ClaimedSession, DeliveryOptions, Progress};

/// The negotiated terms that concern the outbox.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTerms {
    pub(crate) version: Version,
    /// The client's Receive Maximum, cut to ours.
    pub(crate) receive_max: u16,
    /// The largest packet the client takes.
    pub(crate) packet_max_bytes: u32,
    /// Topic aliases the client takes, cut to ours.
    pub(crate) alias_max: u16,
    /// Whether the store keeps messages for the session.
    pub(crate) lasting: bool,
    /// Whether refusals say why in words.
    pub(crate) tells_reasons: bool,
}

/// The result of enqueuing a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enqueue {
    /// On its way, or waiting.
    Queued,
    /// Waiting behind so many that the publisher should pause.
    Congested,
    /// Given up: the client is too slow.
    TooSlow,
    /// Given up: larger than the client takes.
    TooLarge,
}

/// How much is in an outbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxSizes {
    /// Messages sent and not acknowledged.
    pub(crate) inflight: usize,
    /// Messages that wait for the window.
    pub(crate) waiting_messages: usize,
    /// Their bytes.
    pub(crate) waiting_bytes: usize,
}

/// The outgoing half of a session.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) terms: ConnectionTerms,
    /// Encoded, for the socket.
    out: BytesMut,
    window: InflightWindow,
    waiting: VecDeque<QueuedMessage>,
    waiting_bytes: usize,
    aliases: HashMap<ByteString, NonZeroU16>,
    /// The number of the next message: given here, or for a lasting session expected from the store.
    next: u64,
    /// Numbers below this were given before the session was claimed: those that the store no longer has are over.
    floor: u64,
    /// A lasting session's queue holds more than is waiting here.
    behind: bool,
    /// The store is being read.
    loading: bool,
    /// Messages that it numbered meanwhile.
    early: VecDeque<QueuedMessage>,
    /// Numbers up to this were sent by an earlier connection.
    sent_before: u64,
    /// The last number sent.
    sent: u64,
    /// Unacknowledged messages of shared subscriptions that no store keeps.
    shared: BTreeMap<u64, (Arc<Message>, Arc<str>)>,
    /// Numbers that will never be sent, for the store to forget.
    discarded: Vec<u64>,
    /// Messages encoded by QoS and not counted yet.
    said: [u64; 3],
    /// Messages that expired while they waited, not counted yet.
    expired: u64,
    is_confused: bool,
}

#[derive(Debug)]
struct QueuedMessage {
    seq: u64,
    message: Arc<Message>,
    options: DeliveryOptions,
}

impl Outbox {
    pub(crate) fn new(terms: ConnectionTerms) -> Self {
        let window = InflightWindow::new(terms.receive_max);
        Self {
            terms,
            out: BytesMut::new(),
            window,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            aliases: HashMap::new(),
            next: 1,
            floor: 1,
            behind: false,
            loading: false,
            early: VecDeque::new(),
            sent_before: 0,
            sent: 0,
            shared: BTreeMap::new(),
            discarded: Vec::new(),
            said: [0; 3],
            expired: 0,
            is_confused: false,
        }
    }

    /// Resumes the session: PUBREL for messages that the client has received, then all others in their order
    /// [MQTT-4.4.0-1].
    pub(crate) fn resume(&mut self, taken: &ClaimedSession) {
        self.sent_before = taken.sent;
        self.sent = taken.sent;
        // A new session as well: messages from before it was known here are only in the store.
        self.behind = self.terms.lasting;
        self.floor = taken.last + 1;
        if !self.behind {
            self.next = self.floor;
        }
        for &seq in &taken.received {
            self.window.open_slot(seq, InflightSlot::Released);
            self.ack(PacketKind::Pubrel, packet_id(seq), Reason::Success);
        }
    }

    /// A message of QoS 0, or one that no store keeps.
    pub(crate) fn enqueue(&mut self, encoder: &mut MessageEncoder<'_>, options: &DeliveryOptions) -> Enqueue {
        if options.qos == Qos::AtMostOnce {
            if self.out.len() > OUTBOUND_BYTES_MAX {
                return Enqueue::TooSlow;
            }
            return self.encode(encoder, options, 0);
        }
        let seq = self.next;
        if self.waiting.is_empty() && self.window.admits(seq) && self.out.len() <= OUTBOUND_BYTES_MAX {
            let verdict = self.encode(encoder, options, seq);
            if verdict == Enqueue::Queued {
                self.next += 1;
            }
            return verdict;
        }
        if self.waiting.len() >= WAITING_MESSAGES_MAX || self.waiting_bytes >= WAITING_BYTES_MAX {
            return Enqueue::TooSlow;
        }
        self.next += 1;
        let message = encoder.keep_copy();
        self.waiting_bytes += message.size_bytes();
        self.waiting.push_back(QueuedMessage { seq, message, options: options.clone() });
        if self.is_congested() { Enqueue::Congested } else { Enqueue::Queued }
    }

    /// A message that the store has numbered for this lasting session. If it is not the next one, the queue is read from the store.
    pub(crate) fn enqueue_numbered(
        &mut self,
        seq: u64,
        encoder: &mut MessageEncoder<'_>,
        options: &DeliveryOptions,
    ) -> Enqueue {
        if seq < self.next {
            return Enqueue::Queued;
        }
        if self.behind || seq > self.next || self.waiting.len() >= LOAD_MESSAGES {
            self.behind = true;
        } else if self.waiting.is_empty() && self.window.admits(seq) && self.out.len() <= OUTBOUND_BYTES_MAX {
            self.next = seq + 1;
            if self.encode(encoder, options, seq) != Enqueue::Queued {
                self.discarded.push(seq);
            }
        } else {
            self.next = seq + 1;
            let message = encoder.keep_copy();
            self.waiting_bytes += message.size_bytes();
            self.waiting.push_back(QueuedMessage { seq, message, options: options.clone() });
        }
        let lag = seq.saturating_sub(self.window.oldest().unwrap_or(seq));
        if lag > WAITING_MESSAGES_MAX as u64 / 2 { Enqueue::Congested } else { Enqueue::Queued }
    }

    /// Sends what the window and the buffer admit.
    pub(crate) fn send_waiting(&mut self, now_ms: UnixMs, cache: &mut encode_cache::EncodeCache) {
        while let Some(first) = self.waiting.front() {
            if self.out.len() > OUTBOUND_BYTES_MAX || !self.window.admits(first.seq) {
                return;
            }
            let Some(QueuedMessage { seq, message, options }) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= message.size_bytes();
            if message.is_expired(now_ms) || options.qos == Qos::AtMostOnce {
                self.expired += u64::from(message.is_expired(now_ms));
                self.discard(seq);
                continue;
            }
            let mut encoder = MessageEncoder::from_shared(&message, now_ms, cache);
            if self.encode(&mut encoder, &options, seq) != Enqueue::Queued {
                self.discard(seq);
            }
        }
    }

    fn discard(&mut self, seq: u64) {
        if self.terms.lasting {
            self.discarded.push(seq);
        }
    }

    fn encode(&mut self, encoder: &mut MessageEncoder<'_>, options: &DeliveryOptions, seq: u64) -> Enqueue {
        let ConnectionTerms { version, packet_max_bytes, .. } = self.terms;
        let delivery = encode_cache::delivery(options.qos, packet_id(seq));
        let dup = options.qos > Qos::AtMostOnce && seq <= self.sent_before;
        let said = if self.terms.alias_max == 0 && options.ids.is_empty() {
            encoder.append(version, delivery, (options.retain, dup), packet_max_bytes, &mut self.out)
        } else {
            let (alias, alias_is_known) = self.alias(&encoder.message().topic);
            let own = ClientFields { options, dup, alias, alias_is_known };
            let said = encoder.append_for_client(version, delivery, &own, packet_max_bytes, &mut self.out);
            if !said && !alias_is_known {
                // A packet that was not sent has set no alias.
                self.aliases.remove(&encoder.message().topic);
            }
            said
        };
        if !said {
            return Enqueue::TooLarge;
        }
        self.said[options.qos as usize] += 1;
        match options.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.window.open_slot(seq, InflightSlot::AtLeastOnce),
            Qos::ExactlyOnce => self.window.open_slot(seq, InflightSlot::ExactlyOnce),
        }
        self.sent = self.sent.max(seq);
        if let Some(share) = options.share.as_ref().filter(|_| !self.terms.lasting && options.is_redelivered(true)) {
            self.shared.insert(seq, (encoder.keep_copy(), Arc::clone(share)));
        }
        Enqueue::Queued
    }

    /// The alias of a topic, and whether the client knows it. The first topics get one, later ones none.
    fn alias(&mut self, topic: &ByteString) -> (Option<NonZeroU16>, bool) {
        if let Some(alias) = self.aliases.get(topic) {
            return (Some(*alias), true);
        }
        let number = u16::try_from(self.aliases.len() + 1).ok().filter(|number| *number <= self.terms.alias_max);
        let alias = number.and_then(NonZeroU16::new);
        if let Some(alias) = alias {
            self.aliases.insert(ByteString::from(&**topic), alias);
        }
        (alias, false)
    }

    /// Takes the messages of shared subscriptions for other members when the session ends with its connection. A lasting one
    /// leaves it in the store.
    pub(crate) fn take_shared(&mut self) -> Vec<(Arc<Message>, Arc<str>)> {
        if self.terms.lasting {
            return Vec::new();
        }
        let sent = std::mem::take(&mut self.shared).into_values();
        let waiting = self.waiting.drain(..).filter(|waiting| waiting.options.is_redelivered(false));
        sent.chain(waiting.filter_map(|waiting| Some((waiting.message, waiting.options.share?)))).collect()
    }

    /// Numbers for the store to forget.
    pub(crate) fn take_discarded(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.discarded)
    }

    /// How far the session has come.
    pub(crate) fn progress(&self) -> Progress {
        let first = self.waiting.front().map_or(self.next, |waiting| waiting.seq.min(self.next));
        Progress { sent: self.sent, over: self.window.oldest().map_or(first, |oldest| oldest.min(first)) }
    }

    /// What operators are told.
    pub(crate) fn sizes(&self) -> OutboxSizes {
        let (waiting_messages, waiting_bytes) = (self.waiting.len(), self.waiting_bytes);
        OutboxSizes { inflight: self.window.open(), waiting_messages, waiting_bytes }
    }

    /// Bytes for the socket, and of messages that wait for the window.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.waiting_bytes + self.out.len()
    }

    /// Whether publishers should pause.
    pub(crate) fn is_congested(&self) -> bool {
        self.waiting.len() > WAITING_MESSAGES_MAX / 2 || self.waiting_bytes > WAITING_BYTES_MAX / 2
    }

    /// Whether the client owes the next step: something is open or unsent.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        self.window.open() > 0 || !self.waiting.is_empty()
    }

    /// An acknowledgement.
    pub(crate) fn ack(&mut self, kind: PacketKind, id: PacketId, reason: Reason) {
        // Four bytes at least are always taken, and without its reason a reason code is still one.
        let _ = Ack::because(id, reason).encode(kind, self.terms.version, self.terms.packet_max_bytes, &mut self.out);
    }

    /// A refusal that says why.
    pub(crate) fn refuse(&mut self, kind: PacketKind, refusal: &Ack) {
        let _ = refusal.encode(kind, self.terms.version, self.terms.packet_max_bytes, &mut self.out);
    }

    /// Any other packet. A packet larger than the client accepts is not sent [MQTT-3.1.2-24].
    pub(crate) fn send(&mut self, packet: &Packet) {
        let _ = packet.encode(self.terms.version, self.terms.packet_max_bytes, &mut self.out);
    }

    /// DISCONNECT, which only version 5 has from a server [MQTT-3.14.0-1].
    pub(crate) fn send_disconnect(&mut self, reason: Reason) {
        if self.terms.version == Version::V5 {
            self.send(&Packet::Disconnect(Disconnect::because(reason)));
        }
    }

    /// Adds the encoded and the expired messages to the counters.
    pub(crate) fn report_sent(&mut self, metrics: &Metrics) {
        if self.expired > 0 {
            metrics.expired.add(std::mem::take(&mut self.expired));
        }
        for (said, sent) in self.said.iter_mut().zip(&metrics.sent) {
            if *said > 0 {
                sent.add(std::mem::take(said));
            }
        }
    }

    /// Whether there is anything for the socket.
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Takes the encoded packets for the socket.
    pub(crate) fn take_output(&mut self) -> BytesMut {
        std::mem::take(&mut self.out)
    }

    /// Keeps the buffer of a finished write for the next one.
    pub(crate) fn reuse_buffer(&mut self, mut buffer: BytesMut) {
        if self.out.capacity() == 0 && buffer.capacity() <= KEPT_BYTES {
            buffer.clear();
            self.out = buffer;
        }
    }
}

/// A buffer of at most this size is kept by an idle connection.
const KEPT_BYTES: usize = 1024;
