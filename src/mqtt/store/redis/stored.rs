//! How values are written in Redis. A message is an MQTT 5 PUBLISH behind a short head, read back by the strict decoder:
//! what a database holds is as foreign as what a socket brings.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::mqtt::codec::{Decoder, Delivery, Packet, Publish, Qos, RetainHandling, SubscriptionOptions, Version};
use crate::mqtt::message::{ClientId, Message};
use crate::mqtt::router::Granted;
use crate::mqtt::store::How;

/// The form of a stored message; others are not read.
const FORM: u8 = 1;
/// No expiry.
const NEVER: u64 = u64::MAX;

/// A message as bytes. A will keeps its expiry in seconds, as its life has not begun.
pub(super) fn write_message(message: &Message) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(64 + message.size_bytes());
    out.put_u8(FORM);
    out.put_u8(message.qos as u8 | u8::from(message.retain) << 2);
    out.put_u64(message.expires_at_ms.unwrap_or(NEVER));
    let publisher = message.publisher.as_bytes();
    out.put_u16(u16::try_from(publisher.len()).unwrap_or(0));
    out.put_slice(publisher.get(..usize::from(u16::try_from(publisher.len()).unwrap_or(0))).unwrap_or_default());
    let publish = Publish {
        dup: false,
        retain: false,
        delivery: Delivery::AtMostOnce,
        topic: message.topic.clone(),
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: message.properties.clone(),
        payload: message.payload.clone(),
    };
    // It came in through the same codec, so it goes out again.
    let _ = publish.encode(Version::V5, u32::MAX, &mut out);
    out.to_vec()
}

/// Adds a written message to a pack of them.
pub(super) fn pack(message: &[u8], into: &mut Vec<u8>) {
    into.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    into.put_slice(message);
}

/// The messages of a pack, up to the first that is none.
pub(super) fn unpack(pack: Vec<u8>) -> Vec<Arc<Message>> {
    let mut pack = Bytes::from(pack);
    let mut found = Vec::new();
    while pack.remaining() >= 4 {
        let length = usize::try_from(pack.get_u32()).unwrap_or(usize::MAX);
        if pack.remaining() < length {
            break;
        }
        let Some(message) = read(pack.split_to(length)) else { break };
        found.push(message);
    }
    found
}

/// `None`: it is no message that this version wrote.
pub(super) fn read_message(bytes: Vec<u8>) -> Option<Arc<Message>> {
    read(Bytes::from(bytes))
}

/// The message shares nothing with what it is read from.
fn read(mut bytes: Bytes) -> Option<Arc<Message>> {
    if bytes.remaining() < 12 || bytes.get_u8() != FORM {
        return None;
    }
    let flags = bytes.get_u8();
    let expires = bytes.get_u64();
    let length = usize::from(bytes.get_u16());
    if bytes.remaining() < length {
        return None;
    }
    let publisher: ClientId = std::str::from_utf8(&bytes.split_to(length)).ok()?.into();
    let mut decoder = Decoder::client(Version::V5, u32::MAX);
    let Ok(Some(Packet::Publish(publish))) = decoder.decode(&mut BytesMut::from(&bytes[..])) else { return None };
    Some(Arc::new(Message {
        topic: publish.topic,
        payload: publish.payload,
        qos: Qos::new(flags & 3)?,
        retain: flags & 4 != 0,
        properties: publish.properties,
        expires_at_ms: (expires != NEVER).then_some(expires),
        publisher,
    }))
}

pub(super) fn write_how(how: &How) -> Vec<u8> {
    let mut out = vec![how.qos as u8, u8::from(how.retain) | u8::from(how.share.is_some()) << 1];
    if let Some(share) = &how.share {
        // A filter is an MQTT string: its length has two bytes.
        out.put_u16(u16::try_from(share.len()).unwrap_or(u16::MAX));
        out.extend_from_slice(share.as_bytes());
    }
    how.ids.iter().for_each(|id| out.extend_from_slice(&id.to_be_bytes()));
    out
}

pub(super) fn read_how(bytes: &[u8]) -> Option<How> {
    let [qos, flags, rest @ ..] = bytes else { return None };
    let (share, ids) = if flags & 2 == 0 {
        (None, rest)
    } else {
        let (length, rest) = rest.split_first_chunk()?;
        let (share, ids) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        (Some(Arc::from(std::str::from_utf8(share).ok()?)), ids)
    };
    let ids = ids.chunks_exact(4).map(|id| id.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))).collect();
    Some(How { qos: Qos::new(*qos)?, retain: flags & 1 != 0, ids, share })
}

pub(super) fn write_granted(granted: &Granted) -> Vec<u8> {
    let SubscriptionOptions { qos, no_local, retain_as_published, retain_handling } = granted.options;
    let flags = u8::from(no_local) | u8::from(retain_as_published) << 1 | (retain_handling as u8) << 2;
    let mut out = vec![qos as u8, flags];
    out.extend_from_slice(&granted.id.unwrap_or(0).to_be_bytes());
    out
}

pub(super) fn read_granted(bytes: &[u8]) -> Option<Granted> {
    let [qos, flags, a, b, c, d] = bytes else { return None };
    let options = SubscriptionOptions {
        qos: Qos::new(*qos)?,
        no_local: flags & 1 != 0,
        retain_as_published: flags & 2 != 0,
        retain_handling: match flags >> 2 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            _ => RetainHandling::DoNotSend,
        },
    };
    let id = u32::from_be_bytes([*a, *b, *c, *d]);
    Some(Granted { options, id: (id > 0).then_some(id) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::mqtt::codec::{MessageProperties, UserProperties};

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            topic in "[a-z/]{1,20}",
            payload: Vec<u8>,
            qos in 0u8..3,
            retain: bool,
            expires: Option<u32>,
            life in proptest::option::of(any::<u32>()),
            ids: Vec<u32>,
            share in proptest::option::of("[a-z/$]{1,20}"),
        ) {
            let message = Message {
                qos: Qos::new(qos).unwrap(),
                retain,
                expires_at_ms: expires.map(u64::from),
                publisher: "me".into(),
                properties: MessageProperties {
                    expiry_s: life,
                    content_type: Some("text".into()),
                    user: UserProperties::from_pairs([("a", "b")]).unwrap(),
                    ..MessageProperties::default()
                },
                ..Message::new(&topic, payload, Qos::AtMostOnce).unwrap()
            };
            assert_eq!(*read_message(write_message(&message)).unwrap(), message);
            let mut several = Vec::new();
            pack(&write_message(&message), &mut several);
            pack(&write_message(&message), &mut several);
            assert_eq!(unpack(several).iter().filter(|one| ***one == message).count(), 2);
            let how = How { qos: Qos::new(qos).unwrap(), retain, ids, share: share.map(Arc::from) };
            assert_eq!(read_how(&write_how(&how)), Some(how));
        }

        #[test]
        fn nothing_that_is_read_panics(bytes: Vec<u8>) {
            let _ = read_how(&bytes);
            let _ = read_granted(&bytes);
            let _ = unpack(bytes.clone());
            let mut framed = vec![FORM];
            framed.extend_from_slice(&bytes);
            let _ = read_message(framed);
        }
    }
}
