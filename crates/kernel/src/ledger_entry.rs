//! The terms of the books: what an allocation has in them, when, and what one that looks for a path asks of them.

use std::sync::Arc;

use super::bam::Slot;
use super::id::{AllocationId, LinkIx};
use super::shared_pool::{Member, SharedBackup};
use super::units::{Bandwidth, Millis};

/// One entry: an allocation's bandwidth on each link of its paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerEntry {
    /// The allocation.
    pub id: AllocationId,
    /// The column of the books: that of its hold priority.
    pub slot: Slot,
    /// Booked on every link.
    pub bandwidth: Bandwidth,
    /// The links of the working path, and of a backup path that is its own; with their other directions, where it is
    /// bidirectional.
    pub links: Arc<[LinkIx]>,
    /// A backup path that shares its bandwidth with others.
    pub shared: Option<SharedBackup>,
    /// The time in which it is booked.
    pub span: Span,
    /// Whether another path would be booked in both directions.
    pub is_bidirectional: bool,
}

impl LedgerEntry {
    /// All links on which it has anything.
    pub(crate) fn all_links(&self) -> impl Iterator<Item = LinkIx> + '_ {
        let shared = self.shared.iter().flat_map(|shared| shared.links.iter());
        self.links.iter().chain(shared).copied()
    }

    /// What it is in a pool in which it takes so much.
    pub(crate) fn member(&self, amount_bps: u64) -> Option<Member> {
        Some(Member { amount_bps, risks: Arc::clone(&self.shared.as_ref()?.risks) })
    }

    /// It looks for a path, and takes bandwidth with this slot.
    pub fn claim(&self, slot: Slot) -> Claim {
        let (hold_slot, is_bidirectional) = (self.slot, self.is_bidirectional);
        Claim { slot, hold_slot, bandwidth: self.bandwidth, span: self.span, is_bidirectional }
    }
}

/// When an entry is in the books: half open. Without a start it is in the book of now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Of a booking.
    pub start: Option<Start>,
    /// `None`: until it is released.
    pub ends_at: Option<Millis>,
}

/// When a booking starts, and the slot with which it takes its bandwidth then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The instant.
    pub at: Millis,
    /// That of its setup priority.
    pub setup_slot: Slot,
}

impl Span {
    /// Whether a booking that starts at `at` starts within it.
    pub(crate) fn has_start(&self, at: Millis) -> bool {
        self.start.is_none_or(|start| start.at <= at) && self.ends_at.is_none_or(|end| at < end)
    }
}

/// What a path is looked for: the slot that asks, and what would be booked.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The slot with which bandwidth is taken.
    pub slot: Slot,
    /// The slot in which it is booked.
    pub hold_slot: Slot,
    /// Asked for on every link.
    pub bandwidth: Bandwidth,
    /// The time in which it is booked.
    pub span: Span,
    /// Whether it is booked on the other directions of the links, too: there is room where both have it.
    pub is_bidirectional: bool,
}
