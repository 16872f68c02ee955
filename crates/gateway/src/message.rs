//! A message from a device on its way to consumers. It is rendered once; all lanes that hold it share the text.

use std::sync::{Arc, Mutex, PoisonError};

use api::gateway::OverflowPolicy;
use api::instant::Instant;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Serialize;

use super::limits::MESSAGE_OVERHEAD_BYTES;
use super::spool::SegmentLease;

/// The names of the members and the time, in JSON.
const MEMBERS_ABOUT_BYTES: usize = 60;

/// A message, rendered as [`api::gateway::MessageDocument`] but for its number.
#[derive(Debug)]
pub struct TopicMessage {
    /// Its topic.
    pub topic: Arc<str>,
    /// What becomes of it in a full buffer.
    pub policy: OverflowPolicy,
    /// Its members as JSON, without the opening brace, for a sequence number comes first.
    members: Bytes,
    /// The part of the spool that has it.
    segment: Mutex<Option<Arc<SegmentLease>>>,
}

impl PartialEq for TopicMessage {
    fn eq(&self, other: &Self) -> bool {
        (&self.topic, self.policy, &self.members) == (&other.topic, other.policy, &other.members)
    }
}

impl Eq for TopicMessage {}

#[derive(Serialize)]
struct MessageMembers<'a> {
    topic: &'a str,
    at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl TopicMessage {
    /// A message that arrived at `at_ms`.
    pub fn new(topic: Arc<str>, payload: &[u8], policy: OverflowPolicy, at_ms: u64) -> Self {
        let text = std::str::from_utf8(payload).ok();
        let payload_base64 = text.is_none().then(|| BASE64_STANDARD.encode(payload));
        let members = MessageMembers { topic: &topic, at: Instant(at_ms), payload: text, payload_base64 };
        // Texts always render.
        let rendered = serde_json::to_vec(&members).unwrap_or_default();
        Self::restored(topic, policy, Bytes::from(rendered).slice(1..))
    }

    /// A message from the spool.
    pub(super) fn restored(topic: Arc<str>, policy: OverflowPolicy, members: Bytes) -> Self {
        Self { topic, policy, members, segment: Mutex::default() }
    }

    /// Its members as JSON, without the opening brace.
    pub(super) fn members(&self) -> &Bytes {
        &self.members
    }

    /// It is in that part of the spool from now on, and in no other.
    pub(super) fn hold_segment(&self, segment: &Arc<SegmentLease>) {
        *self.segment.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(segment));
    }

    /// What it costs to keep or send it once.
    pub fn bytes(&self) -> u64 {
        self.members.len() as u64 + MESSAGE_OVERHEAD_BYTES
    }

    /// About what it would cost if it were rendered: a member more or less does not matter.
    pub fn bytes_about(topic: &str, payload: &[u8]) -> u64 {
        (topic.len() + payload.len() + MEMBERS_ABOUT_BYTES) as u64 + MESSAGE_OVERHEAD_BYTES
    }

    /// Writes it as JSON with its number in a subscription.
    pub fn write(&self, sequence: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"sequence\":");
        out.extend_from_slice(sequence.to_string().as_bytes());
        out.push(b',');
        out.extend_from_slice(&self.members);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts_and_anything_else_travels_as_base64() {
        let render = |payload: &[u8]| {
            let mut out = vec![];
            TopicMessage::new("a/\"b\"".into(), payload, OverflowPolicy::Fifo, 5).write(7, &mut out);
            serde_json::from_slice::<serde_json::Value>(&out).unwrap()
        };
        let text = render("21 °C\n".as_bytes());
        assert_eq!(text["payload"], "21 °C\n");
        assert_eq!((text["sequence"].as_u64(), text["topic"].as_str()), (Some(7), Some("a/\"b\"")));
        assert_eq!(text["at"], "1970-01-01T00:00:00.005Z");
        assert_eq!(render(&[0xff, 0])["payload_base64"], "/wA=");
    }
}
