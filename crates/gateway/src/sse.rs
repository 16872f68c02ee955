//! Reads a stream of server-sent events (WHATWG HTML §9.2). Pure, and bounded: no line and no event grows beyond a limit,
//! whatever the server sends.

use super::limits::EVENT_MAX_BYTES;

/// The data of one event and its kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Event {
    /// `event:`, empty if it was not said.
    pub(super) kind: String,
    /// `data:`, lines joined.
    pub(super) data: String,
}

/// An event or line is over the limit, or no UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// Over [`EVENT_MAX_BYTES`].
    #[error("an event has more than {EVENT_MAX_BYTES} bytes")]
    TooLarge,
    /// Not text.
    #[error("an event is no UTF-8")]
    NotText,
}

/// Takes bytes, gives events.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
}

impl Decoder {
    /// Takes the next bytes of the stream; every event that they complete is pushed to `events`.
    ///
    /// # Errors
    /// The stream cannot be read further.
    pub(super) fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), StreamError> {
        for byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line(events)?,
                _ if self.line.len() >= EVENT_MAX_BYTES => return Err(StreamError::TooLarge),
                byte => self.line.push(*byte),
            }
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) -> Result<(), StreamError> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| StreamError::NotText)?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if self.event.data.len() + value.len() >= EVENT_MAX_BYTES {
                    return Err(StreamError::TooLarge);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(chunks: &[&[u8]]) -> Result<Vec<Event>, StreamError> {
        let (mut decoder, mut events) = (Decoder::default(), vec![]);
        for chunk in chunks {
            decoder.push(chunk, &mut events)?;
        }
        Ok(events)
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = b": hello\n\nevent: rates\nid: 7\ndata: {\"a\":1}\n\ndata:x\ndata\ndata: y\r\n\r\nevent: lost\n\ndata: open";
        let event = |kind: &str, data: &str| Event { kind: kind.to_owned(), data: data.to_owned() };
        assert_eq!(decode(&[text]).unwrap(), [event("rates", "{\"a\":1}"), event("", "x\n\ny")]);
        assert_eq!(decode(&[b"data: \xff\n"]), Err(StreamError::NotText));
    }

    #[test]
    fn a_flood_ends_the_stream() {
        let line = vec![b'x'; EVENT_MAX_BYTES + 1];
        assert_eq!(decode(&[&line]), Err(StreamError::TooLarge));
        let mut lines = b"data: ".to_vec();
        lines.extend(vec![b'x'; EVENT_MAX_BYTES / 2]);
        lines.push(b'\n');
        assert_eq!(decode(&[&lines, &lines, &lines]), Err(StreamError::TooLarge));
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
