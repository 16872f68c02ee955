//! Events as they come out of the journal: followed by a state, or read as facts whatever the state is.

use super::column::number;
use super::decode::{decode, decode_fact};
use super::error::{JournalError, RecordDecodeError};
use super::record::EventRecord;
use kernel::id::Sequence;
use kernel::state::State;
use kernel::units::Millis;
use kernel::{Fact, Recorded};

/// Sequence, time, body.
pub(super) type JournalRow = (i64, i64, String);

/// An event in its stored form.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its place in the journal.
    pub sequence: Sequence,
    at: Millis,
    record: EventRecord,
}

impl StoredEvent {
    pub(super) fn parse((row, at_ms, body): &JournalRow) -> Result<Self, JournalError> {
        let record =
            serde_json::from_str(body).map_err(|error| JournalError::Damaged { table: "journal", row: *row, error })?;
        let sequence = Sequence(number("journal", *row, *row)?);
        Ok(Self { sequence, at: Millis(number("journal", *row, *at_ms)?), record })
    }

    /// The event, to be applied to `state`.
    ///
    /// # Errors
    /// The record does not fit the state.
    pub fn decode(&self, state: &State) -> Result<Recorded, RecordDecodeError> {
        decode(&self.record, self.sequence, self.at, state)
    }

    pub(super) fn into_fact(self) -> Result<Fact, JournalError> {
        let fact = decode_fact(&self.record, self.sequence, self.at);
        fact.map_err(|error| JournalError::Decode { at: self.sequence, error })
    }
}
