//! The stored form of values. A message is an MQTT 5 PUBLISH behind a short header, read back by the strict decoder: the
//! content of a database is trusted no more than that of a socket.

use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};

use crate::codec::{Decoder, Delivery, Packet, Publish, Qos, RetainHandling, SubscriptionOptions, Version};
use crate::message::{ClientId, Message};
use crate::router::GrantedSubscription;
use crate::store::{DeliveryOptions, NumberedMessages, SessionHolder};

/// The form of a stored message; no other form is read.
const FORM: u8 = 2;
/// Its length stands before it, so that messages can stand one behind the other; `common.lua` knows.
const LENGTH_BYTES: usize = 4;
/// No expiry.
const NEVER: u64 = u64::MAX;

/// A message as bytes. A will keeps its expiry in seconds, as its life has not begun.
pub(super) fn write_message(message: &Message) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(64 + message.size_bytes());
    out.put_u32(0);
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
    // Every message came through the same codec, so that it can be encoded.
    let _ = publish.encode(Version::V5, u32::MAX, &mut out);
    let length = u32::try_from(out.len() - LENGTH_BYTES).unwrap_or(u32::MAX);
    out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    out.into()
}

/// The messages of a pack, one behind the other, up to the first that cannot be read.
pub(super) fn unpack(mut pack: &[u8]) -> Vec<Arc<Message>> {
    std::iter::from_fn(|| read(&mut pack)).collect()
}

/// `None`: not a message in the present form.
pub(super) fn read_message(mut bytes: &[u8]) -> Option<Arc<Message>> {
    read(&mut bytes).filter(|_| bytes.is_empty())
}

/// The first message of several, which it takes away from the bytes; `None` if it cannot be read, with what stands behind it
/// left if its length can be. The message shares no memory with the bytes.
pub(super) fn read(pack: &mut &[u8]) -> Option<Arc<Message>> {
    let length = usize::try_from(pack.try_get_u32().ok()?).ok()?;
    let (mut bytes, behind) = pack.split_at_checked(length)?;
    *pack = behind;
    if bytes.remaining() < 12 || bytes.get_u8() != FORM {
        return None;
    }
    let flags = bytes.get_u8();
    let expires = bytes.get_u64();
    let length = usize::from(bytes.get_u16());
    let (publisher, bytes) = bytes.split_at_checked(length)?;
    let publisher: ClientId = std::str::from_utf8(publisher).ok()?.into();
    let mut decoder = Decoder::client(Version::V5, u32::MAX);
    let Ok(Some(Packet::Publish(publish))) = decoder.decode(&mut BytesMut::from(bytes)) else { return None };
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

/// How a subscriber gets a message; with its length before it, as a message.
pub(super) fn write_options(options: &DeliveryOptions) -> Vec<u8> {
    let mut out = vec![0, 0, options.qos as u8, u8::from(options.retain) | u8::from(options.share.is_some()) << 1];
    if let Some(share) = &options.share {
        // A filter is an MQTT string: its length has two bytes.
        out.put_u16(u16::try_from(share.len()).unwrap_or(u16::MAX));
        out.extend_from_slice(share.as_bytes());
    }
    // As many identifiers as its length allows: a client has not so many subscriptions to one topic.
    let room = (usize::from(u16::MAX) + 2).saturating_sub(out.len()) / 4;
    options.ids.iter().take(room).for_each(|id| out.extend_from_slice(&id.to_be_bytes()));
    let length = u16::try_from(out.len() - 2).unwrap_or(u16::MAX);
    out[..2].copy_from_slice(&length.to_be_bytes());
    out
}

pub(super) fn read_options(bytes: &[u8]) -> Option<DeliveryOptions> {
    let (options, rest) = split_options(bytes)?;
    rest.is_empty().then_some(options)
}

/// The first of several that stand one behind the other, and those behind it.
pub(super) fn split_options(bytes: &[u8]) -> Option<(DeliveryOptions, &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    let (bytes, behind) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let [qos, flags, rest @ ..] = bytes else { return None };
    let (share, ids) = if flags & 2 == 0 {
        (None, rest)
    } else {
        let (length, rest) = rest.split_first_chunk()?;
        let (share, ids) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        (Some(Arc::from(std::str::from_utf8(share).ok()?)), ids)
    };
    let ids = ids.chunks_exact(4).map(|id| id.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))).collect();
    Some((DeliveryOptions { qos: Qos::new(*qos)?, retain: flags & 1 != 0, ids, share }, behind))
}

/// Messages that sessions of a replica were given, by their places in a pack; up to the first that cannot be read.
pub(super) fn read_numbered(pack: &[Arc<Message>], mut sessions: &[u8]) -> Vec<NumberedMessages> {
    let mut found = Vec::new();
    while let Some((one, rest)) = split_numbered(pack, sessions) {
        found.push(one);
        sessions = rest;
    }
    found
}

/// As `publish_batch.lua` writes it.
fn split_numbered<'a>(pack: &[Arc<Message>], bytes: &'a [u8]) -> Option<(NumberedMessages, &'a [u8])> {
    let (epoch, bytes) = bytes.split_first_chunk()?;
    let (first, bytes) = bytes.split_first_chunk()?;
    let (count, bytes) = bytes.split_first_chunk()?;
    let (length, bytes) = bytes.split_first_chunk()?;
    let (client, mut bytes) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let holder = SessionHolder { client: std::str::from_utf8(client).ok()?.into(), epoch: u64::from_be_bytes(*epoch) };
    let mut messages = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (place, rest) = bytes.split_first_chunk()?;
        let message = pack.get(usize::from(u16::from_be_bytes(*place)))?;
        let (options, rest) = split_options(rest)?;
        messages.push((Arc::clone(message), options));
        bytes = rest;
    }
    Some((NumberedMessages { holder, first: u64::from_be_bytes(*first), messages }, bytes))
}

pub(super) fn write_granted(granted: &GrantedSubscription) -> Vec<u8> {
    let SubscriptionOptions { qos, no_local, retain_as_published, retain_handling } = granted.options;
    let flags = u8::from(no_local) | u8::from(retain_as_published) << 1 | (retain_handling as u8) << 2;
    let mut out = vec![qos as u8, flags];
    out.extend_from_slice(&granted.id.unwrap_or(0).to_be_bytes());
    out
}

pub(super) fn read_granted(bytes: &[u8]) -> Option<GrantedSubscription> {
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
    Some(GrantedSubscription { options, id: (id > 0).then_some(id) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::codec::{MessageProperties, UserProperties};

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
            assert_eq!(*read_message(&write_message(&message)).unwrap(), message);
            let several = [write_message(&message), write_message(&message)].concat();
            assert_eq!(unpack(&several).iter().filter(|one| ***one == message).count(), 2);
            let options = DeliveryOptions { qos: Qos::new(qos).unwrap(), retain, ids, share: share.map(Arc::from) };
            assert_eq!(read_options(&write_options(&options)), Some(options.clone()));
            let pack = [Arc::new(message)];
            let mut numbered = Vec::new();
            for first in [7u64, 9] {
                numbered.extend_from_slice(&[&3u64.to_be_bytes()[..], &first.to_be_bytes(), &[0, 0, 0, 2, 0, 2], b"me"].concat());
                (0..2).for_each(|_| numbered.extend_from_slice(&[&[0, 0], &*write_options(&options)].concat()));
            }
            let found = read_numbered(&pack, &numbered);
            let messages = vec![(Arc::clone(&pack[0]), options.clone()), (Arc::clone(&pack[0]), options)];
            let holder = SessionHolder { client: "me".into(), epoch: 3 };
            let of = |first| NumberedMessages { holder: holder.clone(), first, messages: messages.clone() };
            assert_eq!(found, [of(7), of(9)]);
        }

        #[test]
        fn nothing_that_is_read_panics(bytes: Vec<u8>) {
            let _ = read_options(&bytes);
            let _ = read_granted(&bytes);
            let _ = unpack(&bytes);
            let _ = read_numbered(&[], &bytes);
            let mut framed = u32::try_from(bytes.len() + 1).unwrap().to_be_bytes().to_vec();
            framed.push(FORM);
            framed.extend_from_slice(&bytes);
            let _ = read_message(&framed);
        }
    }
}
