//! The stored form of a segment: messages one behind the other, each with the places in queues that have it.

use std::sync::Arc;

use bytes::{Buf, BufMut};

use super::super::memory::{QueuePlace, SegmentMessage};
use super::super::stored_form;
use crate::message::ClientId;

/// The messages as bytes.
pub(super) fn write_segment(messages: &[SegmentMessage]) -> Vec<u8> {
    let mut out = Vec::new();
    for SegmentMessage { message, places } in messages {
        out.extend_from_slice(&stored_form::write_message(message));
        out.put_u32(u32::try_from(places.len()).unwrap_or(u32::MAX));
        for QueuePlace { client, birth, seq, options } in places {
            // A client identifier is an MQTT string: its length has two bytes.
            out.put_u16(u16::try_from(client.len()).unwrap_or(u16::MAX));
            out.extend_from_slice(client.as_bytes());
            out.put_u64(*birth);
            out.put_u64(*seq);
            out.extend_from_slice(&stored_form::write_options(options));
        }
    }
    out
}

/// The messages up to the first that cannot be read, and whether that is all of them.
pub(super) fn read_segment(mut bytes: &[u8]) -> (Vec<SegmentMessage>, bool) {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Some(one) = read_one(&mut bytes) else { return (found, false) };
        found.push(one);
    }
    (found, true)
}

fn read_one(bytes: &mut &[u8]) -> Option<SegmentMessage> {
    let message = stored_form::read(bytes)?;
    let count = bytes.try_get_u32().ok()?;
    let mut places = Vec::new();
    for _ in 0..count {
        let length = usize::from(bytes.try_get_u16().ok()?);
        let (client, rest) = bytes.split_at_checked(length)?;
        let client: ClientId = Arc::from(std::str::from_utf8(client).ok()?);
        *bytes = rest;
        let (birth, seq) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
        let (options, rest) = stored_form::split_options(bytes)?;
        *bytes = rest;
        places.push(QueuePlace { client, birth, seq, options });
    }
    Some(SegmentMessage { message, places })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;
    use crate::codec::Qos;
    use crate::message::Message;
    use crate::store::DeliveryOptions;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(payloads: Vec<Vec<u8>>, clients in proptest::collection::vec("[a-z]{0,9}", 0..4)) {
            let options = DeliveryOptions { qos: Qos::ExactlyOnce, retain: true, ids: vec![7], share: Some("a".into()) };
            let place = |(client, seq): (&String, u64)| QueuePlace {
                client: client.as_str().into(), birth: seq + 1, seq, options: options.clone()
            };
            let places: Vec<_> = clients.iter().zip(5..).map(place).collect();
            let message = |payload| Arc::new(Message::new("a/b", payload, Qos::AtLeastOnce).unwrap());
            let messages: Vec<_> = payloads
                .into_iter()
                .map(|payload: Vec<u8>| SegmentMessage { message: message(payload), places: places.clone() })
                .collect();
            let (found, is_whole) = read_segment(&write_segment(&messages));
            assert!(is_whole);
            assert!(found.iter().map(|one| (&one.message, &one.places)).eq(messages.iter().map(|one| (&one.message, &one.places))));
        }

        #[test]
        fn nothing_that_is_read_panics(bytes: Vec<u8>, cut in 0usize..100) {
            let _ = read_segment(&bytes);
            let message = Arc::new(Message::new("a", bytes, Qos::AtLeastOnce).unwrap());
            let mut written = write_segment(&[SegmentMessage { message, places: vec![] }]);
            written.truncate(written.len().saturating_sub(cut));
            let _ = read_segment(&written);
        }
    }
}
