//! What a consumer got: numbers by topic, gaps and repetitions by subscription. Pure; time is an argument.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::clock::{SinceStart, parse_rfc3339, rfc3339};
use super::super::limits::SUMMARY_TOPICS_MAX;
use super::super::qos_level::Level;
use super::super::rate_meter::RateMeter;
use super::super::wire::{BatchDocument, MessageDocument};

/// A message, as it is logged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MessageLog {
    /// When it was received.
    pub at: String,
    /// From which gateway.
    pub gateway: String,
    /// Its topic.
    pub topic: String,
    /// In which level it was subscribed to.
    pub qos_level: Level,
    /// Its number in the subscription.
    pub sequence: u64,
    /// How long it was on its way since it reached the gateway, by both clocks.
    pub latency_ms: u64,
    /// How large its payload is.
    pub bytes: u64,
    /// How many messages before it are missing.
    pub gap: u64,
    /// Whether it was received before.
    pub is_repeated: bool,
    /// What arrives of its topic.
    pub rate_bps: u64,
}

/// What arrived of a topic from a gateway in a level.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TopicSummary {
    /// From which gateway.
    pub gateway: String,
    /// Which topic.
    pub topic: String,
    /// In which level.
    pub qos_level: Level,
    /// How many messages.
    pub messages: u64,
    /// Their payloads.
    pub bytes: u64,
    /// The mean rate from the first to the last.
    pub mean_bps: u64,
    /// The fastest.
    pub latency_min_ms: u64,
    /// The mean.
    pub latency_mean_ms: u64,
    /// The slowest.
    pub latency_max_ms: u64,
}

/// What arrived of one subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WishSummary {
    /// At which gateway.
    pub gateway: String,
    /// Which topics.
    pub topic: String,
    /// In which level.
    pub qos_level: Level,
    /// How many messages arrived.
    pub messages: u64,
    /// How many are missing between them.
    pub missing: u64,
    /// In how many places.
    pub gaps: u64,
    /// How many arrived more than once.
    pub repeated: u64,
    /// How often it was subscribed to: more than once if the gateway forgot.
    pub subscribed: u64,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConsumerSummary {
    /// Who.
    pub consumer: String,
    /// Each subscription.
    pub subscriptions: Vec<WishSummary>,
    /// Each topic.
    pub topics: Vec<TopicSummary>,
    /// Messages of topics beyond those that are told of one by one.
    pub other_messages: u64,
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

struct Wish {
    summary: WishSummary,
    /// Instance and subscription, and the last number in it.
    last: Option<(String, String, u64)>,
}

/// Keeps count.
pub struct Tally {
    wishes: Vec<Wish>,
    flows: BTreeMap<(String, Level, String), FlowStats>,
    other_messages: u64,
}

impl Tally {
    /// For subscriptions to topics in levels at gateways.
    pub fn new(wishes: impl IntoIterator<Item = (String, String, Level)>) -> Self {
        let wish = |(gateway, topic, qos_level)| {
            let summary =
                WishSummary { gateway, topic, qos_level, messages: 0, missing: 0, gaps: 0, repeated: 0, subscribed: 0 };
            Wish { summary, last: None }
        };
        Self { wishes: wishes.into_iter().map(wish).collect(), flows: BTreeMap::new(), other_messages: 0 }
    }

    /// Another subscription; its number among all.
    pub fn add(&mut self, gateway: String, topic: String, level: Level) -> usize {
        self.wishes.extend(Self::new([(gateway, topic, level)]).wishes);
        self.wishes.len() - 1
    }

    /// How many there are.
    pub fn wish_count(&self) -> usize {
        self.wishes.len()
    }

    /// A gateway took a subscription.
    pub fn subscribed(&mut self, wish: usize) {
        if let Some(wish) = self.wishes.get_mut(wish) {
            wish.summary.subscribed += 1;
        }
    }

    /// A batch arrived for one of the subscriptions.
    pub fn note(&mut self, now: SinceStart, wall_ms: u64, wish: usize, batch: &BatchDocument) -> Vec<MessageLog> {
        batch.messages.iter().filter_map(|message| self.note_message(now, wall_ms, wish, batch, message)).collect()
    }

    fn note_message(
        &mut self,
        now: SinceStart,
        wall_ms: u64,
        wish: usize,
        batch: &BatchDocument,
        message: &MessageDocument,
    ) -> Option<MessageLog> {
        let wish = self.wishes.get_mut(wish)?;
        let (gap, is_repeated) = wish.follow(batch, message.sequence);
        let qos_level = wish.summary.qos_level;
        let latency_ms = wall_ms.saturating_sub(parse_rfc3339(&message.at).unwrap_or(wall_ms));
        let bytes = message.payload.as_ref().map_or_else(|| decoded(message), String::len) as u64;
        let rate_bps = if is_repeated { 0 } else { self.count(now, qos_level, batch, message, (bytes, latency_ms)) };
        Some(MessageLog {
            at: rfc3339(wall_ms),
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

    /// Everything so far.
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
            subscriptions: self.wishes.iter().map(|wish| wish.summary.clone()).collect(),
            topics: self.flows.iter().map(topic).collect(),
            other_messages: self.other_messages,
        }
    }
}

impl Wish {
    /// How many are missing before this number, and whether it was there before.
    fn follow(&mut self, batch: &BatchDocument, sequence: u64) -> (u64, bool) {
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

/// How many bytes base64 stands for.
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
            at: "1970-01-01T00:00:01.000Z".to_owned(),
            payload: sequence.is_multiple_of(2).then(|| "four".to_owned()),
            payload_base64: (!sequence.is_multiple_of(2)).then(|| "/wA=".to_owned()),
        };
        BatchDocument {
            gateway: "g".to_owned(),
            instance: instance.to_owned(),
            subscription: "1".to_owned(),
            sent_at: String::new(),
            messages: sequences.iter().map(message).collect(),
        }
    }

    #[test]
    fn gaps_and_repetitions_are_told() {
        let mut tally = Tally::new([("http://g".to_owned(), "#".to_owned(), Level::LOWEST)]);
        let mut note = |at: u64, batch: &BatchDocument| {
            let lines = tally.note(SinceStart(at), 1_025, 0, batch);
            lines.iter().map(|line| (line.gap, line.is_repeated, line.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(note(0, &batch("i", &[1, 2])), [(0, false, 2), (0, false, 4)]);
        assert_eq!(note(1_000_000, &batch("i", &[2, 5])), [(0, true, 4), (2, false, 2)]);
        // The gateway was restarted: its numbers begin again.
        assert_eq!(note(2_000_000, &batch("j", &[2])), [(1, false, 4)]);
        let summary = tally.summary("me");
        let wish = &summary.subscriptions[0];
        assert_eq!((wish.messages, wish.missing, wish.gaps, wish.repeated), (4, 3, 2, 1));
        let topic = &summary.topics[0];
        assert_eq!((topic.messages, topic.bytes, topic.mean_bps, topic.latency_max_ms), (4, 12, 48, 25));
        assert_eq!(tally.note(SinceStart(0), 0, 9, &batch("i", &[1])), []);
    }
}
