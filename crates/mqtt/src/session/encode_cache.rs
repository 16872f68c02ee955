//! One message on its way to many: encoded once for each (version, QoS, retain), then copied into every client's buffer.

use std::cell::RefCell;
use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::BytesMut;

use crate::codec::{Delivery, PacketId, Prepared, Publish, Qos, Version};
use crate::message::{Message, UnixMs};
use crate::store::DeliveryOptions;

/// 2 versions, 3 QoS, retained or not.
const SHAPES: usize = 12;

/// The memory of encoded packets, used again for every message.
#[derive(Debug, Default)]
pub(crate) struct EncodeCache {
    prepared: [Prepared; SHAPES],
}

thread_local! {
    static ENCODED: RefCell<EncodeCache> = RefCell::default();
}

/// Lends the thread's memory for encodings.
pub(crate) fn with_encode_cache<T>(what: impl FnOnce(&mut EncodeCache) -> T) -> T {
    ENCODED.with(|cache| match cache.try_borrow_mut() {
        Ok(mut cache) => what(&mut cache),
        Err(_) => what(&mut EncodeCache::default()),
    })
}

/// A message, and its encodings so far.
pub(crate) struct MessageEncoder<'a> {
    message: &'a Message,
    now_ms: UnixMs,
    cache: &'a mut EncodeCache,
    filled: [bool; SHAPES],
    kept: Option<Arc<Message>>,
}

impl<'a> MessageEncoder<'a> {
    pub(crate) fn new(message: &'a Message, now_ms: UnixMs, cache: &'a mut EncodeCache) -> Self {
        Self { message, now_ms, cache, filled: [false; SHAPES], kept: None }
    }

    /// With the copy that is kept already.
    pub(crate) fn from_shared(message: &'a Arc<Message>, now_ms: UnixMs, cache: &'a mut EncodeCache) -> Self {
        Self { kept: Some(Arc::clone(message)), ..Self::new(message, now_ms, cache) }
    }

    pub(crate) fn message(&self) -> &Message {
        self.message
    }

    /// The message in memory of its own, for receivers that have to wait for it.
    pub(crate) fn keep_copy(&mut self) -> Arc<Message> {
        Arc::clone(self.kept.get_or_insert_with(|| Arc::new(self.message.compact())))
    }

    /// Appends the packet in the usual shape: no alias, no subscription identifiers. `false`: it is larger than the
    /// client accepts [MQTT-3.1.2-24].
    pub(crate) fn append(
        &mut self,
        version: Version,
        delivery: Delivery,
        (retain, dup): (bool, bool),
        max_bytes: u32,
        out: &mut BytesMut,
    ) -> bool {
        let shape = (delivery.qos() as usize) * 4 + usize::from(retain) * 2 + usize::from(version == Version::V5);
        let Some(prepared) = self.cache.prepared.get_mut(shape) else { return false };
        if !self.filled[shape] {
            let publish = publish(self.message, delivery, retain, self.now_ms);
            if prepared.fill(&publish, version).is_err() {
                return false;
            }
            self.filled[shape] = true;
        }
        if prepared.len() > usize::try_from(max_bytes).unwrap_or(usize::MAX) {
            return false;
        }
        match delivery.packet_id() {
            None => prepared.append(out),
            Some(id) => prepared.append_as(id, dup, out),
        }
        true
    }

    /// Appends the packet with fields that only this client gets.
    pub(crate) fn append_for_client(
        &self,
        version: Version,
        delivery: Delivery,
        own: &ClientFields<'_>,
        max_bytes: u32,
        out: &mut BytesMut,
    ) -> bool {
        let mut publish = publish(self.message, delivery, own.options.retain, self.now_ms);
        publish.dup = own.dup;
        publish.subscription_ids.clone_from(&own.options.ids);
        publish.topic_alias = own.alias;
        if own.alias_is_known {
            publish.topic = bytestring::ByteString::new();
        }
        publish.encode(version, max_bytes, out).is_ok()
    }
}

/// Fields of a PUBLISH that only one client gets.
pub(crate) struct ClientFields<'a> {
    pub(crate) options: &'a DeliveryOptions,
    pub(crate) dup: bool,
    pub(crate) alias: Option<NonZeroU16>,
    /// The client knows the alias: the topic is left out.
    pub(crate) alias_is_known: bool,
}

/// The packet id a delivery of this QoS has.
pub(crate) fn delivery(qos: Qos, id: PacketId) -> Delivery {
    match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce(id),
        Qos::ExactlyOnce => Delivery::ExactlyOnce(id),
    }
}

fn publish(message: &Message, delivery: Delivery, retain: bool, now_ms: UnixMs) -> Publish {
    let mut properties = message.properties.clone();
    properties.expiry_s = message.remaining_s(now_ms);
    Publish {
        dup: false,
        retain,
        delivery,
        topic: message.topic.clone(),
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties,
        payload: message.payload.clone(),
    }
}
