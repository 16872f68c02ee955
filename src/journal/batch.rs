//! A batch: the records of its events, the allocations that they ended, and the receipts for them. Records are encoded when
//! they are pushed, so that a commit only hands over a text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;

use super::chain::{ChainDigest, RowDigest};
use super::encode::encode;
use super::error::{BatchError, RecordEncodeError};
use super::history::{Past, PastRow};
use super::scalars::escaped;
use super::stored_event::actor_text;
use kernel::Fact;
use kernel::id::Sequence;
use kernel::units::Millis;

/// That a request with an idempotency key was carried out, and by which events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The client's idempotency key.
    pub key: String,
    /// What the request was, digested, in hexadecimal: one key must not stand for two requests.
    pub fingerprint: String,
    /// The first event.
    pub first: Sequence,
    /// How many there were, one after the other.
    pub count: u32,
    /// When the request was decided.
    pub at: Millis,
    /// What was answered to those of its commands that were refused, in the requester's form; absent if that is not asked
    /// for again.
    pub refusals: Option<String>,
}

/// A batch on its way to the journal. Reusable: [`RecordBatch::clear`] keeps the allocated memory.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    /// A JSON object, complete after every push; empty only before the first.
    records: Vec<u8>,
    /// The record that is being pushed.
    body: Vec<u8>,
    /// The digest of the event before the first.
    stands_on: ChainDigest,
    /// The digest of the last event.
    digest: ChainDigest,
    first: Option<Sequence>,
    count: u64,
    last: Sequence,
    past: BTreeMap<u64, PastRow>,
    receipts: BTreeMap<String, Receipt>,
    /// Tells the batch from every other, of any process.
    id: i64,
}

impl RecordBatch {
    /// An empty one, for a journal without events.
    pub fn new() -> Self {
        Self::after(ChainDigest::default())
    }

    /// An empty one, to follow an event of this digest.
    pub fn after(stands_on: ChainDigest) -> Self {
        Self { id: fresh_id(), stands_on, digest: stands_on, ..Self::default() }
    }

    /// Adds an event and the allocations that it ended; all of it or, if that fails, nothing.
    ///
    /// # Errors
    /// A number has no name, or the event does not follow the one before it.
    pub fn push(&mut self, fact: &Fact, ended: &[Past]) -> Result<(), BatchError> {
        let Fact { sequence, at, .. } = *fact;
        if self.first.is_some() && sequence != self.last.next() {
            return Err(BatchError::OutOfSequence { after: self.last, found: sequence });
        }
        let record = encode(fact)?;
        let ended = ended.iter().map(|past| Ok((past.allocation.id.0, past.row()?)));
        let ended = ended.collect::<Result<Vec<_>, RecordEncodeError>>()?;
        let actor = fact.actor.as_ref().map(|actor| actor_text(actor)).unwrap_or_default();
        self.body.clear();
        serde_json::to_writer(&mut self.body, &record)?;
        let digest = RowDigest::of(sequence.0, at.0, &actor, &self.body).after(self.digest);
        let opening = if self.records.pop().is_none() { '{' } else { ',' };
        let key = format!("{opening}\"{:020}{:020}{digest}{}\":", sequence.0, at.0, in_json_string(&actor));
        self.records.extend_from_slice(key.as_bytes());
        self.records.extend_from_slice(&self.body);
        self.records.push(b'}');
        self.first.get_or_insert(sequence);
        (self.last, self.digest) = (sequence, digest);
        self.count += 1;
        self.past.extend(ended);
        Ok(())
    }

    /// Adds an allocation that is over, whose end is not among the events.
    ///
    /// # Errors
    /// A number has no name.
    pub fn push_past(&mut self, past: &Past) -> Result<(), BatchError> {
        self.past.insert(past.allocation.id.0, past.row()?);
        Ok(())
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

    /// The digest of the last event.
    pub fn digest(&self) -> ChainDigest {
        self.digest
    }

    /// The digest of the event before the first.
    pub(super) fn stands_on(&self) -> ChainDigest {
        self.stands_on
    }

    /// Makes it empty, to follow an event of this digest.
    pub fn clear_after(&mut self, stands_on: ChainDigest) {
        self.digest = stands_on;
        self.clear();
    }

    /// Makes it empty, to follow what was in it.
    pub fn clear(&mut self) {
        self.stands_on = self.digest;
        self.records.clear();
        self.first = None;
        self.count = 0;
        self.last = Sequence(0);
        self.past.clear();
        self.receipts.clear();
        self.id = fresh_id();
    }

    /// The batch's own number.
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// How many receipts there are.
    pub(super) fn receipt_count(&self) -> u64 {
        self.receipts.len() as u64
    }

    /// The first event's number.
    pub(super) fn first(&self) -> Option<Sequence> {
        self.first
    }

    /// Whether there are records and neither ended allocations nor receipts.
    pub(super) fn is_records_only(&self) -> bool {
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
        serde_json::to_string(&self.past).map(Some)
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

/// A text between the quotes of a string of JSON.
fn in_json_string(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
}

/// 63 random bits: the keys of `std`'s hash maps are random in each process, and differ each time.
fn fresh_id() -> i64 {
    let drawn = RandomState::new().hash_one(std::process::id());
    i64::try_from(drawn >> 1).unwrap_or(i64::MAX)
}

#[derive(Serialize)]
struct ReceiptRow<'a> {
    key: Cow<'a, str>,
    fingerprint: &'a str,
    first_sequence: u64,
    count: u32,
    at_ms: u64,
    refusals: Option<&'a str>,
}

impl<'a> ReceiptRow<'a> {
    fn of(receipt: &'a Receipt) -> Self {
        Self {
            key: escaped(&receipt.key),
            fingerprint: &receipt.fingerprint,
            first_sequence: receipt.first.0,
            count: receipt.count,
            at_ms: receipt.at.0,
            refusals: receipt.refusals.as_deref(),
        }
    }
}
