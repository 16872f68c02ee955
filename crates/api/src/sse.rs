//! Reads a stream of server-sent events (WHATWG HTML §9.2). Pure, and bounded: no line and no event grows beyond a limit,
//! whatever the server sends.

/// One event of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SseEvent {
    /// `event:`; empty if absent.
    pub kind: String,
    /// `data:`, lines joined by line feeds.
    pub data: String,
}

/// The stream cannot be read further.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SseError {
    /// A line or the data of an event is over the decoder's limit.
    #[error("an event has more than {max_bytes} bytes")]
    TooLarge {
        /// The limit of the decoder.
        max_bytes: usize,
    },
    /// Not text.
    #[error("an event is not UTF-8")]
    NotText,
}

/// Turns the bytes of a stream into events.
///
/// ```
/// let mut decoder = watermaster_api::sse::SseDecoder::new(1_024);
/// let mut events = vec![];
/// decoder.decode(b"event: rates\ndata: {}\n\ndata: more is to co", &mut events)?;
/// assert_eq!((events.len(), events[0].kind.as_str(), events[0].data.as_str()), (1, "rates", "{}"));
/// # Ok::<(), watermaster_api::sse::SseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SseDecoder {
    max_bytes: usize,
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    after_cr: bool,
}

impl SseDecoder {
    /// For the beginning of a stream; a line or an event of more than `max_bytes` ends it.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, line: vec![], event: SseEvent::default(), has_data: false, after_cr: false }
    }

    /// Reads the next bytes of the stream and pushes each event that they complete to `events`.
    ///
    /// # Errors
    /// The stream cannot be read further.
    pub fn decode(&mut self, bytes: &[u8], events: &mut impl Extend<SseEvent>) -> Result<(), SseError> {
        for byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                _ if self.line.len() >= self.max_bytes => return Err(self.too_large()),
                byte => self.line.push(*byte),
            }
        }
        Ok(())
    }

    /// The event that the line completes, if it does.
    fn end_line(&mut self) -> Result<Option<SseEvent>, SseError> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| SseError::NotText)?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if self.event.data.len() + value.len() >= self.max_bytes {
                    return Err(self.too_large());
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        Ok(None)
    }

    fn too_large(&self) -> SseError {
        SseError::TooLarge { max_bytes: self.max_bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_BYTES: usize = 1 << 10;

    fn decode(chunks: &[&[u8]]) -> Result<Vec<SseEvent>, SseError> {
        let (mut decoder, mut events) = (SseDecoder::new(MAX_BYTES), vec![]);
        for chunk in chunks {
            decoder.decode(chunk, &mut events)?;
        }
        Ok(events)
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = b": hello\n\nevent: rates\nid: 7\ndata: {\"a\":1}\n\ndata:x\ndata\ndata: y\r\n\r\nevent: lost\n\ndata: open";
        let event = |kind: &str, data: &str| SseEvent { kind: kind.to_owned(), data: data.to_owned() };
        assert_eq!(decode(&[text]).unwrap(), [event("rates", "{\"a\":1}"), event("", "x\n\ny")]);
        assert_eq!(decode(&[b"data: \xff\n"]), Err(SseError::NotText));
    }

    #[test]
    fn a_flood_ends_the_stream() {
        let too_large = Err(SseError::TooLarge { max_bytes: MAX_BYTES });
        let line = vec![b'x'; MAX_BYTES + 1];
        assert_eq!(decode(&[&line]), too_large);
        let mut lines = b"data: ".to_vec();
        lines.extend(vec![b'x'; MAX_BYTES / 2]);
        lines.push(b'\n');
        assert_eq!(decode(&[&lines, &lines, &lines]), too_large);
    }

    proptest! {
        /// It does not matter where the network cuts, and nothing panics.
        #[test]
        fn cuts_do_not_matter(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..200), at in 0..200_usize) {
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(decode(&[left, right]), decode(&[&bytes]));
        }
    }
}
