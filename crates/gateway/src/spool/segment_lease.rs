//! Segments are rows of the spool with many messages each. A message in memory holds on to its segment, so that a delivery
//! deletes nothing; a segment that nothing holds is deleted whole.

use std::sync::{Arc, Mutex, PoisonError};

/// The numbers of segments that nothing holds any more.
#[derive(Clone, Debug, Default)]
pub(super) struct ReleasedSegments(Arc<Mutex<Vec<u64>>>);

impl ReleasedSegments {
    pub(super) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// What messages hold on to.
#[derive(Debug)]
pub struct SegmentLease {
    pub(super) id: u64,
    released: ReleasedSegments,
}

impl SegmentLease {
    pub(super) fn new(id: u64, released: &ReleasedSegments) -> Arc<Self> {
        Arc::new(Self { id, released: released.clone() })
    }
}

impl Drop for SegmentLease {
    fn drop(&mut self) {
        self.released.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
    }
}
