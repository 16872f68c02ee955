//! Between the documents of aggregators ([`api::aggregator`]) and the kernel's words: over HTTP and MQTT alike.

mod id;
pub use id::{AggregatorId, AggregatorIdError};
mod report;
pub use report::{MetadataError, UnreadableReport, read_report, report};
mod documents;
pub use documents::{brief, freshness, full, metadata, rates};
