//! The counters of the broker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows, or goes up and down.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the store's latencies, in microseconds; the last class has none.
pub const STORE_LATENCY_BOUNDS_US: [u64; 10] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 25_000, 100_000, 1_000_000];

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections now.
    pub connections: Count,
    /// Connections ever accepted by CONNACK.
    pub connects: Count,
    /// CONNECTs refused.
    pub refused: Count,
    /// Sockets closed at once because their address opens too many a second.
    pub accepts_too_fast: Count,
    /// CONNECTs refused because their address sends too many a second.
    pub connects_too_fast: Count,
    /// CONNECTs whose password was not compared: too many wrong ones of their address, or under their name there.
    pub passwords_held_back: Count,
    /// Connections closed because of what the client did wrong.
    pub protocol_errors: Count,
    /// Sessions taken over by a newer connection.
    pub taken_over: Count,
    /// Messages from clients by QoS.
    pub received: [Count; 3],
    /// Messages to clients by QoS.
    pub sent: [Count; 3],
    /// Bytes from clients.
    pub received_bytes: Count,
    /// Bytes to clients.
    pub sent_bytes: Count,
    /// Messages not delivered because the subscriber was too slow.
    pub dropped_slow: Count,
    /// Messages not delivered because the subscriber takes no packet that large.
    pub dropped_large: Count,
    /// Messages not queued because the session's queue was full.
    pub dropped_full: Count,
    /// Times a message of QoS 0 was not handed to another replica because its inbox was full.
    pub dropped_crowded: Count,
    /// Messages that expired before a client got them, or while they were retained.
    pub expired: Count,
    /// Messages not published because too many filters had to be looked at for their topic.
    pub dropped_costly: Count,
    /// Messages that no member of a shared subscription was connected for, where such messages do not wait.
    pub dropped_absent: Count,
    /// Messages not published because the client may not.
    pub dropped_denied: Count,
    /// Messages not published because their payload is not the text that it is said to be.
    pub dropped_format: Count,
    /// Retained messages for which there was no room.
    pub not_retained: Count,
    /// Subscriptions refused because a limit was reached.
    pub subscriptions_refused: Count,
    /// Bytes of packets and messages that wait in memory for connections with more than a little of them.
    pub buffered_bytes: Count,
    /// Connections closed because all of them had too many of those.
    pub buffers_exceeded: Count,
    /// Clients disconnected because they took nothing.
    pub slow_consumers: Count,
    /// Times a publisher was held back.
    pub held_back: Count,
    /// Wills published.
    pub wills: Count,
    /// Messages for clients elsewhere, handed to other replicas.
    pub forwarded: Count,
    /// Batches carried out by the store.
    pub store_batches: Count,
    /// What they took in all, in microseconds.
    pub store_us: Count,
    /// By how long they took; each class counts only its own.
    pub store_latency: [Count; STORE_LATENCY_BOUNDS_US.len() + 1],
}

impl Metrics {
    /// The store carried out a batch.
    pub(crate) fn record_store_batch(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.store_batches.add(1);
        self.store_us.add(us);
        let class = STORE_LATENCY_BOUNDS_US.iter().position(|bound| us <= *bound);
        self.store_latency[class.unwrap_or(STORE_LATENCY_BOUNDS_US.len())].add(1);
    }
}

/// Sizes of the routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoutingSizes {
    /// Subscriptions, of all replicas.
    pub subscriptions: usize,
    /// Their bytes.
    pub subscription_bytes: usize,
    /// Retained messages.
    pub retained: usize,
    /// Their bytes.
    pub retained_bytes: usize,
    /// Sessions that are known here.
    pub sessions: usize,
}
