//! The built-in traffic: sources that publish under a topic at a steady rate, through the gateway's own broker like any
//! device.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::limits::{PAYLOAD_MAX_BYTES, SOURCE_MAX_PER_S, TOPIC_MAX_BYTES};
use mqtt::codec::{Qos, topic};
use mqtt::{Broker, LocalClientError, Message};

/// A source: `topic=plant/1/temperature,payload_bytes=100,rate_bps=8000` on the command line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// The topic.
    pub topic: String,
    /// The size of a payload, in bytes.
    #[serde(default = "payload_default")]
    pub payload_bytes: usize,
    /// The rate of payloads, in bit/s.
    #[serde(default = "rate_default")]
    pub rate_bps: u64,
    /// When it begins, in milliseconds after the gateway.
    #[serde(default)]
    pub start_ms: u64,
    /// When it ends, in milliseconds after the gateway; absent: never.
    #[serde(default)]
    pub stop_ms: Option<u64>,
}

fn payload_default() -> usize {
    100
}

fn rate_default() -> u64 {
    8_000
}

/// A text does not describe a source.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SourceError {
    /// Not `member=value`.
    #[error("invalid source: '{0}' is not of the form member=value")]
    Form(String),
    /// An unknown member.
    #[error("invalid source: unknown member '{0}'; known are topic, payload_bytes, rate_bps, start_ms, stop_ms")]
    Member(String),
    /// Not a number.
    #[error("invalid source: {member} is '{value}', not a whole number")]
    Number {
        /// The member.
        member: String,
        /// Its value.
        value: String,
    },
    /// Not a topic name.
    #[error("invalid source: '{0}' is not a topic name")]
    Topic(String),
    /// Over a limit.
    #[error("invalid source: {member} is not from {min} to {max}")]
    Range {
        /// The member.
        member: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
}

impl FromStr for SourceSpec {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let mut spec = Self {
            topic: String::new(),
            payload_bytes: payload_default(),
            rate_bps: rate_default(),
            start_ms: 0,
            stop_ms: None,
        };
        for part in text.split(',') {
            let (member, value) = part.split_once('=').ok_or_else(|| SourceError::Form(part.to_owned()))?;
            let number = || {
                let error = SourceError::Number { member: member.to_owned(), value: value.to_owned() };
                value.parse::<u64>().map_err(|_| error)
            };
            match member {
                "topic" => value.clone_into(&mut spec.topic),
                "payload_bytes" => spec.payload_bytes = usize::try_from(number()?).unwrap_or(usize::MAX),
                "rate_bps" => spec.rate_bps = number()?,
                "start_ms" => spec.start_ms = number()?,
                "stop_ms" => spec.stop_ms = Some(number()?),
                _ => return Err(SourceError::Member(member.to_owned())),
            }
        }
        spec.check()?;
        Ok(spec)
    }
}

impl SourceSpec {
    /// Checks topic, size and rate.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn check(&self) -> Result<(), SourceError> {
        if topic::check_name(&self.topic).is_err() || self.topic.len() > TOPIC_MAX_BYTES {
            return Err(SourceError::Topic(self.topic.clone()));
        }
        if !(1..=PAYLOAD_MAX_BYTES).contains(&self.payload_bytes) {
            return Err(SourceError::Range { member: "payload_bytes", min: 1, max: PAYLOAD_MAX_BYTES as u64 });
        }
        let message_bits = self.payload_bytes as u64 * 8;
        if !(1..=message_bits * SOURCE_MAX_PER_S).contains(&self.rate_bps) {
            return Err(SourceError::Range { member: "rate_bps", min: 1, max: message_bits * SOURCE_MAX_PER_S });
        }
        Ok(())
    }

    /// The time from one message to the next.
    fn period(&self) -> Duration {
        let bits = u128::from(self.payload_bytes as u64) * 8;
        let ns = bits * 1_000_000_000 / u128::from(self.rate_bps.max(1));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX).clamp(1, 86_400_000_000_000))
    }
}

/// Publishes until the source ends or the gateway stops.
pub(super) async fn run(spec: SourceSpec, broker: Broker, stop: CancellationToken) {
    let ended = async {
        match spec.stop_ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = ended => tracing::info!(topic = spec.topic, "the source ends"),
        Err(error) = publish(&spec, &broker) => tracing::error!(topic = spec.topic, %error, "the source broke"),
    }
}

async fn publish(spec: &SourceSpec, broker: &Broker) -> Result<std::convert::Infallible, LocalClientError> {
    let client = broker.client("generator").await?;
    let start = Instant::now() + Duration::from_millis(spec.start_ms);
    let mut ticks = interval_at(start, spec.period());
    // Late messages catch up: the mean rate counts.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0_u64.. {
        ticks.tick().await;
        if let Some(message) = Message::new(&spec.topic, payload(number, spec.payload_bytes), Qos::AtMostOnce) {
            client.publish(message).await?;
        }
    }
    std::future::pending().await
}

/// The number of the message, filled up to the size.
fn payload(number: u64, bytes: usize) -> Bytes {
    let mut text = number.to_string().into_bytes();
    text.resize(bytes, b'.');
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_checked() {
        let spec: SourceSpec = "topic=plant/1/t,payload_bytes=200,rate_bps=16000,start_ms=5".parse().unwrap();
        assert_eq!((spec.period(), spec.start_ms, spec.stop_ms), (Duration::from_millis(100), 5, None));
        assert_eq!(payload(12, 5), "12...");
        let bad = [
            "",
            "topic",
            "topic=",
            "topic=a/#",
            "topic=a,payload_bytes=0",
            "topic=a,rate_bps=0",
            "topic=a,rate_bps=x",
            "topic=a,rate_bps=99999999999999",
            "topic=a,payload_bytes=99999999",
            "topic=a,colour=red",
        ];
        for text in bad {
            assert!(text.parse::<SourceSpec>().is_err(), "{text}");
        }
    }
}
