//! The rules of texts (1.5.4): well-formed UTF-8 without U+0000 and, as the standard lets a receiver do, without control
//! characters and code points that are no characters. U+FEFF is a character like any other [MQTT-1.5.4-3].

use bytes::Bytes;
use bytestring::ByteString;

use super::TextFault;

/// The longest text, topic or binary field: its length stands in two bytes.
pub const TEXT_MAX_BYTES: usize = 65_535;

/// Whether a string may stand in a packet.
pub fn check_text(text: &str) -> Result<(), TextFault> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(TextFault::TooLong);
    }
    match is_plain(text.as_bytes()) {
        true => Ok(()),
        false => text.chars().try_for_each(check_char),
    }
}

/// The text that these bytes are: a slice, not a copy.
pub(super) fn text(bytes: Bytes) -> Result<ByteString, TextFault> {
    let plain = is_plain(&bytes);
    let text = ByteString::try_from(bytes).map_err(|_| TextFault::NotUtf8)?;
    if !plain {
        text.chars().try_for_each(check_char)?;
    }
    Ok(text)
}

/// The same for bytes that are only looked at.
pub(super) fn check_bytes(bytes: &[u8]) -> Result<(), TextFault> {
    if is_plain(bytes) {
        return Ok(());
    }
    let text = str::from_utf8(bytes).map_err(|_| TextFault::NotUtf8)?;
    text.chars().try_for_each(check_char)
}

/// Whether all of it is printable ASCII: most topics are, and nothing more need be asked of them.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & (byte.wrapping_sub(0x20) < 0x5F))
}

fn check_char(c: char) -> Result<(), TextFault> {
    match c {
        '\0' => Err(TextFault::Null),
        '\u{1}'..='\u{1F}' | '\u{7F}'..='\u{9F}' => Err(TextFault::Control),
        '\u{FDD0}'..='\u{FDEF}' => Err(TextFault::NonCharacter),
        c if u32::from(c) & 0xFFFE == 0xFFFE => Err(TextFault::NonCharacter),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_printable_ascii() {
        for byte in 0..=255_u8 {
            assert_eq!(is_plain(&[b'a', byte]), (0x20..0x7F).contains(&byte), "{byte}");
        }
    }

    #[test]
    fn every_code_point_has_its_verdict() {
        for c in '\0'..=char::MAX {
            let number = u32::from(c);
            let expected = match number {
                0 => Err(TextFault::Null),
                0x01..=0x1F | 0x7F..=0x9F => Err(TextFault::Control),
                0xFDD0..=0xFDEF => Err(TextFault::NonCharacter),
                _ if number % 0x1_0000 >= 0xFFFE => Err(TextFault::NonCharacter),
                _ => Ok(()),
            };
            let mut room = [0; 4];
            let cache = c.encode_utf8(&mut room);
            assert_eq!(check_text(cache), expected, "{number:x}");
            assert_eq!(check_bytes(cache.as_bytes()), expected, "{number:x}");
            assert_eq!(text(Bytes::copy_from_slice(cache.as_bytes())).map(|_| ()), expected, "{number:x}");
        }
    }

    #[test]
    fn mqtt_1_5_4_1_surrogates_are_not_text() {
        for bytes in [&b"\xED\xA0\x80"[..], b"\xED\xBF\xBF", b"\xC0\x80", b"\xFF", b"a\xF0\x9F"] {
            assert_eq!(text(Bytes::copy_from_slice(bytes)), Err(TextFault::NotUtf8));
            assert_eq!(check_bytes(bytes), Err(TextFault::NotUtf8));
        }
    }

    #[test]
    fn mqtt_1_5_4_3_the_byte_order_mark_stays() {
        let marked = text(Bytes::from_static(b"\xEF\xBB\xBFa")).unwrap();
        assert_eq!(marked, "\u{FEFF}a");
    }
}
