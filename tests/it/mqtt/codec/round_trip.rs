//! What is written reads back, whichever way it is written; and no bytes at all make the decoder stop.

use mqtt::codec::{
    Bytes, BytesMut, Delivery, EncodeError, MessageProperties, Packet, Prepared, Publish, Reason, Suback,
    UserProperties, Version,
};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::arbitrary::{CONNECTIONS, packet_id, publish, said};
use super::notation::{PACKET_MAX_BYTES, decode, encode, version};

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V3), Just(Version::V5)]
}

proptest! {
    #[test]
    fn what_is_written_reads_back((connection, packet) in said()) {
        let bytes = encode(&packet, version(connection, &packet));
        prop_assert_eq!(decode(connection, &bytes), Ok(Some(packet)));
    }

    #[test]
    fn a_prepared_packet_is_the_packet(publish in publish(true), version in versions(), id in packet_id(), dup in any::<bool>()) {
        let mut prepared = Prepared::default();
        // Whatever it held before is gone.
        prepared.fill(&publish, Version::V5).unwrap();
        prepared.fill(&publish, version).unwrap();
        let mut out = BytesMut::from(&b"before"[..]);
        prepared.append(&mut out);
        let whole = encode(&Packet::Publish(publish.clone()), version);
        prop_assert_eq!(&out[6..], &whole[..]);
        prop_assert_eq!(prepared.len(), whole.len());

        let mut out = BytesMut::from(&b"before"[..]);
        prepared.append_as(id, dup, &mut out);
        let delivery = match publish.delivery {
            Delivery::AtMostOnce => Delivery::AtMostOnce,
            Delivery::AtLeastOnce(_) => Delivery::AtLeastOnce(id),
            Delivery::ExactlyOnce(_) => Delivery::ExactlyOnce(id),
        };
        let dup = publish.dup || (dup && delivery != Delivery::AtMostOnce);
        let other = Publish { delivery, dup, ..publish };
        prop_assert_eq!(&out[6..], &encode(&Packet::Publish(other), version)[..]);
    }

    #[test]
    fn nothing_larger_than_allowed_is_written((connection, packet) in said()) {
        let version = version(connection, &packet);
        let whole = encode(&packet, version);
        for max_bytes in 0..whole.len() {
            let mut out = BytesMut::new();
            match packet.encode(version, u32::try_from(max_bytes).unwrap(), &mut out) {
                // Without its reason string and user properties.
                Ok(()) => prop_assert!(out.len() <= max_bytes && decode(connection, &out).unwrap().is_some()),
                Err(error) => {
                    prop_assert!(matches!(error, EncodeError::PacketTooLarge { .. }), "{:?}", error);
                    prop_assert!(out.is_empty());
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_stop(bytes in vec(any::<u8>(), 0..200)) {
        for connection in CONNECTIONS {
            let mut buffer = BytesMut::from(&*bytes);
            let mut decoder = super::notation::decoder(connection);
            while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
        }
    }

    /// One byte is changed: what is still accepted must be a packet that reads back.
    #[test]
    fn a_changed_packet_is_refused_or_whole((connection, packet) in said(), at in any::<usize>(), to in any::<u8>()) {
        let mut bytes = encode(&packet, version(connection, &packet)).to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        let mut buffer = BytesMut::from(&*bytes);
        if let Ok(Some(packet)) = super::notation::decoder(connection).decode(&mut buffer) {
            let again = encode(&packet, version(connection, &packet));
            prop_assert_eq!(decode(connection, &again), Ok(Some(packet)));
        }
    }
}

#[test]
fn fields_too_long_are_not_written() {
    let publish = Publish {
        dup: false,
        retain: false,
        delivery: Delivery::AtMostOnce,
        topic: "t".repeat(65_536).into(),
        topic_alias: None,
        subscription_ids: vec![],
        properties: MessageProperties::default(),
        payload: Bytes::new(),
    };
    let mut out = BytesMut::new();
    for version in [Version::V3, Version::V5] {
        assert_eq!(publish.encode(version, PACKET_MAX_BYTES, &mut out), Err(EncodeError::FieldTooLong));
    }
    let content_type = Publish {
        topic: "t".into(),
        properties: MessageProperties { content_type: Some("t".repeat(65_536).into()), ..Default::default() },
        ..publish
    };
    assert_eq!(content_type.encode(Version::V5, PACKET_MAX_BYTES, &mut out), Err(EncodeError::FieldTooLong));
    assert_eq!(content_type.encode(Version::V3, PACKET_MAX_BYTES, &mut out), Ok(()));
}

/// MQTT-3.9.2-2, -3 and their like: detail goes before the answer does.
#[test]
fn detail_goes_before_the_answer_does() {
    let suback = Packet::Suback(Suback {
        packet_id: 7.try_into().unwrap(),
        reasons: vec![Reason::NotAuthorized],
        reason_string: Some("because of this and that".into()),
        user: UserProperties::from_pairs([("k", "v")]).unwrap(),
    });
    let mut out = BytesMut::new();
    suback.encode(Version::V5, 6, &mut out).unwrap();
    assert_eq!(&out[..], b"\x90\x04\x00\x07\x00\x87");
}
