//! What of the state has changed since it was last written to a file: the keys of what changed, and the messages that
//! queues were given. A [`Cut`](super::cut::Cut) takes all of it at once, so that a file always holds one state that was.
//!
//! Messages go into **segments**: a row of the file has many of them, and each slot of a queue holds on to its
//! segment. A segment that no slot holds any more is deleted whole, so that an acknowledgement deletes nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytestring::ByteString;

use super::MemoryState;
use crate::message::{ClientId, Message, UnixMs};
use crate::store::DeliveryOptions;

/// A segment takes no more messages once it weighs this much.
const SEGMENT_BYTES: usize = 256 * 1024;

/// UnwrittenChanges that no cut has taken yet.
#[derive(Debug)]
pub(in crate::store) struct UnwrittenChanges {
    /// The number of the cut that will take them, from 1.
    pub(super) next_cut: u64,
    pub(super) sessions: HashSet<ClientId>,
    /// Sessions that are over, by the epoch that they began with.
    pub(super) ended: Vec<u64>,
    pub(super) subscriptions: HashSet<(ClientId, ByteString)>,
    /// The last retained message of each topic; empty: none.
    pub(super) retained: HashMap<ByteString, Arc<Message>>,
    /// Retained messages that expire up to here are gone.
    pub(super) retained_expired_ms: Option<UnixMs>,
    pub(super) wills: HashSet<ClientId>,
    pub(super) orphaned: BTreeSet<u64>,
    pub(super) segments: Vec<OpenSegment>,
    next_segment: u64,
    released: Arc<Mutex<Vec<u64>>>,
}

/// A slot's hold on the segment that has its message.
#[derive(Clone, Debug)]
pub(in crate::store) struct SegmentRef(Arc<SegmentHold>);

#[derive(Debug)]
struct SegmentHold {
    id: u64,
    released: Arc<Mutex<Vec<u64>>>,
}

/// A segment that is not written yet.
#[derive(Debug)]
pub(in crate::store) struct OpenSegment {
    pub(in crate::store) hold: SegmentRef,
    /// The bytes of its messages, once for each queue that has them, as queues count them.
    pub(in crate::store) weight_bytes: usize,
    pub(in crate::store) messages: Vec<SegmentMessage>,
}

/// A message, and the queues that have it.
#[derive(Debug)]
pub(in crate::store) struct SegmentMessage {
    pub(in crate::store) message: Arc<Message>,
    pub(in crate::store) places: Vec<QueuePlace>,
}

/// A place in the queue of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct QueuePlace {
    pub(in crate::store) client: ClientId,
    /// The epoch that the session began with: a later session of the client is another one.
    pub(in crate::store) birth: u64,
    pub(in crate::store) seq: u64,
    pub(in crate::store) options: DeliveryOptions,
}

impl SegmentRef {
    pub(in crate::store) fn id(&self) -> u64 {
        self.0.id
    }
}

impl Drop for SegmentHold {
    fn drop(&mut self) {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
    }
}

impl UnwrittenChanges {
    /// Of a state whose file has segments up to `last_segment`.
    pub(in crate::store) fn after(last_segment: u64) -> Self {
        Self {
            next_cut: 1,
            sessions: HashSet::new(),
            ended: Vec::new(),
            subscriptions: HashSet::new(),
            retained: HashMap::new(),
            retained_expired_ms: None,
            wills: HashSet::new(),
            orphaned: BTreeSet::new(),
            segments: Vec::new(),
            next_segment: last_segment + 1,
            released: Arc::default(),
        }
    }

    /// The hold on a segment that is in the file.
    pub(in crate::store) fn written_segment(&self, id: u64) -> SegmentRef {
        SegmentRef(Arc::new(SegmentHold { id, released: Arc::clone(&self.released) }))
    }

    /// The segment that takes the next message.
    pub(super) fn open_segment(&mut self) -> SegmentRef {
        match self.segments.last() {
            Some(open) if open.weight_bytes < SEGMENT_BYTES => open.hold.clone(),
            _ => {
                let hold = self.written_segment(self.next_segment);
                self.next_segment += 1;
                self.segments.push(OpenSegment { hold: hold.clone(), weight_bytes: 0, messages: Vec::new() });
                hold
            }
        }
    }

    /// Adds a message to the open segment; its slots hold on to that already.
    pub(super) fn append(&mut self, message: &Arc<Message>, places: Vec<QueuePlace>) {
        if let Some(open) = self.segments.last_mut().filter(|_| !places.is_empty()) {
            open.weight_bytes += message.size_bytes() * places.len();
            open.messages.push(SegmentMessage { message: Arc::clone(message), places });
        }
    }

    /// The segments that nothing holds any more; each is told once.
    pub(super) fn take_released(&self) -> Vec<u64> {
        std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.ended.is_empty()
            && self.subscriptions.is_empty()
            && self.retained.is_empty()
            && self.retained_expired_ms.is_none()
            && self.wills.is_empty()
            && self.orphaned.is_empty()
            && self.segments.is_empty()
            && self.released.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl MemoryState {
    /// The session has changed. What does not last is not written.
    pub(super) fn record_session(&mut self, client: &ClientId) {
        let Some(changes) = &mut self.changes else { return };
        if !changes.sessions.contains(client) && self.sessions.get(client).is_some_and(|record| record.lasting) {
            changes.sessions.insert(Arc::clone(client));
        }
    }

    pub(super) fn record_subscription(&mut self, client: &ClientId, filter: &ByteString) {
        let Some(changes) = &mut self.changes else { return };
        if self.sessions.get(client).is_some_and(|record| record.lasting) {
            changes.subscriptions.insert((Arc::clone(client), ByteString::from(&**filter)));
        }
    }

    pub(super) fn record_will(&mut self, client: &ClientId) {
        if let Some(changes) = &mut self.changes {
            changes.wills.insert(Arc::clone(client));
        }
    }

    pub(super) fn record_orphaned(&mut self, number: u64) {
        if let Some(changes) = &mut self.changes {
            changes.orphaned.insert(number);
        }
    }

    pub(super) fn record_retained(&mut self, message: &Arc<Message>) {
        if let Some(changes) = &mut self.changes {
            changes.retained.insert(message.topic.clone(), Arc::clone(message));
        }
    }

    /// The number of the cut that has everything up to now, whether it is taken already or not; 0: before the first.
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn current_cut(&self) -> u64 {
        self.changes.as_ref().map_or(0, |changes| changes.next_cut - u64::from(changes.is_empty()))
    }
}
