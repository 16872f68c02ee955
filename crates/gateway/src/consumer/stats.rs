//! What a consumer received: figures by topic, gaps and repetitions by subscription. Pure; time is an argument.

use std::collections::BTreeMap;

use api::gateway::{BatchDocument, MessageDocument};
use api::instant::Instant;
use api::qos_level::Level;
use serde::{Deserialize, Serialize};

use super::super::clock::SinceStart;
use super::super::limits::{SUMMARY_TOPICS_MAX, TAKEOVERS_MAX};
use super::super::rate_meter::RateMeter;

/// A message of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MessageLog {
    /// When it was received.
    pub at: Instant,
    /// The id of the gateway.
    pub gateway: String,
    /// Its topic.
    pub topic: String,
    /// The QoS level of the subscription.
    pub qos_level: Level,
    /// Its number in the subscription.
    pub sequence: u64,
    /// The time since it reached the gateway, by both clocks, in milliseconds.
    pub latency_ms: u64,
    /// The size of its payload.
    pub bytes: u64,
    /// The number of messages missing before it.
    pub gap: u64,
    /// Whether it was received before.
    pub is_repeated: bool,
    /// The rate of its topic, in bit/s.
    pub rate_bps: u64,
}

/// What arrived of a topic from a gateway in a level.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicSummary {
    /// The id of the gateway.
    pub gateway: String,
    /// The topic.
    pub topic: String,
    /// The QoS level.
    pub qos_level: Level,
    /// The number of messages.
    pub messages: u64,
    /// The size of their payloads.
    pub bytes: u64,
    /// The mean rate from the first message to the last, in bit/s.
    pub mean_bps: u64,
    /// The least latency.
    pub latency_min_ms: u64,
    /// The mean latency.
    pub latency_mean_ms: u64,
    /// The greatest latency.
    pub latency_max_ms: u64,
}

/// What arrived of one subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubscriptionSummary {
    /// The URL of the gateway.
    pub gateway: String,
    /// The topics: an MQTT filter.
    pub topic: String,
    /// The QoS level.
    pub qos_level: Level,
    /// The number of messages that arrived.
    pub messages: u64,
    /// The number of messages missing between them.
    pub missing: u64,
    /// The number of gaps.
    pub gaps: u64,
    /// The number of messages that arrived again.
    pub repeated: u64,
    /// How often the subscription was made: more than once if the gateway forgot it.
    pub subscribed: u64,
}

/// A gateway did not answer any more, and another took over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TakeoverSummary {
    /// The name that is taken from one gateway at a time.
    pub name: String,
    /// The URL of the gateway that did not answer.
    pub from: String,
    /// The URL of the gateway that took over.
    pub to: String,
    /// The time from the last answer of the one to the subscription at the other, in milliseconds.
    pub silent_ms: u64,
}

/// The summary of a consumer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConsumerSummary {
    /// The name of the consumer.
    pub consumer: String,
    /// Each subscription.
    pub subscriptions: Vec<SubscriptionSummary>,
    /// Each topic.
    pub topics: Vec<TopicSummary>,
    /// Messages of topics beyond those listed.
    pub other_messages: u64,
    /// The first 256 takeovers, in order.
    pub takeovers: Vec<TakeoverSummary>,
}

struct FlowStats {
    messages: u64,
    bytes: u64,
    first: SinceStart,
    last: SinceStart,
    meter: RateMeter,
    latency_ms: (u64, u64, u128),
}

impl FlowStats {
    fn new(now: SinceStart) -> Self {
        let meter = RateMeter::default();
        Self { messages: 0, bytes: 0, first: now, last: now, meter, latency_ms: (u64::MAX, 0, 0) }
    }
}

struct SubscriptionStats {
    summary: SubscriptionSummary,
    /// Instance and subscription, and the last number in it.
    last: Option<(String, String, u64)>,
}

/// Counts what arrives.
#[derive(Default)]
pub struct ConsumerStats {
    subscriptions: Vec<SubscriptionStats>,
    flows: BTreeMap<(String, Level, String), FlowStats>,
    other_messages: u64,
    takeovers: Vec<TakeoverSummary>,
}

impl ConsumerStats {
    /// Adds a subscription to topics of a level at a gateway; its index.
    pub fn add(&mut self, gateway: String, topic: String, level: Level) -> usize {
        let summary = SubscriptionSummary {
            gateway,
            topic,
            qos_level: level,
            messages: 0,
            missing: 0,
            gaps: 0,
            repeated: 0,
            subscribed: 0,
        };
        self.subscriptions.push(SubscriptionStats { summary, last: None });
        self.subscriptions.len() - 1
    }

    /// The number of subscriptions.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// The number of the last message that arrived of a subscription under the id that its gateway gave it.
    pub fn last_sequence(&self, index: usize, id: &str) -> Option<u64> {
        let (_, subscription, last) = self.subscriptions.get(index)?.last.as_ref()?;
        (subscription == id).then_some(*last)
    }

    /// A gateway accepted a subscription.
    pub fn subscribed(&mut self, index: usize) {
        if let Some(subscription) = self.subscriptions.get_mut(index) {
            subscription.summary.subscribed += 1;
        }
    }

    /// Another gateway took over.
    pub fn add_takeover(&mut self, takeover: TakeoverSummary) {
        if self.takeovers.len() < TAKEOVERS_MAX {
            self.takeovers.push(takeover);
        }
    }

    /// A batch arrived for a subscription; its messages for the log.
    pub fn record(&mut self, now: SinceStart, wall_ms: u64, index: usize, batch: &BatchDocument) -> Vec<MessageLog> {
        batch.messages.iter().filter_map(|message| self.record_message(now, wall_ms, index, batch, message)).collect()
    }

    fn record_message(
        &mut self,
        now: SinceStart,
        wall_ms: u64,
        index: usize,
        batch: &BatchDocument,
        message: &MessageDocument,
    ) -> Option<MessageLog> {
        let subscription = self.subscriptions.get_mut(index)?;
        let (gap, is_repeated) = subscription.count_gap(batch, message.sequence);
        let qos_level = subscription.summary.qos_level;
        let latency_ms = wall_ms.saturating_sub(message.at.0);
        let bytes = message.payload.as_ref().map_or_else(|| decoded(message), String::len) as u64;
        let rate_bps = if is_repeated { 0 } else { self.count(now, qos_level, batch, message, (bytes, latency_ms)) };
        Some(MessageLog {
            at: Instant(wall_ms),
            gateway: batch.gateway.clone(),
            topic: message.topic.clone(),
            qos_level,
            sequence: message.sequence,
            latency_ms,
            bytes,
            gap,
            is_repeated,
            rate_bps,
        })
    }

    fn count(
        &mut self,
        now: SinceStart,
        level: Level,
        batch: &BatchDocument,
        message: &MessageDocument,
        (bytes, latency_ms): (u64, u64),
    ) -> u64 {
        let key = (batch.gateway.clone(), level, message.topic.clone());
        if !self.flows.contains_key(&key) && self.flows.len() >= SUMMARY_TOPICS_MAX {
            self.other_messages += 1;
            return 0;
        }
        let flow = self.flows.entry(key).or_insert_with(|| FlowStats::new(now));
        flow.messages += 1;
        flow.bytes += bytes;
        flow.last = now;
        flow.meter.add(now, bytes);
        let (min, max, sum) = flow.latency_ms;
        flow.latency_ms = (min.min(latency_ms), max.max(latency_ms), sum + u128::from(latency_ms));
        flow.meter.bps(now)
    }

    /// What arrived so far.
    pub fn summary(&self, consumer: &str) -> ConsumerSummary {
        let topic = |((gateway, level, topic), flow): (&(String, Level, String), &FlowStats)| {
            let (min, max, sum) = flow.latency_ms;
            let span_us = u128::from(flow.last.since(flow.first)).max(1);
            let mean_bps = if flow.messages < 2 { 0 } else { u128::from(flow.bytes) * 8_000_000 / span_us };
            TopicSummary {
                gateway: gateway.clone(),
                topic: topic.clone(),
                qos_level: *level,
                messages: flow.messages,
                bytes: flow.bytes,
                mean_bps: u64::try_from(mean_bps).unwrap_or(u64::MAX),
                latency_min_ms: min,
                latency_mean_ms: u64::try_from(sum / u128::from(flow.messages.max(1))).unwrap_or(u64::MAX),
                latency_max_ms: max,
            }
        };
        ConsumerSummary {
            consumer: consumer.to_owned(),
            subscriptions: self.subscriptions.iter().map(|subscription| subscription.summary.clone()).collect(),
            topics: self.flows.iter().map(topic).collect(),
            other_messages: self.other_messages,
            takeovers: self.takeovers.clone(),
        }
    }
}

impl SubscriptionStats {
    /// The messages missing before this number, and whether it arrived before.
    fn count_gap(&mut self, batch: &BatchDocument, sequence: u64) -> (u64, bool) {
        let same = |last: &&mut (String, String, u64)| last.0 == batch.instance && last.1 == batch.subscription;
        let gap = match self.last.as_mut().filter(same) {
            Some((_, _, last)) if sequence <= *last => {
                self.summary.repeated += 1;
                return (0, true);
            }
            Some((_, _, last)) => {
                let gap = sequence - *last - 1;
                *last = sequence;
                gap
            }
            None => {
                self.last = Some((batch.instance.clone(), batch.subscription.clone(), sequence));
                sequence.saturating_sub(1)
            }
        };
        self.summary.messages += 1;
        self.summary.missing = self.summary.missing.saturating_add(gap);
        self.summary.gaps += u64::from(gap > 0);
        (gap, false)
    }
}

/// The size of a payload in base64.
fn decoded(message: &MessageDocument) -> usize {
    let text = message.payload_base64.as_deref().unwrap_or_default().trim_end_matches('=');
    text.len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(instance: &str, sequences: &[u64]) -> BatchDocument {
        let message = |sequence: &u64| MessageDocument {
            sequence: *sequence,
            topic: "t".to_owned(),
            at: Instant(1_000),
            payload: sequence.is_multiple_of(2).then(|| "four".to_owned()),
            payload_base64: (!sequence.is_multiple_of(2)).then(|| "/wA=".to_owned()),
        };
        BatchDocument {
            gateway: "g".to_owned(),
            instance: instance.to_owned(),
            subscription: "1".to_owned(),
            sent_at: Instant(0),
            messages: sequences.iter().map(message).collect(),
        }
    }

    #[test]
    fn gaps_and_repetitions_are_told() {
        let mut stats = ConsumerStats::default();
        stats.add("http://g".to_owned(), "#".to_owned(), Level::LOWEST);
        let mut note = |at: u64, batch: &BatchDocument| {
            let lines = stats.record(SinceStart(at), 1_025, 0, batch);
            lines.iter().map(|line| (line.gap, line.is_repeated, line.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(note(0, &batch("i", &[1, 2])), [(0, false, 2), (0, false, 4)]);
        assert_eq!(note(1_000_000, &batch("i", &[2, 5])), [(0, true, 4), (2, false, 2)]);
        // The gateway was restarted: its numbers begin again.
        assert_eq!(note(2_000_000, &batch("j", &[2])), [(1, false, 4)]);
        let summary = stats.summary("me");
        let subscription = &summary.subscriptions[0];
        assert_eq!(
            (subscription.messages, subscription.missing, subscription.gaps, subscription.repeated),
            (4, 3, 2, 1)
        );
        let topic = &summary.topics[0];
        assert_eq!((topic.messages, topic.bytes, topic.mean_bps, topic.latency_max_ms), (4, 12, 48, 25));
        assert_eq!(stats.record(SinceStart(0), 0, 9, &batch("i", &[1])), []);
    }
}
