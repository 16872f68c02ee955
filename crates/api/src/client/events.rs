//! The stream of events, had again where it broke off: nothing is missed and nothing comes twice.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use reqwest::{Method, Response};

use super::super::retry::Retry;
use super::super::sse::{SseDecoder, SseEvent};
use super::{ANSWER_MAX_BYTES, Client, ClientError, checked};
use crate::event::{EventDocument, EventKind, FeedResetEvent};

/// The longest event that is read.
const EVENT_MAX_BYTES: usize = 64 << 20;
/// How often in a row the stream may end before it is given up.
const ENDS_MAX: u32 = 60;
/// The shortest wait before it is asked for again.
const WAIT_MIN: Duration = Duration::from_millis(200);
/// The longest wait before it is asked for again.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The events of the service, one after the other.
pub struct Events {
    client: Client,
    after: Option<u64>,
    topology: Option<String>,
    stream: Option<(Response, SseDecoder)>,
    /// Events that have come and were not asked for yet.
    ready: VecDeque<SseEvent>,
    ends: u32,
    retry: Retry,
}

impl Events {
    pub(super) fn new(client: Client, after: Option<u64>, topology: Option<String>) -> Self {
        let retry = Retry::new(WAIT_MIN, WAIT_MAX);
        Self { client, after, topology, stream: None, ready: VecDeque::new(), ends: 0, retry }
    }

    /// The next event, as soon as there is one.
    ///
    /// # Errors
    /// The service refuses, or was gone for too long. After [`ClientError::EventsGone`] the next one is the oldest that
    /// there is.
    pub async fn next(&mut self) -> Result<EventDocument, ClientError> {
        loop {
            if let Some(SseEvent { kind, data }) = self.ready.pop_front() {
                if kind == FeedResetEvent::KIND {
                    let FeedResetEvent { first_sequence, head, .. } = read(&data)?;
                    let asked = self.after.unwrap_or(head);
                    self.after = Some(if asked > head { head } else { first_sequence.saturating_sub(1) });
                    return Err(ClientError::EventsGone { first_sequence, head });
                }
                // What switches say of allocations is on the stream too, and is no event of the journal.
                if EventKind::from_str(&kind).is_err() {
                    continue;
                }
                let event: EventDocument = read(&data)?;
                (self.after, self.ends) = (Some(event.sequence), 0);
                self.retry.succeeded();
                return Ok(event);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), ClientError> {
        let Some((stream, decoder)) = &mut self.stream else { return self.open().await };
        match stream.chunk().await {
            Ok(Some(chunk)) => decoder.decode(&chunk, &mut self.ready)?,
            Ok(None) | Err(_) => self.stream = None,
        }
        Ok(())
    }

    /// Asks for the stream, from where it broke off; waits first if it just has.
    async fn open(&mut self) -> Result<(), ClientError> {
        if self.ends > 0 {
            tokio::time::sleep(self.retry.failed("the stream ended").pause).await;
        }
        let after = self.after.map(|after| ("after", after.to_string()));
        let topology = self.topology.clone().map(|topology| ("topology", topology));
        let query: Vec<_> = after.into_iter().chain(topology).collect();
        let url = self.client.url(&["v1", "events", "stream"], &query);
        self.ends += 1;
        let answer = match self.client.request(Method::GET, url).send().await {
            Ok(answer) => checked(answer, ANSWER_MAX_BYTES).await,
            Err(error) => Err(error.into()),
        };
        match answer {
            Ok(stream) => self.stream = Some((stream, SseDecoder::new(EVENT_MAX_BYTES))),
            Err(error) if error.is_transient() && self.ends < ENDS_MAX => {}
            Err(error) if error.is_transient() => return Err(ClientError::StreamLost { times: self.ends }),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, ClientError> {
    serde_json::from_str(data).map_err(|error| ClientError::Unreadable { status: 200, error })
}
