//! The spool: what devices were acknowledged, subscriptions, numbers and last values, in a SQLite file. Memory has the
//! working copy and answers; a writer writes what changed, many messages in one transaction, and a device is acknowledged
//! once its message is in the file. So the file is always one state that memory had.
//!
//! What must stay true: a message that was acknowledged is in the file until each of its subscriptions is done with it; the
//! file has at most twice what buffers hold, and [`SPOOL_SLACK_BYTES`](super::limits::SPOOL_SLACK_BYTES).

mod changes;
mod file;
mod segment;
mod segment_index;
mod segment_lease;
mod writer;
#[cfg(test)]
mod tests;

pub use changes::{MessagePlaces, SpoolChanges};
pub use file::SpoolError;
pub(super) use file::SpoolFile;
pub use segment_lease::SegmentLease;
pub(super) use writer::{Spool, SpoolWriter, SpooledCore};
