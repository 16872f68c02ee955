//! Any bytes on any connection: packets that are read are written as the same packets, or a clean error ends it.
#![no_main]

use mqtt::codec::{BytesMut, Decoder, PACKET_MAX_BYTES, Packet, Version};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (side, bytes) = input;
    let decoder = match side % 5 {
        0 => Decoder::server(PACKET_MAX_BYTES),
        1 => server(Version::V3),
        2 => server(Version::V5),
        3 => Decoder::client(Version::V3, PACKET_MAX_BYTES),
        _ => Decoder::client(Version::V5, PACKET_MAX_BYTES),
    };
    let mut reader = decoder.clone();
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(packet)) = reader.decode(&mut buffer) {
        let version = match &packet {
            Packet::Connect(connect) => connect.version,
            _ => reader.version().expect("a packet was read"),
        };
        let mut written = BytesMut::new();
        packet.encode(version, PACKET_MAX_BYTES, &mut written).expect("what was read can be said");
        let mut again =
            if matches!(packet, Packet::Connect(_)) { Decoder::server(PACKET_MAX_BYTES) } else { reader.clone() };
        assert_eq!(again.decode(&mut written), Ok(Some(packet)));
        assert!(written.is_empty());
    }
});

/// A server that has heard a CONNECT of this version.
fn server(version: Version) -> Decoder {
    let mut decoder = Decoder::server(PACKET_MAX_BYTES);
    let connect: &[u8] = match version {
        Version::V3 => b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x00\x00\x01c",
        Version::V5 => b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c",
    };
    decoder.decode(&mut BytesMut::from(connect)).expect("a CONNECT").expect("all of it");
    decoder
}
