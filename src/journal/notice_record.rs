//! Notice of preemption as it is stored, in events and in snapshots.

use serde::{Deserialize, Serialize};

use super::scalars::StoredAllocationId;
use kernel::id::AllocationId;
use kernel::preemption_notice::PreemptionNotice;
use kernel::units::Millis;

/// An allocation with its notice, or without one any more.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct NoticeRecord {
    id: StoredAllocationId,
    #[serde(flatten)]
    notice: Option<StoredNotice>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
struct StoredNotice {
    at_ms: u64,
    by: StoredAllocationId,
}

impl NoticeRecord {
    pub(super) fn of((id, notice): (AllocationId, Option<PreemptionNotice>)) -> Self {
        let notice = notice.map(|PreemptionNotice { at, by }| StoredNotice { at_ms: at.0, by: StoredAllocationId(by) });
        Self { id: StoredAllocationId(id), notice }
    }

    pub(super) fn read(&self) -> (AllocationId, Option<PreemptionNotice>) {
        let notice = self.notice.as_ref();
        (self.id.0, notice.map(|notice| PreemptionNotice { at: Millis(notice.at_ms), by: notice.by.0 }))
    }
}
