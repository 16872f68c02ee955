//! The stream of events, had again where it broke off: nothing is missed and nothing comes twice.

use std::time::Duration;

use reqwest::Response;

use super::document::Event;
use super::{Client, ClientError, checked};

/// The longest event that is taken.
const EVENT_MAX_BYTES: usize = 64 << 20;
/// How often in a row the stream may end before it is given up.
const ENDS_MAX: u32 = 60;
/// The longest wait before it is asked for again.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Somebody who follows what happens.
pub struct Events {
    client: Client,
    after: Option<u64>,
    topology: Option<String>,
    stream: Option<Response>,
    /// What came and is not a whole line yet.
    buffer: Vec<u8>,
    ends: u32,
}

impl Events {
    pub(super) fn new(client: Client, after: Option<u64>, topology: Option<String>) -> Self {
        Self { client, after, topology, stream: None, buffer: vec![], ends: 0 }
    }

    /// The next event, as soon as there is one.
    ///
    /// # Errors
    /// The service refuses, or was gone for too long.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            while let Some(line) = self.line() {
                if let Some(data) = line.strip_prefix("data:") {
                    let event: Event = serde_json::from_str(data.trim_start())
                        .map_err(|error| ClientError::Unreadable { status: 200, error })?;
                    (self.after, self.ends) = (Some(event.sequence), 0);
                    return Ok(event);
                }
            }
            self.read().await?;
        }
    }

    /// The next whole line.
    fn line(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let rest = self.buffer.split_off(end + 1);
        let line = std::mem::replace(&mut self.buffer, rest);
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn read(&mut self) -> Result<(), ClientError> {
        let Some(stream) = &mut self.stream else { return self.open().await };
        match stream.chunk().await {
            Ok(Some(chunk)) if self.buffer.len() + chunk.len() <= EVENT_MAX_BYTES => {
                self.buffer.extend_from_slice(&chunk);
                Ok(())
            }
            Ok(Some(_)) => Err(ClientError::TooLong),
            Ok(None) | Err(_) => {
                self.stream = None;
                self.buffer.clear();
                Ok(())
            }
        }
    }

    /// Asks for the stream, from where it broke off; waits first if it just has.
    async fn open(&mut self) -> Result<(), ClientError> {
        if self.ends > 0 {
            let wait = Duration::from_millis(100).saturating_mul(1 << self.ends.min(7));
            tokio::time::sleep(wait.min(WAIT_MAX)).await;
        }
        let after = self.after.map(|after| ("after", after.to_string()));
        let topology = self.topology.clone().map(|topology| ("topology", topology));
        let query: Vec<_> = after.into_iter().chain(topology).collect();
        let url = self.client.url(&["v1", "events", "stream"], &query);
        self.ends += 1;
        let answer = match self.client.http.get(url).send().await {
            Ok(answer) => checked(answer).await,
            Err(error) => Err(error.into()),
        };
        match answer {
            Ok(stream) => self.stream = Some(stream),
            Err(error) if error.is_transient() && self.ends < ENDS_MAX => {}
            Err(error) if error.is_transient() => return Err(ClientError::StreamLost { times: self.ends }),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
