//! What is to be written at once: the records of a batch with what ended by them and the receipts for them. Records are
//! put in their stored form as they come, so that a commit only hands over a text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::encode::{RecordEncodeError, encode};
use super::history::Past;
use super::record::EventRecord;
use super::scalars::escaped;
use kernel::event::Recorded;
use kernel::id::Sequence;
use kernel::state::State;
use kernel::units::Millis;

/// That a request with an idempotency key was carried out, and by which events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The key that the sender chose.
    pub key: String,
    /// What the request was, digested, in hexadecimal: one key must not stand for two requests.
    pub fingerprint: String,
    /// The first event.
    pub first: Sequence,
    /// How many there were, one after the other.
    pub count: u32,
    /// When.
    pub at: Millis,
}

/// A batch on its way to the journal. Reusable: [`Draft::clear`] keeps the room.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    /// A JSON object, complete after every push; empty only before the first.
    records: Vec<u8>,
    first: Option<Sequence>,
    count: u64,
    last: Sequence,
    past: Vec<Past>,
    receipts: BTreeMap<String, Receipt>,
}

/// Why something cannot be drafted. The draft is as it was.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The event is not of this state.
    #[error(transparent)]
    Encode(#[from] RecordEncodeError),
    /// The event does not follow the one before it.
    #[error("event {found} cannot be drafted after event {after}", found = .found.0, after = .after.0)]
    OutOfSequence {
        /// The one before.
        after: Sequence,
        /// The one that came.
        found: Sequence,
    },
    /// The record has no JSON form.
    #[error("the event cannot be written down")]
    Json(#[from] serde_json::Error),
}

impl RecordBatch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event that was just applied to `state`.
    ///
    /// # Errors
    /// It is not of this state, or does not follow the event before it.
    pub fn push(&mut self, recorded: &Recorded, state: &State) -> Result<(), DraftError> {
        self.push_record(recorded.sequence, recorded.at, &encode(recorded, state)?)
    }

    /// Adds a record that is already in its stored form.
    ///
    /// # Errors
    /// It does not follow the record before it.
    pub fn push_record(&mut self, sequence: Sequence, at: Millis, record: &EventRecord) -> Result<(), DraftError> {
        if self.first.is_some() && sequence != self.last.next() {
            return Err(DraftError::OutOfSequence { after: self.last, found: sequence });
        }
        let before = self.records.len();
        let opening = if self.records.pop().is_none() { '{' } else { ',' };
        let key = format!("{opening}\"{:020}{:020}\":", sequence.0, at.0);
        self.records.extend_from_slice(key.as_bytes());
        if let Err(error) = serde_json::to_writer(&mut self.records, record) {
            self.records.truncate(before.saturating_sub(1));
            if before > 0 {
                self.records.push(b'}');
            }
            return Err(error.into());
        }
        self.records.push(b'}');
        self.first.get_or_insert(sequence);
        self.last = sequence;
        self.count += 1;
        Ok(())
    }

    /// Adds an allocation that ended.
    pub fn push_past(&mut self, past: Past) {
        self.past.push(past);
    }

    /// Adds a receipt, in the place of an earlier one with the same key.
    pub fn push_receipt(&mut self, receipt: Receipt) {
        self.receipts.insert(receipt.key.clone(), receipt);
    }

    /// Whether there is nothing to be written.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.past.is_empty() && self.receipts.is_empty()
    }

    /// How many events there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Makes it empty.
    pub fn clear(&mut self) {
        self.records.clear();
        self.first = None;
        self.count = 0;
        self.last = Sequence(0);
        self.past.clear();
        self.receipts.clear();
    }

    /// The first event's number.
    pub(super) fn first(&self) -> Option<Sequence> {
        self.first
    }

    /// Whether the records are all there is.
    pub(super) fn is_plain(&self) -> bool {
        self.past.is_empty() && self.receipts.is_empty()
    }

    /// The records, each under its number and time.
    pub(super) fn records_json(&self) -> &str {
        // What serde_json wrote is UTF-8; an empty object appends nothing and so is seen.
        std::str::from_utf8(&self.records).unwrap_or("{}")
    }

    /// The rows of what ended, if any.
    pub(super) fn past_json(&self) -> Result<Option<String>, serde_json::Error> {
        if self.past.is_empty() {
            return Ok(None);
        }
        let rows: BTreeMap<u64, _> = self.past.iter().map(|past| (past.allocation.id.0.0, past.row())).collect();
        serde_json::to_string(&rows).map(Some)
    }

    /// The rows of receipts, if any.
    pub(super) fn receipts_json(&self) -> Result<Option<String>, serde_json::Error> {
        if self.receipts.is_empty() {
            return Ok(None);
        }
        let rows: BTreeMap<usize, _> = self.receipts.values().map(ReceiptRow::of).enumerate().collect();
        serde_json::to_string(&rows).map(Some)
    }
}

#[derive(Serialize)]
struct ReceiptRow<'a> {
    key: Cow<'a, str>,
    fingerprint: &'a str,
    first_sequence: u64,
    count: u32,
    at_ms: u64,
}

impl<'a> ReceiptRow<'a> {
    fn of(receipt: &'a Receipt) -> Self {
        Self {
            key: escaped(&receipt.key),
            fingerprint: &receipt.fingerprint,
            first_sequence: receipt.first.0,
            count: receipt.count,
            at_ms: receipt.at.0,
        }
    }
}
