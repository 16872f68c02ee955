//! The notation of `packets.txt`, in which the packets of the table are written.

use mqtt::codec::{Bytes, BytesMut, DecodeError, Decoder, Packet, Reason, Version};

/// One line of the table.
pub(in crate::mqtt) struct Case {
    pub name: String,
    pub connection: Connection,
    pub bytes: Vec<u8>,
    /// `None`: accepted; otherwise the reason code of the refusal.
    pub refusal: Option<u8>,
}

/// What was said before the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum Connection {
    /// Nothing: it is a server's first packet.
    First,
    ToServer(Version),
    ToClient(Version),
}

pub(in crate::mqtt) fn cases() -> Vec<Case> {
    include_str!("packets.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let [name, connection, packet, verdict] =
                line.split(" | ").map(str::trim).collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{line}"));
            let refusal = match verdict {
                "ok" => None,
                code => Some(u8::from_str_radix(code, 16).unwrap_or_else(|_| panic!("{line}"))),
            };
            Case { name: name.to_owned(), connection: self::connection(connection), bytes: bytes(packet), refusal }
        })
        .collect()
}

fn connection(word: &str) -> Connection {
    match word {
        "first" => Connection::First,
        "3" => Connection::ToServer(Version::V3),
        "5" => Connection::ToServer(Version::V5),
        ">3" => Connection::ToClient(Version::V3),
        ">5" => Connection::ToClient(Version::V5),
        _ => panic!("{word}"),
    }
}

/// The bytes of a packet in the notation.
pub(in crate::mqtt) fn bytes(notation: &str) -> Vec<u8> {
    if let Some(raw) = notation.strip_prefix('!') {
        return run(&mut raw.chars().peekable(), None);
    }
    let all = run(&mut notation.chars().peekable(), None);
    let (first, body) = all.split_first().unwrap();
    let mut packet = vec![*first];
    packet.extend(variable(body.len()));
    packet.extend_from_slice(body);
    packet
}

fn run(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, end: Option<char>) -> Vec<u8> {
    let mut out = vec![];
    while let Some(c) = chars.next() {
        match c {
            _ if Some(c) == end => return out,
            ' ' => {}
            '"' => {
                let text = quoted(chars, '"');
                out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
                out.extend(text);
            }
            '\'' => out.extend(quoted(chars, '\'')),
            '{' => {
                let inside = run(chars, Some('}'));
                out.extend(variable(inside.len()));
                out.extend(inside);
            }
            high => {
                let low = chars.next().unwrap();
                let digits: String = [high, low].into_iter().collect();
                out.push(u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("{digits}")));
            }
        }
    }
    assert!(end.is_none(), "{end:?} is missing");
    out
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, end: char) -> Vec<u8> {
    chars.by_ref().take_while(|c| *c != end).collect::<String>().into_bytes()
}

fn variable(mut value: usize) -> Vec<u8> {
    let mut out = vec![];
    loop {
        let byte = u8::try_from(value % 128).unwrap();
        value /= 128;
        out.push(if value > 0 { byte | 0x80 } else { byte });
        if value == 0 {
            return out;
        }
    }
}

/// A decoder that has been told what went before.
pub(in crate::mqtt) fn decoder(connection: Connection) -> Decoder {
    let version = match connection {
        Connection::First => return Decoder::server(PACKET_MAX_BYTES),
        Connection::ToClient(version) => return Decoder::client(version, PACKET_MAX_BYTES),
        Connection::ToServer(version) => version,
    };
    let mut decoder = Decoder::server(PACKET_MAX_BYTES);
    let connect = match version {
        Version::V3 => bytes("10 \"MQTT\" 04 02 0000 \"c\""),
        Version::V5 => bytes("10 \"MQTT\" 05 02 0000 {} \"c\""),
    };
    decoder.decode(&mut BytesMut::from(&*connect)).unwrap().unwrap();
    decoder
}

/// The largest packet in these tests.
pub(in crate::mqtt) const PACKET_MAX_BYTES: u32 = 1 << 20;

/// Decodes one packet that must be all of the bytes, if it is one.
pub(in crate::mqtt) fn decode(connection: Connection, bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
    let mut buffer = BytesMut::from(bytes);
    let packet = decoder(connection).decode(&mut buffer)?;
    if packet.is_some() {
        assert!(buffer.is_empty(), "{} bytes were left", buffer.len());
    }
    Ok(packet)
}

pub(in crate::mqtt) fn encode(packet: &Packet, version: Version) -> Bytes {
    let mut out = BytesMut::new();
    packet.encode(version, PACKET_MAX_BYTES, &mut out).unwrap_or_else(|error| panic!("{packet:?}: {error}"));
    out.freeze()
}

/// The version that a packet on this connection is in.
pub(in crate::mqtt) fn version(connection: Connection, packet: &Packet) -> Version {
    match (connection, packet) {
        (Connection::ToServer(version) | Connection::ToClient(version), _) => version,
        (Connection::First, Packet::Connect(connect)) => connect.version,
        (Connection::First, _) => panic!("{packet:?} came first"),
    }
}

pub(in crate::mqtt) fn code(error: &DecodeError) -> u8 {
    Reason::code(error.reason())
}
