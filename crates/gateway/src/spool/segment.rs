//! The stored form of a segment: messages one behind the other, each with its places.

use std::sync::Arc;

use api::gateway::OverflowPolicy;
use bytes::{Buf, BufMut, Bytes};

use super::super::buffer::SubscriptionId;
use super::super::message::TopicMessage;

/// A message as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct StoredMessage {
    pub(super) topic: Arc<str>,
    pub(super) policy: OverflowPolicy,
    /// Its members as JSON, without the opening brace.
    pub(super) members: Bytes,
    /// The subscriptions that have it, each with its number there.
    pub(super) places: Vec<(u64, u64)>,
}

impl StoredMessage {
    fn read(bytes: &mut Bytes) -> Option<Self> {
        let policy = match bytes.try_get_u8().ok()? {
            0 => OverflowPolicy::Fifo,
            1 => OverflowPolicy::Circular,
            _ => return None,
        };
        let mut part = || {
            let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
            (length <= bytes.len()).then(|| bytes.split_to(length))
        };
        let (topic, members) = (part()?, part()?);
        let topic = Arc::from(std::str::from_utf8(&topic).ok()?);
        let count = bytes.try_get_u32().ok()?;
        let places = (0..count).map(|_| Some((bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?)));
        Some(Self { topic, policy, members, places: places.collect::<Option<_>>()? })
    }
}

/// Adds a message to a segment.
pub(super) fn write_message(message: &TopicMessage, places: &[(SubscriptionId, u64)], out: &mut Vec<u8>) {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    out.put_u8(match message.policy {
        OverflowPolicy::Fifo => 0,
        OverflowPolicy::Circular => 1,
    });
    for part in [message.topic.as_bytes(), message.members()] {
        out.put_u32(length(part.len()));
        out.extend_from_slice(part);
    }
    out.put_u32(length(places.len()));
    for (subscription, sequence) in places {
        out.put_u64(subscription.0);
        out.put_u64(*sequence);
    }
}

/// The messages of a segment up to the first that cannot be read, and whether that is all of them.
pub(super) fn read_segment(mut bytes: Bytes) -> (Vec<StoredMessage>, bool) {
    let mut found = vec![];
    while !bytes.is_empty() {
        let Some(one) = StoredMessage::read(&mut bytes) else { return (found, false) };
        found.push(one);
    }
    (found, true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_nothing_that_is_read_panics(
            payloads: Vec<Vec<u8>>, places: Vec<(u64, u64)>, cut in 0_usize..100, noise: Vec<u8>,
        ) {
            let message = |members: Vec<u8>| StoredMessage {
                topic: "a/b".into(), policy: OverflowPolicy::Fifo, members: members.into(), places: places.clone(),
            };
            let messages: Vec<_> = payloads.into_iter().map(message).collect();
            let mut written = vec![];
            let places: Vec<_> = places.iter().map(|(id, sequence)| (SubscriptionId(*id), *sequence)).collect();
            for StoredMessage { topic, policy, members, .. } in messages.clone() {
                write_message(&TopicMessage::restored(topic, policy, members), &places, &mut written);
            }
            prop_assert_eq!(read_segment(written.clone().into()), (messages, true));
            written.truncate(written.len().saturating_sub(cut));
            let _ = read_segment(written.into());
            let _ = read_segment(noise.into());
        }
    }
}
