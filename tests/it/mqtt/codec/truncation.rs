//! Packets that stop anywhere, lengths that lie, and sizes that are too large.

use mqtt::codec::{BytesMut, DecodeError, Decoder, Packet, Version};

use super::notation::{Connection, PACKET_MAX_BYTES, bytes, cases, decode, decoder};

#[test]
fn a_packet_that_stops_anywhere_is_waited_for() {
    for case in cases().iter().filter(|case| case.refusal.is_none()) {
        for length in 0..case.bytes.len() {
            assert_eq!(decode(case.connection, &case.bytes[..length]), Ok(None), "{} {length}", case.name);
        }
    }
}

#[test]
fn a_packet_in_single_bytes_is_the_same_packet() {
    for case in cases().iter().filter(|case| case.refusal.is_none()) {
        let mut decoder = decoder(case.connection);
        let mut buffer = BytesMut::new();
        let (last, rest) = case.bytes.split_last().unwrap();
        for byte in rest {
            buffer.extend_from_slice(&[*byte]);
            assert_eq!(decoder.decode(&mut buffer), Ok(None));
        }
        buffer.extend_from_slice(&[*last]);
        assert_eq!(decoder.decode(&mut buffer).unwrap(), decode(case.connection, &case.bytes).unwrap());
    }
}

/// A Remaining Length that cuts the body short: never a panic, and mostly an error; never more than was said.
#[test]
fn a_body_that_stops_anywhere_is_judged() {
    for case in cases().iter().filter(|case| case.refusal.is_none() && case.bytes[1] < 0x80) {
        for length in 0..case.bytes[1] {
            let mut cut = case.bytes[..2 + usize::from(length)].to_vec();
            cut[1] = length;
            let _ = decode(case.connection, &cut);
        }
    }
}

#[test]
fn packets_follow_one_another() {
    for version in [Version::V3, Version::V5] {
        let connection = Connection::ToServer(version);
        let good: Vec<_> =
            cases().into_iter().filter(|case| case.connection == connection && case.refusal.is_none()).collect();
        let mut buffer = BytesMut::new();
        good.iter().for_each(|case| buffer.extend_from_slice(&case.bytes));
        let mut decoder = decoder(connection);
        for case in &good {
            assert_eq!(decoder.decode(&mut buffer), decode(connection, &case.bytes), "{}", case.name);
        }
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
    }
}

#[test]
fn too_large_is_said_before_it_is_there() {
    let mut decoder = decoder(Connection::ToServer(Version::V5));
    // 256 MB are announced and nothing of it comes.
    let mut buffer = BytesMut::from(&b"\x30\xFF\xFF\xFF\x7F"[..]);
    let error = DecodeError::PacketTooLarge { size_bytes: 268_435_460, max_bytes: PACKET_MAX_BYTES };
    assert_eq!(decoder.decode(&mut buffer), Err(error));

    let packet = bytes("30 \"t\" {} '0123456789'");
    let mut exact = Decoder::client(Version::V5, u32::try_from(packet.len()).unwrap());
    assert!(matches!(exact.decode(&mut BytesMut::from(&*packet)), Ok(Some(Packet::Publish(_)))));
    let mut smaller = Decoder::client(Version::V5, u32::try_from(packet.len()).unwrap() - 1);
    assert!(matches!(smaller.decode(&mut BytesMut::from(&*packet)), Err(DecodeError::PacketTooLarge { .. })));
}

#[test]
fn a_wrong_first_byte_is_said_at_once() {
    for first in [0x00, 0x16, 0x38, 0x36, 0xD0] {
        let said = decoder(Connection::ToServer(Version::V5)).decode(&mut BytesMut::from(&[first][..]));
        if first == 0x16 {
            // The flags of a CONNECT are judged with its version: 3.1 had none that were reserved.
            assert_eq!(said, Ok(None));
        } else {
            assert!(said.is_err(), "{first:x}");
        }
    }
}

#[test]
fn the_version_of_a_wrong_connect_is_known() {
    let mut decoder = Decoder::server(PACKET_MAX_BYTES);
    let wrong = bytes("10 \"MQTT\" 05 02 0000 {21 0000} \"c\"");
    assert!(decoder.decode(&mut BytesMut::from(&*wrong)).is_err());
    assert_eq!(decoder.version(), Some(Version::V5));
}
