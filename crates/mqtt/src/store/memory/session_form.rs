//! The stored form of what a session is besides its subscriptions and messages.

use std::sync::Arc;

use bytes::{Buf, BufMut};

use super::record::SessionRecord;
use crate::message::{ClientId, UnixMs};

/// The form of a stored session; no other form is read.
const FORM: u8 = 1;

/// What a stored session says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct SessionForm {
    pub(in crate::store) epoch: u64,
    pub(in crate::store) user: Option<Arc<str>>,
    /// Whether a connection held it.
    pub(in crate::store) is_held: bool,
    pub(in crate::store) expiry_s: u32,
    pub(in crate::store) expires_at_ms: UnixMs,
    pub(in crate::store) sent: u64,
    /// All messages up to this number are over.
    pub(in crate::store) first: u64,
    /// The number of the last message.
    pub(in crate::store) last: u64,
    /// Others that are over: the first and the last of each run, in order.
    pub(in crate::store) over: Vec<(u64, u64)>,
    pub(in crate::store) received: Vec<u64>,
    pub(in crate::store) inbound: Vec<u16>,
}

/// A session as bytes.
pub(super) fn write_session(record: &SessionRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.put_u8(FORM);
    out.put_u8(u8::from(record.owner.is_some()) | u8::from(record.user.is_some()) << 1);
    out.put_u32(record.expiry_s);
    let (first, last) = (record.queue.first(), record.queue.last());
    for number in [record.epoch, record.expires_at_ms, record.sent, first, last] {
        out.put_u64(number);
    }
    let over = record.queue.removed_runs();
    put_count(&mut out, over.len());
    for (from, to) in over {
        out.put_u64(from);
        out.put_u64(to);
    }
    put_count(&mut out, record.received.len());
    record.received.iter().for_each(|seq| out.put_u64(*seq));
    put_count(&mut out, record.inbound.len());
    record.inbound.iter().for_each(|id| out.put_u16(*id));
    out.extend_from_slice(record.user.as_deref().unwrap_or_default().as_bytes());
    out
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
}

/// `None`: not a session in the present form.
pub(in crate::store) fn read_session(mut bytes: &[u8]) -> Option<SessionForm> {
    if bytes.try_get_u8().ok()? != FORM {
        return None;
    }
    let flags = bytes.try_get_u8().ok()?;
    let expiry_s = bytes.try_get_u32().ok()?;
    let mut next = || bytes.try_get_u64().ok();
    let (epoch, expires_at_ms, sent, first, last) = (next()?, next()?, next()?, next()?, next()?);
    let over = read_many(&mut bytes, |bytes| Some((bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?)))?;
    let received = read_many(&mut bytes, |bytes| bytes.try_get_u64().ok())?;
    let inbound = read_many(&mut bytes, |bytes| bytes.try_get_u16().ok())?;
    let user = if flags & 2 == 0 { None } else { Some(ClientId::from(std::str::from_utf8(bytes).ok()?)) };
    let is_held = flags & 1 != 0;
    Some(SessionForm { epoch, user, is_held, expiry_s, expires_at_ms, sent, first, last, over, received, inbound })
}

fn read_many<T>(bytes: &mut &[u8], read: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = bytes.try_get_u32().ok()?;
    (0..count).map(|_| read(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;
    use crate::codec::Qos;
    use crate::message::{Message, ReplicaId};
    use crate::store::DeliveryOptions;
    use crate::store::memory::queue::NumberedQueue;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            removed: Vec<u8>,
            received: std::collections::BTreeSet<u64>,
            inbound: std::collections::HashSet<u16>,
            user in proptest::option::of("[a-z]{1,9}"),
            is_held: bool,
        ) {
            let mut record = SessionRecord::new(7, ReplicaId(1), 60, true, NumberedQueue::new(Arc::default()));
            let message = Arc::new(Message::new("a", "1", Qos::AtLeastOnce).unwrap());
            let options = DeliveryOptions { qos: Qos::AtLeastOnce, retain: false, ids: vec![], share: None };
            for _ in 0..256 {
                record.queue.push(&message, options.clone(), None);
            }
            removed.iter().for_each(|seq| record.queue.remove(u64::from(*seq)));
            record.user = user.map(Arc::from);
            record.owner = record.owner.filter(|_| is_held);
            (record.received, record.inbound) = (received, inbound);
            let form = read_session(&write_session(&record)).unwrap();
            assert_eq!((form.epoch, form.expiry_s, form.is_held, form.last), (7, 60, is_held, 256));
            assert_eq!((form.user, form.expires_at_ms), (record.user, UnixMs::MAX));
            assert!(form.received.iter().eq(&record.received) && form.inbound.iter().eq(&record.inbound));
            let is_over = |seq: u64| seq <= form.first || form.over.iter().any(|(from, to)| (*from..=*to).contains(&seq));
            let left: Vec<u64> = record.queue.after(0, 256).iter().map(|queued| queued.seq).collect();
            assert!((1..=256).filter(|seq| !is_over(*seq)).eq(left));
        }

        #[test]
        fn nothing_that_is_read_panics(mut bytes: Vec<u8>) {
            let _ = read_session(&bytes);
            bytes.insert(0, FORM);
            let _ = read_session(&bytes);
        }
    }
}
