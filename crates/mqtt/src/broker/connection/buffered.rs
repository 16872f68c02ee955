//! What one connection holds in memory, counted among what all connections hold.

use std::sync::Arc;

use crate::limits::BUFFERED_BYTES_FREE;
use crate::metrics::Metrics;

/// The bytes of one connection in [`Metrics::buffered_bytes`], until it is dropped.
pub(crate) struct BufferedBytes {
    metrics: Arc<Metrics>,
    all_max: usize,
    counted: usize,
}

impl BufferedBytes {
    pub(crate) fn new(metrics: &Arc<Metrics>, all_max: usize) -> Self {
        Self { metrics: Arc::clone(metrics), all_max, counted: 0 }
    }

    /// Counts the connection's bytes as they are now. Returns whether there is room for them.
    pub(crate) fn count(&mut self, bytes: usize) -> bool {
        let counted = if bytes > BUFFERED_BYTES_FREE { bytes } else { 0 };
        let all = &self.metrics.buffered_bytes;
        if counted > self.counted {
            all.add((counted - self.counted) as u64);
        } else if counted < self.counted {
            all.sub((self.counted - counted) as u64);
        }
        self.counted = counted;
        let has_room = counted == 0 || all.get() <= self.all_max as u64;
        self.metrics.buffers_exceeded.add(u64::from(!has_room));
        has_room
    }
}

impl Drop for BufferedBytes {
    fn drop(&mut self) {
        self.metrics.buffered_bytes.sub(self.counted as u64);
    }
}
