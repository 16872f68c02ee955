//! Bytes to text: gzip undone within a bound, and text in the encoding that its byte order mark or its XML declaration
//! names, else UTF-8.

use std::borrow::Cow;
use std::io::Read;

use encoding_rs::{Encoding, UTF_8};
use flate2::read::MultiGzDecoder;

use super::INPUT_MAX_BYTES;
use super::error::{GzipError, ImportError};
use super::source_position::SourcePosition;

/// How a gzip stream begins (RFC 1952 §2.3.1).
const GZIP: &[u8] = b"\x1F\x8B";
/// How far an XML declaration can reach.
const DECLARATION_MAX_BYTES: usize = 200;

/// What is in a gzip stream, if that is at most `max` bytes.
///
/// # Errors
/// The stream is broken, or more comes out of it.
pub fn gunzip(bytes: &[u8], max: usize) -> Result<Vec<u8>, GzipError> {
    let mut plain = Vec::new();
    let mut stream = MultiGzDecoder::new(bytes).take(u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1));
    stream.read_to_end(&mut plain).map_err(|error| GzipError::Broken(error.to_string()))?;
    if plain.len() > max { Err(GzipError::TooLarge { max }) } else { Ok(plain) }
}

/// The text of a file.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ImportError> {
    if bytes.len() > INPUT_MAX_BYTES {
        return Err(ImportError::TooLarge { bytes: bytes.len(), max: INPUT_MAX_BYTES });
    }
    if bytes.starts_with(GZIP) {
        let plain = gunzip(bytes, INPUT_MAX_BYTES)?;
        return Ok(Cow::Owned(decode_text(&plain)?.into_owned()));
    }
    decode_text(bytes)
}

fn decode_text(bytes: &[u8]) -> Result<Cow<'_, str>, ImportError> {
    let (encoding, bytes) = match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => (encoding, bytes.get(mark..).unwrap_or_default()),
        // What XML without a mark begins with in UTF-16 (XML 1.0 Appendix F.1).
        None if bytes.starts_with(b"<\0?\0") => (encoding_rs::UTF_16LE, bytes),
        None if bytes.starts_with(b"\0<\0?") => (encoding_rs::UTF_16BE, bytes),
        None => (UTF_8, bytes),
    };
    if encoding != UTF_8 {
        return decode_as(encoding, bytes);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => match declared(bytes).filter(|encoding| *encoding != UTF_8) {
            Some(encoding) => decode_as(encoding, bytes),
            None => {
                let at = SourcePosition::offset(bytes, error.valid_up_to());
                Err(ImportError::NotText { at, encoding: UTF_8.name() })
            }
        },
    }
}

fn decode_as<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Result<Cow<'a, str>, ImportError> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    let at = || SourcePosition::element("the file");
    text.ok_or_else(|| ImportError::NotText { at: at(), encoding: encoding.name() })
}

/// The encoding that an XML declaration names. ISO-8859-1 is read as its superset windows-1252, as browsers do.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = bytes.get(..DECLARATION_MAX_BYTES.min(bytes.len()))?;
    let start = String::from_utf8_lossy(start);
    let (declaration, _) = start.split_once("?>")?;
    let value = declaration.strip_prefix("<?xml")?.split_once("encoding")?.1;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let name = value.get(1..)?.split(value.chars().next()?).next()?;
    Encoding::for_label(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn text_is_in_the_encoding_that_its_start_names() {
        assert_eq!(decode(b"\xEF\xBB\xBFabc").unwrap(), "abc");
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>K\xF6ln</a>";
        assert!(decode(latin).unwrap().contains("Köln"));
        let greek = b"<?xml version='1.0' encoding='windows-1253'?><a>\xC1\xE8\xDE\xED\xE1</a>";
        assert!(decode(greek).unwrap().contains("Αθήνα"));
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>Köln</a>";
        let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        for (mark, order) in
            [(&b"\xFF\xFE"[..], u16::to_le_bytes as fn(u16) -> [u8; 2]), (b"\xFE\xFF", u16::to_be_bytes)]
        {
            assert_eq!(decode(&[mark, &wide(order)].concat()).unwrap(), text);
            assert_eq!(decode(&wide(order)).unwrap(), text, "without a mark");
        }
        let error = decode(b"ab\ncd\xFF").unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 3: this byte is not UTF-8 text");
        assert!(matches!(decode(b"\xFF\xFEa\0\0\xD8"), Err(ImportError::NotText { encoding: "UTF-16LE", .. })));
    }

    #[test]
    fn gzip_is_undone_within_a_bound() {
        let packed = |plain: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(plain).unwrap();
            packer.finish().unwrap()
        };
        assert_eq!(decode(&packed(b"graph [ ]")).unwrap(), "graph [ ]");
        let bomb = packed(&vec![b' '; INPUT_MAX_BYTES + 1]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(decode(&bomb), Err(ImportError::Gzip(GzipError::TooLarge { .. }))));
        assert!(matches!(decode(&packed(b"graph")[..12]), Err(ImportError::Gzip(GzipError::Broken(_)))));
    }
}
