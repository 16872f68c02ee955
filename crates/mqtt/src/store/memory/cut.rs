//! The changes of the state since the last time, taken at one instant, in the form in which they are written.

use std::sync::Arc;

use bytestring::ByteString;

use super::MemoryState;
use super::changes::{OpenSegment, SegmentMessage};
use super::session_form::write_session;
use crate::message::{ClientId, Message, UnixMs};
use crate::router::GrantedSubscription;
use crate::store::OrphanedShareMessage;

/// UnwrittenChanges to be written in one transaction.
#[derive(Debug, Default)]
pub(in crate::store) struct Cut {
    /// From 1, without gaps.
    pub(in crate::store) number: u64,
    /// Sessions that are over, with their subscriptions.
    pub(in crate::store) ended: Vec<u64>,
    pub(in crate::store) sessions: Vec<StoredSession>,
    pub(in crate::store) subscriptions: Vec<StoredSubscription>,
    pub(in crate::store) retained: Vec<Arc<Message>>,
    /// To be carried out before `retained`.
    pub(in crate::store) retained_expired_ms: Option<UnixMs>,
    /// `None`: there is none any more.
    pub(in crate::store) wills: Vec<(ClientId, Option<WrittenWill>)>,
    pub(in crate::store) orphaned: Vec<(u64, Option<OrphanedShareMessage>)>,
    pub(in crate::store) segments: Vec<OpenSegment>,
    /// Segments to be deleted, after new ones are written.
    pub(in crate::store) released_segments: Vec<u64>,
}

/// The row of a lasting session.
#[derive(Debug)]
pub(in crate::store) struct StoredSession {
    /// The epoch that it began with.
    pub(in crate::store) birth: u64,
    pub(in crate::store) client: ClientId,
    /// As [`write_session`] writes it.
    pub(in crate::store) state: Vec<u8>,
}

/// The row of a subscription; `None`: it is no more.
#[derive(Debug)]
pub(in crate::store) struct StoredSubscription {
    pub(in crate::store) birth: u64,
    pub(in crate::store) filter: ByteString,
    pub(in crate::store) granted: Option<GrantedSubscription>,
}

/// The row of a will.
#[derive(Debug)]
pub(in crate::store) struct WrittenWill {
    pub(in crate::store) epoch: u64,
    pub(in crate::store) delay_s: u32,
    pub(in crate::store) due_at_ms: Option<UnixMs>,
    pub(in crate::store) message: Arc<Message>,
}

impl MemoryState {
    /// Takes the changes since the last time; `None`: there are none.
    pub(in crate::store) fn take_cut(&mut self) -> Option<Cut> {
        let changes = self.changes.as_mut().filter(|changes| !changes.is_empty())?;
        let number = changes.next_cut;
        changes.next_cut += 1;
        let released_segments = changes.take_released();
        let segments = std::mem::take(&mut changes.segments);
        let sessions = changes.sessions.drain();
        let stored = sessions.filter_map(|client| {
            let record = self.sessions.get(&client).filter(|record| record.lasting)?;
            Some(StoredSession { birth: record.birth, state: write_session(record), client })
        });
        let sessions = stored.collect();
        let filters = changes.subscriptions.drain().filter_map(|(client, filter)| {
            let record = self.sessions.get(&client).filter(|record| record.lasting)?;
            let granted = record.subscriptions.get(&filter).copied();
            Some(StoredSubscription { birth: record.birth, filter, granted })
        });
        let subscriptions = filters.collect();
        let wills = changes.wills.drain().map(|client| {
            let will = self.wills.get(&client).map(|stored| WrittenWill {
                epoch: stored.epoch,
                delay_s: stored.will.delay_s,
                due_at_ms: stored.due_at_ms,
                message: Arc::clone(&stored.will.message),
            });
            (client, will)
        });
        let wills = wills.collect();
        let numbers = std::mem::take(&mut changes.orphaned).into_iter();
        Some(Cut {
            number,
            ended: std::mem::take(&mut changes.ended),
            sessions,
            subscriptions,
            retained: changes.retained.drain().map(|(_, message)| message).collect(),
            retained_expired_ms: changes.retained_expired_ms.take(),
            wills,
            orphaned: numbers.map(|number| (number, self.orphaned.get(&number).cloned())).collect(),
            segments: segments.into_iter().filter(|segment| !segment.messages.is_empty()).collect(),
            released_segments,
        })
    }

    /// Gives what is left of an old segment to a new one, so that the old one is released.
    pub(in crate::store) fn move_segment(&mut self, id: u64, messages: Vec<SegmentMessage>) {
        let Some(changes) = &mut self.changes else { return };
        for SegmentMessage { message, mut places } in messages {
            let hold = changes.open_segment();
            places.retain(|place| {
                let record = self.sessions.get_mut(&place.client).filter(|record| record.birth == place.birth);
                record.is_some_and(|record| record.queue.move_to(place.seq, id, &hold))
            });
            changes.append(&message, places);
        }
    }

    /// The bytes that queues hold at present, as segments are weighed.
    pub(in crate::store) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(std::sync::atomic::Ordering::Relaxed)
    }
}
