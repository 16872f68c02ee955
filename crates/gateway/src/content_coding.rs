//! Content codings of batches (RFC 9110 §8.4.1): a callback may ask for them in the answer to a batch (§12.5.3), a reader of
//! a stream in its request. On a stream each event is flushed, and later ones refer to what earlier ones said.
//!
//! What must stay true: whatever arrives, a [`BodyDecoder`] holds no more than the window of a stream and one buffer.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap};
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};
use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use super::limits::{CODING_WINDOW_LOG, CODING_WINDOW_MAX_LOG, DECODE_BUFFER_BYTES};

/// The level of zstd: of random payloads of 20 bytes the higher ones up to 8 leave no less.
const ZSTD_LEVEL: i32 = 1;

/// A content coding that a gateway can apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DeliveryCoding {
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl DeliveryCoding {
    /// Its name in `Content-Encoding`.
    pub(super) const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The coding that these headers accept with the greatest weight, of equal ones the first above; `None`: none of them.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let fields = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let members: Vec<(&str, u16)> = fields.flat_map(|field| field.split(',')).map(weighted).collect();
        let weight = |coding: Self| {
            let of = |name: &str| members.iter().find(|(token, _)| token.eq_ignore_ascii_case(name));
            let (_, weight) = of(coding.token()).or_else(|| of("*"))?;
            (*weight > 0).then_some((coding, *weight))
        };
        let usable = [Self::Gzip, Self::Zstd].into_iter().filter_map(weight);
        usable.max_by_key(|(_, weight)| *weight).map(|(coding, _)| coding)
    }
}

/// A member of `Accept-Encoding` and its weight in thousandths (RFC 9110 §12.4.2); one that cannot be read is none.
fn weighted(member: &str) -> (&str, u16) {
    let (token, parameter) = member.split_once(';').unwrap_or((member, "q=1"));
    let value = parameter.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.trim_start().strip_prefix('='));
    let weight: f32 = value.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 1000")]
    (token.trim(), (weight.clamp(0.0, 1.0) * 1_000.0) as u16)
}

/// Encodes one body or one stream.
pub(super) enum BodyEncoder {
    Zstd(Box<Encoder<'static, Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl BodyEncoder {
    /// At the beginning of a body.
    pub(super) fn new(coding: DeliveryCoding) -> io::Result<Self> {
        Ok(match coding {
            DeliveryCoding::Zstd => {
                let mut encoder = Encoder::new(vec![], ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(CODING_WINDOW_LOG))?;
                Self::Zstd(Box::new(encoder))
            }
            DeliveryCoding::Gzip => Self::Gzip(Box::new(GzEncoder::new(vec![], Compression::default()))),
        })
    }

    /// The whole of a body.
    pub(super) fn encode_whole(coding: DeliveryCoding, plain: &[u8]) -> io::Result<Vec<u8>> {
        match Self::new(coding)? {
            Self::Zstd(mut encoder) => {
                encoder.set_pledged_src_size(Some(plain.len() as u64))?;
                encoder.write_all(plain)?;
                encoder.finish()
            }
            Self::Gzip(mut encoder) => {
                encoder.write_all(plain)?;
                encoder.finish()
            }
        }
    }

    /// The next part of a stream, from which its reader has all of it.
    pub(super) fn encode_part(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => {
                encoder.write_all(plain)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Gzip(encoder) => {
                encoder.write_all(plain)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }
}

/// Decodes zstd as it arrives: what a consumer asks for.
pub(super) struct BodyDecoder {
    decoder: zstd::stream::raw::Decoder<'static>,
    buffer: Vec<u8>,
}

impl BodyDecoder {
    /// At the beginning of a body or stream.
    pub(super) fn new() -> io::Result<Self> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(CODING_WINDOW_MAX_LOG))?;
        Ok(Self { decoder, buffer: vec![0; DECODE_BUFFER_BYTES] })
    }

    /// What the next bytes of a chunk hold, in parts of at most [`DECODE_BUFFER_BYTES`]; `None`: no more than that.
    ///
    /// # Errors
    /// The chunk is not zstd, or its window is too large.
    pub(super) fn next_part(&mut self, chunk: &mut &[u8]) -> io::Result<Option<&[u8]>> {
        // A full buffer may not be all that the decoder has, and a frame may have nothing.
        loop {
            let (mut input, mut output) = (InBuffer::around(chunk), OutBuffer::around(&mut self.buffer[..]));
            self.decoder.run(&mut input, &mut output)?;
            let (read, written) = (input.pos(), output.pos());
            *chunk = chunk.get(read..).unwrap_or_default();
            if written > 0 {
                return Ok(self.buffer.get(..written));
            }
            if read == 0 || chunk.is_empty() {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(fields: &[&'static str]) -> Option<DeliveryCoding> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(ACCEPT_ENCODING, field.parse().unwrap());
        }
        DeliveryCoding::accepted(&headers)
    }

    fn decode(chunks: &[&[u8]], max_bytes: usize) -> io::Result<Vec<u8>> {
        let (mut decoder, mut plain) = (BodyDecoder::new()?, vec![]);
        for chunk in chunks {
            let mut chunk = *chunk;
            while let Some(part) = decoder.next_part(&mut chunk)? {
                plain.extend_from_slice(part);
                if plain.len() > max_bytes {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
            }
        }
        Ok(plain)
    }

    #[test]
    fn the_coding_that_is_wanted_most_is_chosen() {
        assert_eq!(accepted(&["gzip, deflate, br, zstd"]), Some(DeliveryCoding::Zstd));
        assert_eq!(accepted(&["gzip;q=1.0, ZSTD;q=0.5"]), Some(DeliveryCoding::Gzip));
        assert_eq!(accepted(&["br", "gzip ; Q = 0.2"]), Some(DeliveryCoding::Gzip));
        assert_eq!(accepted(&["*"]), Some(DeliveryCoding::Zstd));
        assert_eq!(accepted(&["*, zstd;q=0"]), Some(DeliveryCoding::Gzip));
        for none in [&[][..], &[""], &["identity"], &["gzip;q=0, zstd;q=x"], &["zstd;q=nan"], &["zstd;level=3"]] {
            assert_eq!(accepted(none), None, "{none:?}");
        }
    }

    #[test]
    fn bodies_and_streams_are_read_as_they_were() {
        let text = "{\"sequence\":1}".repeat(10_000);
        let whole = BodyEncoder::encode_whole(DeliveryCoding::Zstd, text.as_bytes()).unwrap();
        assert!(whole.len() < text.len() / 100);
        assert_eq!(decode(&[&whole], text.len()).unwrap(), text.as_bytes());
        let nothing = BodyEncoder::encode_whole(DeliveryCoding::Zstd, b"").unwrap();
        assert_eq!(decode(&[&[&nothing[..], &whole].concat()], text.len()).unwrap(), text.as_bytes());
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(decode(&bytes, text.len()).unwrap(), text.as_bytes());
        let mut encoder = BodyEncoder::new(DeliveryCoding::Zstd).unwrap();
        let mut decoder = BodyDecoder::new().unwrap();
        let mut sizes = vec![];
        for number in 0..100 {
            let event = format!("event: batch\nid: {number}\ndata: {{\"gateway\":\"ag1\",\"sequence\":{number}}}\n\n");
            let part = encoder.encode_part(event.as_bytes()).unwrap();
            assert_eq!(decoder.next_part(&mut &part[..]).unwrap().unwrap(), event.as_bytes());
            sizes.push(part.len());
        }
        assert!(sizes[99] * 2 < sizes[0], "later events refer to earlier ones: {sizes:?}");
    }

    #[test]
    fn a_bomb_is_noticed_at_the_limit() {
        let bomb = BodyEncoder::encode_whole(DeliveryCoding::Zstd, &vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(decode(&[&bomb], 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        // A window of 16 MiB is more than RFC 9659 lets a sender of this coding use.
        let mut encoder = Encoder::new(vec![], 1).unwrap();
        encoder.set_parameter(CParameter::WindowLog(24)).unwrap();
        encoder.write_all(&vec![7; 20 << 20]).unwrap();
        assert!(decode(&[&encoder.finish().unwrap()], 64 << 20).is_err());
        assert!(decode(&[b"not zstd at all"], 100).is_err());
    }
}
